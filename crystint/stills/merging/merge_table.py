"""The observations that merging uses, why the others are left out, and the variances expected of them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import gemmi
import numpy as np
from numpy.typing import NDArray

from crystint.arrays import Floats
from crystint.model import symmetry
from crystint.model.observations import Flag, Observations
from crystint.stills.scaling.error_model import ErrorModel
from crystint.stills.scaling.expected import SignalVariance
from crystint.stills.scaling.scales import Scales

__all__ = ["HasIntensities", "MergeTable", "flagged", "unused_images", "why"]


class HasIntensities(Protocol):
    """A reference: merged intensities that can be looked up."""

    def match(self, hkl: NDArray[np.int32], space_group: gemmi.SpaceGroup) -> Floats:
        """float64 [n]: intensity of each reflection, NaN where there is none."""


@dataclass(frozen=True, eq=False)
class MergeTable:
    """The n observations that are merged, and what their weights are made of."""

    row: NDArray[np.intp]
    """intp [n]: row of the observations"""
    image: NDArray[np.int32]
    hkl: NDArray[np.int32]
    """int32 [m, 3]: unique reflections"""
    number: NDArray[np.intp]
    """intp [n]: row of `hkl`"""
    minus: NDArray[np.bool_]
    """bool [n]: observation of I(-)"""
    intensity: Floats
    """float64 [n]: on the common scale"""
    factor: Floats
    """float64 [n]: counts per unit of the common scale"""
    recorded: SignalVariance

    @classmethod
    def of(
        cls,
        observations: Observations,
        indices: tuple[NDArray[np.int32], NDArray[np.intp]],
        flags: NDArray[np.uint32],
        factor: Floats,
        space_group: gemmi.SpaceGroup,
        gain: float | None = None,
    ) -> MergeTable:
        """Lay out the observations that no flag excludes and that have a factor.

        Parameters
        ----------
        indices
            `distinct` of the observations' indices.
        factor : float64 [n]
            Counts per unit of the common scale; NaN = leave out.
        gain : optional
            Variance per count of signal; None = measured.
        """
        use = ((flags & np.uint32(Flag.excluding())) == 0) & (factor > 0.0)
        row = np.flatnonzero(use)
        recorded = SignalVariance.of(observations, gain).select(row)
        once, first = indices
        first = first[row]
        there = np.bincount(first, minlength=len(once)) > 0
        reduced, isym = symmetry.reduce(once[there], space_group, repeated=False)
        hkl, second = symmetry.distinct(reduced)
        first = (np.cumsum(there) - 1)[first]
        centric = symmetry.centric(hkl, space_group, repeated=False)
        number, minus = second[first], ((isym % 2 == 0) & ~centric[second])[first]
        intensity = observations.intensity[row] / factor[row]
        return cls(row, observations.image[row], hkl, number, minus, intensity, factor[row], recorded)

    def select(self, keep: NDArray[np.bool_]) -> MergeTable:
        """Some of the observations, and the unique reflections that are left."""
        columns = ("row", "image", "minus", "intensity", "factor")
        changed = {name: getattr(self, name)[keep] for name in columns}
        left = np.bincount(self.number[keep], minlength=len(self.hkl)) > 0
        number = (np.cumsum(left) - 1)[self.number[keep]]
        recorded = self.recorded.select(keep)
        return replace(self, hkl=self.hkl[left], number=number, recorded=recorded, **changed)

    def mean(self, variance: Floats) -> Floats:
        """float64 [m]: weighted mean of each reflection; NaN where there is none."""
        m, weight = len(self.hkl), 1.0 / variance
        with np.errstate(invalid="ignore"):
            return np.bincount(self.number, weight * self.intensity, m) / np.bincount(self.number, weight, m)

    def sigma(self, mean: Floats) -> Floats:
        """float64 [n]: expected of each observation on the common scale, before the error model."""
        return np.sqrt(self.recorded.expected(self.factor * mean[self.number])) / self.factor

    def variance(self, model: ErrorModel, mean: Floats) -> Floats:
        """float64 [n]: expected, error model included. Never made of the observation's own counts."""
        return model.variance(self.sigma(mean), mean[self.number])


def flagged(
    observations: Observations,
    indices: tuple[NDArray[np.int32], NDArray[np.intp]],
    scales: Scales | None,
    group: gemmi.SpaceGroup,
    cell: gemmi.UnitCell,
    min_partiality: float,
    limits: tuple[float | None, float | None],
    rejected_images: Iterable[int],
) -> tuple[NDArray[np.uint32], Floats]:
    """Flags of all observations, and counts per unit of the common scale."""
    flags = observations.flags.copy()
    if scales is None:
        factor = observations.correction * observations.partiality
    else:
        factor = scales.factor(observations)
        flags[~np.isfinite(factor)] |= np.uint32(Flag.BAD_IMAGE)
    finite = (
        np.isfinite(observations.intensity) & np.isfinite(observations.sigma) & np.isfinite(observations.partiality)
    )
    positive = (observations.sigma > 0.0) & (observations.correction > 0.0)
    flags[~(finite & positive)] |= np.uint32(Flag.BAD_VALUE)
    with np.errstate(invalid="ignore"):
        flags[~(observations.partiality >= max(min_partiality, 1e-6))] |= np.uint32(Flag.LOW_PARTIALITY)
    rejected = np.array(sorted(set(rejected_images)), dtype=np.int64)
    if len(rejected):
        flags[np.isin(observations.image, rejected)] |= np.uint32(Flag.BAD_IMAGE)
    once, number = indices
    flags[symmetry.absent(once, group, repeated=False)[number]] |= np.uint32(Flag.ABSENT)
    d = symmetry.spacing(once, cell)
    low, high = limits
    outside = ~np.isfinite(d) | (d < (low or 0.0)) | (d > (high or np.inf))
    return flags, np.where(outside[number], np.nan, factor)


def why(flags: NDArray[np.uint32]) -> str:
    """How many observations have which flag."""
    if not len(flags):
        return "there are none"
    return _listed([int(np.count_nonzero(flags & np.uint32(flag))) for flag in Flag], len(flags))


def _listed(counts: list[int], total: int) -> str:
    parts = [f"{count} {(flag.name or '').lower().replace('_', ' ')}" for count, flag in zip(counts, Flag) if count]
    return (", ".join(parts) or "outside the resolution limits") + f" of {total}"


def unused_images(
    image: NDArray[np.int32], flags: NDArray[np.uint32], merged: NDArray[np.int32], names: Sequence[str]
) -> dict[int, str]:
    """Images none of whose observations were merged, and why.

    Parameters
    ----------
    image, flags : [n]
        Of all observations.
    merged : int [k]
        Images of those that were merged.
    """
    total = np.bincount(image)
    bad = np.flatnonzero((total > 0) & (np.bincount(merged, minlength=len(total)) == 0))
    if not len(bad):
        return {}
    counts = [np.bincount(image[(flags & np.uint32(flag)) != 0], minlength=len(total)) for flag in Flag]
    reasons = {}
    for number in bad.tolist():
        name = names[number] if number < len(names) else f"image {number}"
        reason = _listed([int(count[number]) for count in counts], int(total[number]))
        reasons[number] = f"{name}: no observation was merged ({reason})"
    return reasons
