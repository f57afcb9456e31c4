"""How many counts make a pixel significant, where the background and its spread are known.

A pixel of n counts where lambda are expected is at k sigma when P(N >= n | lambda) equals the Gaussian tail Q(k). With
the regularised lower incomplete gamma function P(N >= x | mu) = P(x, mu), which also gives a meaning to fractions of
counts (Abramowitz & Stegun 26.4.19). The ring's excess variance phi is taken out of both: n/phi against lambda/phi.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crystint.errors import SettingError
from crystint.model.rings import Background, interpolate

__all__ = [
    "CURVE_FIRST",
    "CURVE_PER_OCTAVE",
    "CURVE_POINTS",
    "counts_at",
    "excess_curve",
    "ring_table",
    "significance",
    "thresholds",
]

CURVE_FIRST = -20
CURVE_PER_OCTAVE = 32
CURVE_POINTS = 44 * CURVE_PER_OCTAVE + 1
"""The curve is tabulated from mu = 2^-20 to 2^24, 32 points per octave."""


def _significant_counts(mu: NDArray[np.float64], k: float) -> NDArray[np.float64]:
    """x with P(N >= x | mu) = Q(k), by bisection."""
    from scipy.special import gammainc, ndtr

    low, high = np.zeros_like(mu), mu + (k + 4.0) * np.sqrt(mu) + k * k + 12.0
    tail = ndtr(-k)
    while True:
        x = 0.5 * (low + high)
        if np.all((x == low) | (x == high)):  # no number lies between
            return x
        if k < 30.0:
            above = gammainc(x, mu) > tail
        else:  # the tail leaves double precision: signed root of the deviance, which is Gaussian to first order
            above = (x <= mu) | (2.0 * (x * np.log(np.maximum(x, 1e-300) / mu) - x + mu) < k * k)
        low, high = np.where(above, x, low), np.where(above, high, x)


@lru_cache(maxsize=64)
def excess_curve(k: float) -> NDArray[np.float64]:
    """(x - mu) / (1 + sqrt(mu)) on the grid of log2(mu), where x counts are k sigma above mu.

    Returns
    -------
    float64 [CURVE_POINTS], read-only

    Raises
    ------
    SettingError
        If `k` is not a positive number.
    """
    if not (np.isfinite(k) and 0 < k <= 1e6):
        raise SettingError(f"a threshold of {k} sigma has no meaning; expected a number above 0")
    mu = np.exp2(CURVE_FIRST + np.arange(CURVE_POINTS) / CURVE_PER_OCTAVE)
    curve = (_significant_counts(mu, k) - mu) / (1.0 + np.sqrt(mu))
    curve.setflags(write=False)
    return curve


def ring_table(background: Background) -> NDArray[np.float32]:
    """What the kernels need of each ring: mean, phi, spread that is not counting, 1 if the frame holds fractions.

    In the azimuthal model phi is 0 and all spread is of the last kind. NaN in a ring without background.

    Returns
    -------
    float32 [rings, 4]
    """
    if background.error_model == "azimuthal":
        phi, other = np.zeros_like(background.mean), background.std
    else:
        phi, other = background.excess, np.sqrt(background.additive)
    continuous = np.full_like(phi, np.nansum(background.additive) > 0)
    table = np.stack([background.mean, phi, other, continuous], axis=1)
    table[np.isnan(background.mean)] = np.nan
    return np.ascontiguousarray(table, dtype=np.float32)


def thresholds(
    background: Background, position: NDArray[np.float32], weight: NDArray[np.float32], k: float, noise: float = 0.0
) -> NDArray[np.float64]:
    """Counts (dark subtracted) above which a pixel is more than k sigma above the background.

    Parameters
    ----------
    position, weight : float32 [n]
        Place of the pixels between ring centres, and their normalization (`RingMap`).
    noise : float
        Constant noise, counts, added in quadrature.

    Returns
    -------
    float64 [n]; NaN where the background is unknown
    """
    table = ring_table(background).astype(np.float64)
    mean, phi, spread = (interpolate(table[:, column], position) for column in range(3))
    return counts_at(mean, phi, spread, weight.astype(np.float64), k, noise)


def counts_at(
    mean: NDArray[np.float64],
    phi: NDArray[np.float64],
    spread: NDArray[np.float64],
    weight: NDArray[np.float64],
    k: float,
    noise: float = 0.0,
) -> NDArray[np.float64]:
    """As `thresholds`, from the columns of `ring_table` at each pixel."""
    expected = mean * weight
    with np.errstate(divide="ignore", invalid="ignore"):
        mu = np.where(phi > 0, np.maximum(expected, 0.0) / phi, 0.0)
        at = np.clip((np.log2(mu) - CURVE_FIRST) * CURVE_PER_OCTAVE, 0.0, CURVE_POINTS - 1.0)
    at = np.where(np.isnan(at), 0.0, at)
    counting = np.interp(at, np.arange(CURVE_POINTS), excess_curve(k)) * (1.0 + np.sqrt(mu)) * phi
    other = k * k * (np.square(spread * weight) + noise * noise)
    return np.asarray(expected + np.sqrt(np.square(counting) + other))


def significance(
    counts: NDArray[Any], expected: NDArray[Any], phi: NDArray[Any], other: NDArray[Any]
) -> NDArray[np.float64]:
    """How many sigma pixels stand above their background: the k at which `counts_at` gives their counts.

    Parameters
    ----------
    counts, expected : float [n]
        Counts of the pixel less the dark ones, and those that the background puts there.
    phi : float [n]
        Excess variance; 0 = no counting (azimuthal model).
    other : float [n]
        Variance that does not come from counting, counts^2.

    Returns
    -------
    float64 [n], 0 or more: 0 at or below the background, and above it where that many counts are more likely than not
    (P(N >= n) above a half, at low counts); NaN without one
    """
    above = np.asarray(counts, np.float64) - expected
    with np.errstate(divide="ignore", invalid="ignore"):
        mu = np.maximum(np.maximum(expected, 0.0) / phi, 2.0**CURVE_FIRST)
        k = np.where(phi > 0, _counting_sigma(above / phi, mu), above / np.sqrt(other))
    mixed = np.flatnonzero((phi > 0) & (other > 0) & (above > 0))
    if len(mixed):
        above_m, phi_m, mu_m, other_m = above[mixed], phi[mixed], mu[mixed], other[mixed]
        low, high = np.zeros(len(mixed)), np.minimum(k[mixed], above_m / np.sqrt(other_m))
        for _ in range(40):
            middle = 0.5 * (low + high)
            counting = np.sqrt(np.maximum(np.square(above_m) - np.square(middle) * other_m, 0.0))
            more = _counting_sigma(counting / phi_m, mu_m) > middle
            low, high = np.where(more, middle, low), np.where(more, high, middle)
        k[mixed] = low
    return np.where(above > 0, k, np.where(np.isnan(above), np.nan, 0.0))


def _counting_sigma(excess: NDArray[np.float64], mu: NDArray[np.float64]) -> NDArray[np.float64]:
    """k with P(N >= mu + excess | mu) = Q(k); 0 without excess, or where k is below. The inverse of `excess_curve`."""
    from scipy.special import gammainc, ndtr, ndtri

    excess = np.where(excess > 0, excess, 0.0)
    x = mu + excess
    tail = gammainc(x, mu)
    with np.errstate(divide="ignore", invalid="ignore"):
        deviance = np.sqrt(np.maximum(2.0 * (x * np.log1p(excess / mu) - excess), 0.0))
        k = np.where(tail > ndtr(-30.0), -ndtri(tail), deviance)
    return np.where(excess > 0, np.maximum(k, 0.0), 0.0)
