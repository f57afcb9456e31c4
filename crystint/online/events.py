"""What happened: the last events, numbered, for everybody who follows."""

from __future__ import annotations

import json
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

from crystint.errors import RefusedError
from crystint.online.sink import Event

__all__ = ["Allowance", "EventLog", "checked_record"]

_LAST = 1000
_RECORDED = ("note", "alarm")
"""events that do not come from the data process itself"""
_LARGEST = 16_384
"""bytes of one of these"""


class Allowance:
    """How many events others may make: 50 at once, and 10 a second. Any thread may use it."""

    def __init__(self, most: float = 50.0, each_second: float = 10.0, clock: Callable[[], float] = time.monotonic):
        self._most, self._rate, self._clock = most, each_second, clock
        self._left, self._last = most, clock()
        self._lock = threading.Lock()

    def take(self) -> None:
        """One more.

        Raises
        ------
        RefusedError
            busy, when they were too many.
        """
        with self._lock:
            now = self._clock()
            self._left = min(self._most, self._left + (now - self._last) * self._rate)
            self._last = now
            if self._left < 1.0:
                text = f"there are more than {self._rate:g} notes and alarms a second; wait, and send it again"
                raise RefusedError("busy", text)
            self._left -= 1.0


def checked_record(name: str, data: Mapping[str, Any]) -> dict[str, Any]:
    """The data of an event that others make, when they can be stored and published.

    Raises
    ------
    RefusedError
        bad_value; too_large.

    Examples
    --------
    >>> from crystint.online.events import checked_record
    >>> checked_record("note", {"text": "the shutter was closed"})
    {'text': 'the shutter was closed'}
    """
    if name not in _RECORDED:
        raise RefusedError("bad_value", f"the event is {name[:40]!r}, expected {' or '.join(_RECORDED)}", "name")
    try:
        size = len(json.dumps(dict(data), allow_nan=False, ensure_ascii=False).encode())
    except (TypeError, ValueError, RecursionError):
        raise RefusedError("bad_value", f"the {name} has something that JSON has not", "data") from None
    if size > _LARGEST:
        raise RefusedError("too_large", f"the {name} has {size} bytes, expected at most {_LARGEST}", "data")
    if not isinstance(data.get("text"), str):
        raise RefusedError("bad_value", f"the {name} has no text", "text")
    if not isinstance(data.get("series"), str | None):
        raise RefusedError("bad_value", f"the {name} has a series that is no text", "series")
    return dict(data)


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
        self._allowance = Allowance()

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

    def record(self, name: str, data: Mapping[str, Any]) -> Event:
        """Something happened elsewhere: a note of people, an alarm of the web process.

        Raises
        ------
        RefusedError
            bad_value; too_large; busy when there are too many.
        """
        content = checked_record(name, data)
        self._allowance.take()
        return self.add(name, content)

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
