"""Where images are looked at: a few at a time, in threads, so that nothing else of the web process waits for them."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeVar

import anyio
import anyio.to_thread

from crystint.errors import RefusedError
from crystint.online.answers import ApiError
from crystint.online.broker import Broker
from crystint.online.frame_source import RingFrames, SeriesFrames
from crystint.online.held_images import HeldImages
from crystint.online.image_views import ImageViews
from crystint.online.opened_files import files_of
from crystint.online.ring import RingReader

__all__ = ["Desk", "desk_of"]

_PATIENCE = 30.0
_AT_A_TIME, _MOST_WAITING = 2, 4
_LIVE = 2
"""live views that are made at a time, beside what is asked for: neither waits for the other"""
_TRIES = 5
"""what-ifs in a second"""
_T = TypeVar("_T")


@dataclass
class Desk:
    """Two images at a time for requests, of which four more may wait, and two for live views."""

    broker: Broker
    waiting: int = 0
    tries: deque[float] = field(default_factory=deque)

    def __post_init__(self) -> None:
        self._limiter: anyio.CapacityLimiter | None = None
        self._live_limiter: anyio.CapacityLimiter | None = None
        self._views: tuple[tuple[Any, ...], ImageViews] | None = None

    @property
    def ring(self) -> RingReader:
        """Where the last images of the stream are.

        Raises
        ------
        RefusedError
            When none are kept.
        """
        frames = self.images.frames
        if not isinstance(frames, SeriesFrames) or not isinstance(frames.stream, RingFrames):
            raise RefusedError("not_found", "no images are held: the service keeps none for viewers")
        return frames.stream.reader

    @property
    def images(self) -> HeldImages:
        """As those of `views`."""
        return self.views.images

    @property
    def views(self) -> ImageViews:
        """Of the last images of the stream, and of those of finished files."""
        broker = self.broker
        asked = (broker.ring, broker.control, broker.history)
        if self._views is None or any(a is not b for a, b in zip(self._views[0], asked, strict=True)):
            frames = SeriesFrames(None if broker.ring is None else RingFrames(*asked), files_of(broker))
            images = HeldImages(frames, broker.control, broker.history, broker.engine)
            self._views = (asked, ImageViews(images))
        return self._views[1]

    async def do(self, function: Callable[..., _T], *arguments: Any) -> _T:
        """Work that takes its time, in a thread.

        Raises
        ------
        ApiError
            429 when too many wait; 503 when it takes too long.
        """
        if self._limiter is None:
            self._limiter = anyio.CapacityLimiter(_AT_A_TIME)
        if self.waiting >= _AT_A_TIME + _MOST_WAITING:
            raise ApiError(429, "busy", "too many pictures are being made; ask again")
        self.waiting += 1
        try:
            return await _in_thread(partial(function, *arguments), self._limiter)
        finally:
            self.waiting -= 1

    async def live(self, function: Callable[..., _T], *arguments: Any) -> _T:
        """As `do`, for viewers that never have more than one view in work: it waits for its turn among them.

        Raises
        ------
        ApiError
            503 when it takes too long.
        """
        if self._live_limiter is None:
            self._live_limiter = anyio.CapacityLimiter(_LIVE)
        return await _in_thread(partial(function, *arguments), self._live_limiter)

    def may_try(self) -> None:
        """Count a what-if.

        Raises
        ------
        ApiError
            429 beyond five in a second.
        """
        now = time.monotonic()
        while self.tries and now - self.tries[0] > 1.0:
            self.tries.popleft()
        if len(self.tries) >= _TRIES:
            raise ApiError(429, "busy", f"at most {_TRIES} in a second; ask again")
        self.tries.append(now)


def desk_of(broker: Broker) -> Desk:
    """That of a broker: one for all routes."""
    if broker.desk is None:
        broker.desk = Desk(broker)
    desk: Desk = broker.desk
    return desk


async def _in_thread(work: Callable[[], _T], limiter: anyio.CapacityLimiter) -> _T:
    try:
        with anyio.fail_after(_PATIENCE):
            return await anyio.to_thread.run_sync(work, abandon_on_cancel=True, limiter=limiter)
    except TimeoutError:
        raise ApiError(503, "busy", f"it takes longer than {_PATIENCE:g} s; ask again") from None
