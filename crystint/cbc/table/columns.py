"""Names, units and meaning of the columns of a CBC table, and their conversion without loss."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crystint.errors import DTypeError, SettingError, ShapeError

__all__ = ["CBCLIB", "MEANING", "OPTIONAL", "REQUIRED", "given_columns", "plain", "real", "whole"]

REQUIRED = ("frame", "streak", "x", "y", "counts", "background", "profile")
OPTIONAL = ("h", "k", "l", "p", "u_x", "u_y", "q2", "chi")
CBCLIB = {
    "frame": "frames",
    "streak": "index",
    "counts": "I_raw",
    "background": "bgd",
    "profile": "rp",
    "q2": "sfac",
    "chi": "xtal",
}
"""Names that differ in cbclib; x, y, h, k, l and p are called the same."""
MEANING: dict[str, tuple[str, str]] = {
    "frame": ("", "number of the frame, ascending"),
    "streak": ("", "number of the streak in the whole table, ascending"),
    "x": ("pixel", "number of the pixel along the fast axis"),
    "y": ("pixel", "number of the pixel along the slow axis"),
    "counts": ("count", "as recorded: negative and fractional ones too"),
    "background": ("count", "expected without the streaks"),
    "profile": ("", "standard profile f^2 of the streak in the pixel"),
    "h": ("", "Miller index"),
    "k": ("", "Miller index"),
    "l": ("", "Miller index"),
    "p": ("", "normalised pattern, 0 to 1"),
    "u_x": ("", "x of the incident unit wavevector"),
    "u_y": ("", "y of the incident unit wavevector"),
    "q2": ("count", "|q|^2 of the reflection"),
    "chi": ("", "projection map of the crystal at u"),
}
"""Unit and meaning of each column."""
_EXACT = 2**53
"""Up to here float64 holds every whole number."""


def given_columns(columns: Any) -> dict[str, NDArray[Any]]:
    """The columns of a mapping, a structured array or a data frame under crystint's names; others keep theirs.

    Raises
    ------
    SettingError
        For something without columns, a column that is there under two names, or a required one that is missing.
    """
    names: Iterable[Any]
    if isinstance(columns, np.ndarray):
        if columns.dtype.names is None:
            raise SettingError("a plain array has no column names; expected a structured array, a mapping or a frame")
        names = columns.dtype.names
    elif isinstance(columns, Mapping):
        names = columns.keys()
    elif hasattr(columns, "columns") and hasattr(columns, "__getitem__"):
        names = columns.columns() if callable(columns.columns) else columns.columns
    else:
        raise SettingError(
            f"a {type(columns).__name__} has no columns; expected a mapping, a data frame or a structured array"
        )
    ours = {theirs: name for name, theirs in CBCLIB.items()}
    found: dict[str, NDArray[Any]] = {}
    for given in names:
        values = np.asarray(columns[given])
        for name, part in _split(str(given), values):
            name = ours.get(name, name)
            if name in found:
                raise SettingError(f"the column {name} is given twice: as {given} and under another name; drop one")
            found[name] = part
    missing = [name for name in REQUIRED if name not in found]
    if missing:
        listed = ", ".join(f"{name} (or {CBCLIB[name]})" if name in CBCLIB else name for name in missing)
        raise SettingError(f"there is no column {listed}; found: {', '.join(found) or 'none'}")
    return found


def _split(name: str, values: NDArray[Any]) -> list[tuple[str, NDArray[Any]]]:
    """hkl [n, 3] and u [n, 2] as columns of their own; anything else as it is."""
    parts = {"hkl": ("h", "k", "l"), "u": ("u_x", "u_y")}.get(name)
    if parts is None:
        return [(name, values)]
    if values.ndim != 2 or values.shape[1] != len(parts):
        raise ShapeError(f"column {name} is {values.shape}, expected (rows, {len(parts)})")
    return [(part, values[:, number]) for number, part in enumerate(parts)]


def whole(name: str, values: NDArray[Any], dtype: type[np.signedinteger[Any]]) -> NDArray[Any]:
    """`values` as whole numbers of `dtype`.

    Raises
    ------
    DTypeError
        For what is not a number.
    SettingError
        With the row of the first value that is not whole, missing, or too large for `dtype`.
    """
    values = _numbers(name, values)
    limits = np.iinfo(dtype)
    if values.dtype.kind == "f":
        with np.errstate(invalid="ignore"):
            wrong = ~((values == np.rint(values)) & (np.abs(values) <= min(limits.max, _EXACT)))
    elif np.can_cast(values.dtype, dtype):
        return values.astype(dtype, copy=False)
    else:
        wrong = (values < limits.min) | (values > limits.max)
    if wrong.any():
        row = int(np.argmax(wrong))
        fit = "; a row without it cannot be used" if values.dtype.kind == "f" and np.isnan(values[row]) else ""
        raise SettingError(f"row {row}: {name} is {values[row]}, expected a whole number that fits {limits.dtype}{fit}")
    return values.astype(dtype)


def real(name: str, values: NDArray[Any]) -> NDArray[np.float64]:
    """`values` as float64, without a change of value.

    Raises
    ------
    DTypeError
        For what is not a number.
    SettingError
        With the row of the first integer that float64 does not hold.
    """
    values = _numbers(name, values)
    if values.dtype.kind in "iu" and values.dtype.itemsize == 8 and len(values):
        wrong = (values > _EXACT) | (values < -_EXACT) if values.dtype.kind == "i" else values > _EXACT
        if wrong.any():
            row = int(np.argmax(wrong))
            raise SettingError(f"row {row}: {name} is {values[row]}, more than float64 holds exactly (2^53)")
    return np.asarray(values, dtype=np.float64)


def plain(name: str, values: NDArray[Any]) -> NDArray[Any]:
    """A column of another program as an array that files can hold: numbers, truth values, or text.

    Raises
    ------
    DTypeError
        For anything else, or a mixture.
    """
    if values.dtype.kind == "O":
        entries = values.tolist()
        kinds = {type(entry) for entry in entries}
        if kinds <= {str} or kinds <= {int, float} or kinds <= {bool}:
            values = np.array(entries, dtype=str if kinds <= {str} else None)
    if values.dtype.kind == "S":
        values = np.char.decode(values, "utf-8")
    if values.dtype.kind not in "biufU":
        raise DTypeError(f"column {name} is {values.dtype}, expected numbers, truth values or text of one kind")
    return values


def _numbers(name: str, values: NDArray[Any]) -> NDArray[Any]:
    if values.dtype.kind == "O":
        try:
            values = values.astype(np.float64)
        except (TypeError, ValueError) as error:
            raise DTypeError(f"column {name} holds what is no number ({error})") from error
    if values.dtype.kind not in "iuf":
        raise DTypeError(f"column {name} is {values.dtype}, expected real numbers")
    if values.dtype.itemsize > 8:
        raise DTypeError(f"column {name} is {values.dtype}, expected at most float64")
    return values
