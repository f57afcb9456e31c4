"""A crystal whose intensities are known: Wilson's laws, any cell and space group, random orientations."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import gemmi
import numpy as np
from numpy.typing import NDArray

from crystint.errors import SettingError
from crystint.html import html_table
from crystint.model.facts import cell_text
from crystint.stills.settings import SimulateSettings

__all__ = ["Crystal", "Lattice", "random_rotations", "small_rotations"]

_DEFAULTS = SimulateSettings()
_DENOMINATOR = gemmi.Op.DEN
_ACENTRIC, _CENTRIC, _ANOMALOUS = 1, 2, 3
"""Streams of random numbers."""


@dataclass(frozen=True, eq=False)
class Lattice:
    """Every reciprocal-lattice point to a resolution, and the intensity it has."""

    hkl: NDArray[np.int32]
    """int32 [n, 3]: not 0 0 0, not systematically absent"""
    d: NDArray[np.float64]
    """float64 [n], angstrom"""
    unique: NDArray[np.int32]
    """int32 [n]: row of `unique_hkl`"""
    intensity: NDArray[np.float64]
    """float64 [n]: the truth, on the scale of G = 1, B = 0"""
    unique_hkl: NDArray[np.int32]
    """int32 [m, 3], in gemmi's asymmetric unit"""
    unique_intensity: NDArray[np.float64]
    """float64 [m]: mean of the Friedel mates"""
    unique_d: NDArray[np.float64]
    """float64 [m], angstrom"""
    centric: NDArray[np.bool_]
    """bool [m]"""


@dataclass(frozen=True)
class Crystal:
    """Cell, symmetry, and the law of the intensities.

    The intensity of a reflection is I0 epsilon w exp(-2 B / (4 d^2)); w is exponential with mean 1 where the
    reflection is acentric, and the square of a standard normal number where it is centric (A. J. C. Wilson (1949),
    Acta Cryst. 2, 318); epsilon is the multiplicity of the reflection in its symmetry.

    Raises
    ------
    SettingError
        For impossible values, and a cell that does not fit the space group.

    Examples
    --------
    >>> from crystint import stills
    >>> crystal = stills.Crystal(cell=(79, 79, 38, 90, 90, 90), space_group="P 43 21 2")
    >>> data = stills.simulate_stills(2, crystal=crystal, d_min=4.0, shape=(300, 320), distance=0.05)
    >>> data.experiment.space_group.hm
    'P 43 21 2'
    """

    cell: tuple[float, float, float, float, float, float] = _DEFAULTS.cell
    """angstrom, degrees"""
    space_group: str = _DEFAULTS.space_group
    """by any name that gemmi knows"""
    intensity: float = _DEFAULTS.intensity
    """I0"""
    b_factor: float = 25.0
    """B, angstrom^2, of the intensities themselves (Wilson's)"""
    dead_below: float = 0.0
    """d, angstrom, below which every intensity is 0: shells without a signal"""
    anomalous: float = 0.0
    """standard deviation of (I+ - I-) / (mean of I+ and I-) of acentric pairs"""
    seed: int = _DEFAULTS.seed
    """of the intensities"""

    def __post_init__(self) -> None:
        group = gemmi.find_spacegroup_by_name(self.space_group)
        if group is None:
            raise SettingError(f"space_group is {self.space_group!r}, which gemmi does not know")
        cell = gemmi.UnitCell(*self.cell)
        if not (np.isfinite(self.cell).all() and cell.volume > 1.0):
            raise SettingError(f"cell is {self.cell}, expected six numbers, angstrom and degrees, that span a volume")
        if not cell.is_compatible_with_spacegroup(group):
            raise SettingError(f"cell {self.cell} does not fit the space group {group.xhm()}")
        if not self.intensity > 0.0:
            raise SettingError(f"intensity is {self.intensity}, expected a number above 0")
        if not 0.0 <= self.anomalous < 0.5:
            raise SettingError(f"anomalous is {self.anomalous}, expected 0 or more, below 0.5")

    def __repr__(self) -> str:
        law = f"I0 {self.intensity:.4g}, B {self.b_factor:.4g} angstrom^2, seed {self.seed}"
        return f"<Crystal: {self.group.xhm()}, cell {cell_text(self.cell)}, {law}>"

    def _repr_html_(self) -> str:
        facts = {
            "cell (angstrom, degrees)": cell_text(self.cell),
            "space group": self.group.xhm(),
            "I0": self.intensity,
            "B (angstrom^2)": self.b_factor,
            "no signal below (angstrom)": self.dead_below or None,
            "anomalous": self.anomalous,
            "seed": self.seed,
        }
        return html_table("Crystal", facts)

    @property
    def group(self) -> gemmi.SpaceGroup:
        """The space group."""
        group = gemmi.find_spacegroup_by_name(self.space_group)
        assert group is not None
        return group

    @property
    def reciprocal(self) -> NDArray[np.float64]:
        """float64 [3, 3]: columns a*, b*, c* of the crystal at rest, 1/angstrom (a along x, c* along z)."""
        return np.array(gemmi.UnitCell(*self.cell).frac.mat.tolist(), dtype=np.float64).T

    def other_indexing(self) -> gemmi.Op | None:
        """An operator of the lattice's symmetry that is not one of the crystal's: the other way to index; or None."""
        laws = gemmi.find_twin_laws(gemmi.UnitCell(*self.cell), self.group, 0.1, False)
        return laws[0] if laws else None

    def lattice(self, d_min: float) -> Lattice:
        """All reflections to `d_min` angstrom, their intensities from the seed; another `d_min` draws others.

        Raises
        ------
        SettingError
            When there is none.
        """
        operations = self.group.operations()
        cell = gemmi.UnitCell(*self.cell)
        if not d_min > 0.0:
            raise SettingError(f"d_min is {d_min}, expected angstrom above 0")
        unique = np.asarray(gemmi.make_miller_array(cell, self.group, d_min, 0.0, True), dtype=np.int32)
        if not len(unique):
            raise SettingError(f"d_min is {d_min} A: the cell {self.cell} has no reflection there")
        unique_d = np.asarray(cell.calculate_d_array(unique), dtype=np.float64)
        centric = np.asarray(operations.centric_flag_array(unique), dtype=bool)
        wilson = np.random.default_rng([self.seed, _ACENTRIC]).exponential(size=len(unique))
        square = np.random.default_rng([self.seed, _CENTRIC]).normal(size=len(unique)) ** 2
        scale = self.intensity * np.asarray(operations.epsilon_factor_without_centering_array(unique), dtype=np.float64)
        mean = scale * np.where(centric, square, wilson) * np.exp(-0.5 * self.b_factor / unique_d**2)
        mean[unique_d < self.dead_below] = 0.0
        half = 0.5 * self.anomalous * np.random.default_rng([self.seed, _ANOMALOUS]).normal(size=len(unique))
        half = np.clip(np.where(centric, 0.0, half), -0.9, 0.9)

        rotations = [np.array(op.rot, dtype=np.int32) // _DENOMINATOR for op in operations.sym_ops]
        images = np.concatenate([unique @ turn * sign for sign in (1, -1) for turn in rotations])
        mates = np.repeat([1.0, -1.0], len(rotations) * len(unique))
        numbers = np.tile(np.arange(len(unique), dtype=np.int32), 2 * len(rotations))
        _, first = np.unique(_keys(images), return_index=True)
        number = numbers[first]
        return Lattice(
            hkl=images[first].astype(np.int32),
            d=unique_d[number],
            unique=number,
            intensity=mean[number] * (1.0 + mates[first] * half[number]),
            unique_hkl=unique,
            unique_intensity=mean,
            unique_d=unique_d,
            centric=centric,
        )


def random_rotations(count: int, seed: Any) -> NDArray[np.float64]:
    """Rotation matrices [count, 3, 3], uniformly distributed: QR of normal numbers, R's diagonal made positive
    (F. Mezzadri (2007), Notices AMS 54, 592), determinant 1."""
    q, r = np.linalg.qr(np.random.default_rng(seed).normal(size=(count, 3, 3)))
    q = q * np.sign(np.diagonal(r, axis1=1, axis2=2))[:, None, :]
    return np.asarray(q * np.linalg.det(q)[:, None, None])


def small_rotations(count: int, angle: float, seed: Any) -> NDArray[np.float64]:
    """Rotation matrices [count, 3, 3] about random vectors whose components are normal with sd `angle`, rad."""
    vector = np.random.default_rng(seed).normal(scale=angle, size=(count, 3)) if angle else np.zeros((count, 3))
    size = np.linalg.norm(vector, axis=1)[:, None, None]
    axis = vector / np.maximum(size[:, 0], 1e-300)
    cross = np.zeros((count, 3, 3))
    cross[:, 0, 1], cross[:, 0, 2], cross[:, 1, 2] = -axis[:, 2], axis[:, 1], -axis[:, 0]
    cross -= np.swapaxes(cross, 1, 2)
    return np.asarray(np.eye(3) + np.sin(size) * cross + (1.0 - np.cos(size)) * (cross @ cross))


def _keys(hkl: NDArray[np.int32]) -> NDArray[np.int64]:
    """One number per index triple, in the order h, k, l."""
    h, k, l = (hkl[:, i].astype(np.int64) + (1 << 20) for i in range(3))  # noqa: E741
    return np.asarray((h << 42) | (k << 21) | l)
