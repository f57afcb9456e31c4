"""The background that the rings of a frame put into regions of interest, and how certain it is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crystint.arrays import Floats
from crystint.model.rings import RingMap

__all__ = ["RingLevels", "RoiBackground"]


@dataclass(frozen=True, slots=True, eq=False)
class RingLevels:
    """The background of a frame by half rings, as `crystint.model.rings.interpolate` has it: half 2 i is the inner and
    2 i + 1 the outer half of ring i. What a ring without a background holds is 0."""

    start: NDArray[np.float64]
    """float64 [2 rings, 3]: mean, variance from counting, other variance, at the inner end of the interpolation"""
    rise: NDArray[np.float64]
    """float64 [2 rings, 3]: of these to the outer end"""
    dark: NDArray[np.bool_]
    """bool [2 rings]: no background there"""
    variance: NDArray[np.float64]
    """float64 [rings]: of the mean"""

    @classmethod
    def of(cls, table: NDArray[np.float32], variance: NDArray[np.float32]) -> RingLevels:
        """From the table of rings, float32 [rings, 4] of `crystint.ops.threshold.ring_table`, and the variance of their
        means."""
        mean, phi, other = table[:, :3].astype(np.float64).T
        values = np.stack([mean, phi * np.maximum(mean, 0.0), other * other], axis=1)
        last = len(values) - 1
        half = np.arange(2 * last + 2)
        inner = np.clip((half - 1) // 2, 0, max(last - 1, 0))
        low, high = values[inner], values[np.minimum(inner + 1, last)]
        low, high = np.where(np.isnan(low), high, low), np.where(np.isnan(high), low, high)
        dark = np.isnan(mean[half // 2])
        lit = ~dark[:, None]
        return cls(
            np.where(lit, low, 0.0), np.where(lit, high - low, 0.0), dark, np.nan_to_num(variance.astype(np.float64))
        )

    def of_pixels(self, half: NDArray[np.intp], part: Floats, weight: Floats) -> NDArray[np.float64]:
        """float64 [3, n]: background and both variances of pixels, in normalised counts times `weight`, and its square
        for the last."""
        levels = (self.start[half] + part[:, None] * self.rise[half]).T
        return np.asarray(levels * np.stack([weight, weight, weight * weight]))


class RoiBackground:
    """Sums over the pixels of regions that do not change from frame to frame, ring by ring.

    Parameters
    ----------
    rings : RingMap
    pixels : sequence of uint32 [n]
        Of each region those that are not masked.
    """

    def __init__(self, rings: RingMap, pixels: tuple[NDArray[np.uint32], ...]) -> None:
        self._position, self._weight = rings.position.reshape(-1), rings.weight.reshape(-1)
        self._dark = None if rings.dark is None else rings.dark.reshape(-1)
        self._rings = rings.rings
        halves, sums, rings_of, areas, number, ring_number = [], [], [], [], [], []
        for members in pixels:
            half, part, weight = self.places(members)
            there, at = np.unique(half, return_inverse=True)
            columns = (weight, weight * part, weight * weight, weight * weight * part)
            halves.append(there)
            sums.append(np.stack([np.bincount(at, column, len(there)) for column in columns], axis=1))
            ring, at = np.unique(half // 2, return_inverse=True)
            rings_of.append(ring)
            areas.append(np.bincount(at, weight, len(ring)))
            number.append(len(there))
            ring_number.append(len(ring))
        self._regions = len(pixels)
        self._some = np.flatnonzero(number)
        """regions that have pixels"""
        self._first, self._first_ring = (_first(numbers)[self._some] for numbers in (number, ring_number))
        self._half = np.concatenate([np.zeros(0, np.intp), *halves])
        self._sums = np.concatenate([np.zeros((0, 4)), *sums])
        self._ring, self._area = (
            np.concatenate([np.zeros(0, np.intp), *rings_of]),
            np.concatenate([np.zeros(0), *areas]),
        )
        dark = [0.0 if self._dark is None else self._dark[members].sum(dtype=np.float64) for members in pixels]
        self._dark_sum = np.array(dark)

    def places(self, pixels: NDArray[np.integer[Any]]) -> tuple[NDArray[np.intp], Floats, Floats]:
        """Half ring, place between the ends of the interpolation, and weight of pixels that are not masked."""
        last = self._rings - 1
        place = np.clip(self._position[pixels].astype(np.float64), 0.0, last)
        half = (2.0 * place + 1.0).astype(np.intp)
        return half, place - np.minimum(np.floor(place), max(last - 1, 0)), self._weight[pixels].astype(np.float64)

    def dark_of(self, pixels: NDArray[np.integer[Any]]) -> Floats:
        """float64 [n]: counts of the dark frame."""
        return np.zeros(len(pixels)) if self._dark is None else self._dark[pixels].astype(np.float64)

    def sums(self, levels: RingLevels) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Of all pixels of the regions that are in a ring with a background.

        Returns
        -------
        float64 [3, regions]
            Background in counts with the dark counts of all pixels, its variance from counting, and the other one.
        float64 [regions]
            Variance of the sum of the background, since the mean of a ring has an error: one for all of its pixels.
        """
        start, rise = levels.start[self._half], levels.rise[self._half]
        sums = self._sums
        each = start * sums[:, (0, 0, 2)] + rise * sums[:, (1, 1, 3)]
        totals, error = np.zeros((3, self._regions)), np.zeros(self._regions)
        if len(self._some):
            totals[:, self._some] = np.add.reduceat(each, self._first, axis=0).T
            error[self._some] = np.add.reduceat(self._area**2 * levels.variance[self._ring], self._first_ring)
        totals[0] += self._dark_sum
        return totals, error

    def error_without(self, levels: RingLevels, region: int, pixels: NDArray[np.uint32]) -> float:
        """Variance of the sum of the background of a region, without some of its pixels."""
        place = int(np.searchsorted(self._some, region))
        part = slice(self._first_ring[place], self._first_ring[place + 1] if place + 1 < len(self._some) else None)
        half, _, weight = self.places(pixels)
        area = self._area[part] - np.bincount(half // 2, weight, self._rings)[self._ring[part]]
        return float((area * area) @ levels.variance[self._ring[part]])

    def in_the_dark(self, levels: RingLevels) -> NDArray[np.bool_]:
        """bool [regions]: whether a region has pixels whose ring has no background."""
        some = np.zeros(self._regions, bool)
        if len(self._some) and levels.dark.any():
            some[self._some] = np.logical_or.reduceat(levels.dark[self._half], self._first)
        return some

    def without_background(self, levels: RingLevels, pixels: NDArray[np.uint32]) -> NDArray[np.uint32]:
        """Those of some pixels whose ring has no background."""
        return pixels[levels.dark[self.places(pixels)[0]]] if levels.dark.any() else pixels[:0]


def _first(numbers: list[int]) -> NDArray[np.intp]:
    """Where each of some lists begins when they stand one after the other."""
    return np.cumsum([0, *numbers])[:-1]
