"""Carries a run out: many frames side by side, results in order, a journal, a way to stop."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import Executor
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager, nullcontext
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from crystint import __version__
from crystint.errors import FileError
from crystint.io.frame_record import Record
from crystint.io.sparse.mask import FirstMask
from crystint.run.journal import Journal, journal_of
from crystint.run.ordered import available_cores, in_order, thread_pool
from crystint.separation.frame_step import Step
from crystint.separation.prepared import PreparedRun

__all__ = ["PLAIN", "Execution", "Work", "at_work"]

_WORTH_S = 60.0
"""After an error the journal is kept when this much work is in it; below, doing it again is the lesser nuisance."""

Stop = Callable[[], bool]


def _to_the_end() -> AbstractContextManager[Stop]:
    """Never stop."""
    return nullcontext(lambda: False)


def _silently(_text: str) -> None:
    """Tell nobody."""


@dataclass(frozen=True, slots=True)
class Execution:
    """How a run is carried out. None of it changes what the run finds."""

    threads: int | None = None
    """frames worked on at a time; None = as many as cores, at least 2"""
    strict: bool = False
    """a frame that cannot be read is an error"""
    resume: bool = False
    """go on where a run was interrupted that had the same inputs, settings and output"""
    dask: str | None = None
    """address or scheduler file of a dask cluster that does the work; "local" = processes on this machine"""
    dask_frames: int = 32
    """frames given to a worker of it at a time"""
    tell: Callable[[str], None] = _silently
    """is given a line about each frame that is missing"""
    until: Callable[[], AbstractContextManager[Stop]] = _to_the_end
    """entered around the frames; what it gives is asked whether to stop"""

    @property
    def workers(self) -> int:
        """Threads to use."""
        return self.threads or max(2, available_cores())


PLAIN = Execution()
"""To the end, with a thread per core."""


class Crew(Protocol):
    """Those who do the work."""

    @property
    def device(self) -> str:
        """Name of the device that they work with."""

    def records(self, numbers: range, first: FirstMask | None, stop: Stop) -> Generator[bytes]:
        """The records of some frames, in order; fewer when `stop` says so."""


class Threads:
    """The threads of this process."""

    def __init__(self, pool: Executor, threads: int, run: PreparedRun, step: Step) -> None:
        self._pool, self._threads, self._run, self._step = pool, threads, run, step
        self.device = run.separator.engine.device.name

    def records(self, numbers: range, first: FirstMask | None, stop: Stop) -> Generator[bytes]:
        """As `Crew`: a frame per job."""
        work = partial(self._step.run, self._run, first=first)
        return in_order(partial(self._pool.submit, work), numbers, lambda: self._threads, stop)


class Work:
    """A run under way, and what became of its frames so far. Made by `at_work`."""

    def __init__(
        self, run: PreparedRun, step: Step, how: Execution, journal: Journal, pool: Executor, crew: Crew, stop: Stop
    ) -> None:
        self._step, self._how, self._journal, self._crew, self._stop = step, how, journal, crew, stop
        self.pool = pool
        """threads that have time for packing as well"""
        self.device = crew.device
        self.command: list[str] = journal.header["command"]
        """of the run as it was begun"""
        self.total = len(run.frames)
        self.missing: list[int] = []
        """frames that could not be read"""
        self.dead: list[int] = []
        """frames without a usable pixel"""
        self.done = 0
        self._reason = ""

    @property
    def stopped(self) -> bool:
        """Whether the run was told to stop before its last frame."""
        return self.done < self.total

    def records(self, first: Callable[[], FirstMask | None]) -> Generator[Record]:
        """The record of every frame in order: those of the journal, then new ones, which are added to it.

        Parameters
        ----------
        first : callable
            The mask of the first frame, as soon as the records given so far tell.

        Raises
        ------
        FileError
            When a frame is missing and the run is strict.
        """
        for packed in self._journal.replay():
            yield self._counted(Record.unpack(packed))
        while self._step.what == "sparsify" and first() is None and self.done < self.total and not self._stop():
            yield from self._new(range(self.done, self.done + 1), None)
        yield from self._new(range(self.done, self.total), first())

    def _new(self, numbers: range, first: FirstMask | None) -> Generator[Record]:
        with closing(self._crew.records(numbers, first, self._stop)) as records:
            for packed in records:
                record = self._counted(Record.unpack(packed))
                self._journal.append(packed)
                yield record

    def _counted(self, record: Record) -> Record:
        if record.missing is not None:
            if self._how.strict:
                raise FileError(record.missing)
            self._how.tell(f"{record.missing}; it is recorded as missing")
            self._reason = self._reason or record.missing
            self.missing.append(record.number)
        elif record.facts["dead"]:
            self.dead.append(record.number)
        self.done += 1
        return record

    def check(self) -> None:
        """Raise when there is nothing to be written.

        Raises
        ------
        FileError
            When no frame could be read, or none has a usable pixel.
        KeyboardInterrupt
            When the run was stopped so early that this is not known.
        """
        if self.done > len(self.missing) + len(self.dead):
            return
        if self.stopped:
            raise KeyboardInterrupt
        if self.missing:
            which = "" if self.total == 1 else f"none of the {self.total} frames can be used; "
            raise FileError(which + self._reason)
        which = "the frame" if self.total == 1 else f"any of the {self.total} frames"
        raise FileError(f"no usable pixel in {which}: all are masked, marked as unusable, or saturated")


@contextmanager
def at_work(
    output: Path,
    run: PreparedRun,
    step: Step,
    how: Execution,
    *,
    device: str | None,
    command: Sequence[str] | None,
    **more: Any,
) -> Iterator[Work]:
    """Carry out `step` for the frames of `run`, with a journal beside `output` for as long as the block takes.

    The journal stays when the run stops early, or when it ends with an error after a minute's work.

    Parameters
    ----------
    device : str or None
        For the workers of a cluster, as `Engine` takes it.
    command : sequence of str or None
        For the provenance; None = ``sys.argv``.
    more
        What else must be the same when a run is resumed.

    Raises
    ------
    FileError
        When another run has the journal, or it belongs to a run with other settings or inputs.
    """
    with ExitStack() as stack:
        pool = stack.enter_context(thread_pool(how.workers))
        crew = (
            stack.enter_context(_cluster(run, step, how, device)) if how.dask else Threads(pool, how.workers, run, step)
        )
        header = {
            "command": list(sys.argv if command is None else command),
            "same": _fingerprint(run, step, crew.device) | more,
        }
        journal = Journal.open(output, header, resume=how.resume)
        start, keep = time.monotonic(), False
        try:
            with how.until() as stop:
                work = Work(run, step, how, journal, pool, crew, stop)
                yield work
                keep = work.stopped
        except BaseException as error:
            interrupted = isinstance(error, KeyboardInterrupt | SystemExit)
            keep = interrupted or journal.resumed or time.monotonic() - start > _WORTH_S
            if keep and journal.count:
                how.tell(f"{journal_of(output)} keeps the {journal.count} frames that are done; --resume goes on there")
            raise
        finally:
            journal.close(keep=keep and journal.count > 0)


def _cluster(run: PreparedRun, step: Step, how: Execution, device: str | None) -> AbstractContextManager[Crew]:
    """The workers of a dask cluster."""
    from crystint.run.cluster import cluster  # dask is an optional package, and slow to import

    return cluster(run, step, str(how.dask), device=device, workers=how.workers, frames=how.dask_frames, tell=how.tell)


def _fingerprint(run: PreparedRun, step: Step, device: str) -> dict[str, Any]:
    """Everything that the records of a run depend on, in words for those who have to see what is different."""
    use = run.settings
    images = [use.geometry, *use.mask, use.dark, use.flat, *use.normalization]
    return {
        "crystint": __version__,
        "command": step.what,
        "device": device,
        "frames": len(run.frames),
        "shape": list(run.frames.shape),
        "dtype": str(run.frames.dtype),
        **use.plain(),
        "snr": step.snr,
        "peaks": step.peaks,
        **{os.path.realpath(file): _state(file) for file in (*run.frames.all_files(), *images) if file is not None},
    }


def _state(file: str | Path) -> str:
    """Size and time of a file."""
    try:
        found = os.stat(file)
    except OSError:
        return "not there"
    changed = datetime.fromtimestamp(found.st_mtime, UTC)
    return f"{found.st_size} bytes of {changed:%Y-%m-%d %H:%M:%S.%f}"
