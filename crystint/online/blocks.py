"""Pixels of a region reduced to square blocks, in bands of rows that stay in the cache of a core.

First the rows of a block are made one, all of them at once, then the columns of what is left: each step runs along
whole rows, so that a frame of integers is reduced in the time of a few copies of it (benchmarks/online_views.py).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from crystint.online.usable_pixels import UsablePixels

__all__ = ["float_blocks", "nan_blocks", "whole_blocks"]

Region = tuple[int, int, int, int]
_BAND = 32
"""rows of blocks that are reduced together"""
_SUMS = {1: "u4", 2: "u4", 4: "u8"}
"""dtype of sums down a column, by the bytes of a pixel"""


def whole_blocks(
    part: NDArray[Any], usable: UsablePixels, region: Region, factor: int, ufunc: np.ufunc
) -> tuple[NDArray[Any], NDArray[Any] | None]:
    """Blocks of integers, of which sums must be unsigned.

    Parameters
    ----------
    part : integer [slow, fast]
        Of the region.
    ufunc : numpy.maximum, numpy.bitwise_or or numpy.add

    Returns
    -------
    blocks : [slow, fast]
        Of the pixels that are not masked and hold no mark: sums in float64, all else in the dtype of the part, whose
        least value stands where there is no such pixel.
    lost : integer [slow, fast] or None
        How many pixels of each block hold a mark, beside the masked ones; None = none does.
    """
    slow0, slow1, fast0, fast1 = region
    dtype, adds = part.dtype, ufunc is np.add
    cap, least = usable.cap(dtype)[slow0:slow1, fast0:fast1], np.iinfo(dtype).min
    marks = usable.marks(dtype)
    shape = (-(-part.shape[0] // factor), -(-part.shape[1] // factor))
    blocks = np.empty(shape, np.float64 if adds else dtype)
    counting = np.dtype(np.uint8 if factor < 256 else np.uint32)
    lost: NDArray[Any] | None = None
    rows = np.empty((_BAND, part.shape[1]), _SUMS[dtype.itemsize] if adds else dtype)
    more = np.empty((_BAND, part.shape[1]), dtype)
    for first in range(0, shape[0], _BAND):
        band = slice(first * factor, (first + _BAND) * factor)
        number = min(_BAND, shape[0] - first)
        marked: NDArray[Any] | None = None
        for step in range(min(factor, len(part) - band.start)):
            some, most = part[band][step::factor], cap[band][step::factor]
            own = rows[: len(some)]
            to = own if step == 0 and not adds else more[: len(some)]
            np.minimum(some, most, out=to)
            for mark in marks:
                flags = to == mark
                if mark == least:
                    flags &= most != least
                if flags.any():
                    np.putmask(to, flags, least)
                    marked = np.zeros((number, part.shape[1]), counting) if marked is None else marked
                    marked[: len(some)] += flags.view(np.uint8)
            if step:
                ufunc(own, to, out=own)
            elif adds:
                own[:] = to
        _reduce_columns(ufunc, rows[:number], factor, blocks[first : first + number])
        if marked is not None:
            lost = np.zeros(shape, np.uint16 if factor < 256 else np.int64) if lost is None else lost
            _reduce_columns(np.add, marked, factor, lost[first : first + number])
    return blocks, lost


def nan_blocks(part: NDArray[Any], factor: int) -> NDArray[Any]:
    """Largest float of each block, where NaN alone tells which pixels are not usable."""
    shape = (-(-part.shape[0] // factor), -(-part.shape[1] // factor))
    blocks = np.empty(shape, part.dtype)
    for first in range(0, shape[0], _BAND):
        band = part[first * factor : (first + _BAND) * factor]
        rows = band[::factor].copy()
        for step in range(1, min(factor, len(band))):
            some = band[step::factor]
            np.fmax(rows[: len(some)], some, out=rows[: len(some)])
        _reduce_columns(np.fmax, rows, factor, blocks[first : first + len(rows)])
    return blocks


def float_blocks(
    part: NDArray[Any], usable: UsablePixels, region: Region, factor: int, ufunc: np.ufunc
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Blocks in float64 of any dtype, and how many usable pixels each of them has.

    Parameters
    ----------
    ufunc : numpy.maximum or numpy.add
    """
    neutral = -np.inf if ufunc is np.maximum else 0.0
    shape = (-(-part.shape[0] // factor), -(-part.shape[1] // factor))
    blocks, lost = np.empty(shape), np.empty(shape, np.int64)
    slow0, slow1, fast0, fast1 = region
    for first in range(0, shape[0], _BAND):
        last = min(first + _BAND, shape[0])
        rows, bad = np.empty((last - first, part.shape[1])), np.zeros((last - first, part.shape[1]), np.int32)
        for step in range(min(factor, len(part) - first * factor)):
            begin, end = first * factor + step, last * factor
            some = part[begin:end:factor].astype(np.float64)
            at = slice(slow0 + begin, min(slow0 + end, slow1), factor), slice(fast0, fast1)
            flags = usable.unusable(part[begin:end:factor], at)
            np.putmask(some, flags, neutral)
            bad[: len(some)] += flags
            if step:
                ufunc(rows[: len(some)], some, out=rows[: len(some)])
            else:
                rows[:] = some
        _reduce_columns(ufunc, rows, factor, blocks[first:last])
        _reduce_columns(np.add, bad, factor, lost[first:last])
    high, wide = (np.minimum(factor, length - factor * np.arange(n)) for length, n in zip(part.shape, shape))
    return blocks, high[:, None] * wide - lost


def _reduce_columns(ufunc: np.ufunc, rows: NDArray[Any], factor: int, out: NDArray[Any]) -> None:
    """Columns of each block made one: the first of all blocks, the second, ..."""
    out[:] = rows[:, ::factor]
    for step in range(1, min(factor, rows.shape[1])):
        some = rows[:, step::factor]
        to = out[:, : some.shape[1]]
        ufunc(to, some, out=to)
