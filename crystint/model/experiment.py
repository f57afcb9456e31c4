"""What was exposed: a beam, detectors, and one setting of one crystal per image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import gemmi
import numpy as np
from numpy.typing import NDArray

from crystint.errors import GeometryError, ShapeError
from crystint.html import html_table
from crystint.model.facts import cell_text, counted, range_text
from crystint.model.panels import Panel, check_panels
from crystint.model.plausible import implausible

__all__ = ["UNPLACED", "Detector", "Experiment", "join_experiments"]


@dataclass(frozen=True)
class Detector:
    """Flat panels in the laboratory frame of the experiment, and what their sensor does to a ray.

    Examples
    --------
    >>> from crystint import stills
    >>> data = stills.simulate_stills(6, d_min=4.0, shape=(300, 320), distance=0.05, seed=1)
    >>> detector = data.experiment.detectors[0]
    >>> detector.shape, len(detector.panels)
    ((300, 320), 1)
    """

    shape: tuple[int, int]
    """(slow, fast) pixels of a frame"""
    panels: tuple[Panel, ...]
    """which part of the frame each owns, and where it is, m (any right-handed frame: the experiment's)"""
    thickness: float = 0.0
    """of the sensor, m; 0 = no parallax, every photon counted"""
    attenuation: float = 0.0
    """of the sensor, 1/m; 0 = as `thickness` 0"""
    saturation: float | None = None
    """counts above this are not to be trusted; None = not known"""

    def __post_init__(self) -> None:
        if not self.panels:
            raise GeometryError("a detector needs at least one panel")
        for name in ("thickness", "attenuation"):
            value = float(getattr(self, name))
            if not (np.isfinite(value) and value >= 0.0):
                raise GeometryError(f"detector: {name} is {getattr(self, name)!r}, expected a number, 0 or more")
        check_panels(self.panels, self.shape)

    def __repr__(self) -> str:
        return f"<Detector: {self.shape[0]} x {self.shape[1]} px, {counted(len(self.panels), 'panel')}>"

    def _repr_html_(self) -> str:
        facts = {
            "shape (slow, fast)": "{} x {} px".format(*self.shape),
            "panels": len(self.panels),
            "thickness (m)": self.thickness,
            "attenuation (1/m)": self.attenuation,
            "saturation": self.saturation,
        }
        return html_table("Detector", facts)


UNPLACED = Detector((1, 1), (Panel((0, 1), (0, 1), (0.0, 0.0, 1.0), (0.0, 1e-4, 0.0), (1e-4, 0.0, 0.0)),))
"""stands for the detector where a file does not say"""


@dataclass(frozen=True, eq=False)
class Experiment:
    """Images, each one crystal on one frame (a frame with two lattices is two images with the same `frame`).

    Vectors are in one right-handed laboratory frame, reciprocal ones in 1/angstrom without the factor 2 pi.

    Raises
    ------
    ShapeError
        When the arrays do not belong together.
    GeometryError
        When a value is impossible; images are named by their number.

    Examples
    --------
    >>> from crystint import stills
    >>> data = stills.simulate_stills(6, d_min=4.0, shape=(300, 320), distance=0.05, seed=1)
    >>> len(data.experiment), data.experiment.cell[:3], data.experiment.space_group.hm
    (6, (60.0, 70.0, 80.0), 'P 21 21 21')
    >>> len(data.experiment.select([0, 2]))
    2
    """

    setting: NDArray[np.float64]
    """float64 [n, 3, 3]: columns a*, b*, c* at the middle of each exposure, goniometer included"""
    incident: NDArray[np.float64]
    """float64 [n, 3]: s0, the way of the X-rays, |s0| = 1 / wavelength"""
    detectors: tuple[Detector, ...]
    """each is used by one image or more"""
    cell: tuple[float, float, float, float, float, float]
    """angstrom and degrees, of the merged data"""
    space_group: gemmi.SpaceGroup
    """of the merged data"""
    detector: NDArray[np.intp] = field(default_factory=lambda: np.zeros(0, dtype=np.intp))
    """int [n]: which of `detectors`; empty = the first"""
    sweep: NDArray[np.float64] | None = None
    """float64 [n, 3, 3]: change of `setting` from the start to the end of the exposure; None = stills"""
    frame: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    """int64 [n]: number of the frame in the sequence of files, from 0; empty = 0, 1, 2..."""
    group: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    """int64 [n]: which crystal or sweep the image is of (DIALS's experiment number); empty = 0, 1, 2..."""
    name: tuple[str, ...] = ()
    """of each image, for messages ("file", "file//event"); empty = "image 0"..."""
    source: tuple[str, ...] = ()
    """the file of each image as the input names it, with its folder, and "//number" where that has several frames
    (CrystFEL: "//event"); "" = not known; empty = none is known"""
    polarization_normal: tuple[float, float, float] = (0.0, 1.0, 0.0)
    """unit normal of the plane of polarization"""
    polarization_fraction: float = 0.5
    """share of the intensity polarized in that plane (DIALS's meaning: 0.5 = not polarized, 1 = fully)"""
    bandwidth: float = 0.0
    """relative, RMS (FWHM / 2.355 of a Gaussian spectrum)"""

    def __post_init__(self) -> None:
        n = len(self.setting)
        wanted: Sequence[tuple[str, Any, tuple[int, ...], Any]] = (
            ("setting", np.float64, (n, 3, 3), None),
            ("incident", np.float64, (n, 3), None),
            ("detector", np.intp, (n,), np.zeros(n, dtype=np.intp)),
            ("frame", np.int64, (n,), np.arange(n)),
            ("group", np.int64, (n,), np.arange(n)),
        )
        for name, dtype, shape, default in wanted:
            values = np.asarray(getattr(self, name), dtype=dtype)
            if default is not None and values.size == 0:
                values = default
            if values.shape != shape:
                raise ShapeError(f"{name} is {values.shape}, expected {shape}")
            object.__setattr__(self, name, values)
        if self.sweep is not None and np.shape(self.sweep) != (n, 3, 3):
            raise ShapeError(f"sweep is {np.shape(self.sweep)}, expected {(n, 3, 3)}")
        names = tuple(self.name) or tuple(f"image {number}" for number in range(n))
        if len(names) != n:
            raise ShapeError(f"name has {len(names)} entries, expected {n}")
        sources = tuple(self.source) or ("",) * n
        if len(sources) != n:
            raise ShapeError(f"source has {len(sources)} entries, expected {n}")
        object.__setattr__(self, "name", names)
        object.__setattr__(self, "source", sources)
        if n and not (self.detector.min() >= 0 and self.detector.max() < len(self.detectors)):
            raise GeometryError(
                f"detector, the number of each image's detector, is {self.detector.min()} to {self.detector.max()}, "
                f"but detectors has {len(self.detectors)}, counted from 0"
            )

    def __repr__(self) -> str:
        crystal = f"{self.space_group.xhm()}, cell {cell_text(self.cell)}"
        return f"<Experiment: {counted(len(self), 'image')}, {crystal}>"

    def _repr_html_(self) -> str:
        with np.errstate(divide="ignore"):
            wavelength = range_text(self.wavelength, form=".6g")
        facts = {
            "images": len(self),
            "frames": len(np.unique(self.frame)),
            "cell (angstrom, degrees)": cell_text(self.cell),
            "space group": self.space_group.xhm(),
            "wavelength (angstrom)": wavelength or None,
            "bandwidth": self.bandwidth,
            "detectors": len(self.detectors),
            "turned during the exposure": self.sweep is not None,
        }
        return html_table("Experiment", facts)

    def __len__(self) -> int:
        return len(self.setting)

    @property
    def wavelength(self) -> NDArray[np.float64]:
        """float64 [n], angstrom."""
        return np.asarray(1.0 / np.linalg.norm(self.incident, axis=1))

    @property
    def mean_wavelength(self) -> float:
        """Angstrom; 0 where no image has one, which is what MTZ files call not known."""
        wavelength = self.wavelength
        good = np.isfinite(wavelength) & (wavelength > 0.0)
        return float(wavelength[good].mean()) if good.any() else 0.0

    def unusable(self) -> dict[int, str]:
        """Images that nothing can be predicted for, and why: singular or non-finite settings and beams."""
        reasons = {}
        with np.errstate(invalid="ignore", divide="ignore"):
            volume = np.linalg.det(self.setting)
            length = np.linalg.norm(self.setting, axis=1).prod(axis=1)
            flat = ~(np.abs(volume) > 1e-6 * length)
        for number in np.flatnonzero(flat | ~np.isfinite(self.setting).all(axis=(1, 2))):
            reasons[int(number)] = f"{self.name[number]}: its orientation matrix is singular or not finite"
        beam = np.linalg.norm(self.incident, axis=1)
        for number in np.flatnonzero(~(np.isfinite(beam) & (beam > 0.0))):
            reasons[int(number)] = f"{self.name[number]}: its beam has no direction or no wavelength"
        for image in set(range(len(self))) - reasons.keys():
            reason = implausible("wavelength", 1.0 / float(beam[image]))
            if reason:
                reasons[image] = f"{self.name[image]}: its wavelength {reason}"
        return reasons

    def select(self, images: NDArray[Any]) -> Experiment:
        """The experiment of some images only (numbers or a mask)."""
        numbers = np.arange(len(self))[images]
        return Experiment(
            setting=self.setting[numbers],
            incident=self.incident[numbers],
            detectors=self.detectors,
            cell=self.cell,
            space_group=self.space_group,
            detector=self.detector[numbers],
            sweep=None if self.sweep is None else self.sweep[numbers],
            frame=self.frame[numbers],
            group=self.group[numbers],
            name=tuple(self.name[number] for number in numbers),
            source=tuple(self.source[number] for number in numbers),
            polarization_normal=self.polarization_normal,
            polarization_fraction=self.polarization_fraction,
            bandwidth=self.bandwidth,
        )


def join_experiments(parts: Sequence[Experiment]) -> Experiment:
    """The images of several experiments, in order, with the cell, space group and beam of the first.

    Groups are renumbered, so that sweeps of different parts stay apart.

    Raises
    ------
    GeometryError
        When there is none, or the space groups differ.
    """
    if not parts:
        raise GeometryError("there is no experiment to join")
    first = parts[0]
    for part in parts[1:]:
        if part.space_group.number != first.space_group.number:
            raise GeometryError(
                f"the space groups differ, {first.space_group.xhm()} and {part.space_group.xhm()}: reindex one, or "
                "name the space group that both shall have"
            )
    detectors: list[Detector] = []
    detector: list[NDArray[np.intp]] = []
    group: list[NDArray[np.int64]] = []
    sweep: list[NDArray[np.float64]] = []
    for part in parts:
        detector.append(part.detector + len(detectors))
        detectors += part.detectors
        before = 1 + max((int(numbers.max(initial=-1)) for numbers in group), default=-1)
        group.append(part.group + before)
        sweep.append(np.zeros_like(part.setting) if part.sweep is None else part.sweep)
    return replace(
        first,
        setting=np.concatenate([part.setting for part in parts]),
        incident=np.concatenate([part.incident for part in parts]),
        detectors=tuple(detectors),
        detector=np.concatenate(detector),
        sweep=None if all(part.sweep is None for part in parts) else np.concatenate(sweep),
        frame=np.concatenate([part.frame for part in parts]),
        group=np.concatenate(group),
        name=tuple(name for part in parts for name in part.name),
        source=tuple(source for part in parts for source in part.source),
    )
