"""Paths and glob patterns expanded to files, and the reader of each file."""

from __future__ import annotations

import glob
import re
from collections.abc import Sequence
from functools import cached_property
from os import PathLike, fspath
from pathlib import Path
from typing import TypeAlias

from crystint.arrays import FileName
from crystint.errors import FileError
from crystint.io.frames.cbf import CbfReader
from crystint.io.frames.images import ImageReader, NumpyReader
from crystint.io.frames.readers import Reader
from crystint.io.frames.stacks import StackReader
from crystint.io.frames.tiff import TiffReader, count_frames
from crystint.io.kinds import unexpected
from crystint.io.opened_file import OpenedFile

__all__ = ["LazyFile", "Source", "expand", "reader_of"]

Source: TypeAlias = FileName | Sequence[FileName]
"""A path, a glob pattern or a list of those"""


def expand(source: Source) -> list[Path]:
    """The files that a path, a pattern or a list of those means.

    Raises
    ------
    FileError
        When no file matches a pattern.
    """
    if not isinstance(source, str | PathLike):
        return [path for one in source for path in expand(one)]
    name = fspath(source)
    if glob.has_magic(name) and not Path(name).exists():
        names = sorted(glob.glob(name, recursive=True), key=_by_number)
        if not names:
            raise FileError(f"no file matches {name}")
        return [Path(path) for path in names]
    return [Path(name)]


def _by_number(name: str) -> list[tuple[int, str]]:
    """Sorts img_2 before img_10."""
    return [(int(part), part) if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", name)]


def reader_of(file: OpenedFile) -> Reader:
    """The reader of the frames in a file; of HDF5, it takes over the open file.

    Raises
    ------
    FileError
        When it is damaged, holds no frame, or is of another kind, which the message names.
    """
    if file.container == "hdf5":
        return StackReader(file)
    if file.container == "npy":
        return NumpyReader(file.path)
    if file.container == "cbf":
        return CbfReader(file.path)
    try:
        return TiffReader(file) if file.container == "tiff" else ImageReader(file)
    except FileError as error:
        raise unexpected(file, "frames", str(error)) from error


class LazyFile:
    """A file that is opened lazily, when a frame of it is read."""

    def __init__(self, path: Path, dataset: str | None) -> None:
        self.path, self.dataset = path, dataset
        if not path.exists():
            raise FileError(f"{path} does not exist")

    def open(self) -> Reader:
        """Its reader.

        Raises
        ------
        FileError
            When it is damaged, of an unknown kind or holds no frame.
        """
        return reader_of(OpenedFile(self.path, self.dataset))

    @cached_property
    def frames(self) -> int | None:
        """Number of frames where it is known without decoding one; None elsewhere."""
        if re.search(r"\.cbf(\.gz|\.bz2)?$", self.path.name, re.IGNORECASE):
            return 1
        if re.search(r"\.tiff?$", self.path.name, re.IGNORECASE):
            return count_frames(self.path)
        return None
