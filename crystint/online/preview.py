"""Publishes as Jungfraujoch does: some images with their spots, and what is known of every image without pixels."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any, NamedTuple

from crystint.model.frame_table import FrameStatus
from crystint.online.preview_messages import PREVIEW_PERIOD, metadata_message, preview_end, preview_image, preview_start
from crystint.online.queued_sink import Tell
from crystint.online.result import Result
from crystint.online.sink import Event, Run
from crystint.online.zmq_sink import PublishingSink
from crystint.stream.messages import Image, SeriesKey

__all__ = ["MetadataPublisher", "PreviewPublisher"]

_REPEAT = 0.8
"""s from a start message to the next: viewers expect one in a second"""
_QUIET = 0.12
"""s after a start message without an image: viewers that take the newest message alone must see it"""
_PATIENCE = 2.0
"""s that the result of an image is waited for"""
_BUNDLE = 0.1
"""s from one metadata message to the next"""
_MOST = 256
"""images of a metadata message"""


class _Candidate(NamedTuple):
    """An image that is to be shown when its result is there."""

    key: SeriesKey
    image: Image
    since: float


class PreviewPublisher(PublishingSink):
    """A PUB socket with some images and their spots, that Jungfraujoch's viewers show.

    The start of the series is repeated, with a pause after it, since these viewers may come late and drop what is not
    the newest. Images are held while somebody listens only, one at a time.

    Parameters
    ----------
    address : str
        Where it is bound, such as tcp://127.0.0.1:5601.
    tell : callable, optional
        Takes warnings, as events.
    period : float
        s from an image to the next.
    channel : str, optional
        That is shown; None = the first.

    Raises
    ------
    SettingError
        When it cannot be bound there.
    """

    def __init__(
        self, address: str, tell: Tell | None = None, *, period: float = PREVIEW_PERIOD, channel: str | None = None
    ) -> None:
        super().__init__("preview", address, tell)
        self._period, self._channel = period, channel
        self._series: Run | None = None
        self._message: bytes | None = None
        self._candidate: _Candidate | None = None
        self._due = self._repeat = self._quiet = 0.0
        self._ready: tuple[Image, Result] | None = None
        self._images = 0
        self._start()

    def image(self, run: Run, image: Image) -> None:
        if not self._subscribers:
            return
        now, held = time.monotonic(), self._candidate
        if (held is None and now >= self._due) or (held is not None and now - held.since > _PATIENCE):
            self._candidate = _Candidate(run.key, image, now)

    def results(self, run: Run, results: Sequence[Result]) -> None:
        held = self._candidate
        if held is None or held.key != run.key:
            return
        for result in results:
            if result.number == held.image.number:
                self._candidate = None
                if result.status in (FrameStatus.OK, FrameStatus.VETOED):
                    self._due = time.monotonic() + self._period
                    self._put("results", run, (held.image, result), held.image.size)

    def event(self, event: Event) -> None: ...

    def _begin(self, run: Run) -> None:
        self._series, self._message = run, None
        self._ready = None
        self._repeat = 0.0

    def _results(self, run: Run, pair: Any) -> None:
        if self._series is not None and run.key == self._series.key:
            self._ready = pair

    def _end(self, run: Run) -> None:
        if self._series is None or run.key != self._series.key:
            return
        self._series = None
        if self._listening():
            if self._ready is not None:
                self._show(self._ready)
            self._publish(preview_end(run))
        self._ready = self._candidate = None

    def _joined(self) -> None:
        self._repeat = 0.0

    def _tick(self) -> None:
        run, now = self._series, time.monotonic()
        if not self._listening() or run is None:
            return
        if now >= self._repeat:
            self._repeat, self._quiet = now + _REPEAT, now + _QUIET
            if self._message is None:
                self._message = preview_start(run, self._channel)
            self._publish(self._message)
        elif self._ready is not None and now >= self._quiet:
            pair, self._ready = self._ready, None
            try:
                self._show(pair)
            except Exception as error:
                self._fail(run, error)

    def _show(self, pair: tuple[Image, Result]) -> None:
        self._publish(preview_image(*pair, self._channel))
        self._images += 1

    def _pause(self) -> float | None:
        if self._series is None or not self._subscribers:
            return None
        due = self._repeat if self._ready is None else min(self._repeat, self._quiet)
        return due - time.monotonic()

    def _status(self) -> dict[str, Any]:
        return {**super()._status(), "images": self._images}


class MetadataPublisher(PublishingSink):
    """A PUB socket with what is known of every image, without its pixels, in bundles of 0.1 s.

    Parameters and errors as of `PreviewPublisher`.
    """

    def __init__(self, address: str, tell: Tell | None = None, *, channel: str | None = None) -> None:
        super().__init__("metadata", address, tell)
        self._channel = channel
        self._open: dict[SeriesKey, tuple[Run, list[Result]]] = {}
        self._due = 0.0
        self._start()

    def event(self, event: Event) -> None: ...

    def _begin(self, run: Run) -> None:
        self._open[run.key] = (run, [])
        if self._listening():
            self._publish(preview_start(run, self._channel))

    def _results(self, run: Run, results: Sequence[Result]) -> None:
        _, waiting = self._open.setdefault(run.key, (run, []))
        if not any(each for _, each in self._open.values()):
            self._due = time.monotonic() + _BUNDLE
        waiting += results
        while len(waiting) >= _MOST:
            self._send(run, waiting, _MOST)

    def _end(self, run: Run) -> None:
        _, waiting = self._open.pop(run.key, (run, []))
        while waiting:
            self._send(run, waiting, _MOST)
        if self._listening():
            self._publish(preview_end(run))

    def _send(self, run: Run, waiting: list[Result], most: int) -> None:
        some = waiting[:most]
        del waiting[:most]
        if self._listening():
            self._publish(metadata_message(run, some))

    def _joined(self) -> None:
        for run, _ in self._open.values():
            self._publish(preview_start(run, self._channel))

    def _tick(self) -> None:
        self._listening()
        if time.monotonic() >= self._due:
            for run, waiting in tuple(self._open.values()):
                if waiting:
                    self._send(run, waiting, _MOST)

    def _pause(self) -> float | None:
        if any(waiting for _, waiting in self._open.values()):
            return self._due - time.monotonic()
        return None
