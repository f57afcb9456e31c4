"""A simulated detector as its REST interface has it: idle, armed, triggered, and stopped in all the ways there are."""

from __future__ import annotations

from collections.abc import Callable
from threading import Condition, Event

from crystint.online.truth import SeriesTruth

__all__ = ["ArmedDetector"]

_LONGEST = 24 * 3600.0
"""s that a request waits for a trigger to end"""


class ArmedDetector:
    """Joins the threads of the requests with that which sends.

    Parameters
    ----------
    halt : Event
        Set when the series that runs is to end.
    """

    def __init__(self, halt: Event) -> None:
        self._halt = halt
        self._changed = Condition()
        self._state = "na"
        self._arming = self._closed = False
        self._number = 0
        self._series: SeriesTruth | None = None
        self._images, self._external = 1, False
        self._triggers = self._answered = 0

    def initialize(self) -> None:
        """Be idle."""
        self._end("idle")

    def arm(self) -> int:
        """Start a series; returns its number when its start is sent."""
        with self._changed:
            self._arming = True
            self._number += 1
            self._changed.notify_all()
            self._until(lambda: self._state == "ready" or not self._arming)
            return self._number

    def trigger(self) -> None:
        """Take the images of a trigger; returns when they are sent."""
        with self._changed:
            self._triggers += 1
            mine = self._triggers
            self._state = "acquire"
            self._changed.notify_all()
            self._until(lambda: self._answered >= mine or self._state in ("idle", "na"))

    def disarm(self) -> None:
        """End the series."""
        self._end("idle")

    def cancel(self) -> None:
        """End the series after this image."""
        self._end("idle")

    def abort(self) -> None:
        """End the series at once."""
        self._end("idle")

    def state(self) -> str:
        """One of `crystint.online.simplon.STATES`."""
        return self._state

    def dropped(self) -> int:
        """Images of the series that nobody fetched in time."""
        return len(self._series.not_taken) if self._series is not None else 0

    def series_unique_id(self) -> str:
        """Of the series that runs, or ran."""
        return self._series.unique_id if self._series is not None else ""

    def _end(self, state: str) -> None:
        with self._changed:
            if self._arming or self._state in ("ready", "acquire"):
                self._halt.set()
                self._changed.notify_all()
                self._until(lambda: not self._arming and self._state not in ("ready", "acquire"))
            self._state = state

    def _until(self, reached: Callable[[], bool]) -> None:
        self._changed.wait_for(lambda: reached() or self._closed, _LONGEST)

    # What follows is called by the thread that sends.

    def wait_for_arm(self) -> bool:
        """Wait until a series is asked for; False = there will be none."""
        with self._changed:
            self._until(lambda: self._arming)
            return not self._closed

    def begin(self, series: SeriesTruth, images_per_trigger: int, mode: str) -> None:
        """A series starts."""
        with self._changed:
            self._series, self._images = series, images_per_trigger
            self._external = not mode.startswith("int")
            self._triggers = self._answered = 0

    def gate(self, taken: int) -> bool:
        """Wait for the next trigger when so many images are taken; those from outside come at once."""
        with self._changed:
            self._answered = taken // self._images
            if self._external:
                self._triggers = self._answered + 1
            self._arming = False
            if self._triggers <= self._answered:
                self._state = "ready"
                self._changed.notify_all()
                self._until(lambda: self._triggers > self._answered or self._halt.is_set())
            self._state = "acquire"
            self._changed.notify_all()
            return not (self._closed or self._halt.is_set())

    def finish(self) -> None:
        """The series is over."""
        with self._changed:
            self._arming = False
            self._answered = self._triggers
            self._state = "idle"
            self._changed.notify_all()

    def close(self) -> None:
        """No series any more; whoever waits goes on."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
