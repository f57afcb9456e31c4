"""Joining the peaks of a run to spots, as its frames come by in order."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from crystint.errors import warn
from crystint.io.frame_record import FrameRecord
from crystint.model.peaks import PeakList
from crystint.model.scan import Scan
from crystint.model.spots import SpotList, empty_spots
from crystint.ops.joining import SpotJoiner, in_order
from crystint.separation.settings import PeaksSettings

__all__ = ["JoinedFrames", "joined_frames"]


@dataclass(frozen=True, slots=True, eq=False)
class JoinedFrames:
    """The spots of a run so far."""

    joiner: SpotJoiner
    follows: NDArray[np.bool_]
    """bool [frames]: which of them begin where the one before ends"""
    lists: list[SpotList] = field(default_factory=list)

    def add(self, record: FrameRecord, peaks: PeakList | None) -> None:
        """The next frame."""
        if peaks is None or record.missing is not None or record.facts.get("dead"):
            self.lists.append(self.joiner.missing())
        else:
            self.lists.append(self.joiner.add(record.number, peaks, goes_on=bool(self.follows[record.number])))

    def spots(self) -> SpotList:
        """Those of all frames, when they have come by."""
        self.lists.append(self.joiner.end())
        return in_order(np.concatenate([empty_spots(), *self.lists]))


def joined_frames(
    numbers: NDArray[np.int64], scan: Scan | None, settings: PeaksSettings, snr: float
) -> JoinedFrames | None:
    """What joins the peaks of frames of these numbers, where they are to be joined; None = they are not.

    Warns
    -----
    CrystintWarning
        Where frames do not follow one another, and when those are joined that are no scan.
    """
    rotates = scan is not None and scan.rotates and len(numbers) > 1
    if settings.join is False or (settings.join is None and not rotates):
        if settings.min_frames > 1:
            why = "--no-join" if settings.join is False else "the files tell no rotation scan"
            warn(f"--min-frames {settings.min_frames} has no effect: peaks are not joined ({why})")
        return None
    if scan is not None and rotates:
        follows = scan.follows
        why = "the next frame does not begin where it ends"
    else:
        follows = np.diff(numbers, prepend=numbers[0] - 2) == 1
        why = "frames between are left out"
        if len(numbers) > 1:
            warn("the files tell no rotation scan: --join takes frames of neighbouring numbers as neighbours")
    ends = np.flatnonzero(~follows[1:])
    if len(ends) and len(ends) == len(follows) - 1:
        warn(f"no two frames follow one another ({why}): nothing is joined")
    elif len(ends):
        places = f"{len(ends)} places, the first of them frame {ends[0]}" if len(ends) > 1 else f"frame {ends[0]}"
        warn(f"spots are not joined beyond {places}: {why}")
    return JoinedFrames(SpotJoiner(snr, min_frames=settings.min_frames), follows)
