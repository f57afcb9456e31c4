"""Turns about an axis."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["turns"]


def turns(axis: NDArray[np.float64], angle: NDArray[np.float64] | np.float64) -> NDArray[np.float64]:
    """Right-handed rotations about `axis`, of any length, by angles [...], rad; float64 [..., 3, 3] (Rodrigues)."""
    x, y, z = axis / np.linalg.norm(axis)
    cross = np.array([[0.0, -z, y], [z, 0.0, -x], [-y, x, 0.0]])
    sine, cosine = np.sin(angle)[..., None, None], np.cos(angle)[..., None, None]
    return np.asarray(np.eye(3) + sine * cross + (1.0 - cosine) * (cross @ cross))
