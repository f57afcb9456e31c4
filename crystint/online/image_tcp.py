"""Sends the images of a stream over TCP to programs that write them, and keeps each until one of them has it."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Literal

from crystint.errors import StreamError
from crystint.online.queued_sink import Tell
from crystint.online.sink import Event, Run, Sink
from crystint.online.tcp_hub import Hub
from crystint.online.tcp_peer import Peer
from crystint.online.tcp_series import SentSeries, image_payload
from crystint.stream.messages import Image
from crystint.stream.tcp import Kind

__all__ = ["ImageTcp"]

_REMEMBERED = 20
"""series that are final, in the status"""
_LAST_WORDS = 30.0
"""s that `close` waits for writers"""


class ImageTcp(Sink):
    """Sends raw images to up to 32 writers, each image to one of them.

    A writer has at most `window` bytes that it has not acknowledged. One that is silent for longer than `liveness`, or
    takes nothing for longer than `max_backpressure` although it says that it lives, is dead: what it has not
    acknowledged goes to the others, or is counted as lost when there are none.

    Parameters
    ----------
    address : str
        "127.0.0.1:5604" or "tcp://127.0.0.1:5604"; port 0 = the system chooses.
    writers : int
        How many there must be when a series is asked for.
    window : int
        Bytes.
    memory : int
        Bytes of images that may wait, with those that are not acknowledged.
    liveness, max_backpressure : float
        s.
    when_full : "skip" or "wait"
        Whether `full` ever says that images should wait.
    tell : callable, optional
        Takes events.

    Raises
    ------
    SettingError
        When nothing can be bound at the address.

    Examples
    --------
    >>> from crystint.online.image_tcp import ImageTcp
    >>> sender = ImageTcp("127.0.0.1:0", writers=1)
    >>> sender.refusal()
    '0 writers are connected, 1 was asked for'
    >>> sender.close()
    """

    def __init__(
        self,
        address: str,
        *,
        writers: int = 1,
        window: int = 256 * 10**6,
        memory: int = 1 << 30,
        liveness: float = 5.0,
        max_backpressure: float = 60.0,
        when_full: Literal["skip", "wait"] = "skip",
        tell: Tell | None = None,
    ) -> None:
        super().__init__()
        self.name = "image_tcp"
        self._writers, self._window, self._memory = writers, window, memory
        self._liveness, self._when_full = liveness, when_full
        self._tell_event = tell
        self._lock = threading.Lock()
        self._jobs: deque[tuple[str, Run, Image | None]] = deque()
        self._bytes = 0
        self._skipped: dict[int, int] = {}
        self._series: dict[int, SentSeries] = {}
        self._count = 0
        self._past: deque[dict[str, Any]] = deque(maxlen=_REMEMBERED)
        self._lonely: float | None = time.monotonic()
        self._closing: float | None = None
        self._error = ""
        self._hub = Hub(address, liveness, max_backpressure, self)
        self._thread = threading.Thread(target=self._run, name="crystint image_tcp", daemon=True)
        self._thread.start()  # a daemon: a writer that never answers must not keep a process that ends

    @property
    def address(self) -> str:
        """Where it is bound, with the port that the system chose; empty = it is closed."""
        return self._hub.address or ""

    @property
    def full(self) -> bool:
        """Whether there is no room for another image, and images should wait."""
        return self._when_full == "wait" and self._bytes >= self._memory

    def refusal(self) -> str:
        """As `Sink`: fewer writers are there than were asked for."""
        there = len(self._hub.ready)
        if there >= self._writers:
            return ""
        return f"{there} writers are connected, {self._writers} {'was' if self._writers == 1 else 'were'} asked for"

    # ------------------------------------------------------------------------------------------ what the service calls

    def begin(self, run: Run) -> None:
        """As `Sink`."""
        self._put("begin", run)

    def image(self, run: Run, image: Image) -> None:
        """As `Sink`. What there is no room for is skipped and counted."""
        with self._lock:
            room = not self._bytes or self._bytes + image.size <= self._memory
            if room:
                self._bytes += image.size
            else:
                self._skipped[id(run)] = self._skipped.get(id(run), 0) + 1
        if room:
            self._put("image", run, image)

    def end(self, run: Run) -> None:
        """As `Sink`."""
        self._put("end", run)

    def busy(self, run: Run) -> bool:
        """As `Sink`: whether images of a series are not safe yet."""
        waiting = any(job[1] is run for job in list(self._jobs))
        return waiting or any(series.run is run for series in list(self._series.values()))

    def close(self) -> None:
        """As `Sink`: what waits is sent, for half a minute at most."""
        if self._closing is not None:
            return
        self._closing = time.monotonic() + _LAST_WORDS
        self._hub.wake()
        self._thread.join(_LAST_WORDS + 10.0)
        if not self._thread.is_alive():
            self._hub.forget()

    def status(self) -> Mapping[str, Any]:
        """As `Sink`: writers with their books, series with theirs."""
        return {
            "address": self._hub.address,
            "queued_bytes": self._bytes,
            "error": self._error or None,
            "writers": [peer.books() for peer in self._hub.ready],
            "writers_gone": list(self._hub.gone),
            "strangers": self._hub.strangers,
            "last_stranger": self._hub.last_stranger or None,
            "series": [*self._past, *(self._books(each) for each in list(self._series.values()))],
        }

    # ------------------------------------------------------------------------------------------ its thread

    def _put(self, what: str, run: Run, image: Image | None = None) -> None:
        self._jobs.append((what, run, image))
        self._hub.wake()

    def _books(self, series: SentSeries) -> dict[str, Any]:
        skipped = self._skipped.get(id(series.run), 0)
        return {"series": str(series.run.key), "final": series.final, **series.books(), "skipped": skipped}

    def _run(self) -> None:
        try:
            while not self._finished():
                self._hub.turn()
                self._step()
        except Exception as error:
            self._error = f"{type(error).__name__}: {error}"
            self.say("alarm", f"images are not sent any more: {self._error}")
        finally:
            self._hub.close()
            for series in list(self._series.values()):
                self._lose(series, list(series.pending))
                series.final = True
                self._past.append(self._books(series))
            self._series.clear()

    def _finished(self) -> bool:
        if self._closing is None:
            return False
        return time.monotonic() > self._closing or not (self._series or self._jobs)

    def welcome(self, peer: Peer) -> None:
        """As `Hub` calls it: tell a writer of what runs."""
        for series in self._series.values():
            if series.begun and not series.end_sent:
                peer.put(Kind.START, series.number, series.start_payload(peer.index, peer.of))

    def handed_back(self, number: int, images: list[Image]) -> bool:
        """As `Hub` calls it: images of a dead writer wait for another."""
        series = self._series.get(number)
        if series is not None:
            series.handed_on += len(images)
            series.pending.extendleft(reversed(images))
        return series is not None

    def say(self, name: str, text: str, series: SentSeries | None = None) -> None:
        """Tell the user."""
        if self._tell_event is not None:
            about = {} if series is None else {"series": str(series.run.key)}
            with suppress(Exception):  # who is told must not stop the images
                self._tell_event(Event(name, {"sink": self.name, "text": text, **about}, time.time_ns()))

    def acknowledged(self, peer: Peer, kind: Kind, number: int, image: Any) -> None:
        """As `Hub` calls it."""
        series = self._series.get(number)
        if series is None:
            return
        if kind == Kind.IMAGE:
            series.acknowledged += 1
            self._free(image.size)
        elif kind == Kind.END:
            series.enders.discard(peer)

    def _free(self, size: int) -> None:
        with self._lock:
            self._bytes -= size

    def _step(self) -> None:
        while self._jobs:
            what, run, image = self._jobs[0]
            series = self._of(run)
            self._jobs.popleft()  # not before: `busy` looks for it in either
            if image is not None:
                series.taken += 1
                series.pending.append(image)
            elif what == "begin":
                self._begin(series)
            else:
                series.ended = True
        now = time.monotonic()
        ready = self._hub.ready
        self._lonely = None if ready else now if self._lonely is None else self._lonely
        for series in list(self._series.values()):
            self._send(series, ready)
            if series.ended or self._closing is not None:
                self._end(series, ready, now)
        self._hub.write()

    def _of(self, run: Run) -> SentSeries:
        """The series of a run: its first images may come before it begins."""
        for series in self._series.values():
            if series.run is run:
                return series
        self._count += 1
        series = self._series[self._count] = SentSeries(run, self._count)
        return series

    def _begin(self, series: SentSeries) -> None:
        """Tell the writers of it: its name is settled."""
        try:
            for peer in self._hub.ready:
                peer.put(Kind.START, series.number, series.start_payload(peer.index, peer.of))
            series.begun = True
        except StreamError as error:
            self.say("alarm", f"the images of series {series.run.key} are not sent: {error}", series)
        refusal = self.refusal()
        if refusal:
            self.say("alarm", f"images are sent to writers, but {refusal}", series)

    def _send(self, series: SentSeries, ready: list[Peer]) -> None:
        """Give images to writers that have room for them."""
        pending = series.pending
        while pending and series.begun:
            image = pending[0]
            room = [peer for peer in ready if peer.bytes == 0 or peer.bytes + image.size <= self._window]
            if not room:
                return
            wanted = [peer for peer in room if image.number % peer.of == peer.index]
            peer = min(wanted or room, key=lambda each: each.bytes)
            pending.popleft()
            try:
                peer.put(Kind.IMAGE, series.number, image_payload(image), image)
            except (StreamError, TypeError) as error:
                self._lose(series, [image])
                self.say("alarm", f"image {image.number} cannot be sent: {error}", series)

    def _end(self, series: SentSeries, ready: list[Peer], now: float) -> None:
        """Close the books when every image is safe, or nobody is there to take it."""
        lonely = self._lonely is not None and now - self._lonely >= self._liveness
        if series.pending and (lonely or not series.begun):
            self._lose(series, list(series.pending))
            series.pending.clear()
        if series.waiting:
            return
        if not series.end_sent:
            series.end_sent = True
            for peer in ready if series.begun else []:
                peer.put(Kind.END, series.number, series.end_payload())
                series.enders.add(peer)
        series.enders &= set(ready)
        if not series.enders:
            series.final = True
            del self._series[series.number]
            self._past.append(self._books(series))
            self._skipped.pop(id(series.run), None)

    def _lose(self, series: SentSeries, images: list[Image]) -> None:
        if images:
            self._free(series.lose(images))
            self.say("alarm", f"{len(images)} images of series {series.run.key} were written by nobody", series)
