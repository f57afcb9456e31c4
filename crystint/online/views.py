"""What is seen of an image on a screen: a region of it, in blocks of as many pixels as fit."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from crystint.errors import RefusedError

__all__ = ["Binning", "View", "contrast", "parse_range", "parse_size", "view_of"]

Binning = Literal["max", "mean", "sum"]
MOST_PIXELS = 2**22
"""of a view"""


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
    unusable: NDArray[np.bool_],
    region: tuple[int, int, int, int],
    size: tuple[int, int],
    how: Binning = "max",
) -> View:
    """A region in square blocks, as many as fit into a size.

    Parameters
    ----------
    values : [slow, fast]
    unusable : bool [slow, fast]
        Pixels that are left out; a block of such ones alone has a mark.
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
    slow0, slow1, fast0, fast1 = region
    part, bad = values[slow0:slow1, fast0:fast1], unusable[slow0:slow1, fast0:fast1]
    factor = max(-(-part.shape[0] // size[0]), -(-part.shape[1] // size[1]), 1)
    shape = (-(-part.shape[0] // factor), -(-part.shape[1] // factor))
    if how == "max" and part.dtype.kind in "iu":
        limits = np.iinfo(part.dtype)
        mark = limits.max if part.dtype.kind == "u" else limits.min
        blocks = np.full(shape, limits.min, part.dtype)
        usable = np.zeros(shape, bool)
        for some, good in _phases(part, ~bad, factor):
            view = blocks[: some.shape[0], : some.shape[1]]
            np.maximum(view, some, out=view, where=good)
            usable[: some.shape[0], : some.shape[1]] |= good
        blocks[~usable] = mark
        return View(blocks, region, factor, float(mark))
    total = np.full(shape, -np.inf if how == "max" else 0.0)
    count = np.zeros(shape, np.int32)
    for some, good in _phases(part, ~bad, factor):
        view = total[: some.shape[0], : some.shape[1]]
        (np.maximum if how == "max" else np.add)(view, some, out=view, where=good)
        count[: some.shape[0], : some.shape[1]] += good
    if how == "mean":
        total /= np.maximum(count, 1)
    return View(np.where(count > 0, total, np.nan).astype(np.float32), region, factor, None)


def _phases(part: NDArray[Any], good: NDArray[np.bool_], factor: int) -> Any:
    """The first pixel of every block, the second, ...: each an image of blocks."""
    for slow in range(min(factor, part.shape[0])):
        for fast in range(min(factor, part.shape[1])):
            yield part[slow::factor, fast::factor], good[slow::factor, fast::factor]


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
