"""The reader of each file."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from contextlib import closing, suppress
from dataclasses import replace
from functools import cached_property
from pathlib import Path

from crystint.errors import FileError, warn
from crystint.io.frames.cbf import CbfReader
from crystint.io.frames.file_facts import FileFacts, facts_of
from crystint.io.frames.images import ImageReader, NumpyReader
from crystint.io.frames.readers import Reader
from crystint.io.frames.stacks import StackReader
from crystint.io.frames.tiff import TiffReader, count_frames
from crystint.io.guard import guarded
from crystint.io.kinds import unexpected
from crystint.io.opened_file import OpenedFile

__all__ = ["LazyFile", "reader_of", "shown_once"]

_IMAGES = re.compile(r"\.(cbf|edf|img|mccd|npy|tiff?)(\.gz|\.bz2)?$", re.IGNORECASE)
"""Names of files that show no other file."""


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
        if file.suffix == ".cbf":  # without its beginning; FabIO would guess at it, and may not come to an end
            raise FileError(f"{file.path} is damaged: it does not begin as a CBF file")
        return TiffReader(file) if file.container == "tiff" else ImageReader(file)
    except FileError as error:
        raise unexpected(file, "frames", str(error)) from error


class LazyFile:
    """A file that is opened lazily, when a frame of it is read."""

    def __init__(self, path: Path, dataset: str | None) -> None:
        self.path, self.dataset = path, dataset
        self.facts: FileFacts | None = None
        """None = nobody has looked yet"""
        self._container: str | None = None
        self._state = self._seen()

    def open(self) -> Reader:
        """Its reader.

        Raises
        ------
        FileError
            When it is damaged, of an unknown kind or holds no frame.
        """
        file = OpenedFile(self.path, self.dataset, container=self._container)
        reader = reader_of(file)
        if isinstance(reader, StackReader):
            self._container = "hdf5"  # its first bytes need not be looked at again
        return reader

    def look(self) -> FileFacts:
        """What is told of it without a frame being read; it is opened for that once.

        Raises
        ------
        FileError
            As `open`.
        """
        if self.facts is None:
            with guarded(self.path), closing(self.open()) as reader:
                self.facts = facts_of(reader)
        return self.facts

    def absolute(self) -> LazyFile:
        """The same file by a name that holds in any folder, with what is noted of it but for its header."""
        made = LazyFile(self.path.absolute(), self.dataset)
        made._state, made._container = self._state, self._container
        made.facts = None if self.facts is None else replace(self.facts, header=None)
        if "frames" in self.__dict__:
            made.__dict__["frames"] = self.frames
        return made

    def check(self) -> None:
        """Raise FileError unless the file is as it was when it was named: another machine may see another one."""
        state = self._seen()
        if state != self._state:
            size, expected = state[0], self._state[0]
            what = f"has {size} bytes" if size != expected else "was changed at another time"
            raise FileError(
                f"{self.path} {what}, expected {expected} bytes, unchanged since the run began: do all machines see "
                "the same files?"
            )

    def _seen(self) -> tuple[int, int]:
        """Size, and time of the last change in ns."""
        if not self.path.exists():
            raise FileError(f"{self.path} does not exist")
        status = self.path.stat()
        return status.st_size, status.st_mtime_ns

    @cached_property
    def frames(self) -> int | None:
        """Number of frames where it is known without decoding one; None elsewhere."""
        if re.search(r"\.cbf(\.gz|\.bz2)?$", self.path.name, re.IGNORECASE):
            return 1
        if re.search(r"\.tiff?$", self.path.name, re.IGNORECASE):
            return count_frames(self.path)
        return None


def shown_once(files: Sequence[LazyFile]) -> list[LazyFile]:
    """The files but those whose frames another one shows, as a master shows its data files; a warning names them."""
    stacks = {os.path.realpath(file.path): file for file in files if not _IMAGES.search(file.path.name)}
    shown: dict[LazyFile, LazyFile] = {}
    if len(stacks) > 1:
        for file in stacks.values():
            others = [stacks[real] for real in _shown_by(file) if real in stacks and stacks[real] != file]
            shown |= {other: file for other in others if other not in shown and shown.get(file) != other}
    for file, by in shown.items():
        warn(f"{file.path} is left out: {by.path} shows its frames")
    return [file for file in files if file not in shown]


def _shown_by(file: LazyFile) -> set[str]:
    """Real names of the files that the frames of a file lie in; none of one that cannot be read: that is told later."""
    with suppress(FileError):
        return {os.path.realpath(other) for other in file.look().behind}
    return set()
