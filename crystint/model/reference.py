"""Intensities known from elsewhere, to scale against and to compare with."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, Self

import gemmi
import numpy as np
from numpy.typing import NDArray

from crystint.errors import GeometryError, ShapeError
from crystint.html import html_table
from crystint.model.facts import cell_text, counted, resolution_text
from crystint.model.indices import checked
from crystint.model.symmetry import groups, spacing

__all__ = ["Reference"]


@dataclass(frozen=True, eq=False)
class Reference:
    """Unique reflections, one row each, Friedel mates merged.

    Raises
    ------
    ShapeError
        When the columns do not belong together.
    GeometryError
        When the cell is none.

    Examples
    --------
    >>> import gemmi
    >>> import numpy as np
    >>> from crystint import stills
    >>> hkl, group = np.array([[1, 0, 2], [2, 1, 0]], np.int32), gemmi.SpaceGroup("P 21 21 21")
    >>> reference = stills.Reference(
    ...     hkl, np.array([5.0, 7.0]), np.array([1.0, 1.0]), cell=(60, 70, 80, 90, 90, 90), space_group=group
    ... )
    >>> reference.match(np.array([[-1, 0, 2], [3, 3, 3]]), group)  # NaN = not there
    array([ 5., nan])
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
    """by which reflections are unique"""
    label: str = ""
    """what they are in their file: the label of a column of an MTZ, say; "" = not known"""

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

    def __repr__(self) -> str:
        crystal = f"{self.space_group.xhm()}, cell {cell_text(self.cell)}"
        return f"<Reference: {counted(len(self), 'reflection')}, {crystal}>"

    def _repr_html_(self) -> str:
        facts = {
            "reflections": len(self),
            "with an intensity": int(np.count_nonzero(np.isfinite(self.intensity))),
            "resolution": resolution_text(self.d) or None,
            "cell (angstrom, degrees)": cell_text(self.cell),
            "space group": self.space_group.xhm(),
            "column": self.label or None,
        }
        return html_table("Reference", facts)

    def __len__(self) -> int:
        return len(self.hkl)

    @cached_property
    def d(self) -> NDArray[np.float64]:
        """float64 [m]: spacings, angstrom."""
        return spacing(self.hkl, self.cell)

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
        group = _more_symmetric(self.space_group, space_group)
        good = np.isfinite(self.intensity)
        rows = np.concatenate([self.hkl[good], checked(hkl)])
        _, number = groups(rows, group)
        own, wanted = np.split(number, [np.count_nonzero(good)])
        size = int(number.max(initial=-1)) + 1
        with np.errstate(invalid="ignore"):
            mean = np.bincount(own, self.intensity[good], size) / np.bincount(own, minlength=size)
        return np.asarray(mean[wanted])

    @classmethod
    def averaged(
        cls,
        hkl: NDArray[Any],
        intensity: NDArray[Any],
        sigma: NDArray[Any],
        cell: tuple[float, float, float, float, float, float],
        space_group: gemmi.SpaceGroup,
        label: str = "",
    ) -> Self:
        """A reference of rows that need not be unique: finite equivalents are averaged, Friedel mates among them.

        The mean is not weighted, and its sigma is that of such a mean.
        """
        values, errors = np.asarray(intensity, dtype=np.float64), np.asarray(sigma, dtype=np.float64)
        good = np.isfinite(values)
        unique, number = groups(np.asarray(hkl)[good], space_group)
        count = np.bincount(number, minlength=len(unique))
        total = np.bincount(number, values[good], len(unique))
        variance = np.bincount(number, errors[good] ** 2, len(unique))
        return cls(unique, total / count, np.sqrt(variance) / count, cell, space_group, label)


def _more_symmetric(one: gemmi.SpaceGroup, other: gemmi.SpaceGroup | None) -> gemmi.SpaceGroup:
    """The one of two space groups that has more rotations."""
    return one if other is None or len(one.operations().sym_ops) >= len(other.operations().sym_ops) else other
