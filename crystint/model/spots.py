"""The spots of a rotation scan: peaks of neighbouring frames that are one, with named columns."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

__all__ = ["SPOT_DTYPE", "SpotList", "empty_spots", "unknown_spots"]

SpotList: TypeAlias = NDArray[np.void]
"""Structured array of `SPOT_DTYPE`, sorted by first frame, then by z, slow and fast."""

SPOT_DTYPE: np.dtype[Any] = np.dtype(
    [
        ("slow", np.float64),  # centroid, px from the outer corner of the first pixel
        ("fast", np.float64),
        ("z", np.float64),  # centroid in frames: frame i of the sequence reaches from i to i + 1
        ("slow_sigma", np.float64),  # standard deviations of the centroid by counting statistics, px and frames
        ("fast_sigma", np.float64),
        ("z_sigma", np.float64),
        ("intensity", np.float64),  # sum of those of the peaks, normalised counts
        ("sigma", np.float64),
        ("npix", np.int32),  # pixels of the peaks above SNR_pick
        ("maximum", np.float64),  # counts of the strongest pixel, as in its frame
        ("background", np.float64),  # counts expected from the background there
        ("snr", np.float64),  # intensity / sigma
        ("d", np.float64),  # spacing at the centroid, angstrom
        ("flags", np.uint32),  # PeakFlag bits of all of the peaks
        ("significance", np.float64),  # the highest of the peaks
        ("slow0", np.int32),  # box, half-open, px and frames
        ("slow1", np.int32),
        ("fast0", np.int32),
        ("fast1", np.int32),
        ("frame0", np.int64),
        ("frame1", np.int64),
        ("n_frames", np.int32),  # frames that it has a peak on
    ]
)
"""Dtype of a spot: slow, fast (px), z (frames; the middle of frame i is i + 0.5), and their standard deviations
slow_sigma, fast_sigma, z_sigma; intensity and sigma (normalised counts); npix; maximum and background (counts); snr =
intensity / sigma; d (angstrom); flags (`PeakFlag`); significance (in sigma); its box slow0, slow1, fast0, fast1 (px),
frame0, frame1, half-open; n_frames."""


def empty_spots(n: int = 0) -> SpotList:
    """A list of `n` rows of zeros."""
    return np.zeros(n, dtype=SPOT_DTYPE)


def unknown_spots(n: int = 0) -> SpotList:
    """As `empty_spots`, for readers: what a file may not hold and 0 would be wrong for is NaN."""
    spots = empty_spots(n)
    for name in ("d", "significance", "slow_sigma", "fast_sigma", "z_sigma"):
        spots[name] = np.nan
    return spots
