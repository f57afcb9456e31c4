"""Images that wait are given to a GPU together, and their results are those of one image after the other."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from crystint.engine import Engine
from crystint.errors import DeviceError
from crystint.model.frame_table import FrameStatus
from crystint.online.analysis import Analyses, Analysis
from crystint.online.series import Series
from crystint.online.settings import AnalysisSettings
from crystint.online.timeline import Timeline
from crystint.online.work_queue import Work, WorkQueue
from crystint.online.workers import Workers
from crystint.ops import separator as separators
from crystint.stream import Image, SeriesKey, encode_frame
from crystint.stream.packed_frame import PackedFrame
from tests.online.streams import frames_of, start_of

N, DAMAGED, OTHER = 20, 11, 13
KEY = SeriesKey(1, "a")


@pytest.fixture
def launches(monkeypatch):
    """Frames of each launch of ring_statistics."""
    counts, launch = Counter(), Engine.launch

    def counted(engine, kernel, *arguments, frames=1, **more):
        counts[frames] += kernel.name == "ring_statistics"
        return launch(engine, kernel, *arguments, frames=frames, **more)

    monkeypatch.setattr(Engine, "launch", counted)
    return counts


@pytest.fixture
def gpu(engine, monkeypatch):
    """The device takes the way of a GPU."""
    monkeypatch.setattr(Engine, "on_cpu", property(lambda self: False))
    return Engine(engine.device)


def images():
    """One is damaged, one of another shape."""
    frames = frames_of(count=N)
    made = [
        Image(KEY, n, {"threshold_1": encode_frame(frame, "lz4" if n % 2 else "bslz4")})
        for n, frame in enumerate(frames)
    ]
    packed = made[DAMAGED].frames["threshold_1"]
    made[DAMAGED] = Image(KEY, DAMAGED, {"threshold_1": replace(packed, data=packed.data[:30])})
    made[OTHER] = Image(KEY, OTHER, {"threshold_1": encode_frame(frames[OTHER][:-3], "bslz4")})
    return frames, made


def looked_at(engine, renew=None, sampling=1):
    """Results of images that wait when the one thread begins."""
    frames, made = images()
    start = start_of(frames, KEY)
    timeline, results = Timeline(), []
    timeline.put(Analyses(engine).make(start, AnalysisSettings(rings=30, sampling=sampling)))
    series, queue = Series(start), WorkQueue(1 << 30)
    series.context = timeline
    workers = Workers(queue, 1, lambda _, result: results.append(result), renew or (lambda *_: False))
    for image in made:
        assert not queue.put(Work(series, image, 0))
    queue.close()
    workers.start()
    workers.join()
    assert queue.images == 0
    return results


def plain(results):
    rows = np.concatenate([result.row for result in results])
    rows["t_done"] = 0
    return rows.tobytes(), [result.peaks.tobytes() for result in results], [result.error for result in results]


def test_images_that_wait_are_looked_at_together(gpu, launches, monkeypatch):
    together = looked_at(gpu)
    assert [result.row["frame"][0] for result in together] == list(range(N))
    assert launches == {8: 1, 3: 1, 1: 1, 2: 1, 4: 1}  # 8; 11 is missing of 8 to 15, and 13; 4
    for number in (DAMAGED, OTHER):
        assert together[number].row["status"][0] == FrameStatus.FAILED
    assert "damaged" in together[DAMAGED].error
    assert "expected" in together[OTHER].error
    assert sum(len(result.peaks) for result in together) > 20
    monkeypatch.setattr(separators, "_BATCH", 1)
    launches.clear()
    assert plain(looked_at(gpu)) == plain(together)
    assert launches == {1: N - 2}


def test_of_images_that_wait_every_nth_is_looked_at(gpu):
    status = [result.row["status"][0] for result in looked_at(gpu, sampling=3)]
    assert all((each == FrameStatus.SKIPPED) == (n % 3 > 0) for n, each in enumerate(status))


def test_a_device_that_fails_is_begun_anew_once(gpu, monkeypatch):
    whole, failing, renewed = looked_at(gpu), [True], []
    examine = Analysis.examine_several

    def fails(analysis, *arguments):
        if failing:
            raise DeviceError("gone")
        return examine(analysis, *arguments)

    def renew(timeline, analysis, error):
        renewed.append(str(error))
        failing.clear()
        return True

    monkeypatch.setattr(Analysis, "examine_several", fails)
    assert plain(looked_at(gpu, renew)) == plain(whole)
    assert renewed == ["gone"]
    failing.append(True)
    assert {result.error for result in looked_at(gpu)} >= {"gone"}


def test_an_image_that_nothing_was_thought_of_for_spoils_no_other(gpu, monkeypatch):
    whole, decode = looked_at(gpu), PackedFrame.decode

    def strange(frame, out=None):
        if np.array_equal(frame.data, odd):
            raise ZeroDivisionError("odd")
        return decode(frame, out)

    odd = images()[1][4].frames["threshold_1"].data
    monkeypatch.setattr(PackedFrame, "decode", strange)
    results = looked_at(gpu)
    assert results[4].error == "ZeroDivisionError: odd"
    assert plain(results[:4] + results[5:]) == plain(whole[:4] + whole[5:])


def test_a_cpu_looks_at_one_image_at_a_time(engine, launches):
    if not engine.on_cpu:
        pytest.skip("a GPU")
    looked_at(engine)
    assert set(launches) <= {1}
