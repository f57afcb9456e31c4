"""Unusable pixels that change from frame to frame, in a file that has one mask.

FabIO knows one mask for the whole file. It is that of the first frame; where another frame differs, the
pixels stand among the picked ones, and their role is stored beside them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from crystint.io.sparse.codec import same_bits
from crystint.model.rings import RingMap
from crystint.model.sparse import SparseFrame
from crystint.model.valid_values import fewest_counts

__all__ = ["PICKED", "PLAIN", "UNUSABLE", "FirstMask"]

PICKED, UNUSABLE, PLAIN = 0, 1, 2
"""Roles of a stored pixel: picked; unusable in this frame; good here, though not in the first frame, not
picked."""

_STATIC_SHARE = 0.5
"""A first frame with more of its good pixels unusable than this says nothing about the mask of the others."""


@dataclass(frozen=True, slots=True, eq=False)
class FirstMask:
    """Pixels that the mask calls good and that were unusable in the first frame."""

    lost: NDArray[np.uint32]
    """uint32 [n], ascending"""
    value: NDArray[Any]
    """frame dtype [n]: what the first frame held there"""

    @classmethod
    def of(cls, first: SparseFrame | None, rings: RingMap, dtype: np.dtype[Any]) -> Self:
        """From the first frame; none when there is no frame, or most of it is unusable."""
        if first is not None and first.unusable_index is not None and first.unusable_value is not None:
            good = np.count_nonzero(rings.mask == 0)
            if len(first.unusable_index) <= _STATIC_SHARE * good:
                return cls(first.unusable_index, first.unusable_value)
        return cls(np.zeros(0, dtype=np.uint32), np.zeros(0, dtype=dtype))

    def entries(
        self, sparse: SparseFrame, frame: NDArray[Any] | None
    ) -> tuple[NDArray[np.uint32], NDArray[Any], NDArray[np.uint32], NDArray[np.uint8]]:
        """Pixel numbers and values to store for a frame; then which of them were not picked, and their role.

        `frame` is the raw frame; without it a pixel that comes back is stored as its rounded background.
        """
        lost, value = self._changed(sparse)
        back = self._back(sparse)
        if not len(lost) and not len(back):
            return sparse.index, sparse.value, np.zeros(0, dtype=np.uint32), np.zeros(0, dtype=np.uint8)
        dtype = self.value.dtype
        plain = _expected(sparse, back, dtype) if frame is None else frame.ravel()[back].astype(dtype)
        index = np.concatenate([sparse.index, lost, back])
        counts = [len(sparse.index), len(lost), len(back)]
        role = np.repeat(np.array([PICKED, UNUSABLE, PLAIN], dtype=np.uint8), counts)
        order = np.argsort(index, kind="stable")
        role = role[order]
        at = np.flatnonzero(role).astype(np.uint32)
        return index[order], np.concatenate([sparse.value, value, plain])[order], at, role[at]

    def _changed(self, sparse: SparseFrame) -> tuple[NDArray[np.uint32], NDArray[Any]]:
        """Unusable pixels of this frame that the first frame does not have, or has with another value."""
        lost, value = sparse.unusable_index, sparse.unusable_value
        if lost is None or value is None:
            return np.zeros(0, dtype=np.uint32), np.zeros(0, dtype=self.value.dtype)
        if np.array_equal(lost, self.lost):
            new = ~same_bits(value, self.value)
        elif len(self.lost):
            place = np.minimum(np.searchsorted(self.lost, lost), len(self.lost) - 1)
            new = (self.lost[place] != lost) | ~same_bits(value, self.value[place])
        else:
            new = np.ones(len(lost), dtype=np.bool_)
        return lost[new], value[new]

    def _back(self, sparse: SparseFrame) -> NDArray[np.uint32]:
        """Pixels that were unusable in the first frame, are good in this one, and were not picked."""
        lost = sparse.unusable_index
        if not len(self.lost) or (lost is not None and np.array_equal(lost, self.lost)):
            return np.zeros(0, dtype=np.uint32)
        back = self.lost if lost is None else np.setdiff1d(self.lost, lost, assume_unique=True)
        return np.setdiff1d(back, sparse.index, assume_unique=True)

    def unusable(
        self, index: NDArray[np.uint32], value: NDArray[Any], role: NDArray[np.uint8]
    ) -> tuple[NDArray[np.uint32], NDArray[Any]]:
        """Unusable pixels of a frame from what is stored for it: those of the first frame that it does not
        name, and those that it names as such."""
        named = role == UNUSABLE
        still = np.ones(len(self.lost), np.bool_)
        if len(self.lost):
            place = np.minimum(np.searchsorted(self.lost, index), len(self.lost) - 1)
            still[place[self.lost[place] == index]] = False
        if still.all() and not named.any():
            return self.lost, self.value
        if not named.any():
            return self.lost[still], self.value[still]
        pixels = np.concatenate([self.lost[still], index[named]])
        order = np.argsort(pixels, kind="stable")
        return pixels[order], np.concatenate([self.value[still], value[named]])[order]


def _expected(sparse: SparseFrame, pixels: NDArray[np.uint32], dtype: np.dtype[Any]) -> NDArray[Any]:
    """The background of some pixels as counts."""
    counts = np.nan_to_num(sparse.background.image().ravel()[pixels])
    if dtype.kind == "f":
        return counts.astype(dtype)
    return np.rint(np.maximum(counts, fewest_counts(dtype, sparse.background.rings.valid))).astype(dtype)
