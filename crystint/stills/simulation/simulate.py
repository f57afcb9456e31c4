"""Stills whose truth is known: the forward model of the factored likelihood, written from its formulas alone.

    J = G exp(-B / 4 d^2) polarization efficiency partiality I(hkl)

spread over the pixels as a Gaussian about the predicted ray, on a background, Poisson distributed. Nothing here uses
the prediction, integration or scaling that it is there to test. Equal settings give equal numbers.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crystint.errors import SettingError
from crystint.model.experiment import Experiment
from crystint.model.observations import Observations
from crystint.stills.simulation.crystal import Crystal, Lattice, random_rotations, small_rotations
from crystint.stills.simulation.settings import StillsSettings

__all__ = ["Crystal", "SimulatedStills", "StillsSettings", "Truth", "simulate_stills"]

Floats = NDArray[np.float64]
_ORIENTATION, _ERROR, _LN_G, _B, _SECOND, _INDEXING, _WAVELENGTH = range(7)
_BLOCK = 1 << 22
"""Products of images and lattice points looked at together."""


@dataclass(frozen=True, eq=False)
class Truth:
    """What is so, one row per reflection that is excited and meets the detector; sorted by image, then index."""

    image: NDArray[np.int32]
    """int32 [n]"""
    hkl: NDArray[np.int32]
    """int32 [n, 3]: as indexed"""
    unique: NDArray[np.int32]
    """int32 [n]: row of `Lattice.unique_hkl`"""
    d: Floats
    """float64 [n], angstrom"""
    excitation: Floats
    """float64 [n], 1/angstrom, positive outside the sphere"""
    partiality: Floats
    polarization: Floats
    efficiency: Floats
    true_intensity: Floats
    """float64 [n]: I(hkl)"""
    signal: Floats
    """float64 [n]: J, counts expected"""
    background: Floats
    """float64 [n], counts per pixel expected at the spot"""
    slow: Floats
    """float64 [n], px from the outer corner"""
    fast: Floats
    ray: Floats
    """float64 [n, 3]: unit vector"""
    spot_pixels: Floats
    """float64 [n]: 1 / sum of the profile's square, px"""
    listed: NDArray[np.bool_]
    """bool [n]: |excitation| is at most `band` R0; the others only spill into the frames"""

    def __len__(self) -> int:
        return len(self.image)

    def select(self, rows: NDArray[Any]) -> Truth:
        """Some of the rows."""
        return Truth(**{entry.name: getattr(self, entry.name)[rows] for entry in fields(self)})


@dataclass(frozen=True)
class SimulatedStills:
    """Images, what is so in them, and (made when asked for) frames, shoeboxes and observations.

    Made by `simulate_stills`.
    """

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
        said = error @ self.setting
        if self.other_indexing.any():
            said[self.other_indexing] = said[self.other_indexing] @ np.linalg.inv(self.reindex.T)
        return Experiment(
            setting=said,
            incident=self.incident,
            detectors=(s.detector,),
            cell=s.crystal.cell,
            space_group=s.crystal.group,
            frame=self.frame,
            polarization_fraction=s.polarization_fraction,
            bandwidth=s.bandwidth,
        )

    @cached_property
    def truth(self) -> Truth:
        """Every reflection on the detector."""
        from crystint.stills.simulation.forward import forward

        parts = [forward(self, *block) for block in self._excited()]
        names = [entry.name for entry in fields(Truth)]
        return Truth(**{name: np.concatenate([getattr(part, name) for part in parts]) for name in names})

    @cached_property
    def listed(self) -> Truth:
        """Rows of `truth` that are observations; `observations()` and `shoeboxes()` are of these, in this order."""
        return self.truth.select(self.truth.listed)

    def observations(self, noise: str = "gaussian", **settings: Any) -> Observations:
        """The listed reflections as a table, without pixels; see `simulated_noise.observe`."""
        from crystint.stills.simulation.noise import observe

        return observe(self, noise, **settings)

    def reference(self, error: float = 0.0, *, permuted: bool = False) -> Any:
        """The unique intensities as a `Reference`; see `simulated_noise.reference_of`."""
        from crystint.stills.simulation.noise import reference_of

        return reference_of(self, error, permuted)

    def shoeboxes(self, dtype: Any = np.uint16, *, neighbours: bool = True) -> Any:
        """13 x 13 pixels about each listed reflection; see `simulated_pixels.Shoeboxes`."""
        from crystint.stills.simulation.pixels import make_shoeboxes

        return make_shoeboxes(self, dtype, neighbours)

    def image(self, frame: int, dtype: Any = np.int32) -> NDArray[Any]:
        """Frame number `frame`, dtype [slow, fast]; depends on the settings and the number only."""
        from crystint.stills.simulation.pixels import make_frame

        return make_frame(self, frame, dtype)

    def images(self, dtype: Any = np.int32) -> NDArray[Any]:
        """All frames, dtype [frames, slow, fast]."""
        return np.stack([self.image(number, dtype) for number in range(self.settings.frames)])

    @cached_property
    def reindex(self) -> Floats:
        """float64 [3, 3]: h' = h R of the other indexing."""
        operator = self.settings.crystal.other_indexing()
        assert operator is not None
        return np.array(operator.rot, dtype=np.float64) / operator.DEN

    def _random(self, stream: int) -> np.random.Generator:
        return np.random.default_rng([self.settings.seed, stream])

    def _excited(self) -> Iterator[tuple[NDArray[np.intp], NDArray[np.intp], Floats]]:
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
            limit = s.reach * s.rocking(lattice.d, 1.0 / float(k[images].min()))
            margin = (2.02 * float(k[images].max()) * limit + limit**2 + 1e-5).astype(np.float32)
            offset = (2.0 * along[images]).astype(np.float32) @ rough
            offset += s2
            number, point = np.divmod(np.flatnonzero(np.abs(offset, out=offset) <= margin), len(hkl))
            number = number + start
            square = 1.0 / lattice.d[point] ** 2 + 2.0 * np.einsum("ij,ij->i", along[number], hkl[point])
            away = square / (np.sqrt(k[number] ** 2 + square) + k[number])
            near = np.abs(away) <= s.reach * s.rocking(lattice.d[point], 1.0 / k[number])
            yield number[near], point[near], away[near]


def simulate_stills(frames: int = 20, *, crystal: Crystal | None = None, **settings: Any) -> SimulatedStills:
    """Stills of known truth.

    Parameters
    ----------
    frames : int
    crystal : Crystal, optional
        None = orthorhombic, P 21 21 21, 60 x 70 x 80 angstrom.
    **settings
        Any field of `StillsSettings`: d_min, background, domain, spot, orientation_error, seed...

    Returns
    -------
    SimulatedStills
        ``images()`` makes the frames, ``observations()`` what a perfect integration would give, ``reference()`` the
        true intensities.

    Raises
    ------
    SettingError
        For an unknown setting or an impossible value.

    Examples
    --------
    >>> from crystint.stills import simulate_stills
    >>> data = simulate_stills(3, d_min=4.0, shape=(300, 320), distance=0.05, seed=1)
    >>> len(data.experiment), len(data.observations()) == len(data.listed)
    (3, True)
    """
    known = {entry.name for entry in fields(StillsSettings)} - {"frames", "crystal"}
    for name in settings:
        if name not in known:
            raise SettingError(f"simulate_stills has no setting {name!r}; it has {', '.join(sorted(known))}")
    if frames < 1:
        raise SettingError(f"frames is {frames}, expected 1 or more")
    return SimulatedStills(StillsSettings(int(frames), Crystal() if crystal is None else crystal, **settings))
