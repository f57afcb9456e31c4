"""Lattices of a known basis searched in the reciprocal-space spots of many frames at a time.

Directions of the vectors of each length are scored, the best of each patch are refined, the lattice is turned about
each of them, and the best lattices of a frame are refined and counted: four kernels, in batches of frames.
Method and figures: docs/indexing.md.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crystint.engine.engine import Engine

__all__ = ["LatticeSearch", "Lattices", "SearchEffort", "axes_across", "half_sphere"]

_PATCH = 256
"""directions, and angles, of which the best one goes on"""
_SIDE = 16
_NEAR = 0.2
"""distance of an index from a whole number at which a spot counts nothing"""
_SHARE = 0.6
"""of the squared distance of three indices, in units of _NEAR squared"""
_ALIKE = 0.01
"""relative difference of lengths that are searched as one"""
_SQUARE = 0.01
"""cosine between two basis vectors below which they are perpendicular: turned round, the lattice is the same"""
_SPREADS = (0.7e-3, 1.5e-3, 3e-3)
"""1/angstrom: expected distances of spots from their nodes; each lattice is refined with each"""
_FRAMES = 64
"""in a launch"""
_ANGLES = 16 * _PATCH
_LANES = 8


@dataclass(frozen=True, slots=True)
class SearchEffort:
    """How densely is searched."""

    directions: int = 150_000
    """of the vectors of one length, at most"""
    phase: float = 0.3
    """by which an index of the spots farthest out may differ between a vector and the nearest that is looked at"""
    candidates: int = 24
    """vectors of a frame that the lattice is turned about"""
    lattices: int = 8
    """of a frame, that are refined; a multiple of 8"""


@dataclass(frozen=True, slots=True)
class Lattices:
    """The best lattices of each frame, not yet judged."""

    basis: NDArray[np.float64]
    """float64 [frames, lattices, 3, 3]: rows a, b, c, angstrom; each of the search with each spread"""
    inside: NDArray[np.int64]
    """int64 [frames, lattices, radii]: spots whose nearest node is within each radius"""


def half_sphere(spacing: float) -> NDArray[np.float32]:
    """Directions of half a sphere in compact patches of 16 x 16: three faces of a cube, equal steps in angle.

    Parameters
    ----------
    spacing : float
        Between neighbours, rad, at most.

    Returns
    -------
    float32 [n, 3]
        Unit vectors; n is a multiple of 256.
    """
    side = _SIDE * max(1, int(np.ceil(0.5 * np.pi / spacing / _SIDE)))
    steps = np.tan((np.arange(side) + 0.5) / side * (0.5 * np.pi) - 0.25 * np.pi)
    u, v = np.meshgrid(steps, steps, indexing="ij")
    face = np.stack([u, v, np.ones_like(u)], axis=-1)
    face /= np.linalg.norm(face, axis=-1, keepdims=True)
    tiles = side // _SIDE
    face = face.reshape(tiles, _SIDE, tiles, _SIDE, 3).swapaxes(1, 2).reshape(-1, 3)
    return np.concatenate([np.roll(face, k, axis=1) for k in range(3)]).astype(np.float32)


def axes_across(vector: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
    """Two unit vectors x, y across vectors, right-handed with them, as the kernel `score_turns` chooses them.

    Parameters
    ----------
    vector : float [..., 3]

    Returns
    -------
    float64 [..., 3, 3]
        Rows x, y, z, of which z is along the vector.
    """
    z = vector / np.linalg.norm(vector, axis=-1, keepdims=True)
    start = np.where(np.abs(z[..., :1]) < 0.6, [1.0, 0.0, 0.0], [0.0, 1.0, 0.0])
    x = np.cross(start, z)
    x /= np.linalg.norm(x, axis=-1, keepdims=True)
    return np.stack([x, np.cross(z, x), z], axis=-2)


class LatticeSearch:
    """Searches lattices of one basis. Keep it: directions and kernels are made once.

    Parameters
    ----------
    engine : Engine
    basis : float [3, 3]
        Rows a, b, c, angstrom, of a reduced cell.
    q_max : float
        Of the spots, 1/angstrom: directions stand so close that the indices of these do not jump.
    effort : SearchEffort
    radii : float [n]
        Distances from the nodes within which spots are counted, ascending, 1/angstrom.
    """

    def __init__(
        self,
        engine: Engine,
        basis: NDArray[np.floating[Any]],
        q_max: float,
        radii: NDArray[np.floating[Any]],
        effort: SearchEffort | None = None,
    ) -> None:
        self.engine, self.effort = engine, effort or SearchEffort()
        self.basis = np.asarray(basis, np.float64)
        self.lengths = np.linalg.norm(self.basis, axis=1)
        self.radii = np.asarray(radii, np.float32)
        self._radius = engine.send(self.radii)
        self.axes = self._different()
        self.spacings = {axis: self._spacing(axis, q_max) for axis in self.axes}
        self._directions = {axis: self._sent(half_sphere(self.spacings[axis])) for axis in self.axes}
        turns = 2.0 * np.pi * float(self.lengths.max()) * q_max / self.effort.phase / 1.4
        self.angles = int(np.clip(np.ceil(turns / _PATCH), 1, _ANGLES // _PATCH)) * _PATCH
        angle = np.arange(self.angles) * (2.0 * np.pi / self.angles)
        self._cosine, self._sine = (engine.send(f(angle).astype(np.float32)) for f in (np.cos, np.sin))
        self._signs = (1.0,) if self._is_rectangular() else (1.0, -1.0)
        self._others = self._other_two()
        self._send_kinds()
        self._lanes, self._group = (16, 1) if engine.on_cpu else (1, 64)
        self._side_by_side = (_LANES, 1) if engine.on_cpu else (1, _LANES)

    def _different(self) -> list[int]:
        """Basis vectors of different lengths, the shortest first."""
        axes: list[int] = []
        for axis in np.argsort(self.lengths, kind="stable").tolist():
            if all(abs(self.lengths[axis] / self.lengths[other] - 1.0) > _ALIKE for other in axes):
                axes.append(axis)
        return axes

    def _spacing(self, axis: int, q_max: float) -> float:
        """rad between directions; 0.7 of it is the farthest from any one to the nearest."""
        wanted = self.effort.phase / (float(self.lengths[axis]) * q_max) / 0.7
        return max(wanted, float(np.sqrt(2.0 * np.pi / self.effort.directions)))

    def _reach(self, axis: int) -> float:
        """1/angstrom: of spots farther out the indices jump between directions."""
        return self.effort.phase / (float(self.lengths[axis]) * self.spacings[axis] * 0.7)

    def _sent(self, directions: NDArray[np.float32]) -> tuple[NDArray[np.float32], tuple[Any, Any, Any]]:
        x, y, z = (self.engine.send(np.ascontiguousarray(directions[:, k])) for k in range(3))
        return directions, (x, y, z)

    def _is_rectangular(self) -> bool:
        unit = self.basis / self.lengths[:, None]
        return bool(np.abs(np.triu(unit @ unit.T, 1)).max() < _SQUARE)

    def _other_two(self) -> NDArray[np.float64]:
        """float64 [kinds, 2, 3]: for each kind of vector the two others, in a frame whose third axis is that one."""
        others = np.zeros((len(self.axes), 2, 3))
        for kind, axis in enumerate(self.axes):
            z = self.basis[axis] / self.lengths[axis]
            next_one, last = self.basis[(axis + 1) % 3], self.basis[(axis + 2) % 3]
            x = next_one - (next_one @ z) * z
            x /= np.linalg.norm(x)
            frame = np.stack([x, np.cross(z, x), z])
            others[kind] = frame @ next_one, frame @ last
        return others

    def _send_kinds(self) -> None:
        """Which basis vector each of a frame's candidates is."""
        of_one = max(_LANES, -(-self.effort.candidates // len(self.axes) // _LANES) * _LANES)
        self._of_one = of_one
        self.kinds = np.repeat(np.arange(len(self.axes)), of_one * len(self._signs)).astype(np.int32)
        self._kind = self.engine.send(self.kinds)
        lengths = self.lengths[np.asarray(self.axes)[self.kinds]]
        self._length = self.engine.send(lengths.astype(np.float32))
        other = np.zeros((len(self.axes), 2, 4), np.float32)
        other[..., :3] = self._others
        self._other = self.engine.send(other.reshape(-1))

    def search(
        self, spots: NDArray[np.floating[Any]], first: NDArray[np.integer[Any]], strain: float = 0.003
    ) -> Lattices:
        """The best lattices of frames.

        Parameters
        ----------
        spots : float [n, 3]
            q, 1/angstrom, frame after frame.
        first : int [frames + 1]
            Frame f has the spots first[f] to first[f + 1] - 1.
        strain : float
            By which a basis may differ, relative (one standard deviation).

        Returns
        -------
        Lattices
        """
        frames = len(first) - 1
        parts = [
            self._batch(spots, np.asarray(first[start : min(start + _FRAMES, frames) + 1]), strain)
            for start in range(0, frames, _FRAMES)
        ]
        if not parts:
            number = self.effort.lattices * len(_SPREADS)
            return Lattices(np.zeros((0, number, 3, 3)), np.zeros((0, number, len(self.radii)), np.int64))
        return Lattices(*(np.concatenate([getattr(part, name) for part in parts]) for name in ("basis", "inside")))

    def _batch(self, spots: NDArray[np.floating[Any]], first: NDArray[np.integer[Any]], strain: float) -> Lattices:
        engine, frames = self.engine, len(first) - 1
        rows = np.zeros((int(first[-1] - first[0]) or 1, 4), np.float32)
        if first[-1] > first[0]:
            rows[:, :3] = spots[first[0] : first[-1]]
            rows[:, 3] = np.linalg.norm(rows[:, :3], axis=1)
        sent = {"spots": engine.send(rows.reshape(-1)), "first": engine.send((first - first[0]).astype(np.int32))}
        vectors = self._vectors(sent, frames)
        basis = self._turned(sent, vectors)
        return self._refined(sent, basis, strain)

    def _vectors(self, sent: dict[str, Any], frames: int) -> NDArray[np.float32]:
        """float32 [frames, 3, vectors]: the best of each length, refined."""
        engine = self.engine
        kernel = engine.kernel(
            "score_vectors.cl", PATCH=_PATCH, NEAR=f"{_NEAR}f", LANES=self._lanes, LOCAL_SIZE=self._group
        )
        results = []
        for axis in self.axes:
            directions, (across, along, upward) = self._directions[axis]
            patches = len(directions) // _PATCH
            best, which = engine.empty(frames * patches, np.float32), engine.empty(frames * patches, np.int32)
            engine.launch(
                kernel, patches, self._group, **sent, across=across, along=along, upward=upward, frames=frames,
                length=float(self.lengths[axis]), reach=self._reach(axis), patches=patches, best=best, which=which,
            )  # fmt: skip
            results.append((axis, directions, best, which, patches))
        parts = []
        for axis, directions, best, which, patches in results:
            score = engine.receive(best, frames * patches).reshape(frames, patches)
            number = engine.receive(which, frames * patches).reshape(frames, patches)
            top = _largest(score, self._of_one)
            chosen = directions[np.take_along_axis(number, top, axis=1)] * np.float32(self.lengths[axis])
            parts += [np.float32(sign) * chosen for sign in self._signs]
        vectors = np.ascontiguousarray(np.concatenate(parts, axis=1).transpose(0, 2, 1), np.float32)
        buffer = engine.send(vectors.reshape(-1), writable=True)
        number = vectors.shape[2]
        lanes, group = self._side_by_side
        kernel = engine.kernel("refine_vectors.cl", LANES=lanes, LOCAL_SIZE=group)
        engine.launch(
            kernel, number // _LANES, group, **sent, frames=frames, lengths=self._length, vectors=number, vector=buffer
        )
        sent["vector"] = buffer
        return engine.receive(buffer, vectors.size).reshape(vectors.shape)

    def _turned(self, sent: dict[str, Any], vectors: NDArray[np.float32]) -> NDArray[np.float32]:
        """float32 [frames, 9, lattices]: the best lattices about those vectors."""
        engine, (frames, _, number) = self.engine, vectors.shape
        sectors = self.angles // _PATCH
        size = frames * number * sectors
        best, which = engine.empty(size, np.float32), engine.empty(size, np.int32)
        kernel = engine.kernel(
            "score_turns.cl", SECTOR=_PATCH, NEAR=f"{_NEAR}f", SHARE=f"{_SHARE}f", LANES=self._lanes,
            LOCAL_SIZE=self._group,
        )  # fmt: skip
        engine.launch(
            kernel, number * sectors, self._group, **sent, kind=self._kind, other=self._other, cosine=self._cosine,
            sine=self._sine, vectors=number, sectors=sectors, best=best, which=which, frames=frames,
        )  # fmt: skip
        score = engine.receive(best, size).reshape(frames, number * sectors)
        angle = engine.receive(which, size).reshape(frames, number * sectors)
        top = _largest(score, self.effort.lattices)
        turn = np.take_along_axis(angle, top, axis=1) * (2.0 * np.pi / self.angles)
        candidate = top // sectors
        about = np.take_along_axis(vectors.transpose(0, 2, 1).astype(np.float64), candidate[..., None], axis=1)
        basis = self._basis_about(about, self.kinds[candidate], turn)
        return np.ascontiguousarray(basis.reshape(frames, -1, 9).transpose(0, 2, 1), np.float32)

    def _basis_about(
        self, vector: NDArray[np.float64], kind: NDArray[np.integer[Any]], angle: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """float64 [..., 3, 3]: rows a, b, c with vectors of some kinds where they are, the rest turned about them."""
        x, y, z = np.moveaxis(axes_across(vector), -2, 0)
        cosine, sine = np.cos(angle)[..., None], np.sin(angle)[..., None]
        axis = np.asarray(self.axes)[kind]
        basis = np.empty((*vector.shape[:-1], 3, 3))
        np.put_along_axis(basis, axis[..., None, None], vector[..., None, :], axis=-2)
        for step in (0, 1):
            u, v, w = np.moveaxis(self._others[kind, step], -1, 0)[..., None]
            other = (u * cosine - v * sine) * x + (u * sine + v * cosine) * y + w * z
            np.put_along_axis(basis, ((axis + 1 + step) % 3)[..., None, None], other[..., None, :], axis=-2)
        return basis

    def _refined(self, sent: dict[str, Any], basis: NDArray[np.float32], strain: float) -> Lattices:
        engine, (frames, _, lattices) = self.engine, basis.shape
        basis = np.repeat(basis, len(_SPREADS), axis=2)
        lattices *= len(_SPREADS)
        spread = engine.send(np.tile(np.array(_SPREADS, np.float32), lattices // len(_SPREADS)))
        buffer = engine.send(basis.reshape(-1), writable=True)
        inside = engine.empty(frames * len(self.radii) * lattices, np.float32)
        lanes, group = self._side_by_side
        kernel = engine.kernel("refine_lattices.cl", LANES=lanes, LOCAL_SIZE=group, RADII=len(self.radii))
        engine.launch(
            kernel, lattices // _LANES, group, spots=sent["spots"], first=sent["first"], radius=self._radius,
            spread=spread, widest=0.3 / float(self.lengths.max()), strain=strain, lattices=lattices,
            basis=buffer, inside=inside, frames=frames,
        )  # fmt: skip
        refined = engine.receive(buffer, basis.size).reshape(frames, 3, 3, lattices)
        count = engine.receive(inside, frames * len(self.radii) * lattices).reshape(frames, len(self.radii), lattices)
        return Lattices(
            refined.transpose(0, 3, 1, 2).astype(np.float64), np.rint(count.transpose(0, 2, 1)).astype(np.int64)
        )


def _largest(score: NDArray[np.float32], number: int) -> NDArray[np.intp]:
    """int [rows, number]: places of the largest scores of each row, the largest first; the last is repeated."""
    most = min(number, score.shape[1])
    top = np.argpartition(-score, most - 1, axis=1)[:, :most]
    order = np.argsort(-np.take_along_axis(score, top, axis=1), axis=1, kind="stable")
    top = np.take_along_axis(top, order, axis=1)
    return np.pad(top, ((0, 0), (0, number - most)), mode="edge")
