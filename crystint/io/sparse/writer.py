"""Writes sparse frames to HDF5, one at a time, so that FabIO's SparseImage reads them."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import Executor
from contextlib import ExitStack
from os import PathLike
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from crystint.errors import DTypeError, SettingError, ShapeError
from crystint.io.frame_table import put_frame_table
from crystint.io.hdf5.appendable import AppendableDataset
from crystint.io.hdf5.files import create_hdf5, put
from crystint.io.hdf5.provenance import plain
from crystint.io.hdf5.source_metadata import write_metadata
from crystint.io.part_file import put_part
from crystint.io.sparse.codec import encode_index
from crystint.io.sparse.joined import JoinedLists
from crystint.io.sparse.layout import INSTRUMENT, PEAK_GROUP, Peaks, creator, finish, root
from crystint.io.sparse.maps import SharedMaps, put_maps, refuse_maps
from crystint.io.sparse.mask import FirstMask
from crystint.io.sparse.row import SparseRow
from crystint.model.frame_table import FrameTable
from crystint.model.geometry import Geometry
from crystint.model.instrument import Instrument
from crystint.model.peaks import PeakFlag, PeakList
from crystint.model.rings import RingMap
from crystint.model.scan import Scan
from crystint.model.source_metadata import SourceMetadata
from crystint.model.sparse import SparseFrame

__all__ = ["PIXELS", "SparseWriter"]

PIXELS = 1 << 16
"""Elements per chunk of the lists of pixels."""
_ROWS = 16
"""Frames per chunk of the backgrounds."""
_CLOSED = "the writer is not open: use it as `with SparseWriter(...) as writer:`"


class SparseWriter:
    """A sparse file in the making: ``with SparseWriter(...) as writer: writer.write(sparse)``.

    Memory does not grow with the number of frames. The file appears, whole, when the block ends well.

    Parameters
    ----------
    path : path
    rings : RingMap
        Of the separator; stored once, the position to 1/128 ring and the normalization to 1.3e-4.
    dtype : dtype
        Of the frames.
    geometry : Geometry or None
    provenance : mapping
        From `crystint.io.hdf5.provenance.provenance`.
    sources : sequence of FrameSource, optional
        Where the frames of the input came from, by their number.
    compact : bool
        Pixel numbers as differences: smaller, but only crystint reads them (`convert_sparse` turns them
        back).
    peaks : bool
        Store the peak lists given to `write`.
    overwrite : bool
        Replace an existing file.
    pool : concurrent.futures.Executor, optional
        Its threads compress; without one `write` does. The file is the same.
    scan : Scan, optional
        Of the frames of the input, in their order; those that were not written are left out.
    instrument : Instrument, optional
    metadata : SourceMetadata, optional
        What the source holds beside the pixels (`Frames.metadata`).
    compression : "zstd" or "gzip"
        Readers need the plug-in of Zstandard, which hdf5plugin has; gzip needs none, and is larger.
    maps : path, optional
        File of the detector maps that this file shares with others: it is made if it is not there, and otherwise must
        have the maps of `rings`. The sparse file links to it, by a name relative to its own folder.

    Raises
    ------
    FileError
        When entering the block: the file exists or cannot be written.

    Examples
    --------
    >>> import crystint
    >>> data = crystint.simulate.simulate((100, 110), background=5.0, peaks=8, intensity=900.0, dtype="uint16", seed=1)
    >>> separator = crystint.Separator(data.geometry, data.mask, rings=30)
    >>> with crystint.SparseWriter(
    ...     "sparse.h5", separator.rings, data.dtype, geometry=data.geometry, provenance={}
    ... ) as writer:
    ...     writer.write(separator.sparsify(data[0]))
    >>> with crystint.open_sparse("sparse.h5") as file:
    ...     frame = crystint.densify(file[0])
    """

    def __init__(
        self,
        path: str | PathLike[str],
        rings: RingMap,
        dtype: Any,
        *,
        geometry: Geometry | None,
        provenance: Mapping[str, Any],
        sources: Sequence[Any] | None = None,
        compact: bool = False,
        peaks: bool = False,
        overwrite: bool = False,
        pool: Executor | None = None,
        scan: Scan | None = None,
        instrument: Instrument | None = None,
        metadata: SourceMetadata | None = None,
        compression: str = "zstd",
        maps: str | PathLike[str] | None = None,
    ) -> None:
        self._path, self._overwrite, self._compact, self._pool = path, overwrite, compact, pool
        self._rings, self._dtype = rings, np.dtype(dtype).newbyteorder("=")
        if self._dtype.kind not in "iuf":
            raise DTypeError(f"the frames are {self._dtype}, expected an integer or a float dtype")
        self._geometry, self._provenance, self._sources = geometry, provenance, sources
        self._want_peaks, self._scan, self._instrument, self._metadata = peaks, scan, instrument, metadata
        if compression not in ("zstd", "gzip"):
            raise SettingError(f"compression is {compression!r}, expected zstd or gzip")
        self._gzipped, self._maps = compression == "gzip", maps
        self._shared: SharedMaps | None = None
        self._stack = ExitStack()
        self._columns: dict[str, AppendableDataset] = {}
        self._peaks: Peaks | None = None
        self._written = -1
        self._missing: list[int] = []
        self._results: FrameTable | None = None
        self.pixels: Counter[str] = Counter()
        """how many were kept for which reason so far, see `counts_by_reason`"""
        self.audit: Mapping[str, Any] | None = None
        """JSON-able: what became of reflections, see `SparseFile.audit`; to be set before the block ends"""
        self._early: list[int] = []
        self._part: tuple[Mapping[str, Any], Iterable[bytes]] | None = None
        self._joined: JoinedLists | None = None
        self.first: FirstMask | None = None
        """unusable pixels of the first frame that is there; None = none has come yet"""

    def __enter__(self) -> Self:
        refuse_maps(self._path)
        if self._maps is not None and Path(self._maps).exists():
            self._shared = SharedMaps.read(self._maps, self._rings, self._dtype, gzipped=self._gzipped)
            self.first = self._shared.first
        file = create_hdf5(self._path, self._overwrite, creator(self._compact), checksums=True, gzipped=self._gzipped)
        self._file = self._stack.enter_context(file)
        self._written = 0
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        if kind is not None:
            return self._stack.__exit__(kind, error, trace)
        with self._stack:
            if not self._columns and self._joined is None:
                self._start(None)
            reasons = "reason" in self._columns if self._joined is None else self._joined.reasons
            more = {"kept_pixels": dict(self.pixels)} if reasons else {}
            record = {**self._provenance, **more}
            finish(self._own, record, self._sources, self._written, self._missing, self._scan)
            if self.audit is not None:
                put(self._own, "audit", json.dumps(plain(self.audit)), type="text/json")
            if self._results is not None:
                put_frame_table(self._data.parent, self._results[: self._written])
            for column in self._columns.values():
                column.flush()
            if self._peaks is not None:
                self._peaks.flush()
            if self._part is not None:
                put_part(self._file, *self._part)
        return None

    def write(self, sparse: SparseFrame, peaks: PeakList | None = None, frame: NDArray[Any] | None = None) -> None:
        """Append a frame.

        Parameters
        ----------
        sparse : SparseFrame
        peaks : PeakList, optional
            The peaks of this frame; stored when the writer was made with ``peaks=True``.
        frame : dtype [slow, fast], optional
            The raw frame. FabIO knows one mask for the whole file: that of the first frame. Pixels that
            were unusable there and are good here are stored as counts; without `frame`, as their rounded
            background.

        Raises
        ------
        ShapeError, DTypeError, SettingError
            When the frame does not fit the file.
        """
        if self._written < 0:
            raise SettingError(_CLOSED)
        self._check(sparse)
        self.put(SparseRow.of(sparse, frame, self.first), peaks)

    def flag_persistent(self, peaks: NDArray[np.bool_]) -> None:
        """Say which of the peaks that were put, bool [peaks], are flagged as persistent."""
        if self._peaks is not None:
            self._peaks.persistent = peaks

    def put(self, row: SparseRow, peaks: PeakList | None = None) -> None:
        """Append a frame that was turned into a row somewhere else, with the `first` of this writer."""
        if self._written < 0:
            raise SettingError(_CLOSED)
        if not self._columns:
            self._start(row)
        self._add(row, peaks)

    def begin(self, row: SparseRow) -> None:
        """Write what all frames share, as the row of their first one tells it; that frame is not appended."""
        if not self._columns:
            self._start(row)

    def put_part(self, header: Mapping[str, Any], records: Iterable[bytes]) -> None:
        """Say that the frames are a part of a run, see `crystint.io.part_file`."""
        self._part = header, records

    def join(
        self,
        lists: JoinedLists,
        first: SparseRow | None,
        *,
        missing: Sequence[int],
        virtual: bool,
        persistent: NDArray[np.bool_] | None,
    ) -> None:
        """Take the frames of the parts of a run, which are all of this file.

        Parameters
        ----------
        lists : JoinedLists
        first : SparseRow
            Of the first frame that is there; None = none is.
        missing : sequence of int
            Numbers of the frames that could not be read.
        virtual : bool
            Show the parts instead of copying them.
        persistent : bool [peaks], optional
            Which peaks are flagged as such.
        """
        self._joined = lists
        self._start(first)
        gone = list(missing)
        changed = {name: lists.small(f"crystint/{name}").copy() for name in ("snr", "noise")}
        changed["snr"][gone], changed["noise"][gone] = self._snr, self._noise
        if persistent is not None:
            changed["flags"] = lists.small("peaks/columns/flags") | persistent * np.uint32(PeakFlag.PERSISTENT)
        lists.write(self._data.parent, Path(self._path), virtual=virtual, **changed)
        self._written, self._missing = lists.frames, gone

    def put_missing(self, number: int) -> None:
        """Append a frame that could not be read.

        Parameters
        ----------
        number : int
            Of the frame in its sequence.
        """
        if self._written < 0:
            raise SettingError(_CLOSED)
        self._missing.append(self._written)
        if not self._columns:  # nothing is known yet that all frames share
            self._early.append(number)
            self._written += 1
        else:
            self._add(self._absent(number), None)

    def put_results(self, rows: FrameTable) -> None:
        """Store a table of the frames of this file, one row each."""
        self._results = rows

    def put_inputs(self, sources: Sequence[Any] | None, scan: Scan | None) -> None:
        """Where the frames came from and how they were turned, as in the constructor: of a stream that is known at its
        end."""
        self._sources, self._scan = sources, scan

    def end_early(self, frames: int) -> None:
        """Note that the input has more frames than this file will have.

        Parameters
        ----------
        frames : int
            Of the input.
        """
        self.note(incomplete={"frames": self._written, "of": frames})

    def note(self, **more: Any) -> None:
        """Add to the provenance, which is written at the end."""
        self._provenance = {**self._provenance, **more}

    def _absent(self, number: int) -> SparseRow:
        """The row of a missing frame, with the thresholds of those that are there."""
        return SparseRow.absent(number, self._rings, self._dtype, self._snr, self._noise)

    def _add(self, row: SparseRow, peaks: PeakList | None) -> None:
        column = self._columns
        if self._compact:
            delta, escape = encode_index(row.index)
            column["index_delta"].add(delta)
            column["index_escape"].add(escape)
            self._pointer("escape_ptr", len(escape))
        else:
            column["index"].add(row.index)
        column["intensity"].add(row.value)
        self._add_kept(row)
        self._pointer("frame_ptr", len(row.index))
        column["role_at"].add(row.role_at)
        column["role"].add(row.role)
        self._pointer("role_ptr", len(row.role))
        for name in ("avg", "std", "count", "sem", "excess", "additive"):
            column[name].add(getattr(row, name)[None])
        for name in ("frame", "snr", "noise"):
            column[name].add(np.array([getattr(row, name)]))
        if self._peaks is not None:
            self._peaks.add(peaks)
        self.pixels.update(row.pixels)
        self._written += 1

    def _add_kept(self, row: SparseRow) -> None:
        """Why pixels are kept; nothing is stored while all of them are significant."""
        if "reason" not in self._columns and not len(row.reason):
            return
        if "reason" not in self._columns:
            meaning = "why each pixel is kept, bits: 1 significant, 2 near a significant one, 4 in a predicted box"
            made = AppendableDataset(self._own, "reason", np.uint8, chunk=PIXELS, pool=self._pool, meaning=meaning)
            self._columns["reason"] = made
            for start in range(0, self._total["frame_ptr"], PIXELS):
                made.add(np.ones(min(PIXELS, self._total["frame_ptr"] - start), np.uint8))
        self._columns["reason"].add(row.reason if len(row.reason) else np.ones(len(row.index), np.uint8))

    def _check(self, sparse: SparseFrame) -> None:
        mine = sparse.background.rings
        if sparse.shape != self._rings.shape or mine.rings != self._rings.rings:
            raise ShapeError(
                f"the sparse frame is {sparse.shape} with {mine.rings} rings, "
                f"the file is {self._rings.shape} with {self._rings.rings}"
            )
        if sparse.value.dtype != self._dtype:
            raise DTypeError(f"the sparse frame is {sparse.value.dtype}, the file {self._dtype}")
        if self._columns and sparse.error_model != self._model:
            raise SettingError(f"the sparse frame has the error model {sparse.error_model!r}, the file {self._model!r}")

    def _start(self, first: SparseRow | None) -> None:
        """Write what all frames share; the mask that FabIO sees is that of the first frame."""
        mask = FirstMask.of(None, self._rings, self._dtype) if first is None else first.first
        if self._maps is not None and self._shared is None and first is not None:
            self._shared = SharedMaps.make(self._maps, self._rings, mask, Path(self._path), gzipped=self._gzipped)
        if self._shared is not None:
            if first is not None and len(first.lost):
                self._shared.check(mask)
            mask = self._shared.first
        self.first = mask
        self._model, self._snr, self._noise = "hybrid", 1.0, 0.0
        if first is not None:
            self._model, self._snr, self._noise = first.error_model, first.snr, first.noise
        self._data, self._own = root(self._file, self._geometry, self._provenance, first, self._compact)
        if self._metadata:
            write_metadata(self._own, self._metadata)
        if self._instrument is not None:
            put(self._own, INSTRUMENT, json.dumps(self._instrument.to_dict()), type="text/json")
        put_maps(self._data, self._own, self._rings, self._dtype, mask, self._shared, Path(self._path))
        if self._joined is not None:
            return
        self._make_columns(self._data, self._own)
        if self._want_peaks:
            self._peaks = Peaks(self._data.parent, PEAK_GROUP, self._pool)
        early, self._early, self._written = self._early, [], 0
        for number in early:
            self._add(self._absent(number), None)

    def _make_columns(self, data: Any, own: Any) -> None:
        column, rings, pool = self._columns, self._rings.rings, self._pool
        if self._compact:
            column["index_delta"] = AppendableDataset(data, "index_delta", np.uint8, chunk=PIXELS, pool=pool)
            column["index_escape"] = AppendableDataset(data, "index_escape", np.uint32, chunk=PIXELS // 4, pool=pool)
        else:
            column["index"] = AppendableDataset(data, "index", np.uint32, chunk=PIXELS, pool=pool)
        column["intensity"] = AppendableDataset(data, "intensity", self._dtype, chunk=PIXELS, pool=pool)
        for name in ("avg", "std"):
            long = f"{'Mean' if name == 'avg' else 'Standard deviation'} of the background per ring"
            column[name] = AppendableDataset(
                data,
                f"background_{name}",
                np.float32,
                (max(rings, 2),),
                chunk=_ROWS,
                pool=pool,
                interpretation="spectrum",
                long_name=long,
            )
        data["errors"] = data["background_std"]
        column["count"] = AppendableDataset(own, "background_count", np.uint32, (rings,), chunk=_ROWS, pool=pool)
        for name in ("sem", "excess", "additive"):
            column[name] = AppendableDataset(own, f"background_{name}", np.float32, (rings,), chunk=_ROWS, pool=pool)
        for name, dtype in (("frame", np.int64), ("snr", np.float64), ("noise", np.float64)):
            column[name] = AppendableDataset(own, name, dtype, chunk=1024, pool=pool)
        column["role_at"] = AppendableDataset(own, "role_at", np.uint32, chunk=4096, pool=pool)
        column["role"] = AppendableDataset(
            own, "role", np.uint8, chunk=4096, pool=pool, meaning="1 = unusable, 2 = not picked"
        )
        self._total: dict[str, int] = {}
        for name, parent in (("frame_ptr", data), ("role_ptr", own), ("escape_ptr", data)):
            if name != "escape_ptr" or self._compact:
                column[name] = AppendableDataset(parent, name, np.uint64, chunk=1024, pool=pool)
                self._pointer(name, 0)

    def _pointer(self, name: str, count: int) -> None:
        self._total[name] = self._total.get(name, 0) + count
        self._columns[name].add(np.array([self._total[name]]))
