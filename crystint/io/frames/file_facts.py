"""What is noted of a file of frames while it is open for the first time, so that it need not be opened again for it."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from crystint.errors import GeometryError
from crystint.io.frames.readers import FrameSource, Reader, ToldScan
from crystint.io.frames.stacks import StackReader
from crystint.model.instrument import Instrument
from crystint.model.partial_geometry import PartialGeometry

__all__ = ["FileFacts", "Header", "facts_of", "header_of"]


class Header(NamedTuple):
    """What a file tells of the detector, or why it tells no geometry, and of how it was exposed."""

    geometry: PartialGeometry | GeometryError
    scan: ToldScan
    instrument: Instrument


@dataclass(frozen=True, slots=True, eq=False)
class FileFacts:
    """Of a file of which the number of frames is known only when it is opened."""

    count: int
    shape: tuple[int, int]
    dtype: np.dtype[Any]
    places: tuple[str, ...]
    """of an HDF5 file, the data sets of the frames"""
    ends: tuple[int, ...]
    """number of the frame after the last of each"""
    behind: tuple[str, ...]
    """files that these lie in"""
    header: Header | None
    """None = it cannot be read, which is told when it is asked for"""
    masked: bool
    """whether it has a mask, of whatever kind"""

    def source(self, file: str, index: int) -> FrameSource:
        """Where a frame is, the file having that name."""
        if not self.places:
            return FrameSource(file, index)
        place = bisect_right(self.ends, index)
        return FrameSource(file, index - (self.ends[place - 1] if place else 0), self.places[place])


def facts_of(reader: Reader) -> FileFacts:
    """Of a file that is open."""
    stack = reader if isinstance(reader, StackReader) else None
    try:
        header: Header | None = header_of(reader)
        own, unusable = reader.mask()
        masked = own is not None or bool(unusable)
    except Exception:  # libraries raise anything
        header, masked = None, True
    return FileFacts(
        reader.count,
        reader.shape,
        reader.dtype,
        () if stack is None else stack.places,
        () if stack is None else stack.ends,
        () if stack is None else tuple(stack.behind()),
        header,
        masked,
    )


def header_of(reader: Reader) -> Header:
    """Of a file that is open."""
    geometry: PartialGeometry | GeometryError
    try:
        geometry = reader.geometry()
    except GeometryError as error:
        geometry = error
    return Header(geometry, reader.scan(), reader.instrument())
