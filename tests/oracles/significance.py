"""Significance of a pixel by Poisson's law, with scipy and nothing else."""

import numpy as np
from scipy.optimize import brentq
from scipy.special import gammainc
from scipy.stats import norm


def significant(counts, expected, phi, k):
    """P(N >= n/phi | lambda/phi) < Q(k), where P(N >= x | mu) is the regularised incomplete gamma function."""
    counts, expected, phi = np.broadcast_arrays(
        np.asarray(counts, float), np.asarray(expected, float), np.asarray(phi, float)
    )
    out = np.zeros(counts.shape, bool)
    some = counts > 0
    out[some] = gammainc(counts[some] / phi[some], expected[some] / phi[some]) < norm.sf(k)
    return out & (counts > expected)


def threshold(expected, phi, k):
    """The counts at exactly k sigma, by root finding."""
    mu = expected / phi
    return phi * brentq(lambda x: gammainc(x, mu) - norm.sf(k), 1e-12, mu + 60 * np.sqrt(mu) + 2000, xtol=1e-12)


def between(values, place):
    """Linear interpolation between ring centres for one place, with the rule for rings that have no value."""
    last = len(values) - 1
    place = min(max(place, 0.0), last)
    if np.isnan(values[int(np.floor(place + 0.5))]):
        return np.nan
    low = min(int(place), max(last - 1, 0))
    high = min(low + 1, last)
    a, b = values[low], values[high]
    if np.isnan(a):
        return b
    if np.isnan(b):
        return a
    return a + (place - low) * (b - a)
