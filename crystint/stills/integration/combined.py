"""Amplitudes of profiles for faint reflections, sums over the core for strong ones, and all between.

A profile fit has less noise than a sum where the background makes the noise, but is wrong where the spot is not like
its profile: wider, or beside its predicted place. A strong reflection gains nothing by the fit, and loses by that
(Evans & Murshudov 2013, Acta Cryst. D69, 1204, section 2.1, combine both in scaling for the same reason). With

    J = w J_profile + (1 - w) J_sum,      w = D / (D + J_model),

D the variance of the sum that the background makes, a reflection whose own counts are most of its noise is a sum. The
fit is the linear estimate of least variance, so its covariance with any other is its own variance, and

    var J = var_profile + (1 - w)^2 (var_sum - var_profile).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from crystint.stills.integration.amplitude import Amplitudes

__all__ = ["combined"]


def combined(profile: Amplitudes, total: Amplitudes, model: NDArray[np.floating] | None = None) -> Amplitudes:
    """Both estimates in one.

    Parameters
    ----------
    profile, total : Amplitudes
        Of `amplitudes` and of `box_sums`, of the same reflections.
    model : float [n], optional
        Expected intensity, counts; NaN (and None) = that of the profile.
    """
    expected = profile.intensity if model is None else np.where(np.isnan(model), profile.intensity, model)
    with np.errstate(invalid="ignore", divide="ignore"):
        share = total.background_variance / (total.background_variance + np.maximum(expected, 0.0))
        rest = np.where(np.isfinite(total.intensity) & np.isfinite(share), 1.0 - share, 0.0)

    def mixed(one: NDArray[np.float64], other: NDArray[np.float64], part: NDArray[np.float64]) -> NDArray[np.float64]:
        return one + part * np.where(part > 0.0, other - one, 0.0)

    return Amplitudes(
        intensity=mixed(profile.intensity, total.intensity, rest),
        variance=mixed(profile.variance, np.maximum(total.variance, profile.variance), rest**2),
        background_variance=mixed(
            profile.background_variance,
            np.maximum(total.background_variance, profile.background_variance),
            rest**2,
        ),
    )
