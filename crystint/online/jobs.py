"""Jobs on finished files: `crystint peaks` and `crystint sparsify` in processes of low priority, one after another."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from crystint.errors import FileError, RefusedError, SettingError
from crystint.online.data_root import file_below
from crystint.run.settings import StepSettings
from crystint.separation.settings import PeaksSettings, SparsifySettings

__all__ = ["COMMANDS", "Job", "Jobs"]

COMMANDS: dict[str, tuple[type[StepSettings], str]] = {
    "peaks": (PeaksSettings, ".cxi"),
    "sparsify": (SparsifySettings, ".h5"),
}
"""Commands that may be asked for: their settings, and the suffix of what they write"""
_FOLDER = "jobs"
_MOST = 100
_MOST_WAITING = 16
_LOG = 200
"""lines that are remembered"""
_PATIENCE = 10.0


@dataclass(eq=False)
class Job:
    """A command on a file."""

    id: int
    command: str
    file: str
    """below the data root"""
    settings: Mapping[str, Any]
    arguments: tuple[str, ...]
    """of the command line, as it may be copied"""
    output: Path
    state: str = "queued"
    """queued, running, done, failed, cancelled"""
    created: int = field(default_factory=time.time_ns)
    began: int | None = None
    ended: int | None = None
    code: int | None = None
    log: deque[str] = field(default_factory=lambda: deque(maxlen=_LOG))
    process: subprocess.Popen[str] | None = None

    def described(self) -> dict[str, Any]:
        """JSON-able."""
        return {
            "id": self.id,
            "command": self.command,
            "file": self.file,
            "settings": dict(self.settings),
            "command_line": " ".join(self.arguments),
            "output": str(self.output),
            "state": self.state,
            "created": self.created,
            "began": self.began,
            "ended": self.ended,
            "code": self.code,
            "log": list(self.log),
        }


class Jobs:
    """Runs jobs one at a time, in a thread that waits for them.

    Parameters
    ----------
    root : path or None
        Folder whose files may be named; results go into its folder "jobs". None = jobs are refused.
    """

    def __init__(self, root: Path | None) -> None:
        self._root = root
        self._jobs: dict[int, Job] = {}
        self._waiting: deque[Job] = deque()
        self._changed = threading.Condition()
        self._number = 0
        self._closing = False
        self._thread: threading.Thread | None = None

    def add(self, command: str, file: str, settings: Mapping[str, Any]) -> Job:
        """Begin a job, or let it wait.

        Raises
        ------
        RefusedError
            When the command, a setting or the file is not allowed, or too many wait.
        """
        if command not in COMMANDS:
            raise RefusedError("bad_value", f"command is {command!r}, expected one of {', '.join(COMMANDS)}", "command")
        source = file_below(self._root, file, "run")
        assert self._root is not None  # else there is no file below it
        model, suffix = COMMANDS[command]
        values = self._checked(model, settings)
        with self._changed:
            if self._closing:
                raise RefusedError("wrong_state", "the service ends")
            if len(self._waiting) >= _MOST_WAITING:
                raise RefusedError("busy", f"{len(self._waiting)} jobs wait already; ask again later")
            self._number += 1
            folder = self._root.resolve() / _FOLDER
            name = f"{source.stem}_{time.strftime('%Y%m%d_%H%M%S')}_{self._number}"
            output, config = folder / f"{name}{suffix}", folder / f"{name}.toml"
            self._prepare(folder, config, values)
            arguments = ("crystint", command, str(source), "-o", str(output), "--config", str(config))
            job = Job(self._number, command, file, values, arguments, output)
            self._jobs[job.id] = job
            while len(self._jobs) > _MOST:
                oldest = next(iter(self._jobs))
                if self._jobs[oldest].state in ("queued", "running"):
                    break
                del self._jobs[oldest]
            self._waiting.append(job)
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name="crystint jobs")
                self._thread.start()
            self._changed.notify_all()
        return job

    def _checked(self, model: type[StepSettings], settings: Mapping[str, Any]) -> dict[str, Any]:
        """Values that are no defaults; files of theirs lie below the root."""
        try:
            whole = model.of(settings)
        except (SettingError, FileError) as error:
            raise RefusedError("bad_value", str(error), "settings") from None
        for path in whole.files():
            file_below(self._root, str(path), "settings")
        root = self._root.resolve() if self._root is not None else Path()
        names = set(model._path_fields())

        def told(name: str, value: Any) -> Any:
            if name not in names or value is None:
                return value
            return [str(root / each) for each in value] if isinstance(value, list) else str(root / value)

        return {name: told(name, value) for name, value in whole.plain().items() if name in settings}

    @staticmethod
    def _prepare(folder: Path, config: Path, values: Mapping[str, Any]) -> None:
        """JSON has the numbers, strings and lists of TOML."""
        lines = [f"{name} = {json.dumps(value)}\n" for name, value in values.items() if value is not None]
        try:
            folder.mkdir(exist_ok=True)
            if folder.is_symlink():
                raise RefusedError("forbidden", f"{_FOLDER} below the data root is a symbolic link")
            config.write_text("".join(lines), encoding="utf-8")
        except OSError as error:
            raise RefusedError("internal", f"{folder} cannot be written: {error.strerror or error}") from None

    def all(self) -> list[Job]:
        """The newest first."""
        with self._changed:
            return list(reversed(self._jobs.values()))

    def get(self, number: int) -> Job:
        """By its number.

        Raises
        ------
        RefusedError
        """
        with self._changed:
            if number not in self._jobs:
                raise RefusedError("not_found", f"there is no job {number}", "id")
            return self._jobs[number]

    def cancel(self, number: int) -> Job:
        """End it; what it has written by then is as the command leaves it."""
        job = self.get(number)
        with self._changed:
            if job.state == "queued":
                self._waiting.remove(job)
                job.state, job.ended = "cancelled", time.time_ns()
            elif job.state == "running":
                job.state = "cancelled"
                if job.process is not None:
                    job.process.terminate()
        return job

    def close(self) -> None:
        """Cancel all and wait for what runs."""
        with self._changed:
            self._closing = True
            for job in self._jobs.values():
                if job.state in ("queued", "running"):
                    job.state = "cancelled"
                    if job.process is not None:
                        job.process.terminate()
            self._waiting.clear()
            self._changed.notify_all()
        if self._thread is not None:
            self._thread.join()

    def _work(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._closing or self._waiting)
                if self._closing:
                    return
                job = self._waiting.popleft()
                job.state, job.began = "running", time.time_ns()
                try:
                    job.process = subprocess.Popen(
                        [sys.executable, "-m", *job.arguments],
                        stdin=subprocess.DEVNULL,
                        stdout=subprocess.PIPE,
                        stderr=subprocess.STDOUT,
                        text=True,
                        errors="replace",
                        start_new_session=True,
                    )
                    os.setpriority(os.PRIO_PROCESS, job.process.pid, 15)
                except OSError as error:
                    job.log.append(str(error))
                    job.state, job.ended = "failed", time.time_ns()
                    continue
            self._follow(job, job.process)

    def _follow(self, job: Job, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        with process:
            for line in process.stdout:
                job.log.append(line.rstrip())
            try:
                process.wait(_PATIENCE)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
        with self._changed:
            job.code, job.ended = process.returncode, time.time_ns()
            if job.state == "running":
                job.state = "done" if process.returncode in (0, 3) else "failed"
