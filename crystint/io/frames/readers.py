"""What a reader of one file offers to a sequence of frames."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from crystint.model.instrument import Instrument
from crystint.model.partial_geometry import PartialGeometry
from crystint.model.scan import Scan
from crystint.model.source_metadata import SourceMetadata

if TYPE_CHECKING:
    from crystint.io.frames.nexus_mask import NexusMask
    from crystint.model.raw_chunk import RawChunk
    from crystint.model.valid_values import FileLimits

__all__ = ["READABLE", "FrameSource", "Reader", "ToldScan", "folded", "native"]

READABLE = "CBF, EDF, TIFF and the other formats of FabIO (also .gz, .bz2), HDF5 and NXmx, NumPy .npy"


@dataclass(frozen=True, slots=True)
class FrameSource:
    """Where a frame of a sequence came from."""

    file: str
    """path as it was given"""
    index: int
    """number of the frame in that file (or in that data set), from 0"""
    dataset: str | None = None
    """path of the data set within an HDF5 file"""


class ToldScan(NamedTuple):
    """What a file tells of the scan of its frames."""

    scan: Scan | None = None
    guesses: tuple[str, ...] = ()
    """a sentence for each thing that the file does not tell and a scan needs"""
    problems: tuple[str, ...] = ()
    """a sentence for each thing that is there and cannot be used"""


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

    def geometry(self) -> PartialGeometry:
        """What the file tells of the geometry, and where."""

    def scan(self) -> ToldScan:
        """How the crystal was turned and exposed."""

    def instrument(self) -> Instrument:
        """What the file tells of detector, source and sample, beside `saturation` and `limits`."""

    def metadata(self) -> SourceMetadata:
        """What else the file holds beside the pixels."""

    def mask(self) -> tuple[NexusMask | None, list[str]]:
        """The pixel mask that the file holds, and a sentence for each that cannot be used."""

    def saturation(self) -> float | None:
        """The largest value that is a valid measurement."""

    def limits(self) -> FileLimits:
        """What else the file tells of the values of its pixels."""

    def close(self) -> None:
        """Let go of the file."""


def folded(shape: tuple[int, ...]) -> str:
    """How more than one axis is taken to count frames, in words; empty where one does."""
    leading = shape[:-2]
    if sum(length > 1 for length in leading) < 2:
        return ""
    images = f"{' x '.join(map(str, leading))} images of {shape[-2]} x {shape[-1]} px"
    return f"{images}: taken as {prod(leading)} frames, the last of these axes counting fastest"


def native(values: NDArray[Any]) -> NDArray[Any]:
    """The same numbers in the byte order of this machine, in memory of their own."""
    return np.array(values, dtype=values.dtype.newbyteorder("="), order="C")
