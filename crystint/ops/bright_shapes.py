"""Whether bright pixels can be a spot: the shape of what a point-like source leaves on square pixels.

A Gaussian spot on pixels, however narrow and wherever its centre, has two properties that defects need not have.

- *It leaks.* One narrower than a pixel and centred on it still puts counts into the neighbours: a spot of 0.7 px full
  width at half maximum (sigma 0.3 px) 22 % of those of the pixel, all eight neighbours together; every other place of
  its centre gives more. A pixel whose neighbours have less than 20 %, by 2 standard deviations, is no such spot.
- *Its sides are no steps.* Three pixels in a row whose ends have at least 0.6 of the largest have neighbours beyond
  the ends with at least a tenth of these: a width that makes the tops so equal makes the sides so smooth. Pixels in a
  row that are as bright as one another and end in nothing are no point-like source. The image of a crystal that is
  wider than a pixel can be flat in one direction (one of a wedge of l-cysteine is), and would have to end at the
  borders of pixels on all four sides to be flat in both.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["LEAK", "is_block", "leaks", "least_leak"]

LEAK = 0.2
"""least share of the counts of a pixel in its eight neighbours, of a spot of 0.7 px"""
_SIGMA = 2.0
_TOP, _SIDE = 0.6, 0.1
_NEIGHBOURS = 5
"""usable ones that are needed"""
_MANY = 20
"""spots of the run that tell how narrow spots are"""
_OFFSETS = [(slow, fast) for slow in (-1, 0, 1) for fast in (-1, 0, 1) if (slow, fast) != (0, 0)]


def leaks(
    excess: NDArray[np.float64], variance: NDArray[np.float64], pixels: NDArray[np.intp]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Counts in the eight neighbours over those of the pixel, and the standard deviation of that.

    Parameters
    ----------
    excess, variance : float64 [slow, fast]
        Counts above the background, NaN where a pixel is not usable, and their variance.
    pixels : int [n]
        Numbers of the pixels.

    Returns
    -------
    leak, error : float64 [n]
        As of eight neighbours; NaN with fewer than five usable ones.
    """
    slow, fast = np.divmod(pixels, excess.shape[1])
    wide, wide_variance = (np.pad(part, 1, constant_values=np.nan) for part in (excess, variance))
    near = np.stack([wide[slow + 1 + i, fast + 1 + j] for i, j in _OFFSETS])
    spread = np.stack([wide_variance[slow + 1 + i, fast + 1 + j] for i, j in _OFFSETS])
    usable = np.isfinite(near)
    number = usable.sum(axis=0)
    own = excess[slow, fast]
    with np.errstate(invalid="ignore", divide="ignore"):
        scale = np.where(number >= _NEIGHBOURS, 8.0 / number, np.nan) / own
        leak = np.nansum(near, axis=0) * scale
        error = np.sqrt(np.nansum(np.where(usable, spread, 0.0), axis=0)) * scale
    return leak, error


def least_leak(leak: NDArray[np.float64], error: NDArray[np.float64]) -> float:
    """Half of what the narrowest spots of a run leak, and no less than `LEAK`; that, where there are few spots."""
    spots = leak[(error < 0.1 * leak) & (leak > LEAK)]
    return float(np.clip(0.5 * np.percentile(spots, 5), LEAK, 1.0)) if len(spots) >= _MANY else LEAK


def is_alone(
    leak: NDArray[np.float64], error: NDArray[np.float64], counts: NDArray[np.float64], least: float
) -> NDArray[np.bool_]:
    """Which pixels are no spot, as their neighbours have too little: `error` is that of neighbours without a spot, and
    `counts` those of the pixel, from which follows by how much the leak of a spot would scatter."""
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(leak + _SIGMA * np.sqrt(error**2 + least / counts) < least)


def is_block(excess: NDArray[np.float64], variance: NDArray[np.float64], inside: NDArray[np.bool_]) -> bool:
    """Whether a cluster is no spot: a rectangle with equal tops and steps at all four sides.

    Its rows and its columns are summed: those of a Gaussian spot are one-dimensional Gaussians. Three or more in one
    direction at least; in the other it may be a single pixel wide.

    Parameters
    ----------
    excess, variance : float64 [slow, fast]
        Of a window with a pixel more on each side than the cluster; NaN where a pixel is not usable.
    inside : bool [slow, fast]
        The cluster.
    """
    if inside[[0, -1]].any() or inside[:, [0, -1]].any() or not inside[1:-1, 1:-1].all():
        return False
    lengths = (
        _flat(excess[:, 1:-1].sum(axis=1), variance[:, 1:-1].sum(axis=1)),
        _flat(excess[1:-1].sum(axis=0), variance[1:-1].sum(axis=0)),
    )
    return min(lengths) >= 1 and max(lengths) >= 3 and 2 not in lengths


def _flat(counts: NDArray[np.float64], variance: NDArray[np.float64]) -> int:
    """How many pixels in a row have equal tops and steps at both ends; 0 = they have not."""
    row, limits = counts[1:-1], _SIDE * counts[[1, -2]]
    steps = bool((counts[[0, -1]] + _SIGMA * np.sqrt(variance[[0, -1]]) < limits).all())
    return len(row) if steps and row.min() >= _TOP * row.max() else 0
