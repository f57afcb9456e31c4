"""A frame as it lies in a message: packed bytes, and what they unpack to."""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crystint.arrays import Bytes
from crystint.errors import StreamError
from crystint.io.hdf5.filters import BITSHUFFLE, HEADER, LZ4, DamagedChunk, Filter, decode, library, raw_chunk
from crystint.io.hdf5.packing import BSLZ4
from crystint.model.raw_chunk import RawChunk

__all__ = ["ALGORITHMS", "PackedFrame", "check_length", "check_shape", "encode_frame"]

ALGORITHMS = ("bslz4", "lz4", "none")
"""Compressions of frames in messages."""
_LONGEST_AXIS, _MOST_PIXELS, _MOST_BYTES = 2**16, 2**28, 2**29
_LZ4_RATIO = 256
"""LZ4 cannot make fewer bytes than one of so many"""


@dataclass(frozen=True, slots=True, eq=False)
class PackedFrame:
    """Packed pixels of a frame.

    Examples
    --------
    >>> import numpy as np
    >>> from crystint.stream.packed_frame import PackedFrame
    >>> PackedFrame(np.arange(6, dtype=np.uint8), (2, 3), np.dtype("u1"), "none").decode().tolist()
    [[0, 1, 2], [3, 4, 5]]
    """

    data: Bytes
    """uint8 [n], a view of the message"""
    shape: tuple[int, int]
    """(slow, fast)"""
    dtype: np.dtype[Any]
    """of the pixels, with their byte order"""
    algorithm: str
    """ "bslz4", "lz4" or "none" """
    column_major: bool = False
    """whether the pixels of a column are neighbours"""

    @property
    def chunk(self) -> Bytes | None:
        """uint8 [n]: the bytes as a chunk of HDF5 under `filters`; None = they must be packed anew."""
        if self.algorithm not in ALGORITHMS:
            return None
        plain = self.dtype.isnative or self.dtype.itemsize == 1
        return self.data if plain and not self.column_major else None

    @property
    def raw_chunk(self) -> RawChunk | None:
        """For a decoder elsewhere; None where the frame is not packed with bitshuffle and LZ4, or lies by columns.

        Raises
        ------
        StreamError
            When it is cut off, or of another length than the shape says.
        """
        if self.algorithm != "bslz4" or self.column_major or library() is None:
            return None
        try:
            return raw_chunk(self.data, self.shape, self.dtype)
        except DamagedChunk as error:
            raise StreamError(f"the frame is damaged: {error}") from None

    @property
    def filters(self) -> tuple[Filter, ...]:
        """Of HDF5, that undo the packing."""
        if self.algorithm == "bslz4":
            return (Filter(BITSHUFFLE, (0, 4, self.dtype.itemsize, 0, 2)),)
        return (Filter(LZ4),) if self.algorithm == "lz4" else ()

    @property
    def nbytes(self) -> int:
        """Of the pixels, unpacked."""
        return math.prod(self.shape) * self.dtype.itemsize

    def decode(self, out: NDArray[Any] | None = None) -> NDArray[Any]:
        """The frame in native byte order.

        Parameters
        ----------
        out : [slow, fast], optional
            Takes it, where the bytes need no turning; contiguous.

        Raises
        ------
        StreamError
            When the bytes are damaged or of another length than the shape says.
        """
        if self.algorithm not in ALGORITHMS:
            raise StreamError(f"its compression is {self.algorithm!r}, expected bslz4, lz4 or none")
        native = self.dtype.newbyteorder("=")
        direct = out is not None and self.chunk is not None
        if out is not None and (out.shape != self.shape or out.dtype != native or not out.flags.c_contiguous):
            raise StreamError(f"the memory is {out.shape} {out.dtype}, expected {self.shape} {native}")
        memory = out if direct and out is not None else np.empty(self.shape, self.dtype)
        try:
            decode(self.filters, 0, self.data, memory.reshape(-1).view(np.uint8))
        except DamagedChunk as error:
            raise StreamError(f"the frame is damaged: {error}") from None
        if self.column_major:
            memory = memory.reshape(self.shape[::-1]).T
        if direct:
            return memory
        frame = np.ascontiguousarray(memory, native)
        if out is None:
            return frame
        out[...] = frame
        return out


def check_shape(frame: PackedFrame, what: str) -> None:
    """Refuse a frame that is larger than any detector: 2^16 pixels along an axis, 2^28 in all, or 2^29 bytes.

    Raises
    ------
    StreamError
    """
    slow, fast = frame.shape
    if not (0 < slow <= _LONGEST_AXIS and 0 < fast <= _LONGEST_AXIS and slow * fast <= _MOST_PIXELS):
        raise StreamError(
            f"{what} has {slow} x {fast} pixels, expected 1 to {_LONGEST_AXIS} along an axis, 2^28 in all"
        )
    if frame.nbytes > _MOST_BYTES:
        raise StreamError(f"{what} would have {frame.nbytes} bytes, expected {_MOST_BYTES} at most")


def check_length(frame: PackedFrame, what: str) -> None:
    """Refuse a frame whose bytes cannot be as many pixels as its shape says, before any memory is taken.

    Raises
    ------
    StreamError
        Also as `check_shape`.
    """
    check_shape(frame, what)
    slow, fast = frame.shape
    if frame.algorithm not in ALGORITHMS:
        raise StreamError(f"{what} is compressed with {frame.algorithm!r}, expected {', '.join(ALGORITHMS)}")
    size = len(frame.data)
    if frame.algorithm == "none":
        if size != frame.nbytes:
            raise StreamError(f"{what} has {size} bytes, {slow} x {fast} pixels of {frame.dtype} have {frame.nbytes}")
        return
    if size < HEADER:
        raise StreamError(f"{what} has {size} bytes, fewer than the header of {frame.algorithm}")
    (total,) = struct.unpack_from(">Q", frame.data.data)
    if total != frame.nbytes:
        raise StreamError(f"{what} holds {total} bytes, {slow} x {fast} pixels of {frame.dtype} have {frame.nbytes}")
    if total > _LZ4_RATIO * size:
        raise StreamError(f"{what} cannot hold {total} bytes in {size}")


def encode_frame(frame: NDArray[Any], algorithm: str = "bslz4") -> PackedFrame:
    """Pack a frame as detectors do.

    Parameters
    ----------
    frame : [slow, fast]
        Integers or floats.
    algorithm : "bslz4", "lz4", "none"
        Bitshuffle with LZ4, LZ4, or as they are.

    Returns
    -------
    PackedFrame
        In memory of its own, but for "none".

    Raises
    ------
    StreamError
        When there is no such algorithm, or the frame is none.

    Examples
    --------
    >>> import numpy as np
    >>> from crystint.stream import encode_frame
    >>> packed = encode_frame(np.zeros((100, 100), np.uint16))
    >>> packed.algorithm, len(packed.data) < 300, int(packed.decode().sum())
    ('bslz4', True, 0)
    """
    if frame.ndim != 2 or frame.dtype.kind not in "iuf":
        raise StreamError(f"the frame is {frame.shape} {frame.dtype}, expected numbers of (slow, fast)")
    values = np.ascontiguousarray(frame)
    if algorithm == "bslz4":
        data = BSLZ4.pack(values)
    elif algorithm == "lz4":
        data = _lz4(values)
    elif algorithm == "none":
        data = values.reshape(-1).view(np.uint8)
    else:
        raise StreamError(f"the compression is {algorithm!r}, expected {', '.join(ALGORITHMS)}")
    slow, fast = values.shape
    return PackedFrame(data, (slow, fast), values.dtype, algorithm)


def _lz4(values: NDArray[Any]) -> Bytes:
    """All values as one block; stored as they are where that is not longer."""
    source = values.reshape(-1).view(np.uint8)
    made = np.empty(len(source), np.uint8)
    length = int(library().LZ4_compress_default(source.ctypes.data, made.ctypes.data, len(source), len(made)))
    packed = made[:length] if 0 < length < len(source) else source
    head = struct.pack(">QII", len(source), len(source), len(packed))
    return np.concatenate((np.frombuffer(head, np.uint8), packed))
