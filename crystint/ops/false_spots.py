"""How many spots noise makes in a frame without signal."""

from __future__ import annotations

from math import comb

import numpy as np
from numpy.typing import NDArray

from crystint.ops.threshold import counts_at

__all__ = ["expected_false_spots"]


def _above(
    table: NDArray[np.float64],
    level: NDArray[np.float64],
    ratio: float,
    weight: NDArray[np.float64],
    snr: float,
    noise: float,
) -> NDArray[np.float64]:
    """Probability that a pixel of the background is more than `snr` sigma above it.

    Counts are whole, and so their tail is that of the first whole number above the threshold: often far below that of
    the Gaussian. With the variance `ratio` times that of Poisson's law it is P((n + 1) / ratio, level / ratio), which
    is exact for a ratio of 1. Where fractions of counts are measured it is the Gaussian's.
    """
    from scipy.special import gammainc, ndtr

    mean, phi, spread, fractions = table.T
    limit = counts_at(mean, phi, spread, weight, snr, noise)
    low = np.where(level * weight < _FEW, np.minimum(level, mean), level)
    counts = np.maximum(low * weight, 0.0)
    tail = gammainc(np.maximum(np.floor(limit) + 1.0, 0.5) / ratio, counts / ratio)
    return np.asarray(np.where((fractions > 0) | (counts <= 0), ndtr(-snr), tail))


def _smooth(mean: NDArray[np.float64], pixels: NDArray[np.float64]) -> NDArray[np.float64]:
    """The mean over neighbouring rings: what the pixels of a ring have more of by chance raises its threshold, not the
    counts that are expected. Where they have less, no pixel of it is above the lower threshold; with few counts that
    matters, and the lower mean is taken."""
    box = np.ones(_BOX)
    total = np.convolve(np.where(pixels > 0, mean, 0.0) * pixels, box, "same")
    with np.errstate(invalid="ignore"):
        return np.asarray(total / np.convolve(pixels, box, "same"))


def expected_false_spots(
    table: NDArray[np.floating],
    weight: NDArray[np.float64],
    pixels: NDArray[np.float64],
    *,
    snr: float,
    snr_pick: float,
    connected: int,
    patch: int,
    noise: float,
) -> float:
    """Spots that noise makes, on average: pixels above `snr` with enough neighbours above `snr_pick`.

    Within about a tenth where pixels hold a count or more; with fewer counts at most two to three times too many.

    Parameters
    ----------
    table : float [rings, 4]
        Of `crystint.ops.threshold.ring_table`; NaN in rings without background.
    weight : float64 [rings]
        Mean normalization.
    pixels : float64 [rings]
        In which peaks are looked for.
    snr, snr_pick, connected, patch, noise
        As `Separator.peaks`.
    """
    usable = np.flatnonzero(np.isfinite(table[:, 0]) & (pixels > 0))
    if not len(usable):
        return 0.0
    whole = table.astype(np.float64)
    counted = np.where(np.isfinite(whole[:, 0]), pixels, 0.0)
    level = _smooth(whole[:, 0], counted) if len(usable) >= 3 * _BOX else whole[:, 0]
    some = usable[:: max(1, len(usable) // _RINGS)]  # neighbours are alike
    rows, heavy = whole[some], weight[some]
    with np.errstate(divide="ignore", invalid="ignore"):
        ratios = rows[:, 1] + np.square(rows[:, 2]) * heavy / rows[:, 0]
    ratios = ratios[~np.isnan(ratios)]
    ratio = max(float(np.median(ratios)), 1.0) if len(ratios) else 1.0
    strong, weak = (_above(rows, level[some], ratio, heavy, k, noise) for k in (snr, snr_pick))
    neighbours = patch * patch - 1
    few = [comb(neighbours, n) * weak**n * (1.0 - weak) ** (neighbours - n) for n in range(connected - 1)]
    enough = 1.0 - np.sum(few, axis=0) if few else np.ones_like(weak)
    share = np.sum(strong * np.maximum(enough, 0.0) * pixels[some]) / np.sum(pixels[some])
    return float(share * pixels[usable].sum())


_RINGS = 128
"""of which it is worked out"""
_FEW = 10.0
"""counts per pixel, below which a ring's own mean tells which counts are in it"""
_BOX = 9
"""rings that are alike"""
