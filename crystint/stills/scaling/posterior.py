"""Intensities with something known before they were measured: a reference, or Wilson's distribution.

The likelihood of a merged intensity is Gaussian, its mean and sigma what merging gives. Times a prior that is the
posterior; its mean and standard deviation are returned. Everything here moves intensities towards the prior, most where
the data are weak:

- a prior from a reference raises the agreement with that reference, and between half sets that used it, whatever the
  data are. CC to the reference, CC1/2 and R factors against it are no measures of quality of such intensities;
- the posterior of one data set must not be the reference of its own next cycle: the same information would count again.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import erfcx, log_ndtr

from crystint.arrays import Floats
from crystint.errors import SettingError
from crystint.html import html_table
from crystint.model.facts import range_text

__all__ = ["Posterior", "posterior_with_reference", "posterior_with_wilson", "truncated_normal"]

_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(200)


@dataclass(frozen=True, eq=False)
class Posterior:
    """Mean and standard deviation of each intensity; NaN where neither prior nor data say anything.

    Made by `posterior_with_reference` and `posterior_with_wilson`.
    """

    intensity: Floats
    """float64 [n]"""
    sigma: Floats
    """float64 [n]"""
    share: Floats
    """float64 [n], 0 to 1: how much of the information is the prior's; NaN for Wilson's prior, which is no Gaussian"""

    def __repr__(self) -> str:
        return f"<Posterior: {len(self.intensity)} intensities>"

    def _repr_html_(self) -> str:
        share = self.share[np.isfinite(self.share)]
        facts = {
            "intensities": range_text(self.intensity) or None,
            "sigma": range_text(self.sigma) or None,
            "share of the prior, median": float(np.median(share)) if share.size else None,
        }
        return html_table("Posterior", facts)


def truncated_normal(mean: ArrayLike, sigma: ArrayLike) -> tuple[Floats, Floats]:
    """Mean and standard deviation of a normal distribution cut off below 0, both float64 [n].

    With t = mean / sigma and h = pdf(t) / cdf(t): sigma (t + h), sigma sqrt(1 - h (t + h)); for t far below 0 by
    series, so that nothing cancels.
    """
    mean, sigma = (np.asarray(value, dtype=np.float64) for value in (mean, sigma))
    t = mean / sigma
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        h = np.where(
            t < 0.0,
            np.sqrt(2.0 / np.pi) / erfcx(np.abs(t) / np.sqrt(2.0)),
            np.exp(-0.5 * t * t - log_ndtr(t)) / np.sqrt(2.0 * np.pi),
        )
        x = 1.0 / np.square(np.where(t < -1.0, t, -1.0))
        tail = t < -30.0
        first = np.where(tail, -(1.0 - 2.0 * x + 10.0 * x * x) / np.where(tail, t, -1.0), t + h)
        second = np.where(tail, x * (1.0 - 6.0 * x + 50.0 * x * x), 1.0 - h * (t + h))
    return np.asarray(sigma * first), np.asarray(sigma * np.sqrt(np.maximum(second, 0.0)))


def posterior_with_reference(
    intensity: ArrayLike,
    sigma: ArrayLike,
    prior: ArrayLike,
    prior_sigma: ArrayLike,
    *,
    positive: bool = True,
) -> Posterior:
    """Intensities with a Gaussian prior about those of a reference.

    Parameters
    ----------
    intensity, sigma : float [n]
        Merged, on the scale of the reference; NaN = not measured (the prior remains).
    prior, prior_sigma : float [n]
        The reference, and how far the truth lies from it: not its own sigma, but the spread between two crystals
        (of the order of 10 to 30 % of the mean intensity of the shell). NaN = not known (the data remain).
    positive : bool
        Cut off below 0: true intensities are not negative.

    Returns
    -------
    Posterior

    Raises
    ------
    SettingError
        When a sigma is 0 or negative.

    Examples
    --------
    >>> from crystint import stills
    >>> posterior = stills.posterior_with_reference([100.0, 10.0], 10.0, prior=50.0, prior_sigma=[10.0, 1e6])
    >>> posterior.intensity.round(1), posterior.share.round(1)
    (array([75. , 12.9]), array([0.5, 0. ]))
    """
    columns = np.broadcast_arrays(*(np.asarray(v, dtype=np.float64) for v in (intensity, sigma, prior, prior_sigma)))
    value, error, reference, spread = columns
    if (error <= 0.0).any() or (spread <= 0.0).any():
        raise SettingError("a sigma is 0 or negative: such an intensity would be known without error")
    measured, before = np.isfinite(value) & np.isfinite(error), np.isfinite(reference) & np.isfinite(spread)
    data = np.where(measured, error, np.inf) ** -2.0
    guess = np.where(before, spread, np.inf) ** -2.0
    total = data + guess
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = (data * np.where(measured, value, 0.0) + guess * np.where(before, reference, 0.0)) / total
        width = np.sqrt(1.0 / total)
        share = guess / total
        mean, width = (np.where(total > 0.0, part, np.nan) for part in (mean, width))
        if positive:
            mean, width = truncated_normal(mean, width)
    return Posterior(mean, width, share)


def posterior_with_wilson(intensity: ArrayLike, sigma: ArrayLike, mean: ArrayLike, centric: ArrayLike) -> Posterior:
    """Intensities with Wilson's distribution about the mean intensity of their resolution as prior.

    Acentric: exp(-I / S) / S, with which the posterior is a normal distribution about I - sigma^2 / S cut off below 0.
    Centric: exp(-I / 2 S) / sqrt(2 pi S I), integrated numerically over sqrt(I).

    Parameters
    ----------
    intensity, sigma : float [n]
    mean : float [n]
        S, the mean intensity of such reflections (the factor epsilon of special ones in), above 0.
    centric : bool [n]

    Returns
    -------
    Posterior

    Raises
    ------
    SettingError
        When a sigma or a mean is 0 or negative.

    Examples
    --------
    >>> from crystint import stills
    >>> posterior = stills.posterior_with_wilson([100.0, -5.0], 5.0, mean=50.0, centric=False)
    >>> posterior.intensity.round(1)
    array([99.5,  2.5])
    """
    value, error, level = np.broadcast_arrays(*(np.asarray(v, dtype=np.float64) for v in (intensity, sigma, mean)))
    if (error <= 0.0).any() or (level <= 0.0).any():
        raise SettingError("a sigma or a mean intensity is 0 or negative")
    first, second = truncated_normal(value - error**2 / level, error)
    special = np.broadcast_to(np.asarray(centric, dtype=bool), value.shape)
    if special.any():
        first, second = first.copy(), second.copy()
        first[special], second[special] = _centric(value[special], error[special], level[special])
    return Posterior(first, second, np.full(value.shape, np.nan))


def _centric(value: Floats, error: Floats, level: Floats) -> tuple[Floats, Floats]:
    """With x = sqrt(I) the prior is a Gaussian in x, and nothing is singular at 0."""
    middle = value - 0.5 * error**2 / level
    high = np.sqrt(np.maximum(middle, 0.0) + 8.0 * error)
    # far below 0 the posterior is exp(middle I / error^2): no wider than that
    high = np.where(middle < -error, np.minimum(high, np.sqrt(40.0 * error**2 / np.maximum(-middle, error))), high)
    low = np.sqrt(np.maximum(middle - 8.0 * error, 0.0))
    x = low[:, None] + 0.5 * (high - low)[:, None] * (_NODES + 1.0)
    log = -0.5 * ((x * x - middle[:, None]) / error[:, None]) ** 2
    weight = _WEIGHTS * np.exp(log - log.max(axis=1, keepdims=True))
    total = weight.sum(axis=1)
    mean = (weight * x * x).sum(axis=1) / total
    return mean, np.sqrt((weight * (x * x - mean[:, None]) ** 2).sum(axis=1) / total)
