"""From scaled observations to one intensity per unique reflection."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Literal

import gemmi
import numpy as np
from numpy.typing import NDArray

from crystint.errors import SettingError
from crystint.model import symmetry
from crystint.model.observations import Flag, Observations
from crystint.stills.merging.merge_stages import (
    MergeOptions,
    against_reference,
    check_halves,
    disagreeing_pairs,
    merged_cell,
    shells_of_noise,
    statistics_of,
    sums_of,
    symmetry_doubts,
    weights_of,
    without_outliers,
)
from crystint.stills.merging.merge_table import HasIntensities, MergeTable, flagged, unused_images, why
from crystint.stills.merging.merged import Merged
from crystint.stills.merging.shells import ResolutionShells
from crystint.stills.merging.symmetry_check import absences
from crystint.stills.scaling.error_model import ErrorModel
from crystint.stills.scaling.scales import Scales
from crystint.stills.settings import MergeSettings

__all__ = ["merge"]

_DEFAULTS = MergeSettings()


def merge(
    observations: Observations,
    scales: Scales | None = None,
    *,
    space_group: gemmi.SpaceGroup | str | int,
    cell: tuple[float, ...] | gemmi.UnitCell,
    anomalous: bool = _DEFAULTS.anomalous,
    error_model: ErrorModel | Literal["fit"] | None = "fit",
    outliers: float | None = _DEFAULTS.outliers,
    outlier_pairs: Literal["keep", "both"] = "keep",
    min_partiality: float = _DEFAULTS.min_partiality,
    d_min: float | None = None,
    d_max: float | None = None,
    rejected_images: Iterable[int] = (),
    sigma: Literal["internal", "external", "larger"] = _DEFAULTS.sigma,
    reference: HasIntensities | None = None,
    expected_from: HasIntensities | None = None,
    shells: ResolutionShells | int = _DEFAULTS.shells,
    shells_by: Literal["volume", "number"] = "volume",
    repeats: int = 1,
    halves: NDArray[np.int8] | None = None,
    names: Sequence[str] = (),
    cycles: int = 2,
    seed: int = 0,
) -> Merged:
    """Merge observations with weights from expected variances.

    The variance of an observation is a sigma^2 + (b <I>)^2, where sigma is what background and *expected* signal give
    (`SignalVariance`) and <I> the mean of its reflection: never its own counts, which would favour observations that
    came out low. Error model, variances and means take turns `cycles` times; then observations without weight
    (`without_weight`) are left out, outliers looked for against the weighted mean of the others (`find_outliers`), and
    variances and means take turns again. The error model is that of
    all observations (its fit is robust): fitted again to what a limit has left, it would be too good.

    Parameters
    ----------
    observations
        Unusable rows (`Observations.usable`) are left out.
    scales
        None = what is divided out is correction and partiality only.
    space_group, cell
        Of the merged data; `cell` in angstrom and degrees. One that misses the shape of the space group by less than
        1 % and 1 degree is given that shape (`crystint.model.cells.symmetric_cell`).
    anomalous
        Keep Friedel mates apart: outliers are looked for in each, and I(+) and I(-) are in the result. The intensity is
        that of both together in either case.
    error_model
        "fit", one that is known, or None for a = 1, b = 0.
    outliers, outlier_pairs
        Limit in standard deviations (None = nothing is left out), and what happens where two disagree.
    min_partiality
        Less partial observations are left out.
    d_min, d_max
        angstrom; None = no limit.
    rejected_images
        Images that are left out.
    sigma
        "internal": from the variances; "external": from the scatter of the observations, where there are two or more;
        "larger": the larger of these.
    reference
        Compared with, never used in merging.
    expected_from
        Intensities, on the common scale, that variances are made from where it has them; None = the means of these
        observations. With this, `error_model` and `halves` given and no outlier rejection, the `Merged.sums` of parts
        of a data set add to exactly those of the whole.
    shells, shells_by
        Of the statistics: how many, of equal "volume" or "number" of unique reflections; or the shells themselves.
    repeats
        How often the observations are divided for CC1/2.
    halves : int8 [images], optional
        Which half, 0 or 1, each image is in; None = at random from `seed`. Parts of a data set that shall be added need
        the same.
    names
        Of the images, for messages.
    cycles
        How often variances and means take turns.
    seed
        Of the division into halves.

    Returns
    -------
    Merged

    Raises
    ------
    SettingError
        When the space group is unknown, the cell has no volume or a shape that it forbids, or a parameter is
        impossible.

    Examples
    --------
    >>> from crystint import stills
    >>> data = stills.simulate_stills(20, d_min=4.0, shape=(300, 320), distance=0.05, seed=1)
    >>> observations, group = data.observations(), data.experiment.space_group
    >>> scales = stills.scale(observations, data.experiment, space_group=group)
    >>> merged = stills.merge(observations, scales, space_group=group, cell=data.experiment.cell)
    >>> bool(merged.statistics.overall.cc_half > 0.98)
    True
    """
    if sigma not in ("internal", "external", "larger"):
        raise SettingError(f"sigma is {sigma!r}, expected 'internal', 'external' or 'larger'")
    group = symmetry.as_space_group(space_group)
    unit, notes = merged_cell(cell, group)
    options = MergeOptions(
        group, unit, anomalous, error_model, outliers, outlier_pairs, sigma, reference, expected_from, shells,
        shells_by, (d_min, d_max), repeats, cycles, seed,
    )  # fmt: skip

    indices = symmetry.distinct(observations.hkl)
    flags, factor = flagged(observations, indices, scales, group, unit, min_partiality, (d_min, d_max), rejected_images)
    notes += absences(observations, factor, flags, group)
    table = MergeTable.of(observations, indices, flags, factor, group, None if scales is None else scales.gain)
    if not len(table.row):
        notes.insert(0, "no observation can be merged: " + why(flags))

    of_all = weights_of(table, options)
    used, weights, rejected, doubts = without_outliers(table, of_all, options)
    notes += doubts
    flags[table.row[rejected]] |= np.uint32(Flag.OUTLIER)
    notes += symmetry_doubts(observations, table, of_all.mean, options)
    if error_model == "fit" and of_all.model.doubtful:
        notes.append(f"error model: {of_all.model.note or 'not converged'}")
    notes += disagreeing_pairs(used, weights, options)

    sums = sums_of(used, weights, check_halves(halves, observations, seed), options)
    result = Merged.of(sums, group, unit, sigma=sigma, anomalous=anomalous)
    target, doubts = against_reference(result, options)
    notes += doubts
    statistics = statistics_of(result, used, weights, target, options)
    notes += shells_of_noise(statistics)
    return replace(
        result,
        error_model=of_all.model,
        flags=flags,
        rejected=table.row[rejected],
        statistics=statistics,
        failed=unused_images(observations.image, flags, used.image, names),
        notes=tuple(notes),
    )
