"""Which pixels of an image are shown: those that are not masked, and hold a measurement."""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crystint.model.valid_values import FileLimits, ValidValues, valid_values

__all__ = ["UsablePixels"]

_BLOCKS = 8
"""regions whose usable blocks are remembered"""


class UsablePixels:
    """The mask of a detector, and what is no measurement in an image; what views need of the mask is made once.

    Parameters
    ----------
    masked : bool [slow, fast]
        The same for all images.
    valid : ValidValues, optional
        None = all values of a pixel that is not masked are measurements, but NaN.

    Examples
    --------
    >>> import numpy as np
    >>> from crystint.model.valid_values import ValidValues
    >>> from crystint.online.usable_pixels import UsablePixels
    >>> usable = UsablePixels(np.array([[True, False, False]]), ValidValues.of(np.uint8))
    >>> usable.unusable(np.array([[4, 255, 7]], np.uint8)).tolist()
    [[True, True, False]]
    """

    def __init__(self, masked: NDArray[np.bool_], valid: ValidValues | None = None) -> None:
        self.masked, self.valid = masked, valid
        self._caps: dict[np.dtype[Any], NDArray[Any]] = {}
        self._counts: OrderedDict[tuple[Any, ...], NDArray[np.int32]] = OrderedDict()
        self._lock = threading.Lock()

    @classmethod
    def of(cls, pixels: NDArray[Any]) -> UsablePixels:
        """By the dtype of an image alone, where nothing is known of its detector."""
        valid = valid_values(pixels.dtype, FileLimits(), masked=False, lowest=None, negative=True)
        return cls(np.zeros(pixels.shape, np.bool_), valid)

    def unusable(self, pixels: NDArray[Any], at: tuple[slice, slice] = (slice(None), slice(None))) -> NDArray[np.bool_]:
        """bool [slow, fast] of an image, or of the part `at` of one, whose pixels are given."""
        masked = self.masked[at]
        if self.valid is None:
            return np.asarray(masked | np.isnan(pixels)) if pixels.dtype.kind == "f" else masked
        return np.asarray(masked | self.valid.unusable(pixels))

    def marks(self, dtype: np.dtype[Any]) -> list[int]:
        """Values of an integer dtype that are no measurement, beside those below the least one."""
        limits = np.iinfo(dtype)
        marks = () if self.valid is None else self.valid.marks
        return [int(mark) for mark in marks if limits.min <= mark <= limits.max]

    def cap(self, dtype: np.dtype[Any]) -> NDArray[Any]:
        """[slow, fast] of an integer dtype: the most that a pixel may hold, which of masked ones is the least value."""
        with self._lock:
            if dtype not in self._caps:
                limits = np.iinfo(dtype)
                self._caps[dtype] = np.where(self.masked, dtype.type(limits.min), dtype.type(limits.max))
            return self._caps[dtype]

    def counts(self, region: tuple[int, int, int, int], factor: int) -> NDArray[np.int32]:
        """int32 [slow, fast]: pixels of each block of a region that are not masked."""
        key = (*region, factor)
        with self._lock:
            counts = self._counts.get(key)
            if counts is None:
                slow0, slow1, fast0, fast1 = region
                counts = block_sums((~self.masked[slow0:slow1, fast0:fast1]).view(np.uint8), factor, np.dtype(np.int32))
                self._counts[key] = counts
            self._counts.move_to_end(key)
            while len(self._counts) > _BLOCKS:
                self._counts.popitem(last=False)
            return counts


def block_sums(part: NDArray[Any], factor: int, dtype: np.dtype[Any]) -> NDArray[Any]:
    """[slow, fast] of square blocks, the last ones of which are smaller: the sum of each."""
    rows = np.add.reduceat(part, np.arange(0, part.shape[0], factor), axis=0, dtype=dtype)
    return np.asarray(np.add.reduceat(rows, np.arange(0, part.shape[1], factor), axis=1, dtype=dtype))
