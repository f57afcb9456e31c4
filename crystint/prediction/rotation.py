"""When and where a crystal that turns sends its reflections.

A reciprocal lattice point x of the crystal is at S R(angle) F x. It is on the Ewald sphere where |s0 + S R F x| = |s0|,
which for an axis e and b = S^-1 s0 is C cos(angle) + D sin(angle) = E: twice in a full turn, or never for points near
the axis (the blind region). Kabsch (2010), Acta Cryst. D66, 133, sections 2 and 3; the spread of a spot is that of its
section 3: sigma_b across the beam, sigma_m / |zeta| in angle.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import gemmi
import numpy as np
from numpy.typing import NDArray

from crystint.io.reflections.dials_sweeps import Sweep
from crystint.model.turns import turns
from crystint.prediction.candidates import index_bounds
from crystint.prediction.rays import project, project_on

__all__ = ["Crossings", "crossings", "spot_boxes"]

_SLAB = 500_000
"""lattice points at a time"""
_BLOCK = np.radians(3.0)
"""of a scan, in which no point crosses twice unless nearly along the sphere"""
_ASLANT = 0.03
"""relative: |E| that is nearer to the radius of the circle, or beyond it by less"""
_STEPS = 40
_CLOSE = 1e-8
"""images: steps end when nothing moves by more"""
_ZETA = 0.05
"""Points that cross more aslant are spread as if they crossed like that: DIALS does not integrate them."""


@dataclass(frozen=True, eq=False)
class Crossings:
    """Reflections of one sweep on its detector, by h, k, l and position along the scan."""

    hkl: NDArray[np.int32]
    """int32 [n, 3]"""
    z: NDArray[np.float64]
    """float64 [n]: where along the scan, in images from its start; beyond the scan where a part of the spot is in it"""
    s1: NDArray[np.float64]
    """float64 [n, 3], 1/angstrom"""
    s0: NDArray[np.float64]
    """float64 [n, 3], 1/angstrom"""
    zeta: NDArray[np.float64]
    """float64 [n]: axis . (s1 x s0) / |s1 x s0|, see Kabsch"""
    panel: NDArray[np.intp]
    """int [n]"""
    slow: NDArray[np.float64]
    """float64 [n], px of the frame from the outer corner, parallax in, as `fast`"""
    fast: NDArray[np.float64]
    d: NDArray[np.float64]
    """float64 [n], angstrom"""

    def __len__(self) -> int:
        return len(self.z)

    def select(self, rows: NDArray[np.intp] | NDArray[np.bool_]) -> Crossings:
        """Some of them, by numbers or a mask."""
        return Crossings(**{name: getattr(self, name)[rows] for name in self.__dataclass_fields__})

    def half_width(self, mosaicity: NDArray[np.float64] | float, sweep: Sweep) -> NDArray[np.float64]:
        """How far along the scan a spot reaches to either side, in images, for a spread in rad at zeta = 1."""
        return np.asarray(mosaicity / np.maximum(np.abs(self.zeta), _ZETA) / abs(sweep.rotation.step))


def crossings(
    sweep: Sweep, d_min: float, space_group: gemmi.SpaceGroup, reach: float = 0.0, beyond: float = 0.0
) -> Crossings:
    """All reflections that cross the Ewald sphere during a scan and whose ray meets a panel.

    Left out are those that the centring of the lattice forbids. Others that the space group forbids are there: that
    they are absent is for the data to say.

    Parameters
    ----------
    sweep : Sweep
    d_min : float
        Angstrom.
    space_group : gemmi.SpaceGroup
    reach : float
        Spread in rad, at zeta = 1, by which spots that cross before or after the scan reach into it.
    beyond : float
        Turn in rad before and after the scan whose crossings are given in any case.
    """
    step = abs(sweep.rotation.step)
    more = max(reach / _ZETA, beyond) / step
    hkls, zs = [], []
    for hkl in _points(sweep, d_min, space_group):
        row, z = _roots(sweep, hkl, more) if sweep.constant else _changes(sweep, hkl, more)
        hkls.append(hkl[row])
        zs.append(z)
    hkl = np.concatenate([np.zeros((0, 3), np.int32), *hkls])
    z = np.concatenate([np.zeros(0), *zs])
    return _on_detector(sweep, hkl, z, d_min, reach, beyond)


def _points(sweep: Sweep, d_min: float, space_group: gemmi.SpaceGroup) -> Iterator[NDArray[np.int32]]:
    """Lattice points of spacing `d_min`, about, and more, that the centring allows; in portions."""
    some = sweep.lattice[:: max(1, sweep.images // 20)]
    h, k, l = np.floor(index_bounds(some, d_min).max(axis=0) + 1e-6).astype(int).tolist()  # noqa: E741
    centring = np.array(space_group.operations().cen_ops) / gemmi.Op.DEN
    middle = sweep.lattice[sweep.images // 2]
    far = 1.01 / d_min**2
    rows = max(1, _SLAB // ((2 * k + 1) * (2 * l + 1)))
    for start in range(-h, h + 1, rows):
        grid = np.mgrid[start : min(start + rows, h + 1), -k : k + 1, -l : l + 1].reshape(3, -1).T
        x = grid @ middle.T
        square = np.einsum("ij,ij->i", x, x)
        keep = (square > 0.0) & (square <= far)
        whole = grid[keep] @ centring.T
        yield grid[keep][(np.abs(whole - np.rint(whole)) < 1e-6).all(axis=1)].astype(np.int32)


def _circle(
    sweep: Sweep, hkl: NDArray[np.int32], at: float
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """C, D and E of lattice points with the models at one position."""
    where, turn = np.array([at]), sweep.rotation
    axis = turn.axis / np.linalg.norm(turn.axis)
    outer = turn.outer_at(where).reshape(3, 3)
    q = hkl @ (turn.fixed @ sweep.lattice_at(where)[0]).T
    beam = outer.T @ sweep.incident_at(where)[0]
    along = q @ axis
    e = -0.5 * np.einsum("ij,ij->i", q, q) - along * (axis @ beam)
    return q @ beam - along * (axis @ beam), np.cross(axis, q) @ beam, e


def _roots(sweep: Sweep, hkl: NDArray[np.int32], more: float) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
    """Crossings where models stay as they are, `more` images before and after the scan, too; rows of hkl, positions."""
    turn = sweep.rotation
    c, s, e = _circle(sweep, hkl, 0.0)
    size = np.hypot(c, s)
    row = np.flatnonzero(np.abs(e) < size)  # the others are in the blind region, or beyond 1 / (2 wavelength)
    middle, half = np.arctan2(s[row], c[row]), np.arccos(e[row] / size[row])
    row = np.concatenate([row, row])
    z = (np.concatenate([middle - half, middle + half]) - turn.start) / turn.step
    z = np.mod(z + more, 2.0 * np.pi / abs(turn.step)) - more
    rows, positions = [np.zeros(0, np.intp)], [np.zeros(0)]
    while (z < sweep.images + more).any():  # a scan may be more than one turn
        rows.append(row[z < sweep.images + more])
        positions.append(z[z < sweep.images + more])
        z = z + 2.0 * np.pi / abs(turn.step)
    return np.concatenate(rows), np.concatenate(positions)


def _at(sweep: Sweep, hkl: NDArray[np.int32], z: NDArray[np.float64]) -> tuple[NDArray[np.float64], ...]:
    """Lattice points, beam and axis at positions along the scan, each float64 [n, 3]."""
    turn = sweep.rotation
    x = np.einsum("nij,nj->ni", sweep.lattice_at(z), hkl.astype(np.float64)) @ turn.fixed.T
    x = np.einsum("nij,nj->ni", turns(turn.axis, turn.start + turn.step * z), x)
    outer, axis = turn.outer_at(z), turn.axis / np.linalg.norm(turn.axis)
    return np.einsum("...ij,nj->ni", outer, x), sweep.incident_at(z), np.broadcast_to(outer @ axis, x.shape)


def _changes(sweep: Sweep, hkl: NDArray[np.int32], more: float) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
    """Crossings where models change, by the change of sign of the distance from the sphere; rows of hkl, positions.

    Points that a block of the scan may see twice, as they cross nearly along the sphere, are looked at image by image.
    """
    number = max(1, int(np.ceil(sweep.images * abs(sweep.rotation.step) / _BLOCK)))
    ends = np.linspace(0, sweep.images, number + 1).tolist()
    every = np.arange(len(hkl))
    parts = []
    for low, high in pairwise([-more, *ends, sweep.images + more] if more > 0.0 else ends):
        change = _sign(sweep, hkl, low) != _sign(sweep, hkl, high)
        c, s, e = _circle(sweep, hkl, 0.5 * (low + high))
        aslant = np.flatnonzero(np.abs(np.abs(e) - np.hypot(c, s)) < _ASLANT * np.hypot(c, s))
        plain = np.setdiff1d(every[change], aslant, assume_unique=True)
        parts.append((plain, np.full(len(plain), low), np.full(len(plain), high)))
        steps = np.linspace(low, high, 2 * int(np.ceil(high - low)) + 1).tolist()
        for one, other in pairwise(steps if len(aslant) else ()):
            some = aslant[_sign(sweep, hkl[aslant], one) != _sign(sweep, hkl[aslant], other)]
            parts.append((some, np.full(len(some), one), np.full(len(some), other)))
    row, low_z, high_z = (np.concatenate(column) for column in zip(*parts, strict=True))
    return row, _between(sweep, hkl[row], low_z, high_z)


def _sign(sweep: Sweep, hkl: NDArray[np.int32], at: float) -> NDArray[np.bool_]:
    """Whether lattice points are within the Ewald sphere at one position along the scan."""
    r, s0, _ = _at(sweep, np.eye(3, dtype=np.int32), np.full(3, at))  # the axes a*, b*, c*
    x = hkl @ r
    return np.asarray(np.einsum("ni,ni->n", x, x) + 2.0 * (x @ s0[0]) < 0.0)


def _distance(sweep: Sweep, hkl: NDArray[np.int32], z: NDArray[np.float64]) -> NDArray[np.float64]:
    """|s1|^2 - |s0|^2 at positions along the scan: 0 on the Ewald sphere."""
    r, s0, _ = _at(sweep, hkl, z)
    return np.asarray(np.einsum("ni,ni->n", 2.0 * s0 + r, r))


def _between(
    sweep: Sweep, hkl: NDArray[np.int32], low: NDArray[np.float64], high: NDArray[np.float64]
) -> NDArray[np.float64]:
    """The crossing between two positions each: regula falsi, as the Illinois algorithm has it."""
    one, other = _distance(sweep, hkl, low), _distance(sweep, hkl, high)
    z = 0.5 * (low + high)
    for _ in range(_STEPS):
        with np.errstate(invalid="ignore", divide="ignore"):
            new = np.where(one == other, z, (low * other - high * one) / (other - one))
        moved, z = np.abs(new - z).max(initial=0.0), new
        if not moved > _CLOSE:
            break
        value = _distance(sweep, hkl, z)
        right = np.signbit(value) == np.signbit(other)
        # the end that stays counts half
        one, other = np.where(right, 0.5 * one, value), np.where(right, value, 0.5 * other)
        low, high = np.where(right, low, z), np.where(right, z, high)
    return z


def _on_detector(
    sweep: Sweep, hkl: NDArray[np.int32], z: NDArray[np.float64], d_min: float, reach: float, beyond: float
) -> Crossings:
    r, s0, axis = _at(sweep, hkl, z)
    d = 1.0 / np.linalg.norm(r, axis=1)
    s1 = s0 + r
    across = np.cross(s1, s0)
    with np.errstate(invalid="ignore", divide="ignore"):
        zeta = np.einsum("ni,ni->n", axis, across) / np.linalg.norm(across, axis=1)
    panel, slow, fast = project(sweep.detector, s1 / np.linalg.norm(s1, axis=1)[:, None])
    all_of_them = Crossings(hkl, z, s1, s0, np.nan_to_num(zeta), panel, slow, fast, d)
    half = np.maximum(all_of_them.half_width(reach, sweep), beyond / abs(sweep.rotation.step))
    rows = np.flatnonzero((panel >= 0) & (d >= d_min) & (z + half > 0.0) & (z - half < sweep.images))
    order = np.lexsort([z[rows], *hkl[rows].T[::-1]])
    return all_of_them.select(rows[order])


def spot_boxes(spots: Crossings, sweep: Sweep, size: NDArray[np.float64]) -> NDArray[np.float64]:
    """Ends of spots on their panels for a spread across the beam; float64 [n, 4]: slow, slow, fast, fast, px.

    Parameters
    ----------
    spots : Crossings
    sweep : Sweep
    size : float64 [n]
        rad, to either side along Kabsch's e1 = s1 x s0 and e2 = s1 x e1.
    """
    length = np.linalg.norm(spots.s1, axis=1)[:, None]
    u = spots.s1 / length
    e1 = np.cross(spots.s1, spots.s0)
    e1 /= np.linalg.norm(e1, axis=1)[:, None]
    e2 = np.cross(u, e1)
    places = []
    for one in (-1.0, 1.0):
        for other in (-1.0, 1.0):
            ray = u + size[:, None] * (one * e1 + other * e2)
            ray /= np.linalg.norm(ray, axis=1)[:, None]
            places.append(project_on(sweep.detector, spots.panel, ray))
    slow, fast = (np.stack(column) for column in zip(*places, strict=True))
    return np.stack([slow.min(axis=0), slow.max(axis=0), fast.min(axis=0), fast.max(axis=0)], axis=1)
