"""A formula of the place of a pixel, evaluated for all pixels of a detector."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from typing import Any, TypeAlias, TypeVar

import numpy as np

from crystint.arrays import Floats

__all__ = ["Formula", "Place", "by_rows", "fill", "two_theta"]

Formula: TypeAlias = Callable[[Floats, Floats, Floats], Any]
"""x, y, z in m -> a value; elementwise"""
Place: TypeAlias = Callable[[Floats, Floats], tuple[Floats, Floats, Floats] | Floats]
"""slow [m, 1], fast [1, n] in px -> x, y, z in m, each [m, n]"""

_T = TypeVar("_T")

_PIECE = 1 << 16
"""pixels that are worked on at a time"""
_STRIPE = 1 << 18
"""pixels that a thread is given; fewer are no work for threads"""
_KEPT = 1 << 24
"""Bytes. Once glibc's malloc has seen an array of this size come and go, it keeps the memory of smaller ones for the
next (mallopt(3), M_MMAP_THRESHOLD); before, each is fresh memory of the system, which takes longer than arithmetic."""


def by_rows(shape: tuple[int, ...], work: Callable[[slice], _T], first: int = 0) -> list[_T]:
    """What `work` makes of stripes of rows, from row `first` of a map on, in threads where there are many pixels.

    Parameters
    ----------
    shape : (slow, fast)
        Of the rows that are worked on.
    work : callable
        Numbers of rows -> a result. NumPy's error state is that of the caller.
    """
    rows, width = shape
    step = max(1, _STRIPE // max(width, 1))
    stripes = [slice(first + start, first + min(start + step, rows)) for start in range(0, rows, step)]
    if len(stripes) < 2:
        return [work(stripe) for stripe in stripes]
    with ThreadPoolExecutor() as pool:
        return [each.result() for each in [pool.submit(copy_context().run, work, stripe) for stripe in stripes]]


def fill(
    out: Floats,
    formula: Formula,
    place: Place,
    at: tuple[slice, slice] | None = None,
) -> None:
    """Set a map, float64 [slow, fast], or the part `at` of it, to a formula.

    It goes piece by piece, so that what is in between stays in the processor's cache, and in threads.
    """
    np.empty(_KEPT, np.uint8)
    rows, columns = at or (slice(0, out.shape[0]), slice(0, out.shape[1]))
    fast = np.arange(columns.start, columns.stop, dtype=np.float64)[None, :] + 0.5
    step = max(1, _PIECE // fast.size)

    def put(stripe: slice) -> None:
        for start in range(stripe.start, stripe.stop, step):
            stop = min(start + step, stripe.stop)
            slow = np.arange(start, stop, dtype=np.float64)[:, None] + 0.5
            out[start:stop, columns] = formula(*place(slow, fast))

    by_rows((rows.stop - rows.start, fast.size), put, rows.start)


def two_theta(x: Floats, y: Floats, z: Floats) -> Floats:
    """Scattering angle, rad."""
    return np.asarray(np.arctan2(np.sqrt(x * x + y * y), z))
