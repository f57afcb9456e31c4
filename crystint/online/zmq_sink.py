"""Sinks that talk ZeroMQ: one socket, that the thread of the sink alone uses."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from crystint.errors import SettingError
from crystint.online.outlet import zmq_module
from crystint.online.queued_sink import QueuedSink, Tell

zmq: Any = zmq_module()

__all__ = ["PublishingSink", "ZmqSink", "is_local"]

_LINGER = 200
"""ms for what is on its way when a socket is closed"""
_LOCAL = re.compile(r"(ipc|inproc)://|tcp://(127(\.\d+){3}|localhost|\[?::1\]?):")


def is_local(address: str) -> bool:
    """Whether only this machine reaches what is bound to an address.

    Examples
    --------
    >>> from crystint.online.zmq_sink import is_local
    >>> is_local("tcp://127.0.0.1:5602"), is_local("tcp://*:5602")
    (True, False)
    """
    return _LOCAL.match(address) is not None


class ZmqSink(QueuedSink):
    """A sink with a bound socket.

    Parameters
    ----------
    name : str
    kind : str
        Of the socket: "XPUB", "ROUTER".
    address : str
        Where it is bound, such as tcp://127.0.0.1:5602; port * = the system chooses.
    options : mapping
        Of the socket, by the names that pyzmq gives them.

    Raises
    ------
    SettingError
        When it cannot be bound there.
    """

    def __init__(
        self,
        name: str,
        kind: str,
        address: str,
        tell: Tell | None,
        options: Mapping[str, int],
        limit: int = 64 * 2**20,
    ) -> None:
        super().__init__(name, tell, limit=limit)
        self._context = zmq.Context()
        self._socket = self._context.socket(getattr(zmq, kind))
        try:
            for option, value in {**options, "LINGER": _LINGER, "TCP_KEEPALIVE": 1}.items():
                self._socket.setsockopt(getattr(zmq, option), value)
            self._socket.bind(address)
        except zmq.ZMQError as error:
            self._close_socket()
            self.close()
            raise SettingError(
                f"{name} is {address!r}, where nothing can be bound: {error}; expected an address of this machine such "
                "as tcp://127.0.0.1:5602 that no other program uses"
            ) from None
        self._poller = zmq.Poller()
        self._poller.register(self._socket, zmq.POLLIN)
        self._poller.register(self._wake, zmq.POLLIN)
        self._endpoint: str = self._socket.getsockopt(zmq.LAST_ENDPOINT).decode().rstrip("\0")

    @property
    def address(self) -> str:
        """Where it is bound, with the port that the system chose."""
        return self._endpoint

    def _sleep(self, timeout: float | None) -> None:
        self._poller.poll(None if timeout is None else max(0.0, timeout) * 1000.0)

    def _finish(self) -> None:
        self._close_socket()

    def _close_socket(self) -> None:
        self._socket.close()
        self._context.term()

    def _status(self) -> Mapping[str, Any]:
        return {"address": self.address}


class PublishingSink(ZmqSink):
    """A sink that publishes; slow subscribers lose messages, and nobody waits for them.

    Messages are made only while somebody listens. `_joined` is called when a subscriber came.
    """

    def __init__(self, name: str, address: str, tell: Tell | None, limit: int = 64 * 2**20) -> None:
        super().__init__(name, "XPUB", address, tell, {"SNDHWM": 10, "XPUB_VERBOSER": 1}, limit)
        self._subscribers = 0
        self._messages = 0

    def _joined(self) -> None: ...

    def _listening(self) -> bool:
        """Whether somebody does; takes what subscribers told."""
        joined = False
        while True:
            try:
                told = self._socket.recv(zmq.NOBLOCK)
            except zmq.Again:
                break
            if told[:1] in (b"\x00", b"\x01"):
                self._subscribers += 1 if told[0] else -1
                joined |= told[0] == 1
        if joined:
            self._joined()
        return self._subscribers > 0

    def _publish(self, message: Any) -> None:
        self._socket.send(message, zmq.NOBLOCK, copy=False)
        self._messages += 1

    def _tick(self) -> None:
        self._listening()

    def _status(self) -> Mapping[str, Any]:
        return {"address": self.address, "subscribers": self._subscribers, "messages": self._messages}
