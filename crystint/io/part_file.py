"""A part of a run, as a file: the records of some of its frames, and what tells which run they are of.

``/part/header`` is JSON, ``/part/records`` (uint8) the packed records one after the other, and record i is
``records[record_ptr[i]:record_ptr[i + 1]]``. A part of ``sparsify`` is a sparse file that has the group as well, with
records that lack the pixels.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from os import PathLike
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from crystint.errors import FileError
from crystint.io.guard import reads_file
from crystint.io.hdf5.appendable import AppendableDataset
from crystint.io.hdf5.files import create_hdf5, group, open_hdf5, put

__all__ = ["PART", "PartFile", "put_part", "write_part"]

PART = "part"
"""name of the group"""
FORMAT = 1
_CHUNK = 1 << 20
"""bytes of records that are packed and read at a time"""


def put_part(parent: h5py.Group, header: Mapping[str, Any], records: Iterable[bytes]) -> None:
    """Write the group of a part into a file."""
    made = group(parent, PART, "NXcollection", format=FORMAT)
    put(made, "header", json.dumps(header), type="text/json")
    column = AppendableDataset(made, "records", np.uint8, chunk=_CHUNK)
    ends = [0]
    for record in records:
        column.add(np.frombuffer(record, np.uint8))
        ends.append(ends[-1] + len(record))
    column.flush()
    made.create_dataset("record_ptr", data=np.array(ends, np.uint64))


def write_part(
    path: str | PathLike[str], header: Mapping[str, Any], records: Iterable[bytes], *, overwrite: bool = False
) -> None:
    """Write the records of a part.

    Parameters
    ----------
    path : path
    header : mapping
        JSON-able.
    records : iterable of bytes
        As `crystint.io.frame_record.FrameRecord.pack` gives them.
    overwrite : bool
        Replace an existing file.

    Raises
    ------
    FileError
        When the file exists or cannot be written.
    """
    with create_hdf5(path, overwrite, "crystint", checksums=True) as file:
        put_part(file, header, records)


class PartFile:
    """A part that was written: its header is read at once, its records as they are asked for.

    Parameters
    ----------
    path : path

    Raises
    ------
    FileError
        When it is missing, damaged, or no part of a run.
    """

    def __init__(self, path: str | PathLike[str]) -> None:
        self.path = Path(path)
        self.header, self._ends = self._head()

    @reads_file
    def _head(self) -> tuple[dict[str, Any], NDArray[np.int64]]:
        with open_hdf5(self.path) as file:
            if PART not in file:
                raise FileError(f"{self.path} is no part of a run: crystint with --part writes such files")
            held = file[PART]
            if held.attrs["format"] > FORMAT:
                raise FileError(f"{self.path} has the format {held.attrs['format']}, this crystint knows {FORMAT}")
            header = dict(json.loads(held["header"].asstr()[()]))
            ends: NDArray[np.int64] = held["record_ptr"][()].astype(np.int64)
            whole = len(ends) and ends[0] == 0 and (np.diff(ends) >= 0).all() and ends[-1] == held["records"].size
            if not whole:
                raise FileError(f"{self.path} is damaged: record_ptr does not fit the records")
            return header, ends

    def __len__(self) -> int:
        return len(self._ends) - 1

    def records(self, start: int, stop: int) -> Iterator[bytes]:
        """Those of some numbers, the first being 0; a few are read at a time."""
        first = start
        while first < stop:
            last = max(first + 1, int(np.searchsorted(self._ends, self._ends[first] + _CHUNK, side="right")) - 1)
            last = min(last, stop)
            content = self._read(first, last)
            for number in range(first, last):
                yield content[self._ends[number] - self._ends[first] : self._ends[number + 1] - self._ends[first]]
            first = last

    def record(self, number: int) -> bytes:
        """One of them, the first being 0."""
        return self._read(number, number + 1)

    @reads_file
    def _read(self, first: int, last: int) -> bytes:
        with open_hdf5(self.path) as file:
            content: NDArray[np.uint8] = file[PART]["records"][self._ends[first] : self._ends[last]]
            return content.tobytes()
