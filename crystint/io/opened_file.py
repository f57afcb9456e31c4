"""A file while it is being asked what it is: looked into once, and handed on open to whoever reads it."""

from __future__ import annotations

import mmap
import os
from functools import cached_property
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Self

from crystint.errors import FileError
from crystint.io.containers import DAMAGE, container_of, is_hdf5, open_as_it_is, open_packed, packing_of

if TYPE_CHECKING:
    import h5py

__all__ = ["OpenedFile"]

_HEAD = 4096
"""Bytes of the beginning, and of the end, that are looked at."""
_PACKED = (".gz", ".bz2")


class OpenedFile:
    """A file and what can be seen of it; each is read when it is first asked for, once. A context manager.

    Parameters
    ----------
    path : path
    dataset : str, optional
        Path of the frames inside an HDF5 file, where the user named one.
    lowest : float, optional
        Smallest valid counts of its frames, where the user named them.
    container : str, optional
        What it is where that is known (`container_of`), as it was opened before: its beginning is then read only when
        it is asked for, and what was told of it is not told again.

    Raises
    ------
    FileError
        When the file is missing, a folder or not readable; `head` also when it is empty or its packing is damaged.
    """

    def __init__(
        self,
        path: str | PathLike[str],
        dataset: str | None = None,
        *,
        lowest: float | None = None,
        container: str | None = None,
    ) -> None:
        self.path = Path(path)
        self.dataset = dataset
        self.lowest = lowest
        self.again = container is not None
        """whether it was opened before"""
        if container is None:
            self._start  # noqa: B018  (a file that is not there is told now)
        else:
            self.__dict__["container"] = container

    @cached_property
    def _start(self) -> bytes:
        with open_as_it_is(self.path) as stream:
            return stream.read(_HEAD)

    @cached_property
    def size(self) -> int:
        """Bytes."""
        return os.stat(self.path).st_size

    @property
    def suffix(self) -> str:
        """Of the name, in small letters, without that of a packing."""
        name = self.path.name.lower()
        for ending in _PACKED:
            name = name.removesuffix(ending)
        return Path(name).suffix

    @cached_property
    def head(self) -> bytes:
        """The first 4096 bytes, unpacked."""
        start = self._start
        try:
            if packing_of(start):
                with open_packed(self.path) as stream:
                    start = stream.read(_HEAD)
        except DAMAGE as error:
            if isinstance(error, FileError):
                raise
            raise FileError(f"{self.path} is damaged or truncated: {error}") from error
        if not start and self.suffix != ".xds":  # a SPOT.XDS without spots is empty
            raise FileError(f"{self.path} is empty")
        return start

    @cached_property
    def tail(self) -> bytes:
        """The last 4096 bytes, as they are in the file."""
        with self.path.open("rb") as stream:
            stream.seek(max(0, self.size - _HEAD))
            return stream.read()

    @cached_property
    def container(self) -> str:
        """As `container_of` says; HDF5 may begin behind a block of the user's."""
        container = container_of(self.head)
        return "hdf5" if container == "other" and not packing_of(self._start) and is_hdf5(self.path) else container

    @cached_property
    def text(self) -> str:
        """The first 4096 bytes as text; empty when they are none."""
        if self.container == "hdf5" or b"\0" in self.head:
            return ""
        try:
            return self.head.decode("utf-8")
        except UnicodeDecodeError as error:
            whole = len(self.head) == _HEAD and error.start > _HEAD - 4  # cut within a letter
            return self.head[: error.start].decode("utf-8") if whole else ""

    @cached_property
    def first_line(self) -> str:
        """Of the text that is not blank."""
        return next((line.strip() for line in self.text.splitlines() if line.strip()), "")

    @cached_property
    def hdf5(self) -> h5py.File | None:
        """The open HDF5 file; None for files of other formats.

        Raises
        ------
        FileError
            When it is truncated or damaged.
        """
        if self.container != "hdf5":
            return None
        from crystint.io.hdf5.files import open_hdf5

        return open_hdf5(self.path)

    def hand_over(self) -> h5py.File | None:
        """The HDF5 file, which whoever asks has to close from now on; None for files of other formats."""
        handed = self.hdf5
        self.__dict__.pop("hdf5", None)
        return handed

    def contains(self, *words: bytes) -> bool:
        """Whether all of the words stand somewhere in the file, which is not unpacked for it."""
        if not self.size:
            return False
        with self.path.open("rb") as stream, mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as content:
            return all(content.find(word) >= 0 for word in words)

    def close(self) -> None:
        """Close the HDF5 file when it was opened."""
        opened = self.__dict__.pop("hdf5", None)
        if opened is not None:
            opened.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
