"""The files of a series as the service writes them, on full disks, on slow ones, and in processes that are killed."""

from __future__ import annotations

import gc
import os
import threading
import time
import weakref

import h5py
import hdf5plugin  # noqa: F401
import numpy as np

import crystint
from crystint.io.hdf5.deferred import DeferredFile
from crystint.model.frame_table import FrameStatus
from crystint.online.result import ONLINE_COLUMNS
from crystint.online.series_output import SeriesOutput
from crystint.online.sink import Event
from crystint.online.writer import Writer
from crystint.run.journal import Journal, check_free
from tests.online.killing import check_files, run_with_kills
from tests.online.series_of_frames import counts, image_of, result_of, run_of, start_of

WAIT = 30.0


class Told:
    """What a writer tells."""

    def __init__(self):
        self.events = []
        self.changed = threading.Condition()

    def __call__(self, event):
        with self.changed:
            self.events.append((event.name, event.data))
            self.changed.notify_all()

    def texts(self, name):
        return [data.get("text", data.get("path")) for told, data in self.events if told == name]

    def wait(self, condition):
        with self.changed:
            assert self.changed.wait_for(lambda: any(condition(*event) for event in self.events), WAIT), self.events


def measured(writer, run, numbers, status=FrameStatus.OK):
    for number in numbers:
        if run.add(number):
            writer.image(run, image_of(run.key, number))
            writer.results(run, [result_of(run.key, number, status=status)])
            run.count(analysed=status == FrameStatus.OK, skipped=status == FrameStatus.SKIPPED)


def ended(writer, run):
    run.ended = 0.0
    run.finish("its end came")
    writer.end(run)


def test_a_series_has_all_its_files(tmp_path):
    told = Told()
    writer = Writer(images_per_file=10, formats=["cxi", "refl", "h5"], tell=told)
    start = start_of(25)
    run = run_of(start, tmp_path)
    writer.begin(run)
    measured(writer, run, [0, 2, 1, *range(3, 7), *range(8, 12)])
    measured(writer, run, [12, 13], FrameStatus.SKIPPED)
    writer.event(Event("settings", {"snr": 4.0}, 17, 1))
    measured(writer, run, range(14, 23))
    measured(writer, run, [7])
    ended(writer, run)
    writer.close()
    assert told.texts("alarm") == []
    names = [f"run_data_{part:06d}.h5" for part in (1, 2, 3)]
    names += [
        "run_master.h5",
        "run_peaks.cxi",
        "run_peaks.h5",
        "run_peaks.refl",
        "run_peaks.refl.json",
        "run_results.h5",
    ]
    assert sorted(path.name for path in tmp_path.iterdir()) == names
    assert {os.path.basename(path) for path in told.texts("file")} == {*names} - {"run_peaks.refl.json"}

    with h5py.File(tmp_path / "run_results.h5") as file:
        entry = file["entry"]
        assert set(entry["results"]) == {column.name for column in ONLINE_COLUMNS}
        for column in ONLINE_COLUMNS:
            assert entry["results"][column.name].shape == ((25, len(column.parts)) if column.parts else (25,))
        assert entry["results/frame"][()].tolist() == list(range(25))
        assert np.flatnonzero(entry["results/status"][()] == 1).tolist() == [23, 24]
        assert np.flatnonzero(entry["results/status"][()] == 3).tolist() == [12, 13]
        assert entry["books/missing"][()] == 2
        assert entry["books/received"][()] == 23
        assert entry["books/missing_images"][()].tolist() == [[23, 24]]
        assert entry["books/skipped_images"][()].tolist() == [[12, 13]]
        assert entry["books/raw_missing_images"].shape == (0, 2)
        assert entry["books/raw_written"][()] == 23
        assert b'"snr": 5.0' in entry["settings/1/data"][()]
        assert entry["log/name"][()].tolist() == [b"settings"]
        assert entry["log/time"][()].tolist() == [17]
        assert entry.attrs["series_unique_id"] == "a"

    with h5py.File(tmp_path / "run_master.h5") as file:
        assert file["entry/results/status"][23] == 1
        assert file["entry/books/missing"][()] == 2
        assert np.array_equal(file["entry/data/data"][7], counts(7))
    with crystint.open_frames(tmp_path / "run_master.h5") as frames:
        assert sorted(frames.missing) == [23, 24]
        assert np.array_equal(frames[22], counts(22))
    for suffix in ("cxi", "refl", "h5"):
        peaks = crystint.read_peaks(tmp_path / f"run_peaks.{suffix}")
        assert sorted(set(peaks["frame"].tolist())) == list(range(23))
    rows = crystint.read_frame_table(tmp_path / "run_results.h5")
    assert rows["n_spots"][:23].tolist() == [2] * 23
    assert (rows["n_spots"][23:] == -1).all()


def test_without_raw_frames_there_is_no_master(tmp_path):
    writer = Writer(raw=False)
    run = run_of(start_of(3), tmp_path)
    writer.begin(run)
    measured(writer, run, range(3))
    ended(writer, run)
    writer.close()
    assert [path.name for path in tmp_path.iterdir()] == ["run_results.h5"]


def test_series_that_overlap_have_files_of_their_own(tmp_path):
    writer = Writer(images_per_file=4)
    runs = [run_of(start_of(8, unique), tmp_path, unique) for unique in "ab"]
    for run in runs:
        writer.begin(run)
    for number in range(8):
        for run in runs:
            measured(writer, run, [number])
    for run in runs:
        ended(writer, run)
    writer.close()
    for name in "ab":
        with crystint.open_frames(tmp_path / f"{name}_master.h5") as frames:
            assert (len(frames), frames.missing) == (8, {})


def test_a_series_that_is_not_ended_can_be_gone_on_with(tmp_path):
    writer = Writer(images_per_file=4)
    run = run_of(start_of(8), tmp_path)
    writer.begin(run)
    measured(writer, run, range(6))
    writer.close()
    assert (tmp_path / "run_results.h5.partial").exists()
    writer = Writer(images_per_file=4)
    run = run_of(start_of(8), tmp_path)
    run.had([(0, 6)])
    writer.begin(run)
    measured(writer, run, range(6, 8))
    ended(writer, run)
    writer.close()
    with crystint.open_frames(tmp_path / "run_master.h5") as frames:
        assert (len(frames), frames.missing) == (8, {})
    with h5py.File(tmp_path / "run_results.h5") as file:
        assert (file["entry/results/status"][()] == 0).all()


def test_a_killed_process_loses_what_was_under_way_and_nothing_else(tmp_path):
    came = run_with_kills(tmp_path, 150, 20, [40, 97])
    results, raw = check_files(tmp_path, 150, 20, came)
    assert len(set(came)) == 148
    assert set(results) | set(raw) <= set(came)


class SlowFile(DeferredFile):
    """A disk that stalls until it is told to go on."""

    gate = threading.Event()

    def drain(self):
        self.gate.wait(WAIT)
        super().drain()


def test_a_disk_that_stalls_holds_up_nobody(tmp_path, monkeypatch):
    SlowFile.gate = threading.Event()
    monkeypatch.setattr("crystint.io.series.part_file.DeferredFile", SlowFile)
    told = Told()
    start = start_of(200)
    images = [image_of(start.series, number) for number in range(200)]
    writer = Writer(images_per_file=100, memory=20 * images[0].size, tell=told)
    run = run_of(start, tmp_path)
    writer.begin(run)
    for number, image in enumerate(images):
        run.add(number)
        writer.image(run, image)
        writer.results(run, [result_of(run.key, number)])
        run.count(analysed=1)
    assert writer.status()["queued_bytes"] <= 21 * images[0].size
    assert writer.status()["skipped"] > 150
    told.wait(lambda name, data: name == "alarm" and "too slow" in data["text"])
    with h5py.File(tmp_path / "other.h5", "w") as file:  # HDF5 itself is not held up
        file["x"] = 1
    ended(writer, run)
    SlowFile.gate.set()
    writer.close()
    with h5py.File(tmp_path / "run_results.h5") as file:
        assert (file["entry/results/status"][()] == 0).all()
        lost = sum(last - first + 1 for first, last in file["entry/books/raw_missing_images"][()].tolist())
        assert lost == file["entry/books/raw_skipped"][()] > 150
    with crystint.open_frames(tmp_path / "run_master.h5") as frames:
        assert len(frames.missing) == lost


def test_a_receiver_that_waits_is_told_when_to(tmp_path, monkeypatch):
    SlowFile.gate = threading.Event()
    monkeypatch.setattr("crystint.io.series.part_file.DeferredFile", SlowFile)
    start = start_of(10)
    image = image_of(start.series, 0)
    writer = Writer(memory=2 * image.size, when_full="wait")
    run = run_of(start, tmp_path)
    writer.begin(run)
    assert not writer.full
    for number in range(2):
        writer.image(run, image_of(start.series, number, counts(0)))
    assert writer.full
    SlowFile.gate.set()
    until = time.monotonic() + WAIT
    while writer.full and time.monotonic() < until:
        time.sleep(0.02)
    assert not writer.full
    writer.close()


class FullFile(DeferredFile):
    """A disk that takes no more than so many bytes."""

    room = 0

    def drain(self):
        for each in self._waiting:
            if not isinstance(each, int) and isinstance(each[1], np.ndarray):
                type(self).room -= len(each[1])
                if self.room < 0:
                    self._waiting = []
                    raise OSError(28, "No space left on device")
        super().drain()


def test_when_the_disk_is_full_results_go_on_and_so_does_the_next_series(tmp_path, monkeypatch):
    monkeypatch.setattr("crystint.io.series.part_file.DeferredFile", FullFile)
    start = start_of(30)
    FullFile.room = 14 * image_of(start.series, 0).size
    told = Told()
    writer = Writer(images_per_file=10, tell=told)
    run = run_of(start, tmp_path)
    writer.begin(run)
    measured(writer, run, range(30))
    ended(writer, run)
    told.wait(lambda name, data: name == "file" and data["path"].endswith("run_master.h5"))
    assert any("the disk is full" in text for text in told.texts("alarm"))
    assert any(data.get("state") == "error" for name, data in told.events if name == "alarm")
    FullFile.room = 10**9
    again = run_of(start_of(5, "b"), tmp_path, "again")
    writer.begin(again)
    measured(writer, again, range(5))
    ended(writer, again)
    writer.close()
    with h5py.File(tmp_path / "run_results.h5") as file:
        assert (file["entry/results/status"][()] == 0).all()
        written = int(file["entry/books/raw_written"][()])
        ((first, last),) = file["entry/books/raw_missing_images"][()].tolist()
    assert (first, last) == (written, 29)
    assert 12 <= written <= 14
    with crystint.open_frames(tmp_path / "run_master.h5") as frames:
        assert sorted(frames.missing) == list(range(written, 30))
        assert np.array_equal(frames[written - 1], counts(written - 1))
    with crystint.open_frames(tmp_path / "again_master.h5") as frames:
        assert (len(frames), frames.missing) == (5, {})


def test_results_that_the_disk_does_not_take_are_held(tmp_path, monkeypatch):
    full, append = threading.Event(), Journal.append

    def refusing(self, record):
        if full.is_set():
            raise crystint.FileError("the disk is full")
        append(self, record)

    monkeypatch.setattr(Journal, "append", refusing)
    told = Told()
    writer = Writer(raw=False, tell=told)
    run = run_of(start_of(6), tmp_path)
    writer.begin(run)
    measured(writer, run, range(2))
    until = time.monotonic() + WAIT
    while writer.status()["results_waiting"] and time.monotonic() < until:
        time.sleep(0.02)
    full.set()
    measured(writer, run, range(2, 5))
    told.wait(lambda name, data: name == "alarm" and "wait for the disk" in data["text"])
    full.clear()
    measured(writer, run, [5])
    ended(writer, run)
    writer.close()
    with h5py.File(tmp_path / "run_results.h5") as file:
        assert (file["entry/results/status"][()] == 0).all()


def test_files_that_another_process_writes_end_only_themselves(tmp_path):
    first, told = Writer(), Told()
    run = run_of(start_of(3), tmp_path)
    first.begin(run)
    measured(first, run, [0])
    until = time.monotonic() + WAIT
    while first.status()["results_waiting"] and time.monotonic() < until:
        time.sleep(0.02)
    second = Writer(tell=told)
    other = run_of(start_of(3), tmp_path)
    second.begin(other)
    measured(second, other, range(3))
    ended(second, other)
    second.close()
    assert any("being written by another run" in text for text in told.texts("alarm"))
    first.close()


def test_whatever_ends_the_files_of_a_series_lets_its_journal_go(tmp_path, monkeypatch):
    def failing(*_arguments, **_options):
        raise OverflowError("too large")

    told = Told()
    writer = Writer(tell=told)
    run = run_of(start_of(3), tmp_path)
    writer.begin(run)
    measured(writer, run, range(3))
    monkeypatch.setattr("crystint.online.series_output.write_series_results", failing)
    ended(writer, run)
    told.wait(lambda name, data: name == "alarm" and "its journal is kept" in data["text"])
    assert "OverflowError: too large" in told.texts("alarm")[0]
    check_free(tmp_path / "run_results.h5")
    monkeypatch.undo()
    again = run_of(start_of(3), tmp_path)
    writer.begin(again)
    ended(writer, again)
    writer.close()
    with h5py.File(tmp_path / "run_results.h5") as file:
        assert (file["entry/results/status"][()] == 0).all()


def test_a_number_that_cannot_be_makes_no_rows(tmp_path):
    writer = Writer(raw=False)
    run = run_of(start_of(None), tmp_path)
    writer.begin(run)
    for number in (3, 2_000_000_000, 5, 1_500_000):
        run.add(number)
        writer.results(run, [result_of(run.key, number)])
        run.count(analysed=1)
    ended(writer, run)
    writer.close()
    with h5py.File(tmp_path / "run_results.h5") as file:
        assert np.flatnonzero(file["entry/results/status"][()] == 0).tolist() == [3, 5]
        assert len(file["entry/results/frame"]) == 6
        assert file["entry/books/results_left_out"][()] == 2


def test_an_error_of_hdf5_ends_the_raw_frames_of_the_series_and_is_told_once(tmp_path, monkeypatch):
    def failing(self, channel, number, chunk, plain=False, stored=False):
        raise RuntimeError("HDF5 cannot")

    monkeypatch.setattr("crystint.io.series.part_file.PartFile.place", failing)
    told = Told()
    writer = Writer(tell=told)
    run = run_of(start_of(5), tmp_path)
    writer.begin(run)
    measured(writer, run, range(5))
    ended(writer, run)
    writer.close()
    assert len([text for text in told.texts("alarm") if "HDF5 cannot" in text]) == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["run_master.h5", "run_results.h5"]


def test_results_that_there_is_no_room_for_are_let_go_counted_and_told_once(tmp_path, monkeypatch):
    gate, add = threading.Event(), SeriesOutput.add

    def waiting(self, results):
        gate.wait(WAIT)
        add(self, results)

    monkeypatch.setattr(SeriesOutput, "add", waiting)
    monkeypatch.setattr("crystint.online.writer._RESULTS", 4000)
    told = Told()
    writer = Writer(raw=False, tell=told)
    run = run_of(start_of(40), tmp_path)
    writer.begin(run)
    held = []
    for number in range(40):
        run.add(number)
        result = result_of(run.key, number)
        held.append(weakref.ref(result.peaks))
        writer.results(run, [result])
        run.count(analysed=1)
        del result
    gc.collect()
    assert sum(each() is not None for each in held) < 10
    gate.set()
    ended(writer, run)
    writer.close()
    assert told.texts("alarm") == ["results of series 1-a are left out: the disk is too slow"]
    with h5py.File(tmp_path / "run_results.h5") as file:
        lost = int((file["entry/results/status"][()] == FrameStatus.MISSING).sum())
        assert file["entry/books/results_left_out"][()] == lost > 30
