"""What merging gives: a row per unique reflection."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import gemmi
import numpy as np
from numpy.typing import NDArray

from crystint.model import symmetry
from crystint.model.reference import Reference
from crystint.stills.merging.statistics import Statistics
from crystint.stills.merging.sums import MergeSums
from crystint.stills.scaling.error_model import ErrorModel

__all__ = ["Merged"]

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Merged:
    """Merged intensities. NaN = no such value; rows are sorted by h, k, l and none is without an intensity.

    Examples
    --------
    >>> from crystint import stills
    >>> data = stills.simulate_stills(20, d_min=4.0, shape=(300, 320), distance=0.05, seed=1)
    >>> observations, group = data.observations(), data.experiment.space_group
    >>> merged = stills.merge(observations, space_group=group, cell=data.experiment.cell)
    >>> merged.hkl.shape == (len(merged), 3), bool((merged.sigma > 0).all())
    (True, True)
    """

    hkl: NDArray[np.int32]
    """int32 [m, 3]: in the asymmetric unit of CCP4"""
    intensity: Floats
    """float64 [m]: weighted mean of all observations, Friedel mates together"""
    sigma: Floats
    """float64 [m]: of the intensity, as asked for"""
    multiplicity: NDArray[np.int32]
    """int32 [m]: observations merged"""
    sigma_internal: Floats
    """float64 [m]: from the variances of the observations"""
    sigma_external: Floats
    """float64 [m]: from their scatter, NaN for a single one"""
    half_images: Floats
    """float64 [m, 2]: merged intensities of two halves of the images"""
    half_observations: Floats
    """float64 [m, 2]: merged intensities of two halves of the observations of each reflection"""
    d: Floats
    """float64 [m], angstrom"""
    centric: NDArray[np.bool_]
    """bool [m]"""
    cell: gemmi.UnitCell
    """of the merged data, angstrom and degrees"""
    space_group: gemmi.SpaceGroup
    """of the merged data"""
    sums: MergeSums
    """of which all this is made; those of other images can be added"""
    plus: Floats | None = None
    """float64 [m, 2]: I(+) and its sigma (centric: of all observations); None = Friedel mates were not kept apart"""
    minus: Floats | None = None
    """float64 [m, 2]: I(-) and its sigma (centric: the same as I(+))"""
    multiplicity_plus: NDArray[np.int32] | None = None
    """int32 [m]: observations in I(+); None as `plus`"""
    multiplicity_minus: NDArray[np.int32] | None = None
    """int32 [m]: observations in I(-); None as `plus`"""
    error_model: ErrorModel = field(default_factory=ErrorModel)
    """by which observations were weighted"""
    flags: NDArray[np.uint32] = field(default_factory=lambda: np.zeros(0, np.uint32))
    """uint32 [observations]: theirs, with what merging found"""
    rejected: NDArray[np.intp] = field(default_factory=lambda: np.zeros(0, np.intp))
    """intp [k]: observations rejected as outliers"""
    statistics: Statistics = field(default_factory=Statistics)
    """of all reflections and of resolution shells"""
    failed: dict[int, str] = field(default_factory=dict)
    """image -> why nothing of it was merged"""
    notes: tuple[str, ...] = ()
    """what a reader should know, a sentence each"""

    def __len__(self) -> int:
        return len(self.hkl)

    def reference(self) -> Reference:
        """These intensities as something to scale against or to compare with."""
        cell = tuple(float(value) for value in self.cell.parameters)
        return Reference(self.hkl, self.intensity, self.sigma, cell, self.space_group)  # type: ignore[arg-type]

    @classmethod
    def of(
        cls,
        sums: MergeSums,
        space_group: gemmi.SpaceGroup,
        cell: gemmi.UnitCell,
        *,
        sigma: Literal["internal", "external", "larger"] = "internal",
        anomalous: bool = False,
    ) -> Merged:
        """The intensities that `sums` hold, without statistics."""
        seen = sums.count.sum(axis=1) > 0
        if not seen.all():
            columns = ("hkl", "count", "weight", "mean", "spread", "half_weight", "half_mean")
            sums = MergeSums(*(getattr(sums, name)[seen] for name in columns))
        count, weight, mean, spread = sums.merged
        centric = symmetry.centric(sums.hkl, space_group, repeated=False)
        internal, external = _sigmas(count, weight, spread)
        plus = minus = None
        if anomalous:
            mates = []
            for side in (0, 1):
                own = sums.count[:, side] > 0
                parts = _sigmas(sums.count[:, side], sums.weight[:, side], sums.spread[:, side])
                of_side = np.where(own, sums.mean[:, side], np.nan)
                mates.append(np.stack([of_side, _chosen(sigma, *parts)], axis=1))
            plus, minus = mates
            minus[centric] = plus[centric]
        return cls(
            hkl=sums.hkl,
            intensity=mean,
            sigma=_chosen(sigma, internal, external),
            multiplicity=count.astype(np.int32),
            sigma_internal=internal,
            sigma_external=external,
            half_images=sums.halves(0),
            half_observations=sums.halves(1),
            d=symmetry.spacing(sums.hkl, cell),
            centric=centric,
            cell=cell,
            space_group=space_group,
            sums=sums,
            plus=plus,
            minus=minus,
            multiplicity_plus=sums.count[:, 0].astype(np.int32) if anomalous else None,
            multiplicity_minus=np.where(centric, sums.count[:, 0], sums.count[:, 1]).astype(np.int32)
            if anomalous
            else None,
        )


def _sigmas(count: Floats, weight: Floats, spread: Floats) -> tuple[Floats, Floats]:
    """Internal and external sigma of weighted means."""
    with np.errstate(invalid="ignore", divide="ignore"):
        internal = np.where(weight > 0.0, 1.0 / np.sqrt(weight), np.nan)
        external = np.where(count > 1, np.sqrt(spread / (count - 1.0) / weight), np.nan)
    return internal, external


def _chosen(kind: str, internal: Floats, external: Floats) -> Floats:
    if kind == "internal":
        return internal
    usable = np.where(np.isfinite(external) & (external > 0.0), external, internal)
    return usable if kind == "external" else np.maximum(usable, internal)
