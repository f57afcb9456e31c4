"""Averages of correlations over exposures, from the formulas of the documentation, exposure by exposure."""

import numpy as np

from tests.oracles.correlate_correlation import sums


def each(exposures, pairs, weights=None):
    """s and p of every exposure: two arrays [exposures, rows, n]. NaN = no data; weights [exposures, rings, n]."""
    weights = np.ones(exposures.shape) if weights is None else weights
    found = [[sums(one[i], one[j], use[i], use[j]) for i, j in pairs] for one, use in zip(exposures, weights)]
    return np.array(found).transpose(2, 0, 1, 3)


def average(exposures, pairs, weights=None, norm="mask", means=None):
    """C and its standard error, [rows, n]; `means` [rings]: divide by the product of those of the two rings."""
    s, p = each(exposures, pairs, weights)
    number, n = len(s), s.shape[-1]
    with np.errstate(invalid="ignore", divide="ignore"):
        if norm == "mask":
            c = s.sum(0) / p.sum(0)
            many = p.sum(0) ** 2 / (p**2).sum(0)
            error = np.sqrt(((s - c * p) ** 2).sum(0) * many / (many - 1)) / p.sum(0)
        else:
            share = s / (n if norm == "mean" else 1)
            c, error = share.mean(0), share.std(0, ddof=1) / np.sqrt(number) if number > 1 else np.nan * s[0]
    if means is not None:
        scale = np.array([means[i] * means[j] for i, j in pairs])[:, None]
        c, error = c / scale, error / scale
    return c, error


def ring_means(exposures, weights=None):
    """Weighted mean of all values of each ring, of all exposures together."""
    use = np.isfinite(exposures) * (1.0 if weights is None else weights)
    return (np.where(use > 0, exposures, 0) * use).sum((0, 2)) / use.sum((0, 2))


def of_frame(exposures):
    """Each exposure over the mean of all its finite values."""
    return np.array([one / np.nanmean(one) for one in exposures])


def lines(exposures):
    """What an exposure is paired by: the mean over its rings, each over its own mean; a single ring as it is."""
    return np.array(
        [one[0] if len(one) == 1 else np.nanmean(one / np.nanmean(one, axis=1)[:, None], axis=0) for one in exposures]
    )


def pairs_of(order, exposures):
    """Differences, and the means of the two."""
    first, second = np.array(order).T
    return exposures[first] - exposures[second], 0.5 * (exposures[first] + exposures[second])
