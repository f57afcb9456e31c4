"""Whether the data have the symmetry that they are merged with."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import gemmi
import numpy as np
from numpy.typing import NDArray

from crystint.arrays import Floats
from crystint.model import symmetry
from crystint.model.observations import Flag, Observations
from crystint.stills.merging.amplitudes import shell_means
from crystint.stills.merging.moments import PairMoments
from crystint.stills.merging.sums import observation_halves

__all__ = ["SymmetryCheck", "absences", "check_symmetry"]


_ENOUGH = 50
"""pairs of intensities needed to judge an operator"""


@dataclass(frozen=True, eq=False)
class SymmetryCheck:
    """How well equivalents agree, by the operator that makes them equivalent.

    Intensities are taken relative to the mean at their resolution, so that fall-off does not correlate them.
    """

    operators: tuple[str, ...]
    """one per rotation of the space group other than the identity, as it acts on hkl; Friedel mates count as equal"""
    cc: Floats
    """float64 [operators]: correlation of reflections and their mates; NaN where too few are there"""
    pairs: NDArray[np.int64]
    """int64 [operators]"""
    cc_same: float
    """correlation of two halves of the observations of the same reflection (or its Friedel mate)"""
    messages: tuple[str, ...] = ()

    @property
    def holds(self) -> bool:
        """No operator is contradicted."""
        return not self.messages


def check_symmetry(
    hkl: NDArray[np.int32],
    intensity: Floats,
    weight: Floats,
    space_group: gemmi.SpaceGroup,
    cell: gemmi.UnitCell,
    *,
    seed: int = 0,
) -> SymmetryCheck:
    """Compare the agreement of symmetry mates with that of repeated observations of the same reflection.

    An operator is contradicted when the mates it makes correlate by less than half of what they should, which is the
    correlation of halves of the same reflection raised to whole ones (Spearman-Brown).

    Parameters
    ----------
    hkl : int32 [n, 3]
        As indexed, not reduced.
    intensity, weight : float64 [n]
        On the common scale.
    """
    identity, number = symmetry.groups(hkl, "P -1")
    if len(identity) < _ENOUGH:
        return SymmetryCheck((), np.zeros(0), np.zeros(0, np.int64), float("nan"))
    m = len(identity)
    d = symmetry.spacing(identity, cell)
    place = number + m * observation_halves(number, seed).astype(np.intp)
    with np.errstate(invalid="ignore"):
        total = np.bincount(number, weight, m)
        mean = np.bincount(number, weight * intensity, m) / total
        halves = np.bincount(place, weight * intensity, 2 * m) / np.bincount(place, weight, 2 * m)
    level = shell_means(mean, 1.0 / np.sqrt(total), d, np.ones(m), per_shell=100)
    relative = np.clip(mean / level, -3.0, 6.0)  # the few strongest must not decide alone
    first, second = (np.clip(half / level, -3.0, 6.0) for half in np.split(halves, 2))
    same = PairMoments.of(first, second, np.zeros(m, np.intp), 1)
    cc_same = float(same.cc[0]) if same.n[0] >= _ENOUGH else float("nan")
    names, cc, pairs = [], [], []
    for name, mate in _mates(identity, space_group):
        one = np.flatnonzero(mate > np.arange(m))  # found, not itself, each pair once
        pair_moments = PairMoments.of(relative[one], relative[mate[one]], np.zeros(len(one), np.intp), 1)
        names.append(name)
        pairs.append(int(pair_moments.n[0]))
        cc.append(float(pair_moments.cc[0]) if pair_moments.n[0] >= _ENOUGH else float("nan"))
    messages = _judged(names, np.array(cc), np.array(pairs, dtype=np.int64), cc_same, space_group)
    return SymmetryCheck(tuple(names), np.array(cc), np.array(pairs, dtype=np.int64), cc_same, messages)


def _mates(hkl: NDArray[np.int32], group: gemmi.SpaceGroup) -> Iterator[tuple[str, NDArray[np.intp]]]:
    """For each rotation, the row of each reflection's mate up to Friedel's law; -1 = not there."""
    key = symmetry.pack(hkl)
    done: set[bytes] = {np.eye(3, dtype=np.int32).tobytes(), (-np.eye(3, dtype=np.int32)).tobytes()}
    for operation in group.operations().sym_ops:
        matrix = np.array(operation.rot, dtype=np.int32) // gemmi.Op.DEN
        if matrix.tobytes() in done:
            continue
        done |= {matrix.tobytes(), (-matrix).tobytes()}
        mate = symmetry.pack(symmetry.reduce(hkl @ matrix, "P -1", repeated=False)[0])
        at = np.minimum(np.searchsorted(key, mate), len(key) - 1)
        yield symmetry.operator_name(matrix), np.where(key[at] == mate, at, -1)


def _judged(
    names: list[str], cc: Floats, pairs: NDArray[np.int64], cc_same: float, group: gemmi.SpaceGroup
) -> tuple[str, ...]:
    whole = 2.0 * cc_same / (1.0 + cc_same) if cc_same > 0.0 else float("nan")
    if np.isfinite(whole) and whole > 0.2:
        against, what = whole, f"halves of the same reflections by {cc_same:.2f}"
    else:  # hardly anything was observed twice: operators can be compared with each other only
        against = float(np.nanmax(cc)) if np.isfinite(cc).any() else float("nan")
        what = f"those of the best operator by {against:.2f}"
        if not against > 0.4:
            return ()
    noise = 4.0 / np.sqrt(np.maximum(pairs, 1))
    bad = [i for i in range(len(names)) if cc[i] < 0.5 * against - noise[i]]
    if not bad:
        return ()
    listed = "; ".join(f"({names[i]}) {cc[i]:.2f}" for i in bad[:4]) + ("; ..." if len(bad) > 4 else "")
    return (
        f"space group {group.xhm()} does not fit the data: reflections that it makes equivalent correlate by {listed}, "
        f"{what}. Wrong symmetry, a wrong setting of the cell, or images indexed in different ways",
    )


def absences(
    observations: Observations, factor: Floats, flags: NDArray[np.uint32], space_group: gemmi.SpaceGroup
) -> Iterator[str]:
    """Say where reflections that must be absent are there."""
    with np.errstate(invalid="ignore"):
        other = np.uint32(Flag.excluding() & ~Flag.ABSENT)
        good = ((flags & other) == 0) & (factor > 0.0)
        absent = good & ((flags & np.uint32(Flag.ABSENT)) != 0)
    if np.count_nonzero(absent) < 10:
        return
    present = good & ~absent
    with np.errstate(invalid="ignore", divide="ignore"):
        ratio = observations.intensity / observations.sigma
    strong = int(np.count_nonzero(ratio[absent] > 3.0))
    mean, usual = float(np.mean(ratio[absent])), float(np.mean(ratio[present])) if present.any() else 0.0
    if strong > 0.2 * np.count_nonzero(absent) and mean > 0.3 * usual:
        yield (
            f"space group {space_group.xhm()} forbids {np.count_nonzero(absent)} observations, but {strong} of them "
            f"are above 3 sigma (mean I/sigma {mean:.1f}, others {usual:.1f}): wrong screw axes, centring or indexing"
        )
