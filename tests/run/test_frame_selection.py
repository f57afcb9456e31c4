"""`--frames`: some frames of a sequence, in every command that reads frames."""

from __future__ import annotations

import json
import pickle
from contextlib import contextmanager
from pathlib import Path

import h5py
import numpy as np
import pytest
from click.testing import CliRunner

import crystint
from crystint.cli import main
from crystint.errors import SettingError
from crystint.io.frames.selection import selected, selection_text
from crystint.io.hdf5.provenance import read_provenance
from crystint.run.journal import records_in
from crystint.run.settings import DetectorSettings
from crystint.separation import Execution, Settings, find_peaks, sparsify
from crystint.simulate import simulate
from tests.io.hdf5_files import eiger_master, stack

TOTAL = 9
FEW = ("--rings", "60", "-q")


# what is selected


@pytest.mark.parametrize(
    ("value", "text", "numbers"),
    [
        ("3", "3", [3]),
        ("-1", "-1", [8]),
        ("2:5", "2:5", [2, 3, 4]),
        (":3", ":3", [0, 1, 2]),
        ("6:", "6:", [6, 7, 8]),
        ("-3:", "-3:", [6, 7, 8]),
        ("1:9:3", "1:9:3", [1, 4, 7]),
        ("::4", "::4", [0, 4, 8]),
        ("::-4", "::-4", [8, 4, 0]),
        (" 7, 2:4 ,-1", "7,2:4,-1", [7, 2, 3, 8]),
        (5, "5", [5]),
        (np.int64(5), "5", [5]),
        ([3, -2, "4:6"], "3,-2,4:6", [3, 7, 4, 5]),
        (np.array([8, 0]), "8,0", [8, 0]),
        (range(2, 8, 2), "2,4,6", [2, 4, 6]),
        (slice(1, 4), "1:4", [1, 2, 3]),
        (slice(None, None, 3), "::3", [0, 3, 6]),
        ([slice(0, 2), 5], "0:2,5", [0, 1, 5]),
    ],
)
def test_numbers_and_ranges(value, text, numbers):
    assert selection_text(value) == text
    assert selected(value, TOTAL).tolist() == numbers
    assert DetectorSettings(frames=value).frames == text
    parts = text.split(",")
    if len(parts) == 1 and ":" in text:  # as Python slices
        ends = [int(end) if end else None for end in text.split(":")]
        assert numbers == list(range(TOTAL))[slice(*ends)]


@pytest.mark.parametrize("value", ["", "a", "1:2:3:4", "1;2", "1:4:0", "1.5", [], [1.5], True, None, "1,,2"])
def test_what_is_no_selection(value):
    with pytest.raises(ValueError, match="expected numbers and ranges from 0, such as 3,7,100:200:10"):
        selection_text(value)
    if value is not None:
        with pytest.raises(SettingError, match=r"frames: .*expected numbers and ranges"):
            Settings.of({"frames": value}) if value not in ("", []) else selected(value, TOTAL)


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("9", "frames is 9, but there are 9 frames, number 0 to 8: 9 goes beyond"),
        ("-10", "-10 goes beyond"),
        ("2:10", "there are 9 frames, number 0 to 8: 2:10 goes beyond"),
        ("100:200", "100:200 goes beyond"),
        ("5:5", "frames is 5:5, which names none; there are 9 frames"),
        ("6:2", "names none"),
        ("1:4,3", "names frame 3 more than once"),
        ("0,-9", "names frame 0 more than once"),
    ],
)
def test_frames_that_are_not_there_are_an_error(value, words):
    with pytest.raises(SettingError, match=words):
        selected(value, TOTAL)


def test_a_selection_of_several_files(tmp_path):
    frames = stack(TOTAL)
    for number in range(3):
        np.save(tmp_path / f"a_{number}.npy", frames[3 * number : 3 * number + 3])
    some = crystint.open_frames(tmp_path / "a_*.npy", frames="7,8,1")
    assert np.array_equal(some[:], frames[[7, 8, 1]])
    assert [Path(name).name for name in some.files] == ["a_0.npy", "a_2.npy"]  # the other is not looked into
    assert [(Path(some.source(at).file).name, some.source(at).index) for at in range(3)] == [
        ("a_2.npy", 1), ("a_2.npy", 2), ("a_0.npy", 1),
    ]  # fmt: skip
    assert some.place(2) == (0, 1)
    assert (some.numbers.tolist(), some.total, len(some)) == ([7, 8, 1], 9, 3)
    again = some.select("::-1").select([0, 2])
    assert np.array_equal(again[:], frames[[1, 7]])
    assert again.numbers.tolist() == [1, 7]
    with pytest.raises(IndexError):
        some[3]
    with pytest.raises(SettingError, match="there are 3 frames"):
        some.select("5")
    assert np.array_equal(crystint.open_frames(frames, frames=slice(2, 4))[:], frames[2:4])


def test_a_pickled_selection_is_the_same_selection(tmp_path):
    for number in range(2):
        np.save(
            tmp_path / f"f{number}.npy", (np.arange(5)[:, None, None] + np.full((5, 4, 6), 10 * number)).astype("u2")
        )
    some = crystint.open_frames(tmp_path / "f*.npy").select("1:9:3")
    again = pickle.loads(pickle.dumps(some))
    assert [int(frame[0, 0]) for frame in again] == [1, 4, 12]
    assert again.numbers.tolist() == [1, 4, 7]
    assert again.total == 10


def test_missing_frames_and_wavelengths_are_those_of_the_selection(tmp_path):
    path = eiger_master(tmp_path, stack(8))
    with h5py.File(path, "r+") as file:
        file["entry/instrument/detector/detectorSpecific/nimages"] = 8
        del file["entry/instrument/beam/incident_wavelength"]
        file["entry/instrument/beam/incident_wavelength"] = 1.0 + 0.01 * np.arange(8)
        file["entry/instrument/beam/incident_wavelength"].attrs["units"] = "angstrom"
    (tmp_path / "run_data_000004.h5").unlink()
    some = crystint.open_frames(path, frames="1,5:8")
    assert list(some.missing) == [2, 3]
    assert np.allclose(some.wavelengths, [1.01, 1.05, 1.06, 1.07])
    assert np.isclose(some.geometry.wavelength, 1.0475)
    one = crystint.open_frames(path, frames=3)
    assert one.wavelengths is None
    assert np.isclose(one.geometry.wavelength, 1.03)


# commands


@pytest.fixture(scope="module")
def data():
    return simulate((120, 131), TOTAL, dtype=np.uint16, background=5.0, peaks=10, intensity=2000.0, seed=4)


@pytest.fixture(scope="module")
def source(data, tmp_path_factory):
    """A file of nine frames, and one of frames 7, 2 and 4 alone."""
    folder = tmp_path_factory.mktemp("selection")
    for name, numbers in (("run.h5", range(TOTAL)), ("some.h5", (7, 2, 4))):
        writer = crystint.DenseWriter(
            folder / name, data.shape, data.dtype, geometry=data.geometry, mask=data.mask, saturation=None,
            provenance={},
        )  # fmt: skip
        with writer:
            for number in numbers:
                writer.write(data[number])
    return folder


def run(code, *words):
    result = CliRunner().invoke(main, [str(word) for word in words])
    assert result.exit_code == code, result.output
    return result.output


def test_peaks_are_those_of_the_frames_alone(source, tmp_path):
    assert "3 frames" in run(0, "peaks", source / "run.h5", "--frames", "7,2:5:2", "-o", tmp_path / "p.cxi",
                             "-o", tmp_path / "p.jsonl", *FEW)  # fmt: skip
    run(0, "peaks", source / "some.h5", "-o", tmp_path / "q.cxi", *FEW)
    chosen, alone = (crystint.read_peaks(tmp_path / name) for name in ("p.cxi", "q.cxi"))
    for name in chosen.dtype.names:  # CXI has no sigma of places: NaN
        np.testing.assert_array_equal(chosen[name], alone[name], err_msg=name)
    assert read_provenance(tmp_path / "p.cxi")["settings"]["frames"] == "7,2:5:2"
    with h5py.File(tmp_path / "p.cxi") as file:
        assert file["entry_1/data_1/source_index"][()].tolist() == [7, 2, 4]
    with crystint.open_frames(tmp_path / "p.cxi", dataset="/entry_1/data_1/data") as shown:
        assert np.array_equal(shown[:], crystint.open_frames(source / "some.h5")[:])
    rows = [json.loads(line) for line in (tmp_path / "p.jsonl").read_text().splitlines()]
    assert [row["frame"] for row in rows] == [0, 1, 2]


def test_sparse_files_and_their_comparison(source, tmp_path):
    some, whole = tmp_path / "some.h5", tmp_path / "whole.h5"
    run(0, "sparsify", source / "run.h5", "--frames", "7,2,4", "-o", some, *FEW)
    run(0, "sparsify", source / "run.h5", "-o", whole, *FEW)
    with crystint.open_sparse(some) as sparse, crystint.open_sparse(whole) as other:
        assert [place.index for place in sparse.sources] == [7, 2, 4]
        for row, number in enumerate((7, 2, 4)):
            assert np.array_equal(sparse[row].index, other[number].index)
    reports = [
        json.loads(run(0, "compare", source / "run.h5", "--frames", "7,2,4", sparse, "--json", "-q"))
        for sparse in (some, whole)
    ]
    # the noise is drawn by the number of the row; all else is the same
    assert [report["total"]["bias_clean"] for report in reports] == [reports[0]["total"]["bias_clean"]] * 2
    assert [(report["frames"], report["total"]["mean"]) for report in reports] == [(3, reports[1]["total"]["mean"])] * 2
    assert "the raw frames end after 2" in run(1, "compare", source / "run.h5", some, "--frames", "0,1")


def test_other_commands(source, tmp_path):
    for command in (["correlate", "polar"], ["correlate", "correlate"]):
        words = ["--radii", "10,40", "--azimuths", "60", "-q"]
        run(0, *command, source / "run.h5", "--frames", "7,2,4", "-o", tmp_path / "a.h5", "--overwrite", *words)
        run(0, *command, source / "some.h5", "-o", tmp_path / "b.h5", "--overwrite", *words)
        with h5py.File(tmp_path / "a.h5") as one, h5py.File(tmp_path / "b.h5") as other:
            name = "values" if "polar" in command else "correlation"
            assert np.array_equal(one[f"entry/data/{name}"][()], other[f"entry/data/{name}"][()], equal_nan=True)
    said = run(0, "plot", source / "run.h5", "--frames", "7,2,4", "--frame", "1", "-o", tmp_path / "f.png", *FEW[:2])
    assert "frame 1 (2 of all)" in said


@pytest.mark.parametrize("frames", ["9", "4:4", "2:30", "x", "1,1"])
@pytest.mark.parametrize("command", ["peaks", "sparsify", "correlate polar", "plot"])
def test_a_selection_that_cannot_be_is_exit_code_2(source, tmp_path, command, frames):
    output = tmp_path / {"peaks": "o.cxi", "plot": "o.png"}.get(command, "o.h5")
    said = run(2, *command.split(), source / "run.h5", "--frames", frames, "-o", output)
    assert "frames" in said
    assert not list(tmp_path.iterdir())


def test_settings_of_a_file(source, tmp_path):
    for content in ("frames = [7, 2, 4]", 'frames = "7,2,4"'):
        (tmp_path / "s.toml").write_text(content)
        said = run(0, "peaks", source / "run.h5", "-o", tmp_path / "p.cxi", "--overwrite", *FEW, "--config",
                   tmp_path / "s.toml")  # fmt: skip
        assert said.startswith("3 frames")


# runs that are interrupted, and clusters


@contextmanager
def stopping_after(frames, output):
    """Stop when the journal has so many frames."""
    yield lambda: records_in(output) >= frames


def test_a_run_is_resumed_with_the_same_frames_only(source, tmp_path):
    settings = Settings(rings=60, frames="1:9,0")
    whole = tmp_path / "whole.h5"
    sparsify([source / "run.h5"], whole, settings, command=["crystint"])
    output = tmp_path / "part" / "whole.h5"
    output.parent.mkdir()
    how = Execution(threads=1, until=lambda: stopping_after(3, output))
    assert sparsify([source / "run.h5"], output, settings, command=["crystint"], execution=how).stopped
    other = Settings(rings=60, frames="0:9")
    with pytest.raises(crystint.FileError, match="frames was 1:9,0, is 0:9"):
        sparsify([source / "run.h5"], output, other, command=["crystint"], execution=Execution(resume=True))
    sparsify([source / "run.h5"], output, settings, command=["crystint"], execution=Execution(resume=True))
    assert output.read_bytes() == whole.read_bytes()


def test_a_cluster_works_on_the_same_frames(source, tmp_path):
    pytest.importorskip("distributed")
    frames = [source / "some.h5", source / "run.h5"]
    for folder, how in (("a", Execution()), ("b", Execution(dask="local", threads=2, dask_frames=2))):
        (tmp_path / folder).mkdir()
        # none of the frames is in the first file
        find_peaks(frames, [tmp_path / folder / "p.h5"], Settings(rings=60, frames="10,5,7"), command=["crystint"],
                   execution=how)  # fmt: skip
    assert (tmp_path / "a" / "p.h5").read_bytes() == (tmp_path / "b" / "p.h5").read_bytes()
