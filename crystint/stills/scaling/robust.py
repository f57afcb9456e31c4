"""Pieces of robust statistics: weights that let outliers pull no harder than a limit, spreads that ignore them."""

from __future__ import annotations

import numpy as np

from crystint.arrays import Floats

__all__ = ["MAD_TO_SIGMA", "huber_loss", "huber_weight", "median_spread"]

MAD_TO_SIGMA = 1.4826022185056018
"""sigma of a Gaussian over its median absolute deviation"""


def huber_weight(residual: Floats, limit: float) -> Floats:
    """Weight of a residual in units of its sigma: 1 up to `limit`, then limit / |residual| (Huber 1964).

    NaN has weight 0. `limit` may be infinite: least squares.
    """
    size = np.abs(residual)
    with np.errstate(divide="ignore", invalid="ignore"):
        weight = np.minimum(1.0, limit / size) if np.isfinite(limit) else np.ones_like(size)
    return np.where(np.isnan(residual), 0.0, weight)


def huber_loss(residual: Floats, limit: float) -> Floats:
    """residual^2 up to `limit`, then 2 limit |residual| - limit^2: what `huber_weight` minimises the sum of."""
    size = np.abs(residual)
    if not np.isfinite(limit):
        return np.asarray(size * size)
    inside = np.minimum(size, limit)
    return np.asarray(inside * (2.0 * size - inside))


def median_spread(values: Floats) -> tuple[float, float]:
    """Median of the finite values, and their spread as a Gaussian sigma from the MAD; NaN where there are none."""
    finite = values[np.isfinite(values)]
    if not finite.size:
        return float("nan"), float("nan")
    middle = float(np.median(finite))
    return middle, MAD_TO_SIGMA * float(np.median(np.abs(finite - middle)))
