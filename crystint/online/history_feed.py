"""Feeds the history of the web process with what the data process publishes."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Self

import numpy as np

from crystint.errors import CrystintError, StreamError
from crystint.online.history import History
from crystint.online.outlet import zmq_module
from crystint.online.results_message import Notice, ResultsBatch, read_results_message, roi_table
from crystint.online.sink import Event

zmq: Any = zmq_module()

__all__ = ["HistoryFeed", "feed"]

_QUEUE = 10_000
"""messages that may wait while the web process is busy"""


class HistoryFeed:
    """A subscriber of ``crystint-results/1`` in a thread of its own.

    Parameters
    ----------
    address : str
        Of the publisher.
    history : History
    events : callable, optional
        Gives the events that there were before: `crystint.online.control.Control.events`.
    """

    def __init__(
        self, address: str, history: History, events: Callable[[], Iterable[Mapping[str, Any]]] | None = None
    ) -> None:
        self._history, self._events = history, events
        self._sequence: int | None = None
        self._context = zmq.Context()
        self._socket = self._context.socket(zmq.SUB)
        self._stop, self._stopped = (self._context.socket(zmq.PAIR) for _ in range(2))
        self._stop.bind("inproc://stop")
        self._stopped.connect("inproc://stop")
        for socket in (self._socket, self._stop, self._stopped):
            socket.setsockopt(zmq.LINGER, 0)
        self._socket.setsockopt(zmq.RCVHWM, _QUEUE)
        self._socket.setsockopt(zmq.SUBSCRIBE, b"")
        self._socket.connect(address)
        self._thread = threading.Thread(target=self._run, name="history")
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()

    def close(self) -> None:
        """End the thread. What has come until then is in the history."""
        if self._thread.is_alive():
            self._stop.send(b"")
            self._thread.join()
        for socket in (self._socket, self._stop, self._stopped):
            socket.close()
        self._context.term()

    def _run(self) -> None:
        self._earlier_events()
        poller = zmq.Poller()
        poller.register(self._socket, zmq.POLLIN)
        poller.register(self._stopped, zmq.POLLIN)
        while True:
            ready = dict(poller.poll())
            if self._socket in ready:
                self._take(self._socket.recv())
            elif self._stopped in ready:
                return

    def _earlier_events(self) -> None:
        if self._events is None:
            return
        try:
            self._history.remember(self._events())
        except (CrystintError, OSError) as error:
            self._history.trouble = f"earlier events are not known: {error}"

    def _take(self, message: bytes) -> None:
        try:
            content = read_results_message(message)
        except StreamError as error:
            self._history.trouble = str(error)
            return
        if self._sequence is not None and content.sequence > self._sequence + 1:
            self._history.lost += content.sequence - self._sequence - 1
        self._sequence = content.sequence
        try:
            feed(self._history, content)
        except Exception as error:  # the next message may be better
            self._history.trouble = f"a message could not be taken: {type(error).__name__}: {error}"


def feed(history: History, content: ResultsBatch | Notice) -> None:
    """Put a message into a history."""
    if isinstance(content, ResultsBatch):
        ends = np.cumsum(content.spot_count)
        peaks = [content.peaks[end - n : end] for end, n in zip(ends, content.spot_count, strict=True)]
        names = tuple(content.rois)
        regions = roi_table(content.rois, len(content.rows)) if names else None
        history.add(content.series, content.rows, peaks, regions, names)
        return
    data = content.data
    if content.type == "event":
        history.event(Event(str(data["name"]), data["data"], int(data["time"]), int(data["number"])))
    elif content.series is not None and content.type == "start":
        user = data.get("user")
        grid = user.get("grid") if isinstance(user, Mapping) else None
        history.begin(content.series, {**data, "grid": grid})
    elif content.series is not None:
        history.end(content.series, data.get("books", {}))
