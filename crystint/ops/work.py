"""Buffers of the frames that are being worked on, and the queue on which that happens."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from crystint.ops.fixed import Fixed

__all__ = ["BLOCK", "Work"]

BLOCK = 4096
"""pixels that one work-group looks at, where frames are read from first to last pixel"""


class Work:
    """Room on the device for `frames` frames in one launch. One thread at a time may use it.

    Parameters
    ----------
    fixed : Fixed
    frames : int
    """

    def __init__(self, fixed: Fixed, frames: int = 1) -> None:
        self.fixed, self.frames = fixed, frames
        self.engine = fixed.engine.sibling()
        empty, rings = self.engine.empty, frames * fixed.rings.rings
        room = frames * fixed.room
        self.tail_pixel, self.tail_above = empty(room, np.uint32), empty(room, np.float32)
        self.tail_weight = empty(room, np.float32)
        self.tails = empty(rings * fixed.local_size, np.int32)
        self.cover, self.lost = empty(rings, np.float32), empty(rings, np.uint32)
        self.sums, self.table = empty(8 * rings, np.float32), empty(4 * rings, np.float32)
        self.sem = empty(rings, np.float32)
        self.count = empty(2 * frames, np.uint32)
        self.blocks = -(-fixed.pixels // BLOCK)
        self.list = empty(frames * fixed.pixels, np.uint32)
        self._buffers: dict[str, tuple[int, Any]] = {}
        self._pinned: NDArray[np.uint8] | None = None
        self._writing: Any = None

    @property
    def candidates(self) -> tuple[Any, ...]:
        """Where kernels/candidates.h finds the pixels that may be significant, and what they are judged by."""
        fixed, tails = self.fixed, (self.tail_pixel, self.tail_above, self.tail_weight, self.tails)
        rings = (self.table, fixed.ring_number, fixed.bands)
        return fixed.room_of, *tails, self.cover, self.sums, *rings

    def take(self, frames: NDArray[Any]) -> Any:
        """A buffer with the frames: themselves, where the device can work in them.

        To a GPU they go through pinned memory, and the thread does not wait: while they are on their way, and while
        kernels work on them, other threads fill work spaces of their own. The frames must live, unchanged, until
        results have been received.
        """
        if self.engine.works_in(frames):
            return self.engine.lend(frames)
        there = self.buffer("frames", frames.size, frames.dtype)
        if self.engine.on_cpu:
            self._writing = self.engine.start_writing(there, frames)
            return there
        if self._pinned is None or self._pinned.nbytes < frames.nbytes:
            self._pinned = self.engine.pinned(frames.nbytes)
        copy = self._pinned[: frames.nbytes].view(frames.dtype)
        copy[...] = frames.reshape(-1)
        self._writing = self.engine.start_writing(there, copy)
        return there

    def buffer(self, name: str, size: int, dtype: Any) -> Any:
        """A buffer of at least `size` elements, kept from call to call; its content is lost."""
        nbytes = size * np.dtype(dtype).itemsize
        have = self._buffers.get(name)
        if have is None or have[0] < nbytes:
            room = nbytes if have is None else max(nbytes, have[0] + have[0] // 2)  # lists of spots grow bit by bit
            self._buffers[name] = room, self.engine.empty(room, np.uint8)
        return self._buffers[name][1]

    def sent(self, name: str, array: NDArray[Any]) -> Any:
        """A kept buffer with the content of an array."""
        buffer = self.buffer(name, array.size, array.dtype)
        if array.size:
            self.engine.write(buffer, array)
        return buffer

    def listed(self, frame: int, count: int) -> NDArray[np.uint32]:
        """The first `count` entries of the list of one frame, ascending."""
        found = self.engine.receive(self.list, count, np.uint32, start=frame * self.fixed.pixels)
        found.sort()
        return found
