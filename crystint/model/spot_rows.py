"""What is kept of the peaks of a long run to see which places they come back to."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from crystint.model.peaks import PeakList

__all__ = ["SPOT_DTYPE", "spots_in"]

SPOT_DTYPE: np.dtype[np.void] = np.dtype(
    [("frame", np.int64), ("slow", np.float64), ("fast", np.float64), ("intensity", np.float64), ("npix", np.int32)]
)
"""Some columns of `crystint.PEAK_DTYPE`: 36 bytes."""


def spots_in(peaks: PeakList) -> NDArray[np.void]:
    """These columns of some peaks."""
    spots = np.zeros(len(peaks), SPOT_DTYPE)
    for name in SPOT_DTYPE.names or ():
        spots[name] = peaks[name]
    return spots
