"""Threads that look at images: unpack, examine, and what is done when the device fails."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
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
            try:
                result = self._look_at(work)
            except Exception as error:  # no image may end a worker
                result = self._failed(work, f"{type(error).__name__}: {error}")
            self._deliver(work.series, result)
            self.queue.done(work)
            del work, result  # their memory, while this waits

    def _look_at(self, work: Work) -> Result:
        timeline: Timeline = work.series.context
        timeline.ready.wait()
        number = work.image.number
        analysis = timeline.take(number)
        if timeline.cancelled:
            return self._skipped(work)
        if analysis is None:
            return self._failed(work, timeline.error)
        if number % analysis.settings.sampling:
            return self._skipped(work)
        try:
            frame = self._unpacked(work.image, analysis)
            try:
                return self._examined(work, analysis, frame)
            except StreamError:
                raise
            except Exception as error:  # of the device
                if not self._renew(timeline, analysis, error):
                    raise
            analysis = timeline.take(number) or analysis
            return self._examined(work, analysis, frame)
        except CrystintError as error:
            return self._failed(work, str(error))

    def _examined(self, work: Work, analysis: Analysis, frame: NDArray[Any]) -> Result:
        image = work.image
        made = self._sparse
        examined = analysis.examine(frame, image.number, None if made is None else made.snr)
        row = examined.row
        row["t_received"], row["t_done"] = work.received, time.time_ns()
        if image.started is not None:
            row["t_start"], row["time"] = image.started, 1e-9 * image.started
        row["angle"] = _angle(analysis.start, image.number)
        sparse = None
        if made is not None:
            sparse = made.make(work.series.context.sparse, examined.sparse, frame, analysis.geometry)
        if examined.regions is None:
            return Result(work.series.key, row, examined.peaks, sparse=sparse)
        return Result(work.series.key, row, examined.peaks, examined.regions, analysis.rois.names, sparse=sparse)

    def _unpacked(self, image: Image, analysis: Analysis) -> NDArray[Any]:
        """The frame, in memory of this thread, which its next image uses again."""
        channel = analysis.channel
        if channel is None or (channel not in image.frames and not analysis.start.channels):
            channel = next(iter(image.frames), None)
        packed = None if channel is None else image.frames.get(channel)
        if packed is None:
            raise StreamError(
                f"image {image.number} has no channel {channel!r}; it has {', '.join(image.frames) or 'none'}"
            )
        dtype = packed.dtype.newbyteorder("=")
        memory = getattr(self._own, "memory", None)
        if memory is None or memory.shape != packed.shape or memory.dtype != dtype:
            memory = self._own.memory = _new_array(analysis.search.engine, packed.shape, dtype)
        return packed.decode(memory)

    def _failed(self, work: Work, error: str) -> Result:
        return plain_result(work.series.key, work.image.number, FrameStatus.FAILED, work.received, error)

    def _skipped(self, work: Work) -> Result:
        return plain_result(work.series.key, work.image.number, FrameStatus.SKIPPED, work.received)


def _new_array(engine: Engine | None, shape: tuple[int, int], dtype: np.dtype[Any]) -> NDArray[Any]:
    return np.empty(shape, dtype) if engine is None else engine.new_input(shape, dtype)


def _angle(start: Start, number: int) -> float:
    """degrees: of the axis that turns, at the begin of the exposure; NaN = none does."""
    for first, increment in start.goniometer.values():
        if increment:
            return first + number * increment
    return np.nan
