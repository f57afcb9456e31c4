"""Programs in processes of their own: signals reach them as in a terminal, and none outlives its test."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from crystint.run.journal import records_in

ROOT = Path(__file__).resolve().parents[1]
LONG = 600
"""s, after which a process hangs; on a loaded machine all takes many times longer than on a quiet one"""
_started: list[subprocess.Popen[str]] = []


@contextmanager
def heeding_sigint() -> Iterator[None]:
    """SIGINT interrupts Python. Shells start what is in the background without it, and children inherit that."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def started(arguments: Sequence[str], folder: Path, **environment: str) -> subprocess.Popen[str]:
    """A process with a process group of its own, as a shell gives it, with this crystint; `end_all` ends it."""
    pipes: dict[str, Any] = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
    variables = {**os.environ, "PYTHONPATH": str(ROOT), **environment}
    with heeding_sigint():
        process = subprocess.Popen(arguments, cwd=folder, env=variables, text=True, process_group=0, **pipes)
    _started.append(process)
    return process


def first_line(process: subprocess.Popen[str]) -> str:
    """Of stdout, read byte by byte: what a reader takes beyond it, `communicate` would not have."""
    assert process.stdout is not None
    line = bytearray()
    while not line.endswith(b"\n") and (one := os.read(process.stdout.fileno(), 1)):
        line += one
    return line.decode().strip()


def after(process: subprocess.Popen[str], output: Path, frames: int) -> None:
    """Wait until so many frames are in the journal of an output."""
    deadline = time.monotonic() + LONG
    while records_in(output) < frames and time.monotonic() < deadline and process.poll() is None:
        time.sleep(0.005)
    assert process.poll() is None, process.communicate()


def end_all() -> None:
    """End what a test has left running: a failure must not become that of the tests after it, or of pytest."""
    while _started:
        process = _started.pop()
        if process.poll() is None:
            process.kill()
        process.wait()
        for pipe in (process.stdin, process.stdout, process.stderr):
            if pipe is not None:
                pipe.close()
