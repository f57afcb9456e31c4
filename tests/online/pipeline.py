"""The data process without sockets, devices and threads: an intake, a queue, workers that a test turns, an order."""

from __future__ import annotations

from collections import deque
from typing import Any

import numpy as np

from crystint.model.frame_table import FrameStatus
from crystint.online.intake import Intake, plain_result
from crystint.online.order import Order
from crystint.online.result import Result
from crystint.online.series import Series
from crystint.online.work_queue import Work, WorkQueue
from crystint.stream.messages import Image, SeriesKey, Start
from crystint.stream.packed_frame import PackedFrame

SHAPE = (4, 3)
SIZE = 1000


def key(number: int = 1, unique: str = "a") -> SeriesKey:
    return SeriesKey(number, unique)


def start(series: SeriesKey | None = None, images: int | None = 10, **values: Any) -> Start:
    return Start(series or key(), SHAPE, "stream2", images=images, message=values.pop("message", b"s"), **values)


def image(
    number: int, series: SeriesKey | None = None, content: int = 1, shape: Any = SHAPE, size: int = SIZE
) -> Image:
    pixels = np.full(shape[0] * shape[1], content, np.uint8)
    return Image(series or key(), number, {"t": PackedFrame(pixels, shape, np.dtype("u1"), "none")}, size=size)


class Pipeline:
    """As `crystint.online.intake.Follower`, and all that it gives to and takes from."""

    def __init__(self, budget: int = 10**9, when_full: Any = "skip", assume: bool = False, **options: Any) -> None:
        self.now = 100.0
        self.queue = WorkQueue(budget, when_full, clock=lambda: self.now)
        self.order = Order(lambda: self.now)
        self.intake = Intake(lambda parts: parts[0], self.queue, self, clock=lambda: self.now, **options)
        self.assume = assume
        self.series: list[Series] = []
        self.raw: list[tuple[SeriesKey, int]] = []
        self.warnings: list[str] = []
        self.outcomes: deque[tuple[Series, Result]] = deque()
        self.working: list[Work] = []
        self.released: dict[int, list[Result]] = {}
        self.settled: list[Series] = []

    def begun(self, series: Series) -> None:
        self.series.append(series)
        self.released[id(series)] = []
        self.order.begin(series)

    def image(self, series: Series, image: Image, received: int) -> None:
        self.raw.append((series.key, image.number))

    def result(self, series: Series, result: Result) -> None:
        self.outcomes.append((series, result))

    def final(self, series: Series) -> None:
        self.order.close(series)

    def warning(self, text: str) -> None:
        self.warnings.append(text)

    def assumed_start(self, image: Image) -> Start | None:
        return Start(image.series, next(iter(image.frames.values())).shape, "stream2") if self.assume else None

    def send(self, *messages: Any) -> None:
        for message in messages:
            self.intake.message([message], int(self.now * 1e9))

    def wait(self, seconds: float) -> None:
        self.now += seconds
        self.intake.tick()

    def work(self, most: int = 10**9, failing: Any = ()) -> int:
        """Let workers look at as many images, and the results go out; how many there were."""
        done = 0
        while done < most and (work := self.queue.get(0.0)) is not None:
            self.finish(work, failing=work.image.number in failing)
            done += 1
        self.emit()
        return done

    def finish(self, work: Work, failing: bool = False) -> None:
        self.queue.done(work)
        status = FrameStatus.FAILED if failing else FrameStatus.OK
        self.outcomes.append((work.series, plain_result(work.series.key, work.image.number, status, work.received)))

    def emit(self, most: int = 10**9) -> None:
        while self.outcomes and most > 0:
            series, result = self.outcomes.popleft()
            self.released[id(series)] += self.order.put(series, result)
            most -= 1
        for series, results in self.order.tick():
            self.released[id(series)] += results
        for series, results in self.order.settled():
            self.released[id(series)] += results
            series.settled = True
            self.settled.append(series)

    def rows(self, series: Series) -> list[tuple[int, str]]:
        """Number and status of all rows that were given out, "late" of those that were late."""
        return [(r.number, "late" if r.row["late"][0] else r.status.name) for r in self.released[id(series)]]
