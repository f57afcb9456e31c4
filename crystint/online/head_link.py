"""What joins a head with its nodes: a socket, and who is at its other ends."""

from __future__ import annotations

import hmac
import threading
import time
from collections import deque
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, fields
from typing import Any, Protocol

from crystint.errors import RefusedError, SettingError, StreamError
from crystint.online.books import Books
from crystint.online.events import EventLog
from crystint.online.outlet import zmq_module
from crystint.online.queued_sink import QueuedSink, Tell
from crystint.online.results_message import ResultsBatch, read_results_message
from crystint.online.sink import Event, Run
from crystint.stream.cbor import decode, encode
from crystint.stream.messages import SeriesKey

__all__ = ["HeadLink", "key_of", "keys_of"]

_REPEAT = 1.0
"""s from a start message to the next, for nodes that come later"""
_ANSWER = 10.0
"""s that nodes have to change something"""
_COUNTS = {each.name for each in fields(Books)}


class Merging(Protocol):
    """What a head does with what its nodes tell."""

    log: EventLog

    def changes(self) -> list[dict[str, Any]]:
        """What a node that comes now has to change to be as the others."""

    def begin_series(self, series: SeriesKey, message: bytes, dtype: str | None) -> None:
        """Take a start that a node got."""

    def take_results(self, batch: ResultsBatch) -> None:
        """Take results of a node."""

    def take_books(self, node: str, series: SeriesKey, books: Books, *, ended: bool, busy: bool) -> None:
        """Take what a node counts of a series."""


@dataclass
class _Node:
    """A node, as the head has it."""

    name: str
    heard: float
    results: dict[SeriesKey, int] = field(default_factory=dict)
    progress: dict[SeriesKey, tuple[int, int]] = field(default_factory=dict)
    dead: bool = False


class _Request:
    """A change that nodes have to answer."""

    def __init__(self, message: Mapping[str, Any]) -> None:
        self.message = message
        self.waiting: set[bytes] | None = None
        self.first = 0
        self.errors: dict[str, str] = {}
        self.done = threading.Event()


class HeadLink(QueuedSink):
    """What joins a head with its nodes.

    Parameters
    ----------
    head : Merging
    address : str
    token : str
    tell : callable
        Takes warnings, as events.
    """

    def __init__(self, head: Merging, address: str, token: str, tell: Tell) -> None:
        super().__init__("nodes", tell)
        self._head, self._token = head, token.encode()
        self._zmq = zmq = zmq_module()
        self._context = zmq.Context()
        self._socket = self._context.socket(zmq.ROUTER)
        self._socket.setsockopt(zmq.LINGER, 500)
        self._socket.setsockopt(zmq.TCP_KEEPALIVE, 1)
        self._socket.setsockopt(zmq.RCVHWM, 0)
        self._socket.setsockopt(zmq.MAXMSGSIZE, 2**28)
        try:
            self._socket.bind(address)
        except zmq.ZMQError as error:
            self._socket.close()
            self._context.term()
            raise SettingError(
                f"nodes: nothing can be bound at {address!r}: {error}; expected an address such as tcp://127.0.0.1:5610"
            ) from None
        self.address: str = self._socket.getsockopt(zmq.LAST_ENDPOINT).decode().rstrip("\0")
        """where it is bound, with the port that the system chose"""
        self._poller = zmq.Poller()
        self._poller.register(self._socket, zmq.POLLIN)
        self._poller.register(self._wake, zmq.POLLIN)
        self.dead_after = 3.0
        """s of silence after which a node is taken for dead"""
        self._nodes: dict[bytes, _Node] = {}
        self._starts: dict[SeriesKey, bytes] = {}
        self._requests: dict[int, _Request] = {}
        self._asked: deque[_Request] = deque()
        self._repeat = 0.0
        self._number = time.time_ns()  # a node has not seen these, nor any of a head that was there before
        self._refused = 0
        self._start()

    def results(self, run: Run, results: Sequence[Any]) -> None:
        """The nodes know them."""

    def event(self, event: Event) -> None:
        """Nodes have their own."""

    def ask(self, change: Mapping[str, Any]) -> int:
        """Let all nodes change something; the largest of the first images that it applies to.

        Raises
        ------
        RefusedError
            When a node refuses it.
        """
        request = _Request(change)
        self._asked.append(request)
        self._ring()
        if not request.done.wait(_ANSWER):
            late = [self._nodes[each].name for each in list(request.waiting or ()) if each in self._nodes]
            self._alarm(f"no answer to a change of {change['what']} from {', '.join(late) or 'the nodes'}")
        for name, text in request.errors.items():
            raise RefusedError("bad_value", f"node {name}: {text}")
        return request.first

    def _begin(self, run: Run) -> None:
        serial = time.time_ns()
        self._starts[run.key] = encode(
            {"type": "start", "serial": serial, "message": run.start.message, **keys_of(run.key)}
        )
        self._everyone(self._starts[run.key])

    def _end(self, run: Run) -> None:
        self._starts.pop(run.key, None)
        reason = str(getattr(run, "reason", "final"))
        self._everyone(encode({"type": "final", "reason": reason, **keys_of(run.key)}))

    def _everyone(self, message: bytes) -> None:
        for identity, node in list(self._nodes.items()):
            if not node.dead:
                self._to(identity, message)

    def _to(self, identity: bytes, message: bytes) -> None:
        with suppress(self._zmq.ZMQError):  # a node that does not read is told again, or dead
            self._socket.send_multipart([identity, message], self._zmq.NOBLOCK)

    def _tick(self) -> None:
        with suppress(self._zmq.Again):
            while True:
                identity, message = self._socket.recv_multipart(self._zmq.NOBLOCK)[:2]
                self._guarded(None, self._take, identity, message)
        now = time.monotonic()
        while self._asked:
            self._request(self._asked.popleft())
        if now >= self._repeat:
            self._repeat = now + _REPEAT
            for message in self._starts.values():
                self._everyone(message)
            for identity, node in list(self._nodes.items()):
                if not node.dead and now - node.heard > self.dead_after:
                    self._lose(identity, node)

    def _lose(self, identity: bytes, node: _Node) -> None:
        node.dead = True
        self._alarm(f"node {node.name} is silent: its images are missing from now on")
        for number, request in list(self._requests.items()):
            self._answered(number, request, identity)

    def _request(self, request: _Request) -> None:
        self._number += 1
        request.waiting = {identity for identity, node in self._nodes.items() if not node.dead}
        self._requests[self._number] = request
        for identity in request.waiting:
            self._to(identity, encode({"type": "change", "request": self._number, **request.message}))
        self._answered(self._number, request, b"")

    def _answered(self, number: int, request: _Request, identity: bytes) -> None:
        waiting = request.waiting if request.waiting is not None else set()
        waiting.discard(identity)
        if not waiting:
            self._requests.pop(number, None)
            request.done.set()

    def _take(self, identity: bytes, message: bytes) -> None:
        """Do what a message of a node asks for; a damaged one is an error that is told."""
        node = self._nodes.get(identity)
        values = decode(message)
        if not isinstance(values, dict):
            raise StreamError("a message of a node is no map")
        if values.get("type") == "results":
            if node is not None:
                node.heard = time.monotonic()
                batch = read_results_message(message)
                if isinstance(batch, ResultsBatch):
                    node.results[batch.series] = node.results.get(batch.series, 0) + len(batch.rows)
                    self._head.take_results(batch)
            return
        if not hmac.compare_digest(str(values.get("token", "")).encode(), self._token):
            self._refused += 1
            self._warn(None, "a node has another token: it is not heard")
            return
        if node is None:
            node = self._joined(identity, str(values["node"]))
        if node.dead:
            node.dead = False
            self._head.log.add("warning", {"text": f"node {node.name} is back"})
        node.heard = time.monotonic()
        match values["type"]:
            case "start":
                dtype = values.get("dtype")
                self._head.begin_series(key_of(values), bytes(values["message"]), None if dtype is None else str(dtype))
            case "books":
                for each in values["series"]:
                    self._books(node, each)
            case "changed":
                request = self._requests.get(int(values["request"]))
                if request is not None:
                    request.first = max(request.first, int(values.get("first_image", 0)))
                    if "error" in values:
                        request.errors[node.name] = str(values["error"])
                    self._answered(int(values["request"]), request, identity)

    def _joined(self, identity: bytes, name: str) -> _Node:
        if any(node.name == name and not node.dead for node in self._nodes.values()):
            self._head.log.warn(f"two nodes are called {name}: give each a --name of its own")
        self._nodes = {each: node for each, node in self._nodes.items() if node.name != name or not node.dead}
        node = self._nodes[identity] = _Node(name, time.monotonic())
        for change in self._head.changes():
            self._number += 1
            self._to(identity, encode({"type": "change", "request": self._number, **change}))
        for message in self._starts.values():
            self._to(identity, message)
        return node

    def _books(self, node: _Node, told: Mapping[str, Any]) -> None:
        series = key_of(told)
        books = Books(**{name: value for name, value in told["books"].items() if name in _COUNTS})
        sent = node.results.get(series, 0)
        progress = (books.received, sent)
        busy = books.in_flight > 0 or node.progress.get(series) != progress
        node.progress[series] = progress
        while len(node.progress) > 20:
            oldest = next(iter(node.progress))
            del node.progress[oldest]
            node.results.pop(oldest, None)
        self._head.take_books(node.name, series, books, ended=bool(told["ended"]), busy=busy)

    def _alarm(self, text: str) -> None:
        self._head.log.add("alarm", {"text": text})

    def _pause(self) -> float | None:
        return max(0.0, self._repeat - time.monotonic())

    def _sleep(self, timeout: float | None) -> None:
        self._poller.poll(None if timeout is None else max(0.0, timeout) * 1000.0)

    def _finish(self) -> None:
        for request in [*self._asked, *self._requests.values()]:
            request.done.set()
        self._socket.close()
        self._context.term()

    def _status(self) -> Mapping[str, Any]:
        nodes = {
            node.name: {"alive": not node.dead, "seconds_since_last": round(time.monotonic() - node.heard, 3)}
            for node in list(self._nodes.values())
        }
        return {"address": self.address, "nodes": nodes, "refused": self._refused}


def keys_of(series: SeriesKey) -> dict[str, Any]:
    """A series in a message between head and nodes."""
    return {"series_id": series.id, "series_unique_id": series.unique_id}


def key_of(message: Mapping[str, Any]) -> SeriesKey:
    """The inverse of `keys_of`."""
    return SeriesKey(int(message["series_id"]), str(message["series_unique_id"]))
