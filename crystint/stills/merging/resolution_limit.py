"""To which resolution merged intensities agree with one another: where a curve through CC1/2 falls to 0.3."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import least_squares

from crystint.arrays import Floats

__all__ = ["AGREEMENT", "resolution_limit"]

AGREEMENT = 0.3
"""CC1/2 at the limit"""
_PAIRS, _BINS = 50, (5, 300)
"""reflections in a bin, about, and how many bins"""
_MODEL_ERROR = 0.03
"""of the curve, besides that of each CC1/2: data at low resolution need not reach 1"""
_OUTLIER = 3.0
"""standard errors from which a bin, such as one of an ice ring, pulls less"""
_TURNS = 3
"""curves, each with the errors that the one before makes expected"""


def resolution_limit(half_images: Floats, d: Floats) -> float:
    """Resolution in angstrom where CC1/2 falls to 0.3; the end of the data where it does not; NaN = cannot be told.

    CC1/2 of bins of about 50 reflections is fitted by (1 - tanh((s - s_0) / r)) / 2 over s = 1 / d^2, each with the
    error that the curve makes expected, (1 - CC^2) / sqrt(n - 1), and one of the curve itself. A limit cannot be told
    of fewer than 250 reflections with both halves, or where the curve is below 0.3 everywhere.

    Source: Evans & Murshudov (2013), Acta Cryst. D69, 1204 (the curve, in AIMLESS); Karplus & Diederichs (2012),
    Science 336, 1030 (CC1/2).

    Parameters
    ----------
    half_images : float64 [m, 2]
        Merged intensities of two halves of the images, NaN where one has none.
    d : float64 [m]
        angstrom
    """
    both = np.isfinite(half_images).all(axis=1) & np.isfinite(d)
    if np.count_nonzero(both) < _PAIRS * _BINS[0]:
        return float("nan")
    halves, s = half_images[both], d[both] ** -2.0
    order = np.argsort(s, kind="stable")
    parts = np.array_split(order, int(np.clip(len(order) // _PAIRS, *_BINS)))
    middle = np.array([s[part].mean() for part in parts])
    cc = np.nan_to_num([_correlation(halves[part]) for part in parts])
    start, width = _curve(middle, cc, np.array([len(part) for part in parts]))
    limit = start + width * np.arctanh(1.0 - 2.0 * AGREEMENT)
    if limit <= s.min():
        return float("nan")
    end = float(np.nanmin(d))
    beyond = int(np.count_nonzero(d < limit**-0.5))
    return float(limit**-0.5) if beyond >= _PAIRS else end


def _correlation(halves: Floats) -> float:
    x, y = (halves - halves.mean(axis=0)).T
    square = float(x @ x) * float(y @ y)
    return float(x @ y) / square**0.5 if square > 0.0 else 0.0


def _model(s: Floats, start: float, width: float) -> Floats:
    return np.asarray(0.5 * (1.0 - np.tanh((s - start) / width)))


def _curve(s: Floats, cc: Floats, count: NDArray[Any]) -> tuple[float, float]:
    """s_0 and r of the curve that fits best."""
    step, extent = float(np.median(np.diff(s))), float(np.ptp(s))
    least = 0.25 * step

    starts = [*s[:: max(1, len(s) // 60)], s[0] - extent, s[-1] + extent, s[-1] + 0.25 * extent]
    widths = np.log(np.geomspace(step, 2.0 * extent, 6))
    tried = [np.array([at, width]) for at in starts for width in widths]
    error = np.hypot(1.0 / np.sqrt(np.maximum(count - 1, 1)), _MODEL_ERROR)
    for _ in range(_TURNS):

        def residuals(parameters: Floats, error: Floats = error) -> Floats:
            return np.asarray((cc - _model(s, parameters[0], least + np.exp(parameters[1]))) / error)

        losses = [np.sum(np.log1p((residuals(each) / _OUTLIER) ** 2)) for each in tried]
        best = least_squares(
            residuals, tried[int(np.argmin(losses))], loss="cauchy", f_scale=_OUTLIER, x_scale=[extent, 1.0],
            bounds=([s[0] - 10.0 * extent, np.log(1e-3 * step)], [s[-1] + 10.0 * extent, np.log(20.0 * extent)]),
        ).x  # fmt: skip
        tried.append(best)
        model = _model(s, best[0], least + np.exp(best[1]))
        error = np.hypot((1.0 - model**2) / np.sqrt(np.maximum(count - 1, 1)), _MODEL_ERROR)
    return float(best[0]), float(least + np.exp(best[1]))
