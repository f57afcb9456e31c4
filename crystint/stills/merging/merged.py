"""What merging gives: a row per unique reflection."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import gemmi
import numpy as np
from numpy.typing import NDArray

from crystint.arrays import Floats
from crystint.html import html_table
from crystint.model import symmetry
from crystint.model.facts import cell_text, counted, resolution_text
from crystint.model.labelled_arrays import data_frame
from crystint.model.reference import Reference
from crystint.stills.merging.statistics import Statistics
from crystint.stills.merging.sums import MergeSums
from crystint.stills.scaling.error_model import ErrorModel

if TYPE_CHECKING:
    from pandas import DataFrame

__all__ = ["Merged"]


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

    def __repr__(self) -> str:
        resolution = resolution_text(self.d)
        observations = counted(int(self.multiplicity.sum()), "observation")
        return (
            f"<Merged: {counted(len(self), 'reflection')} from {observations}, {self.space_group.xhm()}"
            f"{resolution and ', '}{resolution}>"
        )

    def _repr_html_(self) -> str:
        facts: dict[str, Any] = {
            "reflections": len(self),
            "observations": int(self.multiplicity.sum()),
            "rejected": len(self.rejected),
            "resolution": resolution_text(self.d) or None,
            "cell (angstrom, degrees)": cell_text(self.cell),
            "space group": self.space_group.xhm(),
            "Friedel mates apart": self.plus is not None,
        }
        if len(self.statistics.edges) > 1:
            overall = self.statistics.overall
            facts |= {"CC1/2": overall.cc_half, "R_meas": overall.r_meas, "completeness": overall.completeness}
        facts |= {"images that failed": len(self.failed), "notes": self.notes or None}
        return html_table("Merged", facts)

    def __len__(self) -> int:
        return len(self.hkl)

    def to_pandas(self) -> DataFrame:
        """The columns as a pandas data frame, a row per reflection, those that are None left out.

        hkl is h, k, l; half_images is half_images[0] and half_images[1], half_observations likewise; plus is
        intensity_plus and sigma_plus, minus likewise.

        Raises
        ------
        ImportError
            When pandas is not installed.
        """
        names = (
            "hkl",
            "intensity",
            "sigma",
            "multiplicity",
            "sigma_internal",
            "sigma_external",
            "half_images",
            "half_observations",
            "d",
            "centric",
        )
        columns: dict[str, NDArray[Any]] = {name: getattr(self, name) for name in names}
        for side, values, count in (
            ("plus", self.plus, self.multiplicity_plus),
            ("minus", self.minus, self.multiplicity_minus),
        ):
            if values is not None:
                columns |= {f"intensity_{side}": values[:, 0], f"sigma_{side}": values[:, 1]}
            if count is not None:
                columns[f"multiplicity_{side}"] = count
        return data_frame(columns)

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
