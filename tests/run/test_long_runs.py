"""Runs over many frames: any number of threads, frames that cannot be read, signals, kill -9 and --resume."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import fabio
import h5py
import numpy as np
import pytest

import crystint
from crystint.commands import signals as interruption
from crystint.commands.signals import Interruption
from crystint.errors import CrystintWarning, FileError
from crystint.io.frames.sequence import open_frames
from crystint.io.hdf5.provenance import read_provenance
from crystint.io.sparse.dense_file import DenseWriter
from crystint.model.mask import marker
from crystint.run.execution import Execution
from crystint.run.journal import Journal, journal_of, records_in
from crystint.run.outcome import Outcome
from crystint.separation.files import densify_file, find_peaks, sparsify
from crystint.separation.settings import Settings
from crystint.simulate import Simulation, simulate
from tests.processes import LONG, after, heeding_sigint, started

FEW = Settings(rings=60)
MANY = 400

pytestmark = pytest.mark.filterwarnings("ignore::crystint.errors.CrystintWarning")
"""Frames are missing in most of these runs, and it is said."""


@pytest.fixture(scope="module")
def data() -> Simulation:
    return simulate((150, 161), 7, dtype=np.uint16, background=6.0, peaks=15, intensity=3000.0, dead=20, seed=3)


def write(data: Simulation, path: Path, frames: Iterable[Any]) -> Path:
    """An NXmx file of the frames."""
    writer = DenseWriter(
        path, data.shape, data.dtype, geometry=data.geometry, mask=data.mask, saturation=None, provenance={}
    )
    with writer:
        for frame in frames:
            writer.write(frame)
    return path


def damage(path: Path, *numbers: int) -> None:
    """Overwrite the chunks of some frames."""
    with h5py.File(path) as file:
        frames = file["entry/data/data"].id
        places = [frames.get_chunk_info(number) for number in numbers]
    with path.open("r+b") as raw:
        for place in places:
            raw.seek(place.byte_offset + place.size // 3)
            raw.write(b"\xa5" * (place.size // 3))


@pytest.fixture(scope="module")
def good(data: Simulation, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file that no test changes. A pixel is unusable in the first frame, another one in the fourth."""
    frames = data.frames.copy()
    frames[0, 40, 41] = frames[3, 50, 51] = 65535
    return write(data, tmp_path_factory.mktemp("good") / "run.h5", frames)


@pytest.fixture(scope="module")
def many(data: Simulation, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file that takes seconds, with two frames that cannot be read."""
    path = write(data, tmp_path_factory.mktemp("many") / "run.h5", (data[i % 7] for i in range(MANY)))
    damage(path, 0, 20)
    return path


def contents(path: Path) -> dict[str, Any]:
    """Every data set and attribute of an HDF5 file, as bytes."""
    items: dict[str, Any] = {}

    def plain(values: Any) -> Any:
        values = np.asarray(values)
        return values.tolist() if values.dtype.kind == "O" else (values.dtype, values.shape, values.tobytes())

    def look(name: str, thing: Any) -> None:
        for key, value in thing.attrs.items():
            items[f"{name}@{key}"] = plain(value)
        if isinstance(thing, h5py.Dataset):
            if thing.is_virtual:
                items[name] = [(source.file_name, source.dset_name) for source in thing.virtual_sources()]
            else:
                items[name] = plain(thing[()]), thing.chunks

    with h5py.File(path) as file:
        look("/", file)
        file.visititems(look)
    return items


def equal(one: Path, other: Path) -> None:
    """Two HDF5 files that hold the same, byte for byte."""
    left, right = contents(one), contents(other)
    assert len(left) > 30
    assert left.keys() == right.keys()
    assert [name for name in left if left[name] != right[name]] == []


@pytest.mark.parametrize("threads", [1, 2, 7])
def test_the_number_of_threads_changes_nothing(data, good, tmp_path, threads, monkeypatch):
    settings, how = Settings(rings=60, dataset="entry/data/data"), Execution(threads=threads)
    command = ["crystint", "sparsify"]
    for folder in ("one", "many"):
        (tmp_path / folder).mkdir()
    sparsify([good], tmp_path / "many" / "s.h5", settings, peaks=True, command=command, execution=how)
    separator = crystint.Separator(open_frames(good).geometry, data.mask, 60)
    with crystint.open_sparse(tmp_path / "many" / "s.h5") as file, open_frames(good) as frames:
        for number, sparse in enumerate(file):
            expected = separator.sparsify(frames[number], number=number)
            assert np.array_equal(sparse.index, expected.index)
            assert np.array_equal(sparse.value, expected.value)
            assert sparse.frame == number
    sparsify([good], tmp_path / "one" / "s.h5", settings, peaks=True, command=command, execution=Execution(threads=1))
    equal(tmp_path / "one" / "s.h5", tmp_path / "many" / "s.h5")
    densify_file(tmp_path / "one" / "s.h5", tmp_path / "one" / "d.h5", command=command, execution=Execution(threads=1))
    densify_file(tmp_path / "one" / "s.h5", tmp_path / "many" / "d.h5", command=command, execution=how)
    equal(tmp_path / "one" / "d.h5", tmp_path / "many" / "d.h5")
    find_peaks([good], [tmp_path / "one" / "p.h5"], settings, command=command, execution=Execution(threads=1))
    find_peaks([good], [tmp_path / "many" / "p.h5"], settings, command=command, execution=how)
    equal(tmp_path / "one" / "p.h5", tmp_path / "many" / "p.h5")
    assert sorted(os.listdir(tmp_path / "many")) == ["d.h5", "p.h5", "s.h5"]


@pytest.fixture
def damaged(data: Simulation, tmp_path: Path) -> Path:
    path = write(data, tmp_path / "run.h5", data)
    damage(path, 0, 3)
    return path


@pytest.mark.parametrize("compact", [False, True])
def test_a_frame_that_cannot_be_read_is_recorded_as_missing(data, damaged, good, tmp_path, compact):
    with pytest.warns(CrystintWarning) as warned:
        outcome = sparsify([damaged], tmp_path / "s.h5", FEW, compact=compact, peaks=True)
    assert list(outcome.missing) == [0, 3]
    assert (outcome.frames, outcome.of, len(outcome.result.peaks)) == (7, 7, 7)
    assert outcome.result.peaks[[0, 3]].tolist() == [0, 0]
    texts = [str(each.message) for each in warned]
    assert len(texts) == 2
    assert "frame 3" in texts[1]
    assert str(damaged) in texts[1]
    separator = crystint.Separator(open_frames(damaged).geometry, data.mask, 60)
    with crystint.open_sparse(tmp_path / "s.h5") as file:
        assert file.missing == (0, 3)
        assert len(file) == 7
        for number, sparse in enumerate(file):
            assert sparse.missing is (number in (0, 3))
            assert sparse.frame == number
            if sparse.missing:
                assert len(sparse.index) == len(sparse.value) == 0
                assert np.isnan(sparse.background.mean).all()
                continue
            expected = separator.sparsify(data[number], number=number)
            assert np.array_equal(sparse.index, expected.index)
            assert np.array_equal(sparse.value, expected.value)
        assert sorted(set(file.peaks["frame"])) == [1, 2, 4, 5, 6]
    crystint.io.sparse.open.convert_sparse(tmp_path / "s.h5", tmp_path / "c.h5", compact=not compact)
    with crystint.open_sparse(tmp_path / "c.h5") as file:
        assert file.missing == (0, 3)


def test_the_mask_of_the_file_is_that_of_the_first_frame_that_is_there(data, tmp_path):
    frames = data.frames.copy()
    frames[1, 40, 41] = 65535
    path = write(data, tmp_path / "run.h5", frames)
    damage(path, 0)
    sparsify([path], tmp_path / "s.h5", FEW)
    with crystint.open_sparse(tmp_path / "s.h5") as file:
        assert file[1].unusable_index.tolist() == [40 * 161 + 41]
        assert file[2].unusable_index is None
    with h5py.File(tmp_path / "s.h5") as file:
        assert np.isnan(file["entry_0000/sparse_frames/mask"][40, 41])
    with fabio.open(str(tmp_path / "s.h5")) as image:
        assert image.getframe(1).data[40, 41] == 65535
        assert image.getframe(2).data[40, 41] == frames[2, 40, 41]


def test_fabio_opens_a_file_with_missing_frames(data, damaged, tmp_path):
    sparsify([damaged], tmp_path / "s.h5", FEW)
    with crystint.open_sparse(tmp_path / "s.h5") as file, fabio.open(str(tmp_path / "s.h5")) as image:
        assert image.nframes == 7
        for number in (1, 6):
            picked = file[number].index
            assert np.array_equal(image.getframe(number).data.ravel()[picked], data[number].ravel()[picked])


def test_densify_makes_a_frame_of_masked_pixels_from_a_missing_one(data, damaged, tmp_path):
    sparsify([damaged], tmp_path / "s.h5", FEW)
    with pytest.warns(CrystintWarning) as warned:
        outcome = densify_file(tmp_path / "s.h5", tmp_path / "d.h5")
    assert list(outcome.missing) == [0, 3]
    texts = [str(each.message) for each in warned]
    assert ["frame 0" in texts[0], "frame 3" in texts[1], len(texts)] == [True, True, 2]
    with open_frames(tmp_path / "d.h5") as dense, crystint.open_sparse(tmp_path / "s.h5") as sparse:
        assert len(dense) == 7
        for number in (0, 3):
            assert (dense[number] == marker(np.dtype(np.uint16))).all()
            assert (crystint.densify(sparse[number]) == marker(np.dtype(np.uint16))).all()
        assert (dense[1][data.mask == 0] != 65535).all()
    with h5py.File(tmp_path / "d.h5") as file:
        assert file["entry/densify/missing"][()].tolist() == [0, 3]


def test_peak_lists_keep_the_rows_of_missing_frames_and_name_them(data, damaged, tmp_path):
    outputs = [tmp_path / name for name in ("p.cxi", "p.h5", "p.jsonl", "p.refl")]
    outcome = find_peaks([damaged], outputs, FEW)
    assert list(outcome.missing) == [0, 3]
    with h5py.File(outputs[0]) as file:
        result = file["entry_1/result_1"]
        assert result["nPeaks"].shape == (7,)
        assert result["nPeaks"][()].tolist() == outcome.result.peaks.tolist()
        assert result["missing"][()].tolist() == [0, 3]
    with h5py.File(outputs[1]) as file:
        assert file["entry/peaks/missing"][()].tolist() == [0, 3]
        assert len(file["entry/peaks/frame_ptr"]) == 8
    lines = [json.loads(line) for line in outputs[2].read_text().splitlines()]
    assert [line.get("missing", False) for line in lines] == [True, False, False, True, False, False, False]
    assert json.loads((tmp_path / "p.refl.json").read_text())["missing"] == [0, 3]
    for output in outputs:
        assert sorted(set(crystint.read_peaks(output)["frame"])) == [1, 2, 4, 5, 6]


@pytest.mark.parametrize("function", [find_peaks, sparsify])
def test_strict_stops_at_the_first_missing_frame_and_leaves_nothing(damaged, tmp_path, function):
    target: Any = tmp_path / "out.h5"
    with pytest.raises(FileError, match=r"^frame 0: [^ ]*run\.h5, /entry/data/data\[0\], cannot be read: "):
        function([damaged], [target] if function is find_peaks else target, FEW, execution=Execution(strict=True))
    assert os.listdir(tmp_path) == ["run.h5"]


@pytest.mark.parametrize("function", [find_peaks, sparsify])
def test_a_run_without_one_readable_frame_is_an_error(data, tmp_path, function):
    path = write(data, tmp_path / "run.h5", data)
    damage(path, *range(7))
    with pytest.raises(FileError, match=r"none of the 7 frames can be used; frame 0"):
        function([path], [tmp_path / "o.h5"] if function is find_peaks else tmp_path / "o.h5", FEW)
    assert os.listdir(tmp_path) == ["run.h5"]


class Stopping:
    """Stops a run when so many frames are done: as a signal does, or as a kill does."""

    def __init__(self, after: int, error: type[BaseException] | None = None) -> None:
        self.after, self.error, self.done = after, error, 0

    def __call__(self, items: Iterable[Any], _total: int, _what: str) -> Iterable[Any]:
        for item in items:
            yield item
            self.done += 1
            if self.error is not None and self.done == self.after:
                raise self.error

    def until(self) -> Any:
        from contextlib import nullcontext

        return nullcontext(lambda: self.done >= self.after)


def run(what: str, source: Path, target: Path, *, stopping: Stopping | None = None, **how: Any) -> Outcome:
    """sparsify, compact sparsify or peaks, in a run that may be stopped."""
    more: dict[str, Any] = {"command": ["crystint", what]}
    if stopping is not None:
        more["progress"] = stopping
        if stopping.error is None:
            how["until"] = stopping.until
    overwrite = how.pop("overwrite", False)
    execution = Execution(threads=2, **how)
    if what == "peaks":
        return find_peaks([source], [target], FEW, overwrite=overwrite, execution=execution, **more)
    compact = what == "compact"
    return sparsify(
        [source], target, FEW, compact=compact, peaks=compact, overwrite=overwrite, execution=execution, **more
    )


@pytest.mark.parametrize("what", ["sparsify", "compact", "peaks"])
@pytest.mark.parametrize("after", [2, 3, 6])
def test_a_run_that_stops_leaves_a_valid_file_and_is_resumed(good, damaged, tmp_path, what, after):
    for number, source in enumerate((good, damaged)):
        one, other = tmp_path / f"one{number}", tmp_path / f"other{number}"
        one.mkdir()
        other.mkdir()
        run(what, source, one / "o.h5")
        # threads and window are 2 and 4: of 7 frames, some are never begun
        summary = run(what, source, other / "o.h5", stopping=Stopping(after))
        assert summary.stopped is (after < 6)
        if summary.stopped:
            assert after <= summary.frames < 7
            assert records_in(other / "o.h5") == summary.frames
            assert sorted(os.listdir(other)) == ["o.h5", "o.h5.partial"]
            incomplete = {"frames": summary.frames, "of": 7}
            if what == "peaks":
                with h5py.File(other / "o.h5") as file:
                    assert json.loads(file["entry/process/configuration/data"][()])["incomplete"] == incomplete
                    assert len(file["entry/peaks/frame_ptr"]) == summary.frames + 1
            else:
                with crystint.open_sparse(other / "o.h5") as file, crystint.open_sparse(one / "o.h5") as whole:
                    assert len(file) == summary.frames == len(file.sources)
                    assert file.provenance["incomplete"] == incomplete
                    for i, frame in enumerate(file):
                        assert np.array_equal(frame.index, whole[i].index)
            with pytest.raises(FileError, match=rf"holds {summary.frames} frames? .*--resume .*--overwrite"):
                run(what, source, other / "o.h5")
            summary = run(what, source, other / "o.h5", resume=True)
        assert (summary.frames, summary.of) == (7, 7)
        equal(one / "o.h5", other / "o.h5")
        assert os.listdir(other) == ["o.h5"]


@pytest.mark.parametrize("what", ["sparsify", "peaks"])
def test_a_run_that_breaks_off_leaves_its_journal_and_is_resumed(good, tmp_path, what):
    one, other = tmp_path / "one", tmp_path / "other"
    one.mkdir()
    other.mkdir()
    run(what, good, one / "o.h5")
    for frames in (2, 4):
        with pytest.raises(KeyboardInterrupt):
            run(what, good, other / "o.h5", stopping=Stopping(frames, KeyboardInterrupt), resume=True)
        assert os.listdir(other) == ["o.h5.partial"]
        assert records_in(other / "o.h5") >= frames
    done = records_in(other / "o.h5")
    path = journal_of(other / "o.h5")
    path.write_bytes(path.read_bytes()[:-3])  # torn
    assert records_in(other / "o.h5") == done - 1
    run(what, good, other / "o.h5", resume=True)
    equal(one / "o.h5", other / "o.h5")
    assert os.listdir(other) == ["o.h5"]


def test_resume_without_a_journal_begins_and_of_a_finished_run_does_nothing(good, tmp_path):
    summary = run("sparsify", good, tmp_path / "o.h5", resume=True)
    assert summary.frames == 7
    before = (tmp_path / "o.h5").read_bytes()
    summary = run("sparsify", good, tmp_path / "o.h5", resume=True)
    assert (summary.frames, summary.of) == (0, 0)
    assert (tmp_path / "o.h5").read_bytes() == before
    run("sparsify", good, tmp_path / "o.h5", resume=True, overwrite=True)


@pytest.mark.parametrize("name", ["o.cxi", "o.h5", "o.jsonl", "o.refl", "SPOT.XDS"])
def test_resume_takes_nothing_else_for_finished(good, tmp_path, name):
    target, again = tmp_path / name, Execution(resume=True)
    find_peaks([good], [target], FEW)
    before = target.read_bytes()
    assert find_peaks([good], [target], FEW, execution=again).of == 0
    with pytest.raises(FileError, match=r"no output of this run: rings was 60, is 61; --overwrite"):
        find_peaks([good], [target], Settings(rings=61), execution=again)
    assert target.read_bytes() == before
    target.write_text("mine")
    if name not in ("o.refl", "SPOT.XDS"):
        with pytest.raises(FileError, match=r"no output of this run"):
            find_peaks([good], [target], FEW, execution=again)


def test_resume_of_an_incomplete_output_whose_journal_is_gone(good, tmp_path):
    run("sparsify", good, tmp_path / "o.h5", stopping=Stopping(2))
    journal_of(tmp_path / "o.h5").unlink()
    with pytest.raises(FileError, match=r"holds \d of 7 frames, and its journal .* is gone"):
        run("sparsify", good, tmp_path / "o.h5", resume=True)


def test_a_run_that_is_killed_behind_its_last_frame(good, tmp_path):
    one, other = tmp_path / "one", tmp_path / "other"
    one.mkdir()
    other.mkdir()
    run("sparsify", good, one / "o.h5")
    with pytest.raises(KeyboardInterrupt):
        run("sparsify", good, other / "o.h5", stopping=Stopping(7, KeyboardInterrupt))
    (other / "o.h5").write_bytes((one / "o.h5").read_bytes())  # renamed already, the journal not yet removed
    assert records_in(other / "o.h5") == 7
    run("sparsify", good, other / "o.h5", resume=True)
    equal(one / "o.h5", other / "o.h5")
    assert os.listdir(other) == ["o.h5"]


def test_overwrite_begins_anew(good, tmp_path):
    run("sparsify", good, tmp_path / "o.h5", stopping=Stopping(1))
    assert run("sparsify", good, tmp_path / "o.h5", overwrite=True).frames == 7
    assert os.listdir(tmp_path) == ["o.h5"]


def test_a_resumed_run_must_be_the_same(data, tmp_path):
    path = write(data, tmp_path / "run.h5", data)
    run("sparsify", path, tmp_path / "o.h5", stopping=Stopping(1))
    with pytest.raises(FileError, match=r"rings was 60, is 61"):
        sparsify([path], tmp_path / "o.h5", Settings(rings=61), execution=Execution(resume=True))
    with pytest.raises(FileError, match=r"compact was False, is True"):
        sparsify([path], tmp_path / "o.h5", FEW, compact=True, execution=Execution(resume=True))
    path.unlink()
    write(data, path, [*data, data[0]])
    with pytest.raises(FileError, match=r"frames was 7, is 8.*run\.h5 was .* bytes of 20"):
        run("sparsify", path, tmp_path / "o.h5", resume=True)
    assert records_in(tmp_path / "o.h5") >= 1


def test_a_resumed_run_must_find_the_files_behind_a_master_as_they_were(data, tmp_path):
    for number in (1, 2):
        write(data, tmp_path / f"data_{number}.h5", data)
    master = write(data, tmp_path / "master.h5", [])
    with h5py.File(master, "r+") as file:
        del file["entry/data/data"]
        file["entry/data/data_000001"] = h5py.ExternalLink("data_1.h5", "entry/data/data")
        layout = h5py.VirtualLayout((7, *data.shape), np.uint16)
        layout[:] = h5py.VirtualSource("data_2.h5", "entry/data/data", (7, *data.shape))
        file.create_virtual_dataset("entry/data/data_000002", layout)
    with open_frames(master) as frames:
        files = {os.path.realpath(name) for name in frames.all_files()}
    assert files == {os.path.realpath(tmp_path / name) for name in ("master.h5", "data_1.h5", "data_2.h5")}
    run("sparsify", master, tmp_path / "o.h5", stopping=Stopping(2))
    os.utime(tmp_path / "data_2.h5", (1e9, 1e9))
    with pytest.raises(FileError, match=r"data_2\.h5 was .*, is .* of 2001"):
        run("sparsify", master, tmp_path / "o.h5", resume=True)


def test_a_run_that_stops_before_its_first_frame_leaves_nothing(good, tmp_path):
    for what in ("sparsify", "peaks"):
        with pytest.raises(KeyboardInterrupt):
            run(what, good, tmp_path / "o.h5", stopping=Stopping(0))
        assert os.listdir(tmp_path) == []
    sparsify([good], tmp_path / "s.h5", FEW)
    stop = Stopping(0)
    with pytest.raises(KeyboardInterrupt):
        densify_file(tmp_path / "s.h5", tmp_path / "d.h5", execution=Execution(until=stop.until))
    assert os.listdir(tmp_path) == ["s.h5"]


def test_densify_that_finished_has_nothing_left_to_do(good, tmp_path):
    sparsify([good], tmp_path / "s.h5", FEW)
    densify_file(tmp_path / "s.h5", tmp_path / "d.h5")
    record = read_provenance(tmp_path / "d.h5")
    assert record["inputs"] == [str(tmp_path / "s.h5")]
    assert {"noise", "seed", "compression", "sparse"} <= set(record["settings"])
    again = Execution(resume=True)
    assert "nothing left to do" in densify_file(tmp_path / "s.h5", tmp_path / "d.h5", execution=again).text
    with pytest.raises(FileError, match="seed was 0, is 3"):
        densify_file(tmp_path / "s.h5", tmp_path / "d.h5", seed=3, execution=again)


def test_densify_that_stops_leaves_a_valid_file(data, good, tmp_path):
    sparsify([good], tmp_path / "s.h5", FEW)
    stop = Stopping(2)
    summary = densify_file(
        tmp_path / "s.h5", tmp_path / "d.h5", progress=stop, execution=Execution(threads=1, until=stop.until)
    )
    assert summary.stopped
    assert 2 <= summary.frames < 7
    densify_file(tmp_path / "s.h5", tmp_path / "whole.h5")
    with open_frames(tmp_path / "d.h5") as some, open_frames(tmp_path / "whole.h5") as whole:
        assert len(some) == summary.frames
        for number, frame in enumerate(some):
            assert np.array_equal(frame, whole[number])
    with h5py.File(tmp_path / "d.h5") as file:
        made = json.loads(file["entry/densify/configuration/data"][()])
    assert made["incomplete"] == {"frames": summary.frames, "of": 7}


def test_two_runs_with_one_output(good, tmp_path):
    journal = Journal.open(tmp_path / "o.h5", {"command": [], "same": {}}, resume=False)
    with pytest.raises(FileError, match="being written by another run"):
        run("sparsify", good, tmp_path / "o.h5")
    journal.append(b"x")
    with pytest.raises(FileError, match="being written by another run"):
        run("sparsify", good, tmp_path / "o.h5")
    journal.close(keep=False)


def test_an_error_after_long_work_keeps_the_journal(good, tmp_path, monkeypatch):
    with pytest.raises(ZeroDivisionError):
        run("sparsify", good, tmp_path / "o.h5", stopping=Stopping(3, ZeroDivisionError))
    assert os.listdir(tmp_path) == []
    monkeypatch.setattr("crystint.run.in_progress._WORTH_S", 0.0)
    with pytest.warns(CrystintWarning, match="--resume"), pytest.raises(ZeroDivisionError):
        run("sparsify", good, tmp_path / "o.h5", stopping=Stopping(3, ZeroDivisionError))
    assert os.listdir(tmp_path) == ["o.h5.partial"]


# The program, in a process of its own.


def command(what: str, source: Path, *more: str) -> list[str]:
    """What is typed in the folder of the output."""
    name = "o.h5" if what == "sparsify" else "o.cxi"
    return [sys.executable, "-m", "crystint", what, str(source), "-o", name, "--rings", "60", *more]


@pytest.fixture(scope="module")
def whole(many: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the outputs of runs that nobody interrupted."""
    folder = tmp_path_factory.mktemp("whole")
    for what in ("sparsify", "peaks"):
        process = started(command(what, many, "--resume"), folder)
        _, stderr = process.communicate(timeout=LONG)
        assert process.returncode == 3, stderr
        assert stderr.splitlines()[-1] == (
            f"crystint: error: 2 of {MANY} frames could not be read and are recorded as missing: 0, 20"
        )
    return folder


@pytest.mark.parametrize("what", ["sparsify", "peaks"])
def test_kill_9_and_resume_give_what_an_uninterrupted_run_gives(many, whole, tmp_path, what):
    output = tmp_path / ("o.h5" if what == "sparsify" else "o.cxi")
    for frames in (30, 90):
        process = started(command(what, many, "--resume"), tmp_path)
        after(process, output, frames)
        process.kill()
        process.communicate()
        assert not output.exists()
        assert frames <= records_in(output) < MANY
    process = started(command(what, many), tmp_path)
    _, stderr = process.communicate(timeout=LONG)
    assert process.returncode == 1
    assert "--resume" in stderr.splitlines()[-1]
    process = started(command(what, many, "--resume"), tmp_path)
    _, stderr = process.communicate(timeout=LONG)
    assert process.returncode == 3, stderr
    equal(whole / output.name, output)
    assert os.listdir(tmp_path) == [output.name]


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_leaves_a_valid_file_and_resume_goes_on(many, whole, tmp_path, number, code):
    process = started(command("sparsify", many, "--resume"), tmp_path)
    after(process, tmp_path / "o.h5", 25)
    process.send_signal(number)
    _, stderr = process.communicate(timeout=LONG)
    assert process.returncode == code, stderr
    assert "Traceback" not in stderr
    done = records_in(tmp_path / "o.h5")
    assert 25 <= done < MANY
    assert f"crystint: error: interrupted after {done} of {MANY} frames" in stderr.splitlines()[-1]
    assert "--resume" in stderr.splitlines()[-1]
    with crystint.open_sparse(tmp_path / "o.h5") as file, crystint.open_sparse(whole / "o.h5") as all_of_it:
        assert len(file) == done
        assert file.missing == (0, 20)
        assert file.provenance["incomplete"] == {"frames": done, "of": MANY}
        for i, frame in enumerate(file):
            assert np.array_equal(frame.index, all_of_it[i].index)
    assert sorted(os.listdir(tmp_path)) == ["o.h5", "o.h5.partial"]
    process = started(command("sparsify", many, "--resume"), tmp_path)
    _, stderr = process.communicate(timeout=LONG)
    assert process.returncode == 3, stderr
    equal(whole / "o.h5", tmp_path / "o.h5")


def test_a_second_ctrl_c_ends_at_once_and_keeps_the_journal(many, tmp_path):
    """The first frame in flight takes for ever: only a second Ctrl-C helps."""
    driver = f"""
import sys, threading
from crystint.cli import main
from crystint.separation.frame_step import SeparationWorker
real = SeparationWorker.records
def stuck(self, numbers, first):
    if 60 in numbers:
        threading.Event().wait({LONG})
    return real(self, numbers, first)
SeparationWorker.records = stuck
main()
"""
    process = started([sys.executable, "-c", driver, *command("sparsify", many)[3:]], tmp_path)
    after(process, tmp_path / "o.h5", 60)
    assert process.stderr is not None
    process.send_signal(signal.SIGINT)
    assert any("stopping" in line for line in process.stderr)
    time.sleep(1.0)  # what comes soon after the first is the same key, passed on by another program
    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate(timeout=LONG)
    assert process.returncode == 130, stderr
    assert "Traceback" not in stderr
    assert "--resume" in stderr
    assert os.listdir(tmp_path) == ["o.h5.partial"]
    assert records_in(tmp_path / "o.h5") == 60


def test_the_same_key_passed_on_by_another_program_is_no_second_ctrl_c(monkeypatch, capfd):
    clock = [0.0]
    monkeypatch.setattr(interruption.time, "monotonic", lambda: clock[0])
    interrupted = Interruption()
    with heeding_sigint(), interrupted.watched() as came:
        assert not came()
        signal.raise_signal(signal.SIGINT)
        assert came()
        clock[0] = 0.4
        signal.raise_signal(signal.SIGINT)
        clock[0] = 0.6
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    assert interrupted.number == signal.SIGINT
    assert capfd.readouterr().err.count("stopping") == 1


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGHUP])
def test_a_signal_that_is_ignored_stays_ignored(number):
    """As nohup and the background of a shell want it."""
    before = signal.signal(number, signal.SIG_IGN)
    try:
        with Interruption().watched() as came:
            signal.raise_signal(number)
            assert not came()
        assert signal.getsignal(number) is signal.SIG_IGN
    finally:
        signal.signal(number, before)


def test_a_signal_before_the_first_frame_leaves_nothing(many, tmp_path):
    driver = """
import os, signal, sys
from crystint.separation import prepared as inputs
from crystint.cli import main
signal.signal(signal.SIGINT, signal.default_int_handler)  # shells start what is in the background without it
def interrupted(*_):
    os.kill(os.getpid(), signal.SIGINT)
    signal.pause()
inputs.geometry_of = interrupted
main()
"""
    process = started([sys.executable, "-c", driver, *command("sparsify", many)[3:]], tmp_path)
    _, stderr = process.communicate(timeout=LONG)
    assert process.returncode == 130, stderr
    assert os.listdir(tmp_path) == []
