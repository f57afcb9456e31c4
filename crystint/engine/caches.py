"""Folders in which built kernels are kept: writable ones, and PyOpenCL without caches of its own.

PyOpenCL's caches fail where they cannot be written, wait a minute for the lock of a process that was killed, and hand
damaged binaries to the driver; PoCL is no device where its cache cannot be written. Built kernels of drivers that cache
nothing lie in `binaries`; PoCL is told of a folder that can be written, before it is loaded.
"""

from __future__ import annotations

import atexit
import os
import shutil
import sys
import tempfile
from functools import cache
from pathlib import Path

from crystint.engine.pocl_cache import check_pocl_cache

__all__ = ["cache_folder", "cache_notes", "import_pyopencl", "redirect_pocl"]

_POCL = "POCL_CACHE_DIR"
_NO_CACHE = "PYOPENCL_NO_CACHE"
_notes: dict[str, str] = {}
"""whose cache -> what there is to say of it"""


@cache
def cache_folder() -> Path | None:
    """The folder of crystint's caches: in XDG_CACHE_HOME or ~/.cache, or a temporary one; None = none is writable."""
    folder = _user_folder() / "crystint"
    problem = _problem(folder)
    if not problem:
        return folder
    temporary = _temporary_folder()
    instead = "for this process only" if temporary else "each time"
    _notes[""] = (
        f"the cache folder {folder} cannot be used ({problem}): kernels are built {instead}; "
        "XDG_CACHE_HOME can name another one"
    )
    return temporary


def cache_notes(platform: str) -> list[str]:
    """What the user must know of the cache folders that kernels of an OpenCL platform need."""
    of_pocl = platform.startswith("Portable Computing Language")
    return [text for name, text in _notes.items() if of_pocl or name != _POCL]


def import_pyopencl() -> None:
    """Load PyOpenCL for the first time, without its caches."""
    if "pyopencl" in sys.modules or _NO_CACHE in os.environ:
        return
    os.environ[_NO_CACHE] = "1"
    try:
        import pyopencl  # noqa: F401
    except ImportError:  # whoever needs it says so
        pass
    finally:
        del os.environ[_NO_CACHE]


@cache
def redirect_pocl() -> None:
    """Name a folder to PoCL, which asks once, when it is loaded: the one that the user named, or one of crystint's."""
    named, folder = os.environ.get(_POCL), cache_folder()
    problem = _problem(Path(named)) if named else ""
    if problem:
        instead = "no other can be made either" if folder is None else f"{folder / 'pocl'} is used instead"
        _notes[_POCL] = f"{_POCL}, {named}, cannot be used as PoCL's cache folder ({problem}): {instead}"
    if not named or problem:
        if folder is None:
            return
        named = os.environ[_POCL] = str(folder / "pocl")
    check_pocl_cache(Path(named))


def _user_folder() -> Path:
    """Where caches of the user lie."""
    return Path(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"))


def _problem(folder: Path) -> str:
    """Why files cannot be made in a folder, which is made if need be; empty when they can."""
    try:
        folder.mkdir(0o700, parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return ""
    except OSError as error:
        return error.strerror or str(error)


def _temporary_folder() -> Path | None:
    """A folder for this process, removed at its end."""
    try:
        folder = tempfile.mkdtemp(prefix="crystint-cache-")
    except OSError:
        return None
    owner = os.getpid()
    atexit.register(lambda: shutil.rmtree(folder, ignore_errors=True) if os.getpid() == owner else None)
    return Path(folder)
