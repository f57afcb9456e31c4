"""The reader of each file."""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterator, Sequence
from contextlib import closing, suppress
from functools import cached_property
from pathlib import Path

from crystint.errors import FileError, warn
from crystint.io.frames.cbf import CbfReader
from crystint.io.frames.images import ImageReader, NumpyReader
from crystint.io.frames.readers import Reader
from crystint.io.frames.stacks import StackReader
from crystint.io.frames.tiff import TiffReader, count_frames
from crystint.io.kinds import unexpected
from crystint.io.linked_files import linked_by
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

    def absolute(self) -> LazyFile:
        """The same file by a name that holds in any folder."""
        return LazyFile(self.path.absolute(), self.dataset)

    @cached_property
    def frames(self) -> int | None:
        """Number of frames where it is known without decoding one; None elsewhere."""
        if re.search(r"\.cbf(\.gz|\.bz2)?$", self.path.name, re.IGNORECASE):
            return 1
        if re.search(r"\.tiff?$", self.path.name, re.IGNORECASE):
            return count_frames(self.path)
        return None


def shown_once(paths: Sequence[Path], dataset: str | None) -> list[Path]:
    """The files without those whose frames another one shows, as a master shows its data files; a warning names them.

    Parameters
    ----------
    paths : sequence of path
    dataset : str or None
        As `OpenedFile` takes it.
    """
    stacks = {os.path.realpath(path): path for path in paths if not _IMAGES.search(path.name)}
    shown: dict[Path, Path] = {}
    if len(stacks) > 1:
        for path in stacks.values():
            others = [stacks[real] for real in _shown_by(path, dataset, stacks.keys()) if stacks[real] != path]
            shown |= {other: path for other in others if other not in shown and shown.get(path) != other}
    for path, by in shown.items():
        warn(f"{path} is left out: {by} shows its frames")
    return [path for path in paths if path not in shown]


def _shown_by(path: Path, dataset: str | None, among: Collection[str]) -> Iterator[str]:
    """Real names of the files of some that the frames of a file lie in."""
    if not any(os.path.realpath(other) in among for other in linked_by(path)):
        return
    with suppress(FileError), closing(reader_of(OpenedFile(path, dataset))) as reader:
        if isinstance(reader, StackReader):
            yield from {os.path.realpath(other) for other in reader.behind()} & set(among)
