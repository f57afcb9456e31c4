"""The cells of a detector: pixels of one ring whose normalizations hardly differ. A cell is one row of a histogram."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crystint.model.rings import RingMap

__all__ = ["LEAST_PIXELS", "STRIP", "RingCells", "ring_cells"]

_PIXELS = 128
"""pixels that a cell has on average, at least: its row of 64 counters then costs less than its pixels"""
LEAST_PIXELS = 1 << 19
"""pixels of a frame; smaller ones are read in the order of the rings"""
_STEPS = 40
"""steps of a ring, on average, at most: where normalizations differ more than that, cells are no rings"""
_WIDTH = 0.02
"""of a cell, at most, in units of the largest normalization of its ring"""
_MOST = 65535
"""cells, whose numbers have 16 bits, and pixels of a cell, which its counters, of 16 bits, hold in any case"""
_BAND = 1 << 18
"""pixels that a thread works on at a time"""
STRIP = 64
"""consecutive pixels of which kernels/pick_stream.cl reads at once whether one may be picked"""


@dataclass(frozen=True, slots=True, eq=False)
class RingCells:
    """What kernels/ring_histogram.cl and those that work on its result need to know: see there for each array."""

    cell: NDArray[np.uint16]
    first_cell: NDArray[np.int32]
    cell_weight: NDArray[np.float32]
    cell_bounds: NDArray[np.float32]
    cell_order: NDArray[np.int32]
    cell_pixel: NDArray[np.int32]
    strip_rings: NDArray[np.uint16]
    strip_weight: NDArray[np.float32]
    about: NDArray[np.float32]


def ring_cells(rings: RingMap) -> RingCells | None:
    """Divide the rings of a detector into cells.

    The normalizations of a ring are divided into equal steps of at most 2 % of the largest. A cell of more than
    65535 pixels becomes several ones.

    Returns
    -------
    RingCells; None where the detector is small, or cells would be too many for its pixels
    """
    if rings.position.size < LEAST_PIXELS:
        return None
    n, weights, positions = rings.rings, rings.weight.ravel(), rings.position.ravel()
    bands = [slice(first, first + _BAND) for first in range(0, len(weights), _BAND)]
    ring = np.empty(len(weights), np.uint16)

    def about_band(band: slice) -> NDArray[np.float64]:
        """The ring of each pixel, n = masked; number, sum, maximum and minimum of the normalizations of each ring."""
        here, weight = positions[band], weights[band]
        with np.errstate(invalid="ignore"):
            ring[band] = np.where(np.isnan(here), n, np.clip((here + np.float32(0.5)).astype(np.int32), 0, n - 1))
        at = ring[band].astype(np.intp)  # NumPy is slow where it has to convert types piece by piece
        most, least = np.full(n + 1, -np.inf, np.float32), np.full(n + 1, np.inf, np.float32)
        np.maximum.at(most, at, weight)
        np.minimum.at(least, at, weight)
        number, total = np.bincount(at, minlength=n + 1), np.bincount(at, weight.astype(np.float64), n + 1)
        return np.stack([number, total, most, least])[:, :n]

    with ThreadPoolExecutor() as pool:  # each band stays in cache, and NumPy lets go of the interpreter
        each = np.stack(list(pool.map(about_band, bands)))
        number, total = each[:, :2].sum(axis=0)
        some = number > 0
        heaviest, lightest = (np.where(some, one, 1.0) for one in (each[:, 2].max(axis=0), each[:, 3].min(axis=0)))
        steps = np.maximum(np.ceil((heaviest - lightest) / (_WIDTH * heaviest)), 1).astype(np.int64)
        if steps.sum() > min(_MOST - 1, len(weights) // _PIXELS, _STEPS * n):
            return None
        first = _starts(steps)
        scale = (steps / np.maximum(heaviest - lightest, 1e-30)).astype(np.float32)
        cell = np.empty(len(weights), np.uint16)
        tables = [np.append(one, end) for one, end in ((first[:-1], first[-1]), (steps - 1, 0))]
        floor, slope = (np.append(one, 0.0).astype(np.float32) for one in (lightest, scale))

        def put(band: slice) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any], NDArray[Any]]:
            """The cell of each pixel; pixels and sum of normalizations of each cell; what `_strips` says."""
            at, weight = ring[band].astype(np.intp), weights[band]
            step = ((weight - floor.take(at)) * slope.take(at)).astype(np.int32)
            own = tables[0].take(at) + np.clip(step, 0, tables[1].take(at))
            cell[band], cells = own, first[-1] + 1
            pixels, sums = np.bincount(own, minlength=cells), np.bincount(own, weight.astype(np.float64), cells)
            return pixels, sums, *_strips(ring[band], weight, n)

        counts, sums, strip_rings, strip_weight = zip(*pool.map(put, bands))
    pixels, weight = np.sum(counts, axis=0)[:-1], np.sum(sums, axis=0)[:-1]
    mean = np.where(pixels > 0, weight / np.maximum(pixels, 1), 1.0)
    step = np.repeat((heaviest - lightest) / steps, steps)
    low = np.repeat(lightest, steps) + step * (np.arange(len(mean)) - np.repeat(first[:-1], steps))
    bounds = np.stack([low - 0.01 * step, low + 1.01 * step], axis=1)  # farther out, for what rounding may be wrong by
    parts = np.maximum(-(-pixels // _MOST), 1)
    if parts.max() > 1:
        if parts.sum() >= _MOST:
            return None
        begin = _starts(parts)
        split = [np.flatnonzero(cell == old) for old in np.flatnonzero(parts > 1)]
        cell = begin.astype(np.uint16)[cell]
        for members in split:
            cell[members] += (np.arange(len(members)) // _MOST).astype(np.uint16)
        first, mean, bounds = begin[first], np.repeat(mean, parts), np.repeat(bounds, parts, axis=0)
    order, begins = _by_cell(cell, bands, len(mean))
    about = np.stack([np.where(some, total / np.maximum(number, 1), 1.0), heaviest, lightest, number], axis=1)
    return RingCells(
        cell.reshape(rings.shape),
        first.astype(np.int32),
        mean.astype(np.float32),
        bounds.astype(np.float32),
        order,
        begins,
        np.concatenate(strip_rings),
        np.concatenate(strip_weight),
        about.astype(np.float32),
    )


def _by_cell(cell: NDArray[np.uint16], bands: list[slice], cells: int) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Numbers of the pixels by cell and number, without those of no cell, and where each cell begins among them."""
    count = np.empty((len(bands), cells + 1), np.int32)

    def sort(band: slice) -> NDArray[np.int32]:
        count[band.start // _BAND] = np.bincount(cell[band], minlength=cells + 1)
        return np.argsort(cell[band], kind="stable").astype(np.int32)

    with ThreadPoolExecutor() as pool:
        by_cell = list(pool.map(sort, bands))
        ends = np.cumsum(count.T.ravel(), dtype=np.int32).reshape(count.T.shape)  # cell by cell, band by band
        order = np.empty(len(cell), np.int32)

        def put(band: slice) -> None:
            number = band.start // _BAND
            within = np.cumsum(count[number], dtype=np.int32)
            place = np.repeat(ends[:, number] - within, count[number])
            place += np.arange(len(place), dtype=np.int32)
            order[place] = by_cell[number] + np.int32(band.start)

        list(pool.map(put, bands))
    begins = np.append(np.int32(0), ends[:cells, -1])
    return order[: begins[-1]], begins


def _strips(
    ring: NDArray[np.uint16], weight: NDArray[np.float32], masked: int
) -> tuple[NDArray[np.uint16], NDArray[np.float32]]:
    """First and last ring, uint16 [strips, 2], the last before the first where all pixels are masked, and least
    normalization, float32 [strips], of the pixels of each strip that are not masked."""
    rest = -len(ring) % STRIP
    ring = np.append(ring, np.full(rest, masked, np.uint16)).reshape(-1, STRIP)
    weight = np.append(weight, np.full(rest, np.inf, np.float32)).reshape(-1, STRIP)
    real = ring != masked
    rings = np.stack([ring.min(axis=1), np.where(real, ring, 0).max(axis=1)], axis=1)
    return rings, np.where(real, weight, np.float32(np.inf)).min(axis=1)


def _starts(counts: NDArray[np.int64]) -> NDArray[np.int64]:
    """Where the parts of a list begin, and where the last one ends."""
    return np.concatenate([[0], np.cumsum(counts, dtype=np.int64)])
