"""Answers, in the data process, what other processes ask the control for."""

from __future__ import annotations

import os
import threading
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

from crystint.errors import CrystintError, RefusedError, StreamError
from crystint.online.control import Control
from crystint.online.control_messages import pack, unpack
from crystint.online.outlet import zmq_module

__all__ = ["QUICK", "SLOW", "ControlServer"]

QUICK = frozenset({"status", "series", "settings", "rois", "start_message", "events", "record"})
"""methods that answer from a snapshot"""
SLOW = frozenset(
    {
        "start", "stop", "abort", "clear_error", "change_settings", "change_rois", "roi_map", "mask", "change_mask",
    }
)  # fmt: skip
"""methods that may take a while: the quick ones do not wait for them"""


class ControlServer:
    """A socket, and a thread that answers at it.

    Parameters
    ----------
    control : Control
    address : str
        Where it is bound, such as ipc:///run/control.
    """

    def __init__(self, control: Control, address: str) -> None:
        zmq = zmq_module()
        self._zmq, self._control = zmq, control
        self._context = zmq.Context()
        self._socket = self._context.socket(zmq.ROUTER)
        self._socket.setsockopt(zmq.LINGER, 0)
        self._socket.setsockopt(zmq.MAXMSGSIZE, 2**28)
        self._socket.bind(address)
        self._wake = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._answers: deque[tuple[bytes, bytes, bytes]] = deque()
        self._closing = False
        self._slow = ThreadPoolExecutor(1, "changes")
        self._thread = threading.Thread(target=self._run, name="control")
        self._thread.start()

    def close(self) -> None:
        """End, when what is asked for is done."""
        self._slow.shutdown()
        self._closing = True
        os.eventfd_write(self._wake, 1)
        self._thread.join()
        self._socket.close()
        self._context.term()
        os.close(self._wake)

    def _run(self) -> None:
        poller = self._zmq.Poller()
        poller.register(self._socket, self._zmq.POLLIN)
        poller.register(self._wake, self._zmq.POLLIN)
        while True:
            poller.poll()
            with suppress(BlockingIOError):
                os.eventfd_read(self._wake)
            while self._answers:
                self._send(*self._answers.popleft())
            if self._closing:
                return
            with suppress(self._zmq.Again):
                while True:
                    self._take(self._socket.recv_multipart(self._zmq.NOBLOCK))

    def _take(self, parts: list[bytes]) -> None:
        if len(parts) != 4 or parts[1]:
            return  # nobody who knows how to ask
        peer, _, number, question = parts
        try:
            asked = unpack(question)
            name, arguments, named = asked["method"], asked["arguments"], asked["named"]
        except (StreamError, KeyError, TypeError):
            self._send(peer, number, _refusal(RefusedError("bad_value", "the question cannot be understood")))
            return
        if name in QUICK:
            self._send(peer, number, self._answer(name, arguments, named))
        elif name in SLOW:
            self._slow.submit(self._answer_later, peer, number, name, arguments, named)
        else:
            self._send(peer, number, _refusal(RefusedError("not_found", f"there is no method {name!r:.60}")))

    def _answer_later(self, peer: bytes, number: bytes, name: str, arguments: Any, named: Any) -> None:
        self._answers.append((peer, number, self._answer(name, arguments, named)))
        os.eventfd_write(self._wake, 1)

    def _answer(self, name: str, arguments: Any, named: Any) -> bytes:
        try:
            return pack({"answer": getattr(self._control, name)(*arguments, **named)})
        except RefusedError as error:
            return _refusal(error)
        except CrystintError as error:
            return _refusal(RefusedError("bad_value", str(error)))
        except Exception as error:
            return _refusal(RefusedError("internal", f"{type(error).__name__}: {error}"))

    def _send(self, peer: bytes, number: bytes, answer: bytes) -> None:
        with suppress(self._zmq.ZMQError):  # who asked is gone
            self._socket.send_multipart([peer, b"", number, answer], self._zmq.NOBLOCK)


def _refusal(error: RefusedError) -> bytes:
    return pack({"refused": [error.reason, str(error), error.field]})
