"""Which images have to go from a fit: those that say nothing about their scale, whose scale may be 0, or is absurd."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from crystint.arrays import Floats, Indices
from crystint.stills.scaling.options import ScalePriors, ScalingOptions
from crystint.stills.scaling.signal import SIGNIFICANT, no_signal, significance
from crystint.stills.scaling.table import ScalingTable

__all__ = ["without_scale"]

_LEAST_INFORMATION = 1.0
"""about ln G from the data (and from a prior on it tighter than 1): below it G is not known to a factor of e"""
_CLEAR_SIGNAL = 100.0
"""with more, an error below 0.1, nobody needs to ask whether there is a signal"""


def without_scale(
    table: ScalingTable,
    options: ScalingOptions,
    priors: ScalePriors,
    good: NDArray[np.bool_],
    information: Floats,
    away: Floats,
    factor: Floats,
    compared: Callable[[Indices], tuple[Floats, Floats]],
) -> dict[int, str]:
    """Images of the table that are good no longer, and why.

    Parameters
    ----------
    good : bool [k]
    information : float64 [k, 3]
        Of the data, about (ln G, ln G), (ln G, B) and (B, B).
    away : float64 [k]
        B, from the median of all.
    factor : float64 [n]
        Counts per unit of intensity.
    compared
        Rows -> intensity that these are compared with and its variance, neither of which they have a part in.
    """
    gg, gb, bb = information.T
    of_g, of_b = priors.stiffness.T
    with np.errstate(divide="ignore", invalid="ignore"):
        lost = gb * gb / (bb + of_b) if options.refine_b else 0.0
        own_information = gg + np.where(of_g >= 1.0, of_g, 0.0) - lost
    reasons: dict[int, str] = {}
    for number in np.flatnonzero(good & ~(own_information > _LEAST_INFORMATION)).tolist():
        reasons[number] = "its intensities do not determine a scale (too weak, or without likeness to the others)"
    unsure = np.flatnonzero(
        good & (own_information > _LEAST_INFORMATION) & ~(own_information > _CLEAR_SIGNAL) & options.needs_signal
    )
    if len(unsure):
        size = table.used[unsure]
        rows = np.repeat(table.first[unsure] - np.cumsum(size) + size, size) + np.arange(size.sum())
        mean, spread = compared(rows)
        variance = table.variance.without_signal[rows]
        sigma, unit = np.sqrt(variance), factor[rows]
        weight = unit * mean / sigma / (1.0 + spread * unit**2 / variance)
        z = significance(np.repeat(np.arange(len(unsure)), size), len(unsure), table.intensity[rows], sigma, weight)
        for number, value in zip(unsure.tolist(), z.tolist(), strict=True):
            if value < SIGNIFICANT:
                reasons[number] = no_signal(value, int(table.used[number]))
    for number in np.flatnonzero(good & (np.abs(away) >= 0.999 * options.max_b)).tolist():
        reasons.setdefault(
            number, f"its temperature factor differs from the median of the images by {away[number]:+.0f} A^2 or more"
        )
    return reasons
