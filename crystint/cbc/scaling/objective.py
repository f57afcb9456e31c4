"""What a pixel with counts I adds to the objective when lambda are expected, and the slope of that in lambda.

    Poisson         f = lambda - I log(lambda)
    least squares   f = loss(r),  r = (I - lambda) / sqrt(lambda)
                    l2: r^2;  l1: |r|;  huber: r^2 for |r| < c, 2 c |r| - c^2 beyond, c = 1.345

A training for least squares minimises another form of these, which has no bias: `robust`.

The sum over pixels, each once, is the objective. The standard deviation of a residual is that of the model, so the
slope has the derivative of sqrt(lambda) too. f at c is continuous with its slope (cbclib's constant there is wrong,
and its slopes of least squares hold sqrt(lambda) fixed).

Neither criterion is defined for lambda <= 0, to which a background of 0 or below can lead. Below `FLOOR` = F,
log(lambda) is continued along its tangent, and the variance lambda of a residual by F / 2 + lambda^2 / 2 F, and F / 2
below 0. So f and its slope are continuous everywhere, and counts where none were expected cost much, but not infinitely
much.

Huber's c has 95 % efficiency for Gaussian residuals (Huber & Ronchetti, Robust Statistics, 2009).
"""

from __future__ import annotations

import numpy as np

from crystint.arrays import Floats
from crystint.cbc.scaling.criteria import FLOOR, HUBER, Kind, Loss, criterion
from crystint.cbc.scaling.robust import robust_terms

__all__ = ["FLOOR", "HUBER", "Kind", "Loss", "criterion", "pixel_terms"]


def pixel_terms(counts: Floats, expected: Floats, kind: Kind, loss: Loss) -> tuple[Floats, Floats]:
    """Terms of the objective and their derivatives by the expected counts.

    Parameters
    ----------
    counts, expected : float64 [P]
        I and lambda of each pixel.
    kind, loss
        As `criterion` returns them; the loss is not used for Poisson.

    Returns
    -------
    float64 [P], float64 [P]
    """
    if kind == "robust" and loss != "l2":
        return robust_terms(counts, expected, loss)
    dark = expected < FLOOR
    safe = np.where(dark, FLOOR, expected)
    if kind == "poisson":
        log = np.log(safe)
        log[dark] += expected[dark] / FLOOR - 1.0
        return expected - counts * log, 1.0 - counts / safe
    variance, by_variance = expected.copy(), np.ones_like(expected)
    low = np.maximum(expected[dark], 0.0)
    variance[dark] = 0.5 * (FLOOR + low * low / FLOOR)
    by_variance[dark] = low / FLOOR
    residual = (counts - expected) / np.sqrt(variance)
    by_expected = -1.0 / np.sqrt(variance) - 0.5 * residual / variance * by_variance
    if loss == "l2":
        return residual**2, 2.0 * residual * by_expected
    if loss == "l1":
        return np.abs(residual), np.sign(residual) * by_expected
    size, inside = np.abs(residual), np.clip(residual, -HUBER, HUBER)
    value = np.where(size < HUBER, residual**2, HUBER * (2.0 * size - HUBER))
    return value, 2.0 * inside * by_expected
