"""Dense frames as one NXmx file, which DIALS imports and FabIO opens."""

from __future__ import annotations

import json
from collections.abc import Mapping
from concurrent.futures import Executor
from contextlib import ExitStack
from os import PathLike
from types import TracebackType
from typing import Any, Self

import h5py
import numpy as np
from numpy.typing import NDArray

from crystint import __version__
from crystint.arrays import Bytes
from crystint.errors import DTypeError, SettingError, ShapeError
from crystint.io.frames.nexus_limits import VALID_VALUES
from crystint.io.geometry.nexus_detector import write_axes, write_modules
from crystint.io.geometry.nexus_scan import UNKNOWN
from crystint.io.geometry.nexus_scan_out import write_sample_axes, write_times
from crystint.io.hdf5.files import create_hdf5, group, process, put
from crystint.io.hdf5.packing import BSLZ4, GZIP, PLAIN, ChunkWriter
from crystint.io.hdf5.provenance import plain
from crystint.io.hdf5.source_metadata import write_metadata
from crystint.model.geometry import Geometry
from crystint.model.instrument import Instrument
from crystint.model.scan import Scan
from crystint.model.source_metadata import SourceMetadata
from crystint.model.valid_values import ValidValues

__all__ = ["DenseWriter", "missing_in"]

_COMPRESSIONS = {"bslz4": BSLZ4, "gzip": GZIP, "none": PLAIN}
_WAITING = 8
"""Frames that may wait for being written."""
_THIN = 1e-9
"""Metres; stands for an unknown thickness of the sensor. NXmx demands one, and DIALS refuses 0."""


class DenseWriter:
    """A NXmx file in the making: ``with DenseWriter(...) as writer: writer.write(frame)``.

    Each frame is one compressed chunk; memory does not grow with the number of frames.
    The file appears, whole, when the block ends well.

    Parameters
    ----------
    path : path
    shape : (slow, fast)
    dtype : dtype
        Of the frames.
    geometry : Geometry or None
        None = only the frames; DIALS cannot import such a file.
    mask : integer [slow, fast] or None
        NXmx pixel mask, 0 = good.
    saturation : number or None
        Counts at and above which a pixel is saturated.
    provenance : mapping
        From `crystint.io.hdf5.provenance.provenance`.
    overwrite : bool
        Replace an existing file.
    exposure : float, optional
        Seconds per frame, where there is no scan that tells it.
    compression : "bslz4", "gzip" or "none"
        Bitshuffle-LZ4 needs the filter plugin that programs for Eiger data have; gzip needs none and is slow.
    sensor_material : str, optional
        Chemical symbol or compound, where the instrument does not tell it.
    sensor_thickness : float, optional
        Metres, as the material. DIALS corrects positions for parallax with it, which the geometry knows nothing of.
    pool : concurrent.futures.Executor, optional
        Its threads compress the frames; without one `write` does. The file is the same.
    valid : ValidValues, optional
        Which values are measurements; None = the default of the dtype.
    scan : Scan, optional
        Of the frames that will be written; of a file that ends early those that were.
    instrument : Instrument, optional
        What is known of sensor, detector, source and sample. Fields that NXmx demands and nobody knows are marked as
        such by their attribute ``unknown``.
    metadata : SourceMetadata, optional
        What the source holds beside the pixels; it is kept in ``/entry/source_metadata``.

    Raises
    ------
    FileError
        When entering the block: the file exists or cannot be written.
    ShapeError, DTypeError
        When geometry or mask do not fit the shape, or the dtype is no counts.
    SettingError
        For an unknown compression.

    Examples
    --------
    >>> import crystint
    >>> data = crystint.simulate.simulate((100, 110), background=5.0, peaks=8, intensity=900.0, dtype="uint16", seed=1)
    >>> with crystint.DenseWriter(
    ...     "run.h5", data.shape, data.dtype, geometry=data.geometry, mask=data.mask, saturation=None, provenance={}
    ... ) as writer:
    ...     writer.write(data[0])
    >>> bool((crystint.open_frames("run.h5")[0] == data[0]).all())
    True
    """

    def __init__(
        self,
        path: str | PathLike[str],
        shape: tuple[int, int],
        dtype: Any,
        *,
        geometry: Geometry | None,
        mask: NDArray[Any] | None,
        saturation: float | None,
        provenance: Mapping[str, Any],
        overwrite: bool = False,
        exposure: float | None = None,
        compression: str = "gzip",
        sensor_material: str | None = None,
        sensor_thickness: float | None = None,
        pool: Executor | None = None,
        valid: ValidValues | None = None,
        scan: Scan | None = None,
        instrument: Instrument | None = None,
        metadata: SourceMetadata | None = None,
    ) -> None:
        self._path, self._overwrite = path, overwrite
        self._shape, self._dtype = (int(shape[0]), int(shape[1])), np.dtype(dtype).newbyteorder("=")
        if self._dtype.kind not in "iuf":
            raise DTypeError(f"the frames are {self._dtype}, expected an integer or a float dtype")
        for what, array in (("geometry", geometry), ("mask", mask)):
            if array is not None and tuple(array.shape) != self._shape:
                raise ShapeError(f"the {what} is {tuple(array.shape)}, the frames {self._shape} (slow, fast)")
        if compression not in _COMPRESSIONS:
            raise SettingError(f"compression is {compression!r}, expected one of {', '.join(_COMPRESSIONS)}")
        self._packing, self._pool = _COMPRESSIONS[compression], pool
        self._geometry, self._mask, self._saturation = geometry, mask, saturation
        self._provenance = plain(provenance)
        self._valid = valid or ValidValues.of(self._dtype)
        sensor = Instrument(material=sensor_material, thickness=sensor_thickness)
        self._exposure, self._scan, self._instrument = exposure, scan, (instrument or Instrument()).over(sensor)
        self._metadata = metadata
        self._stack = ExitStack()
        self._chunks: ChunkWriter | None = None
        self._written = 0
        self._missing: list[int] = []

    def __enter__(self) -> Self:
        file = self._stack.enter_context(
            create_hdf5(self._path, self._overwrite, f"crystint {__version__}", checksums=True)
        )
        try:
            self._start(file)
        except BaseException as error:
            if not self._stack.__exit__(type(error), error, error.__traceback__):
                raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        chunks, self._chunks = self._chunks, None
        if kind is not None:
            return self._stack.__exit__(kind, error, trace)
        with self._stack:
            if chunks is not None:
                chunks.flush()
            if self._missing:
                self._provenance = {**self._provenance, "missing": self._missing}
            self._finish_scan()
            if self._metadata:
                write_metadata(self._entry, self._metadata)
            process(self._entry, "densify", self._provenance, self._provenance)
            if self._missing:
                put(self._entry["densify"], "missing", np.array(self._missing, np.uint32))
        return None

    def write(self, frame: NDArray[Any]) -> None:
        """Append a frame, dtype [slow, fast]. With a pool, the frame must not change afterwards.

        Raises
        ------
        ShapeError, DTypeError
            When it does not fit the file.
        SettingError
            When the writer is not open.
        """
        if self._chunks is None:
            raise SettingError("the writer is not open: use it as `with DenseWriter(...) as writer:`")
        if frame.shape != self._shape:
            raise ShapeError(f"the frame is {frame.shape}, the file {self._shape} (slow, fast)")
        if frame.dtype.newbyteorder("=") != self._dtype:
            raise DTypeError(f"the frame is {frame.dtype}, the file {self._dtype}")
        self._chunks.put(self._written, 1, np.ascontiguousarray(frame, self._dtype)[None])
        self._written += 1

    def write_packed(self, packed: Bytes) -> None:
        """Append a frame that `pack_frame` has packed with the compression of this file.

        Raises
        ------
        SettingError
            When the writer is not open.
        """
        if self._chunks is None:
            raise SettingError("the writer is not open: use it as `with DenseWriter(...) as writer:`")
        self._chunks.put_packed(self._written, 1, packed)
        self._written += 1

    def write_missing(self) -> None:
        """Append a frame that is not there: every pixel holds the value that marks unusable ones.

        ``/entry/densify/missing`` holds the numbers of such frames.
        """
        self._missing.append(self._written)
        self.write(np.full(self._shape, self._valid.marker(self._dtype), self._dtype))

    def end_early(self, frames: int) -> None:
        """Note that the input has more frames than this file will have.

        Parameters
        ----------
        frames : int
            Of the input.
        """
        self._provenance = {**self._provenance, "incomplete": {"frames": self._written, "of": frames}}

    def _finish_scan(self) -> None:
        """The scan of the frames that were written."""
        scan, sample = self._scan, self._entry["sample"]
        if scan is not None and len(scan) > self._written:
            scan = scan.select(range(self._written))
        if scan is not None and len(scan) != self._written:
            raise ShapeError(f"the scan has {len(scan)} frames, but {self._written} were written")
        write_sample_axes(sample, scan)
        if scan is not None and len(scan):
            write_times(self._entry, self._entry["instrument/detector"], scan)

    def _start(self, file: h5py.File) -> None:
        file.attrs["default"] = "entry"
        entry = group(file, "entry", "NXentry", default="data")
        put(entry, "definition", "NXmx", version="1.0")
        put(entry, "title", f"frames of {self._instrument.sample}" if self._instrument.sample else "frames")
        data = group(entry, "data", "NXdata", signal="data")
        frames = data.create_dataset(
            "data",
            shape=(0, *self._shape),
            maxshape=(None, *self._shape),
            chunks=(1, *self._shape),
            dtype=self._dtype,
            **self._packing.options,
        )
        frames.attrs["interpretation"] = "image"
        frames.attrs["units"] = "count"
        self._chunks, self._written = ChunkWriter(frames, self._packing, self._pool, _WAITING), 0
        self._entry = entry
        facts = self._instrument
        _demanded(group(entry, "source", "NXsource"), "name", facts.source)
        _demanded(group(entry, "sample", "NXsample"), "name", facts.sample)
        instrument = group(entry, "instrument", "NXinstrument")
        _demanded(instrument, "name", facts.name)
        self._detector(group(instrument, "detector", "NXdetector"))
        beam = group(instrument, "beam", "NXbeam")
        if self._geometry is not None and self._geometry.wavelength is not None:
            put(beam, "incident_wavelength", self._geometry.wavelength, "angstrom")
        if self._geometry is not None and self._geometry.polarization is not None:
            put(beam, "incident_polarization_stokes", np.array([1.0, self._geometry.polarization, 0.0, 0.0]))

    def _detector(self, detector: h5py.Group) -> None:
        facts = self._instrument
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
        if self._dtype.kind != "f":
            put(detector, "bit_depth_image", np.int64(8 * self._dtype.itemsize))
            put(detector, "bit_depth_readout", np.int64(8 * self._dtype.itemsize))
        lowest, marks = self._valid.lowest, self._valid.marks
        if self._dtype.kind != "f" and (marks or lowest is not None):
            put(detector, "error_value", np.asarray(self._valid.marker(self._dtype), dtype=self._dtype))
        if self._dtype.kind != "f" or lowest is not None:
            put(detector, "underload_value", 0 if lowest is None else lowest)
        if self._valid != ValidValues.of(self._dtype):
            put(detector, VALID_VALUES, json.dumps(self._valid.to_dict()), type="text/json", program="crystint")
        if self._saturation is not None:
            put(detector, "saturation_value", self._saturation)
        if self._exposure is not None and self._scan is None:
            put(detector, "count_time", float(self._exposure), "s")
            put(detector, "frame_time", float(self._exposure), "s")
        mask = np.zeros(self._shape) if self._mask is None else self._mask
        made = detector.create_dataset(
            "pixel_mask",
            data=np.asarray(mask).astype(np.uint32),
            chunks=self._shape,
            compression="gzip",
            shuffle=True,
        )
        made.attrs["interpretation"] = "image"
        put(detector, "pixel_mask_applied", False)
        place = self._geometry
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


def pack_frame(frame: NDArray[Any], compression: str) -> Bytes | None:
    """A frame as it stands in the file; any thread, or another machine, may do it.

    Parameters
    ----------
    frame : dtype [slow, fast]
    compression : str
        As `DenseWriter` has it.

    Returns
    -------
    uint8 [n], or None where only HDF5 can pack it.
    """
    packing = _COMPRESSIONS[compression]
    return packing.pack(np.ascontiguousarray(frame)[None]) if packing.direct else None


def missing_in(file: h5py.File) -> tuple[int, ...]:
    """Frames of a file of `DenseWriter` that are not there; none in any other file."""
    missing = file.get("entry/densify/missing")
    return tuple(missing[()].tolist()) if isinstance(missing, h5py.Dataset) else ()
