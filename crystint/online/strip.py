"""What became of every image of a series, a byte for each, so that a million of them are a strip of a thousand bins."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from crystint.errors import RefusedError
from crystint.model.frame_table import FrameStatus
from crystint.online.result import ResultTable

__all__ = ["STRIP", "Completeness"]

STRIP = ("ok", "skipped", "failed", "missing", "late", "hit")
"""what is counted: looked at; not looked at, since too many came; could not be; never came; came late; hits"""
_OK, _SKIPPED, _FAILED, _MISSING, _LATE, _HIT = (1 << bit for bit in range(len(STRIP)))
_OF_STATUS = np.zeros(256, np.uint8)
_OF_STATUS[[FrameStatus.OK, FrameStatus.VETOED]] = _OK
_OF_STATUS[FrameStatus.SKIPPED], _OF_STATUS[FrameStatus.FAILED] = _SKIPPED, _FAILED
_OF_STATUS[FrameStatus.MISSING] = _MISSING
_FIRST, MOST = 4096, 2**26
"""images: those beyond are counted, but not placed"""


class Completeness:
    """Grows with the images of a series, 1 byte each. Its method `add` is for one thread, all else for any.

    Examples
    --------
    >>> from crystint.online.result import empty_results
    >>> from crystint.online.strip import Completeness
    >>> completeness = Completeness()
    >>> completeness.add(empty_results(10))
    >>> completeness.strip(width=5)["status"]["ok"].tolist()
    [2, 2, 2, 2, 2]
    """

    def __init__(self) -> None:
        self._bits = np.zeros(_FIRST, np.uint8)
        self._images = self._beyond = 0

    def add(self, rows: ResultTable) -> None:
        """Note what became of some images; of one that is told twice, the last word counts."""
        inside = (rows["frame"] >= 0) & (rows["frame"] < MOST)
        self._beyond += len(rows) - int(np.count_nonzero(inside))
        rows = rows[inside]
        if not len(rows):
            return
        last = int(rows["frame"].max())
        if last >= len(self._bits):
            bits = np.zeros(min(max(2 * len(self._bits), last + 1), MOST), np.uint8)
            bits[: len(self._bits)] = self._bits
            self._bits = bits
        bits = _OF_STATUS[rows["status"]]
        bits |= np.where(rows["late"] == 1, np.uint8(_LATE), np.uint8(0))
        bits |= np.where(rows["hit"] == 1, np.uint8(_HIT), np.uint8(0))
        self._bits[rows["frame"]] = bits
        self._images = max(self._images, last + 1)

    def hit_beside(self, number: int, direction: Literal["next", "previous"]) -> int | None:
        """Number of the nearest hit after or before an image; None = there is none."""
        bits = self._bits[: self._images]
        if direction == "next":
            first = max(number + 1, 0)
            at = np.flatnonzero(bits[first:] & _HIT)
            return first + int(at[0]) if len(at) else None
        at = np.flatnonzero(bits[: max(number, 0)] & _HIT)
        return int(at[-1]) if len(at) else None

    def strip(
        self, width: int = 1000, first: int = 0, stop: int | None = None, expected: int | None = None
    ) -> dict[str, Any]:
        """Counts over the images, in bins.

        Parameters
        ----------
        width : int
            Bins at most.
        first, stop : int
            Images, half-open; None = all that are told of, and that are expected.
        expected : int, optional
            Images of a series that is final: those that nobody told of are missing.

        Returns
        -------
        dict
            first and last image, per (images of a bin), status: int64 [bins] by the names of `STRIP`, and beyond:
            images whose numbers are too high for a strip.

        Raises
        ------
        RefusedError
            bad_value, for an empty range.
        """
        images, bits = self._images, self._bits
        final = min(max(images, expected or 0), MOST)
        end = final if stop is None else min(stop, final)
        if first and first >= end:
            raise RefusedError("bad_value", f"from is {first}, but the images are 0 to {final - 1}", "from")
        if end <= first:
            return {
                "first": None,
                "last": None,
                "per": 1,
                "status": {name: [] for name in STRIP},
                "beyond": self._beyond,
            }
        per = -(-(end - first) // width)
        part = bits[first:end]
        if len(part) < end - first:
            part = np.concatenate([part, np.zeros(end - first - len(part), np.uint8)])
        starts = np.arange(0, end - first, per)
        counts = {name: _counted(part & np.uint8(1 << bit) != 0, starts) for bit, name in enumerate(STRIP)}
        untold = part == 0
        counts["missing"] = counts["missing"] + _counted(untold, starts)
        return {"first": first, "last": end - 1, "per": per, "status": counts, "beyond": self._beyond}


def _counted(flags: NDArray[np.bool_], starts: NDArray[np.intp]) -> NDArray[np.int64]:
    return np.add.reduceat(flags.view(np.uint8), starts, dtype=np.int64)
