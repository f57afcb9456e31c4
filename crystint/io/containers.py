"""What a file is packed in, and which container its first bytes belong to."""

from __future__ import annotations

import bz2
import gzip
import zlib
from contextlib import suppress
from io import BufferedReader
from os import PathLike
from pathlib import Path
from typing import IO, cast

from crystint.errors import FileError, unreadable
from crystint.io.limits import check_claim

__all__ = [
    "DAMAGE",
    "HDF5_SIGNATURE",
    "container_of",
    "is_hdf5",
    "open_as_it_is",
    "open_packed",
    "packing_of",
    "unpacked",
]

HDF5_SIGNATURE = b"\x89HDF\r\n\x1a\n"
_OF_CBF = (b"_array_data.", b"CIF-BINARY-FORMAT-SECTION", b"\x0c\x1a\x04\xd5")
"""In the header of a CBF file, also of one that has lost its first lines."""
_PART = 1 << 20
"""Bytes that are unpacked at a time."""
DAMAGE = (OSError, EOFError, zlib.error)
"""What reading a file that `open_packed` opened may raise."""


def open_packed(path: Path) -> IO[bytes]:
    """Open a file for reading, through gzip or bzip2 when its first bytes say so.

    Raises
    ------
    FileError
        When the file is missing, a folder or not readable.
    """
    stream = open_as_it_is(path)
    packed = packing_of(stream.peek(3))
    if not packed:
        return stream
    stream.close()
    return cast(IO[bytes], gzip.open(path, "rb")) if packed == "gzip" else bz2.open(path, "rb")


def unpacked(path: Path, most: int | None = None) -> bytes:
    """The content of a file, through gzip or bzip2 when its first bytes say so.

    What is packed is unpacked to its end, where its checksum is, but no further than a file of its size may go.

    Parameters
    ----------
    path : Path
    most : int, optional
        Bytes that are returned; what follows is only looked at.

    Raises
    ------
    FileError
        When the file is missing, its packing damaged, or it unpacks to much more than its size allows.
    """
    parts, length, size = [], 0, path.stat().st_size if path.is_file() else 0
    with open_packed(path) as stream:
        if isinstance(stream, BufferedReader):
            return stream.read() if most is None else stream.read(most)
        try:
            while part := stream.read(_PART):
                parts.append(part if most is None else part[: max(most - length, 0)])
                length += len(part)
                check_claim(f"{path}, unpacked,", length, size)
        except FileError:
            raise
        except DAMAGE as error:
            raise FileError(f"{path} is damaged or truncated: {error}") from error
    return b"".join(parts)


def packing_of(start: bytes) -> str:
    """ "gzip", "bzip2" or empty, from the first bytes of a file."""
    if start[:2] == b"\x1f\x8b":
        return "gzip"
    return "bzip2" if start[:3] == b"BZh" else ""


def open_as_it_is(path: Path) -> BufferedReader:
    """Open a file as it is; FileError as `open_packed`."""
    try:
        return path.open("rb")
    except OSError as error:
        raise unreadable(path, error) from error


def is_hdf5(path: str | PathLike[str]) -> bool:
    """Whether a file is HDF5: its signature stands at byte 0, or behind a block of the user's of 512, 1024, 2048, ...

    What is missing or cannot be read is not.
    """
    with suppress(OSError), open(path, "rb") as stream:
        size, at = stream.seek(0, 2), 0
        while at + len(HDF5_SIGNATURE) <= size:
            stream.seek(at)
            if stream.read(len(HDF5_SIGNATURE)) == HDF5_SIGNATURE:
                return True
            at = 2 * at or 512
    return False


def container_of(start: bytes) -> str:
    """ "hdf5", "npy", "cbf", "tiff" or "other", from the first bytes of a file."""
    if start.startswith(HDF5_SIGNATURE):
        return "hdf5"
    if start.startswith(b"\x93NUMPY"):
        return "npy"
    if start.startswith(b"###CBF") or (b"_array_data.header_co" in start and start[:1] != b"{"):
        return "cbf"
    if start[:4] in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"):
        return "tiff"
    braces = start.lstrip()[:1] == b"{"  # EDF and SMV, whose headers may quote that of a CBF
    return "cbf" if start.startswith(b"###CBF") or (not braces and any(word in start for word in _OF_CBF)) else "other"
