"""What the receiver does with each message: the series it belongs to, the books, the work. No sockets, no threads."""

from __future__ import annotations

import time
from collections import OrderedDict, deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from threading import Thread
from typing import Any, Protocol

from imagecodecs import deflate_adler32, deflate_crc32

from crystint.errors import StreamError
from crystint.model.frame_table import FrameStatus
from crystint.online.result import Result, empty_results
from crystint.online.series import GRACE, MOST_NUMBERS, Series
from crystint.online.state import StateMachine
from crystint.online.work_queue import Work, WorkQueue
from crystint.stream.messages import DamagedImage, End, Image, Message, SeriesKey, Start

__all__ = ["MOST_LIVE", "Counts", "Follower", "Intake", "plain_result"]

MOST_LIVE = 4
"""series that are open at once; one more closes the oldest"""
_MOST_CLOSED = 100
_HOLD = 30.0
_TICK = 0.25

_ROW = empty_results(1)


def plain_result(series: SeriesKey, number: int, status: FrameStatus, received: int = -1, error: str = "") -> Result:
    """The result of an image that was not looked at.

    Parameters
    ----------
    series : SeriesKey
    number : int
        Of the image.
    status : FrameStatus
    received : int
        ns since 1970-01-01 UTC; -1 = it did not come.
    error : str
    """
    row = _ROW.copy()
    row["frame"], row["status"], row["t_received"] = number, status, received
    return Result(series, row, error=error)


class Follower(Protocol):
    """What the service does when something comes. Called by the thread of the receiver: nothing here may wait, or take
    longer than some tens of microseconds."""

    def begun(self, series: Series) -> None:
        """A series starts: its name, folder, geometry, user, describe and context are put in."""

    def image(self, series: Series, image: Image, received: int) -> None:
        """An image came, the first one of its number, and it fits: for those who want raw images."""

    def result(self, series: Series, result: Result) -> None:
        """An image that came is not looked at: skipped or failed. It goes to `Order.put` as results of workers do."""

    def final(self, series: Series) -> None:
        """Nothing is taken any more. It goes to `Order.close`."""

    def warning(self, text: str) -> None:
        """Something that the user must know."""

    def assumed_start(self, image: Image) -> Start | None:
        """For images whose start never came: a start that stands for it; None = they are only counted."""


@dataclass
class Counts:
    """What came in all, since the service began. May be read from any thread."""

    messages: int = 0
    bytes: int = 0
    damaged: int = 0
    """messages that could not be read"""
    orphans: int = 0
    """images whose start never came"""
    stray_ends: int = 0
    """ends of a series that never started"""
    others: int = 0
    """messages of other types"""
    last: int = 0
    """ns since 1970-01-01 UTC, of the last message"""


@dataclass
class _Held:
    """Images that came before their start."""

    since: float
    heard: float
    images: list[tuple[Image, int]] = field(default_factory=list)
    bytes: int = 0
    beyond: list[tuple[int, int, int]] = field(default_factory=list)
    """number, hash and time of those that there was no room for"""
    end: End | None = None


class Intake:
    """Takes messages one after the other.

    All methods are called from one thread, that of the receiver; attributes may be read from any.

    Parameters
    ----------
    read : callable
        Makes a message of its parts, as `crystint.stream.read_message`.
    queue : WorkQueue
        Takes what is to be looked at.
    follower : Follower
        Of the service.
    clock : callable
        s, never goes back.
    grace : float
        s that a series is kept open for what is still under way when its end came.
    resume : Start, optional
        Of the series that was measured when the service stopped: its images are taken without a new start.
    dropped : callable, optional
        Asks the detector how many images it threw away; runs in a thread of its own, when a series is final.
    """

    def __init__(
        self,
        read: Callable[[Sequence[Any]], Message],
        queue: WorkQueue,
        follower: Follower,
        *,
        clock: Callable[[], float] = time.monotonic,
        grace: float = GRACE,
        resume: Start | None = None,
        dropped: Callable[[], int | None] | None = None,
    ) -> None:
        self.queue, self.follower, self.clock, self.resume = queue, follower, clock, resume
        self.read, self.dropped, self.grace = read, dropped, grace
        self.state = StateMachine()
        self.counts = Counts()
        self.armed = False
        """the service waits for the next start, as it was asked to"""
        self.live: dict[SeriesKey, Series] = {}
        self.closed: deque[Series] = deque(maxlen=_MOST_CLOSED)
        """final, the newest last"""
        self._closed: OrderedDict[SeriesKey, Series] = OrderedDict()
        self._held: dict[SeriesKey, _Held] = {}
        self._last: Series | None = None
        self._error = ""
        self._warned, self._silenced = -1.0, 0

    @property
    def current(self) -> Series | None:
        """The series that began last, and is not final."""
        return self._last if self._last is not None and not self._last.final else None

    @property
    def quiet(self) -> bool:
        """Whether no series is open, and the outputs of all are closed: idle, or an error after the last of them."""
        return not self.live and all(series.settled for series in list(self.closed))

    @property
    def held(self) -> int:
        """Bytes of images that wait for their start."""
        return sum(each.bytes for each in list(self._held.values()))

    def message(self, parts: Sequence[Any], received: int) -> Message | None:
        """Take a message.

        Parameters
        ----------
        parts : sequence of buffers
            As they came. Images keep them.
        received : int
            ns since 1970-01-01 UTC.

        Returns
        -------
        Message or None
            None = it could not be read.
        """
        counts = self.counts
        counts.messages += 1
        counts.last = received
        try:
            message = self.read(parts)
        except DamagedImage as error:
            self._damaged_image(error, received)
            return None
        except StreamError as error:
            self._damaged(str(error))
            return None
        if isinstance(message, Image):
            counts.bytes += message.size
            self._image(message, received)
        elif isinstance(message, Start):
            self._start(message)
        elif isinstance(message, End):
            self._end(message)
        else:
            counts.others += 1
        return message

    def results(self, key: SeriesKey, results: Iterable[Result]) -> int:
        """Take results of a node in place of its images; of how many images they are the first."""
        series = self.live.get(key)
        if series is None:
            closed = self._closed.get(key)
            if closed is not None:
                closed.foreign += sum(1 for _ in results)
            return 0
        new = 0
        for result in results:
            if self._is_new(series, result.number, 0):
                self.follower.result(series, result)
                new += 1
        self._completed(series)
        return new

    def close(self, key: SeriesKey, reason: str) -> None:
        """Make a series final, if it is open."""
        series = self.live.get(key)
        if series is not None:
            self._finish(series, reason)
            self._review(self.clock())

    def tick(self) -> float:
        """Do what is due, and tell in how many s to come again at the latest."""
        now = self.clock()
        for series in list(self.live.values()):
            reason = self._due(series, now)
            if reason:
                self._finish(series, reason)
        for key, held in list(self._held.items()):
            self._review_held(key, held, now)
        self._review(now)
        return _TICK if self.live or self._held or self.state.now.name != "idle" else 60.0

    def arm(self, reason: str = "asked for") -> None:
        """Wait for the next start."""
        self.armed = True
        self._error = ""
        self._review(self.clock(), reason)

    def stop(self) -> list[Series]:
        """Let what is open become final when all that is under way has come; which series these are."""
        self.armed = False
        now = self.clock()
        for series in self.live.values():
            if series.superseded is None:
                series.superseded = now
        self.tick()
        return list(self.live.values())

    def abort(self, reason: str = "aborted") -> list[Series]:
        """Make all that is open final now; which series these were. What comes of them from now on is foreign."""
        self.armed = False
        aborted = list(self.live.values())
        for series in aborted:
            self._finish(series, reason)
        self._review(self.clock())
        return aborted

    def fail(self, reason: str) -> None:
        """Come to the state of error: messages are taken on, and the next start clears it."""
        self._error = reason
        self._review(self.clock())

    def clear_error(self) -> None:
        """From error to what it would be without."""
        self._error = ""
        self._review(self.clock())

    def _start(self, start: Start) -> None:
        now = self.clock()
        series = self.live.get(start.series)
        if series is not None:
            series.heard = now
            same = series.start.message == start.message
            if series.ended is None and (same or not len(series.numbers)):
                series.second_starts += 1
                if not same:
                    series.restarted(start)
                return
            self._finish(series, "the same series started anew")
        self._begin(start)

    def _begin(self, start: Start, *, resumed: bool = False, assumed: bool = False) -> Series:
        now, key = self.clock(), start.series
        series = Series(start, now, resumed=resumed, assumed=assumed, grace=self.grace)
        for other in self.live.values():
            if other.superseded is None:
                other.superseded = now
        while len(self.live) >= MOST_LIVE:
            self._finish(next(iter(self.live.values())), f"{MOST_LIVE} series were open and one more began")
        self.resume = None
        self._closed.pop(key, None)
        self.live[key] = self._last = series
        self.armed, self._error = False, ""
        self.follower.begun(series)
        self._review(now, f"series {key} began")
        held = self._held.pop(key, None)
        if held is not None:
            for image, received in held.images:
                self._image(image, received)
            for number, hashed, received in held.beyond:
                if self._is_new(series, number, hashed):
                    self.follower.result(series, plain_result(key, number, FrameStatus.SKIPPED, received))
            if held.end is not None:
                self._end(held.end)
        return series

    def _image(self, image: Image, received: int) -> None:
        series = self.live.get(image.series) or self._of_unknown(image, received)
        if series is None:
            return
        if not self._is_new(series, image.number, _hashed(image)):
            return
        error = _unfit(series, image)
        if error:
            self._failed(series, image.number, received, error)
        else:
            if image.warning:
                self._warn(f"series {series.key}: {image.warning}")
            self.follower.image(series, image, received)
            self._look_at(series, image, received)
        self._completed(series)

    def _damaged_image(self, error: DamagedImage, received: int) -> None:
        """An image with a number, and no frame."""
        series = self.live.get(error.series)
        if series is not None:
            if self._is_new(series, error.number, 0):
                self._failed(series, error.number, received, str(error))
                self._completed(series)
        elif (closed := self._closed.get(error.series)) is not None:
            closed.foreign += 1
        else:
            self._damaged(str(error))

    def _is_new(self, series: Series, number: int, hashed: int) -> bool:
        """Count an image that came; whether it is the first of its number."""
        if not 0 <= number < MOST_NUMBERS:
            self._damaged(f"an image of series {series.key} has the number {number}")
            return False
        series.heard = self.clock()
        if not series.add(number, hashed):
            return False
        if series.phase == "arming":
            series.phase = "measuring"
            self._review(series.heard, f"image {number} of series {series.key}")
        return True

    def _failed(self, series: Series, number: int, received: int, error: str) -> None:
        self.follower.result(series, plain_result(series.key, number, FrameStatus.FAILED, received, error))
        self._warn(error)

    def _completed(self, series: Series) -> None:
        if series.ended is not None and series.whole:
            self._finish(series, "complete")

    def _look_at(self, series: Series, image: Image, received: int) -> None:
        for skipped in self.queue.put(Work(series, image, received)):
            self.follower.result(
                skipped.series,
                plain_result(skipped.series.key, skipped.image.number, FrameStatus.SKIPPED, skipped.received),
            )

    def _of_unknown(self, image: Image, received: int) -> Series | None:
        """The series of an image that no live one has."""
        key = image.series
        closed = self._closed.get(key)
        if closed is not None:
            closed.foreign += 1
            return None
        now = self.clock()
        if self.resume is not None and self.resume.series == key:
            return self._begin(self.resume, resumed=True)
        held = self._held.get(key)
        if held is None:
            while len(self._held) >= MOST_LIVE:
                self._drop_held(next(iter(self._held)))
            held = self._held[key] = _Held(now, now)
        held.heard = now
        if self.queue.room(self.held + image.size):
            held.images.append((image, received))
            held.bytes += image.size + self.queue.overhead
        elif len(held.beyond) < 100_000 and 0 <= image.number < MOST_NUMBERS:
            held.beyond.append((image.number, _hashed(image), received))
        else:
            self.counts.orphans += 1
        return None

    def _end(self, end: End) -> None:
        key, now = end.series, self.clock()
        series = self.live.get(key)
        if series is not None:
            series.heard = now
            if series.ended is not None:
                series.second_ends += 1
                return
            series.ended, series.phase = now, "finishing"
            if series.whole:
                self._finish(series, "complete")
            self._review(now, f"end of series {key}")
            return
        closed = self._closed.get(key)
        if closed is not None:
            if closed.ended is not None:
                closed.second_ends += 1
            else:
                closed.ended = now
            return
        if self.resume is not None and self.resume.series == key:
            self._begin(self.resume, resumed=True)
            self._end(end)
            return
        held = self._held.get(key)
        if held is not None and held.end is None:
            held.end = end
        else:
            self.counts.stray_ends += 1

    def _due(self, series: Series, now: float) -> str:
        """Why a series is to become final now; empty = it is not."""
        quiet = now - series.heard
        if series.ended is not None:
            if series.whole:
                return "complete"
            return "its end came" if quiet >= self.grace else ""
        if quiet >= series.silence:
            if series.whole:
                return "complete, without an end message"
            if series.superseded is not None:
                return "silent, without an end message"
        return ""

    def _finish(self, series: Series, reason: str) -> None:
        self.live.pop(series.key, None)
        series.finish(reason)
        self._closed[series.key] = series
        self._closed.move_to_end(series.key)
        while len(self._closed) > _MOST_CLOSED:
            self._closed.popitem(last=False)
        self.closed.append(series)
        if self.dropped is not None:
            series.asking = True
            Thread(target=_ask, args=(series, self.dropped), name="dropped images", daemon=True).start()
        self.follower.final(series)

    def _review_held(self, key: SeriesKey, held: _Held, now: float) -> None:
        if now - held.since >= self.grace and held.images:
            start = self.follower.assumed_start(held.images[0][0])
            if start is not None:
                self._begin(start, assumed=True)
                return
        if now - held.heard >= (self.grace if held.end is not None else _HOLD):
            self._drop_held(key)

    def _drop_held(self, key: SeriesKey) -> None:
        held = self._held.pop(key)
        lost = len(held.images) + len(held.beyond)
        self.counts.orphans += lost
        self.counts.stray_ends += held.end is not None
        self._warn(f"{lost} images of series {key}, whose start never came, were not looked at")

    def _damaged(self, text: str) -> None:
        self.counts.damaged += 1
        if self._last is not None:
            self._last.damaged += 1
        self._warn(text)

    def _warn(self, text: str) -> None:
        """Tell it; of what happens within a second the first alone, and how many more there were."""
        now = self.clock()
        if now - self._warned < 1.0:
            self._silenced += 1
            return
        more = f" ({self._silenced} more before it)" if self._silenced else ""
        self._warned, self._silenced = now, 0
        self.follower.warning(text + more)

    def _review(self, now: float, reason: str = "") -> None:
        """Come to the state that the series say."""
        series = self.current
        if self._error:
            self.state.to("error", self._error)
        elif series is not None and series.phase in ("arming", "measuring"):
            stalled = series.phase == "measuring" and now - series.heard >= series.patience
            self.state.to(
                "arming" if series.phase == "arming" else "measuring",
                reason or ("nothing came for a while" if stalled else "images come again"),
                stalled=stalled,
            )
        elif self.armed:
            self.state.to("arming", reason or "asked for")
        elif not self.quiet:
            self.state.to("finishing", reason or (series.reason if series is not None else ""))
        else:
            self.state.to("idle", reason or "all is written")


def _ask(series: Series, dropped: Callable[[], int | None]) -> None:
    """Let the detector say how many images it threw away."""
    try:
        series.dropped = dropped()
    finally:
        series.asking = False


def _hashed(image: Image) -> int:
    """64 bits made of the packed pixels; never 0. CRC-32 and Adler-32 together: 0.05 ms for 1.6 MB."""
    crc, adler = 0, 1
    for frame in image.frames.values():
        data: Any = frame.data
        crc, adler = deflate_crc32(data, crc), deflate_adler32(data, adler)
    return (crc << 32 | adler) or 1


def _unfit(series: Series, image: Image) -> str:
    """What of an image does not fit its series; empty = all does."""
    shape = series.start.shape
    for channel, frame in image.frames.items():
        if frame.shape != shape:
            return f"image {image.number}, channel {channel}: {frame.shape}, the start says {shape} (slow, fast)"
    return "" if image.frames else f"image {image.number} has no frame"
