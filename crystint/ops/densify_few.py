"""Noise of very few counts that a separation of a densified frame would pick, without such a separation.

Where most pixels of a ring hold nothing, the pixels that hold something are a short list. The sum of their counts over
the sum of the normalizations is the mean that a new separation finds, at least: it clips no zero, and no 1 or 2 where
the ring is expected to hold some. Counts above are left out, since it may clip them. The excess variance is at least 1.
So no pixel below the threshold of that mean is picked; lowering one that is above it lowers the mean, and they are
looked at again.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from crystint.model.rings import RingMap, interpolate
from crystint.model.sparse import SparseFrame
from crystint.ops.threshold import counts_at

__all__ = ["FewCounts"]

_EXPECTED = 2.0
"""Pixels of a ring that hold a count, so that clipping leaves it: it leaves what half a pixel is expected to hold."""


class FewCounts:
    """Looks at what was drawn in rings of few counts. Threads may share one.

    Parameters
    ----------
    rings : RingMap
    least_weight : float64 [rings]
        Smallest normalization of a pixel in each ring.
    """

    def __init__(self, rings: RingMap, least_weight: NDArray[np.float64]) -> None:
        self._rings, self._least_weight = rings.rings, least_weight
        self._position, self._weight = rings.position.ravel(), rings.weight.ravel()
        self._whole = self._sums(np.flatnonzero(np.isfinite(self._position)))
        self._unusable: tuple[NDArray[np.uint32] | None, NDArray[np.float64]] = None, self._whole

    def _ring(self, pixels: NDArray[Any]) -> NDArray[np.intp]:
        """Number of the ring of each pixel."""
        return np.asarray(np.clip(self._position[pixels] + np.float32(0.5), 0, self._rings - 1).astype(np.intp))

    def _sums(self, pixels: NDArray[Any]) -> NDArray[np.float64]:
        """Sum of the normalizations of some pixels in each ring."""
        return np.asarray(np.bincount(self._ring(pixels), self._weight[pixels], self._rings), np.float64)

    def _usable(self, sparse: SparseFrame) -> NDArray[np.float64]:
        """Sum of the normalizations of the usable pixels; many frames of a file share what is unusable."""
        unusable = sparse.unusable_index
        if unusable is None:
            return self._whole
        before, sums = self._unusable
        if before is not unusable:
            sums = self._whole - self._sums(unusable[np.isfinite(self._position[unusable])])
            self._unusable = unusable, sums
        return sums

    def lower(
        self, frame: NDArray[Any], sparse: SparseFrame, few: NDArray[np.bool_], lowest: NDArray[np.float32], k: float
    ) -> None:
        """Lower noise of some rings, in place, until a separation of the frame cannot pick it.

        Parameters
        ----------
        frame : integers [slow, fast]
        few : bool [rings]
            Whose noise is looked at.
        lowest : float32 [rings, 4]
            Of the other rings: `lowest_table`.
        k : float
            SNR_pick, or a little less.
        """
        flat = frame.ravel()
        omega, mean = self._usable(sparse), lowest[:, 0].astype(np.float64)
        pixels = np.flatnonzero(flat > 0)
        if sparse.unusable_index is not None:
            pixels = pixels[~_among(pixels, sparse.unusable_index)]
        pixels = pixels[np.isfinite(self._position[pixels])]
        ring = self._ring(pixels)
        pixels, ring = pixels[few[ring]], ring[few[ring]]
        values, drawn = flat[pixels], np.flatnonzero(~_among(pixels, sparse.index))
        while True:
            mean[few] = self._at_least(ring, values, omega, sparse.background.count)[few]
            looked_at = drawn[values[drawn] > self._surely_below(mean, k, sparse.noise)[ring[drawn]]]
            some = pixels[looked_at]
            expected, weight = interpolate(mean, self._position[some]), self._weight[some].astype(np.float64)
            limit = np.floor(0.9999 * _limit(expected, weight, k, sparse.noise))
            above = values[looked_at] > limit
            if not above.any():
                return
            lowered = looked_at[above]
            flat[pixels[lowered]] = values[lowered] = np.maximum(limit[above], 0.0).astype(frame.dtype)

    def _at_least(
        self,
        ring: NDArray[np.intp],
        values: NDArray[Any],
        omega: NDArray[np.float64],
        count: NDArray[np.float64],
    ) -> NDArray[np.float64]:
        """float64 [rings]: mean that a new separation finds in each ring, from its pixels that are not zero."""
        ones, twos = (np.bincount(ring[values == some], minlength=self._rings) for some in (1, 2))
        mean = np.where(ones >= _EXPECTED, ones, 0) / np.maximum(omega, 1e-30)
        return np.asarray(mean + np.where(count * mean**2 >= 2 * _EXPECTED, 2 * twos, 0) / np.maximum(omega, 1e-30))

    def _surely_below(self, mean: NDArray[np.float64], k: float, noise: float) -> NDArray[np.float64]:
        """float64 [rings]: counts that are below the threshold of every pixel of a ring."""
        around = np.pad(mean, 1, constant_values=np.nan)
        least = np.fmin(np.fmin(around[:-2], around[2:]), mean)
        return np.floor(0.9999 * _limit(least, self._least_weight, k, noise))


def _limit(mean: NDArray[np.float64], weight: NDArray[np.float64], k: float, noise: float) -> NDArray[np.float64]:
    """Threshold of pixels whose excess variance is 1."""
    return counts_at(mean, np.ones_like(mean), np.zeros_like(mean), weight, k, noise)


def _among(pixels: NDArray[np.intp], stored: NDArray[np.uint32]) -> NDArray[np.bool_]:
    """Which of some pixel numbers are in another list; both ascend."""
    among = np.zeros(len(pixels), np.bool_)
    if len(stored) and len(pixels):
        place = np.minimum(np.searchsorted(pixels, stored), len(pixels) - 1)
        among[place[pixels[place] == stored]] = True
    return among
