"""Starts the process of the web interface, and starts it again when it ends."""

from __future__ import annotations

import subprocess
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from crystint.online.web_process import WebPlace, start_command

__all__ = ["WebKeeper"]

_PAUSES = (0.0, 0.5, 2.0, 5.0)
"""s before it is started again, when it ended soon after its start: the last one from then on"""
_SOON = 10.0
_PATIENCE = 4.0
"""s that it has to end"""


class WebKeeper:
    """One process at a time, until `close`.

    Parameters
    ----------
    place : WebPlace
    folder : path
        For the file that tells it what it needs.
    tell : callable
        Called with a sentence when it has ended by itself.
    """

    def __init__(self, place: WebPlace, folder: Path, tell: Callable[[str], None]) -> None:
        self._place, self._tell = place, tell
        self._file = folder / "web.cbor"
        place.write(self._file)
        self._closing = threading.Event()
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self.starts = 0
        self._thread = threading.Thread(target=self._run, name="web process")
        self._thread.start()

    @property
    def process(self) -> int | None:
        """Its number; None = it does not run now."""
        process = self._process
        return None if process is None or process.returncode is not None else process.pid

    def close(self) -> None:
        """End it."""
        self._closing.set()
        with self._lock:
            if self._process is not None:
                self._process.terminate()
        self._thread.join()

    def _run(self) -> None:
        early = 0
        while not self._closing.wait(_PAUSES[min(early, len(_PAUSES) - 1)]):
            begun = time.monotonic()
            with self._lock:
                if self._closing.is_set():
                    return
                self._process = process = subprocess.Popen(
                    start_command(self._file),
                    stdin=subprocess.PIPE,
                    pass_fds=self._place.sockets,
                    start_new_session=True,  # Ctrl-C is for the data process alone
                )
            self.starts += 1
            code = self._wait(process)
            early = early + 1 if time.monotonic() - begun < _SOON else 0
            if not self._closing.is_set():
                self._tell(f"the web interface ended ({code}) and is started again; no image is lost by it")

    def _wait(self, process: subprocess.Popen[bytes]) -> int:
        """Until it has ended; killed when it does not although it is to."""
        assert process.stdin is not None
        with process.stdin:
            while True:
                with suppress(subprocess.TimeoutExpired):
                    return process.wait(None if not self._closing.is_set() else _PATIENCE)
                process.kill()
