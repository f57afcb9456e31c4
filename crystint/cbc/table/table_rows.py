"""Rows of CBC tables put in order, numbered anew and joined."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from crystint.cbc.table.columns import real, whole
from crystint.errors import SettingError

__all__ = ["arranged", "chosen", "joined", "stacked", "starts"]

Columns = dict[str, NDArray[Any]]


class Joinable(Protocol):
    """A table that can be joined to others."""

    @property
    def frame(self) -> NDArray[np.int64]: ...
    @property
    def frames(self) -> NDArray[np.int64]: ...
    def columns(self) -> tuple[str, ...]: ...
    def to_columns(self) -> Columns: ...


def starts(values: NDArray[Any]) -> NDArray[np.intp]:
    """First row of each run of equal values."""
    return np.flatnonzero(np.concatenate([[True], values[1:] != values[:-1]])[: len(values)])


def stacked(columns: Columns, parts: tuple[str, ...], dtype: Any) -> NDArray[Any] | None:
    """Take columns out of `columns` and put them side by side, [n, parts]; None when there is none of them.

    Raises
    ------
    SettingError
        When some are missing, or an index is missing or not whole.
    """
    present = [part for part in parts if part in columns]
    if not present:
        return None
    if len(present) < len(parts):
        missing = ", ".join(part for part in parts if part not in columns)
        raise SettingError(
            f"the columns {', '.join(present)} are there, {missing} missing: expected all or none of them"
        )
    stack = np.empty((len(columns[parts[0]]), len(parts)), dtype)
    for number, part in enumerate(parts):
        values = columns.pop(part)
        stack[:, number] = whole(part, values, dtype) if np.issubdtype(dtype, np.integer) else real(part, values)
    stack.flags.writeable = False
    return stack


def arranged(columns: Columns) -> Columns:
    """Rows sorted by frame and streak, otherwise in the order they have; streaks numbered 0, 1, ... in that order."""
    frame, streak = columns["frame"], columns["streak"]
    order = np.lexsort((streak, frame))
    made = columns
    if (order[1:] < order[:-1]).any():
        made = {name: values[order] for name, values in columns.items()}
    frame, streak = made["frame"], made["streak"]
    number = np.zeros(len(frame), np.int64)
    np.cumsum((frame[1:] != frame[:-1]) | (streak[1:] != streak[:-1]), out=number[1:])
    return {**made, "streak": number}


def chosen(rows: NDArray[Any], n: int) -> NDArray[np.bool_]:
    """`rows`, a mask or ascending numbers, as a mask of `n` rows.

    Raises
    ------
    SettingError
        For a mask of another length, or numbers that are not ascending or not of a row.
    """
    if rows.dtype == bool and rows.shape == (n,):
        return rows
    if rows.ndim != 1 or (len(rows) and rows.dtype.kind not in "iu"):
        raise SettingError(f"rows is {rows.dtype} {rows.shape}, expected a mask ({n},) or the numbers of rows")
    if len(rows) and (rows[0] < 0 or rows[-1] >= n or (rows[1:] <= rows[:-1]).any()):
        raise SettingError(f"rows are not ascending numbers from 0 to {n - 1}, expected each row once, in order")
    mask = np.zeros(n, bool)
    mask[rows.astype(np.intp)] = True
    return mask


def joined(tables: Sequence[Joinable], number_frames: bool) -> Columns:
    """Columns of all tables, one table after the other, frames and streaks told apart.

    Raises
    ------
    SettingError
        For no table, different columns, or a frame in two tables when `number_frames` is False.
    """
    if not tables:
        raise SettingError("there are no tables to join, expected one or more")
    for number, table in enumerate(tables):
        odd = sorted(set(table.columns()) ^ set(tables[0].columns()))
        if odd:
            raise SettingError(
                f"table {number} and table 0 differ in the columns {', '.join(odd)}; expected the same in all"
            )
    columns = [table.to_columns() for table in tables]
    if number_frames:
        first = 0
        for table, own in zip(tables, columns):
            own["frame"] = first + np.searchsorted(table.frames, table.frame)
            first += len(table.frames)
    else:
        unique, times = np.unique(np.concatenate([table.frames for table in tables]), return_counts=True)
        if (times > 1).any():
            raise SettingError(
                f"frame {unique[np.argmax(times > 1)]} is in two tables, expected each in one; number_frames=True "
                "numbers the frames anew, table by table"
            )
    return {name: np.concatenate([own[name] for own in columns]) for name in columns[0]}
