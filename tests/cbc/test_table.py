"""CBCTable: what it takes, what it refuses and how it says so, and that nothing changes on the way through."""

from __future__ import annotations

import pickle
import sys
from dataclasses import FrozenInstanceError
from typing import Any

import h5py
import numpy as np
import pytest

from crystint.cbc.table.table import CBCTable
from crystint.errors import DTypeError, SettingError, ShapeError
from tests.conftest import shared_data

Columns = dict[str, Any]


def columns() -> Columns:
    """Two frames, three streaks, a pixel that two streaks share; counts negative and fractional."""
    return {
        "frame": np.array([4, 4, 4, 4, 9, 9]),
        "streak": np.array([0, 0, 1, 1, 7, 7]),
        "x": np.array([5, 6, 6, 7, 5, 6]),
        "y": np.array([1, 1, 1, 1, 2, 2]),
        "counts": np.array([-1.5, 0.1, 0.1, 3.0, 1e-9, 2.0**53]),
        "background": np.array([0.0, 1.0, 1.0, -2.0, 0.5, 1.0]),
        "profile": np.array([1e-30, 0.5, 0.5, 1.0, 2.0, 0.1]),
        "h": np.array([1, 1, 0, 0, -2, -2]),
        "k": np.array([0, 0, 0, 0, 3, 3]),
        "l": np.array([0, 0, 2, 2, 1, 1]),
    }


def same(first: CBCTable, second: CBCTable) -> bool:
    a, b = first.to_columns(), second.to_columns()
    return list(a) == list(b) and all(
        a[name].dtype == b[name].dtype and np.array_equal(a[name], b[name], equal_nan=a[name].dtype.kind == "f")
        for name in a
    )


def test_columns_have_the_dtypes_and_values_they_should() -> None:
    table = CBCTable.from_columns(columns())
    assert (table.frame.dtype, table.streak.dtype, table.x.dtype, table.y.dtype) == ("i8", "i8", "i4", "i4")
    assert table.counts.tolist() == columns()["counts"].tolist()
    assert table.hkl is not None
    assert table.hkl.tolist() == [[1, 0, 0], [1, 0, 0], [0, 0, 2], [0, 0, 2], [-2, 3, 1], [-2, 3, 1]]
    assert table.hkl.dtype == np.int32
    assert len(table) == 6
    assert table.frames.tolist() == [4, 9]
    assert table.frame_starts.tolist() == [0, 4]
    assert table.streak_starts.tolist() == [0, 2, 4]
    assert "6 rows, 2 frames, 3 streaks" in repr(table)
    assert table.u is table.p is table.q2 is table.chi is None


def test_names_of_cbclib_structured_arrays_and_frames_give_the_same_table() -> None:
    table = CBCTable.from_columns(columns())
    theirs = table.to_columns("cbclib")
    assert list(theirs)[:7] == ["frames", "index", "x", "y", "I_raw", "bgd", "rp"]
    record = np.zeros(6, [(name, values.dtype) for name, values in theirs.items()])
    for name, values in theirs.items():
        record[name] = values

    class Frame:
        columns = tuple(theirs)

        def __getitem__(self, name: str) -> list[Any]:
            return list(theirs[name])

    for given in (theirs, record, Frame(), {name: values.tolist() for name, values in theirs.items()}):
        assert same(CBCTable.from_columns(given), table)


def test_everything_optional_and_extra_comes_back() -> None:
    given = columns() | {
        "u_x": np.linspace(-0.1, 0.1, 6),
        "u_y": np.linspace(0.0, 0.3, 6),
        "p": np.full(6, 0.25),
        "sfac": np.full(6, np.nan),
        "xtal": np.arange(6.0),
        "run": np.array([1, 1, 1, 1, 2, 2], np.uint16),
        "note": np.array(list("abcdef"), object),
        "pair": np.arange(12).reshape(6, 2),
        "good": [True, False] * 3,
    }
    table = CBCTable.from_columns(given)
    assert table.u is not None
    assert table.u.tolist() == np.stack([given["u_x"], given["u_y"]], 1).tolist()
    assert table.chi is not None
    assert table.chi.tolist() == [0, 1, 2, 3, 4, 5]
    assert list(table.extra) == ["run", "note", "pair", "good"]
    assert table.extra["run"].dtype == np.uint16
    assert table.extra["note"].tolist() == list("abcdef")
    assert table.extra["pair"].shape == (6, 2)
    assert table.extra["good"].dtype == bool
    assert table.columns()[-8:] == ("u_y", "p", "q2", "chi", "run", "note", "pair", "good")
    for names in ("crystint", "cbclib"):
        assert same(CBCTable.from_columns(table.to_columns(names)), table)
    assert same(pickle.loads(pickle.dumps(table)), table)
    assert dict(table.items()).keys() == table.to_columns().keys()
    hkl = {**{name: values for name, values in given.items() if name not in "hkl"}, "hkl": table.hkl}
    assert same(CBCTable.from_columns(hkl), table)


def test_nothing_can_be_changed_and_the_caller_keeps_his_arrays() -> None:
    given = columns()
    table = CBCTable.from_columns(given)
    given["counts"][0] = 99.0
    assert table.counts[0] == -1.5
    for values in table.to_columns().values():
        with pytest.raises(ValueError, match="read-only"):
            values[0] = 1
    with pytest.raises(FrozenInstanceError):
        table.counts = given["counts"]  # type: ignore[misc]
    with pytest.raises(TypeError):
        table.extra["new"] = given["counts"]  # type: ignore[index]
    kept = table.replace(q2=np.ones(6))
    assert kept.counts is table.counts
    assert kept.q2 is not None
    assert table.q2 is None


BAD: list[tuple[str, int, Any, str]] = [
    ("frame", 1, 5, "row 2 .frame 4, streak 1.: frame is 4 after 5"),
    ("streak", 5, 2, "row 5 .*streak is 2 after 7, expected streaks numbered in ascending order"),
    ("streak", 4, 1, "row 4: streak 1 is in frame 4 and in frame 9"),
    ("l", 3, 5, r"row 3: hkl of streak 1 changes from \(0, 0, 2\) to \(0, 0, 5\)"),
    ("profile", 2, np.nan, "row 2 .frame 4, streak 1.: profile is nan, expected a finite number above 0"),
    ("profile", 3, 0.0, "row 3 .*profile is 0.0"),
    ("profile", 5, -0.1, "row 5 .*profile is -0.1"),
    ("profile", 1, np.inf, "row 1 .*profile is inf"),
    ("counts", 4, np.nan, "row 4 .frame 9, streak 7.: counts is nan"),
    ("counts", 0, -np.inf, "row 0 .*counts is -inf"),
    ("background", 3, np.nan, "row 3 .*background is nan"),
    ("x", 1, -6, "row 1 .*x is -6"),
    ("y", 2, -1, "row 2 .*y is -1"),
    ("x", 3, 6, "row 3: pixel x 6, y 1 is in streak 1 twice, the first time in row 2"),
    ("x", 3, 6.5, "row 3: x is 6.5, expected a whole number"),
    ("x", 3, 2**31, "row 3: x is 2147483648"),
    ("x", 3, 2.0**31, "row 3: x is 2147483648.0"),
    ("streak", 5, 2.0**54, "row 5: streak is 1.8014398509481984e.16, expected a whole number"),
    ("h", 2, np.nan, "row 2: h is nan, expected a whole number"),
    ("counts", 2, 2**53 + 1, "row 2: counts is 9007199254740993, more than float64 holds"),
]


@pytest.mark.parametrize(("name", "row", "value", "message"), BAD)
def test_a_bad_value_is_named_with_row_and_column(name: str, row: int, value: Any, message: str) -> None:
    given = columns()
    if name == "counts" and isinstance(value, int):
        given[name] = np.zeros(6, np.int64)
    if isinstance(value, float):
        given[name] = given[name].astype(float)
    given[name][row] = value
    with pytest.raises(SettingError, match=message):
        CBCTable.from_columns(given)


def test_a_streak_without_hkl_is_refused() -> None:
    given = columns()
    given["l"][2:4] = 0
    with pytest.raises(SettingError, match=r"row 2 .*hkl is \(0, 0, 0\)"):
        CBCTable.from_columns(given)


def test_a_pixel_twice_in_a_streak_is_found_far_apart_and_with_huge_numbers() -> None:
    n = 100
    given = {name: np.ones(n) for name in ("counts", "background", "profile")}
    x = np.r_[np.arange(n - 1)[::-1], 40] * 20_000_000
    given |= {"frame": np.zeros(n, int), "streak": np.r_[np.zeros(50, int), np.full(50, 2**40)], "x": x, "y": x}
    first = int(np.flatnonzero(x == 40 * 20_000_000)[0])
    assert first > 50
    with pytest.raises(SettingError, match=f"row {n - 1}: pixel x 800000000, y 800000000 .* in row {first}"):
        CBCTable.from_columns(given)
    given["streak"][-1] += 1
    assert len(CBCTable.from_columns(given)) == n


def test_the_farthest_pixel_in_many_streaks_is_not_taken_for_one_that_comes_twice() -> None:
    """Streak, y and x in one 64-bit number would go round: streaks 0 and 4 differ by 4 x 2^31 x 2^31 = 2^64."""
    n, last = 5, 2**31 - 1
    given = {name: np.ones(n) for name in ("counts", "background", "profile")}
    given |= {"frame": np.zeros(n, int), "streak": np.arange(n), "x": np.full(n, last), "y": np.full(n, last)}
    assert CBCTable.from_columns(given).x.tolist() == [last] * n


def test_columns_that_cannot_be_are_refused() -> None:
    given = columns()
    without = {name: values for name, values in given.items() if name not in ("counts", "y")}
    with pytest.raises(SettingError, match=r"no column y, counts \(or I_raw\)"):
        CBCTable.from_columns(without)
    with pytest.raises(SettingError, match="counts is given twice"):
        CBCTable.from_columns(given | {"I_raw": given["counts"]})
    with pytest.raises(SettingError, match=r"h, k are there, l missing"):
        CBCTable.from_columns({name: values for name, values in given.items() if name != "l"})
    with pytest.raises(ShapeError, match=r"column p is \(5,\), expected 6 rows"):
        CBCTable.from_columns(given | {"p": np.ones(5)})
    with pytest.raises(ShapeError, match=r"hkl is \(6, 2\)"):
        CBCTable.from_columns({**given, "hkl": np.ones((6, 2))})
    with pytest.raises(DTypeError, match="column counts is <U1"):
        CBCTable.from_columns(given | {"counts": list("abcdef")})
    with pytest.raises(DTypeError, match="column odd is object"):
        CBCTable.from_columns(given | {"odd": np.array([1, "a", None, 2, 3, 4], object)})
    with pytest.raises(SettingError, match="plain array has no column names"):
        CBCTable.from_columns(np.ones((6, 8)))
    with pytest.raises(SettingError, match="a int has no columns"):
        CBCTable.from_columns(5)
    with pytest.raises(SettingError, match='expected "crystint" or "cbclib"'):
        CBCTable.from_columns(given).to_columns("other")  # type: ignore[arg-type]
    with pytest.raises(SettingError, match="cannot be called rp"):
        CBCTable.from_columns(given).replace(extra={"rp": np.ones(6)})
    with pytest.raises(ShapeError, match=r"column q2 is \(5,\), expected \(6,\)"):
        CBCTable.from_columns(given).replace(q2=np.ones(5))


def test_arrange_sorts_rows_and_numbers_streaks_of_each_frame() -> None:
    table = CBCTable.from_columns(columns())
    order = np.array([5, 2, 0, 4, 3, 1])
    mixed = {name: values[order] for name, values in table.to_columns().items()}
    mixed["streak"] = np.where(mixed["frame"] == 9, 0, mixed["streak"])  # streaks of frame 9 begin at 0 again
    with pytest.raises(SettingError, match="arrange=True"):
        CBCTable.from_columns(mixed)
    arranged = CBCTable.from_columns(mixed, arrange=True)
    assert arranged.streak.tolist() == [0, 0, 1, 1, 2, 2]
    assert arranged.x.tolist() == [5, 6, 6, 7, 6, 5]  # within a streak in the order given
    assert arranged.counts.tolist() == [-1.5, 0.1, 0.1, 3.0, 2.0**53, 1e-9]
    one_each = table.select(rows=table.streak != 1).to_columns()
    one_each["streak"] = np.zeros(4, int)
    assert CBCTable.from_columns(one_each, arrange=True).streak.tolist() == [0, 0, 1, 1]


def test_select_by_frames_and_rows() -> None:
    table = CBCTable.from_columns(columns() | {"run": np.arange(6)})
    assert table.select(frames=9).streak.tolist() == [7, 7]
    assert table.select(frames=[9, 4]) is table
    picked = table.select(frames=[4], rows=np.array([1, 3, 5]))
    assert picked.extra["run"].tolist() == [1, 3]
    assert picked.hkl is not None
    assert picked.hkl.tolist() == [[1, 0, 0], [0, 0, 2]]
    assert same(table.select(rows=table.x > 5), table.select(rows=np.array([1, 2, 3, 5])))
    assert len(table.select(rows=np.zeros(6, bool))) == 0
    with pytest.raises(SettingError, match="frame 5 has no rows in the table; its frames are 4 to 9"):
        table.select(frames=[4, 5])
    for rows in ([3, 1], [1, 1], [-1, 2], [2, 6]):
        with pytest.raises(SettingError, match="not ascending numbers from 0 to 5"):
            table.select(rows=np.array(rows))
    with pytest.raises(SettingError, match=r"expected a mask \(6,\)"):
        table.select(rows=np.ones(5, bool))


def test_an_empty_table_is_a_table() -> None:
    empty = CBCTable.from_columns(columns()).select(rows=np.array([], int))
    assert len(empty) == len(empty.frames) == len(empty.streak_starts) == 0
    assert same(CBCTable.from_columns(empty.to_columns()), empty)


def test_join_of_parts_is_the_whole() -> None:
    table = CBCTable.from_columns(columns() | {"run": np.arange(6)})
    parts = [table.select(frames=9), table.select(frames=4)]
    whole = CBCTable.join(parts)
    assert whole.streak.tolist() == [0, 0, 1, 1, 2, 2]
    assert same(whole.replace(streak=table.streak), table)
    with pytest.raises(SettingError, match="frame 4 is in two tables"):
        CBCTable.join([parts[1], table])
    twice = CBCTable.join([table, table], number_frames=True)
    assert twice.frames.tolist() == [0, 1, 2, 3]
    assert twice.streak.tolist() == [0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5]
    assert twice.counts.tolist() == table.counts.tolist() * 2
    with pytest.raises(SettingError, match="table 1 and table 0 differ in the columns run"):
        CBCTable.join([parts[0], parts[1].replace(extra={})])
    with pytest.raises(SettingError, match="no tables"):
        CBCTable.join([])


def test_the_case_with_known_truth_goes_in_and_out_exactly() -> None:
    with h5py.File(shared_data("cbc/cbc_case.h5")) as file:
        given = {name: values[()] for name, values in file["table"].items()}
        starts, streak_hkl = file["scaler/iidxs"][()], file["scaler/streak_hkl"][()]
    table = CBCTable.from_columns(given)
    assert (len(table), len(table.frames), len(table.streak_starts)) == (89589, 8, 718)
    assert np.array_equal(table.streak_starts, starts[:-1])
    assert table.hkl is not None
    assert np.array_equal(table.hkl[table.streak_starts], streak_hkl)
    back = table.to_columns("cbclib")
    assert set(back) == set(given)
    for name, values in given.items():
        assert np.array_equal(back[name], values), name
    assert same(CBCTable.join([table.select(frames=number) for number in range(8)]), table)


def test_a_table_as_a_data_frame(monkeypatch: pytest.MonkeyPatch) -> None:
    pandas = pytest.importorskip("pandas")
    table = CBCTable.from_columns({**columns(), "wide": np.arange(12.0).reshape(6, 2)})
    frame = table.to_pandas()
    assert isinstance(frame, pandas.DataFrame)
    assert list(frame)[:7] == ["frame", "streak", "x", "y", "counts", "background", "profile"]
    assert list(frame)[-2:] == ["wide[0]", "wide[1]"]
    assert frame["x"].dtype == np.int32
    again = CBCTable.from_columns(frame.drop(columns=["wide[0]", "wide[1]"]))
    for name, values in again.items():
        assert np.array_equal(values, dict(table.items())[name]), name
    assert "I_raw" in table.to_pandas("cbclib")
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(ImportError, match="pip install pandas"):
        table.to_pandas()
