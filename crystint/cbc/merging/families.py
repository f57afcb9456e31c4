"""Families of reflections that share one |q|^2: the same indices, a point group, or a space group.

`mmm` and `4mm` are cbclib's two names. Its manual explains them by relations that generate less than the program
merges; what they are here is what their names say: mmm is the Laue group of 8 operations, `4mm` the point group of 8
operations, which with Friedel's law is the Laue group 4/mmm of 16 (what cbclib merges under that name).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import gemmi
import numpy as np
from numpy.typing import NDArray

from crystint.errors import SettingError
from crystint.model import symmetry as reciprocal

__all__ = ["Families", "families", "symmetry_group"]

_EXAMPLES = "'mmm', '4/m', '321', 'P 21 21 21' or the number of a space group, or None for equal indices only"
_POINT_GROUPS = {
    **{name: f"P {name}" for name in ("1", "-1", "4", "-4", "4/m", "3", "-3", "6", "-6", "6/m", "23", "432")},
    "2": "P 1 2 1", "m": "P 1 m 1", "2/m": "P 1 2/m 1", "121": "P 1 2 1", "1m1": "P 1 m 1", "12/m1": "P 1 2/m 1",
    "112": "P 1 1 2", "11m": "P 1 1 m", "112/m": "P 1 1 2/m", "211": "P 2 1 1", "m11": "P m 1 1", "2/m11": "P 2/m 1 1",
    "222": "P 2 2 2", "mm2": "P m m 2", "m2m": "P m 2 m", "2mm": "P 2 m m", "mmm": "P m m m",
    "422": "P 4 2 2", "4mm": "P 4 m m", "-42m": "P -4 2 m", "-4m2": "P -4 m 2", "4/mmm": "P 4/m m m",
    "312": "P 3 1 2", "321": "P 3 2 1", "3m1": "P 3 m 1", "31m": "P 3 1 m", "-3m1": "P -3 m 1", "-31m": "P -3 1 m",
    "622": "P 6 2 2", "6mm": "P 6 m m", "-6m2": "P -6 m 2", "-62m": "P -6 2 m", "6/mmm": "P 6/m m m",
    "m-3": "P m -3", "m3": "P m -3", "-43m": "P -4 3 m", "m-3m": "P m -3 m", "m3m": "P m -3 m",
}  # fmt: skip
"""The primitive space group without screw axes or glide planes that stands for each point group and setting."""
_AMBIGUOUS = {"32": ("321", "312"), "3m": ("3m1", "31m"), "-3m": ("-3m1", "-31m")}


@dataclass(frozen=True, eq=False)
class Families:
    """Families of reflections, and which of them each row is of.

    Attributes
    ----------
    hkl : int32 [m, 3]
        One member of each family, sorted by h, k, l. With a symmetry it lies in CCP4's asymmetric unit; where Friedel
        mates were kept apart, I(-) is -hkl of that.
    number : intp [n]
        Row of `hkl` for each row given.
    sign : int8 [n]
        +1 for I(+), -1 for I(-): whether Friedel's law is needed to reach the asymmetric unit. +1 throughout for
        centric reflections and without symmetry.
    size : int32 [m]
        How many different indices (seen or not) the family has.
    centric, absent : bool [m]
        Friedel mates are equivalent by symmetry anyway; systematically absent (only with a space group's name).
    group : gemmi.SpaceGroup or None
        None: only equal indices are one family.
    friedel : bool
        Friedel mates were merged. Always False without symmetry.
    """

    hkl: NDArray[np.int32]
    number: NDArray[np.intp]
    sign: NDArray[np.int8]
    size: NDArray[np.int32]
    centric: NDArray[np.bool_]
    absent: NDArray[np.bool_]
    group: gemmi.SpaceGroup | None
    friedel: bool

    def __len__(self) -> int:
        """How many families there are."""
        return len(self.hkl)

    @property
    def order(self) -> int:
        """How many indices a family has at a general place of reciprocal space: 8 for mmm, 16 for 4/mmm, 1 for None."""
        if self.group is None:
            return 1
        operations = self.group.operations()
        doubled = self.friedel and not operations.is_centrosymmetric()
        return len(operations.sym_ops) * (2 if doubled else 1)


def families(
    hkl: NDArray[Any], symmetry: gemmi.SpaceGroup | str | int | None = None, *, friedel: bool = True
) -> Families:
    """Group reflections into families that share one |q|^2.

    Parameters
    ----------
    hkl : int [n, 3]
        One row per reflection, streak or pixel: repeated indices cost little.
    symmetry : gemmi.SpaceGroup, str, int or None
        A point group ("mmm", "4mm", "6/m"; "2", "m", "2/m" have axis b, see "112"), a space group's name, or (an int)
        its number. None: only equal indices belong together, as in cbclib's `merge_hkl(None)`; for Friedel pairs alone
        give "1".
    friedel : bool
        Merge hkl with -h-k-l. Without it centric reflections are still one family. Not used with None.

    Returns
    -------
    Families

    Raises
    ------
    SettingError
        When the symmetry is unknown or has two meanings, or an index has more than 20 bits.
    ShapeError
        When `hkl` is not [n, 3].

    Notes
    -----
    The asymmetric unit and the order of operators are gemmi's (`gemmi.ReciprocalAsu`).
    """
    group = symmetry_group(symmetry)
    once, first = reciprocal.distinct(_whole(hkl))
    if group is None:
        none = np.zeros(len(once), bool)
        sign, size = np.ones(len(first), np.int8), np.ones(len(once), np.int32)
        return Families(once, first, sign, size, none, none.copy(), None, False)
    unit, isym = reciprocal.reduce(once, group, repeated=False)
    minus = (isym % 2 == 0) & ~reciprocal.centric(unit, group)
    unique, second = reciprocal.distinct(unit if friedel else np.where(minus[:, None], -unit, unit))
    sign = np.where(minus, -1, 1).astype(np.int8)
    centric = reciprocal.centric(unique, group, repeated=False)
    orbit = len(group.operations().sym_ops) // reciprocal.epsilon(unique, group, repeated=False)
    return Families(
        hkl=unique,
        number=second[first],
        sign=sign[first],
        size=np.where(friedel & ~centric, 2 * orbit, orbit).astype(np.int32),
        centric=centric,
        absent=reciprocal.absent(unique, group, repeated=False),
        group=group,
        friedel=bool(friedel),
    )


def symmetry_group(symmetry: gemmi.SpaceGroup | str | int | None) -> gemmi.SpaceGroup | None:
    """The space group that a name means: for a point group, the primitive one without screw axes or glide planes.

    Raises
    ------
    SettingError
        When there is none of that name or number, or a name has two meanings.
    """
    if symmetry is None or isinstance(symmetry, gemmi.SpaceGroup):
        return symmetry
    if isinstance(symmetry, bool) or not isinstance(symmetry, str | int | np.integer):
        raise SettingError(f"symmetry is {symmetry!r}, expected {_EXAMPLES}")
    if not isinstance(symmetry, str):
        return _group_named(int(symmetry), symmetry)
    name = "".join(symmetry.split())
    if name in _AMBIGUOUS:
        one, other = _AMBIGUOUS[name]
        raise SettingError(
            f"symmetry {symmetry!r} has two settings that merge different reflections: give {one!r} or {other!r}"
        )
    if name in _POINT_GROUPS:
        return _group_named(_POINT_GROUPS[name], symmetry)
    if not name or name.isdigit():  # gemmi would take the digits for the number of a space group
        raise SettingError(f"unknown symmetry {symmetry!r}: there is no such point group; expected {_EXAMPLES}")
    return _group_named(symmetry, symmetry)


def _group_named(name: str | int, symmetry: Any) -> gemmi.SpaceGroup:
    try:
        if name != 0:  # which gemmi takes for P 1
            return reciprocal.as_space_group(name)
    except SettingError:
        pass
    raise SettingError(f"unknown symmetry {symmetry!r}: expected {_EXAMPLES}")


def _whole(hkl: NDArray[Any]) -> NDArray[Any]:
    """The indices, where they are whole numbers."""
    array = np.asarray(hkl)
    if array.dtype.kind in "iu" or not array.size:
        return array
    if array.dtype.kind != "f" or not np.array_equal(array, np.rint(array)):
        raise SettingError(f"hkl ({array.dtype}) are not whole numbers: expected integers, no row unindexed")
    return array.astype(np.int64)
