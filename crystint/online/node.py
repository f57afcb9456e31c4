"""A node: a service that looks at a part of the images of a series, and sends its results to the head."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

from crystint.engine import Engine
from crystint.errors import CrystintError, SettingError, StreamError
from crystint.online.head_link import key_of, keys_of
from crystint.online.order import AsTheyCome
from crystint.online.outlet import zmq_module
from crystint.online.queued_sink import QueuedSink, Tell
from crystint.online.result import Result
from crystint.online.results_message import results_message
from crystint.online.series import Series
from crystint.online.service import Service
from crystint.online.settings import AnalysisSettings
from crystint.online.sink import Run
from crystint.stream.cbor import decode, encode
from crystint.stream.messages import SeriesKey
from crystint.stream.typed_arrays import frame_of

__all__ = ["Node", "NodeLink"]

_BEAT = 0.3
"""s from one word to the head to the next"""
_LIMIT = 512 * 2**20
"""bytes of results that wait for the head"""


class Node(Service):
    """A service that belongs to a head.

    Parameters
    ----------
    head : str
        Address of the head, such as tcp://head:5610.
    streams : sequence of str
    name : str
        Of the node; each has another one.
    token : str
        That the head knows, too.
    settings, engine
        As of `Service`. What the head is asked to change is changed here, too.

    Raises
    ------
    SettingError
        For an address that is none.
    """

    def __init__(
        self,
        head: str,
        streams: Sequence[str] = (),
        *,
        name: str,
        token: str = "",
        settings: AnalysisSettings | None = None,
        engine: Engine | None = None,
    ) -> None:
        super().__init__(streams, settings=settings, engine=engine)
        self.emitter.order = AsTheyCome()
        self.link = NodeLink(self, head, name, token, self.tell)
        self.add(self.link)

    def close_series(self, series: SeriesKey, reason: str) -> None:
        """Make a series final, since the head did."""
        self._call(lambda: self.intake.close(series, reason))

    def obey(self, change: Mapping[str, Any]) -> int:
        """Change what the head changes; the first image that has it here.

        Parameters
        ----------
        change : mapping
            "what" is settings, rois or mask; "values" what to change; "version" the number that it gets.

        Raises
        ------
        RefusedError
            As at the head.
        """
        what, values = change["what"], change["values"]
        if what == "rois":
            self.configuration.follow(roi_version=int(change["version"]))
            first = self.change_rois(values).first_image
            self.configuration.follow(roi_version=int(change["version"]) + 1)
            return first
        self.configuration.follow(settings_version=int(change["version"]))
        first = (self.change_mask(values) if what == "mask" else self.change_settings(values)).first_image
        self.configuration.follow(settings_version=int(change["version"]) + 1)
        return first


class NodeLink(QueuedSink):
    """What joins a node with its head: results, starts and books one way, starts, ends and changes the other.

    Parameters
    ----------
    node : Node
    address : str
    name, token : str
    tell : callable
        Takes warnings, as events.
    """

    def __init__(self, node: Node, address: str, name: str, token: str, tell: Tell) -> None:
        super().__init__("head", tell, limit=_LIMIT)
        self._node, self._name, self._token = node, name, token
        self._zmq = zmq = zmq_module()
        self._context = zmq.Context()
        self._socket = self._context.socket(zmq.DEALER)
        for option, value in {
            "LINGER": 500,
            "TCP_KEEPALIVE": 1,
            "RECONNECT_IVL": 100,
            "RECONNECT_IVL_MAX": 1000,
        }.items():
            self._socket.setsockopt(getattr(zmq, option), value)
        try:
            self._socket.connect(address)
        except zmq.ZMQError as error:
            self._socket.close()
            self._context.term()
            raise SettingError(f"head: is {address!r}: {error}; expected an address such as tcp://head:5610") from None
        self._poller = zmq.Poller()
        self._poller.register(self._socket, zmq.POLLIN)
        self._poller.register(self._wake, zmq.POLLIN)
        self._beat = 0.0
        self._sequence = 0
        self._heard: float | None = None
        self._starts: set[int] = set()
        self._changes: set[int] = set()
        self._start()

    def _begin(self, run: Run) -> None:
        if not run.start.message:
            return  # it is assumed: the head waits for that of another node
        context = getattr(run, "context", None)
        current = None if context is None else context.current
        dtype = run.start.dtype if current is None else current.dtype
        self._send({
            "type": "start", "message": run.start.message,
            "dtype": None if dtype is None else dtype.str, **keys_of(run.key),
        })  # fmt: skip

    def _results(self, run: Run, results: Sequence[Result]) -> None:
        self._push(results_message(run.key, results, self._sequence, exact=True))
        self._sequence += 1

    def _end(self, run: Run) -> None:
        self._tell_books()

    def _send(self, message: Mapping[str, Any]) -> None:
        self._push(encode({"node": self._name, "token": self._token, **message}))

    def _push(self, message: bytes) -> None:
        while not self._socket.poll(200, self._zmq.POLLOUT):
            if self._closing:
                return
        self._socket.send(message)

    def _tell_books(self) -> None:
        """What this node counts, of all series that are open or were closed lately."""
        intake = self._node.intake
        every: list[Series] = [*list(intake.live.values()), *list(intake.closed)[-4:]]
        told = [
            {**keys_of(series.key), "ended": series.ended is not None, "books": series.books.to_dict()}
            for series in every
        ]  # fmt: skip
        self._send({"type": "books", "series": told})
        self._beat = time.monotonic() + _BEAT

    def _tick(self) -> None:
        with suppress(self._zmq.Again):
            while True:
                message = self._socket.recv(self._zmq.NOBLOCK)
                self._heard = time.monotonic()
                try:
                    self._take(decode(message))
                except (StreamError, KeyError, TypeError, ValueError) as error:
                    self._warn(None, f"a message of the head cannot be read: {error}")
        if time.monotonic() >= self._beat and self._socket.poll(0, self._zmq.POLLOUT):
            self._tell_books()

    def _take(self, message: Any) -> None:
        kind = message["type"]
        if kind == "start" and message["serial"] not in self._starts:
            self._starts.add(message["serial"])
            if key_of(message) not in self._node.intake.live:
                self._node.take(bytes(message["message"]))
        elif kind == "final":
            self._node.close_series(key_of(message), str(message["reason"]))
        elif kind == "change" and message["request"] not in self._changes:
            self._changes.add(message["request"])
            answer: dict[str, Any] = {"type": "changed", "request": message["request"]}
            if message["what"] == "mask" and message["values"] is not None:
                message = {**message, "values": frame_of(message["values"], "mask").decode()}
            try:
                answer["first_image"] = self._node.obey(message)
            except CrystintError as error:
                answer["error"] = str(error)
            self._send(answer)

    def _pause(self) -> float | None:
        return max(0.0, self._beat - time.monotonic())

    def _sleep(self, timeout: float | None) -> None:
        self._poller.poll(None if timeout is None else max(0.0, timeout) * 1000.0)

    def _finish(self) -> None:
        self._socket.close()
        self._context.term()

    def _status(self) -> Mapping[str, Any]:
        since = None if self._heard is None else time.monotonic() - self._heard
        return {"name": self._name, "seconds_since_head": since}
