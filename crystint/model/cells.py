"""Whether a unit cell has the shape that its space group requires, and that cell without its small errors."""

from __future__ import annotations

import contextlib
from functools import lru_cache

import gemmi
import numpy as np
from numpy.typing import NDArray

from crystint.errors import SettingError
from crystint.model.symmetry import as_space_group

__all__ = [
    "ANGLES",
    "LENGTHS",
    "cells_of",
    "common_cell",
    "needed_cell",
    "symmetric_cell",
]

LENGTHS, ANGLES = 0.01, 1.0
"""by which a cell may miss the shape of its space group: relative, and degrees (cctbx has the same limits)"""
_ROUNDING = 1e-9
_AXES = ("a", "b", "c")
_BETWEEN = ("alpha", "beta", "gamma")


def symmetric_cell(
    cell: tuple[float, ...] | gemmi.UnitCell,
    space_group: gemmi.SpaceGroup | str | int,
    *,
    lengths: float = LENGTHS,
    angles: float = ANGLES,
    what: str = "the cell",
) -> gemmi.UnitCell:
    """The cell that the space group makes of one that misses its shape by little: the mean over its rotations.

    Parameters
    ----------
    cell
        angstrom and degrees.
    space_group
        In the setting that the cell is in.
    lengths, angles
        How far the cell may be from that mean: relative, and degrees.
    what
        Whose cell it is, for the message.

    Returns
    -------
    gemmi.UnitCell
        Exactly of the shape that `needed_cell` tells; what misses it by rounding alone is given back as it is.

    Raises
    ------
    SettingError
        When the space group is unknown, the cell has no volume, or misses the shape by more.

    Source: metric tensors are averaged, as cctbx's `space_group.average_unit_cell` does.
    """
    group = as_space_group(space_group)
    unit = cell if isinstance(cell, gemmi.UnitCell) else gemmi.UnitCell(*cell)
    if not (np.isfinite(unit.parameters).all() and np.isfinite(unit.volume) and unit.volume > 0.0):
        raise SettingError(f"unit cell {unit.parameters} has no volume")
    parameters = np.array(unit.parameters)
    averaged = _parameters(_averaged(_metric(parameters), group.xhm()))
    off = np.abs(parameters[:3] / averaged[:3] - 1.0).max(), np.abs(parameters[3:] - averaged[3:]).max()
    if off[0] > lengths or off[1] > angles:
        numbers = " ".join(f"{value:.2f}" for value in parameters)
        raise SettingError(
            f"{what} is {numbers}, but space group {group.xhm()} needs {needed_cell(group)}, within {lengths:.0%} and "
            f"{angles:g} degrees: a wrong space group, or another setting?"
        )
    if off[0] < _ROUNDING and off[1] < _ROUNDING:
        return unit
    return gemmi.UnitCell(*averaged)


def needed_cell(space_group: gemmi.SpaceGroup | str | int) -> str:
    """The shape of the cells of a space group, such as "a = b, alpha = beta = 90, gamma = 120"."""
    # what the rotations make of a cell that is none of them
    cell = _parameters(
        _averaged(_metric(np.array([10.0, 11.3, 12.9, 83.0, 97.0, 101.0])), as_space_group(space_group).xhm())
    )
    conditions = []
    same = [np.isclose(cell[i], cell[j], rtol=1e-6) for i, j in ((0, 1), (1, 2), (0, 2))]
    if all(same):
        conditions.append("a = b = c")
    else:
        conditions += [
            f"{_AXES[i]} = {_AXES[j]}" for (i, j), equal in zip(((0, 1), (1, 2), (0, 2)), same, strict=True) if equal
        ]
    for value in (90.0, 120.0):
        names = [name for name, angle in zip(_BETWEEN, cell[3:], strict=True) if abs(angle - value) < 1e-6]
        if names:
            conditions.append(" = ".join([*names, f"{value:g}"]))
    if np.ptp(cell[3:]) < 1e-6 and not any("alpha" in part for part in conditions):
        conditions.append(" = ".join(_BETWEEN))
    return ", ".join(conditions) or "no particular cell"


def _metric(cell: NDArray[np.float64]) -> NDArray[np.float64]:
    """float64 [3, 3]: a . a, a . b..."""
    cosines = np.cos(np.radians(cell[3:]))
    shape = np.array([[1.0, cosines[2], cosines[1]], [cosines[2], 1.0, cosines[0]], [cosines[1], cosines[0], 1.0]])
    return np.asarray(shape * np.outer(cell[:3], cell[:3]))


def _parameters(metric: NDArray[np.float64]) -> NDArray[np.float64]:
    """float64 [6]: angstrom and degrees; angles that are right but for rounding are right."""
    length = np.sqrt(np.diag(metric))
    cosines = (metric / np.outer(length, length))[[1, 0, 0], [2, 2, 1]]
    cosines = np.where(np.abs(cosines - np.round(2.0 * cosines) / 2.0) < 1e-12, np.round(2.0 * cosines) / 2.0, cosines)
    return np.concatenate([length, np.degrees(np.arccos(cosines))])


@lru_cache(maxsize=64)
def _rotations(hm: str) -> NDArray[np.float64]:
    """float64 [m, 3, 3]: as they act on coordinates."""
    return np.array([op.rot for op in gemmi.SpaceGroup(hm).operations().sym_ops], dtype=np.float64) / gemmi.Op.DEN


def _averaged(metric: NDArray[np.float64], hm: str) -> NDArray[np.float64]:
    rotations = _rotations(hm)
    return np.asarray(np.einsum("nji,jk,nkl->il", rotations, metric, rotations) / len(rotations))


Cell = tuple[float, float, float, float, float, float]


def cells_of(setting: NDArray[np.float64]) -> NDArray[np.float64]:
    """a, b, c (angstrom), alpha, beta, gamma (degrees) of settings [n, 3, 3] with columns a*, b*, c*; [n, 6]."""
    real = np.linalg.inv(setting)
    return _cells(real @ real.transpose(0, 2, 1))


def _cells(metric: NDArray[np.float64]) -> NDArray[np.float64]:
    lengths = np.sqrt(np.einsum("nii->ni", metric))
    cosine = metric[:, [1, 0, 0], [2, 2, 1]] / (lengths[:, [1, 0, 0]] * lengths[:, [2, 2, 1]])
    return np.concatenate([lengths, np.degrees(np.arccos(np.clip(cosine, -1.0, 1.0)))], axis=1)


def common_cell(setting: NDArray[np.float64], space_group: gemmi.SpaceGroup) -> Cell:
    """Median of the cells, of the shape that the space group needs where it misses that by little.

    One that contradicts the space group stays as it is, for who uses both to see (`crystint.model.cells`). Settings
    that are singular or not finite do not count; without any other the cell is 1, 1, 1, 90, 90, 90.
    """
    finite = setting[np.isfinite(setting).all(axis=(1, 2))]
    regular = finite[np.abs(np.linalg.det(finite)) > 1e-6 * np.linalg.norm(finite, axis=1).prod(axis=1)]
    if not len(regular):
        return (1.0, 1.0, 1.0, 90.0, 90.0, 90.0)
    cell = np.median(cells_of(regular), axis=0)
    with contextlib.suppress(SettingError):
        cell = np.array(symmetric_cell(tuple(cell.tolist()), space_group).parameters)
    a, b, c, alpha, beta, gamma = np.round(cell, 9).tolist()
    return (a, b, c, alpha, beta, gamma)
