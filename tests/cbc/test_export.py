"""Files of |q|^2 read back by gemmi, or column by column."""

from __future__ import annotations

from pathlib import Path

import gemmi
import numpy as np
import pytest

from crystint.cbc.merging.export import write_mtz, write_sfac, write_text
from crystint.errors import FileError, SettingError, ShapeError
from crystint.io.reflections.shelx import write_hklf4

CELL = (22.1, 27.3, 33.7, 90.0, 90.0, 90.0)
HKL = np.array([[1, 2, 3], [0, 0, 4], [-2, 1, 5], [10, 11, -12]])
VALUE = np.array([123.456, 0.5, np.nan, -3.25])
ERROR = np.array([1.5, 2.25, np.nan, 1.0])
COUNT = np.array([3, 1, 0, 7])


def table(path: Path) -> tuple[gemmi.Mtz, dict[str, np.ndarray]]:
    mtz = gemmi.read_mtz_file(str(path))
    return mtz, {column.label: np.array(column) for column in mtz.columns}


def test_merged_mtz(tmp_path: Path) -> None:
    path = tmp_path / "a.mtz"
    write_mtz(path, HKL, VALUE, ERROR, COUNT, symmetry="mmm", cell=CELL, wavelength=0.73, history=["one", "x" * 200])
    mtz, found = table(path)
    assert list(found) == ["H", "K", "L", "IMEAN", "SIGIMEAN", "N"]
    assert [column.type for column in mtz.columns] == list("HHHJQI")
    assert mtz.spacegroup.xhm() == "P m m m"
    assert mtz.cell.parameters == pytest.approx(CELL)
    assert mtz.datasets[1].wavelength == pytest.approx(0.73)
    assert mtz.history[1] == "one"
    assert len(mtz.history[2]) == 80
    assert np.stack([found["H"], found["K"], found["L"]], 1).tolist() == [[0, 0, 4], [1, 2, 3], [2, 1, 5], [10, 11, 12]]
    assert found["IMEAN"] == pytest.approx([0.5, 123.456, np.nan, -3.25], nan_ok=True)
    assert found["SIGIMEAN"] == pytest.approx([2.25, 1.5, np.nan, 1.0], nan_ok=True)
    assert found["N"].tolist() == [1, 3, 0, 7]


def test_friedel_mates_apart(tmp_path: Path) -> None:
    path = tmp_path / "a.mtz"
    hkl = np.array([[2, 1, 3], [-2, -1, -3], [2, 1, 0], [-3, -1, -4], [5, 4, 1], [-5, -4, -1]])
    value, error = [10.0, 16.0, 5.0, 7.0, 1.0, 3.0], [1.0, 2.0, 0.5, 0.7, np.nan, np.nan]
    write_mtz(path, hkl, value, error, [1, 2, 3, 4, 5, 6], symmetry="4mm", cell=(24.6, 24.6, 33.7, 90, 90, 90))
    mtz, found = table(path)
    assert [column.type for column in mtz.columns] == list("HHHJQIKMKMII")
    assert np.stack([found["H"], found["K"], found["L"]], 1).tolist() == [[2, 1, 0], [2, 1, 3], [3, 1, 4], [5, 4, 1]]
    nan = np.nan
    assert found["I(+)"] == pytest.approx([5.0, 10.0, nan, 1.0], nan_ok=True)
    assert found["SIGI(+)"] == pytest.approx([0.5, 1.0, nan, nan], nan_ok=True)
    assert found["I(-)"] == pytest.approx([nan, 16.0, 7.0, 3.0], nan_ok=True)
    assert found["SIGI(-)"] == pytest.approx([nan, 2.0, 0.7, nan], nan_ok=True)
    assert found["N(+)"].tolist() == [3, 1, 0, 5]
    assert found["N(-)"].tolist() == [0, 2, 4, 6]
    assert found["N"].tolist() == [3, 3, 4, 11]
    assert found["IMEAN"] == pytest.approx([5.0, (10.0 + 16.0 / 4) / 1.25, 7.0, 2.0])
    assert found["SIGIMEAN"] == pytest.approx([0.5, np.sqrt(1 / 1.25), 0.7, nan], nan_ok=True)
    pairs = gemmi.Intensities()
    pairs.import_mtz(mtz, gemmi.DataType.Anomalous)
    assert len(pairs) == 4  # those with a sigma


def test_unmerged_mtz(tmp_path: Path) -> None:
    path = tmp_path / "a.mtz"
    hkl = np.array([[1, 2, 3], [-1, 2, 3], [1, -2, -3], [1, 2, 3]])
    write_mtz(path, hkl, [4.0, 3.0, 2.0, 1.0], [0.1] * 4, [1] * 4, batch=[7, 0, 7, 0], symmetry="222", cell=CELL)
    mtz, found = table(path)
    assert [column.type for column in mtz.columns] == list("HHHYBJQI")
    assert [batch.number for batch in mtz.batches] == [1, 8]
    assert mtz.switch_to_original_hkl()
    rows = np.stack([np.array(mtz.column_with_label(label)) for label in ("H", "K", "L", "BATCH", "I")], axis=1)
    expected = np.column_stack([hkl, [8, 1, 8, 1], [4.0, 3.0, 2.0, 1.0]])
    assert sorted(rows.tolist()) == sorted(expected.tolist())
    assert found["H"].tolist() == [1, 1, 1, 1]
    isym = found["M/ISYM"]
    assert sorted(zip(isym, found["BATCH"])) == list(zip(isym, found["BATCH"]))
    data = gemmi.Intensities()
    data.import_mtz(gemmi.read_mtz_file(str(path)), gemmi.DataType.Unmerged)
    assert len(data) == 4


def test_mtz_refuses(tmp_path: Path) -> None:
    path = tmp_path / "a.mtz"
    with pytest.raises(SettingError, match="unit cell"):
        write_mtz(path, HKL, VALUE, ERROR, COUNT)
    with pytest.raises(SettingError, match=r"more than once.*merge in that symmetry"):
        write_mtz(path, [[1, 2, 3], [1, -2, 3]], [1, 1], [1, 1], [1, 1], symmetry="mmm", cell=CELL)
    with pytest.raises(SettingError, match="unknown symmetry"):
        write_mtz(path, HKL, VALUE, ERROR, COUNT, symmetry="xyz", cell=CELL)
    with pytest.raises(ShapeError, match="sigma is"):
        write_mtz(path, HKL, VALUE, ERROR[:2], COUNT, cell=CELL)
    with pytest.raises(SettingError, match="batch"):
        write_mtz(path, HKL, VALUE, ERROR, COUNT, batch=[0, 1, -1, 2], cell=CELL)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("suffix", [".mtz", ".hkl", ".txt"])
def test_existing_files_stay_unless_allowed(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a{suffix}"
    path.write_text("mine")
    merged = {"hkl": HKL, "sfac": VALUE, "serr": ERROR, "cnts": COUNT}
    with pytest.raises(FileError, match="exists"):
        write_sfac(path, merged, cell=CELL)
    assert path.read_text() == "mine"
    write_sfac(path, merged, symmetry="mmm", cell=CELL, overwrite=True)
    assert path.read_bytes() != b"mine"
    assert len(list(tmp_path.iterdir())) == 1


def test_suffix_decides(tmp_path: Path) -> None:
    merged = {"hkl": HKL, "sfac": VALUE, "serr": ERROR, "cnts": COUNT}
    with pytest.raises(SettingError, match=r"not to \.cif"):
        write_sfac(tmp_path / "a.cif", merged)
    write_sfac(tmp_path / "a.HKL", {**merged, "batch": [0, 1, 2, 3]}, symmetry="mmm")
    assert len((tmp_path / "a.HKL").read_text().splitlines()[0]) == 32


def test_hklf4_fields(tmp_path: Path) -> None:
    path = tmp_path / "a.hkl"
    assert write_hklf4(path, HKL, VALUE, ERROR) == 1.0
    assert path.read_text().splitlines() == [
        "   1   2   3  123.46    1.50",
        "   0   0   4    0.50    2.25",
        "  10  11 -12   -3.25    1.00",
        "   0   0   0    0.00    0.00",
    ]
    assert write_hklf4(path, HKL, VALUE, ERROR, batch=[0, 5, 6, 9998 - 1], overwrite=True) == 1.0
    assert path.read_text().splitlines()[2:] == [
        "  10  11 -12   -3.25    1.009998",
        "   0   0   0    0.00    0.00   0",
    ]


@pytest.mark.parametrize(("value", "error", "scale"), [
    ([1e6, 5.0], [1e3, 2.0], 0.01), ([99999.99, 5.0], [1e3, 2.0], 1.0), ([99999.996, 5.0], [1e3, 2.0], 0.1),
    ([0.5, 0.002], [0.01, 0.001], 1e5), ([20.0, -10000.0], [2.0, 2.0], 0.1), ([20.0, -9999.99], [2.0, 2.0], 1.0),
    ([9.0, 2.0], [1.0, 2.0], 1.0), ([9.0, 2.0], [0.9, 2.0], 1e4), ([0.0, 0.0], [0.0, 0.0], 1.0),
    ([5.0, 1.0], [1e7, 1.0], 1e-3),
])  # fmt: skip
def test_hklf4_scale(tmp_path: Path, value: list[float], error: list[float], scale: float) -> None:
    path = tmp_path / "a.hkl"
    assert write_hklf4(path, [[1, 0, 0], [0, 1, 0]], value, error) == pytest.approx(scale)
    lines = path.read_text().splitlines()
    if scale != 1.0:
        assert lines.pop().endswith(f": intensities and sigmas are multiplied by {scale:g}")
    assert {len(line) for line in lines} == {28}
    read = np.array([[float(line[12:20]), float(line[20:28])] for line in lines[:-1]])
    assert read[:, 0] == pytest.approx(np.array(value) * scale, abs=0.00501)
    assert read[:, 1] == pytest.approx(np.maximum(np.array(error) * scale, 0.01), abs=0.00501)


def test_hklf4_fields_touch(tmp_path: Path) -> None:
    path = tmp_path / "a.hkl"
    write_hklf4(path, [[-100, -200, -300]], [12345.67], [-0.0])
    line = path.read_text().splitlines()[0]
    assert line == "-100-200-30012345.67    0.01"


def test_hklf4_refuses(tmp_path: Path) -> None:
    path = tmp_path / "a.hkl"
    one = np.array([[1, 0, 0]])
    with pytest.raises(SettingError, match="do not fit"):
        write_hklf4(path, one, [1e6], [1.0], scale=1.0)
    with pytest.raises(SettingError, match="-1000 to 0"):
        write_hklf4(path, [[-1000, 0, 0]], [1.0], [1.0])
    with pytest.raises(SettingError, match="batch 9999"):
        write_hklf4(path, one, [1.0], [1.0], batch=[9999])
    for nothing in ([[0, 0, 0]], [5.0], [1.0]), (one, [np.nan], [1.0]), (one, [1.0], [np.nan]):
        with pytest.raises(SettingError, match="nothing to write"):
            write_hklf4(path, *nothing)
    assert write_hklf4(path, one, [1e6], [1.0], scale=0.05) == 0.05
    assert path.read_text().startswith("   1   0   050000.00    0.05\n")


def test_text(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    write_text(path, HKL, VALUE, ERROR, COUNT, symmetry="mmm", cell=CELL, wavelength=0.73, history=["bandwidth 0.001"])
    text = path.read_text()
    for part in ("4 reflections", "P m m m", "22.1 27.3 33.7 90 90 90", "0.73 angstrom", "# bandwidth 0.001"):
        assert part in text
    assert "h    k    l" in text.splitlines()[len([x for x in text.splitlines() if x.startswith("#")]) - 1]
    read = np.loadtxt(path)
    assert np.array_equal(read[:, :3], HKL)
    assert read[:, 3] == pytest.approx(VALUE, rel=1e-6, nan_ok=True)
    assert read[:, 4] == pytest.approx(ERROR, rel=1e-6, nan_ok=True)
    assert np.array_equal(read[:, 5], COUNT)
    write_text(path, HKL, VALUE, ERROR, COUNT, batch=[4, 5, 6, 7], overwrite=True)
    assert np.loadtxt(path)[:, 6].tolist() == [4, 5, 6, 7]
    assert "equal indices only" in path.read_text()
