"""Columns of other programs as those of a CBC table, without loss."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crystint.errors import DTypeError, SettingError, ShapeError
from crystint.io.cbc.columns import CBCLIB, REQUIRED

__all__ = ["columns_of", "plain", "real", "whole"]

_EXACT = 2**53
"""Up to here float64 holds every whole number."""


def columns_of(source: Any) -> dict[str, NDArray[Any]]:
    """The columns of a mapping, a structured array or a data frame under crystint's names; others keep theirs.

    Raises
    ------
    SettingError
        For something without columns, a column that is there under two names, or a required one that is missing.
    """
    names: Iterable[Any]
    if isinstance(source, np.ndarray):
        if source.dtype.names is None:
            raise SettingError("a plain array has no column names; expected a structured array, a mapping or a frame")
        names = source.dtype.names
    elif isinstance(source, Mapping):
        names = source.keys()
    elif hasattr(source, "columns") and hasattr(source, "__getitem__"):
        names = source.columns() if callable(source.columns) else source.columns
    else:
        raise SettingError(
            f"a {type(source).__name__} has no columns; expected a mapping, a data frame or a structured array"
        )
    ours = {theirs: name for name, theirs in CBCLIB.items()}
    columns: dict[str, NDArray[Any]] = {}
    for label in names:
        values = np.asarray(source[label])
        for name, part in _split(str(label), values):
            name = ours.get(name, name)
            if name in columns:
                raise SettingError(f"the column {name} is given twice: as {label} and under another name; drop one")
            columns[name] = part
    missing = [name for name in REQUIRED if name not in columns]
    if missing:
        listed = ", ".join(f"{name} (or {CBCLIB[name]})" if name in CBCLIB else name for name in missing)
        raise SettingError(f"there is no column {listed}; found: {', '.join(columns) or 'none'}")
    return columns


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
