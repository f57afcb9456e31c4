"""The folder in which PoCL keeps what it built: files that are not as they were are removed before PoCL loads them.

PoCL maps its kernels into the process: damaged ones end it by a signal. The sums of all files are kept beside them and
compared when PoCL is loaded; a program with a wrong or incomplete file is built anew.
"""

from __future__ import annotations

import atexit
import hashlib
import json
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from struct import unpack_from

__all__ = ["check_pocl_cache"]

_SUMS = "crystint-sums"
_KINDS = (".so", ".bc")
"""Files that are loaded. The others are texts and times."""


def check_pocl_cache(folder: Path) -> None:
    """Remove programs with damaged files, and remember the sums of all others when the process ends."""
    sums = _sums(folder)
    for file in list(_files(folder)):
        name = str(file.relative_to(folder))
        if sums is None or not (_digest(file) == sums[name] if name in sums else _is_complete(file)):
            shutil.rmtree(_program(folder, file), ignore_errors=True)
    atexit.register(_remember, folder, os.getpid())


def _files(folder: Path) -> Iterator[Path]:
    """What PoCL loads: <two letters>/<program>/...; other files, such as those being written, lie above."""
    start = len(os.fspath(folder))
    for above, _, names in os.walk(folder):
        if above.count(os.sep, start) >= 2:
            yield from (Path(above, name) for name in names if name.endswith(_KINDS))


def _program(folder: Path, file: Path) -> Path:
    """The folder of the program that a file is of."""
    return folder.joinpath(*file.relative_to(folder).parts[:2])


def _is_complete(file: Path) -> bool:
    """Whether a file that no sum is known of looks whole: its kind, and for libraries its length."""
    try:
        content = file.read_bytes()
    except OSError:
        return False
    if file.suffix == ".bc":
        return content[:2] == b"BC"
    if content[:4] != b"\x7fELF" or len(content) < 64:
        return False
    (offset,), (size, count) = unpack_from("<Q", content, 40), unpack_from("<HH", content, 58)
    return int(offset + size * count) <= len(content)


def _digest(file: Path) -> str:
    try:
        return hashlib.sha256(file.read_bytes()).hexdigest()
    except OSError:
        return ""


def _sums(folder: Path) -> dict[str, str] | None:
    """Sum of each file by its name in the folder; empty where there are none yet, None where they are damaged."""
    try:
        digest, _, text = (folder / _SUMS).read_bytes().partition(b"\n")
        if hashlib.sha256(text).hexdigest().encode() != digest:
            return None
        return dict(json.loads(text))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError):
        return None


def _remember(folder: Path, owner: int) -> None:
    """Write down the sums of files that have come."""
    if os.getpid() != owner:
        return
    with suppress(OSError):
        before = _sums(folder) or {}
        names = [str(file.relative_to(folder)) for file in _files(folder)]
        sums = {name: before.get(name) or _digest(folder / name) for name in names}
        if sums == before:
            return
        temporary = folder / f"{_SUMS}.{secrets.token_hex(4)}"
        text = json.dumps(sums).encode()
        temporary.write_bytes(hashlib.sha256(text).hexdigest().encode() + b"\n" + text)
        temporary.replace(folder / _SUMS)
