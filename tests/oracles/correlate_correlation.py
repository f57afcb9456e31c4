"""Angular correlations lag by lag. Knows nothing of the package, nor of Fourier transforms."""

import numpy as np


def sums(first, second, first_weight=None, second_weight=None):
    """total(D) and pairs(D) of one ring and one ring, weights 0 where the value is not finite."""
    n = len(first)
    w1 = np.isfinite(first) * (1.0 if first_weight is None else first_weight)
    w2 = np.isfinite(second) * (1.0 if second_weight is None else second_weight)
    v1, v2 = np.where(w1 > 0, first, 0.0), np.where(w2 > 0, second, 0.0)
    total, pairs = np.zeros(n), np.zeros(n)
    for lag in range(n):
        for a in range(n):
            b = (a + lag) % n
            total[lag] += w1[a] * v1[a] * w2[b] * v2[b]
            pairs[lag] += w1[a] * w2[b]
    return total, pairs


def masked(first, second, first_weight=None, second_weight=None):
    """Divided by the pairs of each lag; NaN where there are none."""
    total, pairs = sums(first, second, first_weight, second_weight)
    return np.array([t / p if p > 0 else np.nan for t, p in zip(total, pairs)])


def ratio_and_error(exposures):
    """Ratio of sums over exposures, and its standard error, of one ring: [exposures, n]; all exposures of one weight.

    Only for equal masks: there the ratio is the mean of the ratios, and its error the usual one.
    """
    each = np.array([masked(ring, ring) for ring in exposures])
    return each.mean(axis=0), each.std(axis=0, ddof=1) / np.sqrt(len(each))


def jackknife_error(exposures):
    """Standard error of sum of total / sum of pairs by leaving out one exposure at a time."""
    found = [sums(ring, ring) for ring in exposures]
    total, pairs = np.array([t for t, _ in found]), np.array([p for _, p in found])
    left = [(total.sum(0) - total[i]) / (pairs.sum(0) - pairs[i]) for i in range(len(found))]
    left = np.array(left)
    return np.sqrt((len(left) - 1) * ((left - left.mean(0)) ** 2).mean(0))
