"""Rotations and translations as 4 x 4 matrices, as imgCIF and NeXus chain them."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from crystint.errors import GeometryError
from crystint.model.turns import turns

__all__ = ["rotation", "translation"]


def rotation(vector: NDArray[np.float64], angle: float, offset: NDArray[np.float64]) -> NDArray[np.float64]:
    """Right-handed turn by `angle` rad about `vector`, then a shift by `offset` (Rodrigues); [4, 4].

    Raises
    ------
    GeometryError
        When the vector is zero.
    """
    matrix = np.eye(4)
    matrix[:3, :3] = turns(unit(vector), np.float64(angle))
    matrix[:3, 3] = offset
    return matrix


def translation(vector: NDArray[np.float64], length: float, offset: NDArray[np.float64]) -> NDArray[np.float64]:
    """Shift by `length` along `vector` and by `offset`; [4, 4]."""
    matrix = np.eye(4)
    matrix[:3, 3] = offset + (length * unit(vector) if length else 0.0)
    return matrix


def unit(vector: NDArray[np.float64]) -> NDArray[np.float64]:
    """The vector at length 1."""
    length = float(np.linalg.norm(vector))
    if not math.isfinite(length) or length == 0.0:
        raise GeometryError(f"the direction of an axis is {vector.tolist()}, expected one that is not 0")
    return np.asarray(vector / length)
