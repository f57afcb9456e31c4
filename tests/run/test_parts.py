"""Parts of a run: which frames they are of, what is refused, what a kill leaves, and what is made of them."""

from __future__ import annotations

import os
import shutil
import signal
import sys
import time
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import fabio
import h5py
import hdf5plugin  # noqa: F401  (registers Zstandard)
import numpy as np
import pytest

import crystint
from crystint.errors import CrystintWarning, FileError, SettingError
from crystint.io.part_file import PartFile
from crystint.references import resolve
from crystint.run.execution import Execution
from crystint.run.journal import records_in
from crystint.run.part import Part
from crystint.run.parts import Parts
from crystint.run.step import Step
from crystint.separation.files import find_peaks, sparsify
from crystint.series.merge_parts_step import STEPS
from crystint.series.steps import MERGE_PARTS
from crystint.simulate import simulate
from tests.commands.table import ROWS
from tests.processes import LONG, started

FEW = {"rings": 60}
FRAMES = 40


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """40 frames. The first cannot be read; pixels are unusable in the second and in the fourth; one is hot in all."""
    data = simulate((150, 161), FRAMES, dtype=np.uint16, background=6.0, peaks=15, intensity=3000.0, dead=20, seed=3)
    frames = data.frames.copy()
    frames[1, 40, 41] = frames[3, 50, 51] = frames[30, 60, 61] = 65535
    frames[:, 99:101, 100:102] = 900
    path = tmp_path_factory.mktemp("run") / "run.h5"
    writer = crystint.DenseWriter(
        path, data.shape, data.dtype, geometry=data.geometry, mask=data.mask, saturation=None, provenance={}
    )
    with writer:
        for frame in frames:
            writer.write(frame)
    with h5py.File(path) as file:
        place = file["entry/data/data"].id.get_chunk_info(0)
    with path.open("r+b") as raw:
        raw.seek(place.byte_offset + place.size // 3)
        raw.write(b"\xa5" * (place.size // 3))
    return path


pytestmark = pytest.mark.filterwarnings("ignore::crystint.errors.CrystintWarning")
"""A frame is missing, and it is said."""


def parts_of(run: Path, output: Path, count: int, settings: dict[str, object], step=sparsify) -> list[Path]:
    """The files of all parts."""
    for number in range(count):
        step([run], output if step is sparsify else [output], settings, execution=Execution(part=Part(number, count)))
    return [Part(number, count).path(output) for number in range(count)]


def values(path: Path) -> dict[str, tuple[object, ...]]:
    """Every data set but those that tell how the file was made."""
    held = {}

    def look(name: str, item: object) -> None:
        if isinstance(item, h5py.Dataset) and not any(
            word in name for word in ("/parts/", "checksums", "provenance", "configuration")
        ):
            stored = np.asarray(item[()])
            held[name] = (item.dtype, item.shape, stored.tolist() if item.dtype.hasobject else stored.tobytes())

    with h5py.File(path) as file:
        file.visititems(look)
    return held


# -------------------------------------------------------------------------------- which frames


@pytest.mark.parametrize(("total", "of"), [(10, 3), (1000, 7), (100, 100), (3, 5)])
def test_parts_are_all_frames_once_by_either_way_to_count(total: int, of: int) -> None:
    for first in (0, 1):  # --array=0-99, --array=1-100
        parts = [Part.of_text(f"{number}/{of}") for number in range(first, first + of)]
        numbers = [each for part in sorted(parts, key=lambda part: part.number) for each in part.numbers(total)]
        assert numbers == list(range(total))
        assert len({part.path(Path("o.cxi")) for part in parts}) == of


@pytest.mark.parametrize("text", ["101/100", "3", "a/b", "-1/4", "1/0", "52/50", "1.5/3"])
def test_what_is_no_part_is_refused(text: str) -> None:
    with pytest.raises(SettingError, match="part is"):
        Part.of_text(text)


def test_names_sort_as_the_parts_do_and_say_both_numbers() -> None:
    names = [Part(number, 12345).path(Path("x/o.tar.cxi")).name for number in (2, 10, 12344)]
    assert names == sorted(names)
    assert names[0] == "o.tar.part-00002-of-12345.h5"
    assert Part(3, 100).path(Path("out.h5")).name == "out.part-003-of-100.h5"


def test_every_step_over_frames_can_be_merged() -> None:
    assert sorted(STEPS) == sorted(row.path for row in ROWS if row.frames)
    assert all(isinstance(resolve(name), Step) and resolve(name).by_frame for name in STEPS.values())


# -------------------------------------------------------------------------------- the result


@pytest.mark.parametrize("virtual", [False, True])
@pytest.mark.parametrize(
    "more",
    [
        {"peaks": True},
        {"compact": True, "compression": "gzip"},
        {"grow": 1, "audit": True},
        {"frames": "39:3:-1", "hits_only": True},
    ],
    ids=lambda more: "-".join(more),
)
def test_a_sparse_file_of_parts_is_that_of_one_run(run: Path, tmp_path: Path, more: dict[str, object], virtual) -> None:
    sparsify([run], tmp_path / "one.h5", FEW | more)
    parts = parts_of(run, tmp_path / "o.h5", 3, FEW | more)
    MERGE_PARTS(parts[::-1], outputs=tmp_path / "o.h5", settings={"virtual": virtual})
    one, merged = values(tmp_path / "one.h5"), values(tmp_path / "o.h5")
    assert list(one) == list(merged)
    assert [name for name in one if one[name] != merged[name]] == []
    with crystint.open_sparse(tmp_path / "one.h5") as first, crystint.open_sparse(tmp_path / "o.h5") as second:
        assert first.missing == second.missing
        for a, b in zip(first, second, strict=True):
            np.testing.assert_array_equal(crystint.densify(a), crystint.densify(b))


def test_a_copy_needs_no_part_and_a_virtual_file_goes_with_its_parts(run: Path, tmp_path: Path) -> None:
    there, elsewhere = tmp_path / "there", tmp_path / "elsewhere"
    there.mkdir()
    parts = parts_of(run, there / "o.h5", 2, FEW)
    MERGE_PARTS(parts, outputs=there / "copy.h5")
    MERGE_PARTS(parts, outputs=there / "virtual.h5", settings={"virtual": True})
    there.rename(elsewhere)
    with fabio.open(str(elsewhere / "virtual.h5")) as image:  # as readers of HDF5 see it
        shown = image.get_frame(20).data
    for path in elsewhere.glob("o.part-*"):
        path.unlink()
    with fabio.open(str(elsewhere / "copy.h5")) as image:
        np.testing.assert_array_equal(image.get_frame(20).data, shown)
        assert image.nframes == FRAMES
        assert shown.any()


@pytest.mark.parametrize("join", [False, True])
def test_peaks_are_joined_and_judged_over_the_borders_of_parts(run: Path, tmp_path: Path, join: bool) -> None:
    settings = FEW | {"join": join, "persistent": False}
    names = ["o.h5", "o.cxi", "o.jsonl", "o.refl", "o.csv"]
    (tmp_path / "one").mkdir()
    words = ["crystint", "of a test"]
    find_peaks([run], [tmp_path / "one" / name for name in names], settings, command=words)
    parts = parts_of(run, tmp_path / "o.cxi", 7, settings, find_peaks)
    MERGE_PARTS(parts, outputs=[tmp_path / name for name in names], command=words)
    for name in names:
        if name == "o.cxi":  # it shows the frame that cannot be read
            one, merged = (crystint.read_peaks(folder / name) for folder in (tmp_path / "one", tmp_path))
            assert one.tobytes() == merged.tobytes()
        else:
            assert (tmp_path / name).read_bytes() == (tmp_path / "one" / name).read_bytes(), name


@pytest.mark.parametrize("step", [find_peaks, sparsify])
def test_there_may_be_more_parts_than_frames(run: Path, tmp_path: Path, step) -> None:
    few = FEW | {"frames": "1:3"}
    step([run], tmp_path / "one.h5" if step is sparsify else [tmp_path / "one.h5"], few)
    parts = parts_of(run, tmp_path / "o.h5", 3, few, step)
    MERGE_PARTS(parts, outputs=tmp_path / "o.h5")
    one, merged = values(tmp_path / "one.h5"), values(tmp_path / "o.h5")
    assert one == merged


# -------------------------------------------------------------------------------- what is refused


def test_a_part_that_is_missing_twice_there_or_of_another_run_is_named(run: Path, tmp_path: Path) -> None:
    parts = parts_of(run, tmp_path / "o.h5", 4, FEW, find_peaks)
    output = tmp_path / "m.h5"

    def refusal(*files: Path) -> str:
        with pytest.raises(FileError) as caught:
            MERGE_PARTS(files, outputs=output)
        assert not output.exists()
        return str(caught.value)

    assert "part 1 of 4 is missing (frames 10 to 19)" in refusal(parts[0], *parts[2:])
    assert "--part 1/4" in refusal(parts[0], *parts[2:])
    again = tmp_path / "again.h5"
    shutil.copyfile(parts[2], again)
    assert "part 2 of 4 (frames 20 to 29) is there twice" in refusal(*parts, again)
    other = parts_of(run, tmp_path / "p.h5", 4, {"rings": 50}, find_peaks)
    assert "rings was 60, is 50" in refusal(*parts[:3], other[3])
    more = parts_of(run, tmp_path / "q.h5", 2, FEW, find_peaks)
    assert "one of 4 parts" in refusal(*parts[:3], more[1]).replace("one of 2 parts", "one of 4 parts")
    assert "is no part of a run" in refusal(*parts, run)
    kept = run.stat()
    os.utime(run, ns=(kept.st_atime_ns, kept.st_mtime_ns + 1000))
    try:
        assert "belongs to another run" in refusal(*parts)
    finally:
        os.utime(run, ns=(kept.st_atime_ns, kept.st_mtime_ns))


def test_an_output_cannot_be_a_part(run: Path, tmp_path: Path) -> None:
    parts = parts_of(run, tmp_path / "o.h5", 2, FEW)
    with pytest.raises(FileError, match="also an input"):
        MERGE_PARTS(parts, outputs=parts[1], overwrite=True)


def test_a_damaged_part_is_an_error(run: Path, tmp_path: Path) -> None:
    parts = parts_of(run, tmp_path / "o.h5", 2, FEW, find_peaks)
    content = parts[1].read_bytes()
    parts[1].write_bytes(content[: len(content) // 2])
    with pytest.raises(FileError, match="part-001"):
        MERGE_PARTS(parts, outputs=tmp_path / "m.h5")


def test_devices_that_differ_are_told(run: Path, tmp_path: Path) -> None:
    parts = parts_of(run, tmp_path / "o.h5", 2, FEW, find_peaks)
    with h5py.File(parts[1], "r+") as file:
        header = file["part/header"].asstr()[()]
        device = Parts.of(parts).device
        del file["part/header"]
        file["part/header"] = header.replace(device, "another device")
    with pytest.warns(CrystintWarning, match="another device"):
        Parts.of(parts)


# -------------------------------------------------------------------------------- kill and resume


@pytest.mark.parametrize("step", [find_peaks, sparsify])
def test_a_part_that_was_killed_is_resumed_to_the_same_bytes(run: Path, tmp_path: Path, step) -> None:
    whole, output = tmp_path / "whole.h5", tmp_path / "o.h5"
    execution = Execution(part=Part(1, 2))
    step([run], whole if step is sparsify else [whole], FEW, execution=execution)
    name = "sparsify" if step is sparsify else "peaks"
    words = ["crystint", name, str(run), "-o", str(output), "--rings", "60", "--part", "1/2", "-q", "--threads", "1"]
    process = started([sys.executable, "-c", _SLOW, *words[1:]], tmp_path)
    part = Part(1, 2).path(output)
    end = time.monotonic() + LONG
    while records_in(part) < 3 and process.poll() is None and time.monotonic() < end:
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stderr.close()
    assert not part.exists()
    assert 3 <= records_in(part) < FRAMES // 2
    step([run], output if step is sparsify else [output], FEW, execution=replace(execution, resume=True))
    assert sorted(path.name for path in tmp_path.iterdir()) == [part.name, Part(1, 2).path(whole).name]
    one, other = PartFile(part), PartFile(Part(1, 2).path(whole))
    assert list(one.records(0, len(one))) == list(other.records(0, len(other)))
    assert values_of_part(part) == values_of_part(other.path)


@pytest.mark.parametrize("step", [find_peaks, sparsify])
def test_a_part_that_is_told_to_stop_leaves_its_journal_alone(run: Path, tmp_path: Path, step) -> None:
    @contextmanager
    def soon():
        asked = iter(range(10**6))
        yield lambda: next(asked) > 12

    output = tmp_path / "o.h5"
    outputs = output if step is sparsify else [output]
    execution = Execution(part=Part(1, 2), until=soon, threads=1)
    outcome = step([run], outputs, FEW, execution=execution)
    assert outcome.stopped
    assert outcome.outputs == ()
    assert "--resume goes on" in outcome.interrupted
    assert [path.name for path in tmp_path.iterdir()] == ["o.part-001-of-002.h5.partial"]
    outcome = step([run], outputs, FEW, execution=Execution(part=Part(1, 2), resume=True))
    assert (outcome.frames, outcome.of) == (20, 20)
    assert [path.name for path in tmp_path.iterdir()] == ["o.part-001-of-002.h5"]


_SLOW = """
import time
from crystint.io.frames.sequence import Frames
read = Frames.read
def slower(*arguments, **more):
    time.sleep(0.05)
    return read(*arguments, **more)
Frames.read = slower
from crystint.cli import main
main()
"""


def values_of_part(path: Path) -> dict[str, tuple[object, ...]]:
    """All but the header, which tells folder and command."""
    return {name: value for name, value in values(path).items() if name != "part/header"}
