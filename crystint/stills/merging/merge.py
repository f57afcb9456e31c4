"""From scaled observations to one intensity per unique reflection."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Literal

import gemmi
import numpy as np
from numpy.typing import NDArray

from crystint.errors import SettingError, ShapeError
from crystint.model import symmetry
from crystint.model.cells import symmetric_cell
from crystint.model.observations import Flag, Observations
from crystint.stills.merging.ambiguity import other_indexing
from crystint.stills.merging.collect import collect
from crystint.stills.merging.merge_table import HasIntensities, MergeTable, flagged, unused_images, why
from crystint.stills.merging.merged import Merged
from crystint.stills.merging.outliers import find_outliers, leave_one_out, left_out_said, without_weight
from crystint.stills.merging.shells import ResolutionShells
from crystint.stills.merging.statistics import Statistics
from crystint.stills.merging.sums import MergeSums, image_halves, observation_halves
from crystint.stills.merging.symmetry_check import absences, check_symmetry
from crystint.stills.scaling.error_model import ErrorModel, fit_error_model
from crystint.stills.scaling.scales import Scales

__all__ = ["merge"]

Floats = NDArray[np.float64]

_SAME_CELL = 1e-3
"""relative, and per 100 degrees: no more is said of a change"""
_FIT_ROWS = 250_000
"""observations, of random unique reflections, that are enough to fit an error model"""
_CHECK_ROWS = 500_000
"""the same, to judge the symmetry"""


def merge(
    observations: Observations,
    scales: Scales | None = None,
    *,
    space_group: gemmi.SpaceGroup | str | int,
    cell: tuple[float, ...] | gemmi.UnitCell,
    anomalous: bool = False,
    error_model: ErrorModel | Literal["fit"] | None = "fit",
    outliers: float | None = 6.0,
    outlier_pairs: Literal["keep", "both"] = "keep",
    min_partiality: float = 0.3,
    d_min: float | None = None,
    d_max: float | None = None,
    rejected_images: Iterable[int] = (),
    sigma: Literal["internal", "external", "larger"] = "internal",
    reference: HasIntensities | None = None,
    expected_from: HasIntensities | None = None,
    shells: ResolutionShells | int = 10,
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
    group = symmetry.as_space_group(space_group)
    unit, changed = _cell(cell, group)
    model = ErrorModel() if error_model is None or error_model == "fit" else error_model
    if sigma not in ("internal", "external", "larger"):
        raise SettingError(f"sigma is {sigma!r}, expected 'internal', 'external' or 'larger'")
    indices = symmetry.distinct(observations.hkl)
    flags, factor = flagged(observations, indices, scales, group, unit, min_partiality, (d_min, d_max), rejected_images)
    notes = [*changed, *absences(observations, factor, flags, group)]
    table = MergeTable.of(observations, indices, flags, factor, group, None if scales is None else scales.gain)
    if not len(table.row):
        notes.insert(0, "no observation can be merged: " + why(flags))
    mean = _known(table.mean(1.0 / table.factor**2), table, expected_from, group)
    expected = np.zeros(0)
    for _ in range(max(cycles, 1)):
        if error_model == "fit" and len(table.row):
            model = _fit(table, mean, seed)
        expected = table.variance(model, mean)
        mean = _known(table.mean(expected), table, expected_from, group)
    mean_of_all, kept, left_out = mean, table, np.zeros(len(observations), bool)
    if outliers is not None and len(table.row):
        apart = 2 * table.number + (table.minus if anomalous else 0)
        faint = without_weight(apart, expected)
        rest = np.where(faint, np.inf, expected)
        bad = faint | find_outliers(apart, table.intensity, rest, limit=outliers, pairs=outlier_pairs)
        left_out[table.row[bad]] = True
        notes += left_out_said(int(faint.sum()), int((bad & ~faint).sum()), len(bad))
        kept = table.select(~bad)
        expected = expected[~bad]
        for _ in range(max(cycles, 1) if bad.any() else 0):
            mean = _known(kept.mean(expected), kept, expected_from, group)
            expected = kept.variance(model, mean)
    flags[left_out] |= np.uint32(Flag.OUTLIER)
    notes += _contradicted(observations, table, mean_of_all, group, unit, seed)
    if error_model == "fit" and model.doubtful:
        notes.append(f"error model: {model.note or 'not converged'}")
    if outliers is not None and outlier_pairs == "keep" and len(kept.row):
        notes += _disagreeing(kept, expected, outliers, anomalous)

    images = int(observations.image.max(initial=-1)) + 1
    half = image_halves(images, seed) if halves is None else np.asarray(halves, dtype=np.int8)
    if len(half) < images:
        raise ShapeError(f"halves are given for {len(half)} images, the observations have {images}")
    by_observation = observation_halves(kept.number, seed)
    sums = MergeSums.of(kept.hkl, kept.number, kept.minus, kept.intensity, expected, half[kept.image], by_observation)
    result = Merged.of(sums, group, unit, sigma=sigma, anomalous=anomalous)
    against = None
    if reference is not None and len(result):
        against = reference.match(result.hkl, group)
        common = int(np.count_nonzero(np.isfinite(against)))
        if common < max(3, 0.01 * len(result)):
            notes.append(
                f"the reference has {common} of the {len(result)} merged reflections: "
                "is it of the same cell, space group and resolution?"
            )
        said = other_indexing(result.hkl, result.intensity, cell=unit, space_group=group, reference=reference)
        notes += [said] if said else []
    statistics = Statistics()
    if len(result):
        if not isinstance(shells, ResolutionShells):
            shells = ResolutionShells.of(result.d, shells, by=shells_by, d_min=d_min, d_max=d_max)
        statistics = collect(
            sums, kept.number, kept.intensity, cell=unit, space_group=group, shells=shells, sigma=result.sigma,
            reference=against, weight=1.0 / expected, image=kept.image, repeats=repeats, seed=seed,
        )  # fmt: skip
    return replace(
        result,
        error_model=model,
        flags=flags,
        rejected=np.flatnonzero(left_out),
        statistics=statistics,
        failed=unused_images(observations.image, flags, kept.image, names),
        notes=tuple(notes),
    )


def _known(mean: Floats, table: MergeTable, given: HasIntensities | None, group: gemmi.SpaceGroup) -> Floats:
    """What is given, and means where nothing is."""
    if given is None:
        return mean
    found = given.match(table.hkl, group)
    return np.where(np.isfinite(found), found, mean)


def _cell(cell: tuple[float, ...] | gemmi.UnitCell, group: gemmi.SpaceGroup) -> tuple[gemmi.UnitCell, list[str]]:
    """The cell of the merged data, and what is said when it is not the one that was given."""
    given = cell if isinstance(cell, gemmi.UnitCell) else gemmi.UnitCell(*cell)
    unit = symmetric_cell(given, group)
    away = np.abs(np.array(unit.parameters) - given.parameters) / np.repeat([given.a, 100.0], 3)
    if away.max() < _SAME_CELL:
        return unit, []
    before, after = (" ".join(f"{value:.3f}" for value in each.parameters) for each in (given, unit))
    return unit, [f"the cell {before} became {after}, the shape that {group.xhm()} needs"]


def _sample(table: MergeTable, rows: int, seed: int) -> NDArray[np.intp]:
    """All observations, or those of enough random unique reflections to have about `rows`."""
    if len(table.row) <= rows:
        return np.arange(len(table.row))
    drawn = np.random.default_rng(seed).random(len(table.hkl)) < rows / len(table.row)
    return np.flatnonzero(drawn[table.number])


def _contradicted(
    observations: Observations,
    table: MergeTable,
    mean: Floats,
    group: gemmi.SpaceGroup,
    cell: gemmi.UnitCell,
    seed: int,
) -> tuple[str, ...]:
    """Messages of `check_symmetry`, outliers among the observations: wrong symmetry makes outliers of the truth."""
    rows = _sample(table, _CHECK_ROWS, seed)
    weight = (table.factor[rows] ** 2) / table.recorded.select(rows).expected(
        table.factor[rows] * mean[table.number[rows]]
    )
    return check_symmetry(
        observations.hkl[table.row[rows]], table.intensity[rows], weight, group, cell, seed=seed
    ).messages


def _fit(table: MergeTable, mean: Floats, seed: int) -> ErrorModel:
    rows = _sample(table, _FIT_ROWS, seed)
    some = replace(
        table,
        number=table.number[rows],
        intensity=table.intensity[rows],
        factor=table.factor[rows],
        recorded=table.recorded.select(rows),
    )
    return fit_error_model(some.number, some.intensity, some.sigma(mean))


def _disagreeing(table: MergeTable, variance: Floats, limit: float, anomalous: bool) -> list[str]:
    apart = 2 * table.number + (table.minus if anomalous else 0)
    twice = np.flatnonzero(np.bincount(apart)[apart] == 2)
    deviate, _ = leave_one_out(apart[twice], table.intensity[twice], variance[twice])
    count = int(np.count_nonzero(np.abs(deviate) > limit)) // 2
    return [f"{count} reflections observed twice disagree by more than {limit:g} sigma: both kept"] if count else []
