"""What lies in a folder below the data root: folders, files and what they are, series of image files as one."""

from __future__ import annotations

import os
import time
from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Any

from crystint.errors import CrystintError, RefusedError
from crystint.io.kinds import opened_kind
from crystint.io.names import by_number
from crystint.io.opened_file import OpenedFile
from crystint.online.data_root import file_below, folder_below
from crystint.online.opened_files import numbered

__all__ = ["Listing"]

MOST = 5000
"""entries of a folder that are told"""
_SECONDS = 2.0
"""that files are looked into for one answer"""
_REMEMBERED = 20_000
_OF_SERIES = (".cbf", ".edf", ".tif", ".tiff", ".img", ".mccd", ".npy", ".gz", ".bz2")
"""Suffixes of files that have an image each"""


@dataclass(frozen=True)
class _File:
    name: str
    size: int
    modified: int
    """ns since 1970-01-01 UTC"""


class Listing:
    """Looks into folders. What a file is, is found out once, as long as it does not change.

    Parameters
    ----------
    root : path or None
        None = every request is refused.
    """

    def __init__(self, root: Path | None) -> None:
        self._root = root
        self._kinds: OrderedDict[tuple[str, int, int], str | None] = OrderedDict()
        self._lock = Lock()

    def of(self, path: str = "") -> dict[str, Any]:
        """Folders and files of a folder, in the order of the numbers in their names; hidden ones are left out.

        Raises
        ------
        RefusedError
        """
        folder = folder_below(self._root, path)
        assert self._root is not None  # else there is no folder below it
        try:
            entries = sorted(os.scandir(folder), key=lambda entry: by_number(entry.name))
        except OSError as error:
            raise RefusedError("forbidden", f"{path[:200]!r} cannot be read: {error.strerror}", "path") from None
        entries = [entry for entry in entries if not entry.name.startswith(".")]
        folders = [entry.name for entry in entries if entry.is_dir() and self._inside(entry.path)]
        listed: list[dict[str, Any]] = [
            {"name": name, "kind": "folder", "size": None, "modified": None, "files": None} for name in folders
        ]
        until = time.monotonic() + _SECONDS
        for name, files in _grouped(_files(entries)):
            kind = self._kind(folder, files[0], late=time.monotonic() > until)
            size, modified = sum(file.size for file in files), max(file.modified for file in files)
            listed.append({"name": name, "kind": kind, "size": size, "modified": modified, "files": len(files)})
        relative = os.path.relpath(folder, self._root.resolve())
        return {
            "path": "" if relative == "." else relative,
            "entries": listed[:MOST],
            "left_out": max(len(listed) - MOST, 0),
        }

    def _inside(self, path: str) -> bool:
        assert self._root is not None
        return Path(os.path.realpath(path)).is_relative_to(self._root.resolve())

    def _kind(self, folder: Path, file: _File, *, late: bool) -> str | None:
        """Of `crystint.io.kinds`; None = none of them, or it may not be read, or there was no time for it."""
        path = folder / file.name
        key = (str(path), file.size, file.modified)
        with self._lock:
            if key in self._kinds:
                self._kinds.move_to_end(key)
                return self._kinds[key]
        if late:
            return None
        kind = None
        try:
            file_below(self._root, str(path))
            with OpenedFile(path) as opened:
                recognised = opened_kind(opened)
            kind = None if recognised is None else recognised.name
        except CrystintError:  # damaged, empty, shows data from elsewhere: whoever opens it is told
            kind = None
        with self._lock:
            self._kinds[key] = kind
            while len(self._kinds) > _REMEMBERED:
                self._kinds.popitem(last=False)
        return kind


def _files(entries: Iterable[os.DirEntry[str]]) -> list[_File]:
    files = []
    for entry in entries:
        try:
            if entry.is_file():
                status = entry.stat()
                files.append(_File(entry.name, status.st_size, status.st_mtime_ns))
        except OSError:  # it went meanwhile
            continue
    return files


def _grouped(files: Iterable[_File]) -> list[tuple[str, list[_File]]]:
    """Files by name; image files whose names differ in their last number alone by the pattern of their names."""
    groups: dict[str, list[_File]] = {}
    for file in files:
        one_image = file.name.lower().endswith(_OF_SERIES)
        groups.setdefault(numbered(file.name) if one_image else file.name, []).append(file)
    return [(name if len(group) > 1 else group[0].name, group) for name, group in groups.items()]
