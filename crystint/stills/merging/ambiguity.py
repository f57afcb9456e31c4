"""Lattices with more symmetry than their crystals: which of several indexings each image has."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import gemmi
import numpy as np
from numpy.typing import NDArray

from crystint.arrays import Floats
from crystint.html import html_table
from crystint.model import symmetry
from crystint.model.facts import counted
from crystint.model.observations import Observations
from crystint.stills.merging.assign import Indexings, best_assignment, reproducible
from crystint.stills.merging.merge_table import HasIntensities
from crystint.stills.merging.shells import ResolutionShells
from crystint.stills.scaling.scales import Scales

__all__ = ["Ambiguity", "find_ambiguity", "other_indexing", "reindexing_operators"]


_CLEAR = 3.0
"""standard deviations by which one indexing must be better than the next"""
_COMMON = 50
"""reflections that merged intensities and a reference must share to be compared"""
_LOWEST, _HIGHEST = -2.0, 5.0
"""intensities relative to their shell are cut here: the strongest must not decide alone"""


@dataclass(frozen=True, eq=False)
class Ambiguity:
    """Indexings that the lattice allows, and which each image has. Made by `find_ambiguity`."""

    operators: tuple[str, ...]
    """what hkl becomes, "h,k,l" first; only that = the lattice has no more symmetry than the space group"""
    rotations: NDArray[np.int32]
    """int32 [operators, 3, 3]: hkl @ rotation"""
    mode: NDArray[np.intp]
    """intp [images]: the operator that each image needs; 0 = none, or it cannot be told"""
    cc: Floats
    """float64 [images, operators]: correlation to the other images (or the reference) in each indexing"""
    clear: NDArray[np.bool_]
    """bool [images]: one indexing is better than all others beyond doubt"""
    message: str = ""
    """empty when there is nothing to say"""

    def __repr__(self) -> str:
        images = f"{np.count_nonzero(self.mode)} of {counted(len(self.mode), 'image')} to be reindexed"
        return f"<Ambiguity: {counted(len(self.operators), 'indexing')}, {images}>"

    def _repr_html_(self) -> str:
        facts = {
            "indexings": "; ".join(self.operators),
            "images of each": np.bincount(self.mode, minlength=len(self.operators)).tolist(),
            "clear": f"{np.count_nonzero(self.clear)} of {len(self.clear)}",
            "message": self.message or None,
        }
        return html_table("Ambiguity", facts)

    @property
    def found(self) -> bool:
        """Images clearly differ in their indexing (or from the reference)."""
        changed = int(np.count_nonzero(self.clear & (self.mode > 0)))
        return changed >= max(2, 0.02 * np.count_nonzero(self.clear))

    def resolve(self, observations: Observations) -> Observations:
        """The same observations, those of images that need it reindexed."""
        rows = np.flatnonzero(self.mode[observations.image] > 0)
        hkl = observations.hkl.copy()
        hkl[rows] = np.einsum("ni,nij->nj", hkl[rows], self.rotations[self.mode[observations.image[rows]]])
        return observations.replace(hkl=hkl)


def reindexing_operators(
    cell: tuple[float, ...] | gemmi.UnitCell,
    space_group: gemmi.SpaceGroup | str | int,
    *,
    max_obliquity: float = 3.0,
) -> tuple[tuple[str, ...], NDArray[np.int32]]:
    """Operators of the lattice that the space group lacks, one for each different indexing, the identity first.

    Parameters
    ----------
    max_obliquity
        Degrees by which the cell may miss the higher symmetry (Le Page's angle).

    Returns
    -------
    names : tuple of str
        What hkl becomes, such as "k,h,-l".
    rotations : int32 [operators, 3, 3]
        To be multiplied from the right to rows hkl.
    """
    unit = cell if isinstance(cell, gemmi.UnitCell) else gemmi.UnitCell(*cell)
    laws = gemmi.find_twin_laws(unit, symmetry.as_space_group(space_group), max_obliquity, False)
    rotations = [np.eye(3, dtype=np.int32)]
    rotations += [np.array(law.rot, dtype=np.int32) // gemmi.Op.DEN for law in laws]
    return tuple(symmetry.operator_name(rotation) for rotation in rotations), np.array(rotations)


def find_ambiguity(
    observations: Observations,
    *,
    cell: tuple[float, ...] | gemmi.UnitCell,
    space_group: gemmi.SpaceGroup | str | int,
    scales: Scales | None = None,
    reference: HasIntensities | None = None,
    max_obliquity: float = 3.0,
    min_observations: int = 10,
    names: Sequence[str] = (),
    seed: int = 0,
) -> Ambiguity:
    """Find which indexing each image has, from its correlation to the others or to a reference.

    After Brehm & Diederichs (2014), Acta Cryst. D70, 101, but without their n^2 correlations of pairs of images: images
    are compared with the merge of the images outside their own fold, each in the indexing it has at the moment. The
    start is the leading eigenvector of what the pairs' correlations differ by, found by power iteration, in time
    proportional to the observations. Intensities are relative to their resolution shell and image, so that no scaling
    is needed before (scaling without a reference goes wrong on mixed indexings).

    Parameters
    ----------
    observations
        Unusable rows are left out.
    scales
        None = what is divided out is correction and partiality.
    reference
        Compare with this instead of with the other images.
    min_observations
        Images with fewer that tell the indexings apart are left alone.
    names
        Of the images, for messages.
    cell, space_group
        Of the merged data; `cell` in angstrom and degrees.
    max_obliquity
        Degrees by which a twofold axis of the lattice may be off, for the metric to allow another indexing.
    seed
        Of the folds.

    Returns
    -------
    Ambiguity
        `message` names the operators and how many images need them; it is empty where the lattice leaves no choice or
        all images agree.

    Examples
    --------
    >>> from crystint import stills
    >>> data = stills.simulate_stills(20, d_min=4.0, shape=(300, 320), distance=0.05, seed=1)
    >>> observations, group = data.observations(), data.experiment.space_group
    >>> stills.find_ambiguity(observations, cell=data.experiment.cell, space_group=group).message  # none in P 21 21 21
    ''
    """
    group = symmetry.as_space_group(space_group)
    images = int(observations.image.max(initial=-1)) + 1
    listed, rotations = reindexing_operators(cell, group, max_obliquity=max_obliquity)
    nothing = np.zeros(images, np.intp), np.full((images, len(listed)), np.nan), np.zeros(images, bool)
    if len(listed) < 2 or not len(observations):
        return Ambiguity(listed, rotations, *nothing)
    use = np.flatnonzero(observations.usable & ~symmetry.absent(observations.hkl, group))
    rows = observations.select(use)
    factor = rows.correction * rows.partiality if scales is None else scales.factor(rows)
    relative = _relative(rows.image, rows.intensity / factor, symmetry.spacing(rows.hkl, cell), images)
    good = np.isfinite(relative)
    reduced = [symmetry.asu(rows.hkl[good] @ rotation, group) for rotation in rotations]
    hkl, rows_of = symmetry.distinct(np.concatenate(reduced))
    number = rows_of.astype(np.int32).reshape(len(listed), -1)
    telling = (number != number[0]).any(axis=0)
    table = Indexings(rows.image[good][telling], relative[good][telling], number[:, telling], images, len(hkl))
    enough = np.bincount(table.image, minlength=images) >= min_observations
    if not enough.any():
        return Ambiguity(listed, rotations, *nothing, _untold(listed))
    level = None
    if reference is not None:
        level = _relative_reference(reference.match(hkl, group), symmetry.spacing(hkl, cell))
        if np.count_nonzero(np.isfinite(level)) < min_observations:
            level = None
    if level is None and not reproducible(table, enough, seed=seed):
        return Ambiguity(listed, rotations, *nothing, _untold(listed))
    mode, cc, spread = best_assignment(table, enough, level, seed=seed)
    clear = enough & (spread > _CLEAR)
    mode = np.where(clear, mode, 0)
    ambiguity = Ambiguity(listed, rotations, mode, cc, clear)
    message = _message(ambiguity, enough, images, level is not None, names)
    return Ambiguity(listed, rotations, mode, cc, clear, message)


def other_indexing(
    hkl: NDArray[np.int32],
    intensity: Floats,
    *,
    cell: tuple[float, ...] | gemmi.UnitCell,
    space_group: gemmi.SpaceGroup | str | int,
    reference: HasIntensities,
) -> str:
    """Say so when merged intensities agree better with a reference after reindexing all of them; else "".

    Images may agree with one another and still all have another indexing than the reference.
    """
    group = symmetry.as_space_group(space_group)
    listed, rotations = reindexing_operators(cell, group)
    if len(listed) < 2 or not len(hkl):
        return ""
    d = symmetry.spacing(hkl, cell)
    once = np.zeros(len(hkl), np.int32)
    relative = _relative(once, intensity, d, 1)
    cc = np.full(len(listed), np.nan)
    for number, rotation in enumerate(rotations):
        other = _relative(once, reference.match(hkl @ rotation, group), d, 1)
        common = np.isfinite(relative) & np.isfinite(other)
        if np.count_nonzero(common) >= _COMMON:
            cc[number] = np.corrcoef(relative[common], other[common])[0, 1]
    if not np.isfinite(cc).all() or cc.max() < 0.1 or cc.max() - cc[0] < 4.0 * np.sqrt(2.0 / len(hkl)):
        return ""
    best = int(np.argmax(cc))
    return (
        f"the merged intensities agree better with the reference when they are reindexed as ({listed[best]}): "
        f"correlation {cc[best]:.2f} against {cc[0]:.2f} within resolution shells"
    )


def _relative(image: NDArray[np.int32], intensity: Floats, d: Floats, images: int) -> Floats:
    """Intensities over the mean of their resolution shell and of their image; NaN where there is none."""
    usable = np.isfinite(intensity) & np.isfinite(d)
    if not usable.any():
        return np.full(len(intensity), np.nan)
    shells = ResolutionShells.of(d[usable], max(1, min(50, int(usable.sum()) // 200)), by="number")
    shell = np.maximum(shells.number(d), 0)
    value = np.where(usable, intensity, 0.0)
    for _ in range(2):
        for at, count in ((shell, len(shells)), (image, images)):
            mean = np.bincount(at, value, count) / np.maximum(np.bincount(at, usable, count), 1.0)
            with np.errstate(invalid="ignore", divide="ignore"):
                value = value / np.where(mean > 0.0, mean, np.nan)[at]
            usable &= np.isfinite(value)
            value = np.where(usable, value, 0.0)
    return np.where(usable, np.clip(value, _LOWEST, _HIGHEST), np.nan)


def _relative_reference(intensity: Floats, d: Floats) -> Floats:
    return _relative(np.zeros(len(intensity), np.int32), intensity, d, 1)


def _untold(listed: tuple[str, ...]) -> str:
    return (
        f"indexing ambiguity: the lattice allows {_joined(listed[1:])} as well, and which the images have cannot be "
        "told: too few observations, or crystals that have this symmetry too"
    )


def _joined(listed: Sequence[str]) -> str:
    return ", ".join(f"({name})" for name in listed)


def _message(
    ambiguity: Ambiguity, enough: NDArray[np.bool_], images: int, has_reference: bool, names: Sequence[str]
) -> str:
    told, other = int(np.count_nonzero(ambiguity.clear)), int(np.count_nonzero(enough & ~ambiguity.clear))
    if told < max(2, 0.02 * np.count_nonzero(enough)):
        return _untold(ambiguity.operators)
    if not ambiguity.found:
        return ""
    counts = np.bincount(ambiguity.mode[ambiguity.clear], minlength=len(ambiguity.operators))
    each = ", ".join(f"({name}) {count}" for name, count in zip(ambiguity.operators[1:], counts[1:]) if count)
    whom = "the reference" if has_reference else "the others"
    first = np.flatnonzero(ambiguity.mode > 0)[:3]
    named = ", ".join(names[int(i)] if i < len(names) else f"image {i}" for i in first)
    more = ", ..." if counts[1:].sum() > len(first) else ""
    moved = int(counts[1:].sum())
    return (
        f"indexing ambiguity: operators {_joined(ambiguity.operators[1:])}; {moved} of {images} images agree better "
        f"with {whom} when they are reindexed: {each} ({named}{more}); {other} cannot be told"
    )
