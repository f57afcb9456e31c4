"""DIALS' spot finder (G. Winter et al. (2018), Acta Cryst. D74, 85; thresholds of dispersion_extended), as a program.

It is started as people start it, on a file of one frame and on one of several, in one process.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from crystint.bench.files import stack_of
from crystint.bench.frames import Sample
from crystint.bench.operations import Wanted
from crystint.bench.timing import Operation
from crystint.engine import Engine
from crystint.errors import SettingError
from crystint.io.hdf5.filters import PLUGINS

__all__ = ["dials_version", "operations"]

_PROGRAM = "dials.find_spots"
_FRAMES = 6
_ROUNDS = 3

if shutil.which(_PROGRAM) is None:
    raise ImportError(f"{_PROGRAM} is not on PATH")


def dials_version() -> str:
    """What the program says of itself."""
    line = subprocess.run(["dials.version"], capture_output=True, text=True, check=False).stdout.split("\n")[0]
    return line.removeprefix("DIALS").strip() or "unknown"


def operations(
    sample: Sample, _engine: Engine, _warn: Callable[[str], None], _wanted: Wanted, stack: ExitStack
) -> Iterator[Operation]:
    """Spots of one frame, start-up and all, and of each further frame."""
    folder = Path(stack.enter_context(TemporaryDirectory(prefix="crystint-bench-")))
    first = "DIALS find_spots, first"
    for frames in (1, _FRAMES):
        path = stack_of(folder, sample, frames)
        name, beyond = (first, None) if frames == 1 else ("DIALS find_spots", first)
        yield Operation(name, partial(_find, path), None, frames, beyond, _ROUNDS)


def _find(path: Path) -> None:
    """
    Raises
    ------
    SettingError
        With what the program said, when it fails.
    """
    environment = {**os.environ, "HDF5_PLUGIN_PATH": PLUGINS}  # a DIALS of Debian has no bitshuffle
    words = [_PROGRAM, path.name, "nproc=1", f"output.reflections={path.stem}.refl", "output.log=None"]
    done = subprocess.run(words, cwd=path.parent, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SettingError(f"{_PROGRAM} failed: {(done.stderr or done.stdout).strip()[-500:]}")
