"""A subscriber as others write one: a SUB socket, and messages decoded by cbor2."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import cbor2
import zmq

PATIENCE_MS = 30_000


class Subscriber:
    """Reads messages of one address."""

    def __init__(self, socket: zmq.Socket[bytes]) -> None:
        self.socket = socket
        self.seen: list[Any] = []

    def next(self) -> Any:
        """The next message; fails after 30 s."""
        assert self.socket.poll(PATIENCE_MS), "no message came"
        parts = self.socket.recv_multipart()
        assert len(parts) == 1
        message = cbor2.loads(parts[0])
        self.seen.append(message)
        return message

    def until(self, wanted: Callable[[Any], bool] | str) -> Any:
        """The first message that is wanted, or of this type."""
        while True:
            message = self.next()
            if message["type"] == wanted if isinstance(wanted, str) else wanted(message):
                return message


@contextmanager
def subscribed(address: str, **options: int) -> Iterator[Subscriber]:
    """A subscriber to everything."""
    context = zmq.Context()
    socket = context.socket(zmq.SUB)
    try:
        for name, value in options.items():
            socket.setsockopt(getattr(zmq, name), value)
        socket.setsockopt(zmq.SUBSCRIBE, b"")
        socket.connect(address)
        yield Subscriber(socket)
    finally:
        socket.close(0)
        context.term()
