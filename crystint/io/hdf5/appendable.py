"""HDF5 data sets that grow by a row, or by many, and are written a chunk at a time."""

from __future__ import annotations

from concurrent.futures import Executor
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from crystint.io.hdf5.files import is_gzipped
from crystint.io.hdf5.packing import GZIP_SMALL, ZSTD, ChunkWriter

__all__ = ["AppendableDataset"]


class AppendableDataset:
    """A data set that grows along its first axis. Rows wait in memory until they fill a chunk.

    Parameters
    ----------
    parent : h5py.Group
    name : str
    dtype : dtype
    row : tuple of int
        Shape of a row; () for a list of numbers.
    chunk : int
        Rows per chunk.
    pool : concurrent.futures.Executor, optional
        Its threads pack the chunks; without one the caller does. The file is the same.
    attributes : mapping
        Of the data set.
    """

    def __init__(
        self,
        parent: h5py.Group,
        name: str,
        dtype: Any,
        row: tuple[int, ...] = (),
        *,
        chunk: int,
        pool: Executor | None = None,
        **attributes: Any,
    ) -> None:
        packing = GZIP_SMALL if is_gzipped(parent) else ZSTD
        self.data = parent.create_dataset(
            name, shape=(0, *row), maxshape=(None, *row), dtype=dtype, chunks=(chunk, *row), **packing.options
        )
        for key, value in attributes.items():
            self.data.attrs[key] = value
        self._writer = ChunkWriter(self.data, packing, pool)
        self._start = 0
        self._rows = 0
        self._chunk = self._empty()

    def _empty(self) -> NDArray[Any]:
        return np.zeros(self.data.chunks, self.data.dtype)

    def add(self, rows: NDArray[Any]) -> None:
        """Append rows; whole chunks go to the file."""
        rows = np.asarray(rows)
        while len(rows):
            some = rows[: len(self._chunk) - self._rows]
            self._chunk[self._rows : self._rows + len(some)] = some
            self._rows += len(some)
            rows = rows[len(some) :]
            if self._rows == len(self._chunk):
                self._writer.put(self._start, self._rows, self._chunk)
                self._start, self._rows, self._chunk = self._start + self._rows, 0, self._empty()

    def flush(self) -> None:
        """Write what is still waiting. More rows may follow."""
        if self._rows:
            self._writer.put(self._start, self._rows, self._chunk)
        self._writer.flush()
