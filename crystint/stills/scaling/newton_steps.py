"""Pieces of a step of scaling: 2 x 2 inverses, steps of bounded length, and errors from residuals."""

from __future__ import annotations

import numpy as np

from crystint.arrays import Floats
from crystint.stills.scaling.error_model import ErrorModel
from crystint.stills.scaling.expected import SignalVariance
from crystint.stills.scaling.variance_fit import fit_variance

__all__ = ["LONGEST", "errors_of_residuals", "inverses", "shortened"]

LONGEST = (1.0, 20.0)
"""a step in ln G and in B, angstrom^2, is not longer"""
_LEAST_RESIDUALS = 150
_LEAST_FREEDOM = 0.02
"""residuals that follow the observation nearly fully say nothing"""


def inverses(gg: Floats, gb: Floats, bb: Floats, both: bool) -> Floats:
    """float64 [k, 2, 2]: inverses of [[gg, gb], [gb, bb]], or of gg alone, zeros beside it."""
    with np.errstate(divide="ignore", invalid="ignore"):
        if not both:
            return np.stack([1.0 / gg, 0 * gg, 0 * gg, 0 * gg], axis=-1).reshape(-1, 2, 2)
        det = gg * bb - gb * gb
        return np.stack([bb / det, -gb / det, -gb / det, gg / det], axis=-1).reshape(-1, 2, 2)


def shortened(step: Floats) -> Floats:
    """Steps [2, k] of no more than `LONGEST`, each shortened as a whole: its parts belong together; NaN is no step."""
    step = np.where(np.isfinite(step).all(axis=0), step, 0.0)
    return np.asarray(step / np.maximum(1.0, np.max(np.abs(step) / np.array(LONGEST)[:, None], axis=0, initial=0.0)))


def errors_of_residuals(
    residual: Floats, model: Floats, follow: Floats, weight: Floats, variance: SignalVariance
) -> ErrorModel | None:
    """Error model of residuals about a model; None where there are too few.

    Parameters
    ----------
    residual, model : float64 [n]
        Counts.
    follow : float64 [n]
        Share of an observation's error that is left in its residual: 1, or less where the model was made with it.
    weight : float64 [n]
        0 = leave out.
    """
    keep = (weight > 0.0) & (follow > _LEAST_FREEDOM)
    if np.count_nonzero(keep) < _LEAST_RESIDUALS:
        return None
    square = residual[keep] ** 2 / follow[keep]
    now = fit_variance(square, variance.expected(model)[keep], model[keep])
    return ErrorModel(now.a, now.b, not now.limited, now.note, now.used, now.rejected)
