"""The files that the service writes of a stream, beside what `crystint peaks` finds in them."""

from __future__ import annotations

import os
import threading
import time

import h5py
import hdf5plugin  # noqa: F401
import numpy as np
import pytest

import crystint
from crystint.io.hdf5.deferred import DeferredFile
from crystint.model.rois import Roi, Rois
from crystint.online import AnalysisSettings, Service
from crystint.online.settings import ServeSettings
from crystint.stream import End, SeriesKey, encode_end, encode_image, encode_start
from crystint.stream.messages import Start
from tests.online.series_of_frames import image_of


def frames_of(number):
    return crystint.simulate.simulate(
        (60, 70), frames=number, background=5.0, peaks=8, intensity=900.0, dtype="uint16", seed=1
    )


def test_peaks_of_the_files_are_those_of_the_stream(tmp_path):
    data = frames_of(7)
    series = SeriesKey(3, "x")
    start = Start(
        series, data.shape, "stream2", images=8, channels=("one",), geometry=data.geometry, masks={"one": data.mask}
    )
    settings = ServeSettings(rings=30, images_per_file=3, peak_formats=("cxi",))
    with Service(settings=settings, out=tmp_path / "out") as service:
        service.start({"prefix": "lyso/run_1"})
        service.take(encode_start(start))
        for number in (0, 2, 1, 3, 4, 6, 5):
            service.take(encode_image(image_of(series, number, data[number], channels=("one",))))
        service.take(encode_end(End(series)))
        assert service.wait("idle")
        (about,) = service.series()
        folder = tmp_path / "out" / "lyso"
        names = sorted(path.name for path in folder.iterdir())
        parts = [f"run_1_data_{part:06d}.h5" for part in (1, 2, 3)]
        assert names == [*parts, "run_1_master.h5", "run_1_peaks.cxi", "run_1_results.h5"]
        assert {os.path.basename(path) for path in about["files"]} == set(names)
    with pytest.warns(crystint.CrystintWarning, match="frame 7"):
        crystint.separation.find_peaks([folder / "run_1_master.h5"], [tmp_path / "batch.cxi"], {"rings": 30})
    batch, online = crystint.read_peaks(tmp_path / "batch.cxi"), crystint.read_peaks(folder / "run_1_peaks.cxi")
    assert len(online) > 20
    assert batch.tobytes() == online.tobytes()
    with h5py.File(folder / "run_1_results.h5") as file:
        assert file["entry/results/status"][()].tolist() == [0] * 7 + [1]
        assert file["entry/books/missing"][()] == 1
        ((_, settings),) = file["entry/settings"].items()
        assert b'"rings": 30' in settings["data"][()]
        assert b"series_start" in file["entry/log/name"][()].tolist()
    with crystint.open_frames(folder / "run_1_master.h5") as frames:
        assert np.array_equal(frames.mask, data.mask)
        assert all(np.array_equal(frames[number], data[number]) for number in range(7))


def test_the_same_name_again_is_another_name(tmp_path):
    data = frames_of(1)
    with Service(settings=AnalysisSettings(rings=30), out=tmp_path) as service:
        for unique in "ab":
            series = SeriesKey(1, unique)
            service.start({"prefix": "run"})
            service.take(encode_start(Start(series, data.shape, "stream2", images=1, geometry=data.geometry)))
            service.take(encode_image(image_of(series, 0, data[0])))
            service.take(encode_end(End(series)))
            assert service.wait("idle")
        assert [about["name"] for about in service.series()] == ["run_002", "run"]
    assert sorted(path.name for path in tmp_path.glob("*_master.h5")) == ["run_002_master.h5", "run_master.h5"]


def test_regions_stand_in_the_file_with_the_version_that_they_had(tmp_path):
    data = frames_of(6)
    series = SeriesKey(3, "x")
    start = Start(series, data.shape, "stream2", images=6, channels=("one",), geometry=data.geometry)
    with Service(settings=AnalysisSettings(rings=30), out=tmp_path) as service:
        service.start({"prefix": "run"})
        rois = Rois((Roi.box("a", slow=(3, 9), fast=(5, 20)),))
        service.change_rois(rois.to_dict())
        service.take(encode_start(start))
        for number in range(3):
            service.take(encode_image(image_of(series, number, data[number], channels=("one",))))
        assert service.wait("measuring")
        until = time.monotonic() + 30.0
        while service.status()["series"]["books"]["analysed"] < 3 and time.monotonic() < until:
            time.sleep(0.05)
        both = Rois((*rois, Roi.circle("b.c", center=(30.0, 30.0), radius=6.0)))
        first = service.change_rois(both.to_dict()).first_image
        for number in range(3, 6):
            service.take(encode_image(image_of(series, number, data[number], channels=("one",))))
        service.take(encode_end(End(series)))
        assert service.wait("idle")
    assert first == 3
    slow, fast = np.indices(data.shape) + 0.5
    circle = (slow - 30.0) ** 2 + (fast - 30.0) ** 2 <= 36.0
    for name in ("run_results.h5", "run_master.h5"):
        with h5py.File(tmp_path / name) as file:
            entry = file["entry"]
            sums = [int(data[number][3:10, 5:21].sum()) for number in range(6)]
            assert entry["roi/a/sum"][()].tolist() == sums
            expected = [0] * 3 + [int(data[number][circle].sum()) for number in range(3, 6)]
            assert entry["roi/b.c/sum"][()].tolist() == expected
            assert entry["roi/a/version"][()].tolist() == [1, 1, 1, 2, 2, 2]
            assert entry["roi_defs/roi_map"].attrs["first_image"] == 3
            assert set(entry["roi_defs/history"]) == {"1", "2"}
            assert np.array_equal(entry["roi_defs/roi_map"][()] & 2 != 0, circle)


class Stalled(DeferredFile):
    """A disk that does not answer until it is told to."""

    gate = threading.Event()

    def drain(self):
        self.gate.wait(30.0)
        super().drain()


@pytest.mark.parametrize("when_full", ["skip", "wait"])
def test_a_disk_that_stalls_stops_no_image(tmp_path, monkeypatch, when_full):
    Stalled.gate = threading.Event()
    monkeypatch.setattr("crystint.io.series.part_file.DeferredFile", Stalled)
    data = frames_of(1)
    series = SeriesKey(3, "x")
    start = Start(series, data.shape, "stream2", images=40, geometry=data.geometry)
    image = image_of(series, 0, data[0])
    settings = ServeSettings(rings=30, memory=4 * 10 * image.size, when_full=when_full)
    analysed = []
    with Service(settings=settings, out=tmp_path) as service:
        service.on_result(lambda result: analysed.append(result.number))
        service.start({"prefix": "run"})
        service.take(encode_start(start))
        for number in range(40):
            if number % 8 == 7:  # a detector that is slower than the search
                until = time.monotonic() + 30.0
                while len(analysed) < number - 1 and time.monotonic() < until:
                    time.sleep(0.02)
            service.take(encode_image(image_of(series, number, data[0])))
        until = time.monotonic() + 30.0
        while len(analysed) < 40 and time.monotonic() < until:
            time.sleep(0.02)
        assert sorted(analysed) == list(range(40))
        assert service.queue.full == (when_full == "wait")
        books = service.status()["series"]["books"]
        assert (books["received"], books["in_flight"]) == (40, 0)
        service.take(encode_end(End(series)))
        Stalled.gate.set()
        assert service.wait("idle")
        assert not service.queue.full
    with h5py.File(tmp_path / "run_results.h5") as file:
        lost = file["entry/books/raw_skipped"][()]
        assert lost > 20
        assert (file["entry/results/status"][()] == 0).all()
    with crystint.open_frames(tmp_path / "run_master.h5") as frames:
        assert len(frames) == 40
        assert len(frames.missing) == lost
