"""Geometry and saturation value in NXmx, DECTRIS, Jungfraujoch and CXI files."""

from __future__ import annotations

import math
from typing import Any

import h5py

from crystint.errors import GeometryError
from crystint.io.geometry.nexus_axes import axes_geometry
from crystint.io.geometry.nexus_beam import beam_geometry
from crystint.io.hdf5.nexus_values import Quantity, length, number, place_of, quantity
from crystint.model.partial_geometry import PartialGeometry

__all__ = ["nexus_geometry", "nexus_saturation"]

_SATURATION = (
    "saturation_value",
    "detectorSpecific/saturation_value",
    "countrate_correction_count_cutoff",
    "detectorSpecific/countrate_correction_count_cutoff",
)


def nexus_geometry(
    file: h5py.File, detector: h5py.Group | None, shape: tuple[int, int], name: str, frames: int | None = None
) -> PartialGeometry:
    """What an HDF5 file tells of the geometry.

    The axes of the detector's modules (``depends_on`` chains) where they are complete, as NXmx demands. Without them,
    and for files whose axes are stubs that leave the detector at the sample, or its first pixel on the beam while the
    file has a beam centre: `beam_center_x` and `beam_center_y`, which are read as DIALS reads them (px from the outer
    corner of the first pixel, where the direct beam meets the detector), distance and pixel size.

    Parameters
    ----------
    file : h5py.File
    detector : h5py.Group or None
        That of the frames; see `crystint.io.geometry.detector_group.detector_of`.
    shape : (slow, fast)
        Of a frame.
    name : str
        For messages.
    frames : int, optional
        How many the file has: so many wavelengths are one for each.

    Returns
    -------
    PartialGeometry
        Zeros count as missing: DECTRIS writes them where nothing was set.

    Raises
    ------
    GeometryError
        When a unit is not what it should be.

    Warns
    -----
    CrystintWarning
        When axes and beam centre or distance differ by more than 1 px or 1 %.
    """
    try:
        beam = beam_geometry(file, detector, frames)
        if detector is None:
            return beam
        plain = _plain(detector)
        return axes_geometry(file, detector, shape, plain, name).over(plain).over(beam)
    except GeometryError as error:
        raise GeometryError(f"{name}: {error}") from error


def _plain(detector: h5py.Group) -> PartialGeometry:
    """Beam centre, distance and pixel size, as far as they are there."""
    values: dict[str, Any] = {}
    places: dict[str, str] = {}
    for key in ("detector_distance", "distance"):
        distance = length(detector, key)
        if distance and "distance" not in values:
            values["distance"], places["distance"] = abs(distance), place_of(detector, key)
    pixel = length(detector, "y_pixel_size"), length(detector, "x_pixel_size")
    if pixel[0] and pixel[1]:
        values["pixel_size"], places["pixel_size"] = pixel, place_of(detector, "y_pixel_size", "x_pixel_size")
    center = quantity(detector, "beam_center_y"), quantity(detector, "beam_center_x")
    if center[0] is not None and center[1] is not None and (center[0].value or center[1].value):
        sizes = values.get("pixel_size", (None, None))
        pixels = _pixels(center[0], sizes[0]), _pixels(center[1], sizes[1])
        if None not in pixels:
            values["beam_center"], places["beam_center"] = pixels, place_of(detector, "beam_center_y", "beam_center_x")
    return PartialGeometry(values, places)


def _pixels(center: Quantity, pixel: float | None) -> float | None:
    """A beam centre in px; some programs write it as a length, which needs the size of a pixel."""
    if center.metres is None:
        return center.value
    return center.metres / pixel if pixel else None


def nexus_saturation(detector: h5py.Group | None) -> float | None:
    """The largest valid count: NXmx's saturation_value, or DECTRIS's countrate_correction_count_cutoff."""
    if detector is None:
        return None
    specific = detector.get("detectorSpecific")
    modules = sorted(key for key in specific if key.startswith("detectorModule_")) if specific is not None else []
    deeper = [f"detectorSpecific/{module}/countrate_correction_count_cutoff" for module in modules]  # early firmware
    for key in (*_SATURATION, *deeper):
        value = number(detector, key)
        if value is not None and math.isfinite(value) and value > 0.0:
            return value
    return None
