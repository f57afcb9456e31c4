"""Spots of stills whose lattice is known: nodes near the Ewald sphere, errors of places, and strays."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

Array = NDArray[Any]
WAVELENGTH, DISTANCE, HALF, PIXEL = 1.0, 0.2, 0.16, 75e-6
"""angstrom; m"""
BEAM = np.array([0.0, 0.0, 1.0 / WAVELENGTH])
CELLS = {
    "cubic": ((60, 60, 60, 90, 90, 90), "P 2 3"),
    "lysozyme": ((79.1, 79.1, 38.3, 90, 90, 90), "P 43 21 2"),
    "tetragonal": ((58, 58, 150.5, 90, 90, 90), "P 41 21 2"),
    "monoclinic": ((63, 94, 81, 90, 102, 90), "P 1 21 1"),
    "triclinic": ((46, 71, 98, 77, 83, 68), "P 1"),
}


def basis_of(cell: Sequence[float]) -> Array:
    """Rows a, b, c of a cell, from its six constants alone."""
    a, b, c = cell[:3]
    ca, cb, cg = np.cos(np.radians(cell[3:]))
    sg = np.sqrt(1.0 - cg * cg)
    x = (ca - cb * cg) / sg
    return np.array([[a, 0, 0], [b * cg, b * sg, 0], [c * cb, c * x, c * np.sqrt(1.0 - cb * cb - x * x)]])


@dataclass
class Still:
    """What is seen, and what is so."""

    place: Array
    """m, x and y across the beam"""
    basis: Array
    """rows a, b, c in the laboratory"""

    @property
    def q(self) -> Array:
        """1/angstrom, as an indexer has it that knows the distance."""
        return q_of(self.place)


def q_of(place: Array, distance: float = DISTANCE) -> Array:
    """Scattering vectors of places, m."""
    ray = np.column_stack([place, np.full(len(place), distance)])
    ray /= np.linalg.norm(ray, axis=1)[:, None]
    return (ray - [0, 0, 1]) / WAVELENGTH


def nodes_near(basis: Array, q_max: float, width: float) -> tuple[Array, Array]:
    """Reciprocal lattice points whose distance from the sphere is a few widths at most, and that distance."""
    setting = np.linalg.inv(basis)
    most = np.ceil(np.linalg.norm(basis, axis=1) * q_max).astype(int)
    hk = np.stack(np.meshgrid(*[np.arange(-m, m + 1) for m in most[:2]], indexing="ij"), -1).reshape(-1, 2)
    start, c = hk @ setting.T[:2] + BEAM, setting[:, 2]
    half, rest = start @ c, (start * start).sum(1) - WAVELENGTH**-2
    root = half * half - c @ c * rest
    near = root > -0.05 * (c @ c)
    roots = [np.rint((-half[near] + s * np.sqrt(np.maximum(root[near], 0))) / (c @ c)) for s in (1, -1)]
    hkl = np.concatenate([np.column_stack([hk[near], one + step]) for one in roots for step in range(-3, 4)])
    key = np.unique((hkl.astype(int) + 1024) @ [1 << 22, 1 << 11, 1])
    hkl = np.stack([key >> 22, key >> 11 & 2047, key & 2047], axis=1) - 1024
    hkl = hkl[hkl.any(axis=1)]
    p = hkl @ setting.T
    away = np.linalg.norm(p + BEAM, axis=1) - 1 / WAVELENGTH
    chosen = (np.abs(away) < 2.5 * width) & (np.linalg.norm(p, axis=1) < q_max)
    return p[chosen], away[chosen]


def still(
    rng: np.random.Generator,
    cell: Sequence[float],
    spots: int,
    strays: float,
    *,
    error: float = 0.2,
    width: float = 4e-4,
) -> Still:
    """A random orientation: its strongest spots, and a share of strays at radii of spots and any azimuth."""
    basis = basis_of(cell) @ Rotation.random(random_state=rng).as_matrix().T
    p, away = nodes_near(basis, 2 * np.sin(0.5 * np.arctan(HALF / DISTANCE)) / WAVELENGTH, width)
    strength = np.exp(-0.5 * (away / width) ** 2 - 7.5 * (p * p).sum(1)) * rng.exponential(size=len(p))
    p = p[np.argsort(-strength)[:spots]]
    ray = p + BEAM
    place = ray[:, :2] / ray[:, 2:] * DISTANCE + rng.normal(0, error * PIXEL, (len(p), 2))
    number = round(len(p) * strays / (1 - strays))
    radius = np.linalg.norm(place[rng.integers(0, len(p), number)], axis=1) * rng.normal(1, 0.1, number)
    angle = rng.uniform(0, 2 * np.pi, number)
    place = np.concatenate([place, np.column_stack([radius * np.cos(angle), radius * np.sin(angle)])])
    return Still(place[rng.permutation(len(place))], basis)


def misorientation(basis: Array, truth: Array) -> float:
    """Degrees between two lattices, however their axes are named; 180 where they are different ones."""
    change = np.rint(basis @ np.linalg.inv(truth))
    if abs(abs(np.linalg.det(change)) - 1) > 0.01:
        return 180.0
    turn = np.linalg.solve(change @ truth, basis)
    if np.abs(turn.T @ turn - np.eye(3)).max() > 0.1:
        return 180.0
    u, _, v = np.linalg.svd(turn)
    rotation = u @ v * np.sign(np.linalg.det(u @ v))
    return float(np.degrees(np.arccos(np.clip((np.trace(rotation) - 1) / 2, -1, 1))))
