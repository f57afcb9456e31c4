"""Diffraction frames whose truth is known: background, rings, Bragg peaks, and what a detector does to them.

The mean of a pixel is v * w: v normalised counts of the sample (background, powder rings, Bragg peaks), w the
normalization (solid angle, polarization). The pixel holds a Poisson number of that mean, clipped at
saturation; gaps, dead and hot pixels replace it. Frame i depends on the seed and on i only, so frames can be
made in any order and one at a time.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray
from scipy.ndimage import maximum_filter
from scipy.spatial import KDTree

from crystint.arrays import Floats
from crystint.errors import GeometryError, SettingError
from crystint.model.geometry import Geometry
from crystint.model.mask import marker
from crystint.simulate.sample import Lattice, Plane, PowderRing, gaussian_shares, meet, planes

__all__ = [
    "TRUTH_DTYPE",
    "Scene",
    "check_scene",
]

_DTYPES = ("uint8", "uint16", "uint32", "int16", "int32", "float32", "float64")


def check_scene(scene: Scene) -> None:
    """Raise SettingError or GeometryError for the first impossible setting, with its name."""

    def wrong(name: str, expected: str) -> SettingError:
        return SettingError(f"{name} is {getattr(scene, name)!r}, expected {expected}")

    try:
        dtype = np.dtype(scene.dtype)
    except TypeError:
        raise wrong("dtype", f"one of {', '.join(_DTYPES)}") from None
    if dtype.name not in _DTYPES or not dtype.isnative:
        raise wrong("dtype", f"one of {', '.join(_DTYPES)}")
    if isinstance(scene.background, (int, float)) and not 0 <= scene.background < np.inf:
        raise wrong("background", "0 or more counts per pixel")
    if scene.falloff is not None and not scene.falloff > 0:
        raise wrong("falloff", "more than 0 (1/angstrom), or None")
    if isinstance(scene.background, (int, float)) is False and scene.falloff is not None:
        raise wrong("falloff", "None when the background is a function or an image")
    for ring in scene.rings:
        if not (ring.q > 0 and ring.width > 0 and ring.strength >= 0):
            raise SettingError(f"powder ring is {ring}, expected q > 0, width > 0 and strength >= 0")
    if isinstance(scene.peaks, (int, np.integer)):
        if scene.peaks < 0:
            raise wrong("peaks", "0 or more")
    elif not isinstance(scene.peaks, Lattice):
        peaks = np.asarray(scene.peaks, dtype=np.float64)
        if peaks.size and (peaks.ndim != 2 or peaks.shape[1] != 3 or not np.isfinite(peaks).all()):
            raise SettingError(f"peaks is an array {peaks.shape}, expected finite [n, 3]: slow, fast, intensity")
    for name in ("intensity", "width"):
        if not 0 < getattr(scene, name) < np.inf:
            raise wrong(name, "a number above 0")
    for name in ("dead", "hot", "seed"):
        if not getattr(scene, name) >= 0:
            raise wrong(name, "0 or more")
    if scene.modules is not None and min(scene.modules) < 1:
        raise wrong("modules", "(slow, fast) of 1 pixel or more, or None")
    if min(scene.gaps) < 0:
        raise wrong("gaps", "(slow, fast) of 0 pixels or more")
    if scene.saturation is not None and not scene.saturation > 0:
        raise wrong("saturation", "a number above 0, or None")
    if not 0 <= scene.readout_noise < np.inf:
        raise wrong("readout_noise", "0 or more counts")
    if scene.readout_noise > 0 and dtype.kind != "f":
        raise wrong("readout_noise", f"0 for {dtype} frames: only float frames hold it")
    needs_q = scene.falloff is not None or bool(scene.rings) or isinstance(scene.peaks, Lattice)
    if (needs_q or callable(scene.background)) and scene.geometry.wavelength is None:
        raise GeometryError("wavelength is None, expected angstrom: rings, fall-off and lattice are laid out in q")


TRUTH_DTYPE: np.dtype[Any] = np.dtype(
    [
        ("frame", np.int64),  # number of the frame in its sequence, from 0
        ("slow", np.float64),  # centre, px from the outer corner of the first pixel (its centre is 0.5)
        ("fast", np.float64),
        ("intensity", np.float64),  # photons expected in the whole peak, normalised counts
        ("counts", np.float64),  # photons expected in the usable pixels of the frame, raw counts
        ("background", np.float64),  # raw counts expected from the background in the pixel of the centre
        ("d", np.float64),  # spacing at the centre, angstrom; NaN when the wavelength is unknown
        ("isolated", np.bool_),  # no other peak, frame border, gap, dead or hot pixel within 4 widths
    ]
)
"""Dtype of a simulated peak, with the columns frame; slow and fast (px); intensity (normalised counts); counts and
background (raw counts); d (angstrom); isolated."""

_GAP, _DEAD, _NOISY = 1, 2, 16  # bits 0, 1 and 4 of the NXmx pixel mask


@dataclass(frozen=True, eq=False)
class Scene:
    """Everything that decides what the frames hold. Lengths in px unless said otherwise.

    Raises
    ------
    SettingError
        For an impossible value, with its name.
    GeometryError
        When rings, a fall-off or a lattice need a wavelength that the geometry lacks.

    Examples
    --------
    >>> from crystint.simulate import simulate
    >>> scene = simulate((100, 120), background=2.0, peaks=20, seed=1).scene
    >>> frame, truth = scene.frame(0)
    >>> frame.shape, len(truth)
    ((100, 120), 20)
    """

    geometry: Geometry
    """of the detector"""
    background: float | Callable[[Floats], ArrayLike] | Floats = 10.0
    """normalised counts per pixel: a number, a function of q (float64 [slow, fast], 1/angstrom), an image"""
    falloff: float | None = None
    """q, 1/angstrom, at which a background given as a number has fallen to half of its value on the beam, as
    1 / (1 + (q / falloff)^2); None = flat"""
    rings: tuple[PowderRing, ...] = ()
    """powder rings"""
    peaks: int | ArrayLike | Lattice = 0
    """Bragg peaks: how many at random places in each frame; or float [n, 3] of slow, fast, intensity (the
    same in all frames); or a crystal lattice"""
    intensity: float = 1000.0
    """normalised counts: mean of random peaks (exponential law), or of whole lattice reflections at q = 0"""
    width: float = 0.8
    """standard deviation of a peak, px"""
    modules: tuple[int, int] | None = None
    """(slow, fast) pixels of a detector module; None = one module"""
    gaps: tuple[int, int] = (17, 7)
    """(slow, fast) pixels between modules"""
    dead: int = 0
    """number of pixels that always hold 0"""
    hot: int = 0
    """number of pixels that hold 10 to 10^6 counts whatever falls on them"""
    solid_angle: bool = True
    """whether w holds the solid angle; it holds the polarization when the geometry has one"""
    saturation: float | None = None
    """highest value a pixel can hold; None = the highest that the dtype can tell from an unusable pixel"""
    readout_noise: float = 0.0
    """standard deviation of Gaussian noise on top, counts; float frames only"""
    dtype: DTypeLike = np.int32
    """of the frames"""
    seed: int = 0
    """equal seeds give equal frames"""

    def __post_init__(self) -> None:
        check_scene(self)

    @property
    def shape(self) -> tuple[int, int]:
        """(slow, fast)."""
        return self.geometry.shape

    @cached_property
    def weight(self) -> Floats:
        """float64 [slow, fast]: w, solid angle times polarization factor."""
        weight = self.geometry.polarization_factor()
        return weight * self.geometry.solid_angle() if self.solid_angle else np.asarray(weight)

    @cached_property
    def mask(self) -> NDArray[np.uint32]:
        """uint32 [slow, fast]: NXmx pixel mask: gaps (bit 0), dead (bit 1) and hot, noisy pixels (bit 4)."""
        mask = np.where(self._gaps, np.uint32(_GAP), np.uint32(0))
        mask.flat[self._dead] |= np.uint32(_DEAD)
        mask.flat[self._hot[0]] |= np.uint32(_NOISY)
        return mask

    @cached_property
    def background_mean(self) -> Floats:
        """float64 [slow, fast]: raw counts expected from background and rings; masked pixels have it too."""
        if callable(self.background):
            background = np.asarray(self.background(self.geometry.q()), dtype=np.float64)
        else:
            background = np.array(self.background, dtype=np.float64)
            background = np.full(self.shape, float(background)) if background.ndim == 0 else background
        if background.shape != self.shape or not np.all(background[np.isfinite(self.weight)] >= 0):
            raise SettingError(f"background is {background.shape}, expected {self.shape} values >= 0 (slow, fast)")
        if self.falloff is not None:
            background /= 1 + (self.geometry.q() / self.falloff) ** 2
        for ring in self.rings:
            background = background + ring.strength * np.exp(-0.5 * ((self.geometry.q() - ring.q) / ring.width) ** 2)
        return background * self.weight

    @property
    def ceiling(self) -> float:
        """Highest value that a pixel can hold."""
        dtype = np.dtype(self.dtype)
        if dtype.kind == "f":
            return float("inf") if self.saturation is None else float(self.saturation)
        highest = int(np.iinfo(dtype).max) - (dtype.kind == "u")
        return highest if self.saturation is None else min(highest, int(self.saturation))

    def mean(self, i: int = 0) -> Floats:
        """float64 [slow, fast]: raw counts expected in frame `i`, with peaks, if the detector is perfect."""
        return self._expected(i)[0]

    def truth(self, i: int = 0) -> NDArray[np.void]:
        """The peaks of frame `i`: structured array of `TRUTH_DTYPE`, sorted by pixel number."""
        return self._expected(i)[1]

    def frame(self, i: int = 0) -> tuple[NDArray[Any], NDArray[np.void]]:
        """Frame `i` (dtype [slow, fast]) and its peaks (`TRUTH_DTYPE`)."""
        mean, truth = self._expected(i)
        rng = np.random.default_rng([self.seed, 1, i])
        mean = np.where(np.isfinite(mean), mean, 0.0)
        hot_at, hot_mean = self._hot
        mean.flat[self._dead] = 0.0
        mean.flat[hot_at] = hot_mean
        counts = rng.poisson(mean)
        if np.dtype(self.dtype).kind == "f" and self.readout_noise > 0:
            noisy = counts + rng.normal(0.0, self.readout_noise, counts.shape)
            noisy.flat[self._dead] = 0.0
            frame = np.minimum(noisy, self.ceiling).astype(self.dtype)
        else:
            frame = np.minimum(counts, self.ceiling).astype(self.dtype)
        frame[self._gaps] = marker(np.dtype(self.dtype))
        return frame, truth

    @cached_property
    def _gaps(self) -> NDArray[np.bool_]:
        gap = ~np.isfinite(self.weight)
        if self.modules is not None:
            for axis, (size, space) in enumerate(zip(self.modules, self.gaps)):
                between = np.arange(self.shape[axis]) % (size + space) >= size
                gap |= between[:, None] if axis == 0 else between[None, :]
        return gap

    @cached_property
    def _spoiled(self) -> NDArray[np.intp]:
        places = np.flatnonzero(~self._gaps)
        if self.dead + self.hot > len(places):
            raise SettingError(f"dead + hot is {self.dead + self.hot}, more than the {len(places)} pixels there are")
        return np.random.default_rng([self.seed, 0]).choice(places, self.dead + self.hot, replace=False)

    @property
    def _dead(self) -> NDArray[np.intp]:
        return self._spoiled[: self.dead]

    @property
    def _hot(self) -> tuple[NDArray[np.intp], Floats]:
        return self._spoiled[self.dead :], 10 ** np.random.default_rng([self.seed, 2]).uniform(1, 6, self.hot)

    @cached_property
    def _planes(self) -> list[Plane]:
        return planes(self.geometry)

    @cached_property
    def _near_spoiled(self) -> NDArray[np.bool_]:
        return np.asarray(maximum_filter(self.mask != 0, size=2 * int(np.ceil(4 * self.width)) + 1))

    def _places(self, i: int) -> Floats:
        """float64 [n, 3]: slow, fast, intensity of the peaks of frame `i`."""
        if isinstance(self.peaks, Lattice):
            ray, strength = self.peaks.excited(self.geometry.wavelength or np.nan, i, self.seed)
            slow, fast, index = meet(self._planes, ray)
            return np.stack([slow, fast, self.intensity * strength[index]], axis=1)
        if isinstance(self.peaks, (int, np.integer)):
            rng = np.random.default_rng([self.seed, 4, i])
            places = rng.uniform((0, 0), self.shape, (int(self.peaks), 2))
            return np.column_stack([places, rng.exponential(self.intensity, int(self.peaks))])
        return np.array(self.peaks, dtype=np.float64).reshape(-1, 3)

    def _expected(self, i: int) -> tuple[Floats, NDArray[np.void]]:
        if i < 0:
            raise SettingError(f"frame number is {i}, expected 0 or more")
        places = self._places(i)
        row, column = np.floor(places[:, 0]).astype(int), np.floor(places[:, 1]).astype(int)
        on_frame = (row >= 0) & (row < self.shape[0]) & (column >= 0) & (column < self.shape[1])
        on_frame &= places[:, 2] > 0
        order = np.lexsort((column[on_frame], row[on_frame]))
        places, row, column = (values[on_frame][order] for values in (places, row, column))
        truth = np.zeros(len(places), dtype=TRUTH_DTYPE)
        truth["frame"] = i
        truth["slow"], truth["fast"], truth["intensity"] = places.T
        mean = self.background_mean.copy()
        truth["background"] = mean[row, column]
        truth["d"] = self.geometry.d_at(truth["slow"], truth["fast"])

        reach = int(np.ceil(6 * self.width)) + 1
        rows, along_slow = gaussian_shares(truth["slow"], reach, self.width)
        columns, along_fast = gaussian_shares(truth["fast"], reach, self.width)
        inside = ((rows >= 0) & (rows < self.shape[0]))[:, :, None]
        inside = inside & ((columns >= 0) & (columns < self.shape[1]))[:, None, :]
        at = (
            np.clip(rows, 0, self.shape[0] - 1)[:, :, None],
            np.clip(columns, 0, self.shape[1] - 1)[:, None, :],
        )
        photons = truth["intensity"][:, None, None] * along_slow[:, :, None] * along_fast[:, None, :]
        photons = np.where(inside, photons * self.weight[at], 0.0)
        np.add.at(mean, at, photons)
        truth["counts"] = np.sum(photons, axis=(1, 2), where=self.mask[at] == 0)

        margin = 4 * self.width
        clear = (truth["slow"] >= margin) & (truth["slow"] <= self.shape[0] - margin)
        clear &= (truth["fast"] >= margin) & (truth["fast"] <= self.shape[1] - margin)
        if len(truth) > 1:
            pair = KDTree(places[:, :2]).query(places[:, :2], k=2)[0][:, 1]
            clear &= pair > 2 * margin
        truth["isolated"] = clear & ~self._near_spoiled[row, column]
        return mean, truth
