"""Sums over the spots of a series: where on the detector they lie, at which spacings, and how strong they are."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from crystint.model.peaks import PeakList

__all__ = ["INTENSITY_EDGES", "Q_EDGES", "SpotSums"]

Q_EDGES: NDArray[np.float64] = np.linspace(0.0, 1.25, 126)
"""1/angstrom: edges of the bins of 1/d"""
INTENSITY_EDGES: NDArray[np.float64] = np.logspace(0.0, 7.0, 71)
"""counts"""
POWDER = 512
"""bins of the longer side of the detector"""


class SpotSums:
    """Counts that grow with every image, in memory that does not."""

    def __init__(self) -> None:
        self.peakogram: NDArray[np.int64] = np.zeros((len(INTENSITY_EDGES) - 1, len(Q_EDGES) - 1), np.int64)
        """int64 [intensity, 1/d]"""
        self.powder: NDArray[np.int64] | None = None
        """int64 [slow, fast] spots per bin of the detector; None = its shape is not told"""
        self.bin = 1
        """px of the detector on a side of a bin of `powder`"""
        self.spots = 0

    def add(self, peaks: PeakList, shape: Any = None) -> None:
        """Count the spots of an image.

        Parameters
        ----------
        peaks : PeakList
        shape : (slow, fast), optional
            Of the detector.
        """
        self.spots += len(peaks)
        if not len(peaks):
            return
        q = 1.0 / np.where(peaks["d"] > 0, peaks["d"], np.inf)
        good = np.isfinite(peaks["d"]) & (peaks["d"] > 0) & (peaks["intensity"] > 0)
        rows = np.searchsorted(INTENSITY_EDGES, peaks["intensity"][good], side="right") - 1
        columns = np.searchsorted(Q_EDGES, q[good], side="right") - 1
        rows = np.clip(rows, 0, len(INTENSITY_EDGES) - 2)
        inside = columns < len(Q_EDGES) - 1
        np.add.at(self.peakogram, (rows[inside], columns[inside]), 1)
        if shape is None:
            return
        if self.powder is None:
            self.bin = max(-(-max(shape) // POWDER), 1)
            self.powder = np.zeros((-(-shape[0] // self.bin), -(-shape[1] // self.bin)), np.int64)
        slow, fast = (np.floor(peaks[name] / self.bin).astype(np.int64) for name in ("slow", "fast"))
        within = (slow >= 0) & (fast >= 0) & (slow < self.powder.shape[0]) & (fast < self.powder.shape[1])
        np.add.at(self.powder, (slow[within], fast[within]), 1)

    @property
    def by_q(self) -> NDArray[np.int64]:
        """int64 [bins of `Q_EDGES`]: spots of each range of 1/d."""
        return np.asarray(self.peakogram.sum(axis=0))
