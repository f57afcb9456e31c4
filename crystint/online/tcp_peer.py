"""A writer that is connected to the sender of images: what it was sent and what it has acknowledged."""

from __future__ import annotations

import socket
import time
from collections import deque
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from crystint.errors import StreamError
from crystint.stream.cbor import decode, encode
from crystint.stream.tcp import Header, Incoming, Kind

__all__ = ["MOST_WRITERS", "Peer", "PeerDied"]

_FROM_WRITERS = frozenset({Kind.HELLO, Kind.ACK, Kind.BUSY, Kind.KEEPALIVE})
_BUFFERS = 8
_LONGEST_NAME = 64
MOST_WRITERS = 32


class PeerDied(Exception):  # noqa: N818 (it is the peer that ended)
    """A writer is not there any more, and why."""


class Peer:
    """A connection. For one thread.

    Parameters
    ----------
    connection : socket
        Not blocking.
    address : str
    now : float
        s, of `time.monotonic`.
    """

    def __init__(self, connection: socket.socket, address: str, now: float) -> None:
        self.connection, self.address = connection, address
        self.name = ""
        """empty = there was no hello yet"""
        self.index, self.of = 0, 1
        """which part of the images it would like"""
        self.began = self.heard = self.moved = self.beat = now
        """s: connected; a sign of life; bytes went to it or were acknowledged; when it was last sent anything"""
        self.busy = False
        self.state = "connected"
        self.reason = ""
        self.waiting: deque[memoryview] = deque()
        self._words: deque[memoryview] = deque()
        """of `waiting`, what is no sign that the writer takes anything"""
        self.unacknowledged: deque[tuple[int, Kind, int, Any, int]] = deque()
        """sequence, type, number of the stream, image, bytes"""
        self.bytes = 0
        """unacknowledged"""
        self.sequence = 0
        self.images = self.acknowledged = self.acknowledged_bytes = self.handed_on = 0
        self._incoming = Incoming(_FROM_WRITERS)

    def books(self) -> dict[str, Any]:
        """JSON-able."""
        return {
            "name": self.name,
            "address": self.address,
            "index": self.index,
            "of": self.of,
            "state": self.state,
            "busy": self.busy,
            "reason": self.reason or None,
            "images": self.images,
            "acknowledged": self.acknowledged,
            "acknowledged_bytes": self.acknowledged_bytes,
            "unacknowledged_bytes": self.bytes,
            "handed_on": self.handed_on,
        }

    def put(self, kind: Kind, stream: int, payload: Any, image: Any = None) -> None:
        """Send a message that is to be acknowledged."""
        view = memoryview(payload).cast("B")
        if not self.unacknowledged:
            self.moved = time.monotonic()
        self.sequence += 1
        self.waiting.append(memoryview(Header(kind, stream, self.sequence, len(view)).pack()))
        self.waiting.append(view)
        self.unacknowledged.append((self.sequence, kind, stream, image, len(view)))
        self.bytes += len(view)
        self.images += kind == Kind.IMAGE

    def say(self, kind: Kind, values: Mapping[str, Any] | None = None) -> None:
        """Send a word that needs no answer."""
        payload = encode(values) if values else b""
        self.waiting.append(memoryview(Header(kind, length=len(payload)).pack() + payload))
        self._words.append(self.waiting[-1])

    def write(self, now: float) -> None:
        """Send what the socket takes.

        Raises
        ------
        PeerDied
        """
        while self.waiting:
            try:
                count = self.connection.sendmsg([self.waiting[n] for n in range(min(len(self.waiting), _BUFFERS))])
            except BlockingIOError:
                return
            except OSError as error:
                raise PeerDied(f"the connection broke: {error.strerror or error}") from None
            self.beat = now
            while self.waiting and count >= len(self.waiting[0]):
                sent = self.waiting.popleft()
                count -= len(sent)
                if self._words and sent is self._words[0]:
                    self._words.popleft()
                else:
                    self.moved = now
            if count:
                rest = self.waiting[0][count:]
                if self._words and self.waiting[0] is self._words[0]:
                    self._words[0] = rest
                else:
                    self.moved = now
                self.waiting[0] = rest

    def read(self, now: float) -> list[tuple[Kind, int, Any]]:
        """Take what came.

        Returns
        -------
        list of (Kind, number of the stream, image)
            What is acknowledged by it.

        Raises
        ------
        PeerDied
        """
        done: list[tuple[Kind, int, Any]] = []
        try:
            while True:
                message = self._incoming.read(self.connection)
                self.heard = now
                if message is not None:
                    self._take(*message, done, now)
        except BlockingIOError:
            return done
        except EOFError:
            raise PeerDied("it left") from None
        except StreamError as error:
            raise PeerDied(str(error)) from None
        except OSError as error:
            raise PeerDied(f"the connection broke: {error.strerror or error}") from None

    def _take(self, header: Header, payload: memoryview, done: list[tuple[Kind, int, Any]], now: float) -> None:
        if header.kind == Kind.HELLO:
            self._hello(decode(payload))
        elif not self.name:
            raise StreamError("its first message is no hello")
        elif header.kind == Kind.ACK:
            self.busy = False
            if header.sequence > self.sequence:
                raise StreamError(f"it acknowledges message {header.sequence}, it was sent {self.sequence}")
            while self.unacknowledged and self.unacknowledged[0][0] <= header.sequence:
                _, kind, stream, image, size = self.unacknowledged.popleft()
                self.bytes -= size
                self.moved = now
                if kind == Kind.IMAGE:
                    self.acknowledged += 1
                    self.acknowledged_bytes += size
                done.append((kind, stream, image))
        else:
            self.busy = header.kind == Kind.BUSY

    def _hello(self, values: Any) -> None:
        name = values.get("name") if isinstance(values, dict) else None
        want = values.get("want") or {} if isinstance(values, dict) else {}
        index, of = (want.get("index", 0), want.get("of", 1)) if isinstance(want, dict) else (None, None)
        if self.name or not isinstance(name, str) or not 0 < len(name) <= _LONGEST_NAME or not name.isprintable():
            raise StreamError(f"its hello names it {name!r:.80}, expected a printable name, once")
        if type(index) is not int or type(of) is not int or not 0 <= index < of <= MOST_WRITERS:
            raise StreamError(f"its hello wants part {index!r:.20} of {of!r:.20}, expected 0 to 31, of at most 32")
        self.name, self.index, self.of = name, index, of

    def close(self, state: str, reason: str) -> None:
        """Let it go."""
        self.state, self.reason = state, reason
        self.waiting.clear()
        self._words.clear()
        with suppress(OSError):
            self.connection.close()
