"""What waits to be looked at: bounded in bytes. When more comes than can be done, images are skipped evenly."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from typing import Literal

from crystint.online.series import Series
from crystint.stream.messages import Image, SeriesKey

__all__ = ["WhenFull", "Work", "WorkQueue"]

WhenFull = Literal["skip", "wait"]

_WINDOW = 1.0


@dataclass(frozen=True, slots=True, eq=False)
class Work:
    """An image to be looked at."""

    series: Series
    image: Image
    received: int
    """ns since 1970-01-01 UTC"""


class WorkQueue:
    """Between the receiver and the workers.

    Everything waits while there is room: nothing is lost as long as the memory lasts. When it is spent, what waits is
    thinned out evenly until the rest can be done within `latency`, and from then on of what comes as many are taken as
    are done meanwhile, evenly, until the workers have caught up.

    `put`, `want` and `room` are called from the thread of the receiver alone, `get` and `done` from any; none of them
    waits for another thread, but `get` for work.

    Parameters
    ----------
    budget : int
        Bytes of messages that may wait or be worked on.
    when_full : {"skip", "wait"}
        "wait" = `full` tells the receiver to take no more from the socket; nothing is skipped.
    latency : float
        s of work that may wait once images are skipped.
    clock : callable
        s, never goes back.
    overhead : int
        Bytes of an image beside its message, which the budget is for as well: small images have more of these.
    """

    def __init__(
        self,
        budget: int,
        when_full: WhenFull = "skip",
        *,
        latency: float = 1.0,
        clock: Callable[[], float] = time.monotonic,
        overhead: int = 0,
    ) -> None:
        self.overhead = overhead
        """bytes of an image beside those of its message"""
        self.budget, self.when_full, self.latency, self.clock = budget, when_full, latency, clock
        self.blocked: Callable[[], bool] | None = None
        """whether somebody else who takes images has no room for another one"""
        self.skipping = False
        """more comes than can be done"""
        self.on_room: Callable[[], None] | None = None
        """called when there is room again, from the thread of a worker"""
        self.waiting = False
        """the receiver waits for room"""
        self._normal: deque[Work] = deque()
        self._first: deque[Work] = deque()
        self._tokens: SimpleQueue[bool] = SimpleQueue()
        self._sizes: deque[int] = deque()
        self._bytes = self._items = 0
        self._wanted: dict[tuple[SeriesKey, int], None] = {}
        self._want_next = False
        self._done = _Rate()
        self._came = _Rate()
        self._credit = 0.0
        self._closed = False

    @property
    def bytes(self) -> int:
        """That wait or are worked on."""
        return self._bytes - sum(list(self._sizes))

    @property
    def images(self) -> int:
        """That wait or are worked on."""
        return self._items - len(self._sizes)

    @property
    def full(self) -> bool:
        """Whether the receiver has to wait."""
        if self.when_full != "wait":
            return False
        return self.bytes >= self.budget or (self.blocked is not None and self.blocked())

    def room(self, size: int) -> bool:
        """Whether so many bytes more have room."""
        return self.bytes + size + self.overhead <= self.budget

    def want(self, series: SeriesKey | None = None, number: int = -1) -> None:
        """Somebody looks at an image: it is not skipped, and looked at first.

        Parameters
        ----------
        series : SeriesKey, optional
            None = the next image that comes, whichever it is.
        number : int
        """
        if series is None:
            self._want_next = True
            return
        self._wanted[series, number] = None
        while len(self._wanted) > 100:
            del self._wanted[next(iter(self._wanted))]

    def put(self, work: Work) -> list[Work]:
        """Take an image to be looked at; which images are skipped for it, itself perhaps."""
        now, size = self.clock(), work.image.size + self.overhead
        self._settle(now)
        self._came.add(now)
        key = (work.series.key, work.image.number)
        wanted = self._want_next or key in self._wanted
        if wanted and self._bytes < 1.1 * self.budget:
            self._want_next = False
            self._wanted.pop(key, None)
            self._enter(self._first, work, size)
            return []
        if self.when_full == "wait":
            self._enter(self._normal, work, size)
            return []
        skipped: list[Work] = []
        if self._bytes + size > self.budget:
            if not self.skipping:
                self.skipping, self._credit = True, 0.0
            skipped = self._thin(now)
            if self._bytes + size > self.budget:
                return [*skipped, work]
        if self.skipping and not self._take(now):
            return [*skipped, work]
        self._enter(self._normal, work, size)
        return skipped

    def get(self, timeout: float | None = None) -> Work | None:
        """The next image to look at; None = there was none within `timeout` s, or the queue is closed and empty."""
        while True:
            try:
                self._tokens.get(timeout=timeout)
            except Empty:
                return None
            for line in (self._first, self._normal):
                try:
                    return line.popleft()
                except IndexError:
                    continue
            if self._closed:
                self._tokens.put(True)
                return None

    def done(self, work: Work) -> None:
        """An image was looked at, or it failed: its memory is free."""
        self._sizes.append(work.image.size + self.overhead)
        if self.waiting and self.on_room is not None:
            self.on_room()

    def close(self) -> None:
        """No more comes: `get` gives what waits, then None."""
        self._closed = True
        self._tokens.put(True)

    def _settle(self, now: float) -> None:
        while self._sizes:
            self._bytes -= self._sizes.popleft()
            self._items -= 1
            self._done.add(now)

    def _enter(self, line: deque[Work], work: Work, size: int) -> None:
        self._bytes += size
        self._items += 1
        line.append(work)
        self._tokens.put(True)

    def _allowed(self, now: float) -> float:
        """Images that may wait once images are skipped."""
        return max(2.0, self.latency * self._done.per_second(now))

    def _thin(self, now: float) -> list[Work]:
        """Take evenly out of what waits as much as is more than `latency` allows; half of it where nothing is done."""
        waiting: list[Work] = []
        while True:
            try:
                waiting.append(self._normal.popleft())
            except IndexError:
                break
        idle = self._done.per_second(now) == 0.0
        keep = min(len(waiting), len(waiting) // 2 if idle else int(self._allowed(now)))
        skipped = []
        for place, work in enumerate(waiting):
            if (place + 1) * keep // len(waiting) > place * keep // len(waiting):
                self._normal.append(work)
                self._tokens.put(True)
            else:
                self._bytes -= work.image.size + self.overhead
                self._items -= 1
                skipped.append(work)
        return skipped

    def _take(self, now: float) -> bool:
        """Whether to take the image that comes now, while more come than can be done: as many as are done, evenly, a
        little more or fewer as fewer or more wait than may."""
        if self._done.per_second(now) == 0.0:
            return True
        allowed = self._allowed(now)
        if self._items < 0.1 * allowed + 1.0 and self._came.per_second(now) <= self._done.per_second(now) * 1.05:
            self.skipping = False
            return True
        ratio = self._done.per_second(now) / max(self._came.per_second(now), 1e-9)
        self._credit += min(1.0, ratio * (1.0 + 0.5 * (1.0 - self._items / allowed)))
        if self._credit < 1.0:
            return False
        self._credit -= 1.0
        return True


class _Rate:
    """How many per s, over the last s or two."""

    def __init__(self) -> None:
        self._begin: float | None = None
        self._count = 0
        self._last = 0.0

    def add(self, now: float) -> None:
        if self._begin is None:
            self._begin = now
        self._count += 1
        self._turn(now)

    def per_second(self, now: float) -> float:
        self._turn(now)
        if self._begin is None:
            return 0.0
        elapsed = now - self._begin
        return self._count / elapsed if self._last == 0.0 and elapsed > 0.0 else self._last

    def _turn(self, now: float) -> None:
        if self._begin is not None and now - self._begin >= _WINDOW:
            self._last = self._count / (now - self._begin)
            self._begin, self._count = now, 0
