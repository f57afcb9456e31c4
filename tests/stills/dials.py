"""Finds a DIALS installation beside the tests; it is never required."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import hdf5plugin
import pytest

_ENVIRONMENT = {**os.environ, "HDF5_PLUGIN_PATH": hdf5plugin.PLUGIN_PATH}


def run_dials(*command: str, folder: Path) -> str:
    """Run a DIALS program in `folder` and return what it printed; skips the test when there is no DIALS."""
    if shutil.which(command[0]) is None:
        pytest.skip(f"{command[0]} is not installed")
    done = subprocess.run(command, cwd=folder, env=_ENVIRONMENT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def run_dials_python(code: str, folder: Path) -> str:
    """Run code with DIALS's Python and return what it printed; skips the test when there is no DIALS."""
    program = shutil.which("dials.find_spots")
    if program is None:
        pytest.skip("DIALS is not installed")
    python = shutil.which("dials.python")
    if python is None:
        first = Path(program).read_bytes().split(b"\n", 1)[0].decode(errors="replace")
        if not first.startswith("#!") or "python" not in first:
            pytest.skip("the interpreter of DIALS is not known")
        python = first[2:].strip()
    environment = {key: value for key, value in _ENVIRONMENT.items() if not key.startswith("PYTHON")}
    done = subprocess.run(
        [python, "-c", code], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout
