"""The pixel types that kernels are written for, and how a kernel is told of them."""

from __future__ import annotations

from typing import Any

import numpy as np

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


def pixel_defines(dtype: np.dtype[Any], *, dark: bool) -> dict[str, object]:
    """The defines of kernels/pixel.h."""
    name, kind = PIXEL_TYPES[dtype]
    wide = dtype.kind != "f" and dtype.itemsize == 4
    return {"PIXEL_T": name, "PIXEL_KIND": kind, "PIXEL_WIDE": int(wide), "HAS_DARK": int(dark)}


def largest_valid(dtype: np.dtype[Any], saturation: float | None) -> np.generic[Any]:
    """The saturation value as a scalar of `dtype`; the largest value there is when none is known."""
    if dtype.kind == "f":
        return np.float32(np.inf if saturation is None else saturation)
    limit = np.iinfo(dtype).max
    valid: np.generic[Any] = dtype.type(limit if saturation is None else max(0, min(int(np.floor(saturation)), limit)))
    return valid
