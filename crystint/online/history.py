"""What the web interface remembers: rows, regions and spots of the series that runs and of the last one, and events."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crystint.model.peaks import PeakList
from crystint.online.result import RESULT_DTYPE, ResultTable
from crystint.online.sink import Event
from crystint.online.spot_sums import SpotSums
from crystint.online.strip import Completeness
from crystint.stream.messages import SeriesKey

__all__ = ["EVENTS", "GrowingRows", "History", "Rows", "SeriesHistory"]

EVENTS = 1000
"""that are remembered"""
BUDGET = 128 * 2**20
"""bytes of the rows of a series, those of its regions included"""
SPOT_BUDGET = 64 * 2**20
_FIRST = 1024
_FORGOTTEN = 100
"""series that do not come back"""


class GrowingRows:
    """Rows that are appended by one thread and read by others without a lock. Beyond `most` the oldest ones go.

    Parameters
    ----------
    dtype : dtype
    most : int
        Rows that are remembered, at least; twice as many at most.
    width : int, optional
        Columns of a second dimension.
    """

    def __init__(self, dtype: np.dtype[Any], most: int, width: int | None = None) -> None:
        self._tail = () if width is None else (width,)
        self._rows: NDArray[Any] = np.empty((min(_FIRST, 2 * most), *self._tail), dtype)
        self._most = most
        self._view = self._rows[:0]

    def append(self, rows: NDArray[Any]) -> None:
        """Add rows."""
        begin, most = len(self._view), self._most
        if begin + len(rows) > len(self._rows):
            old = self._view
            if begin + len(rows) > 2 * most:
                rows = rows[-most:]
                old = old[begin - min(most - len(rows), begin) :]
            begin = len(old)
            self._rows = np.empty((max(min(2 * len(self._rows), 2 * most), begin + len(rows)), *self._tail), old.dtype)
            self._rows[:begin] = old
        self._rows[begin : begin + len(rows)] = rows
        self._view = self._rows[: begin + len(rows)]

    @property
    def view(self) -> NDArray[Any]:
        """All rows, in memory that nobody writes to any more."""
        return self._view


class Rows:
    """Results of a series at one moment. Made by `SeriesHistory.ordered`.

    Parameters
    ----------
    table : RESULT_DTYPE [rows]
    regions : ROI_DTYPE [rows, regions], optional
    roi_names : tuple of str
    order : integer [n], optional
        Which of the rows, one after the other; None = all as they are. Columns are put into it one by one, since of a
        long series whole rows would take a fifth of a second.
    """

    def __init__(
        self,
        table: ResultTable,
        regions: NDArray[np.void] | None = None,
        roi_names: tuple[str, ...] = (),
        order: NDArray[np.intp] | None = None,
    ) -> None:
        self._table, self._regions, self.roi_names, self._order = table, regions, roi_names, order

    def __len__(self) -> int:
        return len(self._table) if self._order is None else len(self._order)

    def _of(self, values: NDArray[Any]) -> NDArray[Any]:
        return values if self._order is None else np.asarray(values[self._order])

    @property
    def table(self) -> ResultTable:
        """RESULT_DTYPE [n]"""
        return self._of(self._table)

    @property
    def regions(self) -> NDArray[np.void] | None:
        """ROI_DTYPE [n, regions]; None = there are none"""
        return None if self._regions is None else self._of(self._regions)

    def column(self, name: str) -> NDArray[Any]:
        """[n] of one column"""
        return self._of(self._table[name])

    def region(self, name: str) -> NDArray[np.void] | None:
        """ROI_DTYPE [n] of one; None = there is none of that name."""
        if self._regions is None or name not in self.roi_names:
            return None
        return self._of(self._regions[:, self.roi_names.index(name)])

    def region_column(self, name: str, column: str) -> NDArray[Any]:
        """[n] of a column of a region; KeyError when there is no such region"""
        if self._regions is None or name not in self.roi_names:
            raise KeyError(name)
        return self._of(self._regions[column][:, self.roi_names.index(name)])

    def chosen(self, order: NDArray[np.intp]) -> Rows:
        """Those of some numbers, in the order of these."""
        own = order if self._order is None else self._order[order]
        return Rows(self._table, self._regions, self.roi_names, own)

    def part(self, begin: int, end: int | None = None) -> Rows:
        """Some of them."""
        some = slice(begin, end)
        if self._order is not None:
            return Rows(self._table, self._regions, self.roi_names, self._order[some])
        return Rows(self._table[some], None if self._regions is None else self._regions[some], self.roi_names)


@dataclass(eq=False)
class SeriesHistory:
    """Results of a series. Its method `add` is for one thread, all else for any."""

    key: SeriesKey
    info: Mapping[str, Any] = field(default_factory=dict)
    """what its start tells: geometry, frame_time, grid, user, shape, ..."""
    budget: int = BUDGET
    ended: bool = False
    books: Mapping[str, Any] = field(default_factory=dict)
    """at its end"""

    def __post_init__(self) -> None:
        self._most = max(self.budget // RESULT_DTYPE.itemsize // 2, 1)
        self._table = GrowingRows(RESULT_DTYPE, self._most)
        self._regions: GrowingRows | None = None
        self._now = (0, Rows(self._table.view))
        self._spots: deque[tuple[int, PeakList]] = deque()
        self._spot_bytes = 0
        self._lock = Lock()
        self._sums = SpotSums()
        self.completeness = Completeness()
        self.last: int | None = None
        """number of the image that came last"""
        self.last_hit: int | None = None

    @property
    def sums(self) -> SpotSums:
        """Over all spots that came."""
        return self._sums

    @property
    def now(self) -> tuple[int, Rows]:
        """How many rows came, forgotten ones included, and as `arrived`."""
        return self._now

    @property
    def came(self) -> int:
        """Rows that came, forgotten ones included."""
        return self._now[0]

    @property
    def arrived(self) -> Rows:
        """Rows in the order in which they came: an image that came late is there twice, and its last row counts."""
        return self._now[1]

    def ordered(self) -> Rows:
        """Rows by image number, one of each."""
        now = self.arrived
        numbers = now.column("frame")
        if len(numbers) < 2 or (numbers[1:] > numbers[:-1]).all():
            return now
        order = np.argsort(numbers, kind="stable")
        chosen = order[np.append(numbers[order][1:] != numbers[order][:-1], True)]
        return Rows(now.table, now.regions, now.roi_names, chosen)

    def spots(self, number: int) -> PeakList | None:
        """Of an image; None = they are not remembered."""
        with self._lock:
            held = tuple(self._spots)
        return next((peaks for each, peaks in reversed(held) if each == number), None)

    def add(
        self,
        rows: ResultTable,
        peaks: Sequence[PeakList] = (),
        regions: NDArray[np.void] | None = None,
        roi_names: tuple[str, ...] = (),
    ) -> None:
        """Add results.

        Parameters
        ----------
        rows : RESULT_DTYPE [n]
        peaks : sequence of PeakList, optional
            One for each row.
        regions : ROI_DTYPE [n, regions], optional
        roi_names : tuple of str
        """
        if regions is not None and roi_names != self.arrived.roi_names:
            self._rename(regions.dtype, roi_names)
        names = self.arrived.roi_names
        if self._regions is not None:
            lines = regions
            if lines is None:
                lines = _unknown(self._regions.view.dtype, len(rows), len(names))
            self._regions.append(lines)
        self._table.append(rows)
        for number, some in zip(rows["frame"], peaks):
            self._add_spots(int(number), some)
        self.completeness.add(rows)
        hits = rows["frame"][rows["hit"] == 1]
        if len(rows):
            self.last = int(rows["frame"][-1])
        if len(hits):
            self.last_hit = int(hits[-1])
        held = Rows(self._table.view, None if self._regions is None else self._regions.view, names)
        self._now = (self.came + len(rows), held)

    def _add_spots(self, number: int, peaks: PeakList) -> None:
        self._sums.add(peaks, self.info.get("shape"))
        with self._lock:
            self._spots.append((number, peaks))
            self._spot_bytes += peaks.nbytes + 256
            while self._spot_bytes > SPOT_BUDGET:
                _, oldest = self._spots.popleft()
                self._spot_bytes -= oldest.nbytes + 256

    def _rename(self, dtype: np.dtype[Any], names: tuple[str, ...]) -> None:
        """Other regions from now on: those that go on keep their rows. Tables and regions have the same rows always."""
        now = self.arrived
        self._most = max(min(self._most, self.budget // (RESULT_DTYPE.itemsize + dtype.itemsize * len(names)) // 2), 1)
        table = now.table[-self._most :]
        lines = _unknown(dtype, len(table), len(names))
        for column, name in enumerate(names):
            before = now.region(name)
            if before is not None and len(table):
                lines[:, column] = before[-len(table) :]
        self._table = GrowingRows(RESULT_DTYPE, self._most)
        self._regions = GrowingRows(dtype, self._most, len(names))
        self._table.append(table)
        self._regions.append(lines)
        self._now = (self.came, Rows(self._table.view, self._regions.view, names))


def _unknown(dtype: np.dtype[Any], n: int, width: int) -> NDArray[np.void]:
    """Sums of regions that were not there."""
    rows = np.zeros((n, width), dtype)
    for name in dtype.names or ():
        if dtype[name].kind == "f":
            rows[name] = np.nan
    return rows


class History:
    """Memory of the web process. Fed by one thread, read by any.

    Examples
    --------
    >>> from crystint.online.history import History
    >>> from crystint.online.result import empty_results
    >>> from crystint.stream.messages import SeriesKey
    >>> history = History()
    >>> history.begin(SeriesKey(7, "a"), {})
    >>> history.add(SeriesKey(7, "a"), empty_results(3))
    >>> history.current.ordered().table["frame"].tolist()
    [0, 1, 2]
    """

    def __init__(self) -> None:
        self.current: SeriesHistory | None = None
        self.previous: SeriesHistory | None = None
        self.files: dict[str, SeriesHistory] = {}
        """finished files that were opened, by their keys"""
        self.events: deque[Event] = deque(maxlen=EVENTS)
        self.results = 0
        """rows that came"""
        self.lost = 0
        """messages of results that did not arrive"""
        self.trouble = ""
        """what could not be read last"""
        self._forgotten: deque[SeriesKey] = deque(maxlen=_FORGOTTEN)
        self._followers: list[Callable[[], None]] = []
        self._lock = Lock()

    def series(self, name: str | None = None) -> SeriesHistory | None:
        """By name, `str` of its key; None = the current one, and where no stream told one the file opened last."""
        files = self.files
        if name in files or (name is None and self.current is None and files):
            return files[name or next(reversed(files))]
        for each in (self.current, self.previous):
            if each is not None and (name is None or name in (str(each.key), str(each.key.id))):
                return each
        return None

    def _of(self, key: SeriesKey) -> SeriesHistory | None:
        return next((each for each in (self.current, self.previous) if each is not None and each.key == key), None)

    def begin(self, key: SeriesKey, info: Mapping[str, Any]) -> None:
        """A series starts, or its start is told once more. One that was forgotten does not come back: its last rows, of
        images that never came, are told when two others have begun."""
        own = self._of(key)
        if own is not None:
            own.info = {**own.info, **info}
            return
        if key in self._forgotten:
            return
        if self.previous is not None:
            self._forgotten.append(self.previous.key)
        self.previous, self.current = self.current, SeriesHistory(key, dict(info))
        self.wake()

    def add(
        self,
        key: SeriesKey,
        rows: ResultTable,
        peaks: Sequence[PeakList] = (),
        regions: NDArray[np.void] | None = None,
        roi_names: tuple[str, ...] = (),
    ) -> None:
        """Results of a series, as `SeriesHistory.add`; one that is not remembered begins with them."""
        if self._of(key) is None:
            self.begin(key, {})
        own = self._of(key)
        if own is None:
            return
        own.add(rows, peaks, regions, roi_names)
        self.results += len(rows)
        self.wake()

    def end(self, key: SeriesKey, books: Mapping[str, Any]) -> None:
        """A series is final."""
        own = self._of(key)
        if own is not None:
            own.ended, own.books = True, dict(books)
            self.wake()

    def event(self, event: Event) -> None:
        """Something happened; one that is remembered already is left out."""
        with self._lock:
            if self.events and (event.number, event.time) == (self.events[-1].number, self.events[-1].time):
                return
            self.events.append(event)
        self.wake()

    def events_after(self, number: int, time: int | None = None) -> list[Event]:
        """Events that a reader has not seen, by what its last one was.

        Where the service began anew since, its numbers did as well: then all later ones.
        """
        with self._lock:
            events = list(self.events)
        if not events:
            return []
        restarted = number > events[-1].number
        if time is not None:
            same = [each for each in events if each.number == number]
            restarted = restarted or bool(same and same[0].time != time)
        if restarted:
            return [each for each in events if time is None or each.time > time]
        return [each for each in events if each.number > number]

    def follow(self, callback: Callable[[], None]) -> Callable[[], None]:
        """Call `callback` after every change, from the thread that feeds; the result ends that."""
        with self._lock:
            self._followers = [*self._followers, callback]

        def leave() -> None:
            with self._lock:
                self._followers = [each for each in self._followers if each is not callback]

        return leave

    def wake(self) -> None:
        """Call all that follow."""
        for callback in self._followers:
            callback()

    def remember(self, events: Iterable[Mapping[str, Any]]) -> None:
        """Earlier events, as `crystint.online.control.Control.events` gives them."""
        earlier = [Event(str(each["name"]), each["data"], int(each["time"]), int(each["number"])) for each in events]
        with self._lock:
            every = {(each.time, each.number): each for each in [*earlier, *self.events]}
            self.events = deque((every[key] for key in sorted(every)), maxlen=EVENTS)
        self.wake()
