"""The sockets of a simulated detector: messages go to whoever pulls, at the moments when they are due."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from threading import Event
from types import TracebackType
from typing import Any, Self

from crystint.errors import SettingError, StreamError

__all__ = ["Outlet", "Pace", "zmq_module"]

_MOST_QUEUED = 100_000
"""messages"""
_POLL_MS = 200


def zmq_module() -> Any:
    """pyzmq.

    Raises
    ------
    SettingError
        Where it is not installed.
    """
    try:
        import zmq
    except ImportError:
        raise SettingError("streams need pyzmq: pip install 'crystint[online]'") from None
    return zmq


class Pace:
    """Moments at an exact rate: they depend on the first one alone, so that no error adds up.

    Parameters
    ----------
    rate : float or None
        Per second; None = as fast as it goes.
    clock : callable
        Monotonic time in s.
    """

    def __init__(self, rate: float | None, clock: Callable[[], float] = time.monotonic) -> None:
        self._rate, self._clock = rate, clock
        self._origin = clock()
        self._moments = 0

    @property
    def moments(self) -> int:
        """That have passed."""
        return self._moments

    def wait(self, stop: Event) -> bool:
        """Wait for the next moment; one that has passed already is not waited for. False = `stop` came first."""
        due = self._origin if self._rate is None else self._origin + self._moments / self._rate
        self._moments += 1
        left = due - self._clock()
        return not (stop.wait(left) if left > 0 else stop.is_set())

    def delay(self, seconds: float) -> None:
        """All moments to come are so much later."""
        self._origin += seconds


class Outlet:
    """PUSH sockets that are bound, as those of a detector.

    Parameters
    ----------
    addresses : sequence of str
        As ZeroMQ has them; "tcp://127.0.0.1:*" = a port that is free.
    each : bool
        A socket for each address, as Jungfraujoch has; otherwise one socket is bound to all.
    queue : int
        Messages that each socket holds for those who do not fetch them in time.

    Raises
    ------
    SettingError
        When an address cannot be bound.
    """

    def __init__(self, addresses: Sequence[str], *, each: bool = False, queue: int = 1000) -> None:
        self._zmq = zmq_module()
        self._each, self.queue = each, max(1, min(queue, _MOST_QUEUED))
        self._context = self._zmq.Context()
        self.addresses = tuple(addresses)
        self._sockets: list[Any] = []
        try:
            self.open()
        except BaseException:
            self.close(0.0)
            raise

    def open(self) -> None:
        """Bind, at first and after `vanish`."""
        bound = []
        for address in self.addresses:
            if self._each or not self._sockets:
                socket = self._context.socket(self._zmq.PUSH)
                self._sockets.append(socket)
                socket.setsockopt(self._zmq.SNDHWM, self.queue)
                socket.setsockopt(self._zmq.SNDBUF, 4 * 2**20)
            try:
                self._sockets[-1].bind(address)
            except self._zmq.ZMQError as error:
                raise SettingError(f"stream {address} cannot be bound: {error.strerror}") from None
            bound.append(self._sockets[-1].getsockopt(self._zmq.LAST_ENDPOINT).decode().rstrip("\0"))
        self.addresses = tuple(bound)

    def wait_for_pullers(self, seconds: float, stop: Event) -> None:
        """Wait until somebody is connected to every socket.

        Raises
        ------
        StreamError
            When nobody comes in time.
        """
        for socket in self._sockets:
            until = time.monotonic() + seconds
            while not stop.is_set() and not socket.poll(_POLL_MS, self._zmq.POLLOUT):
                if time.monotonic() > until:
                    raise StreamError(f"nobody pulled from {', '.join(self.addresses)} within {seconds:g} s")

    def send(self, parts: Sequence[Any], place: int = 0, wait: float | None = 0.0, stop: Event | None = None) -> bool:
        """Send a message.

        Parameters
        ----------
        parts : sequence of buffers
            Must not change any more.
        place : int
            Of the socket, modulo their number.
        wait : float or None
            s to wait for a place in the queue; None = until `stop`.

        Returns
        -------
        bool
            False = there was no place: the message is thrown away.
        """
        socket = self._sockets[place % len(self._sockets)]
        until = None if wait is None else time.monotonic() + wait
        while True:
            try:
                socket.send_multipart(parts, self._zmq.NOBLOCK, copy=False)
                return True
            except self._zmq.Again:
                if (until is not None and time.monotonic() >= until) or (stop is not None and stop.is_set()):
                    return False
                left = _POLL_MS if until is None else 1000.0 * (until - time.monotonic())
                socket.poll(min(_POLL_MS, max(1.0, left)), self._zmq.POLLOUT)

    def send_to_all(self, parts: Sequence[Any], wait: float, stop: Event) -> bool:
        """Send a message through every socket; whether all went."""
        went = [self.send(parts, place, wait, stop) for place in range(len(self._sockets))]
        return all(went)

    def vanish(self) -> None:
        """Be gone at once, with all that is queued."""
        for socket in self._sockets:
            socket.close(linger=0)
        self._sockets = []

    def close(self, seconds: float) -> None:
        """Close, once the queues are empty or so much time has passed."""
        for socket in self._sockets:
            socket.close(linger=int(1000 * seconds))
        self._sockets = []
        self._context.term()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close(0.0 if error is not None else 10.0)
