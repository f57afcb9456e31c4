"""Dense frames as one NXmx file, which DIALS imports and FabIO opens."""

from __future__ import annotations

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
from crystint.io.hdf5.files import create_hdf5, group, process, put
from crystint.io.hdf5.packing import BSLZ4, GZIP, PLAIN, ChunkWriter
from crystint.io.hdf5.provenance import plain
from crystint.io.hdf5.source_metadata import write_metadata
from crystint.io.nxmx import NXmxFacts, as_images, put_sample_scan
from crystint.model.geometry import Geometry
from crystint.model.instrument import Instrument
from crystint.model.scan import Scan
from crystint.model.source_metadata import SourceMetadata
from crystint.model.valid_values import ValidValues

__all__ = ["DenseWriter", "missing_in"]

_COMPRESSIONS = {"bslz4": BSLZ4, "gzip": GZIP, "none": PLAIN}
_WAITING = 8
"""Frames that may wait for being written."""


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
        self._provenance = plain(provenance)
        self._valid = valid or ValidValues.of(self._dtype)
        sensor = Instrument(material=sensor_material, thickness=sensor_thickness)
        self._facts = NXmxFacts(
            self._shape,
            self._dtype,
            geometry,
            mask,
            saturation,
            self._valid,
            (instrument or Instrument()).over(sensor),
            exposure if scan is None else None,
        )
        self._scan, self._metadata = scan, metadata
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
        scan = self._scan
        if scan is not None and len(scan) > self._written:
            scan = scan.select(range(self._written))
        if scan is not None and len(scan) != self._written:
            raise ShapeError(f"the scan has {len(scan)} frames, but {self._written} were written")
        put_sample_scan(self._entry, scan)

    def _start(self, file: h5py.File) -> None:
        self._entry = self._facts.begin(file)
        data = group(self._entry, "data", "NXdata", signal="data")
        frames = data.create_dataset(
            "data",
            shape=(0, *self._shape),
            maxshape=(None, *self._shape),
            chunks=(1, *self._shape),
            dtype=self._dtype,
            **self._packing.options,
        )
        as_images(frames)
        self._chunks, self._written = ChunkWriter(frames, self._packing, self._pool, _WAITING), 0
        self._facts.describe(self._entry)


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
