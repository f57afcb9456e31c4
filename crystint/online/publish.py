"""Publishes the results of every image to whoever listens: ``crystint-results/1``."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from crystint.online.queued_sink import Tell
from crystint.online.result import Result
from crystint.online.results_message import end_message, event_message, results_message, start_message
from crystint.online.sink import Event, Run
from crystint.online.zmq_sink import PublishingSink
from crystint.stream.messages import SeriesKey

__all__ = ["ResultsPublisher"]

_MOST = 64
"""images of a message"""
_PATIENCE = 0.05
"""s that a result waits for others to go with"""
_REPEAT = 1.0
"""s from a start message to the next"""


@dataclass
class _Open:
    """A series that has not ended."""

    run: Run
    waiting: list[Result] = field(default_factory=list)
    due: float = float("inf")
    """when what waits must go"""


class ResultsPublisher(PublishingSink):
    """A PUB socket with a message of each 50 ms, or each 64 images; the start of a series every second, and at once
    when a subscriber comes.

    Every message has a number, one more than that of the message before: a subscriber that misses one was too slow.

    Parameters
    ----------
    address : str
        Where it is bound, such as tcp://127.0.0.1:5602.
    tell : callable, optional
        Takes warnings, as events.
    name : str
        Of the sink.
    exact : bool
        Nothing is rounded to 32 bits: between processes of crystint.

    Raises
    ------
    SettingError
        When it cannot be bound there.
    """

    def __init__(self, address: str, tell: Tell | None = None, *, name: str = "results", exact: bool = False) -> None:
        super().__init__(name, address, tell)
        self._exact = exact
        self._open: dict[SeriesKey, _Open] = {}
        self._files: dict[str, list[str]] = {}
        self._sequence = 0
        self._repeat = 0.0
        self._start()

    def _begin(self, run: Run) -> None:
        self._open[run.key] = _Open(run)
        self._files = {key: self._files[key] for key in map(str, self._open) if key in self._files}
        if len(self._open) == 1:
            self._repeat = time.monotonic() + _REPEAT
        self._send(lambda number: start_message(run, number))

    def _results(self, run: Run, results: Sequence[Result]) -> None:
        series = self._open.setdefault(run.key, _Open(run))
        if not series.waiting:
            series.due = time.monotonic() + _PATIENCE
        series.waiting += results
        while len(series.waiting) >= _MOST:
            self._send_some(series)

    def _event(self, event: Event) -> None:
        if event.name == "file":
            self._files.setdefault(str(event.data.get("series")), []).append(str(event.data.get("path")))
        self._send(lambda number: event_message(event, number))

    def _end(self, run: Run) -> None:
        series = self._open.pop(run.key, None)
        while series is not None and series.waiting:
            self._send_some(series)
        files = self._files.pop(str(run.key), [])
        self._send(lambda number: end_message(run, number, files))

    def _send_some(self, series: _Open) -> None:
        results, series.waiting = series.waiting[:_MOST], series.waiting[_MOST:]
        series.due = time.monotonic() + _PATIENCE if series.waiting else float("inf")
        self._send(lambda number: results_message(series.run.key, results, number, exact=self._exact))

    def _send(self, make: Callable[[int], bytes]) -> None:
        number, self._sequence = self._sequence, self._sequence + 1
        if self._listening():
            self._publish(make(number))

    def _joined(self) -> None:
        self._repeat = 0.0

    def _tick(self) -> None:
        self._listening()
        now = time.monotonic()
        for series in tuple(self._open.values()):
            if now >= series.due:
                self._send_some(series)
        if self._open and now >= self._repeat:
            self._repeat = now + _REPEAT
            for series in tuple(self._open.values()):
                run = series.run
                self._send(lambda number, run=run: start_message(run, number))  # type: ignore[misc]

    def _pause(self) -> float | None:
        if not self._open:
            return None
        return min(self._repeat, *(series.due for series in self._open.values())) - time.monotonic()

    def _status(self) -> Mapping[str, Any]:
        return {**super()._status(), "sequence": self._sequence}
