"""What a reader of one file offers to a sequence of frames, and how a file's kind is told from its first
bytes."""

from __future__ import annotations

import bz2
import gzip
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Protocol, cast

import numpy as np
from numpy.typing import NDArray

from crystint.errors import FileError
from crystint.model.geometry import Geometry

if TYPE_CHECKING:
    from crystint.io.hdf5.chunks import RawChunk

__all__ = ["READABLE", "FrameSource", "Reader", "file_kind", "native", "open_packed"]

READABLE = "CBF, EDF, TIFF and the other formats of FabIO (also .gz, .bz2), HDF5 and NXmx, NumPy .npy"

_HDF5 = b"\x89HDF\r\n\x1a\n"


@dataclass(frozen=True, slots=True)
class FrameSource:
    """Where a frame of a sequence came from."""

    file: str
    """path as it was given"""
    index: int
    """number of the frame in that file (or in that data set), from 0"""
    dataset: str | None = None
    """path of the data set within an HDF5 file"""


class Reader(Protocol):
    """The frames of one file. Making one reads headers only."""

    @property
    def count(self) -> int:
        """Number of frames."""

    @property
    def shape(self) -> tuple[int, int]:
        """(slow, fast)."""

    @property
    def dtype(self) -> np.dtype[Any]:
        """Native-endian dtype of the frames."""

    def read(self, index: int, out: NDArray[Any] | None = None) -> NDArray[Any]:
        """One frame, native-endian. Threads may call it at the same time.

        It is put into `out` where that has the shape and the dtype of the frame and saves a copy, else into memory of
        its own.
        """

    def chunk(self, index: int) -> RawChunk | None:
        """The packed frame where it is one chunk of bitshuffle and LZ4; None elsewhere."""

    def source(self, index: int) -> FrameSource:
        """Where that frame is."""

    def geometry(self, *, beam_outside: bool = False) -> Geometry | None:
        """The geometry that the file tells; GeometryError when it is impossible."""

    def mask(self) -> NDArray[np.uint32] | None:
        """The pixel mask that the file holds."""

    def saturation(self) -> float | None:
        """The largest value that is a valid measurement."""

    def close(self) -> None:
        """Let go of the file."""


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


def file_kind(path: Path) -> str:
    """ "hdf5", "npy", "cbf", "tiff" or "other", from the first bytes of the file.

    Raises
    ------
    FileError
        When the file is missing, empty or not readable.
    """
    with open_packed(path) as stream:
        try:
            start = stream.read(4096)
        except (OSError, EOFError) as error:
            raise FileError(f"{path} is damaged or truncated: {error}") from error
    if not start:
        raise FileError(f"{path} is empty")
    if start.startswith(_HDF5) or any(start[at : at + 8] == _HDF5 for at in (512, 1024, 2048)):
        return "hdf5"
    if start.startswith(b"\x93NUMPY"):
        return "npy"
    if start.startswith(b"###CBF") or b"_array_data.header_co" in start:
        return "cbf"
    if start[:4] in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"):
        return "tiff"
    return "other"


def native(values: NDArray[Any]) -> NDArray[Any]:
    """The same numbers in the byte order of this machine, in memory of their own."""
    return np.array(values, dtype=values.dtype.newbyteorder("="), order="C")
