"""Room on the device for the spots of the frames that are being worked on."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from crystint.engine import Engine
from crystint.ops.detector_buffers import DetectorBuffers

__all__ = ["EXTRAS", "MAXIMA", "NO_SPOTS", "RECORD", "SPOTS", "STATE", "SpotBuffers", "SpotRecords"]

SIDE = 9
"""rows of the window of kernels/spot_window.h"""
RECORD = 23
"""numbers that a spot is told in, kernels/spot_record.h"""
STATE = 4
"""words of what is known of a frame, kernels/spot_share.h"""
MAXIMA, EXTRAS, MEMBERS, SPOTS = range(STATE)


class SpotRecords(NamedTuple):
    """What the spots of a frame hold."""

    head: NDArray[np.uint32]
    """uint32 [spots]: pixel number of the strongest maximum, ascending"""
    sums: NDArray[np.floating[Any]]
    """float [spots, 23], see kernels/spot_record.h"""


NO_SPOTS = SpotRecords(np.empty(0, np.uint32), np.empty((0, RECORD)))


class SpotBuffers:
    """Lists of maxima, members and spots of each of some frames, of `capacity` entries.

    Buffers have the names of the parameters of the kernels, which find them here.
    """

    def __init__(self, engine: Engine, detector: DetectorBuffers, frames: int, capacity: int) -> None:
        empty = engine.empty
        self.capacity, places = capacity, frames * capacity
        self.usual = 0
        """spots that the frame with most of them had last"""
        self.listed = empty(places, np.uint32)
        """maxima that are found in storage order"""
        self.state = empty(STATE * frames, np.uint32)
        self.parent, self.extra, self.owner = (empty(places, dtype) for dtype in (np.uint32, np.uint32, np.int32))
        self.member, self.spot = empty(places, np.uint32), empty(places, np.int32)
        self.row = empty(frames * (detector.height + 1), np.int32)
        self.list, self.start = empty(places, np.int32), empty(places + frames, np.int32)
        self.head, self.company = empty(places, np.uint32), empty(places, np.uint8)
        self.work = empty(4 * (places + frames), np.int32)
        self.region = empty(SIDE * places, np.uint32)
        self.record = empty(RECORD * places, np.float64 if engine.doubles else np.float32)
        self.reach, self.pick_reach = (empty(2 * frames * detector.rings, np.float32) for _ in range(2))
        self.levels = empty(4 * frames * detector.rings, np.float32)
