"""Peaks on places that persist, flagged at the end of a run."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from crystint.model.frame_table import FrameTable, count_spots
from crystint.model.peaks import PeakFlag, PeakList
from crystint.model.spots import SpotList
from crystint.ops.places import FEWEST, PLACE_DTYPE, Verdict, at_places, motion_of, places_of
from crystint.separation.prepared import PreparedRun

__all__ = ["Persistent", "persistent_peaks"]


@dataclass(frozen=True, slots=True, eq=False)
class Persistent:
    """Which peaks of a run belong to the detector."""

    peaks: NDArray[np.bool_]
    """bool [peaks]"""
    places: NDArray[np.void] = field(default_factory=lambda: np.zeros(0, PLACE_DTYPE))
    """where they are"""

    @property
    def count(self) -> int:
        """Number of such peaks."""
        return int(np.count_nonzero(self.peaks))

    def flag(self, peaks: PeakList) -> None:
        """Set `PeakFlag.PERSISTENT` in place."""
        peaks["flags"][self.peaks] |= np.uint32(PeakFlag.PERSISTENT)

    def judged(self, spots: SpotList, *, keep: bool) -> SpotList:
        """Spots of several frames, with the flag on those of such places, or without these."""
        at = at_places(spots, self.places)
        if not keep:
            return spots[~at]
        spots["flags"][at] |= np.uint32(PeakFlag.PERSISTENT)
        return spots

    def dropped(self, peaks: PeakList, results: FrameTable, hit_peaks: int) -> PeakList:
        """The other peaks; the rows of the frames that lose some are counted anew."""
        if not self.count:
            return peaks
        left = peaks[~self.peaks]
        for number in np.unique(peaks["frame"][self.peaks]):
            start, stop = np.searchsorted(left["frame"], (number, number + 1))
            count_spots(results[number], left[start:stop], hit_peaks)
        return left

    def text(self, *, dropped: bool) -> str:
        """For the end of the run; empty when there are none."""
        if not self.count:
            return ""
        places = f"{len(self.places)} place{'s' if len(self.places) > 1 else ''}"
        return f"{self.count} peaks on {places} that persist were {'dropped' if dropped else 'flagged'}"


def persistent_peaks(run: PreparedRun, peaks: PeakList, frames: int) -> Persistent:
    """Which peaks stand on places that persist (`crystint.ops.places`); none of a run that does not tell.

    Parameters
    ----------
    run : PreparedRun
    peaks : PeakList, or any structured array with its columns frame, slow, fast and intensity
        Of all frames.
    frames : int
        How many were worked on.
    """
    nothing = Persistent(np.zeros(len(peaks), bool))
    scan = run.scan
    if frames < FEWEST or (run.apart and scan is not None and scan.rotates):
        return nothing
    motion = motion_of(peaks, frames, scan)
    if not motion.moves:
        return nothing
    places = places_of(peaks, frames, motion, run.geometry)
    places = places[places["verdict"] == Verdict.PERSISTS]
    return Persistent(at_places(peaks, places), places)
