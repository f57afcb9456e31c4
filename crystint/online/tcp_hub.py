"""The writers that are connected to a sender of images: who comes, who is told what, who is dead."""

from __future__ import annotations

import os
import selectors
import socket
import time
from collections import deque
from contextlib import suppress
from typing import Any, Protocol

from crystint.errors import SettingError
from crystint.online.tcp_peer import MOST_WRITERS, Peer, PeerDied
from crystint.stream.messages import Image
from crystint.stream.tcp import BEAT, Kind

__all__ = ["Hub", "host_and_port"]

_REMEMBERED = 20
"""writers that are gone, in the status"""


class _Sender(Protocol):
    """What a hub tells of."""

    def welcome(self, peer: Peer) -> None:
        """A writer has come and told its name."""

    def acknowledged(self, peer: Peer, kind: Kind, number: int, image: Any) -> None:
        """A message to a writer is safe."""

    def handed_back(self, number: int, images: list[Image]) -> bool:
        """Images of a stream that a dead writer had not acknowledged; whether they go to others."""

    def say(self, name: str, text: str) -> None:
        """Something that the user must know."""


class Hub:
    """Connections of writers. For one thread, `wake` and what only looks aside.

    Parameters
    ----------
    address : str
    liveness, patience : float
        s of silence, and s in which nothing was taken, after which a writer is dead.
    sender : _Sender

    Raises
    ------
    SettingError
        When nothing can be bound at the address.
    """

    def __init__(self, address: str, liveness: float, patience: float, sender: _Sender) -> None:
        self._liveness, self._patience, self._sender = liveness, patience, sender
        self._peers: list[Peer] = []
        self.gone: deque[dict[str, Any]] = deque(maxlen=_REMEMBERED)
        """books of writers"""
        self.strangers, self.last_stranger = 0, ""
        """who came and was no writer"""
        self._server = _bound(address)
        self._wake = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._server, selectors.EVENT_READ)
        self._selector.register(self._wake, selectors.EVENT_READ)

    @property
    def address(self) -> str | None:
        """Where it is bound, with the port that the system chose; None = it is closed."""
        if self._server.fileno() < 0:
            return None
        host, port = self._server.getsockname()[:2]
        return f"tcp://[{host}]:{port}" if ":" in host else f"tcp://{host}:{port}"

    @property
    def ready(self) -> list[Peer]:
        """Writers that have told their names."""
        return [peer for peer in list(self._peers) if peer.name]

    def wake(self) -> None:
        """End the `turn` that waits; from any thread."""
        with suppress(OSError):  # it is closed, or awake
            os.eventfd_write(self._wake, 1)

    def turn(self) -> None:
        """Wait until something comes, and take it."""
        for key, _ in self._selector.select(min(BEAT, self._liveness / 4)):
            self._ready_for(key)
        with suppress(BlockingIOError):
            os.eventfd_read(self._wake)

    def write(self) -> None:
        """Send what waits, signs of life too, and see who is dead."""
        now = time.monotonic()
        for peer in list(self._peers):
            self._look_after(peer, now)

    def close(self) -> None:
        """Let all writers go."""
        for peer in list(self._peers):
            self._dead(peer, "the service ends")
        self._selector.close()
        self._server.close()

    def forget(self) -> None:
        """After `close`, when no thread calls `wake` any more."""
        os.close(self._wake)

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
                self._sender.acknowledged(peer, kind, number, image)
            if peer.name and not greeted:
                for other in self.ready:
                    if other.name == peer.name and other is not peer:
                        self._dead(other, "it connected anew")
                self._sender.welcome(peer)

    def _refuse(self, peer: Peer, reason: str) -> None:
        peer.say(Kind.REFUSE, {"reason": reason})
        with suppress(PeerDied):
            peer.write(time.monotonic())
        self.strangers += 1
        self.last_stranger = f"{peer.address}: {reason}"
        self._let_go(peer, "refused", reason)

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
        if not peer.name:
            self._refuse(peer, reason)
            return
        back: dict[int, list[Image]] = {}
        for _, kind, number, image, _ in peer.unacknowledged:
            if kind == Kind.IMAGE:
                back.setdefault(number, []).append(image)
        peer.unacknowledged.clear()
        for number, images in back.items():
            peer.handed_on += len(images) if self._sender.handed_back(number, images) else 0
        self._let_go(peer, "dead" if back else "left", reason)
        self.gone.append(peer.books())
        more = f"; {peer.handed_on} images that it had not acknowledged go to others" if peer.handed_on else ""
        self._sender.say("alarm" if back else "warning", f"the writer {peer.name} is gone: {reason}{more}")

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
    >>> from crystint.online.tcp_hub import host_and_port
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
