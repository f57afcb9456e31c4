"""Which pixels of a frame belong to each of its reflections, and their sums over any image of that frame."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from crystint.model.mask import unusable
from crystint.model.valid_values import ValidValues

__all__ = ["LEAST_BACKGROUND", "RADIUS", "RING", "SUM_DTYPE", "Footprints"]

SUM_DTYPE: np.dtype[Any] = np.dtype(
    [
        ("intensity", np.float64),  # sum over the pixels of the reflection less their background, counts
        ("variance", np.float64),  # of it, counts^2
        ("background", np.float64),  # mean of the pixels around, counts per pixel
    ]
)
"""Dtype of the sum of a reflection on a frame."""

RADIUS = 4.0
"""Pixels whose centre is no further than this from the place of a reflection are summed, px."""
RING = (5.0, 8.0)
"""Pixels from the first to the second distance tell the background, px."""
LEAST_BACKGROUND = 10
"""With fewer pixels for its background a reflection is not summed."""


@dataclass(frozen=True, slots=True, eq=False)
class Footprints:
    """The pixels of reflections on one frame, the same for the raw frame and for what was made of it.

    A pixel that two reflections claim goes to the nearer one, and to no background. A reflection with an unusable or a
    saturated pixel, one that reaches over the edge of the frame, or with fewer than `LEAST_BACKGROUND` pixels
    around it is not `whole`.

    Examples
    --------
    >>> import numpy as np
    >>> from crystint.summation.footprints import Footprints
    >>> frame = np.full((30, 40), 2, np.int32)
    >>> frame[10:13, 20:23] += 5
    >>> spots = Footprints.discs([11.5], [21.5], frame)
    >>> spots.sums(frame)["intensity"].tolist(), spots.sums(frame)["background"].tolist()
    ([45.0], [2.0])
    """

    pixels: NDArray[np.intp]
    """intp [p]: numbers (slow * width + fast) of the pixels that are summed"""
    row: NDArray[np.intp]
    """intp [p]: the reflection that each belongs to"""
    around: NDArray[np.intp]
    """intp [a]: numbers of the pixels that tell backgrounds"""
    around_row: NDArray[np.intp]
    """intp [a]: the reflection that each is used for"""
    whole: NDArray[np.bool_]
    """bool [n]: whether the sum of the reflection is one"""

    @classmethod
    def discs(
        cls,
        slow: ArrayLike,
        fast: ArrayLike,
        frame: NDArray[Any],
        mask: NDArray[Any] | None = None,
        *,
        valid: ValidValues | None = None,
        saturation: float | None = None,
        radius: float = RADIUS,
        ring: tuple[float, float] = RING,
    ) -> Self:
        """Discs around places, with rings around them for the background.

        Parameters
        ----------
        slow, fast : float [n]
            px from the outer corner of the first pixel.
        frame : dtype [slow, fast]
            The raw frame.
        mask : integer or bool [slow, fast], optional
            Nonzero = not to be used.
        valid : ValidValues, optional
            Which values of `frame` are measurements; None = the default of its dtype.
        saturation : float, optional
            Largest valid value.
        radius : float
            Of the discs, px.
        ring : (float, float)
            Inner and outer radius, px.
        """
        places = np.stack([np.asarray(slow, np.float64), np.asarray(fast, np.float64)], axis=1)
        reach = max(radius, ring[1])
        low, high = np.floor(places - reach).astype(np.int64), np.ceil(places + reach).astype(np.int64)
        row, at = _rectangles(low, high)
        distance = np.hypot(*(at + 0.5 - places[row]).T)
        inside, around = distance <= radius, (distance >= ring[0]) & (distance <= ring[1])
        return cls._of(row, at, distance, inside, around, len(places), frame, mask, valid, saturation)

    @classmethod
    def _of(
        cls,
        row: NDArray[np.intp],
        at: NDArray[np.int64],
        distance: NDArray[np.float64],
        inside: NDArray[np.bool_],
        around: NDArray[np.bool_],
        number: int,
        frame: NDArray[Any],
        mask: NDArray[Any] | None,
        valid: ValidValues | None,
        saturation: float | None,
    ) -> Self:
        """From pixels near each reflection: `at` [p, 2], those `inside` it and those `around` it."""
        slow, fast = frame.shape
        there = (at[:, 0] >= 0) & (at[:, 0] < slow) & (at[:, 1] >= 0) & (at[:, 1] < fast)
        whole = np.bincount(row[inside & there], minlength=number) == np.bincount(row[inside], minlength=number)
        whole &= np.bincount(row[inside], minlength=number) > 0
        near = there & (inside | around)
        row, inside, distance = row[near], inside[near], distance[near]
        pixels = at[near, 0] * fast + at[near, 1]
        values = frame.reshape(-1)[pixels]
        bad = unusable(values, valid)
        if saturation is not None:
            bad |= values > saturation
        if mask is not None:
            bad |= mask.reshape(-1)[pixels] != 0
        whole[row[inside & bad]] = False
        claimed = np.zeros(frame.size, bool)  # pages that are not touched take no memory
        claimed[pixels[inside]] = True
        free = ~inside & ~bad & ~claimed[pixels]
        own = np.flatnonzero(inside & ~bad)
        order = own[np.lexsort((row[own], distance[own], pixels[own]))]
        order = order[np.diff(pixels[order], prepend=-1) != 0]  # the nearest of those that claim a pixel
        order = order[np.argsort(row[order], kind="stable")]
        whole &= np.bincount(row[free], minlength=number) >= LEAST_BACKGROUND
        whole &= np.bincount(row[order], minlength=number) > 0
        return cls(pixels[order], row[order], pixels[free], row[free], whole)

    def __len__(self) -> int:
        return len(self.whole)

    def sums(self, image: NDArray[Any]) -> NDArray[np.void]:
        """Intensity, its variance, and the background of each reflection in the raw frame or another form of it.

        The variance is that of summation over counts (Leslie, Acta Cryst. (1999) D55, 1696; DIALS's): I + B + B m / n
        with the background B under the m pixels of the reflection, from n around it.

        Parameters
        ----------
        image : real [slow, fast]

        Returns
        -------
        `SUM_DTYPE` [n]
            NaN where the reflection is not `whole`.
        """
        flat, number = image.reshape(-1), len(self)
        size = np.bincount(self.row, minlength=number)
        size_around = np.bincount(self.around_row, minlength=number)
        sums = np.zeros(number, SUM_DTYPE)
        with np.errstate(invalid="ignore", divide="ignore"):
            level = np.bincount(self.around_row, flat[self.around].astype(np.float64), number) / size_around
            under = level * size
            intensity = np.bincount(self.row, flat[self.pixels].astype(np.float64), number) - under
            variance = np.abs(intensity) + np.abs(under) * (1.0 + size / size_around)
        for name, values in (("intensity", intensity), ("variance", variance), ("background", level)):
            sums[name] = np.where(self.whole, values, np.nan)
        return sums

    def count(self, index: NDArray[np.integer[Any]]) -> NDArray[np.int64]:
        """int64 [n]: how many pixels of each reflection are among `index`, numbers of pixels that ascend."""
        if not len(index):
            return np.zeros(len(self), np.int64)
        place = np.minimum(np.searchsorted(index, self.pixels), len(index) - 1)
        return np.bincount(self.row[index[place] == self.pixels], minlength=len(self))


def _rectangles(low: NDArray[np.int64], high: NDArray[np.int64]) -> tuple[NDArray[np.intp], NDArray[np.int64]]:
    """The pixels of rectangles [n, 2] from `low` to below `high`: (rectangle [p], (slow, fast) [p, 2])."""
    extent = np.maximum(high - low, 0)
    sizes = extent.prod(axis=1)
    row = np.repeat(np.arange(len(low)), sizes)
    within = np.arange(len(row)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    slow, fast = np.divmod(within, np.maximum(extent[row, 1], 1))
    return row, low[row] + np.stack([slow, fast], axis=1)
