"""The centre about which the radial profile of a frame is sharpest."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import uniform_filter1d

from crystint.arrays import Floats
from crystint.correlate.center.circles import RingShape
from crystint.correlate.center.contrast import binned

__all__ = ["RingProfileScan", "scan_center", "sharper_elsewhere"]


_PIXELS = (60_000, 300_000)
"""samples of the first grid and of the finer ones, about; a larger frame is summed in blocks"""
_BLOCKS = 4_000
"""samples, and trial centres, of the look over the whole frame"""
_CLEARLY, _BY_FAR, _DOUBTS = 1.5, 6.0, 5.0
"""times, and standard deviations: by how much what rings explain must be more elsewhere"""
_NEAREST = 0.1
"""pixels of a tilted plane that lie nearer to the sample along the beam, in parts of the beam's spot, take no part"""


@dataclass(frozen=True, slots=True, eq=False)
class RingProfileScan:
    """Samples of a frame whose radial profile is looked at about trial centres of a shape that else is kept."""

    shape: RingShape
    """circles, or the cones of a tilted detector: along its rings counts are averaged"""
    projected: tuple[Floats, Floats, Floats]
    """float64 [n] each: samples by `shape.projection`; z is float64 [1], 1, on a plane across the beam"""
    total: Floats
    """float64 [n]: sum of the contrast of the pixels of a sample"""
    number: Floats
    """float64 [n]: pixels of a sample"""
    area: Floats
    """float64 [n]: area of these pixels in the plane across the beam, px^2"""
    factor: int
    """side of a sample, px"""

    @classmethod
    def of(cls, contrast: Floats, good: NDArray[np.bool_], pixels: int, shape: RingShape) -> RingProfileScan:
        """Sum a contrast image in blocks so that about `pixels` samples are left."""
        factor = max(1, int(np.ceil(np.sqrt(good.sum() / pixels))))
        total, number = binned(contrast, good, factor)
        rows, columns = np.nonzero(number)
        slow, fast = (np.asarray(at * factor + 0.5 * factor, np.float64) for at in (rows, columns))
        matrix = shape.projection
        total, number = total[rows, columns], number[rows, columns]
        if (matrix == [[1.0, 0.0, matrix[0, 2]], [0.0, 1.0, matrix[1, 2]], [0.0, 0.0, 1.0]]).all():
            return cls(shape, (slow + matrix[0, 2], fast + matrix[1, 2], np.ones(1)), total, number, number, factor)
        x, y, z = (row[0] * slow + row[1] * fast + row[2] for row in matrix)
        before = z > _NEAREST
        x, y, z, total, number = (part[before] for part in (x, y, z, total, number))
        return cls(shape, (x, y, z), total, number, number * abs(np.linalg.det(matrix)) / z**3, factor)

    def radius(self, center: tuple[float, float]) -> Floats:
        """Ring coordinate of the samples with the centre elsewhere, px; float64 [n]."""
        matrix = self.shape.projection[:, :2]
        x, y, z = (
            part - part_shift
            for part, part_shift in zip(self.projected, matrix @ np.subtract(center, self.shape.center), strict=True)
        )
        length = np.sqrt(x * x + y * y)
        return np.asarray(length if len(z) == 1 else length / np.maximum(z, 0.5 * _NEAREST))

    def profile(self, center: tuple[float, float], step: float) -> tuple[Floats, Floats]:
        """Sum of contrast and number of pixels per radius bin of `step` px; float64 [bins] each."""
        bin_of = (self.radius(center) * (1.0 / step)).astype(np.intp)
        total, number = np.bincount(bin_of, self.total), np.bincount(bin_of, self.number)
        return np.asarray(total, np.float64), np.asarray(number, np.float64)

    def coverage(self, center: tuple[float, float], step: float) -> Floats:
        """Share of each radius bin that good pixels cover; float64 [bins]."""
        bin_of = (self.radius(center) * (1.0 / step)).astype(np.intp)
        area = np.bincount(bin_of, self.area)
        return np.asarray(area / (2 * np.pi * step * step * (np.arange(len(area)) + 0.5)))

    def sharpness(self, center: tuple[float, float], step: float, smooth: float) -> float:
        """Sum over bins of n (mean - mean of the bins within `smooth` px)^2: what rings explain of the contrast.

        It is the between-bin sum of squares of a one-way analysis of variance, after a high pass.
        """
        total, number = self.profile(center, step)
        window = 2 * round(smooth / step) + 1
        with np.errstate(invalid="ignore", divide="ignore"):
            rise = total / number - uniform_filter1d(total, window) / uniform_filter1d(number, window)
        return float(np.nansum(number * rise * rise))

    def explained(self, center: tuple[float, float], step: float, smooth: float) -> tuple[float, float]:
        """`sharpness` less what samples without any ring would give, and the standard deviation of that.

        Without rings every bin gives the variance of a pixel times chi squared of one degree of freedom.
        """
        variance = float(np.mean(self.total * self.total / self.number))
        bins = np.count_nonzero(np.bincount((self.radius(center) * (1.0 / step)).astype(np.intp)))
        return self.sharpness(center, step, smooth) - variance * bins, variance * float(np.sqrt(2.0 * bins))


def scan_center(
    contrast: Floats, good: NDArray[np.bool_], start: RingShape, reach: float, *, smooth: float
) -> tuple[float, float]:
    """The sharpest centre within `reach` px of the start, to about 0.25 px: a grid of 2 px, then finer about the best.

    Parameters
    ----------
    contrast : float64 [slow, fast]
        As `local_contrast` gives it.
    good : bool [slow, fast]
    start : RingShape
        Where to begin; all of it but the centre is kept.
    reach : float
        Half side of the square that is searched, px. The first grid lies at multiples of its step from the corner of
        the frame, not from the start, so that nearby starts search the same centres.
    smooth : float
        Half width of the running mean that is taken off the profile, px.
    """
    scan = RingProfileScan.of(contrast, good, _PIXELS[0], start)
    width = step = max(2.0, float(scan.factor))
    first = [np.arange(np.floor((at - reach) / step), np.ceil((at + reach) / step) + 1) * step for at in start.center]
    center = _best(scan, first[0], first[1], 0.5 * width, smooth)
    scan = RingProfileScan.of(contrast, good, _PIXELS[1], start)
    while step > 0.25:
        step *= 0.5
        width = max(0.5 * scan.factor, 0.5, min(width, step))
        around = [at + np.arange(-2, 3) * step for at in center]
        center = _best(scan, around[0], around[1], width, smooth)
    return center


def sharper_elsewhere(
    contrast: Floats, good: NDArray[np.bool_], shape: RingShape, reach: float, *, smooth: float
) -> tuple[tuple[float, float], bool] | None:
    """Where the radial profile of the whole frame is clearly sharper than about the centre of `shape`; None = nowhere.

    A few rings seen about a wrong centre look like rings, with small errors, where they touch the true ones. What tells
    is that the true centre explains more of the frame. So does, sometimes, the edge of a round shadow: whether the
    place explains more by far is told with it.

    Parameters
    ----------
    contrast, good, smooth
        As `scan_center`.
    shape : RingShape
        That was fitted.
    reach : float
        Places nearer than this are not looked at, px.
    """
    coarse = RingProfileScan.of(contrast, good, _BLOCKS, shape)
    side = float(coarse.factor)
    size = np.array(contrast.shape)
    step = max(side, float(np.sqrt(4.0 * size.prod() / _BLOCKS)))  # from half a frame outside to half a frame outside
    slow, fast = (np.arange(-0.5 * n, 1.5 * n, step) for n in size)
    best, place = 0.0, None
    for trial in ((float(s), float(f)) for s in slow for f in fast):
        if max(abs(np.subtract(trial, shape.center))) > reach + step:
            score = coarse.sharpness(trial, side, max(smooth, 3.0 * side))
            if score > best:
                best, place = score, trial
    if place is None:
        return None
    place = scan_center(contrast, good, shape.having([*place, *shape.values[2:]]), step, smooth=smooth)
    fine = RingProfileScan.of(contrast, good, _PIXELS[1], shape)
    width = max(1.0, 0.5 * fine.factor)
    (here, _), (there, doubt) = (fine.explained(at, width, smooth) for at in (shape.center, place))
    least = _DOUBTS * doubt
    if not there > _CLEARLY * max(here, 0.0) + least:
        return None
    return place, bool(there > _BY_FAR * max(here, 0.0) + least)


def _best(
    scan: RingProfileScan, slow: NDArray[Any], fast: NDArray[Any], width: float, smooth: float
) -> tuple[float, float]:
    score = np.array([[scan.sharpness((s, f), width, smooth) for f in fast] for s in slow])
    row, column = np.unravel_index(int(score.argmax()), score.shape)
    return float(slow[row]), float(fast[column])
