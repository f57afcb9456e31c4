"""Free flags of another file: which column, and which of its numbers is the test set."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gemmi
import numpy as np
from numpy.typing import NDArray

from crystint.errors import FileError
from crystint.io.kinds import opened_kind
from crystint.io.opened_file import OpenedFile
from crystint.io.reflections.mtz_in import open_mtz
from crystint.model.free_set import free_numbers
from crystint.model.symmetry import groups

__all__ = ["FreeFlags", "read_free_flags"]

_LABELS = ("freer_flag", "free", "rfree", "freer", "rfreeflag", "r-free-flags", "r_free_flags", "freerflag", "test")
_CIF = ("pdbx_r_free_flag", "status")


@dataclass(frozen=True, eq=False)
class FreeFlags:
    """Free flags of reflections, in the convention of their file."""

    path: Path
    label: str
    """of the column"""
    hkl: NDArray[np.int32]
    """int32 [m, 3]"""
    flag: NDArray[np.int64]
    """int64 [m]"""
    test: int
    """the number of the test set"""
    cell: gemmi.UnitCell
    space_group: gemmi.SpaceGroup

    @property
    def crystal(self) -> tuple[tuple[float, ...], gemmi.SpaceGroup]:
        """Cell, angstrom and degrees, and space group."""
        return tuple(self.cell.parameters), self.space_group

    @property
    def share(self) -> float:
        """Of the reflections that are in the test set."""
        return float(np.mean(self.flag == self.test))

    @property
    def convention(self) -> str:
        """In words."""
        numbers = np.unique(self.flag)
        kind = f"CCP4's, 0 to {numbers[-1]}" if len(numbers) > 2 else f"{numbers[0]} and {numbers[-1]}"
        return f"{self.label} ({kind}; {self.test} is the test set, {100.0 * self.share:.1f} %)"

    def of(self, hkl: NDArray[Any], space_group: gemmi.SpaceGroup) -> tuple[NDArray[np.int64], int]:
        """int64 [n]: flags of these reflections, in any equivalent form, and how many of them the file has.

        Where it has several for one reflection, by lower symmetry, that of the test set counts. Those that it does not
        have get theirs by `free_numbers`, in the same convention and with the same share.
        """
        of_both = self.space_group, space_group
        group = max(of_both, key=lambda each: len(each.operations().sym_ops))
        _, number = groups(np.concatenate([self.hkl, hkl]), group)
        own, wanted = number[: len(self.hkl)], number[len(self.hkl) :]
        size = int(number.max(initial=-1)) + 1
        order = np.argsort(self.flag == self.test, kind="stable")  # the last one that is assigned stays
        flag, there = np.zeros(size, np.int64), np.zeros(size, bool)
        flag[own[order]], there[own] = self.flag[order], True
        return np.where(there[wanted], flag[wanted], self._drawn(hkl, space_group)), int(there[wanted].sum())

    def _drawn(self, hkl: NDArray[Any], space_group: gemmi.SpaceGroup) -> NDArray[np.int64]:
        numbers = np.unique(self.flag)
        if len(numbers) > 2:
            return free_numbers(hkl, space_group, int(numbers[-1]) + 1).astype(np.int64)
        other = int(numbers[numbers != self.test][0])
        drawn = free_numbers(hkl, space_group, max(2, round(1.0 / self.share)))
        return np.where(drawn == 0, self.test, other).astype(np.int64)


def read_free_flags(path: str | Path) -> FreeFlags:
    """The free flags of a merged MTZ or an mmCIF file of structure factors.

    In an MTZ they are the column of whole numbers called FreeR_flag, R-free-flags, FREE or the like; in mmCIF
    pdbx_r_free_flag, else status (f = free). Of more than two numbers 0 is the test set, as in CCP4; of two the rarer
    one, as in Phenix (1) or SHELX (-1).

    Raises
    ------
    FileError
        When it is missing, damaged, of another kind, or has no flags, or all of them are one number.
    """
    path = Path(path)
    with OpenedFile(path) as file:
        recognised = opened_kind(file)
    kind = "" if recognised is None else recognised.name
    if kind == "MTZ file":
        label, hkl, values, cell, group = _of_mtz(path)
    elif kind == "structure factors":
        label, hkl, values, cell, group = _of_cif(path)
    else:
        raise FileError(f"{path} has no free flags; expected a merged .mtz or an mmCIF file of structure factors")
    good = np.isfinite(values)
    flag = np.rint(values[good]).astype(np.int64)
    numbers, count = np.unique(flag, return_counts=True)
    if len(numbers) < 2:
        raise FileError(
            f"{path}: {label} is {numbers[0] if len(numbers) else 'empty'} for all reflections: no test set"
        )
    test = 0 if len(numbers) > 2 else int(numbers[np.argmin(count)])
    if test not in numbers:
        raise FileError(
            f"{path}: {label} has the numbers {numbers[0]} to {numbers[-1]}, and no 0, the test set of CCP4"
        )
    return FreeFlags(path, label, hkl[good].astype(np.int32), flag, test, cell, group)


_Columns = tuple[str, NDArray[Any], NDArray[np.float64], gemmi.UnitCell, gemmi.SpaceGroup]


def _of_mtz(path: Path) -> _Columns:
    mtz = open_mtz(path)
    named = {column.label.lower(): column for column in mtz.columns if column.type in "IRY"}
    column = next((named[label] for label in _LABELS if label in named), None)
    column = column or next((each for label, each in named.items() if "free" in label), None)
    if column is None:
        raise FileError(f"{path} has no free flags (FreeR_flag, R-free-flags); it has {', '.join(mtz.column_labels())}")
    values = np.array(column, dtype=np.float64)
    return column.label, mtz.make_miller_array(), values, mtz.cell, mtz.spacegroup


def _of_cif(path: Path) -> _Columns:
    try:
        blocks = gemmi.as_refln_blocks(gemmi.cif.read(str(path)))
    except (RuntimeError, ValueError, OSError, UnicodeDecodeError) as error:
        raise FileError(f"{path} is damaged or not an mmCIF file: {error}") from error
    for block in blocks:
        label = next((label for label in _CIF if label in block.column_labels()), None)
        if label is None or block.spacegroup is None or not block.cell.is_crystal():
            continue
        hkl = np.asarray(block.make_miller_array())
        if label == "status":
            text = [row[0] for row in block.block.find("_refln.", [label])]
            values = np.array([{"f": 0.0, "o": 1.0}.get(word, np.nan) for word in text])
            return "FreeR_flag", hkl, values, block.cell, block.spacegroup
        values = np.array(block.make_float_array(label), dtype=np.float64)
        return "FreeR_flag", hkl, values, block.cell, block.spacegroup
    raise FileError(f"{path} has no free flags ({' or '.join(_CIF)}), cell and space group")
