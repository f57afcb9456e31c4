"""Geometry, mask and saturation value in NXmx, DECTRIS, Jungfraujoch and CXI files."""

from __future__ import annotations

import math
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from crystint.errors import FileError, GeometryError
from crystint.io.geometry.nexus_axes import axes_geometry
from crystint.io.geometry.nexus_beam import beam_geometry
from crystint.io.hdf5.nexus_values import Quantity, find_group, length, number, place_of, quantity
from crystint.model.partial_geometry import PartialGeometry

__all__ = ["nexus_geometry", "nexus_mask", "nexus_saturation"]

_DETECTOR = ("entry/instrument/detector", "entry_1/instrument_1/detector_1", "entry/instrument/detector_1")
_MASKS = ("pixel_mask", "detectorSpecific/pixel_mask", "mask")
_SATURATION = (
    "saturation_value",
    "detectorSpecific/saturation_value",
    "countrate_correction_count_cutoff",
    "detectorSpecific/countrate_correction_count_cutoff",
)


def nexus_geometry(file: h5py.File, shape: tuple[int, int], name: str) -> PartialGeometry:
    """What an HDF5 file tells of the geometry.

    The axes of the detector's modules (``depends_on`` chains) where they are complete, as NXmx demands. Without them,
    and for files whose axes are stubs that leave the detector at the sample, or its first pixel on the beam while the
    file has a beam centre: `beam_center_x` and `beam_center_y`, which are read as DIALS reads them (px from the outer
    corner of the first pixel, where the direct beam meets the detector), distance and pixel size.

    Parameters
    ----------
    file : h5py.File
    shape : (slow, fast)
        Of a frame.
    name : str
        For messages.

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
    detector = find_group(file, _DETECTOR, "NXdetector")
    if detector is None:
        return PartialGeometry()
    try:
        plain = _plain(detector)
        placed = axes_geometry(file, detector, shape, plain, name)
        return placed.over(plain).over(beam_geometry(file, detector))
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


def nexus_mask(file: h5py.File, shape: tuple[int, int] | None, name: str) -> NDArray[np.uint32] | None:
    """uint32 [slow, fast]: the pixel mask of the NXdetector group or of detectorSpecific; None = none.

    A stack of masks (one per threshold or module) is merged when its planes have the frame's shape.

    Raises
    ------
    FileError
        When it cannot be read.
    """
    detector = find_group(file, _DETECTOR, "NXdetector")
    places: list[Any] = [] if detector is None else [detector.get(key) for key in _MASKS]
    places += [file.get(key) for key in ("pixel_mask", "mask", "entry_1/instrument_1/detector_1/mask")]
    for item in places:
        if not isinstance(item, h5py.Dataset) or item.dtype.kind not in "iub" or item.ndim not in (2, 3):
            continue
        if shape is not None and item.shape[-2:] != shape:
            continue
        try:
            values = item[()]
        except (OSError, RuntimeError) as error:
            raise FileError(f"{name}: the mask {item.name} cannot be read: {error}") from error
        bits = values.astype(np.int64).astype(np.uint32)
        return np.asarray(np.bitwise_or.reduce(bits, axis=0) if bits.ndim == 3 else bits)
    return None


def nexus_saturation(file: h5py.File) -> float | None:
    """The largest valid count: NXmx's saturation_value, or DECTRIS's countrate_correction_count_cutoff."""
    detector = find_group(file, _DETECTOR, "NXdetector")
    if detector is None:
        return None
    for key in _SATURATION:
        value = number(detector, key)
        if value is not None and math.isfinite(value) and value > 0.0:
            return value
    return None
