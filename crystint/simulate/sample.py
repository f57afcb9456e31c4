"""What a sample sends to the detector: powder rings, and the reflections of a crystal."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy.special import erf

from crystint.arrays import Floats
from crystint.errors import SettingError
from crystint.model.geometry import Geometry
from crystint.model.peaks import ICE_D

__all__ = ["Lattice", "Plane", "PowderRing", "gaussian_shares", "ice_rings", "meet", "planes"]


@dataclass(frozen=True, slots=True)
class PowderRing:
    """A powder ring: a Gaussian in q around the beam.

    Examples
    --------
    >>> from crystint.simulate import PowderRing, simulate
    >>> data = simulate((100, 120), background=1.0, rings=(PowderRing(q=2.0, width=0.05, strength=20.0),), seed=1)
    >>> bool(data.background.max() > 15)
    True
    """

    q: float
    """its crest, 1/angstrom"""
    width: float
    """standard deviation, 1/angstrom"""
    strength: float
    """normalised counts per pixel at the crest"""


def ice_rings(strength: float, width: float = 0.012) -> tuple[PowderRing, ...]:
    """The powder rings of hexagonal ice, weaker towards high resolution.

    Parameters
    ----------
    strength : float
        Normalised counts per pixel at the crest of the strongest ring (3.895 angstrom).
    width : float
        Standard deviation of each ring, 1/angstrom.

    Returns
    -------
    tuple of PowderRing

    Examples
    --------
    >>> from crystint.simulate import ice_rings
    >>> [round(6.283185 / ring.q, 2) for ring in ice_rings(5.0)[:3]]  # spacings, angstrom
    [3.89, 3.66, 3.44]
    """
    crests = (2 * np.pi / spacing for spacing in ICE_D)
    return tuple(PowderRing(q, width, strength * float(np.exp((1.613**2 - q**2) / 6.0))) for q in crests)


@dataclass(frozen=True, slots=True)
class Lattice:
    """An orthogonal crystal lattice in a random orientation; every frame is a still picture of it.

    A reciprocal-lattice point at distance e from the Ewald sphere gives the share
    exp(-e^2 / (2 mosaicity^2)) of its intensity. Intensities follow Wilson's exponential law
    (A. J. C. Wilson (1949), Acta Cryst. 2, 318) and fall off as exp(-B q^2 / (8 pi^2)).

    Examples
    --------
    >>> from crystint.simulate import Lattice, simulate
    >>> data = simulate((100, 120), peaks=Lattice(cell=(30.0, 40.0, 50.0)), dtype="uint16", seed=1)
    >>> len(data.truth) > 5
    True
    """

    cell: tuple[float, float, float] = (58.0, 58.0, 150.0)
    """edges a, b, c, angstrom"""
    mosaicity: float = 0.002
    """spread of the excitation error, 1/angstrom (in q = 2 pi / d)"""
    rotation: float | None = None
    """rad between two frames, about the slow axis; None = a new random orientation for every frame"""
    b_factor: float = 15.0
    """B, angstrom^2"""
    d_min: float = 1.5
    """highest resolution of the crystal, angstrom"""

    def __post_init__(self) -> None:
        for name, values in (("cell", self.cell), ("mosaicity", (self.mosaicity,)), ("d_min", (self.d_min,))):
            if not all(np.isfinite(value) and value > 0 for value in values):
                raise SettingError(f"Lattice: {name} is {getattr(self, name)}, expected positive numbers")

    def excited(self, wavelength: float, frame: int, seed: int) -> tuple[Floats, Floats]:
        """Directions [n, 3] (unit, lab frame, beam along z) and strengths [n] of the excited reflections."""
        limits = [int(edge / self.d_min) for edge in self.cell]
        grid = np.meshgrid(*(np.arange(-limit, limit + 1) for limit in limits), indexing="ij")
        hkl = np.stack([axis.ravel() for axis in grid], axis=1)
        at_rest = 2 * np.pi * hkl / np.asarray(self.cell)
        length = np.linalg.norm(at_rest, axis=1)
        inside = (length > 0) & (length <= 2 * np.pi / self.d_min)
        at_rest, length = at_rest[inside], length[inside]
        wilson = np.random.default_rng([seed, 3]).exponential(size=len(length))
        wilson *= np.exp(-self.b_factor * length**2 / (8 * np.pi**2))
        q = at_rest @ _orientation(self.rotation, frame, seed).T
        k = 2 * np.pi / wavelength
        outgoing = q + np.array([0.0, 0.0, k])
        size = np.linalg.norm(outgoing, axis=1)
        strength = wilson * np.exp(-0.5 * ((size - k) / self.mosaicity) ** 2)
        keep = (strength > 1e-4) & (outgoing[:, 2] > 0)
        return outgoing[keep] / size[keep, None], strength[keep]


Plane: TypeAlias = tuple[tuple[int, int], tuple[int, int], Floats]
"""(start, stop) pixels along slow and along fast; float64 [3, 3] with the columns: one step along slow, one
along fast, the first pixel's centre, m"""


def planes(geometry: Geometry) -> list[Plane]:
    """The flat pieces of a detector; a piece less than two pixels wide shows no plane and is left out."""
    place = np.stack(geometry.positions(), axis=-1)
    whole = ((0, geometry.shape[0]), (0, geometry.shape[1]))
    pieces = []
    for rows, columns in [(p.slow, p.fast) for p in geometry.panels] if geometry.panels else [whole]:
        if rows[1] - rows[0] > 1 and columns[1] - columns[0] > 1:
            first = place[rows[0], columns[0]]
            steps = place[rows[0] + 1, columns[0]] - first, place[rows[0], columns[0] + 1] - first
            pieces.append((rows, columns, np.stack([*steps, first], axis=1)))
    return pieces


def meet(pieces: list[Plane], ray: Floats) -> tuple[Floats, Floats, NDArray[np.intp]]:
    """Where rays [n, 3] from the sample meet the detector: slow, fast in px and the number of the ray."""
    slow, fast, number = [np.zeros(0)], [np.zeros(0)], [np.zeros(0, np.intp)]
    for rows, columns, frame in pieces:
        a, b, scale = np.linalg.solve(frame, ray.T)
        with np.errstate(divide="ignore", invalid="ignore"):
            at_slow, at_fast = a / scale + rows[0] + 0.5, b / scale + columns[0] + 0.5
        hit = (scale > 0) & (at_slow >= rows[0]) & (at_slow < rows[1])
        hit &= (at_fast >= columns[0]) & (at_fast < columns[1])
        slow.append(at_slow[hit])
        fast.append(at_fast[hit])
        number.append(np.flatnonzero(hit))
    return np.concatenate(slow), np.concatenate(fast), np.concatenate(number)


def gaussian_shares(center: Floats, reach: int, width: float) -> tuple[NDArray[np.intp], Floats]:
    """Pixels [n, 2 reach + 1] about each centre, and the share of a Gaussian that falls into each."""
    pixel = np.floor(center).astype(np.intp)[:, None] + np.arange(-reach, reach + 1)
    scaled = (np.concatenate([pixel, pixel[:, -1:] + 1], axis=1) - center[:, None]) / (np.sqrt(2.0) * width)
    return pixel, 0.5 * np.diff(erf(scaled), axis=1)


def _orientation(rotation: float | None, frame: int, seed: int) -> Floats:
    """Rotation matrix of the crystal in a frame; the start is uniformly random, from a quaternion of normal
    numbers (K. Shoemake (1992), Graphics Gems III, 124)."""
    key = [seed, 5] if rotation is not None else [seed, 5, frame]
    quaternion = np.random.default_rng(key).normal(size=4)
    w, x, y, z = quaternion / np.linalg.norm(quaternion)
    start = np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
            [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
            [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
        ]
    )
    c, s = np.cos((rotation or 0.0) * frame), np.sin((rotation or 0.0) * frame)
    return np.asarray(np.array([[1.0, 0.0, 0.0], [0.0, c, -s], [0.0, s, c]]) @ start)
