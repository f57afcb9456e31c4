"""Observations that disagree with their equivalents."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from crystint.arrays import Floats
from crystint.errors import SettingError, ShapeError

__all__ = ["find_outliers", "leave_one_out", "many_left_out", "without_weight"]


_MANY_OUTLIERS = 0.05
_MANY_FAINT = 0.01
"""shares that are too much to pass in silence"""
_ROWS = 1 << 18
"""observations worked on at a time"""
_NO_WEIGHT = 1e-3
"""of the mean weight of the observations of a reflection: less is lost than a thousandth of what they say"""


def without_weight(group: NDArray[np.intp], variance: Floats) -> NDArray[np.bool_]:
    """bool [n]: observations whose variance is more than 1000 times that of their equivalents (harmonic mean).

    The weighted mean hardly knows of them, but R_meas, which takes the deviates as they are, and CC1/2, where one of
    them may be all that a half has, would be about them alone. (Aimless and DIALS do not need this: rotation images
    differ less in their scales than stills. CrystFEL and XDS have limits of I / sigma in their statistics instead,
    which leave out weak reflections.) A reflection that has no better observations keeps those it has.
    """
    weight = 1.0 / variance
    mean = np.bincount(group, weight) / np.maximum(np.bincount(group), 1)
    return np.asarray(weight < _NO_WEIGHT * mean[group])


def leave_one_out(group: NDArray[np.intp], intensity: Floats, variance: Floats) -> tuple[Floats, NDArray[np.intp]]:
    """How far each observation is from the weighted mean of the others of its group, in standard deviations.

    Parameters
    ----------
    group : int [n]
        Number of the unique reflection, from 0.
    intensity, variance : float64 [n]
        Infinite variance = does not count, and has no deviate.

    Returns
    -------
    deviate : float64 [n]
        (I - mean of the others) / sqrt(variance + variance of that mean); NaN where there are no others.
    size : intp [groups]
        Observations that count.
    """
    groups = int(group.max(initial=-1)) + 1
    total, mean, residue, size = np.zeros(groups), np.zeros(groups), np.zeros(groups), np.zeros(groups, np.intp)
    blocks = [slice(start, start + _ROWS) for start in range(0, len(group), _ROWS)]
    for rows in blocks:
        counts, weight, here = _counting(intensity[rows], variance[rows])
        total += np.bincount(group[rows], weight, groups)
        mean += np.bincount(group[rows], weight * here, groups)
        size += np.bincount(group[rows], counts, groups).astype(np.intp)
    # about the mean of the group: the others' mean is then a small step, and nothing cancels
    mean /= np.where(total > 0.0, total, 1.0)
    for rows in blocks:
        _, weight, here = _counting(intensity[rows], variance[rows])
        residue += np.bincount(group[rows], weight * (here - mean[group[rows]]), groups)
    deviate = np.empty(len(group))
    for rows in blocks:
        number = group[rows]
        counts, weight, here = _counting(intensity[rows], variance[rows])
        off = here - mean[number]
        others = total[number] - weight
        alone = ~counts | (size[number] < 2) | (others <= 1e-12 * total[number])
        others = np.where(alone, 1.0, others)
        step = off - (residue[number] - weight * off) / others
        deviate[rows] = np.where(alone, np.nan, step / np.sqrt(variance[rows] + 1.0 / others))
    return deviate, size


def _counting(intensity: Floats, variance: Floats) -> tuple[NDArray[np.bool_], Floats, Floats]:
    """Which observations count, their weights, and their intensities; 0 for the others."""
    counts = np.isfinite(variance) & np.isfinite(intensity)
    return counts, np.where(counts, 1.0 / variance, 0.0), np.where(counts, intensity, 0.0)


def find_outliers(
    group: NDArray[np.intp],
    intensity: Floats,
    variance: Floats,
    *,
    limit: float = 6.0,
    pairs: Literal["keep", "both"] = "keep",
    rounds: int = 25,
) -> NDArray[np.bool_]:
    """Observations to reject.

    In every group of three or more the worst observation beyond `limit` goes, and what is left is looked at again,
    until nothing goes: one wild value moves the mean of the others, and must not take them along. Of two that
    disagree nobody can say which is wrong: they stay (AIMLESS's choice KEEP), unless `pairs` is "both" (its REJECT).

    Parameters
    ----------
    group : int [n]
        Number of the unique reflection (of I(+) and I(-) apart, when they are kept apart).
    intensity, variance : float64 [n]
        The variance after the error model, from expected and not from the observation's own counts: else high
        values, whose sigma is large too, are spared and low ones are not.
    limit
        Standard deviations (6 as in dials.scale).
    pairs
        "keep": groups of two are never touched; "both": both go when they disagree.
    rounds
        At most so many observations of a group go.

    Returns
    -------
    bool [n]

    Raises
    ------
    ShapeError
        When the columns differ in length.
    SettingError
        When the limit is not above 0.
    """
    if not len(group) == len(intensity) == len(variance):
        raise ShapeError(
            f"{len(group)} groups, {len(intensity)} intensities and {len(variance)} variances: not one table"
        )
    if not limit > 0.0:
        raise SettingError(f"limit of outliers is {limit!r} sigma, expected a number above 0")
    rejected = np.zeros(len(group), bool)
    if not len(group):
        return rejected
    rows = np.flatnonzero(np.isfinite(intensity) & np.isfinite(variance))
    number = group if len(rows) == len(group) else group[rows]
    for _ in range(rounds):
        if not len(rows):
            break
        here = slice(None) if len(rows) == len(group) else rows  # of all of them no copies are made
        rest = np.where(rejected[here], np.inf, variance[here]) if rejected.any() else variance[here]
        deviate, size = leave_one_out(number, intensity[here], rest)
        with np.errstate(invalid="ignore"):
            beyond = np.flatnonzero(np.abs(deviate) > limit)
        of = size[number[beyond]]
        many = beyond[of > 2]
        ranked = many[np.lexsort((np.abs(deviate[many]), number[many]))]
        worst = ranked[np.append(number[ranked][1:] != number[ranked][:-1], True)] if len(ranked) else ranked
        rejected[rows[worst]] = True
        if pairs == "both":
            rejected[rows[beyond[of == 2]]] = True
        touched = np.zeros(len(size), bool)
        touched[number[worst]] = True
        again = touched[number]
        rows, number = rows[again], number[again]
        if len(rows):
            _, number = np.unique(number, return_inverse=True)
    return rejected


def many_left_out(faint: int, wild: int, count: int) -> list[str]:
    """Doubts about observations left out, where they are many."""
    notes = []
    if faint > _MANY_FAINT * count:
        notes.append(
            f"{faint} of {count} observations are left out: each weighs less than a thousandth of its equivalents. "
            "Are there images with hardly any signal?"
        )
    if wild > _MANY_OUTLIERS * count:
        notes.append(
            f"{wild / count:.0%} of the observations were rejected as outliers: wrong symmetry, scales or sigmas?"
        )
    return notes
