"""Rotation data whose truth is known: a crystal that turns through the Ewald sphere, frame by frame.

A reflection h crosses the sphere at the angle phi where |s0 + R(phi) A h| = |s0|; mosaicity spreads the crossing to a
Gaussian in phi of sd mosaicity / |zeta|, zeta = e . (s1 x s0) / |s1 x s0| (W. Kabsch (2010), Acta Cryst. D66, 133), and
its counts are

    J = scale I(h) P / (|s0 x s1 . e| / (|s0| |s1|))

with the polarization P and the Lorentz factor. Nothing here uses the prediction that it is there to test. Equal
settings give equal numbers; frame i depends on the settings and on i only.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

from crystint.arrays import Floats
from crystint.errors import SettingError
from crystint.html import html_table
from crystint.io.reflections.dials_rotation import Rotation
from crystint.model.experiment import Detector, Experiment
from crystint.model.facts import counted
from crystint.model.geometry import Geometry
from crystint.model.panels import Panel
from crystint.model.scan import Scan
from crystint.model.turns import turns
from crystint.simulate.sample import gaussian_shares
from crystint.stills.simulation.crystal import Crystal, Lattice, random_rotations

__all__ = ["ROTATION_TRUTH_DTYPE", "RotationSettings", "SimulatedRotation", "simulate_rotation"]

ROTATION_TRUTH_DTYPE: np.dtype[Any] = np.dtype(
    [
        ("hkl", np.int32, 3),
        ("unique", np.int32),  # row of Lattice.unique_hkl
        ("d", np.float64),  # angstrom
        ("phi", np.float64),  # degrees: where its middle crosses the sphere
        ("z", np.float64),  # the same in frames: 0 = start of the first exposure
        ("zeta", np.float64),
        ("slow", np.float64),  # px from the outer corner of the first pixel
        ("fast", np.float64),
        ("intensity", np.float64),  # I(hkl)
        ("counts", np.float64),  # J: expected, of the whole reflection
        ("share", np.float64),  # of J, that falls into the frames of the scan
        ("background", np.float64),  # expected counts per pixel at the spot, in each frame
        ("first", np.int32),  # frames that hold 99.7 % of it: first, and one past the last
        ("last", np.int32),
        ("sigma", np.float64),  # of J, with the background of a disc of 4 spot widths in these frames
        ("full", np.bool_),  # all of its frames are in the scan, and 9 px around it on the detector
    ]
)
"""Dtype of a simulated reflection of a scan."""

_MARGIN = 9.0
_REACH = 3.0
"""standard deviations of the rocking curve, either way, of the frames of a reflection"""
_LEAST_ZETA = 0.05
"""nearer to the rotation axis nothing is simulated, as nothing is integrated there"""
_ORIENTATION, _FRAME = 30, 31


@dataclass(frozen=True)
class RotationSettings:
    """Everything that simulated rotation data depend on.

    Raises
    ------
    SettingError
        For an impossible value, with its name.

    Examples
    --------
    >>> from crystint import stills
    >>> stills.RotationSettings(frames=10).oscillation
    0.4
    """

    frames: int = 60
    """how many"""
    crystal: Crystal = field(
        default_factory=lambda: Crystal((79.0, 79.0, 38.0, 90.0, 90.0, 90.0), "P 43 21 2", 1000.0, 25.0)
    )
    """cell, symmetry, intensities; the default is lysozyme"""
    seed: int = 0
    """equal seeds give equal frames"""
    oscillation: float = 0.4
    """degrees per frame, about an axis along fast"""
    start: float = 0.0
    """degrees"""
    mosaicity: float = 0.1
    """degrees: standard deviation of the rocking curve where zeta is 1"""
    shape: tuple[int, int] = (900, 900)
    """(slow, fast) pixels"""
    pixel_size: float = 172e-6
    """m"""
    distance: float = 0.145
    """m"""
    wavelength: float = 1.0
    """angstrom"""
    polarization_fraction: float = 0.99
    """as `Experiment`"""
    d_min: float = 2.0
    """angstrom"""
    spot: float = 1.0
    """standard deviation of a spot, px"""
    background: tuple[float, float] = (3.0, 0.2)
    """counts per pixel on the beam and at `d_min`; it falls exponentially in 1 / d, and with the solid angle and the
    polarization of each pixel"""
    scale: float = 0.15
    """counts per unit of intensity"""

    def __post_init__(self) -> None:
        for name in ("frames", "oscillation", "mosaicity", "pixel_size", "distance", "wavelength", "d_min", "spot"):
            if not (np.isfinite(getattr(self, name)) and getattr(self, name) > 0):
                raise SettingError(f"{name} is {getattr(self, name)!r}, expected a number above 0")
        if not (np.isfinite(self.scale) and self.scale > 0):
            raise SettingError(f"scale is {self.scale!r}, expected a number above 0")
        if len(self.background) != 2 or not min(self.background) > 0:
            raise SettingError(f"background is {self.background!r}, expected two numbers above 0")
        if min(self.shape) < 1:
            raise SettingError(f"shape is {self.shape!r}, expected (slow, fast) pixels above 0")
        if not 0.0 <= self.polarization_fraction <= 1.0:
            raise SettingError(f"polarization_fraction is {self.polarization_fraction!r}, expected 0 to 1")
        if not self.seed >= 0:
            raise SettingError(f"seed is {self.seed!r}, expected 0 or more")

    def __repr__(self) -> str:
        slow, fast = self.shape
        return (
            f"<RotationSettings: {counted(self.frames, 'frame')} of {self.oscillation:g} degrees, {slow} x {fast} px, "
            f"{self.crystal.group.xhm()}, to {self.d_min:g} angstrom, seed {self.seed}>"
        )

    def _repr_html_(self) -> str:
        return html_table("RotationSettings", {entry.name: getattr(self, entry.name) for entry in fields(self)})

    @property
    def detector(self) -> Detector:
        """One flat panel across the beam, in DIALS's frame: x along fast, y against slow, the beam along -z."""
        pixel, (slow, fast) = self.pixel_size, self.shape
        panel = Panel(
            slow=(0, slow),
            fast=(0, fast),
            origin=(-0.5 * fast * pixel, 0.5 * slow * pixel, -self.distance),
            slow_vector=(0.0, -pixel, 0.0),
            fast_vector=(pixel, 0.0, 0.0),
        )
        return Detector(self.shape, (panel,))

    @property
    def geometry(self) -> Geometry:
        """The detector as crystint's other systems describe it."""
        return Geometry(
            shape=self.shape,
            pixel_size=(self.pixel_size, self.pixel_size),
            distance=self.distance,
            beam_center=(0.5 * self.shape[0], 0.5 * self.shape[1]),
            wavelength=self.wavelength,
            polarization=2.0 * self.polarization_fraction - 1.0,
        )


@dataclass(frozen=True)
class SimulatedRotation:
    """Frames of a scan, each made when asked for, and what is so in them. Made by `simulate_rotation`."""

    settings: RotationSettings
    """what all depends on"""

    def __repr__(self) -> str:
        s = self.settings
        turn = f"{s.frames} frames of {s.oscillation:g} degrees"
        return f"<SimulatedRotation: {turn}, {s.crystal.group.xhm()}, seed {s.seed}>"

    def _repr_html_(self) -> str:
        values = {entry.name: getattr(self.settings, entry.name) for entry in fields(self.settings)}
        return html_table("SimulatedRotation", values | {"crystal": repr(self.settings.crystal)})

    def __len__(self) -> int:
        return self.settings.frames

    @cached_property
    def lattice(self) -> Lattice:
        """All reflections and their intensities."""
        return self.settings.crystal.lattice(self.settings.d_min)

    @cached_property
    def setting(self) -> Floats:
        """float64 [3, 3]: columns a*, b*, c* at angle 0, 1/angstrom."""
        turn = random_rotations(1, [self.settings.seed, _ORIENTATION])[0]
        return np.asarray(turn @ self.settings.crystal.reciprocal)

    @property
    def rotation(self) -> Rotation:
        """The goniometer: one axis along x, right-handed, in the frame of `RotationSettings.detector`."""
        s = self.settings
        return Rotation(np.array([1.0, 0.0, 0.0]), np.radians(s.start), np.radians(s.oscillation), np.eye(3), np.eye(3))

    @property
    def scan(self) -> Scan:
        """The same as frames tell it, in the frame of `Geometry`: half a turn about x."""
        s = self.settings
        angles = np.asarray(s.start + s.oscillation * np.arange(s.frames), np.float64)
        return Scan(("omega",), np.array([[1.0, 0.0, 0.0]]), angles[None, :], width=np.array(s.oscillation))

    @cached_property
    def experiment(self) -> Experiment:
        """What a program that indexed would say, one image for each frame."""
        s = self.settings
        number = np.arange(s.frames)
        begin, middle, end = (self.rotation.at(number + part) @ self.setting for part in (0.0, 0.5, 1.0))
        return Experiment(
            setting=middle,
            incident=np.tile([0.0, 0.0, -1.0 / s.wavelength], (s.frames, 1)),
            detectors=(s.detector,),
            cell=s.crystal.cell,
            space_group=s.crystal.group,
            sweep=end - begin,
            group=np.zeros(s.frames, np.int64),
            polarization_fraction=s.polarization_fraction,
        )

    @cached_property
    def background(self) -> Floats:
        """float64 [slow, fast]: counts per pixel and frame expected without reflections."""
        slow, fast = (np.arange(size) + 0.5 for size in self.settings.shape)
        return self._background_at(slow[:, None], fast[None, :])

    def _background_at(self, slow: NDArray[Any], fast: NDArray[Any]) -> Floats:
        s = self.settings
        y, x = s.pixel_size * (slow - 0.5 * s.shape[0]), s.pixel_size * (fast - 0.5 * s.shape[1])
        ray = np.stack(np.broadcast_arrays(x, -y, -s.distance), axis=-1)
        cosine = s.distance / np.linalg.norm(ray, axis=-1)
        near, far = s.background
        law = near * (far / near) ** (2.0 / s.wavelength * np.sin(0.5 * np.arccos(cosine)) * s.d_min)
        return np.asarray(law * cosine**3 * _polarization(s, ray))

    @cached_property
    def truth(self) -> NDArray[np.void]:
        """The reflections that meet the detector during the scan: array of `ROTATION_TRUTH_DTYPE`, by `phi`.

        Those whose `share` is small only spill into the first or last frames; `full` ones can be integrated.
        """
        s, lattice = self.settings, self.lattice
        row, phi = self._crossings()
        turned = np.einsum("nij,nj->ni", turns(np.array([1.0, 0.0, 0.0]), phi), lattice.hkl[row] @ self.setting.T)
        s0 = np.array([0.0, 0.0, -1.0 / s.wavelength])
        s1 = turned + s0
        across = np.cross(s1, s0)
        size = np.linalg.norm(across, axis=1)
        with np.errstate(divide="ignore", invalid="ignore"):
            zeta = across[:, 0] / size
        slow, fast = _meet(s, s1)
        width = np.radians(s.mosaicity) / np.abs(zeta)
        begin, end = np.radians(s.start), np.radians(s.start + s.frames * s.oscillation)
        share = ndtr((end - phi) / width) - ndtr((begin - phi) / width)
        keep = (np.abs(zeta) >= _LEAST_ZETA) & (share > 1e-4)
        keep &= (slow >= 0) & (slow < s.shape[0]) & (fast >= 0) & (fast < s.shape[1])
        order = np.flatnonzero(keep)
        order = order[np.argsort(phi[order], kind="stable")]
        truth = np.zeros(len(order), ROTATION_TRUTH_DTYPE)
        truth["hkl"], truth["unique"] = lattice.hkl[row[order]], lattice.unique[row[order]]
        truth["d"], truth["intensity"] = lattice.d[row[order]], lattice.intensity[row[order]]
        truth["phi"], truth["zeta"] = np.degrees(phi[order]), zeta[order]
        truth["slow"], truth["fast"], truth["share"] = slow[order], fast[order], share[order]
        truth["z"] = (truth["phi"] - s.start) / s.oscillation
        lorentz = s.wavelength**-2 / np.abs(across[order, 0])
        truth["counts"] = s.scale * truth["intensity"] * _polarization(s, s1[order]) * lorentz
        truth["background"] = self._background_at(truth["slow"], truth["fast"])
        reach = _REACH * s.mosaicity / np.abs(truth["zeta"]) / s.oscillation
        first, last = np.floor(truth["z"] - reach).astype(int), np.ceil(truth["z"] + reach).astype(int)
        truth["first"], truth["last"] = np.clip(first, 0, s.frames), np.clip(last, 0, s.frames)
        pixels = np.pi * (4.0 * s.spot) ** 2 * (last - first)
        truth["sigma"] = np.sqrt(truth["counts"] + truth["background"] * pixels)
        inside = (first >= 0) & (last <= s.frames)
        for name, size_of in zip(("slow", "fast"), s.shape, strict=True):
            inside &= (truth[name] >= _MARGIN) & (truth[name] <= size_of - _MARGIN)
        truth["full"] = inside
        return truth

    def _crossings(self) -> tuple[NDArray[np.intp], Floats]:
        """Rows of the lattice and angles, rad, where they cross the sphere near the scan.

        With x = A h and the axis e = (1, 0, 0): 2 s0 . R(phi) x + |x|^2 = 0 is a cos(phi) + b sin(phi) = c.
        """
        s = self.settings
        x = self.lattice.hkl @ self.setting.T
        s0 = -1.0 / s.wavelength
        a, b, c = s0 * x[:, 2], s0 * x[:, 1], -0.5 * np.einsum("ni,ni->n", x, x)
        size = np.hypot(a, b)
        meets = np.flatnonzero(np.abs(c) < size)
        middle, half = np.arctan2(b[meets], a[meets]), np.arccos(c[meets] / size[meets])
        row, phi = np.concatenate([meets, meets]), np.concatenate([middle + half, middle - half])
        margin = np.radians(4.0 * s.mosaicity / _LEAST_ZETA)
        begin, end = np.radians(s.start) - margin, np.radians(s.start + s.frames * s.oscillation) + margin
        phi = begin + np.mod(phi - begin, 2.0 * np.pi)
        near = phi <= end
        return row[near], phi[near]

    def shares(self, rows: NDArray[Any], number: int) -> Floats:
        """float64 [n]: part of the counts of reflections (rows of `truth`) that falls into frame `number`."""
        width = self.settings.mosaicity / np.abs(rows["zeta"]) / self.settings.oscillation
        return np.asarray(ndtr((number + 1 - rows["z"]) / width) - ndtr((number - rows["z"]) / width))

    def mean(self, number: int) -> Floats:
        """float64 [slow, fast]: counts expected in a frame."""
        s, truth = self.settings, self.truth
        if not 0 <= number < s.frames:
            raise IndexError(f"frame {number} of a simulation of {s.frames} frames")
        share = self.shares(truth, number)
        here = np.flatnonzero(share > 1e-5)
        rows, share = truth[here], share[here]
        reach = int(np.ceil(5.0 * s.spot)) + 1
        slow, along_slow = gaussian_shares(rows["slow"], reach, s.spot)
        fast, along_fast = gaussian_shares(rows["fast"], reach, s.spot)
        counts = (rows["counts"] * share)[:, None, None] * along_slow[:, :, None] * along_fast[:, None, :]
        inside = ((slow >= 0) & (slow < s.shape[0]))[:, :, None] & ((fast >= 0) & (fast < s.shape[1]))[:, None, :]
        at = (slow[:, :, None] * s.shape[1] + fast[:, None, :])[inside]
        spots = np.bincount(at, counts[inside], minlength=s.shape[0] * s.shape[1]).reshape(s.shape)
        return np.asarray(self.background + spots)

    def image(self, number: int, dtype: Any = np.int32) -> NDArray[Any]:
        """A frame, dtype [slow, fast]: Poisson numbers."""
        rng = np.random.default_rng([self.settings.seed, _FRAME, number])
        return rng.poisson(self.mean(number)).astype(dtype)


def simulate_rotation(frames: int = 60, *, crystal: Crystal | None = None, **settings: Any) -> SimulatedRotation:
    """Rotation data of known truth.

    Parameters
    ----------
    frames : int
    crystal : Crystal, optional
        None = lysozyme, P 43 21 2, 79 x 79 x 38 angstrom, B 25 angstrom^2.
    **settings
        Any field of `RotationSettings`: oscillation, mosaicity, background, scale, d_min, seed...

    Returns
    -------
    SimulatedRotation
        ``image(i)`` makes a frame, ``truth`` says what is in all of them, `write_rotation` writes files.

    Raises
    ------
    SettingError
        For an unknown setting or an impossible value.

    Examples
    --------
    >>> from crystint.stills import simulate_rotation
    >>> data = simulate_rotation(4, d_min=4.0, shape=(300, 320), distance=0.1, seed=1)
    >>> data.image(0).shape, len(data), bool(data.truth["full"].any())
    ((300, 320), 4, True)
    """
    names = {entry.name for entry in fields(RotationSettings)} - {"frames", "crystal"}
    for name in settings:
        if name not in names:
            raise SettingError(f"simulate_rotation has no setting {name!r}; it has {', '.join(sorted(names))}")
    if crystal is not None:
        settings["crystal"] = crystal
    return SimulatedRotation(RotationSettings(int(frames), **settings))


def _meet(settings: RotationSettings, ray: Floats) -> tuple[Floats, Floats]:
    """Where rays [n, 3] meet the detector, px; NaN for those that go back."""
    pixel, (slow, fast) = settings.pixel_size, settings.shape
    with np.errstate(divide="ignore", invalid="ignore"):
        length = np.where(ray[:, 2] < 0, settings.distance / -ray[:, 2], np.nan)
    return 0.5 * slow - length * ray[:, 1] / pixel, 0.5 * fast + length * ray[:, 0] / pixel


def _polarization(settings: RotationSettings, ray: Floats) -> Floats:
    """Factor of the intensity: the electric field lies along x, the normal of its plane along y."""
    x, y = np.moveaxis(ray, -1, 0)[:2] / np.linalg.norm(ray, axis=-1)
    share = settings.polarization_fraction
    return np.asarray(share * (1.0 - x**2) + (1.0 - share) * (1.0 - y**2))
