"""How far observations lie from the means of their reflections, against what their variances say."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from crystint.arrays import Floats
from crystint.errors import SettingError
from crystint.model.observations import Flag, Observations
from crystint.model.reference import Reference
from crystint.stills.merging.merged import Merged
from crystint.stills.scaling.scales import Scales

__all__ = ["BinnedDeviates", "binned_deviates"]

_OWN = 0.95
"""Share of its mean's weight from which an observation says nothing about the scatter."""


@dataclass(frozen=True, eq=False)
class BinnedDeviates:
    """Root mean square deviates in bins of the mean intensity, all float64 [bins]; 1 = as the variances say."""

    intensity: Floats
    """median <I> of the bin, common scale"""
    recorded: Floats
    """with the variances before the error model"""
    expected: Floats
    """what the error model says that is"""
    corrected: Floats
    """with the error model"""
    count: NDArray[np.intp]


def binned_deviates(
    observations: Observations, merged: Merged, scales: Scales | None = None, bins: int = 20
) -> BinnedDeviates:
    """Deviates of merged observations, in bins of equally many.

    A mean is pulled towards each of its observations: with the weight w of W a squared deviate is (1 - w / W) of its
    variance, and is divided by that. Reflections seen once say nothing.

    Parameters
    ----------
    observations, scales
        That were merged; `scales` None = none were used.
    merged : Merged
        Its flags are those of `observations`.
    """
    if bins < 1:
        raise SettingError(f"bins is {bins}, expected 1 or more")
    cell = merged.cell.parameters
    means = Reference(merged.hkl, merged.intensity, merged.sigma, cell, merged.space_group)
    totals = Reference(merged.hkl, merged.sigma_internal**-2.0, merged.sigma, cell, merged.space_group)
    flags = merged.flags if len(merged.flags) == len(observations) else observations.flags
    keep = (flags & np.uint32(Flag.excluding())) == 0
    table = observations.select(keep)
    mean, total = means.match(table.hkl), totals.match(table.hkl)
    if scales is not None:
        value, sigma = scales.apply(table, mean)
    else:
        factor = table.correction * table.partiality
        value, sigma = table.intensity / factor, table.sigma / factor
    variance = merged.error_model.variance(sigma, mean)
    with np.errstate(invalid="ignore", divide="ignore"):
        left = 1.0 - 1.0 / (variance * total)
        square = (value - mean) ** 2 / left
        good = (left > 1.0 - _OWN) & np.isfinite(square) & (variance > 0.0)
    mean, square, variance, plain = mean[good], square[good], variance[good], sigma[good] ** 2
    order = np.argsort(mean, kind="stable")
    members = [part for part in np.array_split(order, max(1, min(bins, len(order) // 20))) if len(part)]

    def rms(ratio: Floats) -> Floats:
        return np.array([np.sqrt(ratio[part].mean()) for part in members])

    return BinnedDeviates(
        intensity=np.array([np.median(mean[part]) for part in members]),
        recorded=rms(square / plain),
        expected=rms(variance / plain),
        corrected=rms(square / variance),
        count=np.array([len(part) for part in members], dtype=np.intp),
    )
