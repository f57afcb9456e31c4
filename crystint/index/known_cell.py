"""A unit cell that is known beforehand: its reduced basis, which is searched, and how it may be strained."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import gemmi
import numpy as np
from numpy.typing import NDArray

from crystint.model.cells import symmetric_cell
from crystint.model.symmetry import as_space_group

__all__ = ["KnownCell"]


@dataclass(frozen=True)
class KnownCell:
    """A cell and its symmetry.

    Examples
    --------
    >>> from crystint.index.known_cell import KnownCell
    >>> cell = KnownCell.of((79.1, 79.1, 38.3, 90, 90, 90), "P 43 21 2")
    >>> len(cell.strains)  # a = b, and c
    2
    """

    cell: tuple[float, float, float, float, float, float]
    """angstrom, degrees: of the shape that the space group needs"""
    space_group: gemmi.SpaceGroup
    """whose lattice system the cell keeps"""

    @classmethod
    def of(
        cls, cell: tuple[float, ...] | gemmi.UnitCell, space_group: gemmi.SpaceGroup | str | int = "P 1"
    ) -> KnownCell:
        """Check a cell.

        Raises
        ------
        SettingError
            When the space group is unknown, or does not fit the cell.
        """
        group = as_space_group(space_group)
        a, b, c, alpha, beta, gamma = symmetric_cell(cell, group).parameters
        return cls((a, b, c, alpha, beta, gamma), group)

    @cached_property
    def basis(self) -> NDArray[np.float64]:
        """float64 [3, 3]: rows a, b, c, angstrom, as gemmi (and the PDB) place them."""
        return np.array(gemmi.UnitCell(*self.cell).orth.mat.tolist()).T

    @cached_property
    def to_reduced(self) -> NDArray[np.float64]:
        """float64 [3, 3]: times `basis` it is the reduced one, of a primitive cell, right-handed."""
        vector = gemmi.GruberVector(gemmi.UnitCell(*self.cell), self.space_group.centring_type(), True)
        vector.niggli_reduce()
        change = np.array(vector.change_of_basis.rot, np.float64).T / gemmi.Op.DEN
        return change if np.linalg.det(change) > 0.0 else -change

    @property
    def reduced(self) -> NDArray[np.float64]:
        """float64 [3, 3]: rows of the reduced basis, angstrom."""
        return self.to_reduced @ self.basis

    @property
    def volume(self) -> float:
        """Of the primitive cell, cubic angstrom."""
        return float(abs(np.linalg.det(self.reduced)))

    def settings(self, reduced: NDArray[np.float64]) -> NDArray[np.float64]:
        """Settings, columns a*, b*, c* of this cell, of reduced bases [..., 3, 3] with rows a, b, c: right-handed."""
        basis = np.linalg.inv(self.to_reduced) @ reduced
        setting = np.linalg.inv(basis)
        return np.where(np.linalg.det(setting)[..., None, None] > 0.0, setting, -setting)

    @cached_property
    def strains(self) -> NDArray[np.float64]:
        """float64 [k, 3, 3]: the strains that keep the lattice system, symmetric, in the axes of `basis`.

        They are what the mean over the rotations of the point group leaves of any strain.
        """
        operations = [op.rot for op in self.space_group.operations().sym_ops]
        fractional = np.array(operations, np.float64) / gemmi.Op.DEN
        turn = self.basis.T @ fractional @ np.linalg.inv(self.basis.T)
        pairs = [(i, j) for i in range(3) for j in range(i, 3)]
        tensors = np.zeros((6, 3, 3))
        for number, (i, j) in enumerate(pairs):
            tensors[number, i, j] = tensors[number, j, i] = 1.0 if i == j else np.sqrt(0.5)
        averaged = np.einsum("nij,kjl,nml->kim", turn, tensors, turn) / len(turn)
        _, size, rows = np.linalg.svd(averaged.reshape(6, 9))
        return rows[: int((size > 0.5).sum())].reshape(-1, 3, 3)
