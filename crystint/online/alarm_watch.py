"""Watches the results as they come, and tells when an alarm trips or clears; behind the back of whoever feeds them."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from crystint.errors import CrystintError, RefusedError
from crystint.model.frame_table import FrameStatus
from crystint.online.alarms import AlarmFile, Rule
from crystint.online.history import History, Rows, SeriesHistory
from crystint.online.quantities import COUNTED, curves_of

__all__ = ["AlarmWatch"]

State = Literal["waiting", "collecting", "no values", "ok", "tripped"]
Floats = NDArray[np.float64]

_PAUSE = 0.05
"""s between two looks"""
_CONTEXT = 4096
"""rows before the new ones that a rate is made of"""
_SILENT = 100
"""images without a value after which that is told"""
_CLEARS = 1.0
"""s that a value is back at least before an alarm clears: it must not flap"""
_UNTOLD = 100
"""events that wait for the data process"""
_LOOKED_AT = (FrameStatus.OK, FrameStatus.VETOED)


@dataclass
class _Watched:
    """A rule in a series."""

    rule: Rule
    state: State = "waiting"
    mean: float | None = None
    image: int | None = None
    """the last one that there is a mean for"""
    since: int = 0
    """ns since 1970-01-01 UTC, of the state"""
    trouble: str = ""
    images: int = 0
    """that were looked at"""
    blank: int = 0
    """images at the end that have no value"""
    silent: bool = False
    """it was told that there are no values"""
    lost: float = 0.0
    """images lost until now, where that is watched"""
    pending: float | None = None
    """when the mean came to where the state changes"""
    tail: Floats = field(default_factory=lambda: np.zeros(0))
    """the last values, one less than a mean is made of"""

    def described(self) -> dict[str, Any]:
        """As `crystint.online.api_models.AlarmStateModel`."""
        rule = self.rule
        return {
            "name": rule.name,
            "state": self.state,
            "value": self.mean,
            "image": self.image,
            "since": self.since,
            "images": min(self.images, rule.images),
            "text": self._text(),
        }

    def _text(self) -> str:
        rule = self.rule
        match self.state:
            case "waiting":
                return "no image came yet"
            case "collecting":
                return f"{min(self.images, rule.images)} of {rule.images} images"
            case "no values":
                return self.trouble or f"no values: {rule.column} is not known of the last {self.blank} images"
        return f"{rule.watched}: {self.mean:.6g}" if self.mean is not None else rule.watched

    def turn(self, state: State) -> None:
        """Come to a state."""
        if state != self.state:
            self.state, self.since, self.pending = state, time.time_ns(), None

    def take(self, numbers: NDArray[np.int64], values: Floats, now: float) -> list[dict[str, Any]]:
        """What happens with values of new images; NaN = not known."""
        if not len(values):
            return []
        told: list[dict[str, Any]] = []
        means = self._means(values)
        means[: max(self.rule.images - 1 - self.images, 0)] = np.nan
        self.images += len(values)
        there_are = np.flatnonzero(np.isfinite(values))
        self.blank = len(values) - 1 - int(there_are[-1]) if len(there_are) else self.blank + len(values)
        there = np.isfinite(means)
        if there.any():
            self.mean, self.image = float(means[there][-1]), int(numbers[there][-1])
            if self.state != "tripped":
                self.turn("ok")
            told = self._judge(numbers[there], means[there], now)
        elif self.state == "waiting":
            self.turn("collecting")
        if self.blank >= max(_SILENT, self.rule.images) and self.state != "tripped":
            self.turn("no values")
            if not self.silent:
                self.silent = True
                told.append(self._event("no values", int(numbers[-1]), None, self._text()))
        return told

    def _means(self, values: Floats) -> Floats:
        """Of each value and those before it, of as many images as the rule has; NaN where nothing is known of them."""
        over = self.rule.over
        every = np.concatenate([self.tail, values])
        self.tail = every[max(len(every) - (over - 1), 0) :]
        sums = np.concatenate([[0.0], np.cumsum(np.where(np.isfinite(every), every, 0.0))])
        counts = np.concatenate([[0], np.cumsum(np.isfinite(every))])
        ends = np.arange(len(every) - len(values), len(every)) + 1
        begins = np.maximum(ends - over, 0)
        count = counts[ends] - counts[begins]
        means = np.full(len(values), np.nan)
        np.divide(sums[ends] - sums[begins], count, out=means, where=count > 0)
        return means

    def _judge(self, numbers: NDArray[np.int64], means: Floats, now: float) -> list[dict[str, Any]]:
        """Trip and clear."""
        rule, told, place = self.rule, [], 0
        low = rule.below is not None
        wrong = means < rule.limit if low else means > rule.limit
        right = means >= rule.back if low else means <= rule.back
        while place < len(means):
            tripped = self.state == "tripped"
            wanted, hold = (right, max(rule.hold, _CLEARS)) if tripped else (wrong, rule.hold)
            if not wanted[place]:
                self.pending = None
            if self.pending is None:
                begin = np.flatnonzero(wanted[place:])
                if not len(begin):
                    break
                place += int(begin[0])
                self.pending = now
            end = np.flatnonzero(~wanted[place:])
            if now - self.pending >= hold:
                self.turn("ok" if tripped else "tripped")
                value = float(means[place])
                text = f"{rule.watched}: {value:.6g}, {'no longer ' if tripped else ''}{rule.limits}"
                told.append(self._event("cleared" if tripped else "tripped", int(numbers[place]), value, text))
            elif len(end):
                self.pending = None
                place += int(end[0])
            else:
                break
        return told

    def _event(self, state: str, image: int | None, value: float | None, text: str) -> dict[str, Any]:
        rule = self.rule
        about = {"name": rule.name, "state": state, "text": f"{rule.name}: {text}", "column": rule.column}
        return {**about, "roi": rule.roi, "value": value, "image": image}


class AlarmWatch:
    """Every rule on every row of the series that runs.

    Parameters
    ----------
    history : History
    file : AlarmFile
    record : callable
        (name, data): `crystint.online.control.Control.record`.
    clock : callable
        Seconds; for tests.
    """

    def __init__(
        self,
        history: History,
        file: AlarmFile,
        record: Callable[[str, Mapping[str, Any]], Any],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._history, self.file, self._record, self._clock = history, file, record, clock
        self._series: SeriesHistory | None = None
        self._came = 0
        self._watched: dict[str, _Watched] = {}
        self._untold: deque[dict[str, Any]] = deque(maxlen=_UNTOLD)
        self._trouble = ""
        self._changed = threading.Event()
        self._closing = threading.Event()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._leave: Callable[[], None] = lambda: None

    def start(self) -> None:
        """Look whenever something comes."""
        self._leave = self._history.follow(self._changed.set)
        self._changed.set()
        self._thread = threading.Thread(target=self._run, name="alarms")
        self._thread.start()

    def close(self) -> None:
        """End."""
        self._closing.set()
        self._changed.set()
        if self._thread is not None:
            self._leave()
            self._thread.join()

    def wake(self) -> None:
        """Look soon: the rules have changed."""
        self._changed.set()

    def states(self) -> list[dict[str, Any]]:
        """How each alarm is."""
        with self._lock:
            watched = dict(self._watched)
        return [(watched.get(rule.name) or _Watched(rule)).described() for rule in self.file.read().rules]

    @property
    def trouble(self) -> str:
        """What does not work; empty = all does."""
        return self.file.trouble or self._trouble

    def _run(self) -> None:
        while not self._closing.is_set():
            self._changed.wait()
            self._changed.clear()
            try:
                self.look()
            except Exception as error:  # the next look may be better
                self._trouble = f"alarms cannot be looked at: {type(error).__name__}: {error}"
            self._closing.wait(_PAUSE)

    def look(self) -> None:
        """Take what has come since the last look."""
        current = self._history.current
        with self._lock:
            rules = {rule.name: rule for rule in self.file.read().rules}
            self._drop({name for name, each in self._watched.items() if rules.get(name) != each.rule}, "was changed")
            if self._series is not None and self._series is not current:
                self._take(self._series)
                self._drop(set(self._watched), "ends with its series")
            if current is not None and self._series is not current:
                self._series, self._came = current, 0
            if self._series is not None:
                for name, rule in rules.items():
                    if name not in self._watched:
                        self._watched[name] = self._begun(rule, self._series)
                self._take(self._series)
        self._tell()

    def _begun(self, rule: Rule, series: SeriesHistory) -> _Watched:
        """A rule in a series that may run already, watched by an earlier process perhaps."""
        made = _Watched(rule)
        if rule.column == "lost" and self._came:
            came, rows = series.now
            before = rows.part(0, max(len(rows) - (came - self._came), 0))
            made.lost = float(curves_of(before, "lost")[0].values[-1]) if len(before) else 0.0
        for event in reversed(tuple(self._history.events)):
            data = event.data
            if event.name == "alarm" and data.get("name") == rule.name and data.get("series") == str(series.key):
                if data.get("state") == "tripped":
                    made.turn("tripped")
                break
        return made

    def _take(self, series: SeriesHistory) -> None:
        came, rows = series.now
        fresh, self._came = min(came - self._came, len(rows)), came
        if fresh <= 0:
            return
        now = self._clock()
        context = min(len(rows) - fresh, _CONTEXT)
        some = rows.part(len(rows) - fresh - context)
        numbers = some.column("frame")[context:]
        looked = np.isin(some.column("status"), _LOOKED_AT)[context:]
        for watched in self._watched.values():
            values, watched.trouble = _values(watched, some, context)
            chosen = slice(None) if watched.rule.column in COUNTED else looked
            events = watched.take(numbers[chosen], values[chosen], now)
            self._untold.extend({**event, "series": str(series.key)} for event in events)

    def _drop(self, names: set[str], why: str) -> None:
        """Watch them no more; what is tripped is told to be over."""
        for name in names:
            each = self._watched.pop(name)
            if each.state == "tripped" and self._series is not None:
                event = each._event("cleared", each.image, each.mean, f"the alarm {why}")
                self._untold.append({**event, "series": str(self._series.key)})

    def _tell(self) -> None:
        """To the data process, in their order; what it does not take now it may later."""
        while self._untold and not self._closing.is_set():
            try:
                self._record("alarm", self._untold[0])
            except CrystintError as error:
                self._trouble = f"an alarm could not be told: {error}"
                self._changed.set()
                return
            self._untold.popleft()
            self._trouble = ""


def _values(watched: _Watched, rows: Rows, context: int) -> tuple[Floats, str]:
    """Of the rows behind the context, and why there are none."""
    rule = watched.rule
    try:
        values = curves_of(rows, rule.column, rule.roi)[0].values
    except RefusedError as error:
        return np.full(len(rows) - context, np.nan), f"no values: {error}"
    if rule.column == "lost":
        values = values + (watched.lost - (values[context - 1] if context else 0.0))
        watched.lost = float(values[-1])
    return values[context:], ""
