"""Intensities known from elsewhere, to scale against and to compare with."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, Self

import gemmi
import numpy as np
from numpy.typing import NDArray

from crystint.errors import GeometryError, ShapeError

__all__ = ["Reference"]

_HALF = 1 << 20


@dataclass(frozen=True, eq=False)
class Reference:
    """Unique reflections, one row each, Friedel mates merged.

    Raises
    ------
    ShapeError
        When the columns do not belong together.
    GeometryError
        When the cell is none.
    """

    hkl: NDArray[np.int32]
    """int32 [m, 3]: one of each set of equivalents (of the asymmetric unit, as files have it)"""
    intensity: NDArray[np.float64]
    """float64 [m], on any scale; NaN = not known"""
    sigma: NDArray[np.float64]
    """float64 [m]; NaN = not known"""
    cell: tuple[float, float, float, float, float, float]
    """angstrom and degrees"""
    space_group: gemmi.SpaceGroup

    def __post_init__(self) -> None:
        hkl = np.asarray(self.hkl, dtype=np.int32)
        if hkl.ndim != 2 or hkl.shape[1] != 3:
            raise ShapeError(f"hkl is {hkl.shape}, expected (m, 3)")
        object.__setattr__(self, "hkl", hkl)
        for name in ("intensity", "sigma"):
            values = np.asarray(getattr(self, name), dtype=np.float64)
            if values.shape != (len(hkl),):
                raise ShapeError(f"{name} is {values.shape}, expected {(len(hkl),)}")
            object.__setattr__(self, name, values)
        if len(self.cell) != 6 or not (np.isfinite(self.cell).all() and gemmi.UnitCell(*self.cell).volume > 0.0):
            raise GeometryError(f"the cell of the reference is {self.cell}, expected three lengths and three angles")

    def __len__(self) -> int:
        return len(self.hkl)

    @cached_property
    def d(self) -> NDArray[np.float64]:
        """float64 [m]: spacings, angstrom."""
        s = self.hkl.astype(np.float64) @ np.array(gemmi.UnitCell(*self.cell).frac.mat.tolist())
        with np.errstate(divide="ignore"):
            return np.asarray(1.0 / np.linalg.norm(s, axis=1))

    def match(self, hkl: NDArray[Any], space_group: gemmi.SpaceGroup | None = None) -> NDArray[np.float64]:
        """The intensity of each reflection, float64 [n]; NaN where it is not known.

        Parameters
        ----------
        hkl : int [n, 3]
            In any equivalent form, Friedel mates included.
        space_group : gemmi.SpaceGroup, optional
            Of these reflections. Equivalent is what the more symmetric of it and the reference's own says; rows of
            the reference that it makes equivalent are averaged.
        """
        hkl = np.asarray(hkl, dtype=np.int64)
        if hkl.ndim != 2 or hkl.shape[1] != 3:
            raise ShapeError(f"hkl is {hkl.shape}, expected (n, 3)")
        turns = max((_rotations(group) for group in (self.space_group, space_group) if group is not None), key=len)
        known, total, count = self._table(turns)
        plain, row = np.unique(_key(hkl), return_inverse=True)
        wanted = _representative(_indices(plain), turns)
        place = np.searchsorted(known, wanted)
        found = np.full(len(plain), np.nan)
        here = place < len(known)
        here[here] = known[place[here]] == wanted[here]
        found[here] = total[place[here]] / count[place[here]]
        return np.asarray(found[row.reshape(-1)])

    def _table(self, turns: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.float64]]:
        """Sorted representatives, the sums of their intensities, and of how many."""
        good = np.isfinite(self.intensity)
        key = _representative(self.hkl[good].astype(np.int64), turns)
        known, row = np.unique(key, return_inverse=True)
        total = np.bincount(row.reshape(-1), weights=self.intensity[good], minlength=len(known))
        count = np.bincount(row.reshape(-1), minlength=len(known))
        return known, total.astype(np.float64), count.astype(np.float64)

    @classmethod
    def averaged(
        cls,
        hkl: NDArray[Any],
        intensity: NDArray[Any],
        sigma: NDArray[Any],
        cell: tuple[float, float, float, float, float, float],
        space_group: gemmi.SpaceGroup,
    ) -> Self:
        """A reference of rows that need not be unique: finite equivalents are averaged, Friedel mates among them.

        The mean is not weighted, and its sigma is that of such a mean.
        """
        good = np.isfinite(np.asarray(intensity, dtype=np.float64))
        hkl = np.asarray(hkl, dtype=np.int64)[good]
        key = _representative(hkl, _rotations(space_group))
        _, first, row = np.unique(key, return_index=True, return_inverse=True)
        row, count = row.reshape(-1), np.bincount(row.reshape(-1), minlength=len(first))
        total = np.bincount(row, weights=np.asarray(intensity, dtype=np.float64)[good], minlength=len(first))
        variance = np.bincount(row, weights=np.asarray(sigma, dtype=np.float64)[good] ** 2, minlength=len(first))
        return cls(hkl[first].astype(np.int32), total / count, np.sqrt(variance) / count, cell, space_group)


def _rotations(group: gemmi.SpaceGroup) -> NDArray[np.int64]:
    """int64 [p, 3, 3]: the different rotations of the space group."""
    found = [np.array(op.rot) // gemmi.Op.DEN for op in group.operations().sym_ops]
    return np.unique(np.array(found, dtype=np.int64), axis=0)


def _key(hkl: NDArray[np.int64]) -> NDArray[np.int64]:
    shifted = hkl + _HALF
    return np.asarray((shifted[:, 0] << 42) | (shifted[:, 1] << 21) | shifted[:, 2])


def _indices(key: NDArray[np.int64]) -> NDArray[np.int64]:
    low = 2 * _HALF - 1
    return np.stack([key >> 42, key >> 21 & low, key & low], axis=1) - _HALF


def _representative(hkl: NDArray[np.int64], turns: NDArray[np.int64]) -> NDArray[np.int64]:
    """The highest key among the equivalents of each reflection and of its mate."""
    best = np.zeros(len(hkl), dtype=np.int64)
    for turn in turns:
        turned = np.stack([hkl @ column for column in turn.T], axis=1)
        best = np.maximum(best, np.maximum(_key(turned), _key(-turned)))
    return best
