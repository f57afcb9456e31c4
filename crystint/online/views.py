"""What is seen of an image on a screen: a region of it, in blocks of as many pixels as fit."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from crystint.errors import RefusedError
from crystint.online.blocks import float_blocks, nan_blocks, whole_blocks
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
    wide = part.dtype.kind == "i" or part.dtype.itemsize > 4
    if part.dtype.kind == "f" or (wide and how in ("mean", "sum")):
        return View(_floats(part, usable, region, factor, how), region, factor, None)
    ufunc = {"any": np.bitwise_or, "max": np.maximum}.get(how, np.add)
    blocks, lost = whole_blocks(part, usable, region, factor, ufunc)
    counts = usable.counts(region, factor)
    counts = counts if lost is None else counts - lost
    none = counts <= 0
    if ufunc is np.add:
        np.divide(blocks, counts if how == "mean" else 1, out=blocks, where=~none)
        blocks[none] = np.nan
        return View(blocks.astype(np.float32), region, factor, None)
    limits = np.iinfo(part.dtype)
    least = None if usable.valid is None else usable.valid.lowest_of(part.dtype)
    if least is not None:
        none |= blocks < least
    mark: float = limits.min if part.dtype.kind == "i" else limits.max
    if mark == limits.max and blocks.max() == mark and (blocks[~none] == mark).any():  # a count: an overload
        blocks = blocks.astype(f"u{2 * part.dtype.itemsize}" if part.dtype.itemsize < 4 else np.float64)
        mark = np.nan if blocks.dtype.kind == "f" else np.iinfo(blocks.dtype).max
    np.putmask(blocks, none, mark)
    return View(blocks, region, factor, None if np.isnan(mark) else float(mark))


def _floats(
    part: NDArray[Any], usable: UsablePixels, region: tuple[int, int, int, int], factor: int, how: Reduction
) -> NDArray[Any]:
    """Blocks in floats: float32, but of float64 in float64; NaN without a usable pixel."""
    slow0, slow1, fast0, fast1 = region
    if how == "max" and usable.valid is None and not usable.masked[slow0:slow1, fast0:fast1].any():
        return nan_blocks(part, factor)
    blocks, counts = float_blocks(part, usable, region, factor, np.maximum if how == "max" else np.add)
    if how == "mean":
        blocks /= np.maximum(counts, 1)
    blocks[counts <= 0] = np.nan
    return blocks if part.dtype == np.float64 else blocks.astype(np.float32)


def levels_of(view: View) -> dict[str, float | None]:
    """Percentiles of the usable values of a view, for contrast that follows the image, and its extremes; None = it has
    no usable value.

    ``low`` and ``high`` have 1 and 0.5 % of the values below and above them, of at most 50 000 that stand on a grid.
    """
    values = view.values
    step = max(math.isqrt(values.size // _SAMPLE), 1)
    sample = values[step // 2 :: step, step // 2 :: step]
    sample = sample[np.isfinite(sample) if view.unusable is None else sample != view.unusable]
    smallest, largest = _ends(values, view.unusable)
    if not smallest <= largest:
        return dict.fromkeys(("low", "high", "min", "max"))
    low, high = np.quantile(sample, (0.01, 0.995)) if sample.size else (smallest, largest)
    return {"low": float(low), "high": float(high), "min": smallest, "max": largest}


def _ends(values: NDArray[Any], unusable: float | None) -> tuple[float, float]:
    """The smallest and the largest usable value; the other way round, or NaN, where there is none."""
    if unusable is None:
        return float(np.fmin.reduce(values, axis=None)), float(np.fmax.reduce(values, axis=None))
    one = values.dtype.type(1)
    if unusable == np.iinfo(values.dtype).max:  # so that it is the least: numbers go round
        return float(values.min()), float((values + one).max()) - 1.0
    return float((values - one).min()) + 1.0, float(values.max())


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
