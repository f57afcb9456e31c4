"""Output files that are whole or not there: written beside the target and renamed at the end."""

from __future__ import annotations

import errno
import glob
import hashlib
import os
import re
import secrets
import stat
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager, suppress
from os import PathLike
from pathlib import Path

from crystint.errors import CrystintError, FileError, SettingError

__all__ = ["atomic_path", "check_outputs", "files_of", "journal_of", "mode_of", "refused", "remove_leftovers", "utf8"]

_FULL = {
    errno.ENOSPC: "the disk is full",
    errno.EDQUOT: "the quota is used up",
    errno.EFBIG: "the file is too large",
}
_WITH_NOTES = (".refl", ".xds", ".csv")
"""Suffixes of peak lists and tables of frames that write a second file, <name>.json."""
_BYTES = 4
"""Random ones in the name of a temporary file."""
_LONGEST = 160
"""bytes of a name that temporary files have as it is"""


@contextmanager
def atomic_path(path: str | PathLike[str], overwrite: bool = False) -> Iterator[Path]:
    """A temporary file in the folder of `path`: renamed to `path` when the block ends, removed when it fails.

    The temporary file exists and is empty; its name ends with the suffix of `path`. A failure is any
    exception, KeyboardInterrupt too; then a file that was there before is untouched. One that is replaced hands on its
    permissions; meanwhile nobody else may read the temporary file.

    Raises
    ------
    FileError
        When `path` exists and `overwrite` is False, is not a plain file, its folder is missing or not
        writable, or the disk is full. An OSError raised in the block becomes one.
    """
    target = Path(os.path.realpath(path))
    _check(target, path, overwrite)
    temporary = target.with_name(_temporary(target, secrets.token_hex(_BYTES)))
    mode = mode_of(target)
    try:
        os.close(os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666 if mode is None else 0o600))
    except OSError as error:
        raise refused(path, error) from error
    try:
        yield temporary
        _check(target, path, overwrite)
        if mode is not None:
            temporary.chmod(mode)
        temporary.replace(target)
    except BaseException as error:
        with suppress(OSError):
            temporary.unlink()
        if isinstance(error, OSError) and not isinstance(error, CrystintError):
            raise refused(path, error) from error
        raise


def mode_of(path: Path) -> int | None:
    """Permissions of a file; None when there is none."""
    try:
        return stat.S_IMODE(path.stat().st_mode)
    except OSError:
        return None


def check_outputs(
    outputs: Iterable[str | PathLike[str]],
    inputs: Iterable[str | PathLike[str]] = (),
    overwrite: bool = False,
    suffixes: Collection[str] = (),
) -> tuple[Path, ...]:
    """The outputs as paths, when each of them can be written; better now than after the work.

    Parameters
    ----------
    outputs
        Files to write.
    inputs
        Files that are read, and that no output may replace, whether they are to be overwritten or not: `files_read`
        tells them.
    overwrite
        Files that are there may be replaced.
    suffixes
        That an output may have; none = any.

    Raises
    ------
    SettingError
        When an output has another suffix, or is given twice.
    FileError
        When one is an input, exists and is not to be replaced, is no plain file, or has no folder that can be written.
    """
    paths = tuple(Path(output) for output in outputs)
    for path in paths:
        name = path.name.lower()
        if suffixes and not any(name.endswith(suffix) for suffix in suffixes):
            raise SettingError(
                f"output {path.name!r} has the suffix {path.suffix!r}, which says the format; expected "
                f"{', '.join(suffixes)}"
            )
    names: set[str] = set()
    files: set[tuple[int, int]] = set()
    for source in inputs:
        names.add(os.path.realpath(source))
        with suppress(OSError):
            status = os.stat(source)
            files.add((status.st_dev, status.st_ino))
    for path in (one for output in paths for one in files_of(output)):
        target = Path(os.path.realpath(path))
        with suppress(OSError):
            status = target.stat()
            if (status.st_dev, status.st_ino) in files:
                names.add(str(target))  # by another name: a hard link
        if str(target) in names:
            raise FileError(f"{path} is also an input; give the output another name")
        journal = journal_of(target).name
        for name in names:
            folder, _, last = name.rpartition("/")
            if (last == journal or _is_temporary(target, last)) and folder == str(target.parent):
                raise FileError(f"{name} is an input, and named like a temporary file of {path}; rename one of them")
        _check(target, path, overwrite)
        if not os.access(target.parent, os.W_OK | os.X_OK):
            raise FileError(f"{path} cannot be written: the folder {target.parent} is not writable")
    whole = [os.path.realpath(path) for output in paths for path in files_of(output)]
    if len(set(whole)) < len(whole):
        raise SettingError(f"the same output twice: {', '.join(map(str, paths))}")
    return paths


def files_of(path: Path) -> tuple[Path, ...]:
    """The files that an output is made of."""
    notes = path.with_name(path.name + ".json")
    return (path, notes) if path.suffix.lower() in _WITH_NOTES else (path,)


def remove_leftovers(path: str | PathLike[str]) -> None:
    """Remove temporary files of `path` that a killed process left; only where a lock says that none is in use.

    Their names prove that they were made for this output: files of others that look like them stay.
    """
    target = Path(os.path.realpath(path))
    for left in target.parent.glob(f"{glob.escape(_beginning(target))}*{glob.escape(target.suffix)}"):
        if _is_temporary(target, left.name):
            with suppress(OSError):
                left.unlink()


def _beginning(target: Path) -> str:
    """What the names of the temporary files of an output begin with: of no other output, and not too long."""
    stem, name = target.stem, os.fsencode(target.name)
    if len(name) > _LONGEST:
        stem = f"{stem[:40]}-{hashlib.sha256(name).hexdigest()[:12]}"
    return f".{stem}."


def utf8(name: str) -> str:
    """The name of a file as text that can be written and drawn: bytes that are no UTF-8 stand there as ``\\xff``."""
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def journal_of(output: Path) -> Path:
    """The name of the journal of an output."""
    return output.with_name(output.name + ".partial")


def _temporary(target: Path, drawn: str) -> str:
    """The name of a temporary file of an output: digits that were drawn, and a sum of them and the output's name."""
    proof = hashlib.sha256(os.fsencode(target.name) + drawn.encode()).hexdigest()[: 2 * _BYTES]
    return f"{_beginning(target)}{drawn}{proof}{target.suffix}"


def _is_temporary(target: Path, name: str) -> bool:
    """Whether a file of this name was made for an output, to be renamed to it."""
    drawn = name.removeprefix(_beginning(target))[: 2 * _BYTES]
    return re.fullmatch("[0-9a-f]+", drawn) is not None and name == _temporary(target, drawn)


def _check(target: Path, name: str | PathLike[str], overwrite: bool) -> None:
    """Raise FileError unless a file may be put at `target`."""
    if not target.parent.is_dir():
        raise FileError(f"{name} cannot be written: there is no folder {target.parent}")
    try:
        mode = target.stat().st_mode
    except FileNotFoundError:
        return
    except OSError as error:
        raise refused(name, error) from error
    if not stat.S_ISREG(mode):
        raise FileError(f"{name} cannot be written: it exists and is not a plain file")
    if not overwrite:
        raise FileError(f"{name} exists; --overwrite replaces it")


def refused(name: str | PathLike[str], error: OSError) -> FileError:
    """The error to raise for an OSError met while writing `name`. HDF5 hides the number of the error in its text."""
    reason = _FULL.get(error.errno or 0)
    if reason is None:
        reason = next((text for number, text in _FULL.items() if os.strerror(number) in str(error)), None)
    return FileError(f"{name} cannot be written: {reason or error.strerror or error}")
