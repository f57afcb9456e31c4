"""HDF5 data sets that grow by a row, or by many, and are written a chunk at a time."""

from __future__ import annotations

from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from crystint.io.hdf5 import PACKED

__all__ = ["Growing"]


class Growing:
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
        **attributes: Any,
    ) -> None:
        self.data = parent.create_dataset(
            name, shape=(0, *row), maxshape=(None, *row), dtype=dtype, chunks=(chunk, *row), **PACKED
        )
        for key, value in attributes.items():
            self.data.attrs[key] = value
        self._chunk = chunk
        self._waiting: list[NDArray[Any]] = []
        self._rows = 0

    def add(self, rows: NDArray[Any]) -> None:
        """Append rows; whole chunks go to the file."""
        if not len(rows):
            return
        self._waiting.append(np.asarray(rows, dtype=self.data.dtype))
        self._rows += len(rows)
        if self._rows >= self._chunk:
            self._write(self._rows // self._chunk * self._chunk)

    def flush(self) -> None:
        """Write what is still waiting."""
        if self._rows:
            self._write(self._rows)

    def _write(self, count: int) -> None:
        rows = np.concatenate(self._waiting) if len(self._waiting) > 1 else self._waiting[0]
        start = len(self.data)
        self.data.resize(start + count, axis=0)
        self.data[start:] = rows[:count]
        rest = rows[count:]
        self._waiting, self._rows = ([rest.copy()] if len(rest) else []), len(rest)
