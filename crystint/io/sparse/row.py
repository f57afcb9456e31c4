"""One frame as a sparse file holds it: worked out where the frame is, appended where the file is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from crystint.io.frame_record import FrameRecord
from crystint.io.sparse.codec import keep_bits
from crystint.io.sparse.mask import FirstMask
from crystint.model.rings import RingMap
from crystint.model.sparse import SparseFrame, counts_by_reason

__all__ = ["SparseRow"]

_STD_BITS = 14
_FACTS = ("frame", "snr", "noise", "error_model", "cycles", "snr_clip", "saturation", "pixels")


@dataclass(frozen=True, slots=True, eq=False)
class SparseRow:
    """The row of a frame in every data set of a sparse file."""

    frame: int
    snr: float
    noise: float
    error_model: str
    cycles: int
    snr_clip: float | None
    saturation: float | None
    pixels: Mapping[str, int]
    """how many are kept for which reason, see `counts_by_reason`"""
    index: NDArray[np.uint32]
    """uint32 [n]: pixel numbers, ascending"""
    value: NDArray[Any]
    """frame dtype [n]"""
    role_at: NDArray[np.uint32]
    """uint32 [m]: which of the n were not picked ..."""
    role: NDArray[np.uint8]
    """uint8 [m]: ... and what they are"""
    reason: NDArray[np.uint8]
    """uint8 [n]: why each is kept, `PixelReason` bits, 0 where `role` says what it is; empty = all that
    were picked are significant"""
    avg: NDArray[np.float32]
    """float32 [at least 2 rings]: the background, as `std`; FabIO interpolates between two rings"""
    std: NDArray[np.float32]
    count: NDArray[np.uint32]
    """uint32 [rings]"""
    sem: NDArray[np.float32]
    """float32 [rings], as `excess` and `additive`"""
    excess: NDArray[np.float32]
    additive: NDArray[np.float32]
    lost: NDArray[np.uint32]
    """uint32 [l]: unusable pixels of the frame that the mask of the file is taken from ..."""
    lost_value: NDArray[Any]
    """frame dtype [l]: ... and what it held there. Empty in the rows of all other frames."""

    @classmethod
    def of(cls, sparse: SparseFrame, frame: NDArray[Any] | None, first: FirstMask | None) -> Self:
        """The row of a sparse frame.

        Parameters
        ----------
        sparse : SparseFrame
        frame : dtype [slow, fast] or None
            The raw frame, for pixels that were unusable in the first one and are not here.
        first : FirstMask or None
            None = this is the first frame.
        """
        background = sparse.background
        mask = FirstMask.of(sparse, background.rings, sparse.value.dtype) if first is None else first
        index, value, role_at, role = mask.entries(sparse, frame)
        reason = np.zeros(0, np.uint8)
        if sparse.reason is not None:
            reason = np.zeros(len(index), np.uint8)
            reason[np.delete(np.arange(len(index)), role_at)] = sparse.reason
        none = slice(None if first is None else 0)
        return cls(
            frame=int(sparse.frame),
            snr=float(sparse.snr),
            noise=float(sparse.noise),
            error_model=background.error_model,
            cycles=background.cycles,
            snr_clip=background.snr_clip,
            saturation=background.saturation,
            pixels=counts_by_reason(sparse),
            index=index,
            value=value,
            role_at=role_at,
            role=role,
            reason=reason,
            avg=_two(background.mean.astype(np.float32)),
            std=_two(keep_bits(background.std, _STD_BITS)),
            count=np.rint(np.nan_to_num(background.count)).astype(np.uint32),
            sem=keep_bits(background.sem, _STD_BITS),
            excess=(np.ceil(background.excess * 64.0) / 64.0).astype(np.float32),
            additive=keep_bits(background.additive, _STD_BITS),
            lost=mask.lost[none],
            lost_value=mask.value[none],
        )

    @classmethod
    def absent(cls, frame: int, rings: RingMap, dtype: np.dtype[Any], snr: float, noise: float) -> Self:
        """The row of a frame that could not be read: no pixel, and NaN for a background."""
        wide, nan = np.full(max(rings.rings, 2), np.nan, np.float32), np.full(rings.rings, np.nan, np.float32)
        none, no_value = np.zeros(0, np.uint32), np.zeros(0, dtype)
        return cls(
            frame=frame,
            snr=snr,
            noise=noise,
            error_model="",
            cycles=0,
            snr_clip=None,
            saturation=None,
            pixels={},
            index=none,
            value=no_value,
            role_at=none,
            role=np.zeros(0, np.uint8),
            reason=np.zeros(0, np.uint8),
            avg=wide,
            std=wide,
            count=np.zeros(rings.rings, np.uint32),
            sem=nan,
            excess=nan,
            additive=nan,
            lost=none,
            lost_value=no_value,
        )

    @property
    def first(self) -> FirstMask:
        """The mask of the file, when this is the row of the first frame."""
        return FirstMask(self.lost, self.lost_value)

    def facts(self) -> dict[str, Any]:
        """The part of a `FrameRecord` that JSON holds."""
        return {name: getattr(self, name) for name in _FACTS}

    def arrays(self) -> dict[str, NDArray[Any]]:
        """The part of a `FrameRecord` that is arrays."""
        return {each.name: getattr(self, each.name) for each in fields(self) if each.name not in _FACTS}

    @classmethod
    def of_record(cls, record: FrameRecord) -> Self:
        """The row that `facts` and `arrays` were taken from."""
        values: dict[str, Any] = {name: record.facts[name] for name in _FACTS}
        values |= {each.name: record.arrays[each.name] for each in fields(cls) if each.name not in _FACTS}
        return cls(**values)


def _two(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """The values of at least two rings: FabIO interpolates between two."""
    return np.repeat(values, 2) if len(values) == 1 else values
