"""Sockets that pull the messages of a detector: ZeroMQ PULL, one for each address."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

from crystint.errors import SettingError
from crystint.online.outlet import zmq_module
from crystint.stream.cbor import LONGEST_MESSAGE

__all__ = ["Inlet", "Source"]

_BURST = 32
"""Messages that are taken of a socket before the others have their turn."""


@dataclass
class Source:
    """An address that messages are pulled from."""

    address: str
    connected: bool = False
    connections: int = 0
    """how often a source was there"""
    messages: int = 0


class Inlet:
    """PULL sockets, read by one thread.

    A source may be restarted at any time: what had come of it is kept. The option IMMEDIATE is off for that: with it,
    libzmq 4.3.5 throws away what it received and nobody had taken yet as soon as the source is gone (64 of 64 messages,
    and 200 of 200, of a source that was killed; none of them without).

    Parameters
    ----------
    addresses : sequence of str
        Where detectors bind, such as "tcp://DCU:31001".
    queue : int
        Messages that each socket takes in advance.

    Raises
    ------
    SettingError
        For an address that is none, or where pyzmq is not installed.
    """

    def __init__(self, addresses: Sequence[str], *, queue: int = 64) -> None:
        self._zmq = zmq = zmq_module()
        self.sources = [Source(address) for address in addresses]
        """may be read from any thread"""
        self._context = zmq.Context()
        self._sockets: list[Any] = []
        self._monitors: list[Any] = []
        self._data, self._control = zmq.Poller(), zmq.Poller()
        self._wake, self._waker = socket.socketpair()
        self._wake.setblocking(False)
        self._waker.setblocking(False)
        try:
            for source in self.sources:
                self._connect(source, queue)
        except BaseException:
            self.close()
            raise
        for poller in (self._data, self._control):
            poller.register(self._wake, zmq.POLLIN)

    def receive(self, timeout: float | None, *, paused: bool = False) -> Iterator[tuple[list[memoryview], int]]:
        """Wait until something comes, and take what is there, a burst at most.

        Parameters
        ----------
        timeout : float or None
            s; None = as long as it takes.
        paused : bool
            Take nothing: wait for `wake` alone.

        Yields
        ------
        list of memoryview, int
            The parts of a message, in memory that lives as long as they do; when it was taken, ns since 1970-01-01 UTC.
        """
        poller = self._control if paused else self._data
        ready = dict(poller.poll(None if timeout is None else max(0, int(timeout * 1e3 + 0.999))))
        if ready.pop(self._wake.fileno(), None):
            with suppress(BlockingIOError):
                self._wake.recv(4096)
        for place, monitor in enumerate(self._monitors):
            if monitor in ready:
                self._watch(self.sources[place], monitor)
        if paused:
            return
        for place, puller in enumerate(self._sockets):
            if puller in ready:
                for _ in range(_BURST):
                    try:
                        frames = puller.recv_multipart(self._zmq.NOBLOCK, copy=False)
                    except self._zmq.Again:
                        break
                    self.sources[place].messages += 1
                    yield [frame.buffer for frame in frames], time.time_ns()

    def wake(self) -> None:
        """End the waiting of `receive`; from any thread."""
        with suppress(OSError):
            self._waker.send(b"x")

    def close(self) -> None:
        """Close the sockets; what came and nobody took is lost."""
        for puller in self._sockets:
            with suppress(self._zmq.ZMQError):
                puller.disable_monitor()
        for each in (*self._monitors, *self._sockets):
            each.close(0)
        self._sockets, self._monitors = [], []
        self._context.term()
        self._wake.close()
        self._waker.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _connect(self, source: Source, queue: int) -> None:
        zmq = self._zmq
        puller = self._context.socket(zmq.PULL)
        self._sockets.append(puller)
        for option, value in {
            "RCVHWM": queue,
            "RCVBUF": 4 * 2**20,
            "MAXMSGSIZE": LONGEST_MESSAGE,
            "LINGER": 0,
            "IMMEDIATE": 0,
            "TCP_KEEPALIVE": 1,
            "RECONNECT_IVL": 100,
            "RECONNECT_IVL_MAX": 2000,
        }.items():
            puller.setsockopt(getattr(zmq, option), value)
        monitor = puller.get_monitor_socket(zmq.EVENT_HANDSHAKE_SUCCEEDED | zmq.EVENT_DISCONNECTED)
        monitor.setsockopt(zmq.LINGER, 0)
        self._monitors.append(monitor)
        try:
            puller.connect(source.address)
        except zmq.ZMQError as error:
            raise SettingError(
                f"the stream is {source.address!r}: {error}; expected an address such as tcp://DCU:31001"
            ) from None
        self._data.register(puller, zmq.POLLIN)
        for poller in (self._data, self._control):
            poller.register(monitor, zmq.POLLIN)

    def _watch(self, source: Source, monitor: Any) -> None:
        from zmq.utils.monitor import parse_monitor_message

        with suppress(self._zmq.Again):
            while True:
                event = parse_monitor_message(monitor.recv_multipart(self._zmq.NOBLOCK))["event"]
                source.connected = event == self._zmq.EVENT_HANDSHAKE_SUCCEEDED
                source.connections += source.connected
