"""Images that somebody looks at, without a service: frames in memory, and a control that only tells its settings."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from crystint.engine import Engine
from crystint.errors import RefusedError
from crystint.online import AnalysisSettings, Service
from crystint.online.frame_source import LAST, HeldFrame
from crystint.online.held_images import HeldImages
from crystint.online.history import History
from crystint.online.ring import Ring, RingReader
from crystint.stream import Image, encode_frame
from crystint.stream.messages import SeriesKey
from tests.online.streams import KEY, frames_of, messages_of, start_of

FRAMES = frames_of(count=3)
SETTINGS = AnalysisSettings(rings=60, hit_peaks=3)


@contextmanager
def served() -> Iterator[tuple[Service, RingReader, list[Any]]]:
    """A service that took a series of three images, its ring, and the results."""
    ring = Ring(2**22)
    service = Service(settings=SETTINGS, engine=Engine("cpu"))
    service.add(ring)
    with service:
        results: list[Any] = []
        service.on_result(results.append)
        for message in messages_of(FRAMES):
            service.take(message)
        assert service.wait("idle")
        until = time.monotonic() + 30
        while len(results) < len(FRAMES) and time.monotonic() < until:  # callbacks have a thread of their own
            time.sleep(0.02)
        with RingReader(ring.address) as reader:
            yield service, reader, results
    ring.close()


class Frames:
    """A `crystint.online.frame_source.FrameSource` of frames in memory."""

    def __init__(self, frames: Any, start: Any, numbers: Any = None) -> None:
        self.start, self.asked = start, 0
        names = range(len(frames)) if numbers is None else numbers
        self.frames = dict(zip(names, frames, strict=True))

    def held(self, series: str | None = None) -> tuple[str | None, list[int]]:
        return str(self.start.series), list(self.frames)

    def frame(self, number: int, series: str | None = None) -> HeldFrame:
        number = max(self.frames) if number == LAST else number
        self.asked += 1
        if number not in self.frames:
            raise RefusedError("not_found", f"image {number} is not held", "id")
        image = Image(self.start.series, number, {"threshold_1": encode_frame(self.frames[number], "none")})
        return HeldFrame(str(self.start.series), number, (), image, self.start)


class Told:
    """As much of a control as is asked for images."""

    def __init__(self, settings: AnalysisSettings = SETTINGS, user: Any = None) -> None:
        self.values, self.version, self.user = settings, 1, user

    def settings(self) -> dict[str, Any]:
        return {"values": self.values.plain(), "version": self.version, "revision": self.version}

    def rois(self) -> dict[str, Any]:
        return {"document": {"rois": []}, "version": 1, "revision": 1}

    def mask(self, layer: str = "total") -> Any:
        return self.user


def images_of(
    frames: Any,
    *,
    series: SeriesKey = KEY,
    numbers: Any = None,
    user: Any = None,
    engine: Any = None,
    settings: AnalysisSettings = SETTINGS,
    **start: Any,
) -> HeldImages:
    """Frames, with what is made of them."""
    frames = np.asarray(frames)
    source = Frames(frames, start_of(frames, series, **start), numbers)
    return HeldImages(source, Told(settings, user), History(), lambda: engine or Engine("cpu"))
