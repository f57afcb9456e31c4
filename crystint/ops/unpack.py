"""Frames that a device unpacks itself: what goes over the bus is what lies in the file."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from crystint.engine import Buffer, Engine
from crystint.model.raw_chunk import RawChunk

__all__ = ["Unpacking", "can_unpack", "start_unpacking"]

_BLOCK_BYTES = 8192
"""Bytes of a block, unpacked, as bitshuffle makes them where nobody says otherwise: they fit into local memory."""
_GROUP = 32
"""work-items of a GPU that unpack a block together: a warp, whose barriers cost nothing"""
_TYPES = {1: ("uchar", np.uint8), 2: ("ushort", np.uint16), 4: ("uint", np.uint32), 8: ("ulong", np.uint64)}
"""bytes of a pixel -> its bits as a whole number"""


class Unpacking(NamedTuple):
    """Frames that are being unpacked."""

    frames: Buffer
    """of the dtype of the chunks in native byte order [n, slow, fast]"""
    damaged: Buffer
    """uint32 [n]: blocks of each frame that are no bitshuffle and LZ4. Such a frame is undefined there"""
    writing: tuple[Any, ...]
    """to be held until results have been received"""


def can_unpack(chunk: RawChunk) -> bool:
    """Whether the kernel is written for such a chunk: blocks of at most 8192 bytes, pixels of 1, 2, 4 or 8."""
    return chunk.dtype.itemsize in _TYPES and chunk.block * chunk.dtype.itemsize <= _BLOCK_BYTES


def start_unpacking(
    engine: Engine,
    chunks: Sequence[RawChunk],
    stage: NDArray[np.uint8],
    buffer: Callable[[str, int, Any], Buffer],
) -> Unpacking:
    """Start to copy packed frames to the device, and to unpack them there.

    Parameters
    ----------
    engine : Engine
    chunks : sequence of RawChunk
        Of one shape, dtype and length of blocks, `can_unpack` holds for them.
    stage : uint8 [n]
        Room on the host for all of them, one after the other; pinned on a GPU. It is not to change until results have
        been received.
    buffer : callable
        (name, size, dtype) -> a buffer, whose content may be lost.
    """
    first = chunks[0]
    pixels, blocks, n = first.shape[0] * first.shape[1], len(first.starts) - 1, len(chunks)
    starts, at = np.empty((n, blocks + 2), np.uint32), 0
    for row, chunk in zip(starts, chunks):
        stage[at : at + len(chunk.data)] = chunk.data
        row[:-1] = chunk.starts + at
        at += len(chunk.data)
        row[-1] = at
    name, bits = _TYPES[first.dtype.itemsize]
    packed, places = buffer("packed", at, np.uint8), buffer("starts", starts.size, np.uint32)
    frames, damaged = buffer("frames", n * pixels, bits), buffer("damaged", n, np.uint32)
    none = np.zeros(n, np.uint32)
    sent = (packed, stage[:at]), (places, starts), (damaged, none)
    writing = tuple(engine.start_writing(where, array) for where, array in sent)
    local_size = 1 if engine.on_cpu else _GROUP
    kernel = engine.kernel(
        "unpack_bslz4.cl",
        PIXEL_T=name,
        BIG_ENDIAN=int(not first.dtype.isnative),
        BLOCK_BYTES=_BLOCK_BYTES,
        LOCAL_SIZE=local_size,
    )
    engine.launch(
        kernel, blocks + 1, local_size, frames=n, packed=packed, size=at, starts=places, blocks=blocks,
        block=first.block, pixels=pixels, frame=frames, damaged=damaged,
    )  # fmt: skip
    return Unpacking(frames.viewed(first.dtype.newbyteorder("=")), damaged, writing)
