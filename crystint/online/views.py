"""What is seen of an image on a screen: a region of it, in blocks of as many pixels as fit."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from crystint.errors import RefusedError
from crystint.online.usable_pixels import UsablePixels

__all__ = [
    "Binning",
    "Reduction",
    "View",
    "contrast",
    "levels_of",
    "parse_range",
    "parse_size",
    "view_of",
    "view_of_part",
]

Binning = Literal["max", "mean", "sum"]
Reduction = Literal["max", "mean", "sum", "any"]
"""of the usable pixels of a block; any: the bits that any of them has"""
MOST_PIXELS = 2**22
"""of a view"""
_BAND = 32
"""rows of blocks that are reduced together"""
_SAMPLE = 50_000
"""values that percentiles are taken of"""


@dataclass(frozen=True, slots=True, eq=False)
class View:
    """Blocks of a region of an image. Made by `view_of`."""

    values: NDArray[Any]
    """[slow, fast]: of `max` the dtype of the image, where it is integers, else float32"""
    region: tuple[int, int, int, int]
    """slow0, slow1, fast0, fast1 of the image, half-open: what was asked for, cut to the image"""
    factor: int
    """pixels of the image along each side of a block"""
    unusable: float | None
    """value of a block without a usable pixel; None = NaN"""


def parse_range(text: str | None, length: int, name: str) -> tuple[int, int]:
    """ "a:b" to two pixel numbers, cut to the image; None = all.

    Raises
    ------
    RefusedError
        When it is no range, or nothing of it lies in the image.
    """
    if text is None:
        return 0, length
    parts = text.split(":")
    try:
        first, last = (int(part) if part else default for part, default in zip(parts, (0, length), strict=True))
    except ValueError:
        raise RefusedError("bad_value", f"{name} is {text[:40]!r}, expected FIRST:LAST such as 100:400", name) from None
    low, high = max(first, 0), min(last, length)
    if low >= high:
        raise RefusedError("bad_value", f"{name} is {text[:40]}, but the image has pixels 0:{length} there", name)
    return low, high


def parse_size(text: str | None) -> tuple[int, int]:
    """ "WxH" to (slow, fast) pixels of a screen.

    Raises
    ------
    RefusedError
    """
    if text is None:
        return 1000, 1000
    width, cross, height = text.lower().partition("x")
    valid = bool(cross) and width.isascii() and height.isascii() and width.isdecimal() and height.isdecimal()
    if not valid or len(text) > 12 or not 1 <= int(width) * int(height) <= MOST_PIXELS:
        raise RefusedError(
            "bad_value", f"size is {text[:40]!r}, expected WIDTHxHEIGHT of at most {MOST_PIXELS} pixels", "size"
        )
    return int(height), int(width)


def view_of(
    values: NDArray[Any],
    usable: UsablePixels | NDArray[np.bool_],
    region: tuple[int, int, int, int],
    size: tuple[int, int],
    how: Binning = "max",
) -> View:
    """A region in square blocks, as many as fit into a size.

    Integers are looked at in bands of rows that stay in the cache of a core: first the rows of a block are reduced,
    then the columns of what is left, so that a view of a frame costs a few copies of it (benchmarks/online_views.py).

    Parameters
    ----------
    values : [slow, fast]
    usable : UsablePixels, or bool [slow, fast]
        Pixels that are left out, or True for each of them; a block of such ones alone has a mark.
    region : slow0, slow1, fast0, fast1
        Half-open, within the image.
    size : (slow, fast)
        Blocks at most.
    how : {"max", "mean", "sum"}

    Examples
    --------
    >>> import numpy as np
    >>> from crystint.online.views import view_of
    >>> image = np.arange(16, dtype=np.uint16).reshape(4, 4)
    >>> view_of(image, image == 15, (0, 4, 0, 4), (2, 2)).values.tolist()
    [[5, 7], [13, 14]]
    """
    if not isinstance(usable, UsablePixels):
        usable = UsablePixels(usable)
    return view_of_part(values[region[0] : region[1], region[2] : region[3]], usable, region, size, how)


def view_of_part(
    part: NDArray[Any],
    usable: UsablePixels,
    region: tuple[int, int, int, int],
    size: tuple[int, int],
    how: Reduction = "max",
) -> View:
    """As `view_of`, where the values of the region alone are at hand."""
    factor = max(-(-part.shape[0] // size[0]), -(-part.shape[1] // size[1]), 1)
    if part.dtype.kind == "f" or how in ("mean", "sum"):
        return _floats(part, usable, region, factor, how)
    blocks, lost = _largest(part, usable, region, factor, np.bitwise_or if how == "any" else np.maximum)
    counts = usable.counts(region, factor)
    none = counts == 0 if lost is None else counts <= lost
    limits = np.iinfo(part.dtype)
    least = None if usable.valid is None else usable.valid.lowest_of(part.dtype)
    if least is not None:
        none |= blocks < least
    mark: float = limits.min if part.dtype.kind == "i" else limits.max
    if mark == limits.max and (blocks == mark)[~none].any():  # it is a count here: an overload
        blocks = blocks.astype(f"u{2 * part.dtype.itemsize}" if part.dtype.itemsize < 4 else np.float64)
        mark = np.nan if blocks.dtype.kind == "f" else np.iinfo(blocks.dtype).max
    blocks[none] = mark
    return View(blocks, region, factor, None if np.isnan(mark) else float(mark))


def _largest(
    part: NDArray[Any], usable: UsablePixels, region: tuple[int, int, int, int], factor: int, ufunc: np.ufunc
) -> tuple[NDArray[Any], NDArray[np.int32] | None]:
    """Of each block the largest of its usable pixels, and how many of those that are not masked hold a mark; None = no
    pixel does."""
    slow0, slow1, fast0, fast1 = region
    cap, least = usable.cap(part.dtype)[slow0:slow1, fast0:fast1], np.iinfo(part.dtype).min
    marks = usable.marks(part.dtype)
    shape = (-(-part.shape[0] // factor), -(-part.shape[1] // factor))
    blocks = np.empty(shape, part.dtype)
    lost: NDArray[np.int32] | None = None
    rows, more = (np.empty((_BAND, part.shape[1]), part.dtype) for _ in range(2))
    for first in range(0, shape[0], _BAND):
        band = slice(first * factor, (first + _BAND) * factor)
        number = len(range(*band.indices(len(part)))[::factor])
        marked: NDArray[np.int32] | None = None
        for step in range(min(factor, len(part) - band.start)):
            some, most = part[band][step::factor], cap[band][step::factor]
            to = (more if step else rows)[: len(some)]
            np.minimum(some, most, out=to)
            for mark in marks:
                flags = to == mark
                if mark == least:
                    flags &= most != least
                if flags.any():
                    np.putmask(to, flags, least)
                    marked = np.zeros((number, part.shape[1]), np.int32) if marked is None else marked
                    marked[: len(some)] += flags
            if step:
                ufunc(rows[: len(some)], to, out=rows[: len(some)])
        _reduce_columns(ufunc, rows[:number], factor, blocks[first : first + number])
        if marked is not None:
            lost = np.zeros(shape, np.int32) if lost is None else lost
            _reduce_columns(np.add, marked, factor, lost[first : first + number])
    return blocks, lost


def _floats(
    part: NDArray[Any], usable: UsablePixels, region: tuple[int, int, int, int], factor: int, how: Reduction
) -> View:
    """As `view_of`, in floats."""
    slow0, slow1, fast0, fast1 = region
    ufunc, neutral = (np.maximum, -np.inf) if how == "max" else (np.add, 0.0)
    shape = (-(-part.shape[0] // factor), -(-part.shape[1] // factor))
    blocks, lost = np.empty(shape), np.empty(shape, np.int32)
    for first in range(0, shape[0], _BAND):
        last = min(first + _BAND, shape[0])
        rows, bad = np.empty((last - first, part.shape[1])), np.zeros((last - first, part.shape[1]), np.int32)
        for step in range(min(factor, len(part) - first * factor)):
            at = slice(first * factor + step, last * factor, factor)
            some = part[at].astype(np.float64)
            flags = usable.unusable(
                part[at], (slice(slow0 + at.start, min(slow0 + at.stop, slow1), factor), slice(fast0, fast1))
            )
            np.putmask(some, flags, neutral)
            bad[: len(some)] += flags
            if step:
                ufunc(rows[: len(some)], some, out=rows[: len(some)])
            else:
                rows[:] = some
        _reduce_columns(ufunc, rows, factor, blocks[first:last])
        _reduce_columns(np.add, bad, factor, lost[first:last])
    high, wide = (
        np.minimum(factor, length - factor * np.arange(n)) for length, n in zip(part.shape, shape, strict=True)
    )
    count = high[:, None] * wide - lost
    if how == "mean":
        blocks /= np.maximum(count, 1)
    dtype = np.float64 if part.dtype == np.float64 else np.float32
    return View(np.where(count > 0, blocks, np.nan).astype(dtype), region, factor, None)


def _reduce_columns(ufunc: np.ufunc, rows: NDArray[Any], factor: int, out: NDArray[Any]) -> None:
    """Columns of each block made one: the first of all blocks, the second, ..."""
    out[:] = rows[:, ::factor]
    for step in range(1, min(factor, rows.shape[1])):
        some = rows[:, step::factor]
        to = out[:, : some.shape[1]]
        ufunc(to, some, out=to)


def levels_of(view: View) -> dict[str, float | None]:
    """Percentiles of the usable values of a view, for contrast that follows the image, and its extremes; None = it has
    no usable value.

    ``low`` and ``high`` have 1 and 0.5 % of the values below and above them, of at most 50 000 that stand on a grid.
    """
    values = view.values
    step = max(math.isqrt(values.size // _SAMPLE), 1)
    sample = values[step // 2 :: step, step // 2 :: step]
    sample = sample[np.isfinite(sample) if view.unusable is None else sample != view.unusable]
    usable = np.isfinite(values) if view.unusable is None else values != view.unusable
    if not usable.any():
        return dict.fromkeys(("low", "high", "min", "max"))
    least, most = _ends(values.dtype)
    smallest, largest = np.min(values, where=usable, initial=most), np.max(values, where=usable, initial=least)
    low, high = np.quantile(sample, (0.01, 0.995)) if sample.size else (smallest, largest)
    return {"low": float(low), "high": float(high), "min": float(smallest), "max": float(largest)}


def _ends(dtype: np.dtype[Any]) -> tuple[Any, Any]:
    if dtype.kind == "f":
        return -np.inf, np.inf
    return np.iinfo(dtype).min, np.iinfo(dtype).max


def contrast(values: NDArray[Any], usable: NDArray[np.bool_], share: float = 0.995) -> tuple[float, float]:
    """Values that are to be drawn darkest and brightest: of the usable pixels, 0 or the smallest, and a percentile.

    Parameters
    ----------
    share : float
        Of the pixels that are not brighter.
    """
    good = values[usable & np.isfinite(values)]
    if good.size > 200_000:
        good = good.ravel()[:: good.size // 100_000]
    if not good.size:
        return 0.0, 1.0
    low = min(0.0, float(good.min()))
    return low, max(float(np.quantile(good, share)), low + 1.0)
