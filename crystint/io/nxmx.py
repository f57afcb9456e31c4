"""What an NXmx file tells beside the frames: geometry, mask, limits, sensor, source, sample and scan."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from crystint.io.frames.nexus_limits import VALID_VALUES
from crystint.io.geometry.nexus_detector import write_axes, write_modules
from crystint.io.geometry.nexus_scan import UNKNOWN
from crystint.io.geometry.nexus_scan_out import write_sample_axes, write_times
from crystint.io.hdf5.files import group, put
from crystint.model.geometry import Geometry
from crystint.model.instrument import Instrument
from crystint.model.scan import Scan
from crystint.model.valid_values import ValidValues

__all__ = ["NXmxFacts", "as_images", "put_sample_scan"]

_THIN = 1e-9
"""Metres; stands for an unknown thickness of the sensor. NXmx demands one, and DIALS refuses 0."""


@dataclass(frozen=True, eq=False)
class NXmxFacts:
    """Of all frames of a file. Fields that NXmx demands and nobody knows are marked as such by an attribute."""

    shape: tuple[int, int]
    """(slow, fast)"""
    dtype: np.dtype[Any]
    """of the frames, native"""
    geometry: Geometry | None = None
    mask: NDArray[Any] | None = None
    """integer [slow, fast], NXmx pixel mask, 0 = good"""
    saturation: float | None = None
    """the largest value that is a measurement"""
    valid: ValidValues = field(default_factory=ValidValues)
    instrument: Instrument = field(default_factory=Instrument)
    exposure: float | None = None
    """s per frame, where there is no scan that tells it"""

    def begin(self, file: h5py.File) -> h5py.Group:
        """The entry: definition and title. The frames belong into its NXdata group ``data``."""
        file.attrs["default"] = "entry"
        entry = group(file, "entry", "NXentry", default="data")
        put(entry, "definition", "NXmx", version="1.0")
        put(entry, "title", f"frames of {self.instrument.sample}" if self.instrument.sample else "frames")
        return entry

    def describe(self, entry: h5py.Group) -> None:
        """All that does not change from frame to frame."""
        facts = self.instrument
        _demanded(group(entry, "source", "NXsource"), "name", facts.source)
        _demanded(group(entry, "sample", "NXsample"), "name", facts.sample)
        instrument = group(entry, "instrument", "NXinstrument")
        _demanded(instrument, "name", facts.name)
        self._detector(group(instrument, "detector", "NXdetector"))
        beam = group(instrument, "beam", "NXbeam")
        if self.geometry is not None and self.geometry.wavelength is not None:
            put(beam, "incident_wavelength", self.geometry.wavelength, "angstrom")
        if self.geometry is not None and self.geometry.polarization is not None:
            put(beam, "incident_polarization_stokes", np.array([1.0, self.geometry.polarization, 0.0, 0.0]))

    def _detector(self, detector: h5py.Group) -> None:
        facts = self.instrument
        _demanded(detector, "sensor_material", facts.material, "Si")
        _demanded(detector, "sensor_thickness", facts.thickness, _THIN)
        detector["sensor_thickness"].attrs["units"] = "m"
        for name, told in (
            ("description", facts.detector),
            ("serial_number", facts.serial),
            ("gain_value", facts.gain),
        ):
            if told is not None:
                put(detector, name, told)
        if self.dtype.kind != "f":
            put(detector, "bit_depth_image", np.int64(8 * self.dtype.itemsize))
            put(detector, "bit_depth_readout", np.int64(8 * self.dtype.itemsize))
        lowest, marks = self.valid.lowest, self.valid.marks
        if self.dtype.kind != "f" and (marks or lowest is not None):
            put(detector, "error_value", np.asarray(self.valid.marker(self.dtype), dtype=self.dtype))
        if self.dtype.kind != "f" or lowest is not None:
            put(detector, "underload_value", 0 if lowest is None else lowest)
        if self.valid != ValidValues.of(self.dtype):
            put(detector, VALID_VALUES, json.dumps(self.valid.to_dict()), type="text/json", program="crystint")
        if self.saturation is not None:
            put(detector, "saturation_value", self.saturation)
        if self.exposure is not None:
            put(detector, "count_time", float(self.exposure), "s")
            put(detector, "frame_time", float(self.exposure), "s")
        mask = np.zeros(self.shape) if self.mask is None else self.mask
        made = detector.create_dataset(
            "pixel_mask",
            data=np.asarray(mask).astype(np.uint32),
            chunks=self.shape,
            compression="gzip",
            shuffle=True,
        )
        made.attrs["interpretation"] = "image"
        put(detector, "pixel_mask_applied", False)
        place = self.geometry
        if place is None:
            return
        put(detector, "geometry", json.dumps(place.to_dict()), type="text/json", program="crystint")
        put(detector, "distance", place.distance_along_beam, "m")
        put(detector, "x_pixel_size", place.pixel_size[1], "m")
        put(detector, "y_pixel_size", place.pixel_size[0], "m")
        corner = "pixels from the outer corner of the first pixel to the direct beam"
        put(detector, "beam_center_x", place.direct_beam[1], "pixel", convention=corner)
        put(detector, "beam_center_y", place.direct_beam[0], "pixel", convention=corner)
        write_axes(detector, place)
        write_modules(detector, place)


def as_images(frames: h5py.Dataset) -> None:
    """Say that a data set is a stack of frames of counts."""
    frames.attrs["interpretation"] = "image"
    frames.attrs["units"] = "count"


def put_sample_scan(entry: h5py.Group, scan: Scan | None) -> None:
    """How the sample was turned and exposed: the axes of the sample, and the times of detector and entry.

    Parameters
    ----------
    entry : h5py.Group
        That `NXmxFacts.describe` has described.
    scan : Scan or None
        Of the frames of the file, all of them.
    """
    write_sample_axes(entry["sample"], scan)
    if scan is not None and len(scan):
        write_times(entry, entry["instrument/detector"], scan)


_INSTEAD = {
    "sensor_material": "not told by the source; DIALS reads no file without one. Without a thickness it does nothing",
    "sensor_thickness": "not told by the source; so thin that positions are left as they are",
}
"""Why a value that nobody knows is what it is."""


def _demanded(parent: h5py.Group, name: str, told: Any, instead: Any = "unknown") -> None:
    """A field that NXmx demands; where nobody knows it, a value that does no harm, marked as unknown."""
    put(parent, name, instead if told is None else told)
    if told is None:
        parent[name].attrs[UNKNOWN] = _INSTEAD.get(name, "not told by the source; NXmx demands the field")
