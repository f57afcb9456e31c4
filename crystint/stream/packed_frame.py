"""A frame as it lies in a message: packed bytes, and what they unpack to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crystint.arrays import Bytes
from crystint.errors import StreamError
from crystint.io.hdf5.filters import BITSHUFFLE, LZ4, DamagedChunk, Filter, decode

__all__ = ["PackedFrame"]


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

    @property
    def chunk(self) -> Bytes | None:
        """uint8 [n]: the bytes as a chunk of HDF5 under `filters`; None = they must be packed anew."""
        plain = self.dtype.isnative or self.dtype.itemsize == 1
        return self.data if plain and not self.column_major else None

    @property
    def filters(self) -> tuple[Filter, ...]:
        """Of HDF5, that undo the packing."""
        if self.algorithm == "bslz4":
            return (Filter(BITSHUFFLE, (0, 4, self.dtype.itemsize, 0, 2)),)
        return (Filter(LZ4),) if self.algorithm == "lz4" else ()

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
        if self.algorithm not in ("bslz4", "lz4", "none"):
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
