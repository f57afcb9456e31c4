"""Sends the images of a stream over TCP to programs that write them, and keeps each until one of them has it."""

from __future__ import annotations

import os
import selectors
import socket
import threading
import time
from collections import deque
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Literal

from crystint.errors import SettingError, StreamError
from crystint.online.queued_sink import Tell
from crystint.online.sink import Event, Run, Sink
from crystint.online.tcp_peer import MOST_WRITERS, Peer, PeerDied
from crystint.online.tcp_series import SentSeries, image_payload
from crystint.stream.messages import Image
from crystint.stream.tcp import BEAT, Kind

__all__ = ["ImageTcp", "host_and_port"]

_REMEMBERED = 20
"""series and writers that are gone, in the status"""
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
        self._liveness, self._patience, self._when_full = liveness, max_backpressure, when_full
        self._tell_event = tell
        self._lock = threading.Lock()
        self._jobs: deque[tuple[str, Run, Image | None]] = deque()
        self._bytes = 0
        self._skipped: dict[int, int] = {}
        self._series: dict[int, SentSeries] = {}
        self._count = 0
        self._past: deque[dict[str, Any]] = deque(maxlen=_REMEMBERED)
        self._peers: list[Peer] = []
        self._gone: deque[dict[str, Any]] = deque(maxlen=_REMEMBERED)
        self._strangers, self._stranger = 0, ""
        self._lonely: float | None = time.monotonic()
        self._closing: float | None = None
        self._error = ""
        self._server = _bound(address)
        self._wake = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._server, selectors.EVENT_READ)
        self._selector.register(self._wake, selectors.EVENT_READ)
        self._thread = threading.Thread(target=self._run, name="crystint image_tcp", daemon=True)
        self._thread.start()  # a daemon: a writer that never answers must not keep a process that ends

    @property
    def address(self) -> str:
        """Where it is bound, with the port that the system chose."""
        host, port = self._server.getsockname()[:2]
        return f"tcp://{host}:{port}"

    @property
    def full(self) -> bool:
        """Whether there is no room for another image, and images should wait."""
        return self._when_full == "wait" and self._bytes >= self._memory

    def refusal(self) -> str:
        """As `Sink`: fewer writers are there than were asked for."""
        there = len(self._ready())
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
        self._ring()
        self._thread.join(_LAST_WORDS + 10.0)
        if not self._thread.is_alive():
            os.close(self._wake)

    def status(self) -> Mapping[str, Any]:
        """As `Sink`: writers with their books, series with theirs."""
        return {
            "address": self.address if self._server.fileno() >= 0 else None,
            "queued_bytes": self._bytes,
            "error": self._error or None,
            "writers": [peer.books() for peer in self._ready()],
            "writers_gone": list(self._gone),
            "strangers": self._strangers,
            "last_stranger": self._stranger or None,
            "series": [*self._past, *(self._books(each) for each in list(self._series.values()))],
        }

    # ------------------------------------------------------------------------------------------ its thread

    def _put(self, what: str, run: Run, image: Image | None = None) -> None:
        self._jobs.append((what, run, image))
        self._ring()

    def _ring(self) -> None:
        with suppress(BlockingIOError, OSError):
            os.eventfd_write(self._wake, 1)

    def _ready(self) -> list[Peer]:
        return [peer for peer in list(self._peers) if peer.name]

    def _books(self, series: SentSeries) -> dict[str, Any]:
        skipped = self._skipped.get(id(series.run), 0)
        return {"series": str(series.run.key), "final": series.final, **series.books(), "skipped": skipped}

    def _say(self, name: str, series: SentSeries | None, text: str) -> None:
        if self._tell_event is not None:
            about = {} if series is None else {"series": str(series.run.key)}
            with suppress(Exception):  # who is told must not stop the images
                self._tell_event(Event(name, {"sink": self.name, "text": text, **about}, time.time_ns()))

    def _run(self) -> None:
        try:
            while not self._finished():
                for key, _ in self._selector.select(self._pause()):
                    self._ready_for(key)
                with suppress(BlockingIOError):
                    os.eventfd_read(self._wake)
                self._step()
        except Exception as error:
            self._error = f"{type(error).__name__}: {error}"
            self._say("alarm", None, f"images are not sent any more: {self._error}")
        finally:
            for peer in list(self._peers):
                self._dead(peer, "the service ends")
            for series in list(self._series.values()):
                self._lose(series, list(series.pending))
                series.final = True
                self._past.append(self._books(series))
            self._series.clear()
            self._selector.close()
            self._server.close()

    def _finished(self) -> bool:
        if self._closing is None:
            return False
        return time.monotonic() > self._closing or not (self._series or self._jobs)

    def _pause(self) -> float:
        return min(BEAT, self._liveness / 4)

    def _ready_for(self, key: selectors.SelectorKey) -> None:
        now = time.monotonic()
        if key.fileobj is self._server:
            with suppress(OSError):  # it has gone already
                connection, address = self._server.accept()
                connection.setblocking(False)
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                peer = Peer(connection, f"{address[0]}:{address[1]}", now)
                self._peers.append(peer)
                self._selector.register(connection, selectors.EVENT_READ, peer)
                if len(self._peers) > MOST_WRITERS:
                    self._refuse(peer, f"there are {MOST_WRITERS} writers already")
        elif isinstance(key.data, Peer) and key.data in self._peers:
            peer, greeted = key.data, bool(key.data.name)
            try:
                acknowledged = peer.read(now)
            except PeerDied as error:
                if peer.name:
                    self._dead(peer, str(error))
                else:
                    self._refuse(peer, str(error))
                return
            for kind, number, image in acknowledged:
                self._acknowledged(peer, kind, number, image)
            if peer.name and not greeted:
                self._welcome(peer)

    def _welcome(self, peer: Peer) -> None:
        """A writer has told its name."""
        for other in [other for other in self._ready() if other.name == peer.name and other is not peer]:
            self._dead(other, "it connected anew")
        for series in self._series.values():
            if series.begun and not series.end_sent:
                peer.put(Kind.START, series.number, series.start_payload(peer.index, peer.of))

    def _refuse(self, peer: Peer, reason: str) -> None:
        peer.say(Kind.REFUSE, {"reason": reason})
        with suppress(PeerDied):
            peer.write(time.monotonic())
        self._strangers += 1
        self._stranger = f"{peer.address}: {reason}"
        self._let_go(peer, "refused", reason)

    def _acknowledged(self, peer: Peer, kind: Kind, number: int, image: Any) -> None:
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
        ready = self._ready()
        self._lonely = None if ready else now if self._lonely is None else self._lonely
        for series in list(self._series.values()):
            self._send(series, ready)
            if series.ended or self._closing is not None:
                self._end(series, ready, now)
        for peer in list(self._peers):
            self._look_after(peer, now)

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
            for peer in self._ready():
                peer.put(Kind.START, series.number, series.start_payload(peer.index, peer.of))
            series.begun = True
        except StreamError as error:
            self._say("alarm", series, f"the images of series {series.run.key} are not sent: {error}")
        refusal = self.refusal()
        if refusal:
            self._say("alarm", series, f"images are sent to writers, but {refusal}")

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
                self._say("alarm", series, f"image {image.number} cannot be sent: {error}")

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
            self._say("alarm", series, f"{len(images)} images of series {series.run.key} were written by nobody")

    def _look_after(self, peer: Peer, now: float) -> None:
        try:
            if now - peer.heard > self._liveness:
                raise PeerDied(f"it was silent for {self._liveness:g} s")
            if peer.unacknowledged and now - peer.moved > self._patience:
                raise PeerDied(f"it took nothing for {self._patience:g} s")
            if now - peer.beat > BEAT and not peer.waiting:
                peer.say(Kind.KEEPALIVE)
            peer.write(now)
        except PeerDied as error:
            self._dead(peer, str(error))
            return
        events = selectors.EVENT_READ | (selectors.EVENT_WRITE if peer.waiting else 0)
        if self._selector.get_key(peer.connection).events != events:
            self._selector.modify(peer.connection, events, peer)

    def _dead(self, peer: Peer, reason: str) -> None:
        """Its images go to the others."""
        back: dict[int, list[Image]] = {}
        for _, kind, number, image, _ in peer.unacknowledged:
            if kind == Kind.IMAGE and number in self._series:
                back.setdefault(number, []).append(image)
        peer.unacknowledged.clear()
        if not peer.name:
            self._refuse(peer, reason)
            return
        self._let_go(peer, "left" if not back else "dead", reason)
        for number, images in back.items():
            series = self._series[number]
            series.handed_on += len(images)
            peer.handed_on += len(images)
            series.pending.extendleft(reversed(images))
        self._gone.append(peer.books())
        behind = sum(map(len, back.values()))
        more = f"; {behind} images that it had not acknowledged go to others" if behind else ""
        self._say("alarm" if behind else "warning", None, f"the writer {peer.name} is gone: {reason}{more}")

    def _let_go(self, peer: Peer, state: str, reason: str) -> None:
        with suppress(KeyError, ValueError):
            self._selector.unregister(peer.connection)
        if peer in self._peers:
            self._peers.remove(peer)
        peer.close(state, reason)


def host_and_port(address: str) -> tuple[str, int]:
    """Of "tcp://127.0.0.1:5604", or without tcp://.

    Raises
    ------
    SettingError

    Examples
    --------
    >>> from crystint.online.image_tcp import host_and_port
    >>> host_and_port("tcp://127.0.0.1:5604")
    ('127.0.0.1', 5604)
    """
    host, colon, port = address.removeprefix("tcp://").rpartition(":")
    if not colon or not host or not port.isdigit() or int(port) > 65535:
        raise SettingError(f"the address is {address!r}, expected one such as tcp://127.0.0.1:5604")
    return host.strip("[]"), int(port)


def _bound(address: str) -> socket.socket:
    host, port = host_and_port(address)
    try:
        server = socket.create_server(
            (host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET, backlog=MOST_WRITERS
        )
    except OSError as error:
        raise SettingError(
            f"images cannot be offered at {address}: {error.strerror or error}; expected an address of this machine "
            "such as 127.0.0.1:5604 that no other program uses"
        ) from None
    server.setblocking(False)
    return server
