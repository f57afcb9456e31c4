"""From the peaks, the rings and the totals of a frame to its row in the table of frames."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from crystint.model.frame_table import BACKGROUND_D, FrameTable, count_spots, empty_frame_table
from crystint.model.peaks import HIT, PeakList
from crystint.ops.false_spots import expected_false_spots
from crystint.ops.resolution import LEAST_SPOTS, DetectedArea, outermost
from crystint.ops.totals import FrameTotals

__all__ = ["FrameRows", "FrameStatistics"]


@dataclass(frozen=True, slots=True, eq=False)
class FrameStatistics:
    """What separation knows of a frame besides its peaks and pixels."""

    totals: FrameTotals
    table: NDArray[np.float32]
    """float32 [rings, 4], see `crystint.ops.threshold.ring_table`"""
    ice: NDArray[np.float64]
    """float64 [ICE_D], see `IceRings.scores`"""
    regions: NDArray[np.void] | None = None
    """structured array of `crystint.model.rois.ROI_DTYPE` [regions]; None = none were asked for"""


class FrameRows:
    """Makes rows of the table for the frames of one detector.

    Parameters
    ----------
    q : float64 [rings]
        1/angstrom, of the ring centres; NaN where the wavelength is unknown.
    pixels, weight : float64 [rings]
        How many there are, and their mean normalization.
    """

    def __init__(self, q: NDArray[np.float64], pixels: NDArray[np.float64], weight: NDArray[np.float64]) -> None:
        self._q, self._pixels, self._weight = q, pixels, weight
        self._area = DetectedArea(q, pixels)

    def row(
        self,
        number: int,
        statistics: FrameStatistics,
        peaks: PeakList | None = None,
        *,
        hit_peaks: int = HIT,
        snr: float = 5.0,
        snr_pick: float = 2.0,
        connected: int = 3,
        patch: int = 3,
        noise: float = 0.0,
        d_min: float | None = None,
        d_max: float | None = None,
        wavelength_ratio: float = 1.0,
    ) -> FrameTable:
        """The row of a frame, an array of one.

        Parameters
        ----------
        number : int
            Of the frame.
        statistics : FrameStatistics
        peaks : PeakList or None
            With the spacings of the frame's own wavelength; None = none were looked for.
        hit_peaks : int
            Spots without ice that make a frame a hit.
        snr, snr_pick, connected, patch, noise, d_min, d_max
            That the peaks were looked for with; spacings are those of the frame's own wavelength.
        wavelength_ratio : float
            Wavelength of the frame over that of the rings.
        """
        totals, table = statistics.totals, statistics.table
        rows = empty_frame_table(1)
        row = rows[0]
        row["frame"], row["status"] = number, 0
        row["frame_sum"] = totals.sum if totals.usable else np.nan
        row["maximum"], row["saturated"], row["bad"] = totals.maximum, totals.saturated, totals.bad
        row["negative"] = totals.negative
        with np.errstate(divide="ignore"):
            d = (2.0 * np.pi * wavelength_ratio) / self._q
        measured = np.isfinite(table[:, 0]) & (self._pixels > 0)
        row["background"] = self._mean(table[:, 0], measured & (d >= BACKGROUND_D[0]) & (d <= BACKGROUND_D[1]))
        row["ice_rings"] = statistics.ice
        if not np.isnan(statistics.ice).all():
            row["ice_score"] = np.nanmax(statistics.ice)
        if peaks is not None:
            searched = self._pixels
            if d_min is not None or d_max is not None:
                searched = np.where((d >= (d_min or 0.0)) & (d <= (d_max or np.inf)), self._pixels, 0.0)
            row["expected_false_spots"] = expected_false_spots(
                table, self._weight, searched, snr=snr, snr_pick=snr_pick, connected=connected, patch=patch, noise=noise
            )
            self.count(rows, peaks, hit_peaks, wavelength_ratio)
        return rows

    def _mean(self, values: NDArray[np.float32], rings: NDArray[np.bool_]) -> float:
        """Over the pixels of some rings."""
        pixels = self._pixels[rings]
        return float(values[rings].astype(np.float64) @ pixels / pixels.sum()) if len(pixels) else np.nan

    def count(self, rows: FrameTable, peaks: PeakList, hit_peaks: int = HIT, wavelength_ratio: float = 1.0) -> None:
        """Put what the peaks of a frame tell into its row: also when some of those found have been dropped since.

        Parameters
        ----------
        rows : FrameTable [1]
            Of which everything else is there.
        peaks, hit_peaks, wavelength_ratio
            As `row`.
        """
        good, snr = count_spots(rows[0], peaks, hit_peaks)
        row = rows[0]
        row["d_min"] = row["d_min_snr"] = np.nan
        if self._area.in_spacings and len(good) >= LEAST_SPOTS:
            share = self._area.share(good["d"] / wavelength_ratio)
            limit, inside = outermost(share, float(row["expected_false_spots"]))
            row["d_min"] = wavelength_ratio * self._area.spacing(limit)
            order = np.argsort(-good["d"], kind="stable")[:inside]
            row["d_min_snr"] = np.median(snr[order[-max(inside // 10, 5) :]])
