"""Names of the files of a series: inside the folder of the outputs, and never those of another series."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Collection
from fnmatch import fnmatchcase
from pathlib import Path

from crystint.errors import FileError, RefusedError
from crystint.io.outputs import refused
from crystint.run.journal import check_free, header_of
from crystint.stream.messages import SeriesKey

__all__ = ["OUTPUTS", "checked_prefix", "place_outputs", "series_name", "unfinished_run"]

OUTPUTS = ("_master.h5", "_data_*.h5", "_data_*.h5.part*", "_results.h5", "_peaks.*", "_sparse.h5", ".jsonl")
"""What the names of the files of a series end with; some have a journal, ``.partial``, beside them"""
_LONGEST = 120
"""bytes of a name"""
_FIRST, _LAST = 2, 100_000
_REFUSED = frozenset('\\%<>|"*?:;~')
"""letters that file systems, HDF5 or shells take for something else"""


def checked_prefix(prefix: str) -> str:
    """A prefix for the files of a series, when it is one: a name, with folders before it if need be.

    Raises
    ------
    RefusedError
        When it is absolute, leads out of the folder of the outputs, or has letters that names of files should not have.

    Examples
    --------
    >>> from crystint.online.output_names import checked_prefix
    >>> checked_prefix("lysozyme/run_7")
    'lysozyme/run_7'
    """
    parts = prefix.split("/")
    reason = ""
    if prefix.startswith("/") or ".." in parts:
        reason = "expected one inside the folder of the outputs: relative, without .."
    elif not all(parts) or any(part.startswith((".", "-", " ")) or part.endswith((" ", ".")) for part in parts):
        reason = "its parts must not be empty, nor begin with . - or a blank, nor end with . or a blank"
    elif any(not letter.isprintable() or letter in _REFUSED for letter in prefix):
        reason = f"expected none of {' '.join(sorted(_REFUSED))}, and nothing that cannot be printed"
    elif max(len(os.fsencode(part)) for part in parts) > _LONGEST or len(parts) > 16:
        reason = f"expected names of at most {_LONGEST} bytes, and at most 15 folders"
    if reason:
        raise RefusedError("bad_value", f"the prefix is {prefix[:200]!r}; {reason}", "prefix")
    return prefix


def series_name(key: SeriesKey) -> str:
    """The prefix of a series for which none was asked for: letters that are no good in names become _."""
    plain = re.sub(r"[^A-Za-z0-9_.-]", "_", str(key))[:_LONGEST].rstrip(".")
    return plain if plain[:1].isalnum() else f"_{plain[1:]}"


def place_outputs(
    out: Path, prefix: str, *, overwrite: bool = False, busy: Collection[tuple[Path | None, str]] = ()
) -> tuple[Path, str]:
    """Folder and name of the files of a new series.

    Where files of that name are there already, ``_002``, ``_003`` ... is added to it: a detector must not be stopped by
    a name.

    Parameters
    ----------
    out : path
        Folder of the outputs; it must be there. Folders in `prefix` are made.
    prefix : str
    overwrite : bool
        Files of that name are removed instead.
    busy : collection of (path, str)
        Folders and names that series have which are not closed: they are taken, too, and never overwritten.

    Raises
    ------
    RefusedError
        For a wrong prefix, or one that leads out of `out` by a symbolic link.
    FileError
        When a folder cannot be made, or what is to be overwritten is being written.

    Examples
    --------
    >>> from pathlib import Path
    >>> from crystint.online.output_names import place_outputs
    >>> place_outputs(Path("."), "run")[1]
    'run'
    >>> _ = Path("run_results.h5").write_bytes(b"")
    >>> place_outputs(Path("."), "run")[1]
    'run_002'
    """
    *folders, name = checked_prefix(prefix).split("/")
    top = Path(os.path.realpath(out))
    folder = top
    for each in folders:
        folder = Path(os.path.realpath(folder / each))
        if not folder.is_relative_to(top):
            text = f"the prefix is {prefix!r}; its folder {each} is a link that leads out of the folder of the outputs"
            raise RefusedError("bad_value", text, "prefix")
        try:
            folder.mkdir(exist_ok=True)
        except OSError as error:
            raise refused(folder, error) from error
    there = _taken(folder, name)
    if there and overwrite and (folder, name) not in busy:
        for path in there:
            check_free(path.with_name(path.name.removesuffix(".partial")))
        for path in there:
            path.unlink(missing_ok=True)
        there = []
    number = _FIRST
    free = name
    while there or (folder, free) in busy:
        free = f"{name}_{number:03d}"
        there = _taken(folder, free)
        number += 1
        if number > _LAST:
            raise FileError(f"{folder} has {_LAST} outputs that are called {name}; choose another prefix")
    return folder, free


def _taken(folder: Path, name: str) -> list[Path]:
    """Files of a series of that name."""
    made = []
    for entry in sorted(folder.iterdir()):
        ending = entry.name.removeprefix(name).removesuffix(".partial")
        if entry.name.startswith(name) and any(fnmatchcase(ending, pattern) for pattern in OUTPUTS):
            made.append(entry)
    return made


def unfinished_run(folder: Path, key: SeriesKey) -> str | None:
    """The name of the files of a series that a killed process left in a folder; None = there are none."""
    for journal in sorted(folder.glob("*_results.h5.partial")):
        output = journal.with_name(journal.name.removesuffix(".partial"))
        try:
            check_free(output)
            header = header_of(output)
        except (FileError, OSError, json.JSONDecodeError):
            continue  # being written, or no journal
        same = {} if header is None else header.get("same", {})
        if (same.get("series_id"), same.get("series_unique_id")) == (key.id, key.unique_id):
            return output.name.removesuffix("_results.h5")
    return None
