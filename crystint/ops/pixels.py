"""The pixel types that kernels are written for, and how a kernel is told of them."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from crystint.model.valid_values import ValidValues, least

__all__ = ["PIXEL_TYPES", "largest_valid", "pixel_defines"]

PIXEL_TYPES: dict[np.dtype[Any], tuple[str, int]] = {
    np.dtype(np.uint8): ("uchar", 0),
    np.dtype(np.uint16): ("ushort", 0),
    np.dtype(np.uint32): ("uint", 0),
    np.dtype(np.int16): ("short", 1),
    np.dtype(np.int32): ("int", 1),
    np.dtype(np.float32): ("float", 2),
}
"""dtype -> (OpenCL type, kind as kernels/pixel.h counts them)"""


def pixel_defines(dtype: np.dtype[Any], valid: ValidValues | None, *, dark: bool) -> dict[str, object]:
    """The defines of kernels/pixel.h. `valid`: which values are measurements; None = the dtype's default."""
    name, kind = PIXEL_TYPES[dtype]
    wide = dtype.kind != "f" and dtype.itemsize == 4
    valid = valid or ValidValues.of(dtype)
    defines: dict[str, object] = {"PIXEL_T": name, "PIXEL_KIND": kind, "PIXEL_WIDE": int(wide), "HAS_DARK": int(dark)}
    defines["NEGATIVE"] = int(valid.negative(dtype))
    lowest = valid.lowest_of(dtype)
    if lowest is not None and lowest > least(dtype):
        defines["LOWEST"] = _literal(lowest if kind == 2 else min(math.ceil(lowest), int(np.iinfo(dtype).max)), dtype)
    highest = math.inf if kind == 2 else int(np.iinfo(dtype).max)
    marks = [mark for mark in valid.marks if least(dtype) < mark <= highest and (kind == 2 or mark == int(mark))]
    return defines | {"MARKS": len(marks)} | {f"MARK_{i}": _literal(mark, dtype) for i, mark in enumerate(marks, 1)}


def _literal(value: float, dtype: np.dtype[Any]) -> str:
    """A number in OpenCL C."""
    if dtype.kind == "f":
        return f"({float(np.float32(value))!r}f)"
    return f"({int(value)}{'u' if dtype == np.uint32 else ''})"


def largest_valid(dtype: np.dtype[Any], saturation: float | None) -> np.generic[Any]:
    """The saturation value as a scalar of `dtype`; the largest value there is when none is known."""
    if dtype.kind == "f":
        return np.float32(np.inf if saturation is None else saturation)
    limit = np.iinfo(dtype).max
    valid: np.generic[Any] = dtype.type(limit if saturation is None else max(0, min(int(np.floor(saturation)), limit)))
    return valid
