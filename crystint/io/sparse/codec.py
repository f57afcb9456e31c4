"""How a sparse file holds its ring map and its pixel numbers: lossy where that is harmless, small
everywhere."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crystint.errors import FileError
from crystint.model.rings import RingMap

__all__ = [
    "decode_index",
    "encode_index",
    "fabio_radius",
    "keep_bits",
    "pixel_radius",
    "same_bits",
    "to_position",
]

_ESCAPE = 255
"""In ``index_delta``: the difference does not fit and stands in ``index_escape``."""


def keep_bits(values: NDArray[Any], bits: int) -> NDArray[np.float32]:
    """Round float32 to `bits` bits after the leading one: relative error at most 2^-(bits + 1). NaN stays
    NaN."""
    values = np.ascontiguousarray(values, dtype=np.float32)
    drop = 23 - bits
    raw = values.view(np.uint32)
    rounded = ((raw + np.uint32(1 << (drop - 1))) >> drop << drop).view(np.float32)
    return np.where(np.isfinite(values), rounded, values)


def pixel_radius(rings: RingMap, step: float) -> NDArray[np.float32]:
    """Radius of each pixel, m, on a grid of a power of two no coarser than 1/64 ring; float32 [slow, fast].

    NaN where the position is NaN. The error is at most 1/128 ring. Pixels beyond the first and the last
    ring centre are put on it, where the background is flat: FabIO takes pixels beyond them for masked.
    """
    grid = 2.0 ** math.floor(math.log2(step / 64.0))
    radius = np.multiply(rings.position, step, dtype=np.float64)
    radius += rings.radius[0]
    radius /= grid
    np.rint(radius, out=radius)
    radius *= grid
    edges = fabio_radius(rings, step)
    last = np.nextafter(edges[-1], np.float32(-np.inf))
    return np.clip(radius.astype(np.float32), edges[0], last)


def fabio_radius(rings: RingMap, step: float) -> NDArray[np.float32]:
    """Ring centres, m, float32 [rings], with a second one when there is only one: FabIO interpolates
    between two."""
    first = float(rings.radius[0])
    return (first + step * np.arange(max(rings.rings, 2))).astype(np.float32)


def to_position(radius: NDArray[Any], first: float, step: float) -> NDArray[np.float32]:
    """Place between ring centres, in rings, of radii in the unit of `first` and `step`; NaN stays NaN."""
    return ((radius.astype(np.float64) - first) / step).astype(np.float32)


def same_bits(one: NDArray[Any], other: NDArray[Any]) -> NDArray[np.bool_]:
    """Elements that are the same bytes, so that NaN equals itself."""
    kind = np.dtype(f"u{one.dtype.itemsize}")
    return np.asarray(np.ascontiguousarray(one).view(kind) == np.ascontiguousarray(other).view(kind))


def encode_index(index: NDArray[np.uint32]) -> tuple[NDArray[np.uint8], NDArray[np.uint32]]:
    """Ascending pixel numbers as differences (the first from 0) in a byte each; 255 = see the list of
    escapes."""
    difference = np.diff(index, prepend=np.uint32(0))
    far = difference >= _ESCAPE
    return np.where(far, _ESCAPE, difference).astype(np.uint8), difference[far].astype(np.uint32)


def decode_index(delta: NDArray[np.uint8], escape: NDArray[np.uint32]) -> NDArray[np.uint32]:
    """The inverse of `encode_index`.

    Raises
    ------
    FileError
        When the number of escapes does not fit.
    """
    difference = delta.astype(np.uint32)
    far = delta == _ESCAPE
    if np.count_nonzero(far) != len(escape):
        raise FileError("the pixel numbers of a frame are damaged: index_delta and index_escape do not fit")
    difference[far] = escape
    return np.cumsum(difference, dtype=np.uint32)
