"""CBC tables in files: everything comes back exactly; foreign files are read; what is wrong is said."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from crystint.cbc.table.setup import CBCSetup
from crystint.cbc.table.table import CBCTable
from crystint.cbc.table.table_files import read_table, write_table
from crystint.errors import CrystintError, FileError, SettingError
from crystint.io.cbc import table_csv
from tests.cbc.test_table import same
from tests.conftest import shared_data


def made(rng: np.random.Generator, streaks: int = 40, extra: bool = True) -> CBCTable:
    """Streaks of random length with awkward values in every column."""
    length = rng.integers(1, 12, streaks)
    streak = np.repeat(np.arange(streaks) * 3 + 5, length)
    n = len(streak)
    odd = np.array([-0.0, 5e-324, -1.7976931348623157e308, 0.1, 1 / 3, 2.0**53, 1e16, 1e22, 123456789.125])
    floats = rng.normal(size=n) * 10.0 ** rng.integers(-300, 300, n)
    floats[: min(n, len(odd))] = odd[: min(n, len(odd))]
    columns: dict[str, Any] = {
        "frame": streak // 17,
        "streak": streak,
        "x": np.arange(n) - np.repeat(np.cumsum(length) - length, length),
        "y": streak % 7,
        "counts": floats,
        "background": rng.permutation(floats),
        "profile": np.abs(rng.permutation(floats)) + 5e-324,
        "hkl": np.repeat(rng.integers(1, 20, (streaks, 3)), length, axis=0),
        "u": rng.normal(size=(n, 2)),
        "q2": np.where(rng.random(n) < 0.5, np.nan, floats),
        "chi": np.where(rng.random(n) < 0.1, np.inf, 1.0),
    }
    if extra:
        columns |= {
            "run": rng.integers(-(2**62), 2**62, n),
            "ready": rng.random(n) < 0.5,
            "whole": np.arange(n, dtype=float),
            "pair": rng.normal(size=(n, 2)),
            "note": np.array(['say "yes", twice', "1", "ä€ \u2028", "", "True"])[rng.integers(0, 5, n)],
        }
        columns["note"][0] = "a,b"
    return CBCTable.from_columns(columns)


@pytest.mark.parametrize("ending", ["csv", "h5"])
@pytest.mark.parametrize("rows", [7, 1 << 16])
def test_every_column_comes_back_exactly(
    ending: str, rows: int, rng: np.random.Generator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(table_csv, "_ROWS", rows)
    monkeypatch.setattr(table_csv, "_BYTES", 500)  # many blocks: the fast way and the slow way take turns
    path = tmp_path / f"table.{ending}"
    for table in (made(rng), made(rng, extra=False), made(rng, streaks=1, extra=False)):
        write_table(path, table, overwrite=True)
        back = read_table(path)
        assert same(back, table)
        if ending == "csv":
            assert np.signbit(back.counts[0]) == np.signbit(table.counts[0])
    assert [each.name for each in tmp_path.iterdir()] == [path.name]


def test_hdf5_keeps_dtypes_of_other_columns_units_and_setup(tmp_path: Path, rng: np.random.Generator) -> None:
    table = made(rng)
    n = len(table)
    extra = {"small": np.arange(n, dtype=np.uint16), "single": rng.normal(size=n).astype(np.float32)}
    table = table.replace(extra={**table.extra, **extra, "huge": np.full(n, 2**64 - 1, np.uint64)})
    path = tmp_path / "table.h5"
    setup = CBCSetup.read(shared_data("cbc/cbc_case.h5"))
    write_table(path, table, setup=setup, provenance={"program": "test", "settings": {"a": 1}})
    assert same(read_table(path), table)
    assert np.array_equal(CBCSetup.read(path).rotation, setup.rotation)
    with h5py.File(path) as file:
        assert file["entry/table/counts"].attrs["units"] == "count"
        assert "streak" in file["entry/table/profile"].attrs["long_name"]
        assert file["entry/process/program"].asstr()[()] == "test"
    with pytest.raises(FileError, match="exists"):
        write_table(path, table)
    with pytest.raises(FileError, match="column huge has numbers above"):
        write_table(tmp_path / "table.csv", table)
    with pytest.raises(FileError, match="holds no geometry"):
        write_table(tmp_path / "table.csv", table, setup=setup)
    with pytest.raises(FileError, match=r"unknown ending '\.txt', expected \.csv, \.h5"):
        write_table(tmp_path / "table.txt", table)


@pytest.mark.parametrize("odd", [-0.0, 1e20, 2.0**53])
def test_counts_are_written_as_whole_numbers_only_where_that_changes_nothing(
    odd: float, tmp_path: Path, rng: np.random.Generator
) -> None:
    table = made(rng, extra=False)
    counts = np.arange(float(len(table)))
    counts[3] = odd
    table = table.replace(counts=counts)
    write_table(tmp_path / "t.csv", table)
    back = read_table(tmp_path / "t.csv")
    assert back.counts.tobytes() == counts.tobytes()


def test_an_empty_table_is_kept(tmp_path: Path, rng: np.random.Generator) -> None:
    empty = made(rng, extra=False).select(rows=np.array([], int))
    for ending in ("csv", "h5"):
        write_table(tmp_path / f"e.{ending}", empty)
        assert same(read_table(tmp_path / f"e.{ending}"), empty)


def test_the_case_with_known_truth_is_read_and_goes_through_both_formats(tmp_path: Path) -> None:
    path = shared_data("cbc/cbc_case.h5")
    table = read_table(path)
    with h5py.File(path) as file:
        for name, values in table.to_columns("cbclib").items():
            assert np.array_equal(values, file["table"][name][()]), name
    part = table.select(frames=[2, 5])
    for ending in ("csv", "h5"):
        write_table(tmp_path / f"case.{ending}", part)
        assert same(read_table(tmp_path / f"case.{ending}"), part)
    lines = (tmp_path / "case.csv").read_text(encoding="utf-8").splitlines()
    assert lines[0] == "frame,streak,x,y,counts,background,profile,h,k,l,p"
    assert lines[1].startswith(f"2,{part.streak[0]},{part.x[0]},{part.y[0]},{int(part.counts[0])},")


def stored_by_pandas(path: Path, columns: dict[str, np.ndarray], kind: str) -> None:
    """The two layouts of pandas' HDFStore, as files made by pandas 3.0 with PyTables 3.11 show them."""
    with h5py.File(path, "w") as file:
        group = file.create_group("data")
        group.attrs["pandas_type"] = np.bytes_(kind)
        names = sorted(columns)
        blocks = [[name for name in names if columns[name].dtype.kind == each] for each in "if"]
        if kind == "frame":
            group["axis0"] = np.array(names, "S")
            group["axis1"] = np.arange(len(columns["x"]))
            group.attrs["nblocks"] = len(blocks)
            for number, block in enumerate(blocks):
                group[f"block{number}_items"] = np.array(block, "S")
                group[f"block{number}_values"] = np.stack([columns[name] for name in block], axis=1)
            return
        dtype = [("index", "i8"), ("values_block_0", "i8", len(blocks[0])), ("values_block_1", "f8", len(blocks[1]))]
        records = np.zeros(len(columns["x"]), dtype)
        for number, block in enumerate(blocks):
            records[f"values_block_{number}"] = np.stack([columns[name] for name in block], axis=1)
        group["table"] = records
        for number, block in enumerate(blocks):
            pickled = "(lp0\n" + "a".join(f"V{name}\np{place}\n" for place, name in enumerate(block, 1)) + "a."
            group["table"].attrs[f"values_block_{number}_kind"] = np.bytes_(pickled)


@pytest.mark.parametrize("names", ["crystint", "cbclib"])
@pytest.mark.parametrize("kind", ["frame", "frame_table"])
def test_frames_that_pandas_stored_are_read(kind: str, names: Any, tmp_path: Path, rng: np.random.Generator) -> None:
    table = made(rng, extra=False)
    path = tmp_path / "pandas.h5"
    stored_by_pandas(path, table.to_columns(names), kind)
    assert same(read_table(path), table)
    assert same(read_table(path, "data"), table)
    with h5py.File(path, "a") as file:
        file["data"].attrs["pandas_type"] = np.bytes_("series")
    with pytest.raises(FileError, match="'series' of pandas, expected a data frame"):
        read_table(path)


def test_records_and_groups_of_other_names_are_read(tmp_path: Path, rng: np.random.Generator) -> None:
    table = made(rng, extra=False)
    columns = table.to_columns("cbclib")
    records = np.zeros(len(table), [(name, values.dtype) for name, values in columns.items()])
    for name, values in columns.items():
        records[name] = values
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["deep/records"] = records
        for name, values in columns.items():
            file[f"mine/{name}"] = values
    for key in ("deep/records", "/mine"):
        assert same(read_table(tmp_path / "other.h5", key), table)
    with pytest.raises(FileError, match="no table of streak pixels at /entry/table, /table, /data, /; name its group"):
        read_table(tmp_path / "other.h5")


def test_csv_of_other_programs(tmp_path: Path) -> None:
    """pandas' row numbers, floats where whole numbers belong, empty cells, line ends of Windows, a byte order mark."""
    path = tmp_path / "other.csv"
    lines = [
        ",frames,index,x,y,I_raw,bgd,rp,h,k,l,sfac,who",
        "0,0.0,0,5,6,-1.5,0.25,1,1,2.0,-3,,ann",
        '1,0.0,0,6,6,7,1e-3,.5,1,2.0,-3,4.5,"b, c"',
    ]
    path.write_bytes(b"\xef\xbb\xbf" + "\r\n".join([*lines, ""]).encode())
    table = read_table(path)
    assert table.counts.tolist() == [-1.5, 7.0]
    assert table.hkl is not None
    assert table.hkl.tolist() == [[1, 2, -3]] * 2
    assert table.q2 is not None
    assert np.isnan(table.q2[0])
    assert table.q2[1] == 4.5
    assert table.extra["who"].tolist() == ["ann", "b, c"]
    assert list(table.extra) == ["who"]


def test_a_column_that_turns_to_text_far_down_is_text_from_the_start(
    tmp_path: Path, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(table_csv, "_BYTES", 300)
    table = made(rng, extra=False)
    note = np.array([f"0{number}" for number in range(len(table))])
    note[-1] = "last"
    table = table.replace(extra={"note": note})
    write_table(tmp_path / "t.csv", table)
    assert read_table(tmp_path / "t.csv").extra["note"].tolist() == note.tolist()


HEAD = "frame,streak,x,y,counts,background,profile"
CSV: list[tuple[bytes, type[CrystintError], str]] = [
    (f"{HEAD}\n0,0,1,1,5,1,1\n0,0,2,1,5,1\n".encode(), FileError, "line 3: 6 cells, expected 7"),
    (f"{HEAD}\n0,0,1,1,5,1,1,9\n".encode(), FileError, "line 2: 8 cells, expected 7"),
    (f"{HEAD}\n\n0,0,1,1,5,1,1\n0,0,2,1,five,1,1\n".encode(), FileError, "line 4: counts is 'five', expected a number"),
    (f"{HEAD}\n0,0,1,1,5,1,1\n0,0,2,1,5,1,0.9".encode(), FileError, "cut short: line 3 has no end"),
    (f"{HEAD}\n0,0,1,1,5,1,1\n0,0,2,1,,1,1\n".encode(), SettingError, "bad.csv: row 1 .*counts is nan"),
    (f"{HEAD}\n0,0,1.5,1,5,1,1\n".encode(), SettingError, "row 0: x is 1.5, expected a whole number"),
    (f"{HEAD},x\n".encode(), FileError, "the column x twice"),
    (b"frame,x,y\n1,2,3\n", SettingError, r"no column streak \(or index\), counts"),
    (b"frame;streak;x\n0;0;1\n", FileError, "separated by something else"),
    (b"", FileError, "first line has no names"),
    (b"\x00\x01\x02\xff\xfe" * 50, FileError, "it is not text"),
    (b"frame,streak\x00\n", FileError, "it is not text"),
    (f'{HEAD}\n0,0,1,1,5,1,"1\n'.encode(), FileError, "after line 1: unexpected end of data"),
]


@pytest.mark.parametrize(("content", "kind", "message"), CSV)
def test_bad_csv_files_are_refused(content: bytes, kind: type[CrystintError], message: str, tmp_path: Path) -> None:
    path = tmp_path / "bad.csv"
    path.write_bytes(content)
    with pytest.raises(kind, match=message):
        read_table(path)


def test_what_csv_cannot_give_back_is_not_written(tmp_path: Path, rng: np.random.Generator) -> None:
    table = made(rng, extra=False)
    n = len(table)
    for name, values, message in [
        ("cube", np.zeros((n, 2, 2)), "more than"),
        ("a[0]", np.zeros(n), "a name that means something else"),
        ("", np.zeros(n), "a name that means something else"),
        ("note", np.full(n, "a\nb"), "line breaks"),
        ("note", np.full(n, "007"), "looks like numbers"),
        ("note", np.full(n, "False"), "looks like numbers or truth values"),
    ]:
        with pytest.raises(FileError, match=message):
            write_table(tmp_path / "t.csv", table.replace(extra={name: values}))
    assert not list(tmp_path.iterdir())


def test_damaged_and_foreign_hdf5_files_are_refused(tmp_path: Path, rng: np.random.Generator) -> None:
    table = made(rng)
    path = tmp_path / "t.h5"
    write_table(path, table)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(FileError, match="truncated or damaged"):
        read_table(path)
    with h5py.File(tmp_path / "t2.h5", "w") as file:
        file.create_group("entry").attrs["crystint_cbc"] = 99
    with pytest.raises(FileError, match="version 99 of the layout, this crystint knows 1"):
        read_table(tmp_path / "t2.h5")
    path.write_bytes(whole)
    with h5py.File(path, "a") as file:
        place = file["entry/table/counts"].id.get_chunk_info(0)
        offset, size = place.byte_offset, place.size
    raw = bytearray(path.read_bytes())
    raw[offset : offset + size] = b"\xff" * size
    path.write_bytes(raw)
    with pytest.raises(FileError, match=r"t.h5: it is damaged"):
        read_table(path)
    path.write_bytes(whole)
    with h5py.File(path, "a") as file:
        file["entry/table/profile"][3] = 0.0
    with pytest.raises(SettingError, match=r"t.h5: row 3 .*profile is 0.0"):
        read_table(path)
    with h5py.File(path, "a") as file:
        del file["entry/table/profile"]
    with pytest.raises(SettingError, match=r"t.h5: there is no column profile \(or rp\)"):
        read_table(path)
    with pytest.raises(FileError, match="does not exist"):
        read_table(tmp_path / "absent.h5")
    (tmp_path / "text.h5").write_text("frame,x\n")
    with pytest.raises(FileError, match="not an HDF5 file"):
        read_table(tmp_path / "text.h5")
