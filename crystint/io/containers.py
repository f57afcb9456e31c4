"""What a file is packed in, and which container its first bytes belong to."""

from __future__ import annotations

import bz2
import gzip
from pathlib import Path
from typing import IO, cast

from crystint.errors import FileError

__all__ = ["HDF5_SIGNATURE", "container_of", "open_packed"]

HDF5_SIGNATURE = b"\x89HDF\r\n\x1a\n"
_USER_BLOCKS = (512, 1024, 2048)
"""Where HDF5 may begin behind a block of the user's."""


def open_packed(path: Path) -> IO[bytes]:
    """Open a file for reading, through gzip or bzip2 when its first bytes say so.

    Raises
    ------
    FileError
        When the file is missing, a folder or not readable.
    """
    try:
        with path.open("rb") as stream:
            start = stream.read(3)
        if start[:2] == b"\x1f\x8b":
            return cast(IO[bytes], gzip.open(path, "rb"))
        if start == b"BZh":
            return bz2.open(path, "rb")
        return path.open("rb")
    except FileNotFoundError:
        raise FileError(f"{path} does not exist") from None
    except IsADirectoryError:
        raise FileError(f"{path} is a folder; name its files, for instance {path}/*.cbf") from None
    except OSError as error:
        raise FileError(f"{path} cannot be read: {error.strerror or error}") from error


def container_of(start: bytes) -> str:
    """ "hdf5", "npy", "cbf", "tiff" or "other", from the first bytes of a file."""
    if start.startswith(HDF5_SIGNATURE) or any(start[at : at + 8] == HDF5_SIGNATURE for at in _USER_BLOCKS):
        return "hdf5"
    if start.startswith(b"\x93NUMPY"):
        return "npy"
    if start.startswith(b"###CBF") or b"_array_data.header_co" in start:
        return "cbf"
    if start[:4] in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"):
        return "tiff"
    return "other"
