"""Outliers by median and MAD, one ring after the other, from sorted lists."""

import math

import numpy as np


def median(values):
    """The middle value; of an even number, the mean of the middle two, in the precision of the values."""
    ordered = sorted(values)
    n = len(ordered)
    if n % 2:
        return ordered[n // 2]
    return (ordered[n // 2 - 1] + ordered[n // 2]) / type(ordered[0])(2)


def ring(values, threshold, least_sigma=0.0):
    """Flags, median, MAD and sigma of one ring; NaN = no data."""
    good = [v for v in values if math.isfinite(v)]
    if not good:
        return [False] * len(values), math.nan, math.nan, math.nan
    middle = median(good)
    distance = [abs(v - middle) for v in good]
    mad = median(distance)
    sigma = float(mad) / 0.6745
    if mad == 0.0:
        sigma = 1.253314 * float(np.mean(np.asarray(distance, np.float64)))
    sigma = max(sigma, least_sigma)
    return [math.isfinite(v) and abs(float(v) - float(middle)) > threshold * sigma for v in values], middle, mad, sigma


def as_the_original_counted(row, threshold):
    """Outliers of a row with zeros for masked samples, as LOKI's tutorial counts them.

    The median is over all samples, masked zeros included; the distance of a masked sample is taken for 0.
    """
    valid = row != 0
    distance = np.where(valid, np.abs(row - np.median(row)), 0)
    return int((0.6745 * distance / np.median(distance) > threshold).sum())
