"""What is known of every pixel of a detector after many frames: its counts, and those that its ring had it expect."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from crystint.model.rings import Background, RingMap, interpolate
from crystint.ops.pixel_sums import PixelSums

__all__ = ["Expected", "RunStatistics", "add_background", "no_rings"]

_FRAMES, _MEAN, _SQUARE, _SPREAD, _ADDITIVE = range(5)
"""Sums over frames for each ring: frames with a background, its mean, mean squared, mean times excess, additive
variance."""


def no_rings(rings: int) -> NDArray[np.float64]:
    """float64 [5, rings]: the sums of no frame."""
    return np.zeros((5, rings))


def add_background(sums: NDArray[np.float64], background: Background) -> None:
    """Add the rings of a frame to such sums; rings without a background add nothing."""
    in_a_ring = np.isfinite(background.mean)
    mean = np.where(in_a_ring, background.mean, 0.0)
    excess, additive = (np.where(in_a_ring, values, 0.0) for values in (background.excess, background.additive))
    sums += [in_a_ring, mean, mean**2, mean * excess, additive]


@dataclass(slots=True, eq=False)
class Expected:
    """Counts that rings have every pixel expect, summed over the frames in which it was usable."""

    counts: NDArray[np.float64]
    """float64 [slow, fast]; NaN where no ring is known"""
    variance: NDArray[np.float64]
    """float64 [slow, fast]: of the sum, by Poisson's law, the excess variance of rings, and read-out noise"""
    changes: NDArray[np.float64]
    """float64 [slow, fast]: variance of the expected counts themselves from frame to frame"""
    read_out: NDArray[np.bool_]
    """bool [slow, fast]: there is noise that is no counting, so that no two frames have the same value"""


@dataclass(slots=True, eq=False)
class RunStatistics:
    """Sums over the frames of a run and its thirds, which add."""

    sums: PixelSums
    """of the whole run"""
    ends: NDArray[Any]
    """[2, slow, fast]: total counts of the first and the last third"""
    frames: NDArray[np.int64]
    """int64 [3]: frames of each third"""
    rings: NDArray[np.float64]
    """float64 [3, 5, rings]: sums of `add_background` for each third"""

    @classmethod
    def zeros(cls, shape: tuple[int, int], dtype: np.dtype[Any], rings: int) -> Self:
        """Of no frame."""
        sums = PixelSums.zeros(shape, dtype)
        ends = np.zeros((2, *shape), sums.total.dtype)
        return cls(sums, ends, np.zeros(3, np.int64), np.stack([no_rings(rings)] * 3))

    def add(self, third: int, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Add the record of a block of frames, all of one third: `PixelSums.arrays`, and "rings"."""
        block = PixelSums.of_arrays(arrays)
        self.sums += block
        if third != 1:
            self.ends[third // 2] += block.total
        self.frames[third] += block.frames
        self.rings[third] += arrays["rings"]

    def third(self, number: int) -> NDArray[Any]:
        """[slow, fast]: total counts of a third of the run."""
        if number == 1:
            return np.asarray(self.sums.total - self.ends[0] - self.ends[1])
        return np.asarray(self.ends[number // 2])

    def expected(self, rings: RingMap, third: int | None = None) -> Expected:
        """What rings have the pixels expect, over the whole run or a third of it."""
        sums = self.rings.sum(axis=0) if third is None else self.rings[third]
        frames = float(self.frames.sum() if third is None else self.frames[third])
        share = self.sums.number / max(self.sums.frames, 1)
        with np.errstate(invalid="ignore", divide="ignore"):
            mean, square, spread, additive = sums[_MEAN:] / sums[_FRAMES]
        weight = rings.weight.astype(np.float64)
        position = rings.position
        level = interpolate(mean, position) * weight
        dark = 0.0 if rings.dark is None else rings.dark
        usable = frames * share
        return Expected(
            counts=usable * (level + dark),
            variance=usable * (interpolate(spread, position) * weight + interpolate(additive, position) * weight**2),
            read_out=interpolate(additive, position) > 0,
            changes=np.maximum(interpolate(square - mean**2, position), 0.0) * weight**2,
        )
