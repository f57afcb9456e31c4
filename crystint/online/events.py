"""What happened: the last events, numbered, for everybody who follows."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

from crystint.online.sink import Event

__all__ = ["EventLog"]

_LAST = 1000


class EventLog:
    """The last 1000 events. Any thread may use it.

    Parameters
    ----------
    told : callable
        Called with each event.

    Examples
    --------
    >>> from crystint.online.events import EventLog
    >>> log = EventLog(lambda event: None)
    >>> log.add("alarm", {"text": "the disk is full"}).number
    1
    >>> [event["name"] for event in log.after(0)]
    ['alarm']
    """

    def __init__(self, told: Callable[[Event], None]) -> None:
        self._told = told
        self._events: deque[Event] = deque(maxlen=_LAST)
        self._lock = threading.Lock()
        self._number = 0
        self._warned: dict[str, None] = {}

    @property
    def last(self) -> int:
        """Number of the last event; 0 = there was none."""
        return self._number

    def add(self, name: str, data: Mapping[str, Any]) -> Event:
        """Something happened."""
        with self._lock:
            self._number += 1
            event = Event(name, data, time.time_ns(), self._number)
            self._events.append(event)
        self._told(event)
        return event

    def tell(self, event: Event) -> None:
        """Something happened in a sink; it gets a number and the time."""
        self.add(event.name, event.data)

    def warn(self, text: str, **data: Any) -> None:
        """Say something that the user must know, once."""
        with self._lock:
            if text in self._warned:
                return
            self._warned[text] = None
            while len(self._warned) > _LAST:
                del self._warned[next(iter(self._warned))]
        self.add("warning", {"text": text, **data})

    def after(self, number: int) -> list[dict[str, Any]]:
        """Those with higher numbers, as JSON-able values."""
        with self._lock:
            events = [event for event in self._events if event.number > number]
        return [
            {"name": event.name, "data": dict(event.data), "time": event.time, "number": event.number}
            for event in events
        ]
