"""What a frame holds as a whole: the sum of its measurements, the largest, and how many pixels are of each kind."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from crystint.ops.workspace import Workspace

__all__ = ["FrameTotals", "read_totals"]

_PARTS = np.array([1, 1 << 16, 1 << 32, 1 << 48], np.uint64)
"""what the parts of the sum are multiples of (kernels/ring_totals.h)"""


@dataclass(frozen=True, slots=True)
class FrameTotals:
    """Of the pixels of a frame that are not masked."""

    sum: float
    """of the measurements, counts as in the frame: exact for whole numbers, as far as a float64 goes"""
    maximum: float
    """the largest measurement; NaN = there is none"""
    saturated: int
    """pixels above the saturation value: no measurements"""
    bad: int
    """pixels that hold no measurement in this frame, and are not saturated"""
    negative: int
    """measurements below zero"""
    usable: int
    """measurements"""


def read_totals(workspace: Workspace, dtype: np.dtype[Any], frame: int = 0) -> FrameTotals:
    """Those of a frame whose statistics were started; waits for them."""
    rings = workspace.detector.rings
    rows = workspace.engine.receive(workspace.totals, 8 * rings, start=8 * rings * frame).reshape(rings, 8)
    place = int(rows[:, 4].max())
    usable, negative, saturated = (int(column.sum(dtype=np.int64)) for column in rows[:, 5:8].T)
    if dtype.kind == "f":
        total = float(rows[:, 0].view(np.float32).sum(dtype=np.float64))
    else:
        total = int((rows[:, :4].sum(axis=0, dtype=np.uint64) * _PARTS).sum(dtype=np.uint64).astype(np.int64))
    return FrameTotals(
        sum=float(total),
        maximum=_value(place, dtype) if usable > saturated else np.nan,
        saturated=saturated,
        bad=int(workspace.detector.ring_pixels.sum()) - usable,
        negative=negative,
        usable=usable - saturated,
    )


def _value(place: int, dtype: np.dtype[Any]) -> float:
    """The value of a number that orders as the values do."""
    if dtype.kind == "u":
        return float(place)
    if dtype.kind == "i":
        return float(place - (1 << 31))
    bits = place & 0x7FFFFFFF if place >> 31 else ~place & 0xFFFFFFFF
    return float(np.uint32(bits).view(np.float32))
