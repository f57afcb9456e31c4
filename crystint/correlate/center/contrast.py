"""A frame as what stands out of its surroundings, in units of the local scatter."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import ndimage

from crystint.arrays import Floats
from crystint.errors import SettingError, ShapeError
from crystint.model.mask import combine_masks, unusable

__all__ = ["binned", "good_pixels", "local_contrast", "local_level"]


_LEAST = 0.1
"""share of a tile that must be good for its median to count"""


def good_pixels(frame: NDArray[Any], mask: ArrayLike | None = None) -> NDArray[np.bool_]:
    """Pixels that are neither masked (0 = good) nor marked as unusable by the frame; bool [slow, fast].

    Raises
    ------
    ShapeError, DTypeError
        When the frame is not two-dimensional or holds no counts, or the mask does not fit it.
    SettingError
        When no pixel is good.
    """
    if frame.ndim != 2:
        raise ShapeError(f"the frame is {frame.shape}, expected two axes (slow, fast)")
    good = ~unusable(frame) & (combine_masks(mask, shape=(frame.shape[0], frame.shape[1])) == 0)
    if not good.any():
        raise SettingError("no good pixel in the frame; is the mask inverted? 0 = good, nonzero = masked")
    return np.asarray(good)


def local_level(values: Floats, good: NDArray[np.bool_], tile: int) -> Floats:
    """Medians of square tiles of `tile` px, between the tiles' centres interpolated; float64 [slow, fast]."""
    return _between(_tile_medians(values, good, tile), values.shape, tile)


def local_contrast(rest: Floats, good: NDArray[np.bool_], tile: int, limit: float = 4.0) -> Floats:
    """What stands out of the local level, in local scatters (1.4826 MAD); clipped; float64 [slow, fast].

    The clip keeps a hot pixel from outweighing a ring.

    Parameters
    ----------
    rest : float64 [slow, fast]
        Counts minus `local_level`.
    good : bool [slow, fast]
        Other pixels become 0.
    tile : int
        Side of a tile, px; rings much narrower than this remain.
    limit : float
        Where to clip, in scatters.
    """
    scatter = _tile_medians(np.abs(rest), good, tile)
    floor = max(1e-3 * float(np.nanmedian(scatter)), 1e-12 * float(np.max(np.abs(rest))), 1e-300)
    width = 1.4826 * np.maximum(_between(scatter, rest.shape, tile), floor)
    return np.where(good, np.clip(rest / width, -limit, limit), 0.0)


def _tile_medians(values: Floats, good: NDArray[np.bool_], tile: int) -> Floats:
    """Median of the good pixels of each tile; NaN where too few are good, unless all are."""
    rows, columns = (_edges(side, tile) for side in values.shape)
    medians = np.full((len(rows) - 1, len(columns) - 1), np.nan)
    for i, j in np.ndindex(*medians.shape):
        here = np.s_[rows[i] : rows[i + 1], columns[j] : columns[j + 1]]
        inside = values[here][good[here]]
        if len(inside) > _LEAST * tile * tile:
            half = len(inside) // 2
            inside.partition((half - 1 + len(inside) % 2, half))
            medians[i, j] = 0.5 * (inside[half - 1 + len(inside) % 2] + inside[half])
    if np.isnan(medians).all():
        medians[:] = np.median(values[good])
    return medians


def _edges(side: int, tile: int) -> NDArray[np.intp]:
    """Where tiles of about `tile` px begin and end; all nearly equal."""
    return np.linspace(0, side, max(1, round(side / tile)) + 1).astype(np.intp)


def _between(tiles: Floats, shape: tuple[int, ...], tile: int) -> Floats:
    """Tile values at every pixel: linear between the centres, and on beyond the last.

    Tiles without a value take their neighbour's.
    """
    nearest = ndimage.distance_transform_edt(np.isnan(tiles), return_distances=False, return_indices=True)
    tiles = tiles[tuple(nearest)]
    for axis, side in enumerate(shape):
        edges = _edges(side, tile)
        middle = 0.5 * (edges[1:] + edges[:-1])
        tile_at = np.zeros(side)
        if len(middle) > 1:
            tile_at = (np.arange(side) + 0.5 - middle[0]) / (middle[-1] - middle[0]) * (len(middle) - 1)
        low = np.clip(np.floor(tile_at).astype(int), 0, max(tiles.shape[axis] - 2, 0))
        high = np.minimum(low + 1, tiles.shape[axis] - 1)
        part = np.expand_dims(tile_at - low, 1 - axis)
        tiles = tiles.take(low, axis) * (1.0 - part) + tiles.take(high, axis) * part
    return tiles


def binned(values: Floats, good: NDArray[np.bool_], factor: int) -> tuple[Floats, Floats]:
    """Sum over the good pixels, and their number, of `factor` x `factor` blocks; an incomplete last block is kept."""
    total, number = np.where(good, values, 0.0), good.astype(np.float64)
    for axis in (0, 1):
        start = np.arange(0, values.shape[axis], factor)
        total, number = np.add.reduceat(total, start, axis), np.add.reduceat(number, start, axis)
    return total, number
