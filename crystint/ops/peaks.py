"""From the sums over spots to peaks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from crystint.model.peaks import PeakFlag, PeakList, empty_peaks
from crystint.ops.ice import on_ring
from crystint.ops.threshold import significance

if TYPE_CHECKING:
    from crystint.model.geometry import Geometry

__all__ = ["peaks_of_spots"]

_UNUSABLE, _BORDER, _GAP, _SATURATED, _PANELS = 1, 2, 4, 8, 16
"""flags of kernels/spot_sums.cl"""
_ROUNDING = 1e-3
"""by which the device's threshold, float32 and from a table, may be off: who has passed it is not said to be below"""


def peaks_of_spots(
    frame: NDArray[Any],
    head: NDArray[np.uint32],
    sums: NDArray[np.float64],
    *,
    geometry: Geometry,
    dark: NDArray[np.float32] | None,
    saturation: float | None,
    snr: float,
    ice: NDArray[np.bool_],
    number: int,
) -> PeakList:
    """Intensity, centroid and flags of spots.

    A spot is the union of the neighbourhoods of its maxima (and of the flat top of one). Where it is wider than that,
    the pixels above 3 sigma that are connected to it, and those that touch one, belong to its intensity: the sum of
    v - bg. The variance of the intensity is that of the background in these pixels, that of their counts above it by
    Poisson's law, and that of the ring's mean. The centroid is weighted by v - bg, over the neighbourhoods and the
    pixels above SNR_pick that are connected to them: a neighbourhood alone would pull it to its middle. Its variance is
    that of these pixels' counts.

    Parameters
    ----------
    head : uint32 [spots]
        Pixel number of the strongest maximum.
    sums : float64 [spots, 23]
        Of kernels/spot_sums.cl.
    snr : float
        SNR_peak, which all of them have reached.
    ice : bool [ICE_D]
        Which rings of ice stand out of the background.

    Returns
    -------
    PeakList, in the order of `head`
    """
    n, (whole, spread, area, signal, total, positive) = len(head), sums[:, :6].T
    moment, positive_moment, npix, spot_flags, expected, sem = sums[:, 6:8], sums[:, 8:10], *sums[:, 10:14].T
    peaks = empty_peaks(n)
    peaks["frame"] = number
    peaks["intensity"] = whole
    peaks["sigma"] = sigma = np.sqrt(spread + np.maximum(signal, 0.0) + np.square(area * sem))
    peaks["snr"] = np.divide(whole, sigma, out=np.zeros(n), where=sigma > 0)
    steady = total > 0.5 * positive  # a sum that noise cancels has no centre
    over = np.where(steady, total, positive)
    over[over <= 0] = 1.0
    offset = np.where(steady[:, None], moment, positive_moment) / over[:, None]
    slow, fast = np.divmod(head.astype(np.int64), frame.shape[1])
    peaks["slow"], peaks["fast"] = slow + 0.5 + offset[:, 0], fast + 0.5 + offset[:, 1]
    place = np.stack([slow, fast])
    for axis, name in enumerate(("slow", "fast")):
        about = offset[:, axis]
        variance = sums[:, 19 + axis] - about * (2.0 * sums[:, 17 + axis] - about * sums[:, 16])
        peaks[f"{name}_sigma"] = np.sqrt(np.maximum(variance, 0.0)) / over
        low, high = np.divmod(sums[:, 14 + axis].astype(np.int64), 4096)
        peaks[f"{name}0"], peaks[f"{name}1"] = place[axis] + low - 2048, place[axis] + high - 2047
    peaks["npix"] = npix
    peaks["maximum"] = frame.reshape(-1)[head]
    offset_counts = 0.0 if dark is None else dark.reshape(-1)[head]
    peaks["background"] = expected + offset_counts
    reached = significance(peaks["maximum"] - offset_counts, expected, sums[:, 21], sums[:, 22])
    peaks["significance"] = np.where(np.abs(reached - snr) < _ROUNDING * snr, np.maximum(reached, snr), reached)
    peaks["d"] = geometry.d_at(peaks["slow"], peaks["fast"])
    flag = spot_flags.astype(np.uint32)
    flags = np.where(flag & _UNUSABLE, PeakFlag.MASKED, 0)
    flags |= np.where(flag & (_BORDER | _GAP | _PANELS), PeakFlag.EDGE, 0)
    if saturation is not None:
        flags |= np.where(flag & _SATURATED, PeakFlag.SATURATED, 0)
    peaks["flags"] = flags | np.where(on_ring(peaks["d"], ice), PeakFlag.ICE, 0)
    return peaks
