"""A series that is received: what it is, its books, and when it is final."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from crystint.model.geometry import Geometry
from crystint.online.books import Books
from crystint.online.numbers import ImageNumbers
from crystint.stream.messages import SeriesKey, Start

__all__ = ["GRACE", "Phase", "Series"]

GRACE = 2.0
"""s that a series is kept open for what is still under way"""
MOST_NUMBERS = 1 << 31
"""no detector counts so far: a larger number of an image is damage"""
_LONGEST_FRAME = 60.0

Phase = Literal["arming", "measuring", "finishing", "final"]
"""before its first image; while images come; after its end; when nothing is taken any more"""


class Series:
    """A series, as the service has it; a `crystint.online.sink.Run`.

    Its books may be read from any thread, without a lock: the thread of the receiver alone counts what comes, that of
    the results alone what became of it, and a reader takes the latter first, so that no image is ever counted that did
    not come.

    Parameters
    ----------
    start : Start
    now : float
        s, of the clock.
    resumed : bool
        It is gone on with after a restart of the service.
    assumed : bool
        Its start never came: `start` was made of its first image.
    grace : float
        s that it is kept open for what is still under way when its end came.
    """

    def __init__(
        self,
        start: Start,
        now: float = 0.0,
        *,
        resumed: bool = False,
        assumed: bool = False,
        grace: float = GRACE,
    ) -> None:
        self.start = start
        self.name = str(start.series)
        self.folder: Path | None = None
        self.geometry: Geometry | None = start.geometry
        self.mask: NDArray[np.uint32] | None = None
        self.user: Mapping[str, Any] = {}
        self.describe: Callable[[], Mapping[str, Any]] = dict
        """what `described` answers"""
        self.context: Any = None
        """of the service"""
        self.resumed, self.assumed, self.grace = resumed, assumed, grace
        self.numbers = ImageNumbers()
        """of the images that came"""
        self.earlier = ImageNumbers()
        """of those that came before the service was started anew"""
        self.phase: Phase = "arming"
        self.reason = ""
        """why it is final"""
        self.began = self.heard = now
        """s: its start; its last message"""
        self.ended: float | None = None
        """s: its end message"""
        self.superseded: float | None = None
        """s: when another began, or it was to stop"""
        self.dropped: int | None = None
        self.asking = False
        """the detector is asked how many images it threw away"""
        self.settled = False
        """its outputs are closed"""
        self.expected = start.images or None
        self.duplicate = self.differing = self.foreign = self.damaged = self.second_starts = self.second_ends = 0
        self.elsewhere: dict[str, Books] = {}
        """books of the nodes that receive it, by their names: what they could not make images of is added to these"""
        self._outcomes = (0, 0, 0, 0)

    @property
    def key(self) -> SeriesKey:
        """Of the series."""
        return self.start.series

    @property
    def frame_time(self) -> float:
        """s; 0 = not known."""
        return self.start.frame_time or 0.0

    @property
    def final(self) -> bool:
        """Whether nothing is taken any more."""
        return self.phase == "final"

    @property
    def silence(self) -> float:
        """s without a message after which no more is waited for, where another series began or this one was to stop."""
        return max(self.grace, 20.0 * min(self.frame_time, _LONGEST_FRAME))

    @property
    def patience(self) -> float:
        """s without a message after which it is stalled."""
        return max(5.0, 20.0 * min(self.frame_time, _LONGEST_FRAME))

    @property
    def whole(self) -> bool:
        """Whether all images that were announced came."""
        return self.expected is not None and len(self.numbers) >= self.expected

    @property
    def books(self) -> Books:
        """Now."""
        analysed, skipped, failed, late = self._outcomes
        nodes = list(self.elsewhere.values())
        return Books(
            expected=self.expected,
            received=len(self.numbers),
            analysed=analysed,
            skipped=skipped,
            failed=failed,
            duplicate=self.duplicate + sum(each.duplicate for each in nodes),
            differing=self.differing + sum(each.differing for each in nodes),
            late=late,
            foreign=self.foreign + sum(each.foreign for each in nodes),
            damaged=self.damaged + sum(each.damaged for each in nodes),
            second_ends=self.second_ends + sum(each.second_ends for each in nodes),
            dropped=self.dropped,
            ended=self.final,
            last=self.numbers.end - 1,
        )

    def described(self) -> Mapping[str, Any]:
        """What `describe` makes."""
        return self.describe()

    def missing(self) -> list[tuple[int, int]]:
        """Ranges [first, behind the last) of the numbers that never came, up to what is expected, or else up to the
        last that came. Asked when the series is final."""
        return list(self.numbers.missing(self.numbers.end if self.expected is None else self.expected))

    def count(self, *, analysed: int = 0, skipped: int = 0, failed: int = 0, late: int = 0) -> None:
        """Add to what became of images. From the thread of the results alone."""
        a, s, f, after = self._outcomes
        self._outcomes = (a + analysed, s + skipped, f + failed, after + late)

    def add(self, number: int, hashed: int = 0) -> bool:
        """Take the number of an image that came; whether it is new. From the thread of the receiver alone."""
        if not self.numbers.add(number, hashed):
            self.duplicate += 1
            first = self.numbers.hashed(number)
            if first and hashed and first != hashed:
                self.differing += 1
            return False
        if self.expected is not None and number >= self.expected:
            self.expected = number + 1
        return True

    def had(self, ranges: list[tuple[int, int]]) -> None:
        """Before a service was started anew, these images had come and were looked at: ranges [first, behind the last).
        Before any image is counted; from the thread of the receiver alone."""
        for first, stop in ranges:
            for number in range(first, stop):
                if self.add(number):
                    self.earlier.add(number)
                    self.count(analysed=1)

    def finish(self, reason: str) -> None:
        """Take nothing any more. How many images were expected is what the start said where the detector sent an end;
        where it was broken off, or nothing was said, there were as many as the last number that came tells."""
        if self.expected is None or self.ended is None:
            self.expected = self.numbers.end
        self.phase, self.reason = "final", reason

    def restarted(self, start: Start) -> None:
        """Take another start of the same series, before its first image."""
        self.start = replace(start)
        self.geometry, self.expected = start.geometry, start.images or None
