"""Amplitudes of profiles the slow way, what theory says of them, and the weightings that are wrong.

From the formulas of profile fitting (Diamond 1969; Leslie 1999) and of Poisson counts; one reflection at a time.
"""

import math

import numpy as np


def amplitude(counts, profile, background, dark, ring, model=math.nan, iterations=3):
    """(J, its variance, its variance without signal) with Python's floats, pixel by pixel."""

    def weighted(signal):
        top, bottom, cross = [], [], []
        for i, p in zip(counts, profile, strict=True):
            v = dark + max(signal, 0.0) * p
            top.append(p / v * (i - background))
            bottom.append(p / v * p)
            cross.append(p / v)
        return math.fsum(top), math.fsum(bottom), math.fsum(cross)

    top, bottom, cross = weighted(0.0)
    if not bottom > 0.0 or not ring > 0.0:
        return math.nan, math.nan, math.nan
    without = 1.0 / bottom + (cross / bottom) ** 2 * dark / ring
    for _ in range(iterations if math.isnan(model) else 1):
        top, bottom, cross = weighted(top / bottom if math.isnan(model) else model)
    return top / bottom, 1.0 / bottom + (cross / bottom) ** 2 * dark / ring, without


def bound(profile, background, signal, ring):
    """The least variance of J that core and ring allow together: the Cramer-Rao bound with B unknown too."""
    core = profile[profile > 0.0]
    v = background + signal * core
    information = np.array(
        [
            [np.sum(core**2 / v), np.sum(core / v)],
            [np.sum(core / v), np.sum(1.0 / v) + ring / background],
        ]
    )
    return np.linalg.inv(information)[0, 0]


def known_background_bound(profile, background, signal):
    """The same when B is known."""
    core = profile[profile > 0.0]
    return 1.0 / np.sum(core**2 / (background + signal * core))


def gaussian(width, reach, half=6, width_2=None, turn=0.0, center=(0.0, 0.0)):
    """A profile exp(-(x/R)^2 - (y/R')^2) at pixel centres within an ellipse of `reach` widths; sum 1 in the box."""
    y, x = np.mgrid[-half : half + 1, -half : half + 1].astype(float)
    y, x = y - center[0], x - center[1]
    a, b = math.cos(turn) * x + math.sin(turn) * y, math.cos(turn) * y - math.sin(turn) * x
    square = (a / width) ** 2 + (b / (width if width_2 is None else width_2)) ** 2
    profile = np.exp(-square)
    profile /= profile.sum()
    return np.where(square <= reach**2, profile, 0.0).ravel()


# What must not be done: tests show what it would cost.


def observed_weights(counts, profile, background):
    """J with the observed counts of each pixel (at least 1) as its variance; counts [n, pixels]."""
    weight = profile / np.maximum(counts, 1.0)
    return np.sum(weight * (counts - background[:, None]), axis=1) / np.sum(weight * profile, axis=1)


def median_ring(ring_counts):
    """The background as a median; ring_counts [n, pixels]."""
    return np.median(ring_counts, axis=1)
