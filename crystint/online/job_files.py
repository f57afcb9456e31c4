"""The files of jobs below the data root: a record of each that outlives the process, its log, and the names of all.

Others may write there: what is read is checked, nothing that is there is replaced, and no link is followed.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from crystint.errors import CrystintError, RefusedError, warn
from crystint.io.outputs import atomic_path, files_of, journal_of, remove_leftovers

__all__ = ["FOLDER", "LOG_LINES", "JobFolder"]

FOLDER = "jobs"
LOG_LINES = 200
"""of the tail of a log"""
_RECORD, _LOG = ".job.json", ".log"
_LARGEST_RECORD = 2**20
_LARGEST_LOG = 2**24
_TAIL = 2**16
_LONGEST_NAME = 100
_MOST_OF_A_NAME = 10_000


class JobFolder:
    """The folder of the jobs.

    Parameters
    ----------
    root : path
        The data root.
    """

    def __init__(self, root: Path) -> None:
        self.path = root.resolve() / FOLDER

    def made(self) -> Path:
        """The folder, which is made if need be.

        Raises
        ------
        RefusedError
        """
        try:
            self.path.mkdir(exist_ok=True)
        except OSError as error:
            raise RefusedError("internal", f"{self.path} cannot be written: {error.strerror or error}") from None
        if self.path.is_symlink():
            raise RefusedError("forbidden", f"{FOLDER} below the data root is a symbolic link")
        return self.path

    def reserve(self, words: Sequence[str], suffixes: Sequence[str]) -> tuple[str, int]:
        """A name that nothing in the folder has yet, and the open log of the job, which is locked.

        Parameters
        ----------
        words
            That the name is made of.
        suffixes
            Of the outputs.

        Raises
        ------
        RefusedError
            When nothing can be written there.
        """
        folder = self.made()
        base = "_".join(
            part for part in (re.sub(r"[^A-Za-z0-9_.-]+", "-", word).strip("._-") for word in words) if part
        )
        base = base[:_LONGEST_NAME] or "job"
        for number in range(1, _MOST_OF_A_NAME):
            name = base if number == 1 else f"{base}_{number}"
            files = [file for suffix in suffixes for file in files_of(folder / f"{name}{suffix}")]
            if any(os.path.lexists(file) for file in (*files, folder / f"{name}{_RECORD}")):
                continue
            try:
                log = os.open(folder / f"{name}{_LOG}", os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_EXCL, 0o666)
            except FileExistsError:
                continue
            except OSError as error:
                raise RefusedError("internal", f"{folder} cannot be written: {error.strerror or error}") from None
            with suppress(OSError):  # a file system without locks: jobs of a service that ended look as if they ran
                fcntl.flock(log, fcntl.LOCK_EX)
            return name, log
        raise RefusedError("internal", f"{folder} has too many files called {base}")

    def write(self, name: str, record: Mapping[str, Any]) -> None:
        """The record of a job; a full disk is told and does not stop it."""
        try:
            with atomic_path(self.path / f"{name}{_RECORD}", overwrite=True) as temporary:
                temporary.write_text(json.dumps(record, indent=1), encoding="utf-8")
        except CrystintError as error:
            warn(f"a restart will not know of job {name}: {error}")

    def names(self) -> list[str]:
        """Of all records, the oldest first."""
        if self.path.is_symlink():
            return []
        with suppress(OSError):
            files = [file for file in self.path.iterdir() if file.name.endswith(_RECORD) and not file.is_symlink()]
            files.sort(key=lambda file: file.stat().st_mtime_ns)
            return [file.name.removesuffix(_RECORD) for file in files]
        return []

    def read(self, name: str) -> dict[str, Any] | None:
        """A record; None where it is damaged, or gone."""
        try:
            record = json.loads(_read(self.path / f"{name}{_RECORD}", _LARGEST_RECORD))
        except (OSError, ValueError, RecursionError):
            return None
        return record if isinstance(record, dict) else None

    def is_locked(self, name: str) -> bool:
        """Whether the process of a job, or who runs it, is there still."""
        try:
            log = os.open(self.path / f"{name}{_LOG}", os.O_RDONLY | os.O_NOFOLLOW)
        except OSError:
            return False
        try:
            fcntl.flock(log, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return True
        finally:
            os.close(log)
        return False

    def log(self, name: str) -> str:
        """All of a log, or the end of a very long one."""
        with suppress(OSError):
            return _read(self.path / f"{name}{_LOG}", _LARGEST_LOG, from_end=True)
        return ""

    def tail(self, name: str) -> list[str]:
        """Its last lines."""
        with suppress(OSError):
            return _read(self.path / f"{name}{_LOG}", _TAIL, from_end=True).splitlines()[-LOG_LINES:]
        return []

    def remove_outputs(self, files: Sequence[Path]) -> None:
        """Of a job that did not get to its end: what it has written, its journal and its temporary files."""
        for file in (one for output in files for one in files_of(output)):
            if file.parent == self.path:
                remove_leftovers(file)
                for left in (file, journal_of(file)):
                    with suppress(OSError):
                        left.unlink()


def _read(path: Path, most: int, *, from_end: bool = False) -> str:
    """The text of a plain file."""
    with os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK), "rb") as file:
        size = os.fstat(file.fileno()).st_size
        if from_end:
            file.seek(max(size - most, 0))
        elif size > most:
            raise ValueError(f"{path} is too large")
        return file.read(most).decode("utf-8", "replace")
