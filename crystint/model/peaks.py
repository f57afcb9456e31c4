"""The peak list of a frame, or of many: one row per spot, named columns."""

from __future__ import annotations

from enum import IntFlag
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

__all__ = ["HIT", "ICE_D", "PEAK_DTYPE", "PeakFlag", "PeakList", "empty_peaks", "unknown_peaks"]

HIT = 10
"""Peaks that make a frame a hit."""
PeakList: TypeAlias = NDArray[np.void]
"""Structured array of `PEAK_DTYPE`, sorted by frame and then by the pixel number of the spot's maximum."""


class PeakFlag(IntFlag):
    """Bits of the column ``flags``.

    Examples
    --------
    >>> import crystint
    >>> crystint.PeakFlag.SATURATED in crystint.PeakFlag(1)
    True
    """

    SATURATED = 1
    """a pixel of the spot is at or above the saturation value"""
    MASKED = 2
    """the neighbourhood touches a pixel that is masked or unusable in this frame"""
    EDGE = 4
    """the neighbourhood touches the border of the frame or of a detector panel"""
    ICE = 8
    """the spot lies on a powder ring of hexagonal ice that stands out of the background"""
    PERSISTENT = 16
    """the spot comes back at one place of the detector while the crystal turns, or from crystal to crystal"""
    CUT = 32
    """of joined spots: reaches the first or the last frame of the scan, or a gap in it, and may go on beyond"""


PEAK_DTYPE: np.dtype[Any] = np.dtype(
    [
        ("frame", np.int64),  # number of the frame in its sequence, from 0
        ("slow", np.float64),  # centroid, px from the outer corner of the first pixel (its centre is 0.5)
        ("fast", np.float64),
        ("intensity", np.float64),  # sum of v - background over the neighbourhood, normalised counts
        ("sigma", np.float64),  # standard deviation of the intensity, same unit
        ("npix", np.int32),  # pixels of the neighbourhood above SNR_pick
        ("maximum", np.float64),  # counts of the strongest pixel, as in the frame
        ("background", np.float64),  # counts expected from the background in the strongest pixel
        ("snr", np.float64),  # intensity / sigma, of the whole spot; the threshold of that name is one of significance
        ("d", np.float64),  # spacing at the centroid, angstrom; NaN when the wavelength is unknown
        ("flags", np.uint32),  # PeakFlag bits
        ("significance", np.float64),  # of the strongest pixel, in sigma: what SNR_peak is a threshold of
        ("slow_sigma", np.float64),  # standard deviation of the centroid by counting statistics, px
        ("fast_sigma", np.float64),
        ("slow0", np.int32),  # box of the spot's pixels, half-open
        ("slow1", np.int32),
        ("fast0", np.int32),
        ("fast1", np.int32),
    ]
)
"""Dtype of a peak, with the columns frame; slow and fast (px); intensity and sigma (normalised counts); npix; maximum
and background (counts); snr = intensity / sigma; d (angstrom); flags (`PeakFlag`); significance (of the strongest
pixel, in sigma); slow_sigma and fast_sigma (of the centroid, px); slow0, slow1, fast0, fast1 (box of the spot, px,
half-open)."""

ICE_D = (
    3.895,
    3.661,
    3.438,
    2.667,
    2.249,
    2.068,
    1.947,
    1.916,
    1.882,
    1.719,
    1.522,
    1.472,
    1.443,
    1.365,
    1.299,
    1.275,
    1.261,
)
"""Spacings in angstrom of the powder rings of hexagonal ice, from its cell a = 4.498, c = 7.322 angstrom (P6_3/mmc)."""


def empty_peaks(n: int = 0) -> PeakList:
    """A peak list of `n` rows of zeros."""
    return np.zeros(n, dtype=PEAK_DTYPE)


def unknown_peaks(n: int = 0) -> PeakList:
    """As `empty_peaks`, for readers: what a file may not hold and 0 would be wrong for is NaN."""
    peaks = empty_peaks(n)
    for name in ("d", "significance", "slow_sigma", "fast_sigma"):
        peaks[name] = np.nan
    return peaks
