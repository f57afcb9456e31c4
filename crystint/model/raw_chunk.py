"""A frame as it is packed in its file or message."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["RawChunk"]


@dataclass(frozen=True, slots=True, eq=False)
class RawChunk:
    """A frame as bitshuffle and LZ4 left it, checked so far that every block lies within `data`."""

    data: NDArray[np.uint8]
    """uint8 [n]: the chunk as it is in the file, with its header of 12 bytes"""
    starts: NDArray[np.int64]
    """int64 [blocks + 1]: where in `data` each block starts, with 4 bytes (its length, big-endian) before its LZ4
    bytes, and where the last one ends. There follow, unpacked, the elements that do not fill a group of eight."""
    block: int
    """elements per block; the last block has what is left, rounded down to a multiple of eight"""
    shape: tuple[int, int]
    """(slow, fast) of the frame"""
    dtype: np.dtype[Any]
    """dtype of its pixels in the file, which may be big-endian"""
    codec: str = "bslz4"
