"""Cheetah's peakfinder8 in C++ (A. Barty et al. (2014), J. Appl. Cryst. 47, 1118), as the package ondamonitor has it.

One thread. Rings are those of crystint: its map of radii is rounded to whole numbers, so it is given ring numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import numpy as np
from om.algorithms._crystallography import peakfinder_8

from crystint.bench.frames import Sample
from crystint.bench.operations import RINGS, Wanted
from crystint.bench.timing import Operation
from crystint.engine import Engine
from crystint.model.mask import unusable
from crystint.ops.layout import ring_map

__all__ = ["operations"]

_MOST_PEAKS = 10_000
_SNR = 5.0
_PIXELS = (3, 200)
"""fewest and most pixels of a peak"""
_LOCAL_RADIUS = 3
"""px, about a peak, of the local background"""


def operations(
    sample: Sample, _engine: Engine, _warn: Callable[[str], None], _wanted: Wanted, _stack: ExitStack
) -> Iterator[Operation]:
    """Peaks of the frame as one panel, with the conversion to float32 that its interface demands."""
    rings = ring_map(sample.geometry, sample.mask, RINGS)
    inside = np.isfinite(rings.position)
    ring = np.where(inside, np.rint(rings.position), 0).astype(np.float32)
    good = (inside & ~unusable(sample.frame)).astype(np.int8)
    slow, fast = sample.frame.shape
    nothing: Any = None

    def run() -> Any:
        frame = sample.frame.astype(np.float32)
        sampled = (0, nothing, nothing, 0)  # statistics of all pixels, not of a sample of them
        panels = (fast, slow, 1, 1)
        return peakfinder_8(_MOST_PEAKS, frame, good, ring, *sampled, *panels, 0.0, _SNR, *_PIXELS, _LOCAL_RADIUS)

    yield Operation("peakfinder8 C++", run)
