"""What must hold for the rows of a CBC table; the first row that breaks it is named."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from crystint.arrays import Bools
from crystint.cbc.protocols import Columns
from crystint.errors import SettingError

__all__ = ["check_rows"]


def check_rows(table: Columns) -> None:
    """Raise unless the rows are in order, their values can be used, and no pixel comes twice in a streak.

    Raises
    ------
    SettingError
        With row, column, value, and what was expected.
    """
    _check_values(table)
    if len(table.frame):
        _check_order(table)
        _check_pixels(table)


def _check_values(table: Columns) -> None:
    for name in ("x", "y"):
        values = getattr(table, name)
        _refuse(table, name, values, values < 0, "a pixel number, 0 or above")
    for name in ("counts", "background"):
        values = getattr(table, name)
        _refuse(table, name, values, ~np.isfinite(values), "a finite number; leave masked pixels out of the table")
    profile = table.profile
    with np.errstate(invalid="ignore"):
        wrong = np.logical_not((profile > 0.0) & (profile < np.inf))
    _refuse(table, "profile", profile, wrong, "a finite number above 0; leave out pixels the streak does not reach")
    if table.hkl is not None:
        wrong = (table.hkl == 0).all(axis=1)
        _refuse(table, "hkl", table.hkl, wrong, "the indices of a reflection: this streak is without; leave it out")


def _check_order(table: Columns) -> None:
    """Frames and streaks ascend; a streak stays in one frame and has one hkl."""
    frame, streak = table.frame, table.streak
    wrong = frame[1:] < frame[:-1]
    _refuse(table, "frame", frame, _after(wrong), "frames in ascending order; arrange=True sorts rows")
    same = streak[1:] == streak[:-1]
    wrong = same & (frame[1:] != frame[:-1])
    if wrong.any():
        row = int(np.argmax(wrong)) + 1
        raise SettingError(
            f"row {row}: streak {streak[row]} is in frame {frame[row - 1]} and in frame {frame[row]}, expected one "
            "frame per streak; arrange=True numbers the streaks of each frame anew"
        )
    wrong = streak[1:] < streak[:-1]
    expected = "streaks numbered in ascending order over the whole table; arrange=True sorts rows and numbers them anew"
    _refuse(table, "streak", streak, _after(wrong), expected)
    if table.hkl is not None:
        wrong = same & (table.hkl[1:] != table.hkl[:-1]).any(axis=1)
        if wrong.any():
            row = int(np.argmax(wrong)) + 1
            first, second = (tuple(table.hkl[number].tolist()) for number in (row - 1, row))
            raise SettingError(f"row {row}: hkl of streak {streak[row]} changes from {first} to {second}")


def _check_pixels(table: Columns) -> None:
    """A pixel comes once in a streak. Linear in memory; sorts only where rows of a streak are not in raster order."""
    number = np.zeros(len(table.frame), np.int64)
    np.cumsum(table.streak[1:] != table.streak[:-1], out=number[1:])
    for values in (table.y, table.x):
        span = int(values.max()) + 1
        if (int(number.max()) + 1) * span > np.iinfo(np.int64).max:
            number = np.unique(number, return_inverse=True)[1].astype(np.int64)
        number *= span
        number += values
    if (number[1:] > number[:-1]).all():
        return
    ordered = np.sort(number)
    twice = ordered[1:][ordered[1:] == ordered[:-1]]
    if len(twice):
        row = int(np.flatnonzero(np.isin(number, twice))[0])
        again = int(np.flatnonzero(number == number[row])[1])
        raise SettingError(
            f"row {again}: pixel x {table.x[again]}, y {table.y[again]} is in streak {table.streak[again]} twice, the "
            f"first time in row {row}; expected each pixel once in a streak"
        )


def _after(wrong: Bools) -> Bools:
    """From a statement about rows 1 and following to one about all rows."""
    return np.concatenate([[False], wrong])


def _refuse(table: Columns, name: str, values: NDArray[np.generic], wrong: Bools, expected: str) -> None:
    if wrong.any():
        row = int(np.argmax(wrong))
        value = tuple(values[row].tolist()) if values.ndim > 1 else values[row]
        after = f" after {values[row - 1]}" if name in ("frame", "streak") else ""
        raise SettingError(
            f"row {row} (frame {table.frame[row]}, streak {table.streak[row]}): {name} is {value}{after}, "
            f"expected {expected}"
        )
