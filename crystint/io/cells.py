"""One cell for the data from the settings of its crystals."""

from __future__ import annotations

import contextlib

import gemmi
import numpy as np
from numpy.typing import NDArray

from crystint.errors import SettingError
from crystint.model.cells import symmetric_cell

__all__ = ["cells_of", "common_cell"]

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
