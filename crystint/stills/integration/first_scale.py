"""Scale of one image against a reference while its pixels are at hand: what its reflections are expected to hold.

The scales that count are those of `crystint.stills.scaling.scale`; these only make weights.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["expected_intensity"]

_LEAST = 5
"""reflections"""
_ROUNDS = 10
_HUBER = 4.0
_SPREAD_B = 20.0
"""angstrom^2: B is held near 0 by this"""


def expected_intensity(
    intensity: NDArray[np.float64],
    background_variance: NDArray[np.float64],
    full: NDArray[np.float64],
    d: NDArray[np.float64],
    use: NDArray[np.bool_],
) -> NDArray[np.float64]:
    """G exp(-B / 4 d^2) times `full`, with G and B of one image from a robust least-squares fit.

    Parameters
    ----------
    intensity, background_variance : float64 [n]
        counts, counts^2
    full : float64 [n]
        Partiality, correction and intensity of the reference, multiplied; NaN where that is not known.
    d : float64 [n]
        angstrom
    use : bool [n]
        Reflections that the fit may use.

    Returns
    -------
    float64 [n]
        counts; NaN where the reference says nothing, and everywhere when the fit has nothing to go by.
    """
    empty = np.full(len(full), np.nan)
    use = use & np.isfinite(full) & np.isfinite(intensity) & (background_variance > 0.0) & (full != 0.0)
    if use.sum() < _LEAST:
        return empty
    y, x, s = intensity[use], full[use], -0.25 / d[use] ** 2
    dark = background_variance[use]
    start = np.sum(y * x / dark) / np.sum(x * x / dark)
    if not start > 0.0:
        start = np.abs(y).sum() / np.abs(x).sum()
    if not (np.isfinite(start) and start > 0.0):
        return empty
    scale = np.array([np.log(start), 0.0])
    prior = np.array([0.0, _SPREAD_B**-2])
    for _ in range(_ROUNDS):
        model = np.exp(np.clip(scale[0] + scale[1] * s, -50.0, 50.0)) * x
        variance = dark + np.maximum(model, 0.0) + (0.1 * model) ** 2
        off = (y - model) / np.sqrt(variance)
        weight = np.minimum(1.0, _HUBER / np.maximum(np.abs(off), 1e-12)) / variance
        slope = np.stack([model, model * s])
        normal = (slope * weight) @ slope.T + np.diag(prior + 1e-12)
        step = np.linalg.solve(normal, (slope * weight) @ (y - model) - prior * scale)
        step[0] = np.clip(step[0], -1.0, 1.0)
        scale = scale + step
        if np.abs(step[0]) < 1e-4 and np.abs(step[1]) < 1e-2:
            break
    if not np.isfinite(scale).all():
        return empty
    return np.asarray(np.exp(np.clip(scale[0] - 0.25 * scale[1] / d**2, -50.0, 50.0)) * full)
