"""A formula of the place of a pixel, evaluated for all pixels of a detector."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np

from crystint.arrays import Floats

__all__ = ["Formula", "Place", "fill", "two_theta"]

Formula: TypeAlias = Callable[[Floats, Floats, Floats], Any]
"""x, y, z in m -> a value; elementwise"""
Place: TypeAlias = Callable[[Floats, Floats], tuple[Floats, Floats, Floats] | Floats]
"""slow [m, 1], fast [1, n] in px -> x, y, z in m, each [m, n]"""

_PIECE = 1 << 16
"""pixels that are worked on at a time"""
_KEPT = 1 << 24
"""Bytes. Once glibc's malloc has seen an array of this size come and go, it keeps the memory of smaller ones for the
next (mallopt(3), M_MMAP_THRESHOLD); before, each is fresh memory of the system, which takes longer than arithmetic."""


def fill(
    out: Floats,
    formula: Formula,
    place: Place,
    at: tuple[slice, slice] | None = None,
) -> None:
    """Set a map, float64 [slow, fast], or the part `at` of it, to a formula.

    It goes piece by piece, so that what is in between stays in the processor's cache.
    """
    np.empty(_KEPT, np.uint8)
    rows, columns = at or (slice(0, out.shape[0]), slice(0, out.shape[1]))
    fast = np.arange(columns.start, columns.stop, dtype=np.float64)[None, :] + 0.5
    step = max(1, _PIECE // fast.size)
    for start in range(rows.start, rows.stop, step):
        stop = min(start + step, rows.stop)
        slow = np.arange(start, stop, dtype=np.float64)[:, None] + 0.5
        out[start:stop, columns] = formula(*place(slow, fast))


def two_theta(x: Floats, y: Floats, z: Floats) -> Floats:
    """Scattering angle, rad."""
    return np.asarray(np.arctan2(np.sqrt(x * x + y * y), z))
