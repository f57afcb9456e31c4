"""The stages of merging, in the order in which `crystint.stills.merging.merge.merge` takes them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal

import gemmi
import numpy as np
from numpy.typing import NDArray

from crystint.arrays import Floats
from crystint.errors import ShapeError
from crystint.model.cells import symmetric_cell
from crystint.model.facts import counted, range_text
from crystint.model.observations import Observations
from crystint.stills.merging.ambiguity import other_indexing
from crystint.stills.merging.collect import collect
from crystint.stills.merging.merge_table import HasIntensities, MergeTable
from crystint.stills.merging.merged import Merged
from crystint.stills.merging.outliers import find_outliers, leave_one_out, many_left_out, without_weight
from crystint.stills.merging.resolution_limit import resolution_limit
from crystint.stills.merging.shell_sums import ShellSums
from crystint.stills.merging.shells import ResolutionShells
from crystint.stills.merging.statistics import Statistics
from crystint.stills.merging.sums import MergeSums, image_halves, observation_halves
from crystint.stills.merging.symmetry_check import check_symmetry
from crystint.stills.scaling.error_model import ErrorModel, fit_error_model

__all__ = [
    "MergeOptions",
    "Weights",
    "against_reference",
    "check_halves",
    "disagreeing_pairs",
    "merged_cell",
    "shells_of_noise",
    "statistics_of",
    "sums_of",
    "symmetry_doubts",
    "weights_of",
    "without_outliers",
]


_SAME_CELL = 1e-3
"""relative, and per 100 degrees: no more is said of a change"""
_FIT_ROWS = 250_000
"""observations, of random unique reflections, that are enough to fit an error model"""
_CHECK_ROWS = 500_000
"""the same, to judge the symmetry"""
_COMMON = 0.01
"""of the merged reflections, that a reference should have"""


@dataclass(frozen=True, eq=False)
class MergeOptions:
    """What stages have to know of the arguments of `merge`, with their names."""

    group: gemmi.SpaceGroup
    cell: gemmi.UnitCell
    """of the merged data"""
    anomalous: bool
    error_model: ErrorModel | Literal["fit"] | None
    outliers: float | None
    outlier_pairs: Literal["keep", "both"]
    sigma: Literal["internal", "external", "larger"]
    reference: HasIntensities | None
    expected_from: HasIntensities | None
    shells: ResolutionShells | int
    shells_by: Literal["volume", "number"]
    limits: tuple[float | None, float | None]
    """d_min, d_max"""
    repeats: int
    cycles: int
    seed: int

    def expected(self, mean: Floats, table: MergeTable) -> Floats:
        """Intensities that variances are made from: those of `expected_from`, and means where it has none."""
        if self.expected_from is None:
            return mean
        intensity = self.expected_from.match(table.hkl, self.group)
        return np.where(np.isfinite(intensity), intensity, mean)

    def apart(self, table: MergeTable) -> NDArray[np.intp]:
        """Number of the group that outliers of each observation are looked for in."""
        return np.asarray(2 * table.number + (table.minus if self.anomalous else 0))


@dataclass(frozen=True, eq=False)
class Weights:
    """An error model, the variances that it makes expected, and the means with these weights."""

    model: ErrorModel
    variance: Floats
    """float64 [n]: of each observation"""
    mean: Floats
    """float64 [m]: of each unique reflection"""


def merged_cell(cell: tuple[float, ...] | gemmi.UnitCell, group: gemmi.SpaceGroup) -> tuple[gemmi.UnitCell, list[str]]:
    """The cell of the merged data, and what is said when it is not the one that was given."""
    before = cell if isinstance(cell, gemmi.UnitCell) else gemmi.UnitCell(*cell)
    after = symmetric_cell(before, group)
    away = np.abs(np.array(after.parameters) - before.parameters) / np.repeat([before.a, 100.0], 3)
    if away.max() < _SAME_CELL:
        return after, []
    old, new = (" ".join(f"{value:.3f}" for value in each.parameters) for each in (before, after))
    return after, [f"the cell {old} became {new}, the shape that {group.xhm()} needs"]


def weights_of(table: MergeTable, options: MergeOptions) -> Weights:
    """Error model, variances and means, which take turns."""
    error_model = options.error_model
    model = error_model if isinstance(error_model, ErrorModel) else ErrorModel()
    mean = options.expected(table.mean(1.0 / table.factor**2), table)
    variance = np.zeros(0)
    for _ in range(max(options.cycles, 1)):
        if error_model == "fit" and len(table.row):
            model = _fitted(table, mean, options.seed)
        variance = table.variance(model, mean)
        mean = options.expected(table.mean(variance), table)
    return Weights(model, variance, mean)


def without_outliers(
    table: MergeTable, weights: Weights, options: MergeOptions
) -> tuple[MergeTable, Weights, NDArray[np.bool_], list[str]]:
    """The observations that are merged, their weights, bool [n] of those left out, and what is said of them."""
    if options.outliers is None or not len(table.row):
        return table, weights, np.zeros(len(table.row), bool), []
    apart, variance = options.apart(table), weights.variance
    faint = without_weight(apart, variance)
    rest = np.where(faint, np.inf, variance)
    bad = faint | find_outliers(apart, table.intensity, rest, limit=options.outliers, pairs=options.outlier_pairs)
    doubts = many_left_out(int(faint.sum()), int((bad & ~faint).sum()), len(bad))
    used = table.select(~bad)
    variance, mean = variance[~bad], weights.mean
    for _ in range(max(options.cycles, 1) if bad.any() else 0):
        mean = options.expected(used.mean(variance), used)
        variance = used.variance(weights.model, mean)
    return used, Weights(weights.model, variance, mean), bad, doubts


def symmetry_doubts(
    observations: Observations, table: MergeTable, mean: Floats, options: MergeOptions
) -> tuple[str, ...]:
    """Messages of `check_symmetry`, outliers among the observations: wrong symmetry makes outliers of the truth."""
    rows = _sample(table, _CHECK_ROWS, options.seed)
    weight = (table.factor[rows] ** 2) / table.recorded.select(rows).expected(
        table.factor[rows] * mean[table.number[rows]]
    )
    return check_symmetry(
        observations.hkl[table.row[rows]], table.intensity[rows], weight, options.group, options.cell,
        seed=options.seed,
    ).messages  # fmt: skip


def disagreeing_pairs(table: MergeTable, weights: Weights, options: MergeOptions) -> list[str]:
    """How many reflections that were observed twice disagree, where both observations stay."""
    limit = options.outliers
    if limit is None or options.outlier_pairs != "keep" or not len(table.row):
        return []
    apart = options.apart(table)
    twice = np.flatnonzero(np.bincount(apart)[apart] == 2)
    deviate, _ = leave_one_out(apart[twice], table.intensity[twice], weights.variance[twice])
    count = int(np.count_nonzero(np.abs(deviate) > limit)) // 2
    return [f"{count} reflections observed twice disagree by more than {limit:g} sigma: both kept"] if count else []


def check_halves(halves: NDArray[np.int8] | None, observations: Observations, seed: int) -> NDArray[np.int8]:
    """int8 [images]: which half each image is in.

    Raises
    ------
    ShapeError
        When they are given for fewer images than there are.
    """
    images = int(observations.image.max(initial=-1)) + 1
    half = image_halves(images, seed) if halves is None else np.asarray(halves, dtype=np.int8)
    if len(half) < images:
        raise ShapeError(f"halves are given for {len(half)} images, the observations have {images}")
    return half


def sums_of(table: MergeTable, weights: Weights, half: NDArray[np.int8], options: MergeOptions) -> MergeSums:
    """Sums over the observations of each reflection, in both kinds of halves."""
    return MergeSums.of(
        table.hkl, table.number, table.minus, table.intensity, weights.variance, half[table.image],
        observation_halves(table.number, options.seed),
    )  # fmt: skip


def against_reference(merged: Merged, options: MergeOptions) -> tuple[Floats | None, list[str]]:
    """Intensities of the reference in the order of the merged ones, and doubts about it."""
    reference = options.reference
    if reference is None or not len(merged):
        return None, []
    doubts = []
    target = reference.match(merged.hkl, options.group)
    common = int(np.count_nonzero(np.isfinite(target)))
    if common < max(3, _COMMON * len(merged)):
        doubts.append(
            f"the reference has {common} of the {len(merged)} merged reflections: "
            "is it of the same cell, space group and resolution?"
        )
    ambiguity = other_indexing(
        merged.hkl, merged.intensity, cell=options.cell, space_group=options.group, reference=reference
    )
    return target, [*doubts, *([ambiguity] if ambiguity else [])]


def statistics_of(
    merged: Merged, table: MergeTable, weights: Weights, target: Floats | None, options: MergeOptions
) -> Statistics:
    """Statistics in shells of resolution; empty when nothing is merged."""
    if not len(merged):
        return Statistics()
    shells, (d_min, d_max) = options.shells, options.limits
    if not isinstance(shells, ResolutionShells):
        shells = ResolutionShells.of(merged.d, shells, by=options.shells_by, d_min=d_min, d_max=d_max)
    limit = resolution_limit(merged.half_images, merged.d)
    inside = limit if np.isfinite(limit) else 0.0
    columns: dict[str, Any] = {
        "cell": options.cell, "space_group": options.group, "sigma": merged.sigma, "reference": target,
        "weight": 1.0 / weights.variance, "image": table.image, "repeats": options.repeats, "seed": options.seed,
        "limit": inside,
    }  # fmt: skip
    statistics = collect(merged.sums, table.number, table.intensity, shells=shells, **columns)
    within = ShellSums()
    if np.count_nonzero(merged.d < inside):
        low = ResolutionShells(np.array([shells.edges[0], inside]))
        within = collect(merged.sums, table.number, table.intensity, shells=low, **columns).sums
    return replace(statistics, limit=limit, within=within)


def shells_of_noise(statistics: Statistics) -> list[str]:
    """What to say of shells that are all beyond the suggested limit, and of data that are noise throughout."""
    noise = statistics.beyond_limit
    if not noise:
        return []
    cc, strength = (np.array([getattr(shell, name) for shell in noise]) for name in ("cc_half", "i_over_sigma"))
    figures = [f"{what} {text}" for what, text in (
        ("CC1/2", range_text(cc, form=".2f")), ("I/sigma", range_text(strength, form=".2f")),
    ) if text]  # fmt: skip
    return [
        f"{len(noise)} of {counted(len(statistics.shells), 'shell')} beyond {statistics.limit:.2f} angstrom without a "
        f"signal: {', '.join(figures)}; --d-min {statistics.limit:.2f} leaves them out"
    ]


def _sample(table: MergeTable, rows: int, seed: int) -> NDArray[np.intp]:
    """All observations, or those of enough random unique reflections to have about `rows`."""
    if len(table.row) <= rows:
        return np.arange(len(table.row))
    drawn = np.random.default_rng(seed).random(len(table.hkl)) < rows / len(table.row)
    return np.flatnonzero(drawn[table.number])


def _fitted(table: MergeTable, mean: Floats, seed: int) -> ErrorModel:
    """The error model of the observations, or of a sample of them."""
    rows = _sample(table, _FIT_ROWS, seed)
    some = replace(
        table,
        number=table.number[rows],
        intensity=table.intensity[rows],
        factor=table.factor[rows],
        recorded=table.recorded.select(rows),
    )
    return fit_error_model(some.number, some.intensity, some.sigma(mean))
