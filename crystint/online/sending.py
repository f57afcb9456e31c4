"""A series of a simulated detector on its way out: action by action, each image at its moment."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from threading import Event

from crystint.online.faults import Action, Faults
from crystint.online.outlet import Outlet, Pace
from crystint.online.truth import SeriesTruth
from crystint.online.wire import Wire
from crystint.stream import SeriesKey

__all__ = ["SeriesSender"]

_TICK = 20
"""ns: a detector's clock has 50 MHz"""
_HEAD_WAIT = 10.0
"""s that a start or an end waits for a place in the queue"""
_IN_KERNELS = 1000
"""messages that may be on their way besides those of the queue"""


class SeriesSender:
    """Sends a series.

    Parameters
    ----------
    outlet : Outlet
    wire : Wire
    faults : Faults
    fps : float or None
        Images per second; None = as fast as they are fetched.
    halt : Event
        Ends the series early.
    images_per_file : int
        Images that go to a socket, before the next one has its turn.
    silent : bool
        Nothing is sent: the stream of the detector is switched off.
    """

    def __init__(
        self,
        outlet: Outlet,
        wire: Wire,
        faults: Faults,
        fps: float | None,
        halt: Event,
        *,
        images_per_file: int = 1000,
        silent: bool = False,
    ) -> None:
        self._outlet, self._wire, self._faults, self._fps, self._halt = outlet, wire, faults, fps, halt
        self._per_file, self._silent = images_per_file, silent
        self._origin = time.time_ns()
        self._pace = Pace(fps)
        self.turns = 0
        """images taken, sent or not"""
        self.seconds = 0.0
        """from the first image to the last one"""

    def run(
        self,
        series: SeriesTruth,
        plan: Iterator[Action],
        gate: Callable[[int], bool] | None = None,
        images_per_trigger: int = 0,
        head_wait: float = _HEAD_WAIT,
    ) -> None:
        """Send all.

        Parameters
        ----------
        series : SeriesTruth
            Takes what was done.
        plan : iterator of Action
        gate : callable
            Called before the first image of each trigger, with how many were taken; may wait. False = the series ends.
        images_per_trigger : int
            0 = all.
        head_wait : float
            s that start and end wait for somebody who pulls.
        """
        key = SeriesKey(series.id, series.unique_id)
        self._origin = time.time_ns()
        began: float | None = None
        for action in plan:
            if self._halt.is_set():
                break
            if action.kind == "start":
                series.starts += self._to_all(self._wire.start(key, series.announced), head_wait)
            elif action.kind == "end":
                series.ends += self._to_all(self._wire.end(key), head_wait)
            elif action.kind == "pause":
                self._halt.wait(action.seconds)
                if not action.exposing:
                    self._pace.delay(action.seconds)
            elif action.kind == "vanish":
                self._vanish(series, action)
            else:
                if not (action.again or action.late):
                    begins = not self.turns or (images_per_trigger and not self.turns % images_per_trigger)
                    if begins and gate is not None and not gate(self.turns):
                        break
                    if not self._turn(bool(begins)):
                        break
                    now = time.monotonic()
                    began = now if began is None else began
                    self.seconds = now - began
                self._image(series, key, action)
        else:
            return
        series.early = True
        if self._faults.end != "none" and not series.ends:
            series.ends += self._to_all(self._wire.end(key), head_wait, Event())

    def _turn(self, begins: bool) -> bool:
        """Wait until the next image is taken, the first of a trigger at once; False = the series ends."""
        if begins:
            self._pace = Pace(self._fps)
        if not self._pace.wait(self._halt):
            return False
        self.turns += 1
        return True

    def _image(self, series: SeriesTruth, key: SeriesKey, action: Action) -> None:
        if action.kind == "drop":
            series.images = max(series.images, action.number + 1)
            series.dropped.add(action.number)
            return
        if action.kind == "hold":
            series.images = max(series.images, action.number + 1)
            return
        if self._silent:
            series.took(action, False)
            return
        seconds = 0.004 if self._fps is None else 1.0 / self._fps
        begin = int(action.number * seconds * 1e9) // _TICK * _TICK
        exposed = begin, begin + int(seconds * 0.999e9) // _TICK * _TICK
        parts = self._wire.image(
            key, action.number, action.way, origin=self._origin, exposed=exposed, damaged_byte=self._faults.corrupt_byte
        )
        wait = None if self._fps is None else 0.0
        series.took(action, self._outlet.send(parts, action.number // self._per_file, wait, self._halt))

    def _to_all(self, parts: tuple[bytes, ...], wait: float, halt: Event | None = None) -> int:
        """1 where every socket has it."""
        return int(not self._silent and self._outlet.send_to_all(parts, wait, self._halt if halt is None else halt))

    def _vanish(self, series: SeriesTruth, action: Action) -> None:
        before = time.monotonic()
        first = max(0, action.number - self._outlet.queue - _IN_KERNELS)
        if action.number > first:
            series.unsure.append([first, action.number - 1])
        self._outlet.vanish()
        self._halt.wait(action.seconds)
        self._outlet.open()
        self._outlet.wait_for_pullers(_HEAD_WAIT, self._halt)
        self._pace.delay(time.monotonic() - before)
