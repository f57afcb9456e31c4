"""Joined spots in files: what comes back, and what other programs find there."""

from __future__ import annotations

import json
from pathlib import Path

import h5py
import numpy as np
import pytest

from crystint import SPOT_DTYPE, Geometry, Scan, SpotList, read_peaks, read_spots, write_peaks
from crystint.errors import DTypeError, FileError, SettingError
from crystint.io.frames.readers import FrameSource
from crystint.io.hdf5.provenance import provenance
from crystint.io.peaks.image_numbers import image_numbers
from crystint.io.reflections.dials_table import read_table
from crystint.model.peaks import empty_peaks
from crystint.model.spots import empty_spots
from tests.stills.dials import run_dials_python

SHAPE = (200, 300)
GEOMETRY = Geometry(shape=SHAPE, pixel_size=(2e-4, 1e-4), distance=0.1, beam_center=(90.25, 120.75), wavelength=1.25)
SCAN = Scan(("omega",), [[1.0, 0, 0]], [np.arange(6) * 0.1], width=0.1)
NAMES = ["p.refl", "SPOT.XDS", "p.h5", "p.jsonl"]


def some_spots(rng: np.random.Generator) -> SpotList:
    """Spots at random places; no two alike."""
    spots = empty_spots(9)
    for name in SPOT_DTYPE.names or ():
        spots[name] = rng.uniform(1, 90, 9)
    spots["slow"], spots["fast"] = rng.uniform(5, SHAPE[0] - 5, 9), rng.uniform(5, SHAPE[1] - 5, 9)
    spots["frame0"] = rng.integers(0, 4, 9)
    spots["frame1"] = spots["frame0"] + 2
    spots["n_frames"], spots["z"] = 2, spots["frame0"] + rng.uniform(0.6, 1.4, 9)
    for axis in ("slow", "fast"):
        spots[f"{axis}0"], spots[f"{axis}1"] = spots[axis] - 2, spots[axis] + 3
    return spots


def write(path: Path, spots: SpotList | None, files: str = "x.h5", **more: object) -> None:
    sources = [FrameSource(files.format(i + 101), i if files == "x.h5" else 0, "/data" if files == "x.h5" else None)
               for i in range(6)]  # fmt: skip
    peaks = empty_peaks(2)
    peaks["frame"], peaks["slow"], peaks["fast"], peaks["sigma"] = [1, 4], 20.5, 31.25, 3.0
    write_peaks(
        path, peaks, shape=SHAPE, n_frames=6, geometry=GEOMETRY, provenance=provenance({}, ["x"]), spots=spots,
        scan=SCAN, frames_per_file=sources, **more,
    )  # fmt: skip


@pytest.mark.parametrize("files", ["x.h5", "run_{:05d}.cbf"])
@pytest.mark.parametrize("name", ["p.refl", "p.h5", "p.jsonl"])
def test_exact_formats_return_every_column(tmp_path: Path, rng: np.random.Generator, name: str, files: str) -> None:
    spots = some_spots(rng)
    spots["d"][2] = np.nan
    write(tmp_path / name, spots, files)
    again = read_spots(tmp_path / name)
    assert again.dtype == SPOT_DTYPE
    for column in SPOT_DTYPE.names or ():
        exact = name != "p.refl" or column not in ("sigma", "z")
        np.testing.assert_allclose(again[column], spots[column], rtol=0 if exact else 1e-13, err_msg=column)
    rows = read_peaks(tmp_path / name)
    assert len(rows) == (len(spots) if name == "p.refl" else 2)
    if name == "p.refl":
        assert sorted(rows["frame"].tolist()) == sorted(np.floor(spots["z"]).astype(int).tolist())


@pytest.mark.parametrize("name", NAMES)
def test_no_spots_at_all(tmp_path: Path, name: str) -> None:
    write(tmp_path / name, empty_spots())
    if name == "SPOT.XDS":  # an empty file
        assert len(read_peaks(tmp_path / name)) == 0
    else:
        assert read_spots(tmp_path / name).shape == (0,)


@pytest.mark.parametrize("name", [*NAMES, "p.cxi"])
def test_peaks_that_are_not_joined_are_no_spots(tmp_path: Path, name: str) -> None:
    write(tmp_path / name, None)
    with pytest.raises(FileError, match=f"{name} lists the peaks of each frame, which are not joined"):
        read_spots(tmp_path / name)
    (tmp_path / "other.h5").write_bytes(b"?")
    with pytest.raises(FileError, match=r"other\.h5"):
        read_spots(tmp_path / "other.h5")


@pytest.mark.parametrize(("files", "first"), [("x.h5", 0), ("run_{:05d}.cbf", 100), ("run_{:05d}.cbf.gz", 100)])
def test_images_are_counted_as_dials_and_xds_count_them(tmp_path: Path, files: str, first: int) -> None:
    spots = empty_spots(2)
    spots["slow"], spots["fast"], spots["z"], spots["intensity"] = 7.5, 11.5, [2.25, 4.5], [50.0, 60.0]
    spots["frame0"], spots["frame1"], spots["z_sigma"], spots["n_frames"] = [1, 4], [4, 5], 0.25, [3, 1]
    write(tmp_path / "SPOT.XDS", spots, files)
    rows = [list(map(float, line.split())) for line in (tmp_path / "SPOT.XDS").read_text().splitlines()]
    assert rows == [[12.0, 8.0, first + 4.5, 60.0], [12.0, 8.0, first + 2.25, 50.0]]
    write(tmp_path / "p.refl", spots, files)
    table = read_table(tmp_path / "p.refl")
    assert table["xyzobs.px.value"].tolist() == [[11.5, 7.5, first + 2.25], [11.5, 7.5, first + 4.5]]
    assert table["xyzobs.px.variance"][:, 2].tolist() == [0.0625, 0.0625]
    assert table["bbox"].tolist() == [[10, 13, 6, 9, first + 1, first + 4], [10, 13, 6, 9, first + 4, first + 5]]
    assert table["id"].tolist() == [0, 0]
    assert table["flags"].tolist() == [32, 32]


def test_peaks_of_a_scan_are_of_one_experiment_and_those_of_stills_are_not(tmp_path: Path) -> None:
    write(tmp_path / "scan.refl", None, "run_{:05d}.cbf")
    table = read_table(tmp_path / "scan.refl")
    assert table["id"].tolist() == [0, 0]
    assert table["xyzobs.px.value"][:, 2].tolist() == [101.5, 104.5]
    assert read_peaks(tmp_path / "scan.refl")["frame"].tolist() == [1, 4]
    write_peaks(tmp_path / "stills.refl", read_peaks(tmp_path / "scan.refl"), shape=SHAPE, n_frames=6)
    table = read_table(tmp_path / "stills.refl")
    assert table["id"].tolist() == [1, 4]
    assert table["xyzobs.px.value"][:, 2].tolist() == [1.5, 4.5]


def test_numbers_of_images() -> None:
    def of(*files: str) -> list[int]:
        return image_numbers(len(files), [FrameSource(file, 0) for file in files]).tolist()

    assert of("a_0007.cbf", "a_0009.cbf") == [6, 8]
    assert of("a_0001_m.img.bz2", "a_0002_m.img.bz2") == [0, 1]
    assert of("a_1.cbf", "b_2.cbf") == [0, 1]  # two series
    assert of("x/a_5.cbf", "y/a_6.cbf") == [0, 1]
    assert of("a.cbf", "b.cbf") == [0, 1]
    assert of("a_5.cbf", "a_05.cbf") == [0, 1]  # one number twice
    assert image_numbers(3, None).tolist() == [0, 1, 2]
    stack = [FrameSource("a_0007.h5", i, "/data") for i in (4, 6)]
    assert image_numbers(2, stack, np.array([4, 6])).tolist() == [4, 6]
    assert image_numbers(0, []).tolist() == []


def test_joined_spots_stand_beside_the_peaks_with_their_meaning(tmp_path: Path, rng: np.random.Generator) -> None:
    write(tmp_path / "p.h5", some_spots(rng))
    with h5py.File(tmp_path / "p.h5") as file:
        assert file["entry/spots"].attrs["NX_class"] == "NXdata"
        assert "i to i + 1" in file["entry/spots/z"].attrs["meaning"]
        assert file["entry/spots/slow"].attrs["units"] == "pixel"
        assert "intensity / sigma" in file["entry/peaks/snr"].attrs["meaning"]
        assert "threshold" in file["entry/peaks/significance"].attrs["meaning"]
    write(tmp_path / "p.jsonl", some_spots(rng))
    lines = [json.loads(line) for line in (tmp_path / "p.jsonl").read_text().splitlines()]
    assert len(lines) == 7
    assert lines[6]["n_spots"] == len(lines[6]["spots"]["z"]) == 9
    assert Scan.from_dict(lines[0]["scan"]).rotates
    write(tmp_path / "p.refl", some_spots(rng))
    assert Scan.from_dict(json.loads((tmp_path / "p.refl.json").read_text())["scan"]).rotates


def test_spots_of_dials_are_spots(tmp_path: Path) -> None:
    """As dials.find_spots of DIALS 3.12 writes the first spots of a sweep."""
    from crystint.io.reflections.dials_table_out import write_table

    columns = {
        "xyzobs.px.value": ("vec3<double>", np.array([[1141.03, 69.63, 13.5], [408.18, 190.21, 6.44]])),
        "xyzobs.px.variance": ("vec3<double>", np.full((2, 3), 0.09)),
        "bbox": ("int6", np.array([[1139, 1144, 68, 72, 13, 14], [403, 414, 185, 196, 0, 15]])),
        "intensity.sum.value": ("double", np.array([45.0, 1744.0])),
        "intensity.sum.variance": ("double", np.array([45.0, 1744.0])),
        "n_signal": ("int", np.array([13, 146])),
        "flags": ("std::size_t", np.array([32, 32])),
    }
    write_table(tmp_path / "strong.refl", columns, overwrite=False)
    spots = read_spots(tmp_path / "strong.refl")
    assert spots[["frame0", "frame1", "n_frames", "npix"]].tolist() == [(13, 14, 1, 13), (0, 15, 15, 146)]
    assert spots["z"].tolist() == [13.5, 6.44]
    assert np.isnan(spots["d"]).all()


def test_what_cannot_be_written(tmp_path: Path, rng: np.random.Generator) -> None:
    spots = some_spots(rng)
    spots["frame1"][3] = 7
    with pytest.raises(SettingError, match=r"frames . to 6, but the input has 6"):
        write(tmp_path / "p.refl", spots)
    with pytest.raises(DTypeError, match="columns of SPOT_DTYPE"):
        write(tmp_path / "p.refl", empty_peaks(2))
    assert list(tmp_path.iterdir()) == []


def test_dials_reads_spots(tmp_path: Path, rng: np.random.Generator) -> None:
    spots = some_spots(rng)
    write(tmp_path / "p.refl", spots)
    code = """
import json
from dials.array_family import flex
table = flex.reflection_table.from_file("p.refl")
z = list(table["xyzobs.px.value"].parts()[2])
print(json.dumps({"z": z, "bbox": list(table["bbox"]), "id": list(table["id"])}))
"""
    by_dials = json.loads(run_dials_python(code, tmp_path))
    np.testing.assert_allclose(by_dials["z"], spots["z"])
    assert [tuple(row[4:]) for row in by_dials["bbox"]] == spots[["frame0", "frame1"]].tolist()
    assert by_dials["id"] == [0] * 9
