"""What is simulated, before any of it is seen: crystals, their orientations and scales, the beam, the background."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from crystint.arrays import Floats
from crystint.model.experiment import Experiment
from crystint.stills.simulation.crystal import Lattice, random_rotations, small_rotations
from crystint.stills.simulation.settings import StillsSettings

__all__ = ["Scene"]

_ORIENTATION, _ERROR, _LN_G, _B, _SECOND, _INDEXING, _WAVELENGTH, _WIDTH = range(8)
_BLOCK = 1 << 22
"""Products of images and lattice points looked at together."""


@dataclass(frozen=True)
class Scene:
    """Images, each of a crystal; made when asked for. Equal settings give equal numbers."""

    settings: StillsSettings
    """what all depends on"""

    @cached_property
    def lattice(self) -> Lattice:
        """All reflections and their intensities."""
        return self.settings.crystal.lattice(self.settings.d_min)

    @cached_property
    def frame(self) -> NDArray[np.int64]:
        """int64 [images]: the frame of each image; second lattices come right after the first."""
        s = self.settings
        second = self._random(_SECOND).random(s.frames) < s.second_lattice
        return np.repeat(np.arange(s.frames), 1 + second)

    @cached_property
    def ln_g(self) -> Floats:
        """float64 [images]."""
        return self.settings.spread_ln_g * self._random(_LN_G).normal(size=len(self.frame))

    @cached_property
    def b(self) -> Floats:
        """float64 [images], angstrom^2."""
        return self.settings.spread_b * self._random(_B).normal(size=len(self.frame))

    @cached_property
    def width_ratio(self) -> Floats:
        """float64 [images]: rocking width of the crystal over that of the settings, both without the bandwidth."""
        return np.asarray(np.exp(self.settings.spread_width * self._random(_WIDTH).normal(size=len(self.frame))))

    @cached_property
    def other_indexing(self) -> NDArray[np.bool_]:
        """bool [images]: indexed in the other way."""
        chosen = self._random(_INDEXING).random(len(self.frame)) < 0.5
        return chosen & self.settings.free_indexing

    @cached_property
    def setting(self) -> Floats:
        """float64 [images, 3, 3]: true settings, in the indexing of `Lattice.hkl`."""
        turns = random_rotations(len(self.frame), [self.settings.seed, _ORIENTATION])
        return np.asarray(turns @ self.settings.crystal.reciprocal)

    @cached_property
    def incident(self) -> Floats:
        """float64 [images, 3]: s0, 1/angstrom."""
        s = self.settings
        shot = self._random(_WAVELENGTH).normal(size=s.frames)[self.frame]
        length = 1.0 / (s.wavelength * (1.0 + s.wavelength_spread * shot))
        return np.stack([0.0 * length, 0.0 * length, -length], axis=1)

    @cached_property
    def wavelengths(self) -> Floats:
        """float64 [images], angstrom."""
        return np.asarray(1.0 / np.linalg.norm(self.incident, axis=1))

    @cached_property
    def background(self) -> Floats:
        """float64 [slow, fast]: counts per pixel expected without spots, at the mean wavelength."""
        s = self.settings
        slow, fast = (s.pixel_size * (np.arange(n) + 0.5 - 0.5 * n) for n in s.shape)
        across = np.hypot(slow[:, None], fast[None, :])
        half = 0.5 * np.arctan2(across, s.distance)
        return s.background_at(s.wavelength / (2.0 * np.maximum(np.sin(half), 1e-9)))

    @cached_property
    def experiment(self) -> Experiment:
        """What the program that indexed says: as the truth, but for `orientation_error` and the other indexing."""
        s = self.settings
        error = small_rotations(len(self.frame), s.orientation_error, [s.seed, _ERROR])
        indexed = error @ self.setting
        if self.other_indexing.any():
            indexed[self.other_indexing] = indexed[self.other_indexing] @ np.linalg.inv(self.reindex.T)
        return Experiment(
            setting=indexed,
            incident=self.incident,
            detectors=(s.detector,),
            cell=s.crystal.cell,
            space_group=s.crystal.group,
            frame=self.frame,
            polarization_fraction=s.polarization_fraction,
            bandwidth=s.bandwidth,
        )

    @cached_property
    def reindex(self) -> Floats:
        """float64 [3, 3]: h' = h R of the other indexing."""
        operator = self.settings.crystal.other_indexing()
        assert operator is not None
        return np.array(operator.rot, dtype=np.float64) / operator.DEN

    def excited(self) -> Iterator[tuple[NDArray[np.intp], NDArray[np.intp], Floats]]:
        """Blocks of (image, lattice point, excitation) within `reach` R0.

        |s0 + A h|^2 = 1/lambda^2 + 1/d^2 + 2 s0 A h: the first guess is a product in float32.
        """
        s, lattice = self.settings, self.lattice
        hkl = lattice.hkl.astype(np.float64)
        rough, s2 = hkl.T.astype(np.float32), (1.0 / lattice.d**2).astype(np.float32)
        k = np.linalg.norm(self.incident, axis=1)
        along = np.einsum("ij,ijk->ik", self.incident, self.setting)
        step = max(1, _BLOCK // len(hkl))
        for start in range(0, len(k), step):
            images = slice(start, start + step)
            limit = s.reach * s.rocking(lattice.d, 1.0 / float(k[images].min()), float(self.width_ratio[images].max()))
            margin = (2.02 * float(k[images].max()) * limit + limit**2 + 1e-5).astype(np.float32)
            offset = (2.0 * along[images]).astype(np.float32) @ rough
            offset += s2
            number, point = np.divmod(np.flatnonzero(np.abs(offset, out=offset) <= margin), len(hkl))
            number = number + start
            square = 1.0 / lattice.d[point] ** 2 + 2.0 * np.einsum("ij,ij->i", along[number], hkl[point])
            away = square / (np.sqrt(k[number] ** 2 + square) + k[number])
            near = np.abs(away) <= s.reach * s.rocking(lattice.d[point], 1.0 / k[number], self.width_ratio[number])
            yield number[near], point[near], away[near]

    def _random(self, stream: int) -> np.random.Generator:
        return np.random.default_rng([self.settings.seed, stream])
