"""Threads that look at images: unpack, examine, and what is done when the device fails."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import groupby
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crystint.engine import Engine
from crystint.errors import CrystintError, StreamError
from crystint.model.frame_table import FrameStatus
from crystint.online.analysis import Analysis
from crystint.online.intake import plain_result
from crystint.online.result import Result
from crystint.online.series import Series
from crystint.online.sparse_images import SparseImages
from crystint.online.timeline import Timeline
from crystint.online.work_queue import Work, WorkQueue
from crystint.stream.messages import Image, Start

__all__ = ["Workers"]


class Workers:
    """Threads that take images out of a queue.

    Parameters
    ----------
    queue : WorkQueue
    threads : int
    deliver : callable
        Called with the series and the result of each image, in any order, from any of the threads.
    renew : callable
        Called with a timeline and the analysis whose device failed: puts the same on another device, or on the same one
        begun anew, into the timeline, and tells whether it could.
    sparse : SparseImages, optional
        Makes sparse images, too.
    """

    def __init__(
        self,
        queue: WorkQueue,
        threads: int,
        deliver: Callable[[Series, Result], None],
        renew: Callable[[Timeline, Analysis, Exception], bool],
        sparse: SparseImages | None = None,
    ) -> None:
        self.queue, self._deliver, self._renew, self._sparse = queue, deliver, renew, sparse
        self._own = threading.local()
        self._threads = [threading.Thread(target=self._run, name=f"worker {n}") for n in range(threads)]

    def start(self) -> None:
        """Begin."""
        for thread in self._threads:
            thread.start()

    def join(self) -> None:
        """Wait until the queue is closed and empty."""
        for thread in self._threads:
            thread.join()

    def __len__(self) -> int:
        return len(self._threads)

    def _run(self) -> None:
        while True:
            work = self.queue.get()
            if work is None:
                return
            for _, some in groupby([work, *self._waiting(work)], key=lambda each: each.series):
                works = list(some)
                results = self._results_of(works)
                for each, result in zip(works, results):
                    self._deliver(each.series, result)
                    self.queue.done(each)
            del work, some, works, each, results, result  # their memory, while this waits

    def _waiting(self, work: Work) -> list[Work]:
        """More images that wait already, until there are as many as the device takes at a time."""
        timeline = work.series.context
        analysis = timeline.current if isinstance(timeline, Timeline) else None
        most = 1 if analysis is None else analysis.search.batch
        works: list[Work] = []
        while len(works) < most - 1 and (another := self.queue.get(0.0)) is not None:
            works.append(another)
        return works

    def _results_of(self, works: Sequence[Work]) -> list[Result]:
        """The results of images of one series, whatever happens: no image may end a worker, or spoil another."""
        try:
            return self._look_at(works)
        except Exception as error:
            if len(works) > 1:
                return [result for work in works for result in self._results_of([work])]
            return [self._failed(works[0], f"{type(error).__name__}: {error}")]

    def _look_at(self, works: Sequence[Work]) -> list[Result]:
        timeline: Timeline = works[0].series.context
        timeline.ready.wait()
        taken = [(timeline.take(work.image.number), work) for work in works]
        results: list[Result] = []
        for _, some in groupby(taken, key=lambda pair: id(pair[0])):
            pairs = list(some)
            results += self._by(timeline, pairs[0][0], [work for _, work in pairs])
        return results

    def _by(self, timeline: Timeline, analysis: Analysis | None, works: Sequence[Work]) -> list[Result]:
        """The results of images that have one analysis; None = there is none."""
        if timeline.cancelled:
            return [self._skipped(work) for work in works]
        if analysis is None:
            return [self._failed(work, timeline.error) for work in works]
        results: dict[Work, Result] = {}
        there: list[Work] = []
        for work in works:
            if work.image.number % analysis.settings.sampling:
                results[work] = self._skipped(work)
                continue
            try:
                self._unpack(work.image, analysis, len(there))
            except CrystintError as error:
                results[work] = self._failed(work, str(error))
            else:
                there.append(work)
        if there:
            results |= zip(there, self._examined(timeline, analysis, there))
        return [results[work] for work in works]

    def _examined(self, timeline: Timeline, analysis: Analysis, works: Sequence[Work]) -> list[Result]:
        """The results of images that are unpacked. Where the device fails, a single one is looked at on another one."""
        try:
            return self._results(analysis, works)
        except Exception as error:  # of the device
            if len(works) > 1:
                raise
            if not self._renew(timeline, analysis, error):
                if isinstance(error, CrystintError):
                    return [self._failed(works[0], str(error))]
                raise
        try:
            return self._results(timeline.take(works[0].image.number) or analysis, works)
        except CrystintError as error:
            return [self._failed(works[0], str(error))]

    def _results(self, analysis: Analysis, works: Sequence[Work]) -> list[Result]:
        made, frames = self._sparse, self._own.memory[: len(works)]
        numbers = [work.image.number for work in works]
        several = analysis.examine_several(frames, numbers, None if made is None else made.snr)
        results = []
        for work, frame, examined in zip(works, frames, several):
            row, image = examined.row, work.image
            row["t_received"], row["t_done"] = work.received, time.time_ns()
            if image.started is not None:
                row["t_start"], row["time"] = image.started, 1e-9 * image.started
            row["angle"] = _angle(analysis.start, image.number)
            sparse = None
            if made is not None:
                sparse = made.make(work.series.context.sparse, examined.sparse, frame, analysis.geometry)
            result = Result(work.series.key, row, examined.peaks, sparse=sparse)
            if examined.regions is not None:
                result = replace(result, rois=examined.regions, roi_names=analysis.rois.names)
            results.append(result)
        return results

    def _unpack(self, image: Image, analysis: Analysis, place: int) -> None:
        """Put the frame into the memory of this thread, which its next images use again."""
        channel = analysis.channel
        if channel is None or (channel not in image.frames and not analysis.start.channels):
            channel = next(iter(image.frames), None)
        packed = None if channel is None else image.frames.get(channel)
        if packed is None:
            raise StreamError(
                f"image {image.number} has no channel {channel!r}; it has {', '.join(image.frames) or 'none'}"
            )
        analysis.check(image.number, packed.shape, packed.dtype.newbyteorder("="))
        shape, memory = (analysis.search.batch, *analysis.shape), getattr(self._own, "memory", None)
        if memory is None or memory.shape != shape or memory.dtype != analysis.dtype:
            memory = self._own.memory = _new_array(analysis.search.engine, shape, analysis.dtype)
        packed.decode(memory[place])

    def _failed(self, work: Work, error: str) -> Result:
        return plain_result(work.series.key, work.image.number, FrameStatus.FAILED, work.received, error)

    def _skipped(self, work: Work) -> Result:
        return plain_result(work.series.key, work.image.number, FrameStatus.SKIPPED, work.received)


def _new_array(engine: Engine | None, shape: tuple[int, ...], dtype: np.dtype[Any]) -> NDArray[Any]:
    return np.empty(shape, dtype) if engine is None else engine.new_input(shape, dtype)


def _angle(start: Start, number: int) -> float:
    """degrees: of the axis that turns, at the begin of the exposure; NaN = none does."""
    for first, increment in start.goniometer.values():
        if increment:
            return first + number * increment
    return np.nan
