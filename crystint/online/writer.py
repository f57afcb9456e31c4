"""Writes the files of every series, behind the back of the receiver: it never waits for a disk."""

from __future__ import annotations

import shutil
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from threading import Condition, Thread
from typing import Any, Literal

from crystint.errors import CrystintError
from crystint.online.queued_sink import Tell
from crystint.online.result import Result
from crystint.online.series_output import SeriesOutput
from crystint.online.sink import Event, Run, Sink
from crystint.online.sparse_output import SparseResult
from crystint.stream.messages import Image

__all__ = ["Writer"]

_LOW_S = 120.0
"""s of writing at the present rate that should fit on the disk"""
_LOOK_S = 1.0
"""s between two looks at the disk"""
_CLOSE_S = 30.0
"""s that `close` waits for a disk"""
_RESULTS = 1 << 29
"""bytes of results that may wait"""
_EARLY = 100
"""events of a series that has no files yet"""
_ROW = 600
"""bytes that a result takes, beside its peaks"""


@dataclass
class _Queue:
    """Jobs of a thread, bounded in bytes."""

    limit: int
    bytes: int = 0
    images: int = 0
    jobs: deque[tuple[Callable[[], None] | None, int]] = field(default_factory=deque)
    changed: Condition = field(default_factory=Condition)

    def put(self, job: Callable[[], None] | None, size: int = 0) -> bool:
        """Add a job; whether there was room for it. Jobs without a size always have room."""
        with self.changed:
            if size and self.bytes and self.bytes + size > self.limit:
                return False
            self.jobs.append((job, size))
            self.bytes += size
            self.images += size > 0
            self.changed.notify_all()
        return True

    def next(self) -> Callable[[], None] | None:
        """The first job, which stays in the queue until it is `done`; None = there will be no more."""
        with self.changed:
            while not self.jobs:
                self.changed.wait()
            return self.jobs[0][0]

    def done(self) -> None:
        """The first job is done."""
        with self.changed:
            _, size = self.jobs.popleft()
            self.bytes -= size
            self.images -= size > 0
            self.changed.notify_all()


class Writer(Sink):
    """Files of all series that have a folder: raw frames, a master, results, lists of peaks, a sparse file.

    Raw frames are written by one thread, results by another, and sparse images by a third one. Images wait in a queue
    that is bounded in bytes; when it is full they are not written, which is counted, unless the receiver looks at
    `full` and takes none meanwhile. When the disk is full, raw frames of that series are not written any more; its
    results are, and raw frames of the next series. A sparse file that the disk does not take is removed.

    Parameters
    ----------
    raw : bool
        Raw frames are wanted.
    images_per_file : int, optional
        As `crystint.online.raw_files.RawFiles` has it.
    formats : sequence of str
        Of lists of peaks, by their suffixes: cxi, refl, h5, json.
    sparse : bool
        A sparse file is wanted, of results that have sparse images.
    memory : int
        Bytes of images that may wait.
    when_full : "skip" or "wait"
        Whether `full` ever says so.
    tell : callable, optional
        Takes events: ``file`` with its ``path``, ``warning``, ``alarm``; each with the ``series``, as text. An alarm
        with a ``state`` of "error" is one that the service should be in the state of error for. Called by the threads
        of the writer.

    Examples
    --------
    >>> from crystint.online.writer import Writer
    >>> writer = Writer(formats=["cxi"])
    >>> writer.status()["queued_bytes"], writer.full
    (0, False)
    >>> writer.close()
    """

    def __init__(
        self,
        *,
        raw: bool = True,
        images_per_file: int | None = None,
        formats: Sequence[str] = (),
        sparse: bool = False,
        memory: int = 1 << 30,
        when_full: Literal["skip", "wait"] = "skip",
        tell: Tell | None = None,
    ) -> None:
        super().__init__()
        self.name = "files"
        self._raw, self._per_file, self._formats, self._when_full = raw, images_per_file, tuple(formats), when_full
        self._tell_event: Tell = (lambda event: None) if tell is None else tell
        self._outputs: dict[int, SeriesOutput | None] = {}
        self._left_out: dict[int, int] = {}
        self._results_left_out: dict[int, int] = {}
        self._ending: set[int] = set()
        self._early: deque[Event] = deque(maxlen=_EARLY)
        self.wants_sparse = sparse
        self._frames, self._rows, self._sparse = _Queue(memory), _Queue(_RESULTS), _Queue(memory)
        self._closer = ThreadPoolExecutor(1, "closing files")
        self._error = ""
        self._written = self._skipped = self._largest = 0
        self._current: SeriesOutput | None = None
        self._free: int | None = None
        self._looked, self._rate = time.monotonic(), 0.0
        self._since, self._low = 0, False
        self._closed = False
        self._threads = [
            Thread(target=self._work, args=(queue,), name=name, daemon=True)  # a disk that never answers ends neither
            for queue, name in (
                (self._frames, "raw files"),
                (self._rows, "files of results"),
                *([(self._sparse, "sparse files")] if sparse else []),
            )
        ]
        for thread in self._threads:
            thread.start()

    @property
    def full(self) -> bool:
        """Whether there is no room for another image, and images should wait."""
        queue, sparse = self._frames, self._sparse
        if self._when_full != "wait":
            return False
        return (self._raw and 0 < queue.bytes > queue.limit - self._largest) or sparse.bytes > sparse.limit // 2

    def begin(self, run: Run) -> None:
        """As `Sink`."""
        if run.folder is not None:
            self._rows.put(lambda: self._begin(run))

    def image(self, run: Run, image: Image) -> None:
        """As `Sink`."""
        if not self._raw or run.folder is None:
            return
        self._largest = max(self._largest, image.size + 1)
        if self._frames.put(lambda: self._write(run, image), image.size + 1):
            return
        self._skipped += 1
        self._leave_out(run, "raw images", 1, self._left_out, error=False)

    def results(self, run: Run, results: Sequence[Result]) -> None:
        """As `Sink`."""
        if run.folder is None or not results:
            return
        listed = list(results)
        if self.wants_sparse:
            self._put_sparse(run, listed)
            listed = [result if result.sparse is None else replace(result, sparse=None) for result in listed]
        size = sum(_ROW + result.peaks.nbytes + result.rois.nbytes for result in listed)
        if not self._rows.put(lambda: self._add(run, listed), size):
            self._leave_out(run, "results", len(listed), self._results_left_out, error=True)

    def _leave_out(self, run: Run, what: str, count: int, counts: dict[int, int], *, error: bool) -> None:
        """Count what there is no room for, and tell it once in a series; nothing of it is held."""
        before = counts.get(id(run), 0)
        counts[id(run)] = before + count
        if not before:
            text = f"{what} of series {run.key} are left out: the disk is too slow"
            self._rows.put(lambda: self._alarm(run, text, error=error))

    def _put_sparse(self, run: Run, results: list[Result]) -> None:
        some = [SparseResult(result.number, result.status, result.sparse) for result in results]
        size = _ROW + sum(0 if each.image is None else each.image.size for each in some)
        if not self._sparse.put(lambda: self._add_sparse(run, some), size):
            without = [each._replace(image=None) for each in some]
            self._sparse.put(lambda: self._add_sparse(run, without))

    def event(self, event: Event) -> None:
        """As `Sink`."""
        self._rows.put(lambda: self._log(event))

    def busy(self, run: Run) -> bool:
        """As `Sink`."""
        return id(run) in self._ending

    def end(self, run: Run) -> None:
        """As `Sink`."""
        if run.folder is None:
            return
        self._ending.add(id(run))
        self._rows.put(lambda: self._frames_end(run) if self._raw else self._sparse_end(run))

    def close(self) -> None:
        """As `Sink`. A disk that does not answer is waited for for half a minute."""
        if self._closed:
            return
        self._closed = True
        until = time.monotonic() + _CLOSE_S
        sparse = [self._sparse] if self.wants_sparse else []
        for queue in (self._rows, self._frames, *sparse, self._rows):  # as the end of a series goes through them
            self._drained(queue, until)
        for queue in (self._frames, *sparse, self._rows):
            queue.put(None)
        for thread in self._threads:
            thread.join(max(until - time.monotonic(), 0.1))
        for output in list(self._outputs.values()):
            if output is not None:
                with suppress(CrystintError, OSError):
                    output.give_up()
        self._outputs = {}
        self._closer.shutdown(wait=not any(thread.is_alive() for thread in self._threads))

    @staticmethod
    def _drained(queue: _Queue, until: float) -> None:
        with queue.changed:
            queue.changed.wait_for(lambda: not queue.jobs, max(until - time.monotonic(), 0.0))

    def status(self) -> Mapping[str, Any]:
        """As `Sink`: file, queued images and bytes, written, skipped, error, free bytes, bytes per second."""
        output = self._current
        raw = None if output is None else output.raw
        return {
            "file": None if raw is None else raw.current,
            "queued": self._frames.images,
            "queued_bytes": self._frames.bytes,
            "written": self._written,
            "skipped": self._skipped,
            "results_waiting": len(self._rows.jobs),
            "error": self._error or None,
            "free_bytes": self._free,
            "rate_bytes": round(self._rate),
        }

    # ------------------------------------------------------------------------------------------ its threads

    def _work(self, queue: _Queue) -> None:
        while (job := queue.next()) is not None:
            try:
                job()
            except Exception as error:  # whatever it is, the next job is done
                self._error = f"{type(error).__name__}: {error}"
                self._say(None, "alarm", {"text": f"files: {self._error}", "state": "error"})
            del job
            queue.done()

    def _say(self, run: Run | None, name: str, data: Mapping[str, Any]) -> None:
        about = {} if run is None else {"series": str(run.key)}
        with suppress(Exception):  # who is told must not stop the files
            self._tell_event(Event(name, {**about, **data}))

    def _alarm(self, run: Run, text: str, error: bool = True) -> None:
        if error:
            self._error = text
        self._say(run, "alarm", {"text": text, **({"state": "error"} if error else {})})

    def _begin(self, run: Run) -> None:
        self._error = ""
        try:
            self._outputs[id(run)] = output = SeriesOutput(
                run,
                raw=self._raw,
                images_per_file=self._per_file,
                formats=self._formats,
                sparse=self.wants_sparse,
                tell=partial(self._say, run),
                closer=self._closer,
            )
        except CrystintError as error:
            self._outputs[id(run)] = None
            self._alarm(run, f"no files of series {run.key} are written: {error}")
            return
        self._current = output
        early, self._early = list(self._early), deque(maxlen=_EARLY)
        for event in early:
            if event.data.get("series") == str(run.key):
                self._log(event)

    def _output(self, run: Run) -> SeriesOutput | None:
        """Of a series whose files are written."""
        return self._outputs.get(id(run))

    def _write(self, run: Run, image: Image) -> None:
        output = self._output_soon(run)
        if output is None:
            return
        try:
            size = output.raw_write(image)
            self._written += size > 0
            self._since += size
        except CrystintError as error:
            self._alarm(run, f"raw images of series {run.key} are not written any more: {error}")
            with suppress(CrystintError):
                output.raw_end()
        self._look(output)

    def _output_soon(self, run: Run) -> SeriesOutput | None:
        """Of a series that the other thread may not have begun yet."""
        queue = self._rows
        with queue.changed:
            queue.changed.wait_for(lambda: id(run) in self._outputs or not queue.jobs, _CLOSE_S)
        return self._outputs.get(id(run))

    def _look(self, output: SeriesOutput) -> None:
        """How much room there is, and for how long."""
        now = time.monotonic()
        if now - self._looked < _LOOK_S:
            return
        self._rate, self._since, self._looked = self._since / (now - self._looked), 0, now
        self._free = shutil.disk_usage(Path(str(output.run.folder))).free
        low = self._rate > 0 and self._free < _LOW_S * self._rate
        if low and not self._low:
            minutes = self._free / self._rate / 60
            free = f"{self._free / 1e9:.3g} GB are free"
            self._alarm(output.run, f"{output.run.folder} is full in {minutes:.1f} minutes: {free}", error=False)
        self._low = low

    def _add(self, run: Run, results: list[Result]) -> None:
        output = self._output(run)
        if output is None:
            return
        try:
            output.add(results)
            output.error = ""
        except CrystintError as error:
            if not output.error:
                self._alarm(run, f"results of series {run.key} wait for the disk: {error}")
            output.error = str(error)

    def _log(self, event: Event) -> None:
        series = event.data.get("series")
        outputs = [each for each in self._outputs.values() if each is not None and str(each.run.key) == series]
        if series is None and self._current is not None:
            outputs = [self._current]
        elif not outputs:
            self._early.append(event)
        for output in outputs[-1:]:
            with suppress(CrystintError):  # results tell of it
                output.add_event(event)

    def _frames_end(self, run: Run) -> None:
        self._frames.put(lambda: self._end_frames(run))

    def _end_frames(self, run: Run) -> None:
        output = self._output(run)
        if output is not None:
            try:
                output.raw_end()
            except CrystintError as error:
                output.raw_off(str(error))
                self._alarm(run, f"raw images of series {run.key} could not all be written: {error}")
        self._sparse_end(run)

    def _sparse_end(self, run: Run) -> None:
        """After all of its sparse images."""
        if self.wants_sparse:
            self._sparse.put(lambda: self._files_end(run))
        else:
            self._files_end(run)

    def _files_end(self, run: Run) -> None:
        self._rows.put(lambda: self._finish(run))

    def _add_sparse(self, run: Run, results: list[SparseResult]) -> None:
        output = self._output_soon(run)
        if output is None or output.sparse is None:
            return
        try:
            output.sparse.add(results)
        except CrystintError as error:
            self._alarm(run, f"the sparse file of series {run.key} is not written any more: {error}")

    def _finish(self, run: Run) -> None:
        try:
            self._complete(run)
        finally:
            self._ending.discard(id(run))

    def _complete(self, run: Run) -> None:
        output, skipped = self._outputs.pop(id(run), None), self._left_out.pop(id(run), 0)
        left_out = self._results_left_out.pop(id(run), 0)
        if output is None:
            return
        output.raw_skipped, output.left_out = skipped, left_out
        try:
            output.finish()
        except Exception as error:  # whatever it is, the journal is let go, and can be gone on with
            output.give_up()
            what = str(error) if isinstance(error, CrystintError) else f"{type(error).__name__}: {error}"
            self._alarm(run, f"the files of series {run.key} are not complete: {what}; its journal is kept")
        if self._current is output:
            self._current = None
