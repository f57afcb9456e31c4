"""SHA-256, size and time of the files that a run reads, for its provenance; worked out beside the run."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from threading import Event, Thread
from typing import Any

from crystint.errors import FileError, unreadable

__all__ = ["InputSums", "input_sums"]

_PIECE = 1 << 22
"""Bytes read at a time."""


class InputSums:
    """The sums of files, in a thread of their own. Made by `input_sums`."""

    def __init__(self, files: Sequence[str], cancelled: Event) -> None:
        self._files, self._cancelled = files, cancelled
        self._rows: list[dict[str, Any]] = []
        self._error: FileError | None = None
        self._thread = Thread(target=self._work, daemon=True)
        self._thread.start()

    def _work(self) -> None:
        for name in self._files:
            try:
                self._rows.append(self._row(name))
            except OSError as error:
                self._error = unreadable(name, error)
                return
            if self._cancelled.is_set():
                return

    def _row(self, name: str) -> dict[str, Any]:
        digest = hashlib.sha256()
        with open(name, "rb", buffering=0) as file:
            status = os.fstat(file.fileno())
            while not self._cancelled.is_set() and (piece := file.read(_PIECE)):
                digest.update(piece)
        changed = datetime.fromtimestamp(status.st_mtime, UTC).isoformat(timespec="microseconds")
        return {"file": name, "bytes": status.st_size, "modified": changed, "sha256": digest.hexdigest()}

    def rows(self) -> list[dict[str, Any]]:
        """Of each file its name, bytes, time of change (ISO 8601, UTC) and SHA-256; waits until they are there.

        Raises
        ------
        FileError
            When a file cannot be read.
        """
        self._thread.join()
        if self._error is not None:
            raise self._error
        return self._rows


@contextmanager
def input_sums(files: Sequence[str], wanted: bool) -> Iterator[InputSums | None]:
    """Work out the sums of files while the block runs; None when they are not wanted."""
    if not wanted:
        yield None
        return
    cancelled = Event()
    sums = InputSums([name for name in files if os.path.exists(name)], cancelled)
    try:
        yield sums
    finally:
        cancelled.set()
