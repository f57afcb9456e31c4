"""Geometry, mask and saturation value in NXmx, DECTRIS, Jungfraujoch and CXI files."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from crystint.errors import FileError, GeometryError
from crystint.io.geometry.lab_frame import geometry_in_lab
from crystint.io.geometry.nexus_axes import module_panels
from crystint.io.hdf5.nexus_values import Quantity, find_group, length, number, quantity
from crystint.model.geometry import Geometry
from crystint.units import wavelength_of

__all__ = ["nexus_geometry", "nexus_mask", "nexus_saturation"]

_DETECTOR = ("entry/instrument/detector", "entry_1/instrument_1/detector_1", "entry/instrument/detector_1")
_MASKS = ("pixel_mask", "detectorSpecific/pixel_mask", "mask")
_SATURATION = (
    "saturation_value",
    "detectorSpecific/saturation_value",
    "countrate_correction_count_cutoff",
    "detectorSpecific/countrate_correction_count_cutoff",
)


def nexus_geometry(
    file: h5py.File, shape: tuple[int, int], name: str, *, beam_outside: bool = False
) -> Geometry | None:
    """Geometry from an HDF5 file.

    `beam_center_x` and `beam_center_y` are read as DIALS reads them: px from the outer corner of the first
    pixel, where the direct beam meets the detector. Where the axes of the detector's modules
    (``depends_on`` chains) are complete and say that the detector is tilted, swung out or of several
    planes, they are used instead.

    Parameters
    ----------
    file : h5py.File
    shape : (slow, fast)
        Of a frame.
    name : str
        For messages.
    beam_outside : bool
        Allow a direct beam that misses the frame; with a tilt or several planes it always may.

    Returns
    -------
    Geometry | None
        None when beam centre, distance or pixel size are missing (DECTRIS writes 0 there when they were not set
        them).

    Raises
    ------
    GeometryError
        When the values make no geometry.
    """
    detector = find_group(file, _DETECTOR, "NXdetector")
    if detector is None:
        return None
    wavelength = _wavelength(file, detector)
    polarization = _polarization(file)
    try:
        from_axes = _from_axes(file, detector, shape, wavelength)
        plain = (
            None if from_axes is not None and _tilted(from_axes) else _plain(detector, shape, wavelength, beam_outside)
        )
        if plain is not None:
            return replace(plain, polarization=polarization)
        if from_axes is None:
            return None
        outside = from_axes.beam_outside if _tilted(from_axes) else beam_outside
        return replace(from_axes, polarization=polarization, beam_outside=outside)
    except GeometryError as error:
        raise GeometryError(f"{name}: {error}") from error


def _tilted(geometry: Geometry) -> bool:
    return geometry.panels is not None or max(abs(angle) for angle in geometry.rotation[:2]) > 1e-6


def _from_axes(
    file: h5py.File, detector: h5py.Group, shape: tuple[int, int], wavelength: float | None
) -> Geometry | None:
    """From the modules' axes; None when they are absent, incomplete or leave the detector at the sample."""
    panels = module_panels(file, detector, shape)
    if not panels or not all(np.any(panel.origin) for panel in panels):
        return None
    try:
        return geometry_in_lab(panels, shape, wavelength=wavelength, beam_outside=True)
    except GeometryError:
        return None


def _plain(
    detector: h5py.Group, shape: tuple[int, int], wavelength: float | None, beam_outside: bool
) -> Geometry | None:
    """From beam centre, distance and pixel size."""
    distance = next(
        (
            metres
            for key in ("detector_distance", "distance")
            if (metres := length(detector, key)) is not None and metres != 0
        ),
        None,
    )
    pixel = length(detector, "y_pixel_size"), length(detector, "x_pixel_size")
    center = quantity(detector, "beam_center_y"), quantity(detector, "beam_center_x")
    if distance is None or not pixel[0] or not pixel[1] or center[0] is None or center[1] is None:
        return None
    if center[0].value == 0.0 and center[1].value == 0.0:
        return None
    return Geometry(
        shape=shape,
        pixel_size=(pixel[0], pixel[1]),
        distance=abs(distance),
        beam_center=(_pixels(center[0], pixel[0]), _pixels(center[1], pixel[1])),
        wavelength=wavelength,
        beam_outside=beam_outside,
    )


def _pixels(center: Quantity, pixel: float) -> float:
    """A beam centre in px; some programs write it as a length."""
    return center.value if center.metres is None else center.metres / pixel


def _wavelength(file: h5py.File, detector: h5py.Group) -> float | None:
    """Wavelength in angstrom from the wavelength or the photon energy, wherever the file keeps it."""
    places: list[h5py.Group] = []
    for usual, kind in ((("entry/instrument/beam", "entry/sample/beam"), "NXbeam"), ((), "NXmonochromator")):
        holder = find_group(file, usual, kind)
        if holder is not None:
            places.append(holder)
    for path in ("entry/instrument/monochromator", "entry/instrument", "entry_1/instrument_1/source_1"):
        item = file.get(path)
        if isinstance(item, h5py.Group):
            places.append(item)
    places += [item for key in ("detectorSpecific",) if isinstance(item := detector.get(key), h5py.Group)]
    for place in [*places, detector]:
        for key in ("incident_wavelength", "wavelength"):
            wave = quantity(place, key)
            if wave is not None and wave.value > 0.0:
                return wave.value if wave.metres is None else wave.metres * 1e10
        for key in ("incident_energy", "photon_energy", "energy"):
            energy = quantity(place, key)
            if energy is not None and energy.value > 0.0:
                return wavelength_of(energy.electronvolts)
    return None


def _polarization(file: h5py.File) -> float | None:
    """Polarization factor from the Stokes parameters (I, Q, U, V) of NXbeam: Q / I; None when absent."""
    beam = find_group(file, ("entry/instrument/beam", "entry/sample/beam"), "NXbeam")
    item = None if beam is None else beam.get("incident_polarization_stokes")
    if not isinstance(item, h5py.Dataset) or item.shape[-1:] != (4,):
        return None
    stokes = np.asarray(item[()], dtype=np.float64).reshape(-1, 4)[0]
    factor = stokes[1] / stokes[0] if stokes[0] > 0 else math.nan
    return float(factor) if abs(factor) <= 1 else None


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
