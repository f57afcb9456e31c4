"""Least squares without its bias: what a training with kind="least_squares" minimises.

Minimising sum of loss(r), r = (I - lambda) / sqrt(lambda), itself is biased where counts are few: for l2 by half a
count per pixel, as lambda in the denominator rewards a large lambda, and for l1 and huber because Poisson's law is
skewed: faint reflections end 20 % too strong, or at 0. So the slope is

    df/dlambda = -2 ( psi(r) - E[psi] ) / sqrt(lambda),   psi(r) = r (l2), sign(r) / 2 (l1), r between -c and c (huber)

with the variance lambda of the model held fixed and E the expectation over Poisson's law of mean lambda: the
estimating equation is right on average, whatever lambda (Cantoni & Ronchetti 2001, J. Am. Stat. Assoc. 96, 1022). For
l2 it is Poisson's criterion. For the others f is the integral of the slope, in closed form for psi, from a table for
M(lambda) = integral of 2 E[psi] / sqrt(lambda).
"""

from __future__ import annotations

from functools import cache
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from crystint.arrays import Floats
from crystint.cbc.scaling.criteria import FLOOR, HUBER

__all__ = ["NODES", "PER_OCTAVE", "SPREAD", "Robust", "robust_terms", "skew_table"]

Robust = Literal["l1", "huber"]

SPREAD = {"l2": 1.0, "l1": float(np.sqrt(np.pi / 2.0)), "huber": 1.0 / np.sqrt(0.95)}
"""sigma of |q|^2 over that of Poisson's criterion: efficiencies of 2 / pi and 95 % for many counts (Huber & Ronchetti,
Robust Statistics, 2009)"""
PER_OCTAVE = 32
"""nodes of the table per factor of 2 in lambda"""
_OCTAVES = 34
NODES = PER_OCTAVE * _OCTAVES + 1
"""of the table"""
_FINE = 16
"""steps of the integral between two nodes"""


@cache
def skew_table(loss: Robust) -> NDArray[np.float64]:
    """M and its slope by log2(lambda) at the nodes log2(lambda) = log2(FLOOR) + i / 32: float64 [nodes, 2]."""
    step = 1.0 / (PER_OCTAVE * _FINE)
    middle = np.log2(FLOOR) + (np.arange(PER_OCTAVE * _FINE * _OCTAVES) + 0.5) * step
    rise = 2.0 * _mean_score(2.0**middle, loss) * np.sqrt(2.0**middle) * np.log(2.0) * step
    total = np.concatenate([[0.0], np.cumsum(rise)])[::_FINE]
    table = np.stack([total, np.gradient(total)], axis=1)
    table.flags.writeable = False
    return table


def _mean_score(expected: Floats, loss: Robust) -> Floats:
    """E[psi] over Poisson's law; float64 [n]."""
    from scipy.stats import poisson  # takes long to import, and Poisson's criterion does without

    law, root = poisson(expected), np.sqrt(expected)
    if loss == "l1":
        return np.asarray(0.5 * (law.sf(np.floor(expected)) - law.cdf(np.ceil(expected) - 1.0)))
    low, high = np.floor(expected - HUBER * root), np.floor(expected + HUBER * root)
    # sum over low < n <= high of (n - lambda) p(n) = lambda (p(low) - p(high))
    inside = root * (law.pmf(low) - law.pmf(high))
    return np.asarray(HUBER * (law.sf(high) - law.cdf(low)) + inside)


def robust_terms(counts: Floats, expected: Floats, loss: Robust) -> tuple[Floats, Floats]:
    """f of each pixel and its slope in lambda, float64 [P] each; the slope stays as it is below `FLOOR`."""
    safe = np.maximum(expected, FLOOR)
    root = np.sqrt(safe)
    value, slope = (_signs if loss == "l1" else _clipped)(counts, safe, root)
    skew, by_lambda = _skew(safe, loss)
    slope = slope + by_lambda
    return value + skew + slope * np.minimum(expected - FLOOR, 0.0), slope


def _signs(counts: Floats, expected: Floats, root: Floats) -> tuple[Floats, Floats]:
    """f = 2 |sqrt(lambda) - sqrt(I)|, of negative counts as of none."""
    away = root - np.sqrt(np.maximum(counts, 0.0))
    return 2.0 * np.abs(away), np.sign(away) / root


def _clipped(counts: Floats, expected: Floats, root: Floats) -> tuple[Floats, Floats]:
    """Poisson's 2 (lambda - I log(lambda)) where |r| < c, and 4 c |sqrt(lambda) - that at the nearer end| beyond."""
    half = 0.5 * np.sqrt(np.maximum(HUBER * HUBER + 4.0 * counts, 0.0))
    low, high = np.abs(half - 0.5 * HUBER), half + 0.5 * HUBER  # where |r| = c, in sqrt(lambda)
    nearest = np.clip(root, low, high)
    up = np.where((root < low) & (counts > 0.0), -1.0, 1.0)
    near = np.maximum(nearest * nearest, FLOOR * FLOOR)
    value = 2.0 * (near - counts * np.log(near)) + 4.0 * HUBER * up * (root - nearest)
    slope = np.where(root == nearest, 2.0 * (1.0 - counts / expected), 2.0 * HUBER * up / root)
    return value, slope


def _skew(expected: Floats, loss: Robust) -> tuple[Floats, Floats]:
    """M and dM/dlambda, by cubics between the nodes of the table."""
    table = skew_table(loss)
    place = np.clip((np.log2(expected) - np.log2(FLOOR)) * PER_OCTAVE, 0.0, len(table) - 1.000001)
    node = place.astype(np.intp)
    t, (a, da), (b, db) = place - node, table[node].T, table[node + 1].T
    third, second = da + db - 2.0 * (b - a), 3.0 * (b - a) - 2.0 * da - db
    by_place = da + t * (2.0 * second + 3.0 * t * third)
    return a + t * (da + t * (second + t * third)), by_place * PER_OCTAVE / (np.log(2.0) * expected)
