"""From the sums over spots to peaks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from crystint.model.peaks import PeakFlag, PeakList, empty_peaks
from crystint.ops.ice import on_ring
from crystint.ops.spots import SpotRecords
from crystint.ops.threshold import significance

if TYPE_CHECKING:
    from crystint.model.geometry import Geometry

__all__ = ["peaks_of_spots"]

_UNUSABLE, _BORDER, _GAP, _SATURATED, _PANELS = 1, 2, 4, 8, 16
"""flags of kernels/spot_record.h"""
_ROUNDING = 1e-3
"""by which the device's threshold, float32 and from a table, may be off: who has passed it is not said to be below"""


def peaks_of_spots(
    frames: NDArray[Any],
    records: list[SpotRecords],
    *,
    geometry: Geometry,
    dark: NDArray[np.float32] | None,
    saturation: float | None,
    snr: float,
    ice: NDArray[np.bool_],
    number: int,
) -> list[PeakList]:
    """Intensity, centroid and flags of the spots of some frames.

    A spot is the union of the neighbourhoods of its maxima (and of the flat top of one). Where it is wider than that,
    the pixels above 3 sigma that are connected to it, and those that touch one, belong to its intensity: the sum of
    v - bg. The variance of the intensity is that of the background in these pixels, that of their counts above it by
    Poisson's law, and that of the ring's mean. The centroid is weighted by v - bg, over the neighbourhoods and the
    pixels above SNR_pick that are connected to them: a neighbourhood alone would pull it to its middle. Its variance is
    that of these pixels' counts.

    Parameters
    ----------
    frames : dtype [n, slow, fast]
    records : of each frame
    snr : float
        SNR_peak, which all of them have reached.
    ice : bool [n, ICE_D]
        Which rings of ice stand out of the background of each frame.
    number : int
        Of the first frame.

    Returns
    -------
    PeakList of each frame, in the order of its records
    """
    counts = [len(some.head) for some in records]
    head = np.concatenate([some.head for some in records]).astype(np.int64)
    sums = np.concatenate([some.sums for some in records]).T.astype(np.float64, order="C")
    n, of = len(head), np.repeat(np.arange(len(counts)), counts)
    peaks = empty_peaks(n)
    whole, spread, area, signal, total, positive = sums[:6]
    moment, positive_moment, npix, variance = sums[6:8], sums[8:10], sums[10], sums[11:16]
    expected, sem, phi, other = sums[16:20]
    flag, boxes = sums[20].astype(np.uint32), sums[21:].astype(np.int64)
    peaks["frame"] = number + of
    peaks["intensity"] = whole
    peaks["sigma"] = sigma = np.sqrt(spread + np.maximum(signal, 0.0) + np.square(area * sem))
    peaks["snr"] = np.divide(whole, sigma, out=np.zeros(n), where=sigma > 0)
    steady = total > 0.5 * positive  # a sum that noise cancels has no centre
    over = np.where(steady, total, positive)
    over[over <= 0] = 1.0
    offset = np.where(steady, moment, positive_moment) / over
    place = np.divmod(head, frames.shape[2])
    for axis, name in enumerate(("slow", "fast")):
        about = offset[axis]
        peaks[name] = place[axis] + 0.5 + about
        square = variance[3 + axis] - about * (2.0 * variance[1 + axis] - about * variance[0])
        peaks[f"{name}_sigma"] = np.sqrt(np.maximum(square, 0.0)) / over
        low, high = np.divmod(boxes[axis], 4096)
        peaks[f"{name}0"], peaks[f"{name}1"] = place[axis] + low - 2048, place[axis] + high - 2047
    peaks["npix"] = npix
    peaks["maximum"] = frames.reshape(len(frames), -1)[of, head]
    offset_counts = 0.0 if dark is None else dark.reshape(-1)[head]
    peaks["background"] = expected + offset_counts
    reached = significance(peaks["maximum"] - offset_counts, expected, phi, other)
    peaks["significance"] = np.where(np.abs(reached - snr) < _ROUNDING * snr, np.maximum(reached, snr), reached)
    peaks["d"] = geometry.d_at(peaks["slow"], peaks["fast"])
    flags = np.where(flag & _UNUSABLE, PeakFlag.MASKED, 0)
    flags |= np.where(flag & (_BORDER | _GAP | _PANELS), PeakFlag.EDGE, 0)
    if saturation is not None:
        flags |= np.where(flag & _SATURATED, PeakFlag.SATURATED, 0)
    peaks["flags"] = flags
    lists = np.split(peaks, np.cumsum(counts)[:-1])
    for some, rings in zip(lists, ice):
        if rings.any():
            some["flags"] |= np.where(on_ring(some["d"], rings), np.uint32(PeakFlag.ICE), np.uint32(0))
    return [some.copy() for some in lists] if len(lists) > 1 else lists
