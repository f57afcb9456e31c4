"""Results in the order of their images: what is missing is passed over, and what comes late is told."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from crystint.model.frame_table import FrameStatus
from crystint.online.intake import plain_result
from crystint.online.result import Result
from crystint.online.series import Series

__all__ = ["AsTheyCome", "Order"]

_LATER = 64
_MOST_ROWS = 10_000
"""rows of missing images that are made of one gap; books have the rest"""


@dataclass
class _Line:
    """Of a series."""

    series: Series
    following: int = 0
    """the number that is to be released next"""
    waiting: dict[int, Result] = field(default_factory=dict)
    since: float | None = None
    """since when it waits for a number that did not come"""
    heard: float = 0.0
    closing: bool = False


class Order:
    """Puts results in order. All methods are called from one thread, that of the results.

    A result is held back until all images before it have theirs. A number that has not come is passed over when it is
    missing for longer than 1 s and 50 frame times while 64 later ones wait, or when nothing comes any more, or the
    series is final; its row then says so. If it comes later, its row comes again, with ``late`` = 1.

    Parameters
    ----------
    clock : callable
        s, never goes back.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.clock = clock
        self._lines: dict[int, _Line] = {}

    @property
    def waiting(self) -> int:
        """Results that are held back. May be asked from any thread."""
        return sum(len(line.waiting) for line in list(self._lines.values()))

    def begin(self, series: Series) -> None:
        """A series starts. Of one that is gone on with, images that were looked at before are not waited for."""
        self._lines[id(series)] = _Line(series, heard=self.clock())

    def put(self, series: Series, result: Result) -> list[Result]:
        """Take the result of an image and count it; which results are released by it."""
        line = self._lines.get(id(series))
        if line is None:
            self.begin(series)
            line = self._lines[id(series)]
        line.heard = self.clock()
        number = result.number
        late = number < line.following
        self._count(series, result, late)
        if late:
            result.row["late"] = 1
            return [result]
        line.waiting[number] = result
        return self._release(line)

    def close(self, series: Series) -> None:
        """A series is final: what is missing is not waited for any more."""
        line = self._lines.get(id(series))
        if line is None:
            self.begin(series)
            line = self._lines[id(series)]
        line.closing = True

    def tick(self) -> list[tuple[Series, list[Result]]]:
        """What is released because of the time that went by."""
        released = [(line.series, self._release(line)) for line in self._lines.values()]
        return [(series, results) for series, results in released if results]

    def settled(self) -> list[tuple[Series, list[Result]]]:
        """The series that are final and have all their results, each once, and the last results of each."""
        out = []
        for line in self._ready():
            results = self._release(line)
            results += self._gap(line, line.series.expected or 0)
            del self._lines[id(line.series)]
            out.append((line.series, results))
        return out

    @staticmethod
    def _count(series: Series, result: Result, late: bool) -> None:
        status = result.status
        series.count(
            analysed=status in (FrameStatus.OK, FrameStatus.VETOED),
            skipped=status == FrameStatus.SKIPPED,
            failed=status == FrameStatus.FAILED,
            late=late,
        )

    def _ready(self) -> list[_Line]:
        """Those that are final, and of which no image is under way."""
        return [
            line for line in self._lines.values()
            if line.closing and not line.series.asking and line.series.books.in_flight == 0
        ]  # fmt: skip

    def _release(self, line: _Line) -> list[Result]:
        released: list[Result] = []
        waiting, came = line.waiting, line.series.numbers
        while waiting:
            result = waiting.pop(line.following, None)
            if result is not None:
                released.append(result)
                line.following += 1
                line.since = None
                continue
            if line.following in came:
                line.since = None
                if line.following not in line.series.earlier:
                    break
                line.following += 1
                continue
            if not self._passed_over(line):
                break
            released += self._gap(line, min(waiting))
        return released

    def _passed_over(self, line: _Line) -> bool:
        now, frame_time = self.clock(), line.series.frame_time
        if line.since is None:
            line.since = now
        if line.closing:
            return True
        if now - line.heard >= line.series.patience:
            return True
        return len(line.waiting) >= _LATER and now - line.since > max(1.0, 50.0 * frame_time)

    def _gap(self, line: _Line, stop: int) -> list[Result]:
        """Rows of the numbers before `stop` that did not come; the next is then the first that came, or `stop`."""
        results: list[Result] = []
        came = line.series.numbers
        while line.following < stop and line.following not in came:
            if len(results) < _MOST_ROWS:
                results.append(plain_result(line.series.key, line.following, FrameStatus.MISSING))
                line.following += 1
            else:
                line.following = came.first_from(line.following, stop)
        line.since = None
        return results


class AsTheyCome(Order):
    """Results as they come, without rows of what is missing: of a node, whose images are some of a series alone."""

    def put(self, series: Series, result: Result) -> list[Result]:
        """As `Order.put`; it is released at once."""
        self._count(series, result, late=False)
        return [result]

    def tick(self) -> list[tuple[Series, list[Result]]]:
        """Nothing."""
        return []

    def settled(self) -> list[tuple[Series, list[Result]]]:
        """The series that are final and have all their results, each once."""
        ready = self._ready()
        for line in ready:
            del self._lines[id(line.series)]
        return [(line.series, []) for line in ready]
