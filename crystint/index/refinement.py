"""Orientation and cell of lattices on stills, by where spots lie on the detector and how far nodes are off the sphere.

A spot is seen at q = u / wavelength - s0. Its node p = R (1 + E) A0 h has an excitation error, along the ray, and is
off across it. Both are fitted, each in units of its own spread, which the residuals tell: turns R, strains E of the
lattice system with a prior, and for all images together a shift of the detector. On one still nothing tells a longer
distance from a larger cell, so the distance is never fitted there; `shared_distance` fits one of all images to a cell
that is held.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from crystint.index.defaults import STRAIN
from crystint.index.known_cell import KnownCell

__all__ = ["RefinedLattices", "SpotRays", "refine"]

ROUNDS = 8
_WIDE, _NARROW = 6.0, 3.0
"""limits of Tukey's weights in the first and the last round, in spreads"""
_OFF_WHOLE = 0.3
"""of an index, beyond which a spot is of no node"""
_FLOOR = 2e-5
"""1/angstrom: no spread is smaller"""
_START = 1e-3


@dataclass(frozen=True, slots=True)
class SpotRays:
    """The spots of lattices, lattice after lattice."""

    ray: NDArray[np.float64]
    """float64 [n, 3]: unit vectors of the laboratory"""
    reach: NDArray[np.float64]
    """float64 [n]: from the sample to where the ray is counted, m"""
    incident: NDArray[np.float64]
    """float64 [n, 3]: s0, 1/angstrom"""
    lattice: NDArray[np.intp]
    """int [n]: of which lattice each is"""
    turned: NDArray[np.float64] | None = None
    """float64 [n, 3, 3]: what turns the crystal from where its setting is told to where the spot was seen; None = it
    stands still"""


@dataclass(frozen=True, slots=True)
class RefinedLattices:
    """Lattices of the shape that the lattice system needs, and how well they are known. Made by `index_spots`."""

    setting: NDArray[np.float64]
    """float64 [lattices, 3, 3]: columns a*, b*, c*, 1/angstrom"""
    covariance: NDArray[np.float64]
    """float64 [lattices, 3 + k, 3 + k]: of turns about x, y, z of the laboratory, rad, and strains"""
    strain: NDArray[np.float64]
    """float64 [lattices, k]"""
    hkl: NDArray[np.int32]
    """int32 [n, 3] of each spot"""
    inlier: NDArray[np.bool_]
    """bool [n]: spots that the fit uses"""
    excitation: NDArray[np.float64]
    """float64 [n]: of the nodes, 1/angstrom, above 0 outside of the sphere"""
    across: NDArray[np.float64]
    """float64 [n]: from node to ray across it, 1/angstrom"""
    spread_along: float
    """standard deviation of the excitation errors, 1/angstrom"""
    spread_across: float
    """the same of each of the two directions across the ray"""
    shift: NDArray[np.float64]
    """float64 [3]: of the detector, m, in the plane across the beam, that all images have in common"""
    distance: float
    """factor of the distance of all images that fits a held cell; NaN where it was not fitted"""
    distance_sigma: float
    """its standard deviation"""


def refine(
    spots: SpotRays,
    setting: NDArray[np.float64],
    cell: KnownCell,
    *,
    strain: float = STRAIN,
    shift_sigma: float = 0.0,
    distance_sigma: float = 0.0,
) -> RefinedLattices:
    """Refine lattices.

    Parameters
    ----------
    spots : SpotRays
    setting : float64 [lattices, 3, 3]
        To begin with.
    cell : KnownCell
    strain : float
        Prior of each strain; 0 holds the cell.
    shift_sigma : float
        Prior of the common shift of the detector, m; 0 = it stays.
    distance_sigma : float
        Prior of the common factor of the distance less 1; 0 = it stays.
    """
    problem = _Problem(spots, cell, strain, np.array([shift_sigma, shift_sigma, distance_sigma]))
    return problem.solve(np.asarray(setting, np.float64))


class _Problem:
    def __init__(self, spots: SpotRays, cell: KnownCell, strain: float, shared: NDArray[np.float64]) -> None:
        self.spots, self.cell, self.shared_sigma = spots, cell, shared
        self.reference = np.linalg.inv(cell.basis)
        self.strains = cell.strains if strain > 0.0 else cell.strains[:0]
        self.strain = strain
        self.lattice = spots.lattice
        self.turned = spots.turned
        self.incident = spots.incident
        self.length = np.linalg.norm(spots.incident, axis=1)

    def _observed(self, shared: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Rays where the detector is shifted by x, y, m, and its distance multiplied: float64 [n, 3], and q."""
        spots = self.spots
        beam = self.incident / self.length[:, None]
        place = spots.ray * spots.reach[:, None]
        along = np.einsum("ni,ni->n", place, beam)
        place = place + along[:, None] * beam * shared[2]
        place[:, :2] += shared[:2]
        ray = place / np.linalg.norm(place, axis=1, keepdims=True)
        return ray, ray * self.length[:, None] - self.incident

    def _slopes_of_shared(self, ray: NDArray[np.float64]) -> NDArray[np.float64]:
        """float64 [n, 3, 3]: change of q by each of the shared parameters."""
        beam = self.incident / self.length[:, None]
        along = np.einsum("ni,ni->n", ray, beam)
        moves = np.zeros((len(ray), 3, 3))
        moves[:, 0, 0] = moves[:, 1, 1] = 1.0 / self.spots.reach
        moves[:, :, 2] = along[:, None] * beam
        moves -= ray[:, :, None] * np.einsum("ni,nik->nk", ray, moves)[:, None, :]
        return np.asarray(moves * self.length[:, None, None])

    def solve(self, setting: NDArray[np.float64]) -> RefinedLattices:
        count, k = len(setting), len(self.strains)
        turn, strain = _polar(setting @ self.cell.basis), np.zeros((count, k))
        shared = np.zeros(3)
        spread = np.array([_START, _START])
        covariance = np.zeros((count, 3 + k, 3 + k))
        shared_variance = np.full(3, np.nan)
        for number in range(ROUNDS):
            ray, q = self._observed(shared)
            setting = self._setting(turn, strain)
            hkl, along, across, normal = self._residuals(q, setting)
            close = self._close(q, setting)
            limit = _WIDE + (_NARROW - _WIDE) * number / (ROUNDS - 1)
            chi = (along / spread[0]) ** 2 + np.einsum("ni,ni->n", across, across) / spread[1] ** 2
            weight = np.where(close, np.maximum(1.0 - chi / (3.0 * limit**2), 0.0) ** 2, 0.0)
            spread = self._spreads(along, across, weight > 0.0)
            step, covariance, common, shared_variance = self._step(
                ray, hkl, along, across, normal, weight, spread, turn, strain, shared
            )
            turn = Rotation.from_rotvec(step[:, :3]).as_matrix() @ turn
            strain = strain + step[:, 3:]
            shared = shared + common
        ray, q = self._observed(shared)
        setting = self._setting(turn, strain)
        hkl, along, across, _ = self._residuals(q, setting)
        chi = (along / spread[0]) ** 2 + np.einsum("ni,ni->n", across, across) / spread[1] ** 2
        inlier = self._close(q, setting) & (chi < 3.0 * _NARROW**2)
        fitted = self.shared_sigma[2] > 0.0
        return RefinedLattices(
            setting=setting,
            covariance=covariance,
            strain=strain,
            hkl=hkl.astype(np.int32),
            inlier=inlier,
            excitation=-along,
            across=np.linalg.norm(across, axis=1),
            spread_along=float(spread[0]),
            spread_across=float(spread[1]),
            shift=np.array([shared[0], shared[1], 0.0]),
            distance=1.0 + float(shared[2]) if fitted else float("nan"),
            distance_sigma=float(np.sqrt(shared_variance[2])) if fitted else float("nan"),
        )

    def _setting(self, turn: NDArray[np.float64], strain: NDArray[np.float64]) -> NDArray[np.float64]:
        stretched = np.eye(3) + np.einsum("lk,kij->lij", strain, self.strains)
        return np.asarray(turn @ stretched @ self.reference)

    def _to_lab(self, vectors: NDArray[np.float64]) -> NDArray[np.float64]:
        """From where the setting is told to the laboratory."""
        return vectors if self.turned is None else np.asarray(np.einsum("nij,nj...->ni...", self.turned, vectors))

    def _index(self, q: NDArray[np.float64], setting: NDArray[np.float64]) -> NDArray[np.float64]:
        """Indices of spots, as they come out."""
        if self.turned is not None:
            q = np.einsum("nji,nj->ni", self.turned, q)
        return np.asarray(np.einsum("nij,nj->ni", np.linalg.inv(setting)[self.lattice], q))

    def _residuals(self, q: NDArray[np.float64], setting: NDArray[np.float64]) -> tuple[NDArray[np.float64], ...]:
        hkl = np.rint(self._index(q, setting))
        p = self._to_lab(np.einsum("nij,nj->ni", setting[self.lattice], hkl))
        normal = p + self.incident
        normal /= np.linalg.norm(normal, axis=1, keepdims=True)
        off = q - p
        along = np.einsum("ni,ni->n", off, normal)
        return hkl, along, off - along[:, None] * normal, normal

    def _close(self, q: NDArray[np.float64], setting: NDArray[np.float64]) -> NDArray[np.bool_]:
        index = self._index(q, setting)
        whole = np.rint(index)
        return np.asarray((np.abs(index - whole) < _OFF_WHOLE).all(axis=1) & whole.any(axis=1))

    def _spreads(
        self, along: NDArray[np.float64], across: NDArray[np.float64], used: NDArray[np.bool_]
    ) -> NDArray[np.float64]:
        """Robust standard deviations along and across the rays."""
        if not used.any():
            return np.array([_START, _START])
        # medians of |x| of one and of two normal numbers
        values = [np.median(np.abs(along[used])) / 0.6745, np.median(np.linalg.norm(across[used], axis=1)) / 1.1774]
        return np.maximum(values, _FLOOR)

    def _step(
        self,
        ray: NDArray[np.float64],
        hkl: NDArray[np.float64],
        along: NDArray[np.float64],
        across: NDArray[np.float64],
        normal: NDArray[np.float64],
        weight: NDArray[np.float64],
        spread: NDArray[np.float64],
        turn: NDArray[np.float64],
        strain: NDArray[np.float64],
        shared: NDArray[np.float64],
    ) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
        """Gauss and Newton's step of each lattice and of what they share, which is eliminated last."""
        count, k = len(turn), len(self.strains)
        size = 3 + k
        node = hkl @ self.reference.T
        stretched = np.eye(3) + np.einsum("lk,kij->lij", strain, self.strains)
        p = np.einsum("nij,nj->ni", (turn @ stretched)[self.lattice], node)
        slopes = np.zeros((len(p), 3, size + 3))
        slopes[:, 0, 1], slopes[:, 0, 2] = p[:, 2], -p[:, 1]
        slopes[:, 1, 0], slopes[:, 1, 2] = -p[:, 2], p[:, 0]
        slopes[:, 2, 0], slopes[:, 2, 1] = p[:, 1], -p[:, 0]
        for number, tensor in enumerate(self.strains):
            slopes[:, :, 3 + number] = np.einsum("nij,nj->ni", turn[self.lattice], node @ tensor)
        slopes[:, :, :size] = self._to_lab(slopes[:, :, :size])
        slopes[:, :, size:] = -self._slopes_of_shared(ray)
        scale = np.array([1.0 / spread[0] ** 2, 1.0 / spread[1] ** 2])
        across_part = slopes - normal[:, :, None] * np.einsum("ni,nik->nk", normal, slopes)[:, None, :]
        along_part = np.einsum("ni,nik->nk", normal, slopes)
        n = np.einsum("n,nk,nm->nkm", weight * scale[0], along_part, along_part)
        n += np.einsum("n,nik,nim->nkm", weight * scale[1], across_part, across_part)
        g = np.einsum("n,nk->nk", weight * scale[0] * along, along_part)
        g += np.einsum("n,nik,ni->nk", weight * scale[1], across_part, across)
        square, right = np.zeros((count, size + 3, size + 3)), np.zeros((count, size + 3))
        np.add.at(square, self.lattice, n)
        np.add.at(right, self.lattice, g)
        own, cross, common = square[:, :size, :size], square[:, :size, size:], square[:, size:, size:].sum(axis=0)
        prior = np.full(size, 1e-6 / _START**2)
        if k:
            prior[3:] = 1.0 / self.strain**2
            right[:, 3 : 3 + k] -= strain / self.strain**2
        own = own + np.diag(prior)
        inverse = np.linalg.inv(own)
        moving = np.flatnonzero(self.shared_sigma > 0.0)
        common_step, variance = np.zeros(3), np.full(3, np.nan)
        if len(moving):
            some = np.ix_(moving, moving)
            reduced = common - np.einsum("lia,lij,ljb->ab", cross, inverse, cross)
            rest = right[:, size:].sum(axis=0) - np.einsum("lia,lij,lj->a", cross, inverse, right[:, :size])
            rest = rest - np.where(self.shared_sigma > 0.0, shared / np.maximum(self.shared_sigma, 1e-30) ** 2, 0.0)
            matrix = reduced[some] + np.diag(1.0 / self.shared_sigma[moving] ** 2)
            common_step[moving] = np.linalg.solve(matrix, rest[moving])
            variance[moving] = np.diag(np.linalg.inv(matrix))
        step = np.einsum("lij,lj->li", inverse, right[:, :size] - cross @ common_step)
        return step, np.asarray(inverse, np.float64), common_step, variance


def _polar(matrix: NDArray[np.float64]) -> NDArray[np.float64]:
    """The nearest rotations."""
    u, _, v = np.linalg.svd(matrix)
    flip = np.sign(np.linalg.det(u @ v))
    u[:, :, 2] *= flip[:, None]
    return np.asarray(u @ v)
