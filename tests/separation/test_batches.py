"""Commands give a GPU several frames at a time, and what they find is what they find in one after the other."""

from __future__ import annotations

import warnings
from collections import Counter

import h5py
import numpy as np
import pytest

import crystint
from crystint.engine import Engine
from crystint.model.rois import Roi, Rois
from crystint.ops import separator as separators
from crystint.run.frame_work import batch_of, records_of
from crystint.separation import Execution, files
from crystint.separation.frame_step import SeparationWorker, Sparsification
from crystint.separation.mask_work import MaskWorker
from crystint.separation.prepared import opened
from crystint.separation.roi_step import RoiWorker
from crystint.separation.settings import MaskSettings, PeaksSettings, SparsifySettings

N, SHAPE = 20, (97, 121)
BROKEN = 11
DETECTOR = {"wavelength": 1.0, "distance": 0.05, "pixel_size": (1e-4, 1e-4), "beam": (50.0, 60.0), "rings": 30}


@pytest.fixture
def gpu(engine, monkeypatch):
    """The device takes the way of a GPU."""
    monkeypatch.setattr(Engine, "on_cpu", property(lambda self: False))
    return engine.device.id


@pytest.fixture
def stack(tmp_path):
    """One frame has no usable pixel, one cannot be read."""
    data = crystint.simulate.simulate(SHAPE, N, background=3.0, peaks=9, intensity=900.0, dtype="uint16", seed=3)
    frames = data.frames.copy()
    frames[5] = 65535
    path = tmp_path / "frames.h5"
    with h5py.File(path, "w") as file:
        made = file.create_dataset("data", data=frames, chunks=(1, *SHAPE), compression="gzip")
        made.id.write_direct_chunk((BROKEN, 0, 0), b"\xff" * 40)
    return path


@pytest.fixture
def launches(monkeypatch):
    """Of each kernel: how many, and of how many frames in all."""
    counts, frames_of, launch = Counter(), Counter(), Engine.launch

    def counted(engine, kernel, *arguments, frames=1, **more):
        counts[kernel.name] += 1
        frames_of[kernel.name] += frames
        return launch(engine, kernel, *arguments, frames=frames, **more)

    monkeypatch.setattr(Engine, "launch", counted)
    return counts, frames_of


def worker_of(kind, run):
    if kind == "sparsify":
        return SeparationWorker(run, Sparsification(3.0, True))
    rois = Rois((Roi.box("left", slow=(0, 90), fast=(0, 40)), Roi.box("all", slow=(0, 96), fast=(0, 120))))
    return RoiWorker(run, rois.members(run.geometry, run.frames.shape), 5.0)


SETTINGS = {"sparsify": SparsifySettings, "roi": PeaksSettings}


@pytest.mark.parametrize("kind", SETTINGS)
def test_frames_in_batches_are_the_frames_one_by_one(stack, gpu, launches, kind):
    counts, frames_of = launches
    with opened([stack], SETTINGS[kind].of(DETECTOR), gpu) as run:
        worker = worker_of(kind, run)
        assert batch_of(worker) == 8
        first = None
        together = records_of(worker, range(N), first)
        assert counts["ring_statistics"] == 4  # 8, 7 of 8 in two parts, since one is missing between them, and 4
        assert frames_of["ring_statistics"] == N - 1
        for number, record in enumerate(together):
            assert record.number == number
            assert (record.missing is not None) == (number == BROKEN)
            assert record.pack() == worker.record(number, first).pack()
        assert together[5].facts["dead"]


def test_blocks_of_the_mask_are_read_in_batches(stack, gpu, launches, monkeypatch):
    with opened([stack], MaskSettings.of(DETECTOR), gpu) as run:
        worker = MaskWorker(run)
        together = worker.record(0, None).pack()
        before = launches[0]["ring_statistics"]
        monkeypatch.setattr(separators, "_BATCH", 1)
        with opened([stack], MaskSettings.of(DETECTOR), gpu) as alone:
            assert MaskWorker(alone).record(0, None).pack() == together
        assert before < launches[0]["ring_statistics"] - before


def test_a_command_gives_eight_frames_at_a_time(stack, gpu, launches, tmp_path, monkeypatch):
    counts, frames_of = launches
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", crystint.CrystintWarning)  # of the two frames that cannot be used
        files.find_peaks([stack], [tmp_path / "a.jsonl"], DETECTOR, device=gpu, execution=Execution(threads=2))
    warm = 1
    assert counts["ring_statistics"] <= 4 + warm
    assert frames_of["ring_statistics"] == N - 1 + warm
    monkeypatch.setattr(separators, "_BATCH", 1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", crystint.CrystintWarning)  # of the two frames that cannot be used
        files.find_peaks([stack], [tmp_path / "b.jsonl"], DETECTOR, device=gpu, execution=Execution(threads=2))
    one, other = ((tmp_path / name).read_text().splitlines() for name in ("a.jsonl", "b.jsonl"))
    assert len(one) == len(other) > N - 1
    assert one[1:] == other[1:]


def test_frames_are_read_into_memory_that_the_device_fetches_from(stack, gpu, monkeypatch):
    copied = []
    start_writing = Engine.start_writing

    def watched(engine, buffer, array):
        copied.append(engine.fetches_from(array))
        return start_writing(engine, buffer, array)

    monkeypatch.setattr(Engine, "start_writing", watched)
    with opened([stack], PeaksSettings.of(DETECTOR), gpu) as run:
        there, frames, missing = run.read_several(range(8))
        assert (there, missing) == (list(range(8)), {})
        assert run.separator.engine.fetches_from(frames[3:7])
        assert not run.separator.engine.fetches_from(np.zeros(4))
        run.examine(frames, there, None, 5.0)
        room = run.separator._free[0]
        assert room._pinned is None  # nothing was copied on the way
    assert copied == [True]


def test_a_cpu_takes_one_frame_at_a_time_where_it_lies(stack, engine):
    if not engine.on_cpu:
        pytest.skip("a GPU")
    with opened([stack], PeaksSettings.of(DETECTOR), engine.device.id) as run:
        assert run.batch == 1
        assert run.separator.engine.works_in(run.read(0))
