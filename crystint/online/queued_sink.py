"""What sinks with a thread of their own have in common: a bounded queue, errors that are told once, a clean end."""

from __future__ import annotations

import os
import select
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any

from crystint.online.result import Result
from crystint.online.sink import Event, Run, Sink
from crystint.stream.messages import SeriesKey

__all__ = ["QueuedSink", "Tell"]

Tell = Callable[[Event], None]
"""Takes an event "warning" of a sink; what it does must not wait."""

_LIMIT = 64 * 2**20
_LAST_WORDS = 2.0
"""s that a sink has to finish when the service ends"""
_OF_A_RESULT = 1000
"""bytes of the objects of a result, beside its arrays"""


class QueuedSink(Sink):
    """A sink whose work is done by a thread, behind a queue bounded in bytes.

    A kind of sink has `_begin`, `_results`, `_event`, `_end`, which are called in the thread one after another,
    `_pause`, how long it may sleep, and `_tick`, which is called after each sleep. What is too much for the queue is
    left out, counted, and told once in a series; an error ends the sink for the series.
    """

    def __init__(self, name: str, tell: Tell | None = None, *, limit: int = _LIMIT) -> None:
        super().__init__()
        self.name = name
        self._tell_event, self._limit = tell, limit
        self._items: deque[tuple[str, Any, Any, int]] = deque()
        self._lock = threading.Lock()
        self._bytes = 0
        self._lost = 0
        self._errors = 0
        self._last_error = ""
        self._off: set[SeriesKey] = set()
        self._told: set[tuple[SeriesKey | None, str]] = set()
        self._wake = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._closing = False
        self._until = 0.0
        self._thread = threading.Thread(target=self._work, name=f"crystint {name}", daemon=True)

    def _start(self) -> None:
        """Called by the kind of sink when it is ready; the thread is a daemon so that a stuck reader cannot keep a
        process that ends."""
        self._thread.start()

    # what the service calls

    def begin(self, run: Run) -> None:
        self._put("begin", run, None, 0)

    def results(self, run: Run, results: Sequence[Result]) -> None:
        size = sum(_size(result) for result in results)
        with self._lock:
            full = self._bytes + size > self._limit and self._bytes > 0
            if full:
                self._lost += len(results)
        if full:
            self._leave_out(run, len(results))
            self._warn(run.key, "its reader is slow: results are left out")
            return
        self._put("results", run, tuple(results), size)

    def event(self, event: Event) -> None:
        self._put("event", None, event, 200)

    def end(self, run: Run) -> None:
        self._put("end", run, None, 0)

    def close(self) -> None:
        """Finish what is there, for 2 s at most, and end the thread."""
        if self._closing:
            return
        self._until = time.monotonic() + _LAST_WORDS
        self._closing = True
        self._ring()
        if self._thread.ident is not None:
            self._thread.join(_LAST_WORDS + 30.0)
        if not self._thread.is_alive():
            os.close(self._wake)

    def status(self) -> Mapping[str, Any]:
        with self._lock:
            queue = self._bytes
        about = {"queued_bytes": queue, "lost": self._lost, "errors": self._errors, "last_error": self._last_error}
        return about | dict(self._status())

    # what a kind of sink has

    def _begin(self, run: Run) -> None: ...

    def _results(self, run: Run, results: Sequence[Result]) -> None: ...

    def _event(self, event: Event) -> None: ...

    def _end(self, run: Run) -> None: ...

    def _leave_out(self, run: Run, count: int) -> None:
        """Results were too many for the queue; called in the thread of the results."""

    def _tick(self) -> None:
        """After each sleep."""

    def _pause(self) -> float | None:
        """s that the thread may sleep at most; None = until something comes."""
        return None

    def _sleep(self, timeout: float | None) -> None:
        """Until something comes, for `timeout` s at most."""
        poller = select.poll()
        poller.register(self._wake, select.POLLIN)
        poller.poll(None if timeout is None else max(0.0, timeout) * 1000.0)

    def _finish(self) -> None:
        """The last thing that the thread does: close what it has open."""

    def _status(self) -> Mapping[str, Any]:
        return {}

    # how it works

    def _put(self, what: str, run: Run | None, data: Any, size: int) -> None:
        if self._closing:
            return
        with self._lock:
            self._bytes += size
            self._items.append((what, run, data, size))
        self._ring()

    def _ring(self) -> None:
        os.eventfd_write(self._wake, 1)

    def _warn(self, series: SeriesKey | None, text: str) -> None:
        """Tell the user, once in a series."""
        if (series, text) in self._told:
            return
        self._told.add((series, text))
        self._last_error = text
        if self._tell_event is not None:
            about = {} if series is None else {"series": str(series)}
            data = {"sink": self.name, "text": f"{self.name}: {text}"} | about
            self._tell_event(Event("warning", data, time.time_ns()))

    def _fail(self, run: Run | None, error: BaseException) -> None:
        self._errors += 1
        if run is not None:
            self._off.add(run.key)
        self._warn(None if run is None else run.key, f"{type(error).__name__}: {error}" if str(error) else repr(error))

    def _work(self) -> None:
        try:
            while not (self._closing and (not self._items or time.monotonic() > self._until)):
                if not self._items:
                    self._sleep(self._pause())
                with suppress(BlockingIOError):
                    os.eventfd_read(self._wake)
                self._guarded(None, self._tick)
                while self._items and not (self._closing and time.monotonic() > self._until):
                    with self._lock:
                        what, run, data, size = self._items.popleft()
                        self._bytes -= size
                    self._handle(what, run, data)
                self._guarded(None, self._tick)
        finally:
            self._guarded(None, self._finish)

    def _handle(self, what: str, run: Run | None, data: Any) -> None:
        if what == "event":
            self._guarded(None, self._event, data)
            return
        assert run is not None
        if what == "begin":
            self._off.discard(run.key)
            self._told = {each for each in self._told if each[0] is None}
            self._guarded(run, self._begin, run)
        elif what == "end":  # also of a series that the sink is off for: there may be something to put away
            self._guarded(run, self._end, run)
            self._off.discard(run.key)
        elif run.key not in self._off:
            self._guarded(run, self._results, run, data)

    def _guarded(self, run: Run | None, method: Callable[..., None], *arguments: Any) -> None:
        try:
            method(*arguments)
        except Exception as error:
            self._fail(run, error)


def _size(result: Result) -> int:
    return int(result.row.nbytes + result.peaks.nbytes + result.rois.nbytes) + _OF_A_RESULT
