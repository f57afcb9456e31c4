"""The control of a service in another process."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from itertools import count
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crystint.errors import RefusedError, StreamError
from crystint.online.control import Applied
from crystint.online.control_messages import pack, unpack
from crystint.online.control_server import SLOW
from crystint.online.outlet import zmq_module

__all__ = ["ControlProxy"]


class ControlProxy:
    """Asks the data process: a `crystint.online.control.Control`. Threads may share it.

    Parameters
    ----------
    address : str
        Of `crystint.online.control_server.ControlServer`.
    patience : float
        s that an answer is waited for.
    long_patience : float
        s, of methods that change something.
    """

    def __init__(self, address: str, patience: float = 5.0, long_patience: float = 60.0) -> None:
        zmq = zmq_module()
        self._zmq, self._address = zmq, address
        self._patience, self._long_patience = patience, long_patience
        self._context = zmq.Context()
        self._idle: deque[Any] = deque()
        self._numbers = count()
        self._closed = False

    def close(self) -> None:
        """Close its sockets; nobody may be waiting for an answer."""
        self._closed = True
        while self._idle:
            self._idle.pop().close()
        self._context.term()

    def status(self) -> dict[str, Any]:
        """As `Control`."""
        return self._ask("status")  # type: ignore[no-any-return]

    def series(self) -> list[dict[str, Any]]:
        """As `Control`."""
        return self._ask("series")  # type: ignore[no-any-return]

    def start(self, options: Mapping[str, Any]) -> dict[str, Any]:
        """As `Control`."""
        return self._ask("start", dict(options))  # type: ignore[no-any-return]

    def stop(self) -> dict[str, Any]:
        """As `Control`."""
        return self._ask("stop")  # type: ignore[no-any-return]

    def abort(self) -> dict[str, Any]:
        """As `Control`."""
        return self._ask("abort")  # type: ignore[no-any-return]

    def clear_error(self) -> dict[str, Any]:
        """As `Control`."""
        return self._ask("clear_error")  # type: ignore[no-any-return]

    def settings(self) -> dict[str, Any]:
        """As `Control`."""
        return self._ask("settings")  # type: ignore[no-any-return]

    def change_settings(
        self, changes: Mapping[str, Any], revision: int | None = None, dry_run: bool = False
    ) -> Applied:
        """As `Control`."""
        return self._ask("change_settings", dict(changes), revision=revision, dry_run=dry_run)  # type: ignore[no-any-return]

    def rois(self) -> dict[str, Any]:
        """As `Control`."""
        return self._ask("rois")  # type: ignore[no-any-return]

    def change_rois(self, document: Mapping[str, Any], revision: int | None = None) -> Applied:
        """As `Control`."""
        return self._ask("change_rois", dict(document), revision=revision)  # type: ignore[no-any-return]

    def roi_map(self) -> tuple[NDArray[Any], tuple[str, ...]]:
        """As `Control`."""
        pixels, names = self._ask("roi_map")
        return pixels, tuple(names)

    def mask(self, layer: str = "total") -> NDArray[np.uint32]:
        """As `Control`."""
        return self._ask("mask", layer)  # type: ignore[no-any-return]

    def change_mask(self, mask: NDArray[Any] | None) -> Applied:
        """As `Control`."""
        return self._ask("change_mask", mask)  # type: ignore[no-any-return]

    def start_message(self, series: str | None = None) -> bytes:
        """As `Control`."""
        return self._ask("start_message", series)  # type: ignore[no-any-return]

    def events(self, after: int = 0) -> list[dict[str, Any]]:
        """As `Control`."""
        return self._ask("events", after)  # type: ignore[no-any-return]

    def record(self, name: str, data: Mapping[str, Any]) -> dict[str, Any]:
        """As `Control`."""
        return self._ask("record", name, dict(data))  # type: ignore[no-any-return]

    def _ask(self, method: str, *arguments: Any, **named: Any) -> Any:
        if self._closed:
            raise RefusedError("wrong_state", "the proxy is closed")
        question = pack({"method": method, "arguments": arguments, "named": named})
        number = str(next(self._numbers)).encode()
        try:
            socket = self._idle.pop()
        except IndexError:
            socket = self._context.socket(self._zmq.DEALER)
            socket.setsockopt(self._zmq.LINGER, 0)
            socket.connect(self._address)
        patience = self._long_patience if method in SLOW else self._patience
        try:
            socket.send_multipart([b"", number, question])
            answer = self._receive(socket, number, patience) if socket.poll(1000.0 * patience) else None
        except BaseException:
            socket.close()
            raise
        if answer is None:
            socket.close()  # an answer that comes later is nobody's
            raise RefusedError("busy", f"the data process has not answered within {patience:g} s")
        self._idle.append(socket)
        if "refused" in answer:
            raise RefusedError(*answer["refused"])
        return answer["answer"]

    def _receive(self, socket: Any, number: bytes, patience: float) -> Any:
        while True:
            _, of, answer = socket.recv_multipart()
            if of == number:
                try:
                    return unpack(answer)
                except StreamError as error:
                    raise RefusedError("internal", f"the answer cannot be understood: {error}") from None
            if not socket.poll(1000.0 * patience):
                return None
