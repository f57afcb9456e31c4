"""What a service that was killed needs to go on with its series: the start message, and what was asked for it."""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from crystint.errors import CrystintError, FileError
from crystint.online.control_messages import pack, unpack
from crystint.stream.messages import SeriesKey, Start
from crystint.stream.read import read_message

__all__ = ["Restart"]


class Restart:
    """A file in a folder, written anew with each series.

    Parameters
    ----------
    folder : path
        Made if it is not there.

    Raises
    ------
    FileError
        When it cannot be.

    Examples
    --------
    >>> from pathlib import Path
    >>> from crystint.online.restart import Restart
    >>> from crystint.stream import SeriesKey, Start, encode_start, read_message
    >>> restart = Restart(Path("state"))
    >>> restart.note(read_message(encode_start(Start(SeriesKey(7, "a"), (10, 12), "stream2"))), {"prefix": "run"})
    >>> start, asked = Restart(Path("state")).read()
    >>> start.series, asked
    (SeriesKey(id=7, unique_id='a'), {'prefix': 'run'})
    >>> restart.forget(start.series)
    >>> restart.read() is None
    True
    """

    def __init__(self, folder: Path) -> None:
        try:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            for part in folder.glob("series.*.part"):  # of a process that was killed
                part.unlink(missing_ok=True)
        except OSError as error:
            raise FileError(f"state_dir {folder} cannot be made: {error.strerror or error}") from None
        self._path = folder / "series.cbor"
        self._key: SeriesKey | None = None
        self._began = -1
        self._lock = threading.Lock()

    def note(self, start: Start, asked: Mapping[str, Any], began: int = 0) -> None:
        """Remember a series that began, unless a later one is remembered already. From any thread.

        Parameters
        ----------
        start : Start
        asked : mapping
        began : int
            Larger for series that began later.

        Raises
        ------
        OSError
        """
        message = pack({"start": start.message, "asked": dict(asked)})
        part = self._path.with_suffix(f".{began}.part")  # others may be written at the same time
        self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        try:
            with open(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
                file.write(message)
                file.flush()
                os.fsync(file.fileno())
            with self._lock:
                if began >= self._began:
                    part.replace(self._path)
                    self._key, self._began = start.series, began
        finally:
            with suppress(OSError):
                part.unlink(missing_ok=True)

    def forget(self, key: SeriesKey) -> None:
        """A series is closed. From any thread."""
        with self._lock:
            if self._key in (None, key):
                self._path.unlink(missing_ok=True)

    def read(self) -> tuple[Start, dict[str, Any]] | None:
        """The series that was not closed, and what was asked for it; None = there is none.

        Raises
        ------
        FileError
            When the file is damaged.
        """
        try:
            values = unpack(self._path.read_bytes())
            start = read_message(values["start"])
            asked = dict(values["asked"])
        except FileNotFoundError:
            return None
        except (CrystintError, OSError, KeyError, TypeError, ValueError) as error:
            raise FileError(f"{self._path} cannot be read, so no series is gone on with: {error}") from None
        return (start, asked) if isinstance(start, Start) else None
