"""Jobs on finished files: commands of crystint in processes of low priority, one after another.

A process runs the very command line that is shown. It tells how far it is through a pipe, and ends when nobody reads
that any more: no job outlives the service. Records of jobs do.
"""

from __future__ import annotations

import json
import os
import select
import shlex
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeAlias, cast, get_args

from crystint.errors import RefusedError
from crystint.online.job_files import JobFolder
from crystint.online.job_offers import OFFERS, Offer
from crystint.run.forms import command_words
from crystint.run.outcome import ExitCode

__all__ = ["Job", "JobState", "Jobs"]

JobState: TypeAlias = Literal["queued", "running", "done", "failed", "cancelled"]
_WRITTEN = (ExitCode.DONE, ExitCode.FRAMES_MISSING, ExitCode.REQUIREMENT_BROKEN)
"""exit codes of a command that has written what it was to write"""
_MOST = 100
_MOST_WAITING = 16
_PATIENCE = 10.0
"""s that a job has to end when it is cancelled; then it is killed"""
_LAST_WORDS = 2.0
"""the same when the service ends"""
_POLL_MS = 500
_PROGRESS = "CRYSTINT_PROGRESS"
"""`crystint.commands.progress.DESCRIPTOR`: commands are above this package"""
_LONGEST_LINE = 4096


@dataclass(eq=False)
class Job:
    """A command on files."""

    id: int
    command: str
    name: str
    """of its files in the folder of jobs"""
    inputs: Mapping[str, Sequence[str]]
    """files of each argument, below the data root"""
    settings: Mapping[str, Any]
    """that are no defaults"""
    command_line: str
    """to paste into a shell"""
    outputs: Sequence[str]
    """below the data root"""
    state: JobState = "queued"
    created: int = field(default_factory=time.time_ns)
    began: int | None = None
    ended: int | None = None
    code: int | None = None
    progress: dict[str, Any] | None = None
    """done, total, what"""
    error: str = ""
    """why it failed, where its log does not tell"""

    @property
    def offer(self) -> Offer:
        """The command."""
        return OFFERS[self.command]

    @property
    def active(self) -> bool:
        """Whether it waits or runs."""
        return self.state in ("queued", "running")

    @property
    def results(self) -> list[str]:
        """What can be looked at now: peaks, table, report."""
        if self.state != "done":
            return []
        lacking = "peaks" if self.command == "sparsify" and not self.settings.get("peaks") else ""
        return [name for name in self.offer.results if name != lacking]

    def record(self) -> dict[str, Any]:
        """JSON-able: what a restart needs to know."""
        names = (
            "id", "command", "name", "inputs", "settings", "command_line", "outputs", "state", "created", "began",
            "ended", "code", "progress", "error",
        )  # fmt: skip
        return {name: getattr(self, name) for name in names}

    @classmethod
    def of_record(cls, record: Mapping[str, Any], name: str) -> Job | None:
        """The inverse of `record`; None where it cannot be one."""
        with suppress(TypeError, ValueError):
            job = cls(**record)
            texts = (job.command, job.name, job.command_line, job.error, *job.outputs, *job.inputs)
            files = [file for group in job.inputs.values() for file in group]
            times = (job.created, job.began or 0, job.ended or 0, job.code or 0)
            good = all(isinstance(text, str) for text in (*texts, *files)) and isinstance(job.settings, dict)
            good = good and all(isinstance(number, int) for number in (job.id, *times))
            good = good and isinstance(job.progress, dict | None)
            if good and job.command in OFFERS and job.name == name and job.state in get_args(JobState):
                return job
        return None


@dataclass(eq=False)
class _Process:
    """What belongs to a job of this service while it waits or runs."""

    log: int
    """its log, open and locked: who looks at it sees that the job is alive"""
    words: Sequence[str]
    process: subprocess.Popen[bytes] | None = None
    kill_at: float | None = None


class Jobs:
    """Runs jobs one at a time, in a thread that waits for them.

    Parameters
    ----------
    root : path or None
        Folder whose files may be named; results go into its folder "jobs". None = jobs are refused.
    """

    def __init__(self, root: Path | None) -> None:
        self._root = None if root is None else root.resolve()
        self._folder = None if root is None else JobFolder(root)
        self._jobs: dict[int, Job] = {}
        self._own: dict[int, _Process] = {}
        self._waiting: deque[Job] = deque()
        self._changed = threading.Condition()
        self._closing = False
        self._thread: threading.Thread | None = None
        self._remember()

    @property
    def root(self) -> Path | None:
        """Folder whose files may be named."""
        return self._root

    def add(
        self,
        command: str,
        inputs: Mapping[str, Sequence[str]],
        settings: Mapping[str, Any],
        name: str | None = None,
    ) -> Job:
        """Begin a job, or let it wait.

        Parameters
        ----------
        command : str
            One of `crystint.online.job_offers.OFFERS`.
        inputs : mapping of arguments to names
            Files below the root; of arguments that take many, patterns as well.
        settings : mapping
            By their names.
        name : str, optional
            Stands in the names of the outputs.

        Raises
        ------
        RefusedError
            When the command, a setting or a file is not allowed, or too many wait.
        """
        if command not in OFFERS:
            raise RefusedError("bad_value", f"command is {command!r}, expected one of {', '.join(OFFERS)}", "command")
        offer = OFFERS[command]
        files = offer.inputs(self._root, inputs)
        values = offer.settings(self._root, settings)
        assert self._folder is not None  # else there is no file below it
        names = tuple(key for key, value in settings.items() if value is not None)
        with self._changed:
            if self._closing:
                raise RefusedError("wrong_state", "the service ends")
            if len(self._waiting) >= _MOST_WAITING:
                raise RefusedError("busy", f"{len(self._waiting)} jobs wait already; ask again later")
            stem = Path(next(iter(files.values()))[0]).stem
            base, log = self._folder.reserve((stem, command.replace(" ", "-"), name or ""), offer.suffixes)
            outputs = [self._folder.path / f"{base}{suffix}" for suffix in offer.suffixes]
            words = command_words(offer.step, files, map(str, outputs), values, names)
            plain = values.plain()
            job = Job(
                max(self._jobs, default=0) + 1,
                command,
                base,
                {key: [self._below(file) for file in group] for key, group in files.items()},
                {key: plain[key] for key in names if key in plain},
                shlex.join(words),
                [self._below(str(output)) for output in outputs],
            )
            self._jobs[job.id], self._own[job.id] = job, _Process(log, words)
            self._forget()
            self._waiting.append(job)
            self._folder.write(job.name, job.record())
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name="crystint jobs")
                self._thread.start()
            self._changed.notify_all()
        return job

    def all(self) -> list[Job]:
        """The newest first."""
        with self._changed:
            self._look_again()
            return list(reversed(self._jobs.values()))

    def get(self, number: int) -> Job:
        """By its number.

        Raises
        ------
        RefusedError
        """
        with self._changed:
            self._look_again()
            if number not in self._jobs:
                raise RefusedError("not_found", f"there is no job {number}", "id")
            return self._jobs[number]

    def described(self, job: Job) -> dict[str, Any]:
        """JSON-able."""
        log = [] if self._folder is None else self._folder.tail(job.name)
        return job.record() | {"results": job.results, "log": log}

    def log(self, number: int) -> str:
        """All that a job has printed.

        Raises
        ------
        RefusedError
        """
        job = self.get(number)
        return "" if self._folder is None else self._folder.log(job.name)

    def cancel(self, number: int) -> Job:
        """End it: nothing that it has written stays.

        Raises
        ------
        RefusedError
            When another service runs it.
        """
        job = self.get(number)
        with self._changed:
            if not job.active:
                return job
            own = self._own.get(job.id)
            if own is None:
                raise RefusedError("wrong_state", f"job {number} is run by another service on the same folder", "id")
            if job.state == "queued":
                self._waiting.remove(job)
                self._end(job, own, "cancelled")
            else:
                self._stop(job, own, _PATIENCE)
        return job

    def close(self) -> None:
        """Cancel all and wait for what runs."""
        with self._changed:
            self._closing = True
            for number, own in list(self._own.items()):
                job = self._jobs[number]
                if job.state == "queued":
                    self._end(job, own, "cancelled", "the service ended before its turn came")
                else:
                    self._stop(job, own, _LAST_WORDS, "the service ended")
            self._waiting.clear()
            self._changed.notify_all()
        if self._thread is not None:
            self._thread.join()

    def _below(self, file: str) -> str:
        """The name of a file as seen from the root."""
        return str(Path(file).relative_to(cast(Path, self._root)))

    def _forget(self) -> None:
        """The oldest jobs that are over; their files stay."""
        over = [number for number, job in self._jobs.items() if not job.active]
        for number in over[: max(len(self._jobs) - _MOST, 0)]:
            del self._jobs[number]

    def _remember(self) -> None:
        """The jobs of services before this one."""
        if self._folder is None:
            return
        for name in self._folder.names()[-_MOST:]:
            job = Job.of_record(self._folder.read(name) or {}, name)
            if job is not None:
                job.id = job.id if 0 < job.id < 2**53 and job.id not in self._jobs else max(self._jobs, default=0) + 1
                self._jobs[job.id] = job
        self._jobs = dict(sorted(self._jobs.items(), key=lambda item: item[1].created))

    def _look_again(self) -> None:
        """At jobs that another service has, or had."""
        for number, job in self._jobs.items():
            if job.active and number not in self._own and self._folder is not None:
                alive = self._folder.is_locked(job.name)
                now = Job.of_record(self._folder.read(job.name) or {}, job.name)
                if now is not None:
                    job.state, job.began, job.ended, job.code = now.state, now.began, now.ended, now.code
                if job.active and not alive:
                    job.state, job.error, job.ended = "failed", "the service ended while it waited or ran", job.began
                    self._folder.remove_outputs(self._outputs(job))
                    self._folder.write(job.name, job.record())

    def _outputs(self, job: Job) -> list[Path]:
        """Absolute."""
        return [] if self._root is None else [self._root / output for output in job.outputs]

    @staticmethod
    def _stop(job: Job, own: _Process, patience: float, why: str = "") -> None:
        if job.state == "running":
            job.state, job.error = "cancelled", why
        own.kill_at = time.monotonic() + patience
        if own.process is not None:
            own.process.terminate()

    def _end(self, job: Job, own: _Process, state: JobState, why: str = "") -> None:
        """Note how it ended; with the lock held."""
        job.state, job.ended, job.error = state, time.time_ns(), job.error or why
        self._own.pop(job.id, None)
        if self._folder is not None:
            if state != "done":
                self._folder.remove_outputs(self._outputs(job))
            self._folder.write(job.name, job.record())
        os.close(own.log)

    def _work(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._closing or self._waiting)
                if self._closing:
                    return
                job = self._waiting.popleft()
                own = self._own[job.id]
                job.state, job.began = "running", time.time_ns()
                reading, writing = os.pipe()
                try:
                    own.process = subprocess.Popen(
                        [sys.executable, "-P", "-m", *own.words],  # no module of the folder that it is started in
                        env=os.environ | {_PROGRESS: str(writing)},
                        stdin=subprocess.DEVNULL,
                        stdout=own.log,
                        stderr=subprocess.STDOUT,
                        pass_fds=(writing,),
                        start_new_session=True,
                    )
                    with suppress(OSError):
                        os.setpriority(os.PRIO_PROCESS, own.process.pid, 15)
                except OSError as error:
                    os.close(reading)
                    self._end(job, own, "failed", str(error))
                    continue
                finally:
                    os.close(writing)
                if self._folder is not None:
                    self._folder.write(job.name, job.record())
            try:
                self._follow(job, own, own.process, reading)
            finally:
                os.close(reading)

    def _follow(self, job: Job, own: _Process, process: subprocess.Popen[bytes], reading: int) -> None:
        """Read how far a job is until it has ended."""
        poll, rest = select.poll(), b""
        poll.register(reading, select.POLLIN)
        open_ = True
        while open_ or process.poll() is None:
            if open_ and poll.poll(_POLL_MS):
                data = os.read(reading, 65536)
                open_ = bool(data)
                *lines, rest = (rest + data).split(b"\n")
                rest = rest[-_LONGEST_LINE:]
                job.progress = next((told for line in reversed(lines) if (told := _progress(line))), job.progress)
            elif not open_:
                with suppress(subprocess.TimeoutExpired):
                    process.wait(_POLL_MS / 1000)
            if own.kill_at is not None and time.monotonic() > own.kill_at:
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
        with self._changed:
            job.code = process.returncode
            done: JobState = "done" if process.returncode in _WRITTEN else "failed"
            self._end(job, own, done if job.state == "running" else job.state)


def _progress(line: bytes) -> dict[str, Any] | None:
    try:
        told = json.loads(line)
        return {"done": int(told["done"]), "total": int(told["total"]), "what": str(told["what"])}
    except (ValueError, KeyError, TypeError):
        return None
