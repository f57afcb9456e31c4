"""Names of files that a user gives: paths, glob patterns, and lists of those. There is this one way to expand them."""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Iterable, Sequence
from os import PathLike, fspath
from pathlib import Path
from typing import TypeAlias

from crystint.arrays import FileName
from crystint.errors import FileError, SettingError, warn

__all__ = ["Source", "by_number", "each_once", "expand", "matches", "near"]

Source: TypeAlias = FileName | Sequence[FileName]
"""A path, a glob pattern or a list of those"""
_SHOWN = 5


def expand(source: Source) -> list[Path]:
    """The files that a path, a pattern or a list of those means; those of a pattern in the order of their numbers.

    Brackets in the name of a folder that exists, or of files of which no pattern with them matches any, are letters.

    Raises
    ------
    FileError
        When no file matches a pattern.
    """
    if not isinstance(source, str | PathLike):
        if not isinstance(source, Iterable):
            raise SettingError(f"the frames are {source!r}, expected a path, a pattern, a list of those, or an array")
        return [path for one in source for path in expand(one)]
    name = fspath(source)
    if not glob.has_magic(name) or os.path.lexists(name):
        return [Path(name)]
    names = matches(name)
    if not names:
        raise FileError(f"no file matches {name}")
    return names


def matches(pattern: str) -> list[Path]:
    """What matches a pattern, in the order of the numbers in the names; nothing when nothing does."""
    start, rest = _existing(pattern)
    for end in (rest, rest.replace("[", "[[]")):
        names = glob.glob(glob.escape(start) + end, recursive=True)
        if names:
            return [Path(name) for name in sorted(names, key=by_number)]
    return []


def _existing(pattern: str) -> tuple[str, str]:
    """The folders that a pattern begins with and that exist by these very letters, and the rest."""
    parts = re.split("(/+)", pattern)
    at = 0
    while at + 2 < len(parts) and (not parts[at] or os.path.isdir("".join(parts[: at + 1]))):
        at += 2
    return "".join(parts[:at]), "".join(parts[at:])


def by_number(name: str) -> list[tuple[int, str]]:
    """A key that sorts img_2 before img_10."""
    return [(int(part), part) if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", name)]


def each_once(paths: Iterable[Path]) -> list[Path]:
    """The files without those that are named again, by a symbolic link too; a warning tells which are left out."""
    first: dict[str, Path] = {}
    again: list[str] = []
    for path in paths:
        before = first.setdefault(os.path.realpath(path), path)
        if before is not path:
            again.append(f"{path}" + (f" is {before}" if str(before) != str(path) else ""))
    if again:
        more = f" and {len(again) - _SHOWN} more" if len(again) > _SHOWN else ""
        warn(f"files that are named twice are read once: {', '.join(again[:_SHOWN])}{more}")
    return list(first.values())


def near(name: str | PathLike[str], target: Path) -> str:
    """A file as another one in `target`'s folder names it: relative where it lies there or below, else absolute."""
    folder, real = os.path.realpath(target.parent), os.path.realpath(name)
    return os.path.relpath(real, folder) if real.startswith(folder + os.sep) else real
