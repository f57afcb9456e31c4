"""Where HDF5 keeps texts: a walk through the heaps of a file that HDF5 itself would not end.

A global heap collection is a header (``GCOL``, version 1, three zeros, its size in 8 bytes) and objects (number, uses,
four zeros, size in 8 bytes, data); object 0 is what is free. HDF5 walks from one to the next by their sizes; a free
object of no size keeps it there for ever (HDF5 File Format Specification 3.0, section III.E).
"""

from __future__ import annotations

import mmap
import os
import struct
from functools import lru_cache

from crystint.errors import FileError

__all__ = ["check_heaps"]

_START = b"GCOL\x01\0\0\0"
_HEADER = struct.Struct("<8sQ")
_OBJECT = struct.Struct("<HHIQ")
_LOOKED_AT = 1 << 24
"""Bytes at the beginning and at the end of a file that are searched for heaps; the whole of a smaller one."""


def check_heaps(path: str) -> None:
    """Raise when HDF5 would not come to the end of a heap of this file.

    Raises
    ------
    FileError
    """
    status = os.stat(path)
    if not _ends(path, status.st_size, status.st_mtime_ns):
        raise FileError(f"{path} is damaged: one of its heaps, where texts are, has no end")


@lru_cache(maxsize=256)
def _ends(path: str, size: int, changed: int) -> bool:
    """Whether the walk through each heap ends; of a file as it was at that time."""
    with open(path, "rb") as stream, mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as content:
        parts = [(0, size)] if size <= 2 * _LOOKED_AT else [(0, _LOOKED_AT), (size - _LOOKED_AT, size)]
        return all(_heap_ends(content, at) for start, stop in parts for at in _heaps(content, start, stop))


def _heaps(content: mmap.mmap, start: int, stop: int) -> list[int]:
    places = []
    at = content.find(_START, start, stop)
    while at >= 0:
        places.append(at)
        at = content.find(_START, at + 1, stop)
    return places


def _heap_ends(content: mmap.mmap, start: int) -> bool:
    """Whether the objects of a heap lead to its end; HDF5 sees for itself whether they leave it."""
    if start + _HEADER.size > len(content):
        return True
    end = start + _HEADER.unpack_from(content, start)[1]
    at = start + _HEADER.size
    while at + _OBJECT.size <= min(end, len(content)):
        number, _, _, size = _OBJECT.unpack_from(content, at)
        step = size if number == 0 else _OBJECT.size + -(-size // 8) * 8
        if step % (1 << 64) == 0:
            return False
        at += step
    return True
