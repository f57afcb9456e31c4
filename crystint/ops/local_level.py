"""How much brighter or darker than its ring a part of a detector is, in tiles."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["local_level", "tile_sums", "upsampled"]

TILE = 16
"""px"""
_MANY = 30.0
"""expected counts of a pixel, from which a median over pixels is as good as their mean"""
_SURE = 5.0


def tiles(values: NDArray[Any], tile: int, fill: float) -> NDArray[np.float64]:
    """float64 [rows, columns, tile * tile]: the pixels of each tile."""
    slow, fast = (-(-size // tile) * tile for size in values.shape)
    wide = np.full((slow, fast), fill)
    wide[: values.shape[0], : values.shape[1]] = values
    cut = wide.reshape(slow // tile, tile, fast // tile, tile).swapaxes(1, 2)
    return cut.reshape(slow // tile, fast // tile, tile * tile)


def tile_sums(values: NDArray[Any], tile: int) -> NDArray[np.float64]:
    """float64 [rows, columns]: sums over square tiles; those at the end may be smaller."""
    rows = np.add.reduceat(np.asarray(values, np.float64), np.arange(0, values.shape[0], tile), axis=0)
    return np.asarray(np.add.reduceat(rows, np.arange(0, values.shape[1], tile), axis=1))


def upsampled(values: NDArray[np.float64], shape: tuple[int, int], tile: int) -> NDArray[np.float64]:
    """float64 [slow, fast]: linear between the middles of tiles."""
    for axis in (0, 1):
        place = np.clip((np.arange(shape[axis]) + 0.5) / tile - 0.5, 0, values.shape[axis] - 1)
        low = np.minimum(place.astype(np.intp), max(values.shape[axis] - 2, 0))
        part = np.expand_dims(place - low, 1 - axis)
        high = np.minimum(low + 1, values.shape[axis] - 1)
        values = np.take(values, low, axis=axis) * (1.0 - part) + np.take(values, high, axis=axis) * part
    return values


def local_level(
    total: NDArray[Any],
    expected: NDArray[np.float64],
    variance: NDArray[np.float64],
    usable: NDArray[np.bool_],
    spots: NDArray[np.bool_],
    tile: int = TILE,
) -> NDArray[np.float64]:
    """float64 [slow, fast]: counts of the surroundings of each pixel over those that rings have them expect.

    The median over a tile where counts are many; where they are few the ratio of sums, in which no pixel counts more
    than three times what is expected and ten standard deviations, and `spots` do not count at all. 1 where a tile has
    fewer than a quarter of its pixels, or the expected sum is less than five standard deviations.
    """
    good = tiles(usable, tile, 0.0) > 0
    number = good.sum(axis=-1)
    expect = np.where(good, tiles(np.where(usable, expected, 0.0), tile, 0.0), 0.0)
    counts = np.where(good, tiles(total, tile, 0.0), 0.0)
    spread = np.where(good, tiles(np.where(usable, variance, 0.0), tile, 0.0), 0.0)
    capped = np.minimum(counts, 3.0 * expect + 10.0 * np.sqrt(spread) + 3.0)
    with np.errstate(invalid="ignore", divide="ignore"):
        quiet = good & (tiles(spots, tile, 0.0) == 0)
        ratio = capped.sum(axis=-1, where=quiet) / expect.sum(axis=-1, where=quiet)
        many = (expect.sum(axis=-1) > _MANY * number) & (number > 0)
        if many.any():
            ratio[many] = np.nanmedian(np.where(good[many], counts[many] / expect[many], np.nan), axis=-1)
    sure = np.isfinite(ratio) & (number >= tile * tile / 4)
    sure &= expect.sum(axis=-1) > _SURE * np.sqrt(spread.sum(axis=-1))
    ratio[~sure] = 1.0
    return upsampled(ratio, (total.shape[0], total.shape[1]), tile)
