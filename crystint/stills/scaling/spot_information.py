"""What one Gaussian spot on a flat background tells about its intensity, its width and its place.

The spot is J P(r) with P = exp(-r^2 / R^2) / (pi R^2), its pixels have the variance v = B + J P (`expected`) or v = B
(`uniform`), and all sums over pixels are integrals over x = r^2 / R^2:

    information about (ln J, ln R):  integral of (J P)^2 D D' / v,   D = (1, 2 x - 2)
    about a shift along either axis:  integral of (J P)^2 2 x / R^2 / v
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from crystint.arrays import Floats

__all__ = ["SpotInformation", "Weights", "spot_information"]

Weights = Literal["expected", "uniform"]
_NODES, _NODE_WEIGHTS = np.polynomial.legendre.leggauss(80)
_REACH = 12.0
"""x beyond which a spot is dark"""


@dataclass(frozen=True, eq=False)
class SpotInformation:
    """Per spot; all [n]."""

    amplitude: Floats
    """about ln J from all pixels, the width known"""
    achieved: Floats
    """about ln J in truth: 1 / (relative variance of the profile fit with these weights)"""
    width: Floats
    """about ln R from all pixels, the intensity known"""
    both: Floats
    """the element of (ln J, ln R)"""
    shift: Floats
    """about a shift by R along one axis, from all pixels"""
    sensitivity: Floats
    """d ln J / d ln R of the profile-fitted intensity when a wrong width R is assumed, at the true width"""
    photons: Floats
    """N_eff = J^2 / sum of the variances in the core: what second moments and centroids are as good as"""


def spot_information(
    signal: Floats, empty: Floats, weights: Weights = "expected", reach: float = 2.5
) -> SpotInformation:
    """Information of spots.

    Parameters
    ----------
    signal : float64 [n]
        J, photons, above 0.
    empty : float64 [n]
        Photons of background in an area of pi R^2, above 0.
    weights : "expected" or "uniform"
        What the variance of a pixel is taken for. Uniform weights are those of the background alone; `amplitude` and
        what is from all pixels are then what a fit believes, not what is so.
    reach : float
        Radius of the core, in R, for `photons`.
    """
    x = 0.5 * _REACH * (_NODES + 1.0)
    share = 0.5 * _REACH * _NODE_WEIGHTS * np.exp(-x)  # of the spot, between x and x + dx
    level = signal / empty  # J P / B at the middle
    profile = np.exp(-x)
    # (J P)^2 / v d(area) = share J (J P) / (B + J P)
    ratio = level[:, None] * profile / (1.0 + level[:, None] * profile if weights == "expected" else 1.0)
    each = signal[:, None] * share * ratio
    slope = 2.0 * x - 2.0
    amplitude, both, width = each.sum(axis=1), (each * slope).sum(axis=1), (each * slope**2).sum(axis=1)
    shift = (each * 2.0 * x).sum(axis=1)
    core = -np.expm1(-(reach**2))
    photons = signal * core**2 / (core + reach**2 / level)
    # with weights from the background alone J has the variance 2 pi R^2 B + 4/3 J
    achieved = amplitude if weights == "expected" else signal / (2.0 / level + 4.0 / 3.0)
    # the estimate by a template T, sum T J P / v over sum T^2 / v, changes with the width of T by minus the ratio of
    # the sums of D and 1; what v changes cancels to first order where T = P
    return SpotInformation(amplitude, achieved, width, both, shift, -both / amplitude, photons)
