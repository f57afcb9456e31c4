"""Frames processed in parallel, results in order, a journal, a way to stop."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from concurrent.futures import Executor
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager, suppress
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from crystint import __version__
from crystint.errors import ClusterError, CrystintWarning, FileError, SettingError, warn
from crystint.io.frame_record import FrameRecord
from crystint.io.hdf5.provenance import differences, plain
from crystint.io.part_file import PartFile, write_part
from crystint.run.execution import Execution, Stop
from crystint.run.frame_work import FrameWork, FrameWorker, batch_of, records_of
from crystint.run.journal import Journal, journal_of
from crystint.run.ordered import in_order, thread_pool
from crystint.run.outcome import NAMED
from crystint.run.part import PartFinished
from crystint.run.parts import Parts
from crystint.run.step import Job

Watch = Callable[[Iterable[FrameRecord], int], Iterable[FrameRecord]]
"""(records, how many) -> the records"""

__all__ = ["RunInProgress", "blocks", "ended", "in_progress"]

_WORTH_S = 60.0
"""After an error the journal is kept when this much work is in it; below, it is simply done again."""


class Crew(Protocol):
    """The workers: threads or a cluster."""

    @property
    def device(self) -> str:
        """Name of the device that they work with."""

    def records(self, numbers: range, first: Any, stop: Stop) -> Generator[bytes]:
        """The records of some frames, in order; fewer when `stop` says so."""


class Threads:
    """The threads of this process."""

    def __init__(self, pool: Executor, threads: int, worker: FrameWorker) -> None:
        self._pool, self._threads, self._worker = pool, threads, worker
        self.device = worker.device

    def records(self, numbers: range, first: Any, stop: Stop) -> Generator[bytes]:
        """As `Crew`: a job has as many frames as the device works on at a time."""
        size = batch_of(self._worker)

        def work(some: range) -> list[bytes]:
            return [record.pack() for record in records_of(self._worker, some, first)]

        jobs = (numbers[start : start + size] for start in range(0, len(numbers), size))
        for records in in_order(lambda some: self._pool.submit(work, some), jobs, lambda: self._threads, stop):
            yield from records


class Recorded:
    """The parts of a run: nothing is left to be worked on."""

    def __init__(self, parts: Parts) -> None:
        self.parts, self.device = parts, parts.device

    def records(self, numbers: range, _first: Any, _stop: Stop) -> Generator[bytes]:
        """As `Crew`; a result is made of all of them."""
        yield from self.parts.records(numbers)


class RunInProgress:
    """A run under way, and what became of its frames so far. Made by `in_progress`."""

    def __init__(
        self, total: int, execution: Execution, journal: Journal | None, command: list[str], pool: Executor, crew: Crew,
        stop: Stop, block: int = 1, numbers: range | None = None, watch: Watch | None = None,
        header: Mapping[str, Any] | None = None,
    ) -> None:  # fmt: skip
        self._watch, self._header = watch, header or {}
        self._execution, self._journal, self._crew, self._stop = execution, journal, crew, stop
        self.block = block
        """frames of a record; the last one may have fewer"""
        self.pool = pool
        """threads that have time for packing as well"""
        self.device = crew.device
        self.command = command
        """of the run as it was begun"""
        self.total = total
        self.numbers = range(blocks(total, block)) if numbers is None else numbers
        """of the records that are made here: those of all frames, or of a part"""
        self.of = min(self.numbers.stop * block, total) - self.numbers.start * block
        """frames of these"""
        self.missing: dict[int, str] = {}
        """frames that could not be read, and why"""
        self.unusable: list[int] = []
        """frames without a usable pixel: those whose record has the fact "dead" """
        self.done = 0
        self._worked = 0
        self._began, self._seconds = time.monotonic(), 0.0

    @property
    def rate(self) -> float:
        """Frames per second since work on them began; without those of the journal. 0 = none was worked on."""
        if isinstance(self._crew, Recorded):
            return 0.0
        return self._worked / max(self._seconds, 1e-9)

    @property
    def stopped(self) -> bool:
        """Whether the run was told to stop before its last frame."""
        return self.done < self.of

    def records(self, first: Callable[[], Any] | None = None) -> Generator[FrameRecord]:
        """The record of every frame in order: those of the journal, then new ones, which are added to it.

        Parameters
        ----------
        first : callable, optional
            What the records depend on that the first of them tell: gives None as long as they do not tell it; until
            then frames are worked on one at a time.

        Raises
        ------
        FileError
            When a frame is missing and the run is strict.
        PartFinished
            At the end of a part, whose records go to its file: only those that tell `first` are given.
        """
        if self._watch is None:
            yield from self._records(first)
            return
        for record in self._watch(self._records(first), len(self.numbers)):
            if first is not None and first() is None:
                yield record
        raise self.finished

    @property
    def finished(self) -> PartFinished:
        """To be raised at the end of a part by a step that writes its file itself."""
        return PartFinished(self.done, self.of, self.missing)

    @property
    def header(self) -> dict[str, Any]:
        """Of the file of a part that is done, for `crystint.io.part_file`."""
        return {**self._header, "missing": self.missing}

    def joined(self, missing: Mapping[int, str], unusable: Iterable[int]) -> None:
        """Take all frames as done, without their records, by a step that joins the files of parts itself."""
        self.done = self.of
        self.unusable += unusable
        for number, reason in missing.items():
            self._lacks(number, reason)

    def _records(self, first: Callable[[], Any] | None) -> Generator[FrameRecord]:
        for number in range(self.numbers.start):  # of other parts: they are done here for what they tell
            if first is None or first() is not None:
                break
            with closing(self._crew.records(range(number, number + 1), None, self._stop)) as records:
                yield from map(FrameRecord.unpack, records)
        if self._journal is not None:
            for packed in self._journal.replay():
                yield self._counted(FrameRecord.unpack(packed))
        while first is not None and first() is None and self.done < self.of and not self._stop():
            yield from self._new(range(self._next, self._next + 1), None)
        yield from self._new(range(self._next, self.numbers.stop), None if first is None else first())

    @property
    def _next(self) -> int:
        """Number of the record that comes next."""
        return self.numbers.start + blocks(self.done, self.block)

    def _new(self, numbers: range, first: Any) -> Generator[FrameRecord]:
        if not self._worked:
            self._began = time.monotonic()
        with closing(self._crew.records(numbers, first, self._stop)) as records:
            for packed in records:
                before = self.done
                record = self._counted(FrameRecord.unpack(packed))
                self._worked, self._seconds = self._worked + self.done - before, time.monotonic() - self._began
                if self._journal is not None:
                    self._journal.append(packed)
                yield record

    def _counted(self, record: FrameRecord) -> FrameRecord:
        for number, reason in record.facts.get("missing_frames", {}).items():
            self._lacks(int(number), reason)
        self.unusable += record.facts.get("dead_frames", [])
        if record.missing is not None:
            self._lacks(record.number, record.missing)
        elif record.facts.get("dead"):
            self.unusable.append(record.number)
        self.done = min(self.done + self.block, self.of)
        return record

    def _lacks(self, number: int, reason: str) -> None:
        """Record a frame as missing, or raise where the run is strict."""
        if self._execution.strict:
            raise FileError(reason)
        if len(self.missing) < NAMED:
            warn(f"{reason}; it is recorded as missing")
        self.missing[number] = reason

    def at_its_end(self, record: dict[str, Any]) -> dict[str, Any]:
        """The provenance of an output, and which frames it lacks: those that are missing, and those not reached."""
        return ended(record, self.missing, self.done, self.total)

    def again(self, number: int) -> FrameRecord:
        """A record that `records` gave before, from the journal: for steps that look at frames twice.

        Raises
        ------
        SettingError
            When the run keeps no journal, as it writes no output.
        """
        if isinstance(self._crew, Recorded):
            return FrameRecord.unpack(self._crew.parts.record(number))
        if self._journal is None:
            raise SettingError("a run that writes no output keeps no journal, and no record to be read again")
        return FrameRecord.unpack(self._journal.read(number))

    def check(self) -> None:
        """Raise when there is nothing to be written.

        Raises
        ------
        FileError
            When no frame could be read, or none has a usable pixel.
        KeyboardInterrupt
            When the run was stopped so early that this is not known.
        """
        if self.done > len(self.missing) + len(self.unusable):
            return
        if self.stopped:
            raise KeyboardInterrupt
        if self.missing:
            which = "" if self.total == 1 else f"none of the {self.total} frames can be used; "
            raise FileError(which + next(iter(self.missing.values())))
        which = "the frame" if self.total == 1 else f"any of the {self.total} frames"
        raise FileError(f"no usable pixel in {which}: all are masked, marked as unusable, or saturated")


def blocks(frames: int, block: int) -> int:
    """How many blocks some frames make."""
    return -(-frames // block)


def ended(record: dict[str, Any], missing: Iterable[int], done: int, total: int) -> dict[str, Any]:
    """See `RunInProgress.at_its_end`. A resumed run that has finished reads there what it lacks."""
    numbers = sorted(missing)
    lacking = {"missing": numbers} if numbers else {}
    return record | lacking | ({"incomplete": {"frames": done, "of": total}} if done < total else {})


@contextmanager
def in_progress(
    job: Job[Any],
    work: FrameWork,
    worker: FrameWorker | None,
    total: int,
    *,
    same: Mapping[str, Any],
    files: tuple[str, ...] = (),
    block: int = 1,
) -> Iterator[RunInProgress]:
    """Work on frames, with a journal beside the first output for as long as the block takes.

    The journal stays when the run stops early, or when it ends with an error after a minute's work.

    Parameters
    ----------
    job : Job
    work : FrameWork
        For a cluster, which opens it on each of its machines.
    worker : FrameWorker or None
        The same, opened here; None = the job has a cluster.
    total : int
        Number of frames.
    same
        What must be the same when a run is resumed, besides the settings and the files that the job names.
    files
        More files of which size and time must be the same: those of the frames.
    block : int
        Frames of a record, for results too large to keep one for each frame. Records of blocks tell which frames are
        missing and which have no usable pixel by the facts "missing_frames" (number to reason) and "dead_frames".

    Raises
    ------
    FileError
        When another run has the journal, or it belongs to a run with other settings or inputs.
    SettingError
        When a run without an output is to be resumed.
    """
    how = job.execution
    if how.resume and not job.outputs:
        raise SettingError("a run that writes no output keeps no journal: --resume needs -o")
    with ExitStack() as stack:
        pool = stack.enter_context(thread_pool(how.workers))
        if how.parts is not None:
            crew: Crew = Recorded(how.parts)
        elif worker is None or how.dask:
            crew = stack.enter_context(_cluster(job, work, total, block))
        else:
            crew = Threads(pool, how.workers, worker)
        command, journal = list(job.command), None
        header: dict[str, Any] = {
            "command": command,
            "block": block,
            "same": _fingerprint(job, crew.device, total, same, files),
        }
        numbers = range(blocks(total, block))
        if how.parts is not None:
            how.parts.check(header["same"])
        if how.part is not None:
            numbers = how.part.numbers(len(numbers))
            header |= _of_part(job, numbers, total, block)
            if job.finished_part:
                raise _finished_before(job, header)
        if job.outputs:
            journal = Journal.open(job.begun, header, resume=how.resume)
            header = dict(journal.header)
            command = header["command"]
        watch = None if job.apart is None else partial(_watched, job)
        start, keep = time.monotonic(), False
        try:
            with how.until() as stop:
                written = None if how.parts is not None else journal
                run = RunInProgress(total, how, written, command, pool, crew, stop, block, numbers, watch, header)
                yield run
                keep = run.stopped
        except PartFinished:
            keep = run.stopped
            if not keep and job.apart is not None and journal is not None:
                records = map(journal.read, range(journal.count))
                write_part(job.begun, run.header, records, overwrite=job.overwrite)
            raise
        except BaseException as error:
            interrupted = isinstance(error, KeyboardInterrupt | SystemExit)
            if journal is not None:
                lost = isinstance(error, ClusterError)  # what the others have done must not be done again
                keep = interrupted or lost or journal.resumed or time.monotonic() - start > _WORTH_S
                if keep and journal.count:
                    name = journal_of(job.begun)
                    with suppress(CrystintWarning):  # where warnings are errors, the first error counts
                        done = min(journal.count * block, total)
                        warn(f"{name} keeps the {done} frames that are done; --resume goes on there")
            raise
        finally:
            if journal is not None:
                journal.close(keep=keep and journal.count > 0)


def _of_part(job: Job[Any], numbers: range, total: int, block: int) -> dict[str, Any]:
    """What the header of a part has besides: which it is, and how to go on without its command line."""
    part = job.execution.part
    assert part is not None
    place = {"number": part.number, "of": part.of, "start": numbers.start, "stop": numbers.stop}
    place |= {"total": blocks(total, block), "frames": total, "block": block}
    return {
        "part": place,
        "step": job.name,
        "settings": job.settings.plain(),
        "inputs": {name: [os.fspath(each) for each in names] for name, names in job.inputs.items()},
        "config": None if job.config is None else str(job.config),
        "folder": os.getcwd(),
        "joined": job.apart is None,
    }


def _watched(job: Job[Any], records: Iterable[FrameRecord], count: int) -> Iterable[FrameRecord]:
    """The records of a part, with its progress."""
    assert job.apart is not None
    return job.apart(records, count, f"{job.name}, {job.execution.part}")


def _finished_before(job: Job[Any], header: Mapping[str, Any]) -> PartFinished:
    """Nothing is left to do of a part whose file is there and is of this run.

    Raises
    ------
    FileError
        When it is not.
    """
    made = PartFile(job.begun)
    changes = differences(made.header["same"], plain(header["same"]))
    if changes:
        raise FileError(f"{job.begun} is no part of this run: {changes}; --overwrite replaces it")
    return PartFinished(0, 0, {int(number): why for number, why in made.header["missing"].items()})


def _cluster(job: Job[Any], work: FrameWork, total: int, block: int) -> AbstractContextManager[Crew]:
    """The workers of a dask cluster."""
    from crystint.run.cluster import cluster  # dask is an optional package, and slow to import

    how = job.execution
    jobs = max(1, how.dask_frames // block)
    return cluster(work, total, str(how.dask), device=how.device, workers=how.workers, frames=jobs, name=job.name)


def _fingerprint(
    job: Job[Any], device: str, total: int, same: Mapping[str, Any], files: tuple[str, ...]
) -> dict[str, Any]:
    """Everything that the records of a run depend on, in words for those who have to see what is different."""
    return {
        "crystint": __version__,
        "command": job.name,
        "device": device,
        "frames": total,
        **job.settings.plain(),
        **same,
        **{os.path.realpath(file): _state(file) for file in (*files, *job.settings.files())},
    }


def _state(file: str | Path) -> str:
    """Size and time of a file."""
    try:
        status = os.stat(file)
    except OSError:
        return "not there"
    changed = datetime.fromtimestamp(status.st_mtime, UTC)
    return f"{status.st_size} bytes of {changed:%Y-%m-%d %H:%M:%S.%f}"
