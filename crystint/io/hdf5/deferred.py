"""A file for HDF5 whose bytes are written outside HDF5.

HDF5 serves one thread of a process at a time, and h5py holds its lock while HDF5 writes: a disk that stalls would stop
every other user of HDF5. Here HDF5 only says what is to stand where; `drain` writes it afterwards, with no lock held.
"""

from __future__ import annotations

import os
from io import RawIOBase
from pathlib import Path
from typing import Any

import numpy as np

from crystint.arrays import Bytes

__all__ = ["DeferredFile"]


class DeferredFile(RawIOBase):
    """Given to `h5py.File` in place of a path. Call `drain` after each use of HDF5, in the same thread.

    Parameters
    ----------
    path : path
        Made if it is not there; what is in it stays until it is written over.

    Raises
    ------
    OSError
        When it cannot be opened.
    """

    def __init__(self, path: Path) -> None:
        super().__init__()
        self._file = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        self._waiting: list[tuple[int, Any] | int] = []
        self._at = self._end = 0
        self._payload: Bytes | None = None
        self._placed: int | None = None
        self._stored = False

    def __repr__(self) -> str:
        """h5py takes it for the name of the file."""
        return f"deferred {id(self)}"

    def expect(self, payload: Bytes, stored: bool = False) -> None:
        """What HDF5 will be told to write next, uint8 [n]: it is not copied, and `placed` says where it belongs. When
        it is `stored` there already, it is not written."""
        self._payload, self._placed, self._stored = payload, None, stored

    @property
    def placed(self) -> int | None:
        """Where HDF5 put the payload that was expected; None = it was not written as one."""
        return self._placed

    def drain(self) -> None:
        """Write what HDF5 wants written.

        Raises
        ------
        OSError
            When it cannot be written; what is left is given up.
        """
        waiting, self._waiting, self._payload = self._waiting, [], None
        for each in waiting:
            if isinstance(each, int):
                os.ftruncate(self._file, each)
            else:
                at, data = each
                rest = memoryview(data)
                while len(rest):
                    written = os.pwrite(self._file, rest, at)
                    at, rest = at + written, rest[written:]

    def sync(self) -> None:
        """Wait until the disk has all of it."""
        os.fsync(self._file)

    def write(self, data: Any, /) -> int:
        """Note what is to be written."""
        view = memoryview(data)
        payload, size = self._payload, len(view)
        if payload is not None and size == len(payload) and _address(view) == payload.ctypes.data:
            self._placed = self._at
            if not self._stored:
                self._waiting.append((self._at, payload))
        else:
            self._waiting.append((self._at, bytes(view)))
        self._at += size
        self._end = max(self._end, self._at)
        return size

    def truncate(self, size: int | None = None, /) -> int:
        """Note it."""
        self._end = self._at if size is None else size
        self._waiting.append(self._end)
        return self._end

    def readinto(self, buffer: Any, /) -> int:
        """Of what is in the file; it is rare that HDF5 asks for what it wrote."""
        self.drain()
        done = os.preadv(self._file, [buffer], self._at)
        self._at += done
        return done

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        """As a file does."""
        self._at = offset + (0, self._at, self._end)[whence]
        return self._at

    def tell(self) -> int:
        """As a file does."""
        return self._at

    def readable(self) -> bool:
        """It is."""
        return True

    def writable(self) -> bool:
        """It is."""
        return True

    def seekable(self) -> bool:
        """It is."""
        return True

    def close(self) -> None:
        """Close the file; what was not drained is not written."""
        if not self.closed:
            os.close(self._file)
        super().close()


def _address(view: memoryview) -> int:
    return int(np.frombuffer(view, np.uint8).ctypes.data)
