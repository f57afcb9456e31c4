"""Writes sparse frames to HDF5, one at a time, so that FabIO's SparseImage reads them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import Executor
from contextlib import ExitStack
from os import PathLike
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from crystint.errors import DTypeError, SettingError, ShapeError
from crystint.io.growing import Growing
from crystint.io.hdf5 import create_hdf5
from crystint.io.sparse_codec import encode_index, keep_bits
from crystint.io.sparse_layout import PEAK_GROUP, Peaks, creator, root, static
from crystint.io.sparse_mask import FirstMask
from crystint.model.geometry import Geometry
from crystint.model.peaks import PeakList
from crystint.model.rings import RingMap
from crystint.model.sparse import SparseFrame

__all__ = ["PIXELS", "SparseWriter"]

PIXELS = 1 << 16
"""Elements per chunk of the lists of pixels."""
_ROWS = 16
"""Frames per chunk of the backgrounds."""
_STD_BITS = 14


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
        From `crystint.io.provenance.provenance`.
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

    Raises
    ------
    FileError
        When entering the block: the file exists or cannot be written.
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
    ) -> None:
        self._path, self._overwrite, self._compact, self._pool = path, overwrite, compact, pool
        self._rings, self._dtype = rings, np.dtype(dtype).newbyteorder("=")
        if self._dtype.kind not in "iuf":
            raise DTypeError(f"the frames are {self._dtype}, expected an integer or a float dtype")
        self._geometry, self._provenance, self._sources = geometry, provenance, sources
        self._want_peaks = peaks
        self._stack = ExitStack()
        self._columns: dict[str, Growing] = {}
        self._peaks: Peaks | None = None
        self._written = -1

    def __enter__(self) -> Self:
        file = create_hdf5(self._path, self._overwrite, creator(self._compact))
        self._file = self._stack.enter_context(file)
        self._written = 0
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        if kind is not None:
            return self._stack.__exit__(kind, error, trace)
        with self._stack:
            if not self._written:
                self._start(None)
            for column in self._columns.values():
                column.flush()
            if self._peaks is not None:
                self._peaks.flush()
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
        self._check(sparse)
        if not self._written:
            self._start(sparse)
        index, value, role_at, role = self._first.entries(sparse, frame)
        column = self._columns
        if self._compact:
            delta, escape = encode_index(index)
            column["index_delta"].add(delta)
            column["index_escape"].add(escape)
            self._pointer("escape_ptr", len(escape))
        else:
            column["index"].add(index)
        column["intensity"].add(value)
        self._pointer("frame_ptr", len(index))
        column["role_at"].add(role_at)
        column["role"].add(role)
        self._pointer("role_ptr", len(role))
        self._background(sparse)
        if self._peaks is not None:
            self._peaks.add(peaks)
        self._written += 1

    def _check(self, sparse: SparseFrame) -> None:
        if self._written < 0:
            raise SettingError("the writer is not open: use it as `with SparseWriter(...) as writer:`")
        mine = sparse.background.rings
        if sparse.shape != self._rings.shape or mine.rings != self._rings.rings:
            raise ShapeError(
                f"the sparse frame is {sparse.shape} with {mine.rings} rings, "
                f"the file is {self._rings.shape} with {self._rings.rings}"
            )
        if sparse.value.dtype != self._dtype:
            raise DTypeError(f"the sparse frame is {sparse.value.dtype}, the file {self._dtype}")
        if self._written and sparse.error_model != self._model:
            raise SettingError(f"the sparse frame has the error model {sparse.error_model!r}, the file {self._model!r}")

    def _start(self, first: SparseFrame | None) -> None:
        """Write what all frames share; the mask that FabIO sees is that of the first frame."""
        self._first = FirstMask.of(first, self._rings, self._dtype)
        self._model = "hybrid" if first is None else first.error_model
        data, own = root(self._file, self._geometry, self._provenance, self._sources, first, self._compact)
        static(data, own, self._rings, self._dtype, self._first.lost, self._first.value)
        self._make_columns(data, own)
        if self._want_peaks:
            self._peaks = Peaks(data.parent, PEAK_GROUP, self._pool)

    def _make_columns(self, data: Any, own: Any) -> None:
        column, rings, pool = self._columns, self._rings.rings, self._pool
        if self._compact:
            column["index_delta"] = Growing(data, "index_delta", np.uint8, chunk=PIXELS, pool=pool)
            column["index_escape"] = Growing(data, "index_escape", np.uint32, chunk=PIXELS // 4, pool=pool)
        else:
            column["index"] = Growing(data, "index", np.uint32, chunk=PIXELS, pool=pool)
        column["intensity"] = Growing(data, "intensity", self._dtype, chunk=PIXELS, pool=pool)
        for name in ("avg", "std"):
            long = f"{'Mean' if name == 'avg' else 'Standard deviation'} of the background per ring"
            column[name] = Growing(
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
        column["count"] = Growing(own, "background_count", np.uint32, (rings,), chunk=_ROWS, pool=pool)
        for name in ("sem", "excess", "additive"):
            column[name] = Growing(own, f"background_{name}", np.float32, (rings,), chunk=_ROWS, pool=pool)
        for name, dtype in (("frame", np.int64), ("snr", np.float64), ("noise", np.float64)):
            column[name] = Growing(own, name, dtype, chunk=1024, pool=pool)
        column["role_at"] = Growing(own, "role_at", np.uint32, chunk=4096, pool=pool)
        column["role"] = Growing(own, "role", np.uint8, chunk=4096, pool=pool, meaning="1 = unusable, 2 = not picked")
        self._total: dict[str, int] = {}
        for name, parent in (("frame_ptr", data), ("role_ptr", own), ("escape_ptr", data)):
            if name != "escape_ptr" or self._compact:
                column[name] = Growing(parent, name, np.uint64, chunk=1024, pool=pool)
                self._pointer(name, 0)

    def _pointer(self, name: str, count: int) -> None:
        self._total[name] = self._total.get(name, 0) + count
        self._columns[name].add(np.array([self._total[name]]))

    def _background(self, sparse: SparseFrame) -> None:
        found, column = sparse.background, self._columns
        pad = (0, 1 if self._rings.rings == 1 else 0)
        column["avg"].add(np.pad(found.mean.astype(np.float32), pad, mode="edge")[None])
        column["std"].add(np.pad(keep_bits(found.std, _STD_BITS), pad, mode="edge")[None])
        column["count"].add(np.rint(np.nan_to_num(found.count)).astype(np.uint32)[None])
        column["sem"].add(keep_bits(found.sem, _STD_BITS)[None])
        column["excess"].add((np.ceil(found.excess * 64.0) / 64.0)[None])
        column["additive"].add(keep_bits(found.additive, _STD_BITS)[None])
        for name in ("frame", "snr", "noise"):
            column[name].add(np.array([getattr(sparse, name)]))
