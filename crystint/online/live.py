"""Live views over a WebSocket: the next one is sent when the last has been acknowledged, so a slow line never queues.

A message to the client is binary: the length of a head as big-endian uint32, the head as JSON, and the pixels of a view
packed with bitshuffle and LZ4. A client sends JSON: what it wants to see, and ``{"ack": sequence}``.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import numpy as np
from fastapi import APIRouter, WebSocket, WebSocketDisconnect
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.websockets import WebSocketState

from crystint.errors import CrystintError, RefusedError
from crystint.model.frame_table import FrameStatus
from crystint.online.answers import json_bytes
from crystint.online.broker import Broker
from crystint.online.desk import desk_of
from crystint.online.frame_source import LAST, HeldFrame
from crystint.online.held_images import HeldImages
from crystint.online.image_details import row_and_spots
from crystint.online.image_views import Plane, ViewWish
from crystint.online.layers import Layer
from crystint.online.result import RESULT_DTYPE
from crystint.online.stacks import MOST_IMAGES, Stacking
from crystint.online.views import Binning

__all__ = ["Wish", "live_routes"]

_FIRST_WORD = 5.0
"""s that a client has for its token"""
_POLL = 0.02
"""s after which it is seen whether a new image is there"""
_FIRST_WISH = 0.25
"""s that a client has to say what it wants to see, before it gets what most want"""
_LONGEST_PAUSE = 1.0
"""s after which it is seen whether the service ends"""
_SHARE = 0.5
"""of the time in which views are made for one viewer, however slow they are"""
_BEFORE = 100
"""rows of results among which the last image that was looked at is searched for"""
_MOST_ROWS = 1000
_MOST_TEXT = 10_000
_REFUSED, _WRONG = 1008, 1003


class Wish(BaseModel):
    """What a client wants to see."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    slow: str | None = Field(default=None, max_length=40)
    fast: str | None = Field(default=None, max_length=40)
    size: str | None = Field(default=None, max_length=12)
    bin: Binning = "max"
    layer: Layer = "counts"
    last: int = Field(default=1, ge=1, le=MOST_IMAGES)
    """images that are put together"""
    of: Stacking = "sum"
    frame: Plane = "detector"
    series: str | None = Field(default=None, max_length=300)
    """None = the newest, whichever that is"""
    fps: float = Field(default=10.0, gt=0.0, le=10.0)
    columns: tuple[str, ...] = ("n_spots", "n_no_ice", "hit", "background", "d_min")
    """of the results that came; none = no results"""
    view: bool = True
    """False = results alone"""
    spots: bool = False
    """with the spots and the row of the image that is shown"""

    @property
    def view_wish(self) -> ViewWish:
        """Of the view."""
        return ViewWish(self.slow, self.fast, self.size, self.bin, self.layer, self.last, self.of, self.frame)


def live_routes(broker: Broker) -> APIRouter:
    """The route of the live view."""
    api = APIRouter()

    @api.websocket("/api/v1/live")
    async def live(socket: WebSocket) -> None:
        await socket.accept()
        if not await _may_look(socket, broker):
            await socket.close(_REFUSED, "no token, or a wrong one")
            return
        broker.traffic.viewers += 1
        try:
            await _Live(socket, broker).run()
        except WebSocketDisconnect:
            pass
        finally:
            broker.traffic.viewers -= 1

    return api


async def _may_look(socket: WebSocket, broker: Broker) -> bool:
    """Whether the cookie, or the token of the first message, allows it."""
    if socket.scope.get("state", {}).get("role") is not None:
        return True
    try:
        text = await asyncio.wait_for(socket.receive_text(), _FIRST_WORD)
        token = json.loads(text[:_MOST_TEXT]).get("token")
    except (TimeoutError, ValueError, AttributeError, KeyError, RecursionError, WebSocketDisconnect):
        return False
    if isinstance(token, str) and broker.access.role_of(token) is not None:
        return True
    broker.access.failed()
    return False


class _Live:
    def __init__(self, socket: WebSocket, broker: Broker) -> None:
        self._socket, self._broker = socket, broker
        self._wish = Wish()
        self._sequence = self._acknowledged = 0
        self._changed = asyncio.Event()
        self._last: tuple[Wish, str, int] | None = None
        """what was sent last"""
        self._error = ""
        """that was told last"""
        self._nothing: tuple[Wish, int, int] | None = None
        """the state in which there was nothing new to see"""
        self._seen: tuple[Any, int] = (None, 0)
        self._asked = time.monotonic()
        """of the clock: when the last acknowledgement came"""
        self._rest = 0.0
        """s of the clock before which no other view is made"""

    async def run(self) -> None:
        listening = asyncio.create_task(self._listen())
        due = 0.0
        """of the clock: when the next message may be sent"""
        try:
            await self._pause(_FIRST_WISH)
            while not self._broker.closing and not listening.done():
                now = time.monotonic()
                if self._acknowledged < self._sequence:
                    await self._pause(_LONGEST_PAUSE)
                elif now < due:
                    await asyncio.sleep(due - now)
                elif await self._send(self._wish):
                    due = now + 1.0 / self._wish.fps
                else:
                    await self._pause(_POLL)
            if listening.done():
                listening.result()
        finally:
            listening.cancel()
            with suppress(asyncio.CancelledError, WebSocketDisconnect, RefusedError):
                await listening

    async def _pause(self, longest: float) -> None:
        """Until the client says something, for so many s at most."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self._changed.wait(), longest)
        self._changed.clear()

    async def _listen(self) -> None:
        """Wishes and acknowledgements."""
        while True:
            try:
                text = await self._socket.receive_text()
                self._changed.set()
                words = json.loads(text[:_MOST_TEXT])
                if isinstance(words, Mapping) and set(words) == {"ack"}:
                    self._acknowledged = min(int(words["ack"]), self._sequence)
                    self._asked = time.monotonic()
                else:
                    self._wish = Wish.model_validate(words)
                    if not self._wish.view:
                        # who looks again wants to see the newest, whatever he saw before
                        self._last = self._nothing = None
                    unknown = [name for name in self._wish.columns if name not in (RESULT_DTYPE.names or ())]
                    if unknown:
                        raise ValueError(f"there is no column {unknown[0]!r}")
            except (ValueError, TypeError, KeyError, OverflowError, RecursionError, ValidationError) as error:
                await self._socket.close(_WRONG, str(error).splitlines()[0][:100])
                return

    async def _send(self, wish: Wish) -> bool:
        """What is new: a view, results, or both. Whether there was something."""
        head: dict[str, Any] = {}
        packed = b""
        now = self._state(wish)
        if wish.view and time.monotonic() >= self._rest and (now is None or now != self._nothing):
            try:
                seen, packed, cost = await desk_of(self._broker).live(self._view, wish)
                head |= seen
                self._nothing = None if seen else now
                self._rest = time.monotonic() + cost * (1.0 / _SHARE - 1.0)
                error = ""
            except CrystintError as refused:  # nothing is held, or the wish does not fit
                error = str(refused)
            if error and error != self._error:
                head["error"] = error
            self._error = error
        rows = self._results(wish) if wish.columns else None
        if rows:
            head["results"] = rows
        if not head:
            return False
        if self._socket.application_state is not WebSocketState.CONNECTED:
            return False  # it was closed while the view was made
        self._sequence += 1
        head["sequence"] = self._sequence
        head["after"] = round(time.monotonic() - self._asked, 4)
        text = json_bytes(head)
        await self._socket.send_bytes(len(text).to_bytes(4, "big") + text + packed)
        return True

    def _state(self, wish: Wish) -> tuple[Wish, int, int] | None:
        """Stays as it is while nothing comes: it is seen often, and costs nothing. None = it cannot be told so."""
        if wish.series is not None or self._broker.ring is None or self._error:
            return None
        series = self._broker.history.series()
        return wish, desk_of(self._broker).ring.count, 0 if series is None else series.came

    def _view(self, wish: Wish) -> tuple[dict[str, Any], bytes, float]:
        """Parts of the head, the values, and the seconds that it took; nothing where it was sent already."""
        begin = time.monotonic()
        views = desk_of(self._broker).views
        seen = None if self._last is None or self._last[0] != wish else self._last[1:]
        frame = views.newest((wish.series, wish.spots), lambda: self._newest(views.images, wish), seen)
        if seen == (frame.series, frame.number):
            return {}, b"", 0.0
        made = views.of(frame, wish.view_wish)
        head = {"view": made.about, **(row_and_spots(views, frame) if wish.spots else {})}
        packed = made.packed
        self._last = (wish, frame.series, frame.number)
        return head, packed, time.monotonic() - begin

    def _newest(self, images: HeldImages, wish: Wish) -> HeldFrame:
        """The newest image; with spots, the newest that was looked at, where it is held."""
        series = self._broker.history.series(wish.series) if wish.spots else None
        if series is not None:
            rows = series.arrived.table[-_BEFORE:]
            seen = rows["frame"][np.isin(rows["status"], (FrameStatus.OK, FrameStatus.VETOED))]
            if len(seen):
                with suppress(RefusedError):
                    return images.frame(int(seen[-1]), str(series.key))
        return images.frame(LAST, wish.series)

    def _results(self, wish: Wish) -> dict[str, Any] | None:
        """Rows that came since the last message, the newest 1000 of them."""
        series = self._broker.history.series(wish.series)
        if series is None:
            return None
        came, arrived = series.now
        key, before = self._seen
        fresh = came - (before if key == series.key else 0)
        if fresh <= 0:
            return None
        self._seen = (series.key, came)
        rows = arrived.table[-min(fresh, _MOST_ROWS) :]
        columns = {name: rows[name] for name in ("frame", *wish.columns)}
        return {"series": str(series.key), "left_out": fresh - len(rows), "columns": columns}
