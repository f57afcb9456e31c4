"""Buffers of the frames that are being worked on, and the queue on which that happens."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crystint.engine import Buffer, Engine
from crystint.ops.detector_buffers import CellBuffers, DetectorBuffers, Gaps
from crystint.ops.spots import SpotBuffers

__all__ = ["BLOCK", "Tails", "Workspace"]

BLOCK = 4096
"""pixels that one work-group looks at, where frames are read from first to last pixel"""


class Tails:
    """Room for the tails of rings (kernels/ring_statistics.cl)."""

    def __init__(self, detector: DetectorBuffers, engine: Engine, frames: int) -> None:
        size, rings = frames * detector.ring_order.tail_size, frames * detector.rings
        self.tail_pixel, self.tail_above = engine.empty(size, np.uint32), engine.empty(size, np.float32)
        self.tail_weight = engine.empty(size, np.float32)
        self.tails, self.cover = engine.empty(rings * detector.local_size, np.int32), engine.empty(rings, np.float32)


class Workspace:
    """Room on the device for `frames` frames in one launch. One thread at a time may use it.

    Buffers have the names of the parameters of the kernels, which find them here.

    Parameters
    ----------
    detector : DetectorBuffers
    frames : int
    """

    def __init__(self, detector: DetectorBuffers, frames: int = 1) -> None:
        self.detector, self.frames = detector, frames
        self.engine = detector.engine.sibling()
        empty, rings = self.engine.empty, frames * detector.rings
        self.lost = empty(rings, np.uint32)
        self.sums, self.table = empty(8 * rings, np.float32), empty(4 * rings, np.float32)
        self.sem = empty(rings, np.float32)
        self.totals = empty(8 * rings, np.uint32)
        self.count = empty(2 * frames, np.uint32)
        self.blocks = -(-detector.pixels // BLOCK)
        self.length = empty(self.blocks, np.uint32)
        self.pixel_list = empty(max(frames * detector.pixels, self.blocks * BLOCK), np.uint32)
        self.storage_order: CellBuffers | None = None
        """cells of the frame that is being worked on, where it is read in storage order"""
        self.gaps: Gaps | None = None
        """the unusable pixels of the frame that is being worked on, where they are known"""
        self.spots: SpotBuffers | None = None
        self._buffers: dict[str, tuple[int, Buffer]] = {}
        self._pinned: NDArray[np.uint8] | None = None
        self._writing: Any = None

    @cached_property
    def ring_tails(self) -> Tails:
        """Made when a frame is first read in the order of the rings."""
        return Tails(self.detector, self.engine, self.frames)

    def upload(self, frames: NDArray[Any]) -> Buffer:
        """A buffer with the frames: themselves, where the device can work in them.

        A GPU fetches them from pinned memory (`Engine.new_input`), where they are copied to unless they lie there, and
        the thread does not wait: while they are on their way, and while kernels work on them, other threads fill work
        spaces of their own. The frames must live, unchanged, until results have been received.
        """
        if self.engine.works_in(frames):
            return self.engine.lend(frames)
        frame_buffer = self.buffer("frames", frames.size, frames.dtype)
        if self.engine.on_cpu or self.engine.fetches_from(frames):
            self._writing = self.engine.start_writing(frame_buffer, frames)
            return frame_buffer
        if self._pinned is None or self._pinned.nbytes < frames.nbytes:
            self._pinned = self.engine.pinned(frames.nbytes)
        copy = self._pinned[: frames.nbytes].view(frames.dtype)
        copy[...] = frames.reshape(-1)
        self._writing = self.engine.start_writing(frame_buffer, copy)
        return frame_buffer

    def buffer(self, name: str, size: int, dtype: Any) -> Buffer:
        """A buffer of at least `size` elements, kept from call to call; its content is lost."""
        nbytes = size * np.dtype(dtype).itemsize
        capacity, buffer = self._buffers.get(name, (0, None))
        if buffer is None or capacity < nbytes:
            capacity = max(nbytes, capacity + capacity // 2)  # lists of spots grow bit by bit
            buffer = self.engine.empty(capacity, np.uint8)
            self._buffers[name] = capacity, buffer
        return buffer.viewed(dtype)

    def filled(self, name: str, array: NDArray[Any]) -> Buffer:
        """A buffer as of `buffer` with the content of an array."""
        buffer = self.buffer(name, array.size, array.dtype)
        if array.size:
            self.engine.write(buffer, array)
        return buffer

    def listed_pixels(self, frame: int, count: int) -> NDArray[np.uint32]:
        """The first `count` entries of the list of one frame, ascending."""
        pixels = self.engine.receive(self.pixel_list, count, start=frame * self.detector.pixels)
        pixels.sort()
        return pixels
