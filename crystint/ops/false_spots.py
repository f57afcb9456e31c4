"""How many spots noise makes in a frame without signal."""

from __future__ import annotations

from math import comb

import numpy as np
from numpy.typing import NDArray

from crystint.ops.threshold import counts_at

__all__ = ["expected_false_spots"]


def _above(table: NDArray[np.float64], weight: NDArray[np.float64], snr: float, noise: float) -> NDArray[np.float64]:
    """Probability that a pixel of the background is more than `snr` sigma above it.

    Counts are whole, and so their tail is that of the first whole number above the threshold: often far below that of
    the Gaussian. With the variance phi times that of Poisson's law it is P((n + 1) / phi, mu / phi), which is exact for
    phi = 1. Where fractions of counts are measured it is the Gaussian's.
    """
    from scipy.special import gammainc, ndtr

    mean, phi, spread, fractions = table.T
    counts = mean * weight
    limit = counts_at(mean, phi, spread, weight, snr, noise)
    variance = phi * counts + np.square(spread * weight)
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.maximum(variance / counts, 1.0)
        tail = gammainc((np.floor(limit) + 1.0) / ratio, counts / ratio)
    gaussian = (fractions > 0) | (counts <= 0)
    return np.asarray(np.where(gaussian, ndtr(-snr), tail))


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
    some = usable[:: max(1, len(usable) // _RINGS)]  # neighbours are alike
    rows, heavy = table[some].astype(np.float64), weight[some]
    strong, weak = (_above(rows, heavy, k, noise) for k in (snr, snr_pick))
    neighbours = patch * patch - 1
    few = [comb(neighbours, n) * weak**n * (1.0 - weak) ** (neighbours - n) for n in range(connected - 1)]
    enough = 1.0 - np.sum(few, axis=0) if few else np.ones_like(weak)
    share = np.sum(strong * np.maximum(enough, 0.0) * pixels[some]) / np.sum(pixels[some])
    return float(share * pixels[usable].sum())


_RINGS = 256
"""of which it is worked out"""
