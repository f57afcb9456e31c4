"""Which Miller indices can lie near the Ewald sphere, without looking at all of them.

Along one axis of the lattice the distance from the sphere is a quadratic of the index, so for each pair of the
other two indices the candidates are at most two short runs. The work goes with the area of the lattice, not with
its volume, and images are taken many at a time.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

__all__ = ["candidates", "index_bounds"]

_LINES = 200_000
"""lattice lines at a time"""
_POINTS = 1_000_000
"""candidates at a time, about"""


def index_bounds(setting: NDArray[np.float64], d_min: float) -> NDArray[np.float64]:
    """Largest |h|, |k|, |l| with spacing above `d_min`, not rounded; float64 [n, 3]."""
    return np.asarray(np.linalg.norm(np.linalg.inv(setting), axis=2) / d_min)


def candidates(
    setting: NDArray[np.float64], incident: NDArray[np.float64], d_min: float, reach: NDArray[np.float64]
) -> Iterator[tuple[NDArray[np.intp], NDArray[np.int32]]]:
    """All indices within `reach` of the Ewald sphere and of spacing `d_min` or more, in portions.

    Parameters
    ----------
    setting, incident : float64 [n, 3, 3], [n, 3]
        As of an `Experiment`; regular and finite.
    reach : float64 [n]
        Largest |excitation| of each image, 1/angstrom.

    Yields
    ------
    image : int [m]
    hkl : int32 [m, 3]
        A few of them lie just outside; none is left out, none is given twice. Images come in order, the
        indices of an image in no order. All indices of an image may be spread over several portions.
    """
    bounds = np.floor(index_bounds(setting, d_min) + 1e-6).astype(np.int64)
    first = 0
    while first < len(setting):
        # The longest axis of the cell has the most indices: they are the ones solved for.
        along = int(np.argmax(bounds[first]))
        others = [axis for axis in range(3) if axis != along]
        most = np.maximum.accumulate(bounds[first:, others], axis=0)
        lines = (2 * most + 1).prod(axis=1) * np.arange(1, len(most) + 1)
        number = max(1, int(np.searchsorted(lines, _LINES, side="right")))
        yield from _batch(setting, incident, d_min, reach, first, number, along, most[number - 1])
        first += number


def _batch(
    setting: NDArray[np.float64],
    incident: NDArray[np.float64],
    d_min: float,
    reach: NDArray[np.float64],
    first: int,
    number: int,
    along: int,
    most: NDArray[np.int64],
) -> Iterator[tuple[NDArray[np.intp], NDArray[np.int32]]]:
    """`number` images from `first`: all lines within `most`, split where one image alone has too many."""
    rows = slice(first, first + number)
    others = [axis for axis in range(3) if axis != along]
    row = np.arange(-most[0], most[0] + 1)
    width = int(2 * most[1] + 1)
    step = max(1, _LINES // (number * width))
    for start in range(0, len(row), step):
        one, two = (grid.ravel() for grid in np.meshgrid(row[start : start + step], np.arange(width) - most[1]))
        pair = np.stack([one, two]).astype(np.float64)
        base = np.einsum("nij,jp->nip", setting[rows][:, :, others], pair)
        image, line, low, count = _runs(base, setting[rows][:, :, along], incident[rows], d_min, reach[rows])
        ends = np.cumsum(count)
        cut = 0
        while cut < len(count):
            done = ends[cut - 1] if cut else 0
            stop = max(cut + 1, int(np.searchsorted(ends, done + _POINTS, side="right")))
            some = slice(cut, stop)
            total = int(ends[stop - 1] - done)
            within = np.arange(total) - np.repeat(ends[some] - count[some] - done, count[some])
            hkl = np.empty((total, 3), dtype=np.int32)
            hkl[:, along] = np.repeat(low[some], count[some]) + within
            which = np.repeat(line[some], count[some])
            hkl[:, others[0]], hkl[:, others[1]] = one[which], two[which]
            yield first + np.repeat(image[some], count[some]), hkl
            cut = stop


def _runs(
    base: NDArray[np.float64],
    axis: NDArray[np.float64],
    incident: NDArray[np.float64],
    d_min: float,
    reach: NDArray[np.float64],
) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.int64], NDArray[np.int64]]:
    """Runs of the third index on lines base + index * axis: (image, line, first, how many), sorted by image."""
    square = np.einsum("ni,ni->n", axis, axis)[:, None]
    radius = np.linalg.norm(incident, axis=1)[:, None]
    reach = reach[:, None]
    middle, rest = _nearest(base, axis, square)
    half = 1.0 / d_min**2 - rest
    image, line = np.nonzero(half > -1e-12)
    square = square[image, 0]
    half = np.sqrt(np.maximum(half[image, line], 0.0) / square)
    low, high = middle[image, line] - half, middle[image, line] + half

    start = base[image, :, line] + incident[image]
    middle = -np.einsum("ij,ij->i", start, axis[image]) / square
    rest = np.einsum("ij,ij->i", start, start) - middle**2 * square
    radius, reach = radius[image, 0], reach[image, 0]
    outer = (radius + reach) ** 2 - rest
    inner = np.maximum(radius - reach, 0.0) ** 2 - rest
    outside = outer < -1e-12
    outer = np.sqrt(np.maximum(outer, 0.0) / square)
    inner = np.sqrt(np.maximum(inner, 0.0) / square)
    slack = 1e-7
    first_low = np.ceil(np.maximum(low, middle - outer) - slack).astype(np.int64)
    first_high = np.floor(np.minimum(high, middle - inner) + slack).astype(np.int64)
    second_low = np.ceil(np.maximum(low, middle + inner) - slack).astype(np.int64)
    second_low = np.maximum(second_low, first_high + 1)
    second_high = np.floor(np.minimum(high, middle + outer) + slack).astype(np.int64)
    first = np.where(outside, 0, np.maximum(first_high - first_low + 1, 0))
    second = np.where(outside, 0, np.maximum(second_high - second_low + 1, 0))

    order = np.concatenate([np.flatnonzero(first > 0), np.flatnonzero(second > 0) + len(first)])
    order = order[np.argsort(image[order % len(image)], kind="stable")] if len(order) else order
    begin, count = np.concatenate([first_low, second_low])[order], np.concatenate([first, second])[order]
    source = order % max(len(image), 1)
    return image[source], line[source], begin, count


def _nearest(
    base: NDArray[np.float64], axis: NDArray[np.float64], square: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Where each line [n, 3, p] comes nearest to the origin, as an index, and how near, squared; both [n, p]."""
    middle = -np.einsum("nip,ni->np", base, axis) / square
    rest = np.einsum("nip,nip->np", base, base) - middle**2 * square
    return middle, rest
