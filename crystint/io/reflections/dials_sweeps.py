"""Rotation experiments of DIALS (.expt): crystal, beam and goniometer at any moment of a scan."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crystint.errors import FileError, GeometryError, ShapeError
from crystint.io.guard import reads_file
from crystint.io.reflections.dials_detector import detector_of
from crystint.io.reflections.dials_experiments import (
    beam_points,
    image_range,
    lattice_points,
    model_of,
    read_content,
)
from crystint.io.reflections.dials_rotation import Rotation, between, rotation_of
from crystint.model.experiment import Detector

__all__ = ["Sweep", "read_sweeps"]


@dataclass(frozen=True, eq=False)
class Sweep:
    """One crystal that turns while images are taken. Positions along it are in images from its start."""

    group: int
    """number of the experiment"""
    rotation: Rotation
    lattice: NDArray[np.float64]
    """float64 [images + 1, 3, 3]: columns a*, b*, c* without the goniometer, at the ends of the images"""
    incident: NDArray[np.float64]
    """float64 [images + 1, 3]: s0 there"""
    detector: Detector
    sigma_b: NDArray[np.float64] | None
    """float64 [images], rad: spread of the beam as spots show it, of the profile model; None = there is none"""
    sigma_m: NDArray[np.float64] | None
    """float64 [images], rad: mosaicity, as `sigma_b`"""
    n_sigma: float
    """size of a spot in these"""

    @property
    def images(self) -> int:
        """How many there are."""
        return len(self.lattice) - 1

    @property
    def constant(self) -> bool:
        """Whether crystal, beam and axis stay as they are but for the rotation."""
        return bool(
            self.rotation.outer.ndim == 2
            and (self.lattice == self.lattice[0]).all()
            and (self.incident == self.incident[0]).all()
        )

    def lattice_at(self, z: NDArray[np.float64]) -> NDArray[np.float64]:
        """float64 [n, 3, 3] at positions along the scan."""
        return between(self.lattice, z)

    def incident_at(self, z: NDArray[np.float64]) -> NDArray[np.float64]:
        """float64 [n, 3] at positions along the scan."""
        return between(self.incident, z)


@reads_file
def read_sweeps(path: str | Path) -> list[Sweep]:
    """Those of the experiments with a crystal that turn; empty for stills.

    Raises
    ------
    FileError
        When the file is missing, damaged, or lacks a model that is needed.
    """
    path = Path(path)
    content = read_content(path)
    try:
        sweeps = [_sweep(content, entry, number) for number, entry in enumerate(content["experiment"])]
    except (GeometryError, ShapeError) as error:
        raise FileError(f"{path}: {error}") from error
    return [sweep for sweep in sweeps if sweep is not None]


def _sweep(content: dict[str, Any], entry: dict[str, Any], number: int) -> Sweep | None:
    crystal, scan = model_of(content, entry, "crystal"), model_of(content, entry, "scan")
    rotation = rotation_of(scan, model_of(content, entry, "goniometer"))
    if crystal is None or rotation is None:
        return None
    images = len(range(*image_range(scan)))
    profile = model_of(content, entry, "profile") or {}
    return Sweep(
        group=number,
        rotation=rotation,
        lattice=np.array(lattice_points(number, crystal, rotation, images)),
        incident=beam_points(model_of(content, entry, "beam"), images),
        detector=detector_of(model_of(content, entry, "detector")),
        sigma_b=_spread(profile.get("sigma_b"), images),
        sigma_m=_spread(profile.get("sigma_m"), images),
        n_sigma=float(profile.get("n_sigma") or 3.0),
    )


def _spread(value: Any, images: int) -> NDArray[np.float64] | None:
    """A spread in degrees, one number or one per image, as rad per image; None where there is none above 0."""
    values = np.radians(np.ravel(np.array([] if value is None else value, dtype=np.float64)))
    good = np.isfinite(values) & (values > 0.0)
    if not good.any():
        return None
    if len(values) != images:
        return np.full(images, float(np.median(values[good])))
    return np.where(good, values, np.median(values[good]))
