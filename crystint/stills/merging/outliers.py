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
    counts = np.isfinite(variance) & np.isfinite(intensity)
    weight = np.where(counts, 1.0 / variance, 0.0)
    intensity = np.where(counts, intensity, 0.0)
    total = np.bincount(group, weight)
    size = np.bincount(group, counts, len(total)).astype(np.intp)
    # about the mean of the group: the others' mean is then a small step, and nothing cancels
    mean = np.bincount(group, weight * intensity) / np.where(total > 0.0, total, 1.0)
    off = intensity - mean[group]
    residue = np.bincount(group, weight * off)
    others = total[group] - weight
    alone = ~counts | (size[group] < 2) | (others <= 1e-12 * total[group])
    others = np.where(alone, 1.0, others)
    step = off - (residue[group] - weight * off) / others
    return np.where(alone, np.nan, step / np.sqrt(variance + 1.0 / others)), size


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
    number = group[rows]
    for _ in range(rounds):
        if not len(rows):
            break
        deviate, size = leave_one_out(number, intensity[rows], np.where(rejected[rows], np.inf, variance[rows]))
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
