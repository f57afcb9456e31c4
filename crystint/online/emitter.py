"""The thread of the results: puts them in order, and gives them to the sinks."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from queue import Empty, SimpleQueue
from typing import Any

from crystint.model.frame_table import FrameStatus
from crystint.online.meter import Latencies, Meter
from crystint.online.order import Order
from crystint.online.result import Result
from crystint.online.series import Series
from crystint.online.sink import Event, Sink
from crystint.stream.messages import Image

__all__ = ["Emitter"]

_TICK = 0.2
_LAST_WORDS = 10.0
"""s"""
_BATCH = 256
"""results that are taken at once"""


class _Share:
    """What the sinks have of a series."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.begun = False
        self.closing = False
        self.early: list[Image] = []
        """images that came before all sinks knew of the series"""
        self.early_results: list[Result] = []
        self.broken: set[int] = set()
        """ids of sinks that ended with an error"""


class Emitter:
    """Takes results in any order, and gives them to sinks in the order of their images.

    Parameters
    ----------
    sinks : sequence of Sink
    alarm : callable
        Called with a sentence when a sink fails.
    turn : callable
        Called now and then, from this thread.
    settled : callable
        Called when all results of a series are out, and its sinks have ended.
    """

    def __init__(
        self,
        sinks: Sequence[Sink],
        alarm: Callable[[str], None],
        turn: Callable[[], None],
        settled: Callable[[Series], None],
    ) -> None:
        self.sinks = list(sinks)
        self._alarm, self._turn, self._settled = alarm, turn, settled
        self.order = Order()
        self.out, self.analysed, self.latencies = Meter(), Meter(), Latencies()
        self._queue: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._pending: list[tuple[Series, list[Result]]] = []
        self._shares: dict[int, _Share] = {}
        self._raw: list[Sink] = []
        self._ended: list[Series] = []
        """whose outputs are not complete yet"""
        self._thread = threading.Thread(target=self._run, name="results")

    def start(self) -> None:
        """Begin."""
        self._raw = [sink for sink in self.sinks if type(sink).image is not Sink.image]
        self._thread.start()

    def close(self) -> None:
        """Give out what is there, and end; the sinks are closed."""
        self._queue.put(None)
        self._thread.join()

    def expect(self, series: Series) -> None:
        """A series starts: what comes of it is held until `begin`. From the thread of the receiver."""
        self._shares[id(series)] = _Share()

    def begin(self, series: Series) -> None:
        """The sinks may know of a series. From any thread."""
        self._queue.put(lambda: self._begin(series))

    def image(self, series: Series, image: Image) -> None:
        """Give an image to the sinks that want images. From the thread of the receiver."""
        if not self._raw:
            return
        share = self._shares[id(series)]
        if not share.begun:
            with share.lock:
                if not share.begun:
                    share.early.append(image)
                    return
        self._give_image(series, image, share)

    def final(self, series: Series) -> None:
        """Nothing more of a series is received. From the thread of the receiver."""
        self._queue.put(lambda: self._final(series))

    def result(self, series: Series, result: Result) -> None:
        """Take a result. From any thread."""
        self._queue.put(lambda: self._put(series, result))

    def event(self, event: Event) -> None:
        """Tell the sinks. From any thread."""
        self._queue.put(lambda: self._tell(event))

    def call(self, function: Callable[[], None]) -> None:
        """Do something in the thread of the results."""
        self._queue.put(function)

    def _run(self) -> None:
        last = 0.0
        while True:
            try:
                todo = self._queue.get(timeout=_TICK)
            except Empty:
                pass
            else:
                if todo is None:
                    break
                self._do(todo)
                if not self._queue.empty() and time.monotonic() - last < _TICK:
                    if sum(len(results) for _, results in self._pending) >= _BATCH:
                        self._flush()
                    continue
                self._flush()
            last = time.monotonic()
            self._due()
        self._due()
        until = time.monotonic() + _LAST_WORDS
        while self._shares and time.monotonic() < until:  # the detector is asked how many images it dropped
            time.sleep(0.05)
            self._due()
        for sink in self.sinks:
            self._guarded(sink, None, sink.close)
        self._settle(all_of_them=True)

    def _do(self, todo: Callable[[], None]) -> None:
        """What goes wrong in it is told, and the next is done."""
        try:
            todo()
        except Exception as error:
            self._alarm(f"the thread of the results could not do something: {type(error).__name__}: {error}")

    def _due(self) -> None:
        for series, results in self.order.tick():
            self._give(series, results)
        for series, results in self.order.settled():
            self._give(series, results)
            self._flush()
            for sink in self.sinks:
                self._guarded(sink, series, sink.end, series)
            self._shares.pop(id(series), None)
            self._ended.append(series)
        self._flush()
        self._settle()
        self._turn()

    def _settle(self, all_of_them: bool = False) -> None:
        """Tell of the series whose outputs are complete."""
        for series in list(self._ended):
            if all_of_them or not any(sink.busy(series) for sink in self.sinks):
                self._ended.remove(series)
                self._settled(series)

    def _begin(self, series: Series) -> None:
        share = self._shares[id(series)]
        self.order.begin(series)
        for sink in self.sinks:
            self._guarded(sink, series, sink.begin, series)
        with share.lock:
            for image in share.early:
                self._give_image(series, image, share)
            share.early.clear()
            share.begun = True
        for result in share.early_results:
            self._put(series, result)
        share.early_results.clear()
        if share.closing:
            self.order.close(series)

    def _final(self, series: Series) -> None:
        share = self._shares[id(series)]
        share.closing = True
        if share.begun:
            self.order.close(series)

    def _put(self, series: Series, result: Result) -> None:
        share = self._shares[id(series)]
        if share.begun:
            self._give(series, self.order.put(series, result))
        else:
            share.early_results.append(result)

    def _give(self, series: Series, results: list[Result]) -> None:
        if results and self._pending and self._pending[-1][0] is series:
            self._pending[-1][1].extend(results)
        elif results:
            self._pending.append((series, results))

    def _flush(self) -> None:
        """Give the sinks what was put in order since."""
        pending, self._pending = self._pending, []
        for series, results in pending:
            bare = _without_sparse(results)
            for sink in self.sinks:
                self._guarded(sink, series, sink.results, series, results if sink.wants_sparse else bare)
            now = time.time_ns()
            self.out.add(len(results))
            for result in results:
                if result.status in (FrameStatus.OK, FrameStatus.VETOED):
                    self.analysed.add()
                    self.latencies.add(1e-9 * (now - int(result.row["t_received"][0])))

    def _give_image(self, series: Series, image: Image, share: _Share) -> None:
        for sink in self._raw:
            if id(sink) not in share.broken:
                self._guarded(sink, series, sink.image, series, image)

    def _tell(self, event: Event) -> None:
        self._flush()
        for sink in self.sinks:
            self._guarded(sink, None, sink.event, event)

    def _guarded(self, sink: Sink, series: Series | None, method: Callable[..., None], *arguments: Any) -> None:
        """Call a sink, whose error ends it for the series, and nothing else."""
        share = None if series is None else self._shares.get(id(series))
        if share is not None and id(sink) in share.broken:
            return
        try:
            method(*arguments)
        except Exception as error:
            if share is not None:
                share.broken.add(id(sink))
            what = "" if series is None else f" for series {series.key}"
            self._alarm(f"{sink.name or type(sink).__name__} ended{what}: {error}")


def _without_sparse(results: list[Result]) -> list[Result]:
    """For sinks that keep results: sparse images would fill memory there."""
    if all(result.sparse is None for result in results):
        return results
    return [replace(result, sparse=None) for result in results]
