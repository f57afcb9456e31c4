"""Peak lists in every format: the numbers, the half-pixels, and what other programs read."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from crystint.errors import CrystintWarning, DTypeError, FileError, SettingError
from crystint.io.frames.readers import FrameSource
from crystint.io.hdf5.provenance import provenance
from crystint.io.peaks.by_frame import peaks_by_frame
from crystint.io.peaks.files import read_peaks, write_peaks
from crystint.model.geometry import Geometry
from crystint.model.peaks import PEAK_DTYPE, PeakList, empty_peaks
from tests.stills.dials import run_dials, run_dials_python

NAMES = ["p.cxi", "p.refl", "p.h5", "p.nxs", "p.json", "p.jsonl", "SPOT.XDS"]
SHAPE = (200, 300)
GEOMETRY = Geometry(shape=SHAPE, pixel_size=(2e-4, 1e-4), distance=0.1, beam_center=(90.25, 120.75), wavelength=1.25)
RECORD = provenance({"snr": 5.0}, ["in.h5"], ["crystint", "peaks"])


def some_peaks(rng: np.random.Generator, frames: list[int]) -> PeakList:
    """Peaks at random places of the given frames; no two alike."""
    n = len(frames)
    peaks = empty_peaks(n)
    peaks["frame"] = frames
    peaks["slow"], peaks["fast"] = rng.uniform(0, SHAPE[0], n), rng.uniform(0, SHAPE[1], n)
    for name in ("intensity", "sigma", "maximum", "background", "snr", "d"):
        peaks[name] = rng.uniform(1, 1e5, n)
    for name in ("significance", "slow_sigma", "fast_sigma"):
        peaks[name] = rng.uniform(0.01, 100, n)
    for axis in ("slow", "fast"):
        peaks[f"{axis}0"] = peaks[axis] - rng.integers(1, 4, n)
        peaks[f"{axis}1"] = peaks[axis] + rng.integers(1, 4, n)
    peaks["npix"], peaks["flags"] = rng.integers(1, 25, n), rng.integers(0, 16, n)
    return peaks


def write(path: Path, peaks: PeakList, n_frames: int = 4, **more: Any) -> None:
    write_peaks(path, peaks, shape=SHAPE, n_frames=n_frames, geometry=GEOMETRY, provenance=RECORD, **more)


@pytest.fixture
def peaks(rng: np.random.Generator) -> PeakList:
    return some_peaks(rng, [0, 0, 0, 2, 2])


@pytest.mark.parametrize("name", ["p.h5", "p.jsonl", "p.json", "p.refl", "p.nxs"])
def test_exact_formats_return_every_column(tmp_path: Path, peaks: PeakList, name: str) -> None:
    peaks["d"][1] = np.nan
    write(tmp_path / name, peaks)
    again = read_peaks(tmp_path / name)
    assert again.dtype == PEAK_DTYPE
    for column in PEAK_DTYPE.names or ():
        if column == "sigma" and name == "p.refl":  # stored as a variance
            np.testing.assert_allclose(again[column], peaks[column], rtol=1e-15)
        else:
            np.testing.assert_array_equal(again[column], peaks[column], err_msg=column)


def test_cxi_returns_every_column_in_single_precision(tmp_path: Path, peaks: PeakList) -> None:
    write(tmp_path / "p.cxi", peaks)
    again = read_peaks(tmp_path / "p.cxi")
    for column in PEAK_DTYPE.names or ():
        if column not in ("slow_sigma", "fast_sigma", "slow0", "slow1", "fast0", "fast1"):
            np.testing.assert_allclose(again[column], peaks[column], rtol=1e-6, atol=1e-4, err_msg=column)


def test_spot_xds_returns_position_and_intensity(tmp_path: Path, peaks: PeakList) -> None:
    write(tmp_path / "SPOT.XDS", peaks)
    again = read_peaks(tmp_path / "SPOT.XDS")
    order = np.lexsort((peaks["fast"], np.floor(peaks["slow"]), peaks["frame"]))
    for column, error in (("frame", 0), ("slow", 6e-4), ("fast", 6e-4), ("intensity", 6e-3)):
        np.testing.assert_allclose(again[column], peaks[column][order], atol=error)


@pytest.mark.parametrize("name", NAMES)
def test_no_peaks_at_all(tmp_path: Path, name: str) -> None:
    write(tmp_path / name, empty_peaks(), n_frames=3)
    again = read_peaks(tmp_path / name)
    assert again.shape == (0,)
    assert again.dtype == PEAK_DTYPE


def one_peak() -> PeakList:
    """A peak in the centre of the pixel (slow 7, fast 11) of frame 2."""
    peak = empty_peaks(1)
    peak["frame"], peak["slow"], peak["fast"], peak["intensity"], peak["sigma"] = 2, 7.5, 11.5, 50.0, 8.0
    return peak


def test_half_pixel_of_cxi(tmp_path: Path) -> None:
    write(tmp_path / "p.cxi", one_peak())
    with h5py.File(tmp_path / "p.cxi") as file:
        result = file["entry_1/result_1"]
        assert result["nPeaks"][()].tolist() == [0, 0, 1, 0]
        assert result["nPeaks"].dtype == np.int32
        assert result["peakXPosRaw"].shape == result["peakYPosRaw"].shape == (4, 1)
        assert result["peakXPosRaw"].dtype == np.float32
        assert result["peakXPosRaw"][2, 0] == 11.0
        assert result["peakYPosRaw"][2, 0] == 7.0
        assert result["peakTotalIntensity"][2, 0] == 50.0
        assert "(0, 0)" in result["peakXPosRaw"].attrs["convention"]
        detector = file["entry_1/instrument_1/detector_1"]
        assert detector["distance"][()] == 0.1
        assert detector["x_pixel_size"][()] == 1e-4
        assert detector["y_pixel_size"][()] == 2e-4
        energy = 6.62607015e-34 * 299792458.0 / 1.25e-10
        assert file["entry_1/instrument_1/source_1/energy"][()] == pytest.approx(energy, rel=1e-12)


def test_half_pixel_of_xds_and_order(tmp_path: Path) -> None:
    peaks = np.concatenate([one_peak(), one_peak()])
    peaks["intensity"][1] = 60.0
    write(tmp_path / "SPOT.XDS", peaks)
    rows = [list(map(float, line.split())) for line in (tmp_path / "SPOT.XDS").read_text().splitlines()]
    # Image 3, the third, reaches from 2 to 3.
    assert rows == [[12.0, 8.0, 2.5, 60.0], [12.0, 8.0, 2.5, 50.0]]


def test_positions_of_hdf5_and_json_say_what_they_are(tmp_path: Path) -> None:
    write(tmp_path / "p.h5", one_peak())
    write(tmp_path / "p.json", one_peak())
    with h5py.File(tmp_path / "p.h5") as file:
        data = file["entry/peaks"]
        assert data.attrs["NX_class"] == "NXdata"
        assert data["slow"][0] == 7.5
        assert data["slow"].attrs["units"] == "pixel"
        assert "(0.5, 0.5)" in data["slow"].attrs["convention"]
        assert data["frame_ptr"][()].tolist() == [0, 0, 0, 1, 1]
    lines = [json.loads(line) for line in (tmp_path / "p.json").read_text().splitlines()]
    assert [line["frame"] for line in lines] == [0, 1, 2, 3]
    assert [line["n_peaks"] for line in lines] == [0, 0, 1, 0]
    assert lines[2]["fast"] == [11.5]
    assert lines[1]["slow"] == []
    assert "(0.5, 0.5)" in lines[0]["conventions"]["position"]


def test_refl_as_messagepack_knows_it(tmp_path: Path) -> None:
    msgpack = pytest.importorskip("msgpack")
    write(tmp_path / "p.refl", one_peak())
    name, version, table = msgpack.unpackb((tmp_path / "p.refl").read_bytes(), strict_map_key=False)
    assert name == "dials::af::reflection_table"
    assert version == 1
    assert table["nrows"] == 1
    assert table["identifiers"] == {}
    types = {key: kind for key, (kind, _) in table["data"].items()}
    raw = {key: content for key, (_, (_, content)) in table["data"].items()}
    assert all(rows == 1 for _, (rows, _) in table["data"].values())
    assert types["xyzobs.px.value"] == "vec3<double>"
    assert np.frombuffer(raw["xyzobs.px.value"], "<f8").tolist() == [11.5, 7.5, 2.5]
    assert types["bbox"] == "int6"
    assert np.frombuffer(raw["bbox"], "<i4").tolist() == [10, 13, 6, 9, 2, 3]
    assert types["flags"] == types["panel"] == "std::size_t"
    assert np.frombuffer(raw["flags"], "<u8").tolist() == [32]
    assert np.frombuffer(raw["intensity.sum.variance"], "<f8").tolist() == [64.0]


@pytest.mark.parametrize("rows", [0, 1, 127, 128, 70000])
def test_refl_of_any_size_and_written_by_messagepack(tmp_path: Path, rng: np.random.Generator, rows: int) -> None:
    msgpack = pytest.importorskip("msgpack")
    peaks = some_peaks(rng, [0] * rows)
    write(tmp_path / "p.refl", peaks)
    content = msgpack.unpackb((tmp_path / "p.refl").read_bytes(), strict_map_key=False)
    content[2]["identifiers"] = {0: "an-identifier-of-thirty-six-letters-", 300: "b", -1: "c"}
    content[2]["data"]["shoebox"] = ["Shoebox<>", [rows, b"?" * 70000]]
    (tmp_path / "q.refl").write_bytes(msgpack.packb(content))
    np.testing.assert_array_equal(read_peaks(tmp_path / "q.refl"), read_peaks(tmp_path / "p.refl"))
    assert len(read_peaks(tmp_path / "q.refl")) == rows


def test_dials_reads_refl(tmp_path: Path, peaks: PeakList) -> None:
    write(tmp_path / "p.refl", peaks)
    write(tmp_path / "empty.refl", empty_peaks())
    code = """
import json
from dials.array_family import flex
table = flex.reflection_table.from_file("p.refl")
empty = flex.reflection_table.from_file("empty.refl")
strong = table.get_flags(table.flags.strong)
print(json.dumps({
    "position": list(table["xyzobs.px.value"]), "id": list(table["id"]), "n": list(table["n_signal"]),
    "bbox": list(table["bbox"]), "variance": list(table["intensity.sum.variance"]),
    "own": list(table["crystint.i_over_sigma"]),
    "strong": strong.count(True), "empty": len(empty), "keys": sorted(empty.keys()),
}))
"""
    by_dials = json.loads(run_dials_python(code, tmp_path))
    np.testing.assert_array_equal(
        by_dials["position"], np.stack([peaks["fast"], peaks["slow"], peaks["frame"] + 0.5], axis=1)
    )
    assert by_dials["id"] == peaks["frame"].tolist()
    assert by_dials["n"] == peaks["npix"].tolist()
    assert by_dials["strong"] == len(peaks)
    assert by_dials["empty"] == 0
    assert "bbox" in by_dials["keys"]
    np.testing.assert_allclose(by_dials["variance"], peaks["sigma"] ** 2)
    assert by_dials["own"] == peaks["snr"].tolist()
    assert "xyzobs.px.value" in run_dials("dials.show", "p.refl", folder=tmp_path)


@pytest.mark.parametrize("name", NAMES)
def test_carries_its_provenance(tmp_path: Path, peaks: PeakList, name: str) -> None:
    write(tmp_path / name, peaks, frames_per_file=[FrameSource("in.cbf", i) for i in range(4)])
    if name.endswith((".cxi", ".h5", ".nxs")):
        with h5py.File(tmp_path / name) as file:
            where = "entry_1/process_1" if name == "p.cxi" else "entry/process"
            record = json.loads(file[f"{where}/configuration/data"].asstr()[()])
            assert file[f"{where}/version"].asstr()[()] == RECORD["version"]
    elif name.startswith("p.json"):
        lines = (tmp_path / name).read_text().splitlines()
        record = json.loads(lines[0])["provenance"]
        assert json.loads(lines[3])["file"] == "in.cbf"
        assert json.loads(lines[3])["index"] == 3
    else:
        beside = json.loads((tmp_path / f"{name}.json").read_text())
        record = beside["provenance"]
        assert beside["frames"][3] == ["in.cbf", 3]
        assert Geometry.from_dict(beside["geometry"]) == GEOMETRY
    assert record == RECORD


@pytest.mark.parametrize("name", NAMES)
def test_existing_file_is_refused(tmp_path: Path, peaks: PeakList, name: str) -> None:
    write(tmp_path / name, peaks)
    before = {file: (tmp_path / file).read_bytes() for file in os.listdir(tmp_path)}
    with pytest.raises(FileError, match="exists"):
        write(tmp_path / name, peaks[:1])
    assert {file: (tmp_path / file).read_bytes() for file in os.listdir(tmp_path)} == before
    write(tmp_path / name, peaks[:1], overwrite=True)
    assert len(read_peaks(tmp_path / name)) == 1


def test_what_cannot_be_written(tmp_path: Path, peaks: PeakList) -> None:
    with pytest.raises(SettingError, match=r"'\.txt'; known are \.cxi"):
        write(tmp_path / "p.txt", peaks)
    with pytest.raises(SettingError, match="frames 0 to 2, but the input has 2"):
        write(tmp_path / "p.cxi", peaks, n_frames=2)
    with pytest.raises(SettingError, match="1 frame sources were given for 4 frames"):
        write(tmp_path / "p.cxi", peaks, frames_per_file=[FrameSource("a", 0)])
    with pytest.raises(DTypeError, match="columns of PEAK_DTYPE"):
        write(tmp_path / "p.cxi", np.zeros(3, dtype=[("frame", int)]))
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("content", [b"\x93", b"\xc1\xc1", b"1 2 3\n", b"{}\n", b"\x89HDF\r\n\x1a\n" + bytes(100)])
def test_damaged_files(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(FileError, match=name):
        read_peaks(tmp_path / name)
    with pytest.raises(FileError, match="does not exist"):
        read_peaks(tmp_path / f"absent{Path(name).suffix}")


@pytest.mark.parametrize("name", ["p.cxi", "p.refl", "p.h5"])
def test_files_cut_short(tmp_path: Path, peaks: PeakList, name: str) -> None:
    write(tmp_path / name, peaks)
    content = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(content[: len(content) * 2 // 3])
    with pytest.raises(FileError):
        read_peaks(tmp_path / name)


def test_cxi_shows_the_frames_of_hdf5_input(tmp_path: Path, rng: np.random.Generator) -> None:
    """CrystFEL finds the images of all rows under one path, whichever files they are in."""
    frames = rng.integers(0, 1000, (5, *SHAPE)).astype(np.uint16)
    (tmp_path / "raw").mkdir()
    with h5py.File(tmp_path / "raw/a.h5", "w") as file:
        file["x/data"] = frames[:3]
    with h5py.File(tmp_path / "raw/b.h5", "w") as file:
        file["y"] = frames[3:]
    sources = [FrameSource(str(tmp_path / "raw/a.h5"), i, "x/data") for i in range(3)]
    sources += [FrameSource(str(tmp_path / "raw/b.h5"), i, "y") for i in range(2)]
    write(tmp_path / "p.cxi", one_peak(), n_frames=5, frames_per_file=sources)
    (tmp_path / "moved").mkdir()
    (tmp_path / "raw").rename(tmp_path / "moved/raw")
    (tmp_path / "p.cxi").rename(tmp_path / "moved/p.cxi")
    with h5py.File(tmp_path / "moved/p.cxi") as file:
        np.testing.assert_array_equal(file["entry_1/data_1/data"][()], frames)
        assert file["entry_1/data_1/source_index"][()].tolist() == [0, 1, 2, 0, 1]


def test_cxi_of_other_frames_names_them_only(tmp_path: Path) -> None:
    write(tmp_path / "p.cxi", one_peak(), frames_per_file=[FrameSource(f"{i}.cbf", 0) for i in range(4)])
    with h5py.File(tmp_path / "p.cxi") as file:
        assert "data" not in file["entry_1/data_1"]
        assert file["entry_1/data_1/source_file"].asstr()[()].tolist() == ["0.cbf", "1.cbf", "2.cbf", "3.cbf"]


def test_cxi_of_many_frames_in_blocks(tmp_path: Path, rng: np.random.Generator) -> None:
    frames = np.sort(rng.integers(0, 1000, 3000)).tolist()
    peaks = some_peaks(rng, frames)
    write(tmp_path / "p.cxi", peaks, n_frames=1000)
    again = read_peaks(tmp_path / "p.cxi")
    np.testing.assert_array_equal(again["frame"], peaks["frame"])
    np.testing.assert_allclose(again["slow"], peaks["slow"], atol=1e-4)
    with h5py.File(tmp_path / "p.cxi") as file:
        counts = file["entry_1/result_1/nPeaks"][()]
        np.testing.assert_array_equal(counts, np.bincount(frames, minlength=1000))
        assert file["entry_1/result_1/peakSNR"].shape == (1000, counts.max())


def test_one_full_frame_makes_no_other_row_of_a_cxi_longer(tmp_path: Path, rng: np.random.Generator) -> None:
    counts = np.array([2, 0, 1] * 200)
    counts[[3, 300]] = 1500, 64
    peaks = some_peaks(rng, np.repeat(np.arange(600), counts).tolist())
    write(tmp_path / "p.cxi", peaks, n_frames=600)
    plain = np.zeros((600, 1500), np.float32)
    row = 0
    for frame, count in enumerate(counts):
        plain[frame, :count] = peaks["fast"][row : row + count] - 0.5
        row += count
    with h5py.File(tmp_path / "p.cxi") as file:
        table = file["entry_1/result_1/peakXPosRaw"]
        np.testing.assert_array_equal(table[()], plain)
        np.testing.assert_array_equal(table[3, : counts[3]], plain[3, :1500])  # a frame as CrystFEL reads it
        assert table.id.get_num_chunks() == -(-1500 // 64) + 2  # three blocks of 256 frames
    again = read_peaks(tmp_path / "p.cxi")
    np.testing.assert_array_equal(again["frame"], peaks["frame"])
    np.testing.assert_allclose(again["intensity"], peaks["intensity"], rtol=1e-6)
    by_frame = peaks_by_frame(tmp_path / "p.cxi")
    np.testing.assert_allclose(by_frame.of(300)["slow"], peaks["slow"][peaks["frame"] == 300], rtol=1e-6)


def test_a_table_that_is_full_everywhere_is_read_in_parts(
    tmp_path: Path, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("crystint.io.peaks.tables._AT_ONCE", 300)
    counts = rng.integers(0, 130, 40)
    peaks = some_peaks(rng, np.repeat(np.arange(40), counts).tolist())
    write(tmp_path / "p.cxi", peaks, n_frames=40)
    again = read_peaks(tmp_path / "p.cxi")
    np.testing.assert_array_equal(again["frame"], peaks["frame"])
    np.testing.assert_allclose(again["fast"], peaks["fast"], atol=1e-4)


def tables(path: Path, counts: list[int], columns: int, **others: tuple[int, int]) -> Path:
    """A CXI file of Cheetah's layout by hand; positions 10, 11, 12... in each row."""
    with h5py.File(path, "w") as file:
        result = file.create_group("entry_1/result_1")
        result["nPeaks"] = np.array(counts, dtype="i4")
        place = np.tile(np.arange(columns, dtype="f4") + 10, (len(counts), 1))
        for name in ("peakXPosRaw", "peakYPosRaw"):
            result[name] = place
        for name, shape in others.items():
            result[name] = np.ones(shape, dtype="f4")
    return path


def test_cxi_that_counts_more_peaks_than_it_holds(tmp_path: Path) -> None:
    path = tables(tmp_path / "p.cxi", [7, 0, 2, 9], 4)
    with pytest.warns(CrystintWarning, match=r"4 columns have in 2 frames, the first of them frame 0: 8 peaks"):
        peaks = read_peaks(path)
    assert np.bincount(peaks["frame"]).tolist() == [4, 0, 2, 4]
    assert peaks["fast"][:4].tolist() == [10.5, 11.5, 12.5, 13.5]


@pytest.mark.parametrize(
    ("counts", "others"), [([1, -1], {}), ([1, 2], {"peakSNR": (2, 5)}), ([1, 2], {"peakSNR": (3, 4)})]
)
def test_cxi_of_tables_that_do_not_belong_together(
    tmp_path: Path, counts: list[int], others: dict[str, tuple[int, int]]
) -> None:
    with pytest.raises(FileError, match="expected a count, 0 or more, and a row of each table"):
        read_peaks(tables(tmp_path / "p.cxi", counts, 4, **others))
