"""Which reflections are equivalent: asymmetric unit, Friedel mates, absences, and numbers of the unique ones."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import gemmi
import numpy as np
from numpy.typing import NDArray

from crystint.arrays import Indices, Ints32
from crystint.errors import SettingError
from crystint.model.indices import checked, distinct, pack, unpack

__all__ = [
    "Inside",
    "absent",
    "as_space_group",
    "asu",
    "asymmetric_unit",
    "centric",
    "distinct",
    "epsilon",
    "groups",
    "operator_name",
    "pack",
    "possible",
    "reduce",
    "spacing",
    "unpack",
]

Inside = Callable[[Ints32, Ints32, Ints32], NDArray[np.bool_]]

_TRICLINIC: Inside = lambda h, k, l: (l > 0) | ((l == 0) & ((h > 0) | ((h == 0) & (k >= 0))))  # noqa: E731, E741
_MONOCLINIC: Inside = lambda h, k, l: (k >= 0) & ((l > 0) | ((l == 0) & (h >= 0)))  # noqa: E731, E741
_ORTHORHOMBIC: Inside = lambda h, k, l: (h >= 0) & (k >= 0) & (l >= 0)  # noqa: E731, E741
_ROTATED: Inside = lambda h, k, l: (l >= 0) & (((h >= 0) & (k > 0)) | ((h == 0) & (k == 0)))  # noqa: E731, E741
_MIRRORED: Inside = lambda h, k, l: (h >= k) & (k >= 0) & (l >= 0)  # noqa: E731, E741
_BAR_3: Inside = lambda h, k, l: ((h >= 0) & (k > 0)) | ((h == 0) & (k == 0) & (l >= 0))  # noqa: E731, E741
_BAR_31M: Inside = lambda h, k, l: (h >= k) & (k >= 0) & ((k > 0) | (l >= 0))  # noqa: E731, E741
_BAR_3M1: Inside = lambda h, k, l: (h >= k) & (k >= 0) & ((h > k) | (l >= 0))  # noqa: E731, E741
_M_BAR_3: Inside = lambda h, k, l: (h >= 0) & (((l >= h) & (k > h)) | ((l == h) & (k == h)))  # noqa: E731, E741
_M_BAR_3M: Inside = lambda h, k, l: (k >= l) & (l >= h) & (h >= 0)  # noqa: E731, E741

_LAST_NUMBER: tuple[tuple[int, Inside], ...] = (
    (2, _TRICLINIC),
    (15, _MONOCLINIC),
    (74, _ORTHORHOMBIC),
    (88, _ROTATED),
    (142, _MIRRORED),
    (148, _BAR_3),
    (167, _BAR_3M1),
    (176, _ROTATED),
    (194, _MIRRORED),
    (206, _M_BAR_3),
    (230, _M_BAR_3M),
)
_NUMBERS_31M = (149, 151, 153, 157, 159, 162, 163)


def asymmetric_unit(number: int) -> Inside:
    """A test on h, k, l, for the space group of this number (1 to 230)."""
    if number in _NUMBERS_31M:
        return _BAR_31M
    return next(inside for last, inside in _LAST_NUMBER if number <= last)


def as_space_group(space_group: gemmi.SpaceGroup | str | int) -> gemmi.SpaceGroup:
    """A space group from itself, its name ("P 21 21 21", "P212121", "R 3:R") or its number.

    Raises
    ------
    SettingError
        When there is none of that name or number.
    """
    if isinstance(space_group, gemmi.SpaceGroup):
        return space_group
    try:
        if space_group == 0:  # gemmi takes it for P 1
            raise ValueError(space_group)
        return gemmi.SpaceGroup(space_group)
    except (ValueError, TypeError):
        raise SettingError(
            f"unknown space group {space_group!r}: expected a name such as 'P 43 21 2' or a number"
        ) from None


@lru_cache(maxsize=64)
def _operators(hm: str) -> tuple[NDArray[np.int32], NDArray[np.float64], NDArray[np.int32], Inside]:
    """Rotations [m, 3, 3], translations [m, 3], the change to the reference setting [3, 3], and the asu there."""
    group = gemmi.SpaceGroup(hm)
    operations = group.operations()
    rotation = np.array([op.rot for op in operations.sym_ops], dtype=np.int32) // gemmi.Op.DEN
    translation = np.array([op.tran for op in operations.sym_ops], dtype=np.float64) / gemmi.Op.DEN
    change = np.eye(3, dtype=np.int32)
    if not group.is_reference_setting():
        change = np.array(group.basisop.rot, dtype=np.int32)
    return rotation, translation, change, asymmetric_unit(group.number)


def _turned(hkl: Ints32, rotation: NDArray[np.int32]) -> Ints32:
    """hkl R for rows hkl. (Integer matrix products of NumPy are slower: most entries are 0.)"""
    turned = np.zeros((3, len(hkl)), np.int32).T  # stored by column, as its parts are read
    for column, factors in enumerate(rotation.T):
        for row, factor in enumerate(factors):
            if factor == 1:
                turned[:, column] += hkl[:, row]
            elif factor:
                turned[:, column] += factor * hkl[:, row]
    return turned


def operator_name(rotation: NDArray[Any]) -> str:
    """What rows hkl become when multiplied by `rotation` [3, 3], such as "k,h,-l"."""
    parts = []
    for column in np.asarray(rotation).T:
        terms = "".join(
            f"{'+' if factor > 0 else '-'}{abs(factor) if abs(factor) != 1 else ''}{letter}"
            for factor, letter in zip(column.tolist(), "hkl")
            if factor
        )
        parts.append(terms.removeprefix("+"))
    return ",".join(parts)


def reduce(
    hkl: NDArray[Any], space_group: gemmi.SpaceGroup | str | int, *, repeated: bool = True
) -> tuple[Ints32, NDArray[np.uint8]]:
    """The equivalent of each reflection in the asymmetric unit, and the operator that takes it there.

    Parameters
    ----------
    hkl : int [n, 3]
    space_group
        Any setting that gemmi knows.
    repeated
        False: the rows are all different, which saves looking for those that are not.

    Returns
    -------
    asu : int32 [n, 3]
        In the asymmetric unit of CCP4 and gemmi (`gemmi.ReciprocalAsu`); Friedel mates fall together.
    isym : uint8 [n]
        As in the column M/ISYM of MTZ files: 2 i + 1 for operator i (from 0), 2 i + 2 where Friedel's law was
        needed as well: odd = I(+), even = I(-). The first operator that does it.

    Raises
    ------
    SettingError
        When the space group is unknown, or an index has more than 20 bits.
    ShapeError
        When `hkl` is not [n, 3].
    """
    if not repeated:
        return _reduced(checked(hkl), as_space_group(space_group))
    unique, number = distinct(hkl)
    reduced, isym = _reduced(unique, as_space_group(space_group))
    return reduced[number], isym[number]


def _reduced(hkl: Ints32, group: gemmi.SpaceGroup) -> tuple[Ints32, NDArray[np.uint8]]:
    rotation, _, change, inside = _operators(group.xhm())
    reduced, isym = np.zeros_like(hkl), np.zeros(len(hkl), np.uint8)
    left, rest = np.arange(len(hkl)), hkl
    for number, matrix in enumerate(rotation):
        turned = _turned(rest, matrix)
        standard = _turned(turned, change)  # 24 times too large, which does not matter to the comparisons
        plus = inside(*standard.T)
        minus = inside(*-standard.T) & ~plus
        for mate, hit in ((1, plus), (2, minus)):
            reduced[left[hit]] = turned[hit] if mate == 1 else -turned[hit]
            isym[left[hit]] = 2 * number + mate
        other = ~(plus | minus)
        left, rest = left[other], rest[other]
        if not len(left):
            break
    return reduced, isym


def _per_distinct(
    hkl: NDArray[Any], group: gemmi.SpaceGroup | str | int, what: Callable[[Ints32, str], NDArray[Any]], repeated: bool
) -> NDArray[Any]:
    if not repeated:
        return what(checked(hkl), as_space_group(group).xhm())
    unique, number = distinct(hkl)
    return what(unique, as_space_group(group).xhm())[number]


def asu(hkl: NDArray[Any], space_group: gemmi.SpaceGroup | str | int, *, anomalous: bool = False) -> Ints32:
    """int32 [n, 3]: `reduce` without the operators. `anomalous`: I(-) of acentric reflections as -hkl of the asu."""
    group = as_space_group(space_group)
    unique, number = distinct(hkl)
    reduced = _reduced(unique, group)
    return (_friedel_mates_apart(*reduced, group) if anomalous else reduced[0])[number]


def _friedel_mates_apart(hkl: Ints32, isym: NDArray[np.uint8], group: gemmi.SpaceGroup) -> Ints32:
    minus = (isym % 2 == 0) & ~_centric(hkl, group.xhm())
    return np.where(minus[:, None], -hkl, hkl)


def groups(
    hkl: NDArray[Any], space_group: gemmi.SpaceGroup | str | int, *, anomalous: bool = False
) -> tuple[Ints32, Indices]:
    """The unique reflections, and which of them each observation is of.

    Returns
    -------
    unique : int32 [m, 3]
        As `asu` gives them, sorted by h, k, l.
    number : intp [n]
        Row of `unique`.
    """
    group = as_space_group(space_group)
    once, first = distinct(hkl)
    reduced = _reduced(once, group)
    unique, second = distinct(_friedel_mates_apart(*reduced, group) if anomalous else reduced[0])
    return unique, second[first]


def _absent(hkl: Ints32, hm: str) -> NDArray[np.bool_]:
    rotation, translation, _, _ = _operators(hm)
    bad = np.zeros(len(hkl), bool)
    for centring in gemmi.SpaceGroup(hm).operations().cen_ops:
        bad |= (hkl @ np.array(centring, dtype=np.int32)) % gemmi.Op.DEN != 0
    for matrix, shift in zip(rotation, translation):
        phase = hkl @ np.rint(shift * gemmi.Op.DEN).astype(np.int32)
        bad |= (_turned(hkl, matrix) == hkl).all(axis=1) & (phase % gemmi.Op.DEN != 0)
    return bad


def _centric(hkl: Ints32, hm: str) -> NDArray[np.bool_]:
    centric = np.zeros(len(hkl), bool)
    for matrix in _operators(hm)[0]:
        centric |= (_turned(hkl, matrix) == -hkl).all(axis=1)
    return centric


def _epsilon(hkl: Ints32, hm: str) -> NDArray[np.int32]:
    total = np.zeros(len(hkl), np.int32)
    for matrix in _operators(hm)[0]:
        total += (_turned(hkl, matrix) == hkl).all(axis=1)
    return total


def absent(hkl: NDArray[Any], space_group: gemmi.SpaceGroup | str | int, *, repeated: bool = True) -> NDArray[np.bool_]:
    """bool [n]: systematically absent, by centring, screw axes or glide planes."""
    return _per_distinct(hkl, space_group, _absent, repeated)


def centric(
    hkl: NDArray[Any], space_group: gemmi.SpaceGroup | str | int, *, repeated: bool = True
) -> NDArray[np.bool_]:
    """bool [n]: an operator turns hkl into -hkl, so that Friedel mates are equivalent."""
    return _per_distinct(hkl, space_group, _centric, repeated)


def epsilon(
    hkl: NDArray[Any], space_group: gemmi.SpaceGroup | str | int, *, repeated: bool = True
) -> NDArray[np.int32]:
    """int32 [n]: how many operators (lattice centring not counted) leave hkl as it is; <I> is higher by this factor."""
    return _per_distinct(hkl, space_group, _epsilon, repeated)


def spacing(hkl: NDArray[Any], cell: tuple[float, ...] | gemmi.UnitCell) -> NDArray[np.float64]:
    """float64 [n]: d in angstrom, infinite for 000."""
    unit = cell if isinstance(cell, gemmi.UnitCell) else gemmi.UnitCell(*cell)
    s = checked(hkl).astype(np.float64) @ np.array(unit.frac.mat.tolist())
    with np.errstate(divide="ignore"):
        return np.asarray(1.0 / np.sqrt(np.einsum("ni,ni->n", s, s)))


def possible(
    cell: tuple[float, ...] | gemmi.UnitCell,
    space_group: gemmi.SpaceGroup | str | int,
    d_min: float,
    d_max: float = np.inf,
    *,
    anomalous: bool = False,
) -> Ints32:
    """int32 [m, 3]: all unique reflections with d_min <= d <= d_max that are not absent, as `groups` gives them.

    Raises
    ------
    SettingError
        When d_min is not above 0, or the cell has no volume.
    """
    group = as_space_group(space_group)
    unit = cell if isinstance(cell, gemmi.UnitCell) else gemmi.UnitCell(*cell)
    if not d_min > 0.0:
        raise SettingError(f"d_min is {d_min!r}, expected a resolution in angstrom above 0")
    if not (np.isfinite(unit.volume) and unit.volume > 0.0):
        raise SettingError(f"unit cell {unit.parameters} has no volume")
    limit = 0.0 if np.isinf(d_max) else d_max
    hkl = np.asarray(gemmi.make_miller_array(unit, group, d_min, limit, True), dtype=np.int32).reshape(-1, 3)
    if anomalous:
        hkl = np.concatenate([hkl, -hkl[~_centric(hkl, group.xhm())]])
    return distinct(hkl)[0]
