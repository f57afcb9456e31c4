"""What is so in simulated convergent-beam data: intensities by family, maps of the crystal, background.

Intensities follow A. J. C. Wilson (1949), Acta Cryst. 2, 318: |q|^2 / mean is exponential, or the square of a standard
normal number where the symmetry turns hkl into -h-k-l. A map is exp of a sum of plane waves, so that it is smooth,
positive and known everywhere, not on a grid only.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import gemmi
import numpy as np
from numpy.typing import NDArray

from crystint.arrays import Floats
from crystint.cbc.simulation.simulated_settings import CBCSettings

__all__ = ["Maps", "background_at", "families", "intensities", "make_maps", "standard_profile"]

_WAVES = 24
_BLOCK = 1 << 18


def standard_profile(across: NDArray[Any], width: float, kind: str) -> Floats:
    """f^2 at a distance (px) from the middle of a streak; 0 beyond w = (width + 1) / 2.

    tophat min(w - |e|, 1), linear 1 - |e| / w, quad 1 - (e / w)^2, gauss exp(-4 e^2 / w^2) less its value at w, over
    its value at 0.
    """
    half = 0.5 * (width + 1.0)
    away = np.abs(across)
    if kind == "tophat":
        value = np.minimum(half - away, 1.0)
    elif kind == "linear":
        value = 1.0 - away / half
    elif kind == "quad":
        value = 1.0 - (away / half) ** 2
    else:
        value = (np.exp(-4.0 * (away / half) ** 2) - np.exp(-4.0)) / (1.0 - np.exp(-4.0))
    return np.asarray(np.maximum(value, 0.0))


def families(hkl: NDArray[Any], group: gemmi.SpaceGroup, friedel: bool) -> tuple[NDArray[np.int32], NDArray[np.intp]]:
    """Families of equivalent reflections: the largest index triple of each [m, 3], and the family of each row [n].

    The orbit of h is {h R} over the rotations R of the group, and {-h R} with Friedel's law.
    """
    once, row = np.unique(np.asarray(hkl, np.int64), axis=0, return_inverse=True)
    base = 2 * int(np.abs(once).max(initial=0)) * 3 + 1
    best = np.full(len(once), np.iinfo(np.int64).min)
    chosen = once.copy()
    for operation in group.operations().sym_ops:
        rotation = np.array(operation.rot, np.int64) // gemmi.Op.DEN
        for sign in (1, -1) if friedel else (1,):
            turned = sign * (once @ rotation)
            code = (turned[:, 0] * base + turned[:, 1]) * base + turned[:, 2]
            chosen[code > best] = turned[code > best]
            best = np.maximum(best, code)
    unique, family = np.unique(chosen, axis=0, return_inverse=True)
    return unique.astype(np.int32), np.asarray(family.reshape(-1)[row.reshape(-1)])


def intensities(hkl: NDArray[Any], settings: CBCSettings, rng: np.random.Generator) -> Floats:
    """float64 [m]: |q|^2 of each family; 0 where it is systematically absent."""
    operations = settings.group.operations()
    centric = np.array([operations.is_reflection_centric(row) for row in hkl.tolist()], bool)
    absent = np.array([operations.is_systematically_absent(row) for row in hkl.tolist()], bool)
    law = np.where(centric, rng.normal(size=len(hkl)) ** 2, rng.exponential(size=len(hkl)))
    square = np.array([settings.unit_cell.calculate_1_d2(row) for row in hkl.tolist()], np.float64)
    mean = settings.intensity * np.exp(-0.5 * settings.b_factor * square)
    return np.where(absent, 0.0, mean * (settings.weakest + (1.0 - settings.weakest) * law))


@dataclass(frozen=True, eq=False)
class Maps:
    """chi_n(u) = scale_n exp(contrast sqrt(2 / m) sum over m waves of cos(w u + phase))."""

    scale: Floats
    """float64 [frames]"""
    waves: Floats
    """float64 [frames, m, 2]"""
    phase: Floats
    """float64 [frames, m]"""
    contrast: float

    def at(self, frame: NDArray[Any], u: NDArray[Any]) -> Floats:
        """float64 [n]: chi of frames `frame` [n], sorted, at directions `u` [n, 2]."""
        value = np.empty(len(u))
        for number in range(len(self.scale)):
            first, last = np.searchsorted(frame, [number, number + 1])
            for start in range(first, last, _BLOCK):
                rows = slice(start, min(start + _BLOCK, last))
                value[rows] = self._one(number, u[rows, 0], u[rows, 1])
        return value

    def _one(self, number: int, x: Floats, y: Floats) -> Floats:
        total = np.zeros(np.broadcast(x, y).shape)
        for wave, phase in zip(self.waves[number], self.phase[number]):
            total += np.cos(wave[0] * x + wave[1] * y + phase)
        strength = self.contrast * np.sqrt(2.0 / len(self.phase[number]))
        return np.asarray(self.scale[number] * np.exp(strength * total))

    def on(self, x: Floats, y: Floats) -> Floats:
        """float64 [frames, ny, nx]: on the nodes of a grid."""
        return np.stack([self._one(number, x[None, :], y[:, None]) for number in range(len(self.scale))])


def make_maps(settings: CBCSettings, x: Floats, y: Floats, rng: np.random.Generator) -> Maps:
    """Random maps of all frames; their mean over the nodes (x, y) of all frames is 1."""
    count = settings.frames
    length = settings.map_scale * settings.numerical_aperture
    waves = rng.normal(size=(count, _WAVES, 2)) / length
    phase = rng.uniform(0.0, 2.0 * np.pi, size=(count, _WAVES))
    spread = np.exp(settings.frame_spread * rng.normal(size=count))
    plain = Maps(np.ones(count), waves, phase, settings.contrast)
    scale = spread / plain.on(x, y).mean(axis=(1, 2))
    return Maps(scale / scale_mean(scale, plain, x, y), waves, phase, settings.contrast)


def scale_mean(scale: Floats, plain: Maps, x: Floats, y: Floats) -> float:
    """Mean over all nodes of all frames of scale_n times a map."""
    return float(np.mean(scale * plain.on(x, y).mean(axis=(1, 2))))


def background_at(settings: CBCSettings, x: NDArray[Any], y: NDArray[Any]) -> Floats:
    """float64 [n]: expected background counts of pixels, falling smoothly from the middle."""
    middle = 0.5 * np.array(settings.shape[::-1], np.float64)
    square = ((x - middle[0]) ** 2 + (y - middle[1]) ** 2) / float(middle @ middle)
    return np.asarray(settings.background * (0.7 + 0.5 * np.exp(-2.3 * square)))
