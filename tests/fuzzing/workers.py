"""A process that reads damaged files, one after the other, and is begun anew when it crashes or hangs."""

from __future__ import annotations

import json
import os
import resource
import select
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.conftest import ROOT

__all__ = ["Worker"]

MEMORY = 4 << 30
"""Bytes above what the process takes before it reads."""


class Worker:
    """Reads files in a process of its own.

    Parameters
    ----------
    seconds : float
        That a file may take.
    readings : str
        Module with `outcome_of`.
    """

    def __init__(self, seconds: float = 20.0, readings: str = "tests.fuzzing.readings") -> None:
        self._seconds, self._readings = seconds, readings
        self._process: subprocess.Popen[str] | None = None

    def read(self, format: str, path: Path) -> dict[str, str]:
        """The outcome of a file, as `outcome_of`; also "crash" and "hang"."""
        process = self._process or self._begun()
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(json.dumps([format, str(path)]) + "\n")
        process.stdin.flush()
        if not select.select([process.stdout], [], [], self._seconds)[0]:
            self.close()
            return {"kind": "hang", "text": f"more than {self._seconds:g} s"}
        line = process.stdout.readline()
        if line:
            return dict(json.loads(line))
        code = process.wait()
        self.close()
        return {"kind": "crash", "text": f"ended by signal {-code}" if code < 0 else f"ended with {code}"}

    def _begun(self) -> subprocess.Popen[str]:
        path = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
        self._process = process = subprocess.Popen(
            [sys.executable, "-m", "tests.fuzzing.workers", self._readings],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
            env={**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
        )  # fmt: skip
        assert process.stdout is not None
        process.stdout.readline()
        return process

    def close(self) -> None:
        """End the process."""
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
            self._process = None


def _limit_memory() -> None:
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + MEMORY,) * 2)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def main(readings: str) -> None:
    """Read what stdin names, and answer on stdout, a line each; what libraries print goes elsewhere."""
    from importlib import import_module

    outcome_of: Any = import_module(readings).outcome_of
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    _limit_memory()
    print("ready", file=answers, flush=True)
    for line in sys.stdin:
        format, path = json.loads(line)
        print(json.dumps(outcome_of(format, Path(path))), file=answers, flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
