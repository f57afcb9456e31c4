"""Follows the results that a service publishes."""

from __future__ import annotations

from collections.abc import Iterator
from types import TracebackType
from typing import Any, Self

from crystint.errors import SettingError
from crystint.online.results_message import Notice, ResultsBatch, read_results_message

__all__ = ["Subscription"]

_HELD = 1000
"""messages that wait for the program"""
_LARGEST = 256 * 2**20
"""bytes of a message"""


class Subscription:
    """Messages of the results of `crystint online serve --results ADDRESS`, as they come.

    Who comes late gets the start of the series first. A program that is too slow loses messages, which `lost` counts;
    the service waits for nobody.

    Parameters
    ----------
    address : str
        As --results has it.
    timeout : float, optional
        s without a message after which the iteration ends; None = never.

    Raises
    ------
    SettingError
        When that is no address, or pyzmq is not installed.

    Examples
    --------
    >>> from crystint.online import Subscription
    >>> with Subscription("tcp://127.0.0.1:5602", timeout=0.01) as messages:
    ...     print([message.sequence for message in messages])  # nobody publishes there
    []
    """

    def __init__(self, address: str, *, timeout: float | None = None) -> None:
        try:
            import zmq
        except ImportError:
            raise SettingError("results are followed with pyzmq: pip install 'crystint[online]'") from None
        module: Any = zmq
        self._timeout = None if timeout is None else max(0, round(timeout * 1000))
        self._next: int | None = None
        self.lost = 0
        """messages that did not come"""
        self._context = module.Context()
        self._socket = self._context.socket(module.SUB)
        for option, value in (("LINGER", 0), ("RCVHWM", _HELD), ("MAXMSGSIZE", _LARGEST), ("TCP_KEEPALIVE", 1)):
            self._socket.setsockopt(getattr(module, option), value)
        self._socket.setsockopt(module.SUBSCRIBE, b"")
        try:
            self._socket.connect(address)
        except module.ZMQError as error:
            self.close()
            raise SettingError(f"{address!r} is no address: {error}; expected tcp://HOST:PORT") from None

    def __iter__(self) -> Iterator[ResultsBatch | Notice]:
        """Each message; StreamError for one that is damaged."""
        while self._socket.poll(self._timeout):
            message = read_results_message(self._socket.recv())
            if self._next is not None and message.sequence > self._next:
                self.lost += message.sequence - self._next
            self._next = message.sequence + 1
            yield message

    def close(self) -> None:
        """Stop following."""
        self._socket.close()
        self._context.term()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
