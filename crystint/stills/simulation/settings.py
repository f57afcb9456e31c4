"""What a simulation of stills may hold: beam, detector, spots, background, faults; checked once."""

from __future__ import annotations

from dataclasses import dataclass, field, fields

import numpy as np
from numpy.typing import NDArray

from crystint.errors import SettingError
from crystint.html import html_table
from crystint.model.experiment import Detector
from crystint.model.facts import counted
from crystint.model.panels import Panel
from crystint.stills.settings import PredictSettings, SimulateSettings
from crystint.stills.simulation.crystal import Crystal

__all__ = ["StillsSettings"]

_DEFAULTS = SimulateSettings()


@dataclass(frozen=True)
class StillsSettings:
    """Everything that a simulated set of stills depends on. Lengths in reciprocal space without the factor 2 pi.

    Raises
    ------
    SettingError
        For an impossible value, with its name.

    Examples
    --------
    >>> from crystint import stills
    >>> stills.StillsSettings(frames=3, d_min=4.0).distance
    0.15
    """

    frames: int = _DEFAULTS.frames
    """how many"""
    crystal: Crystal = field(default_factory=Crystal)
    """cell, symmetry, intensities"""
    seed: int = _DEFAULTS.seed
    """equal seeds give equal stills"""

    shape: tuple[int, int] = _DEFAULTS.shape
    """(slow, fast) pixels"""
    pixel_size: float = _DEFAULTS.pixel_size
    """m"""
    distance: float = _DEFAULTS.distance
    """m"""
    wavelength: float = _DEFAULTS.wavelength
    """angstrom"""
    wavelength_spread: float = 0.0
    """relative standard deviation of the wavelength from image to image"""
    polarization_fraction: float = 0.99
    """as `Experiment`"""
    thickness: float = 0.0
    """of the sensor, m"""
    attenuation: float = 0.0
    """of the sensor, 1/m"""
    modules: tuple[int, int] | None = None
    """(slow, fast) pixels of a module; None = no gaps"""
    gaps: tuple[int, int] = (17, 7)
    """(slow, fast) pixels between modules"""
    saturation: float | None = None
    """highest value that a pixel can hold"""

    d_min: float = _DEFAULTS.d_min
    """angstrom"""
    band: float = PredictSettings().band
    """observations are listed to this |excitation| / R0"""
    reach: float = 3.0
    """and make spots on the detector to this"""
    domain: float = _DEFAULTS.domain
    """R0, 1/angstrom: partiality = exp(-excitation^2 / R0^2), R0^2 = domain^2 + (mosaicity / d)^2
    + (bandwidth wavelength)^2 / (2 d^4)"""
    mosaicity: float = _DEFAULTS.mosaicity
    """rad"""
    bandwidth: float = _DEFAULTS.bandwidth
    """relative, RMS"""
    spread_width: float = _DEFAULTS.spread_width
    """standard deviation, between images, of the logarithm of what domain and mosaicity are multiplied by"""
    spread_ln_g: float = _DEFAULTS.spread_ln_g
    """standard deviation of ln G; its mean is 0"""
    spread_b: float = _DEFAULTS.spread_b
    """standard deviation of B, angstrom^2; its mean is 0"""

    spot: float = _DEFAULTS.spot
    """R1, 1/angstrom: the spot is exp(-e_t^2 / R1^2), R1^2 = spot^2 + (spot_growth / d)^2"""
    spot_growth: float = 0.0
    """rad"""
    spot_ratio: float = 1.0
    """radial over tangential width of the spot; their product is R1^2"""
    oversampling: int = 1
    """1: the spot's height at the centre of a pixel (what a template has); k: the mean of k x k points in it"""
    background: float = _DEFAULTS.background
    """counts per pixel: times 0.2 + solvent ring exp(-((1/d - 0.3) / 0.12)^2) + 0.3 exp(-(1/(0.1 d))^2)"""
    ring_pixels: int = 100
    """pixels of a shoebox's background"""

    zingers: float = 0.0
    """share of pixels that get further counts, exponential with a mean of 500"""
    orientation_error: float = _DEFAULTS.orientation_error
    """rad: standard deviation, about each axis, of what the experiment says from what is so"""
    second_lattice: float = _DEFAULTS.second_lattice
    """share of frames with two crystals, each an image of its own"""
    free_indexing: bool = _DEFAULTS.free_indexing
    """each image is indexed in one of the two ways that an indexing ambiguity allows"""

    def __post_init__(self) -> None:
        above = ("pixel_size", "distance", "wavelength", "d_min", "band", "spot", "spot_ratio", "oversampling")
        for name in (*above, "ring_pixels"):
            if not (np.isfinite(getattr(self, name)) and getattr(self, name) > 0):
                raise SettingError(f"{name} is {getattr(self, name)!r}, expected a number above 0")
        numbers = {entry.name for entry in fields(self) if entry.type == "float"} | {"frames", "seed"}
        for name in sorted(numbers.difference(above)):
            if not (np.isfinite(getattr(self, name)) and getattr(self, name) >= 0):
                raise SettingError(f"{name} is {getattr(self, name)!r}, expected a number, 0 or more")
        for name in ("polarization_fraction", "zingers", "second_lattice"):
            if getattr(self, name) > 1.0:
                raise SettingError(f"{name} is {getattr(self, name)!r}, expected 0 to 1")
        for name in ("shape", "modules"):
            if getattr(self, name) is not None and min(getattr(self, name)) < 1:
                raise SettingError(f"{name} is {getattr(self, name)!r}, expected (slow, fast) pixels above 0")
        if self.reach < self.band:
            raise SettingError(f"reach is {self.reach}, expected at least band, {self.band}")
        if not (self.domain or self.mosaicity or self.bandwidth):
            raise SettingError("domain, mosaicity and bandwidth are all 0; the reflections need a width")
        if self.saturation is not None and not self.saturation > 0:
            raise SettingError(f"saturation is {self.saturation!r}, expected a number above 0, or None")
        if self.free_indexing and self.crystal.other_indexing() is None:
            raise SettingError(
                f"free_indexing: {self.crystal.space_group} with its cell can be indexed in one way only"
            )

    def __repr__(self) -> str:
        slow, fast = self.shape
        return (
            f"<StillsSettings: {counted(self.frames, 'frame')} of {slow} x {fast} px, {self.crystal.group.xhm()}, "
            f"to {self.d_min:g} angstrom, seed {self.seed}>"
        )

    def _repr_html_(self) -> str:
        return html_table("StillsSettings", {entry.name: getattr(self, entry.name) for entry in fields(self)})

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
        return Detector(self.shape, (panel,), self.thickness, self.attenuation, self.saturation)

    @property
    def mask(self) -> NDArray[np.uint32]:
        """uint32 [slow, fast]: NXmx pixel mask; 1 = gap between modules."""
        gap = np.zeros(self.shape, dtype=bool)
        if self.modules is not None:
            for axis, (size, space) in enumerate(zip(self.modules, self.gaps, strict=True)):
                between = np.arange(self.shape[axis]) % (size + space) >= size
                gap |= between[:, None] if axis == 0 else between[None, :]
        return gap.astype(np.uint32)

    def rocking(
        self, d: NDArray[np.float64], wavelength: NDArray[np.float64] | float, ratio: NDArray[np.float64] | float = 1.0
    ) -> NDArray[np.float64]:
        """R0, 1/angstrom, of crystals whose domain and mosaicity are `ratio` times those of the settings."""
        s2 = 1.0 / d**2
        spectral = 0.5 * (self.bandwidth * wavelength) ** 2 * s2**2
        return np.asarray(np.sqrt(ratio**2 * (self.domain**2 + self.mosaicity**2 * s2) + spectral))

    def spot_width(self, d: NDArray[np.float64]) -> NDArray[np.float64]:
        """R1, 1/angstrom."""
        return np.asarray(np.hypot(self.spot, self.spot_growth / d))

    def background_at(self, d: NDArray[np.float64]) -> NDArray[np.float64]:
        """Counts per pixel expected from everything but spots."""
        s = 1.0 / d
        shape = 0.2 + np.exp(-(((s - 0.3) / 0.12) ** 2)) + 0.3 * np.exp(-((s / 0.1) ** 2))
        return np.asarray(self.background * shape)
