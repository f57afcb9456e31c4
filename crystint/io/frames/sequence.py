"""A sequence of frames, whatever files they come from, for any number of threads at once."""

from __future__ import annotations

import os
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from itertools import accumulate
from types import TracebackType
from typing import Any, Self, overload

import numpy as np
from numpy.typing import NDArray

from crystint.arrays import Frame, FrameStack
from crystint.errors import DTypeError, FileError, SettingError, ShapeError, described
from crystint.html import html_table
from crystint.io.frames.detector_of_frames import DetectorOfFrames
from crystint.io.frames.file_facts import FileFacts, facts_of
from crystint.io.frames.images import ArrayReader
from crystint.io.frames.readers import FrameSource, Reader
from crystint.io.frames.selection import FrameSelection, selected
from crystint.io.frames.sources import LazyFile, shown_once
from crystint.io.frames.stacks import StackReader
from crystint.io.guard import guarded
from crystint.io.hdf5.pool import ResourcePool
from crystint.io.names import Source, each_once, expand
from crystint.model.raw_chunk import RawChunk
from crystint.model.valid_values import ValidValues, hidden_value

__all__ = ["FrameSource", "Frames", "open_frames"]


def open_frames(
    source: Source | NDArray[Any], *more: Source, dataset: str | None = None, frames: FrameSelection | None = None
) -> Frames:
    """Open files, or an array, as one sequence of frames.

    Only headers are read; frames are decoded lazily, when they are indexed.

    Parameters
    ----------
    source, more : path, glob pattern, list of those, or an array
        Files in the order given; those of a pattern in the order of the numbers in their names. A file that is named
        twice, or whose frames another one shows (a master and its data files), is read once; a warning says so. An
        array has the shape (slow, fast) or (frames, slow, fast).
    dataset : str, optional
        Path of the data set in HDF5 files, where it is not found by itself; a pattern means all that match.
    frames : selection, optional
        Which frames, as `Frames.select` takes it: "100:200", [3, 7, -1], slice(0, 10).

    Returns
    -------
    Frames

    Raises
    ------
    FileError
        When a file is missing, damaged, of an unknown kind or holds no frame.
    SettingError
        When a frame of the selection is not there.

    Examples
    --------
    >>> import numpy as np
    >>> import crystint
    >>> frames = crystint.open_frames(np.zeros((3, 4, 5), dtype=np.uint16))
    >>> len(frames), frames.shape, frames[-1].dtype
    (3, (4, 5), dtype('uint16'))
    """
    if isinstance(source, np.ndarray):
        if more:
            raise FileError("an array is a sequence of its own; open the files apart from it")
        return _chosen(Frames([ArrayReader(source, "<array>")], ["<array>"]), frames)
    paths = each_once(path for each in (source, *more) for path in expand(each))
    if not paths:
        raise FileError("no file given; name at least one")
    files = shown_once([LazyFile(path, dataset) for path in paths])
    return _chosen(Frames(files, [str(file.path) for file in files]), frames)


def _chosen(whole: Frames, frames: FrameSelection | None) -> Frames:
    if frames is None:
        return whole
    with whole:
        return whole.select(frames)


class Frames(DetectorOfFrames):
    """Frames by number: ``frames[3]``, ``frames[-1]``, ``frames[2:5]``, ``for frame in frames``.

    Made by `open_frames`. A few files are open at a time. Threads may share it and read at the same time; those of an
    HDF5 file whose packing only HDF5 knows, and those that FabIO reads from one file, wait for each other.

    Pixels that the files mask in some of the frames alone are set to a value that is no measurement (the lowest
    integer, all ones or NaN) when such a frame is read.

    Examples
    --------
    >>> import numpy as np
    >>> import crystint
    >>> frames = crystint.open_frames(np.arange(60, dtype=np.uint16).reshape(3, 4, 5))
    >>> len(frames), frames.shape, frames.dtype, int(frames[-1].max())
    (3, (4, 5), dtype('uint16'), 59)
    """

    def __init__(self, readers: Sequence[LazyFile | Reader], files: list[str]) -> None:
        self._readers = readers
        self._opened: ResourcePool[int, Reader] = ResourcePool(lambda reader: reader.close())
        self._valid: dict[float | None, ValidValues] = {}
        self.files: list[str] = files
        """names of the files, in order; of a selection, those that hold its frames"""
        self.opened_files: list[str] = files
        """`files`, and those that a selection leaves out"""
        first = self._facts(0)
        self.shape: tuple[int, int] = first.shape
        """(slow, fast) of every frame"""
        self.dtype: np.dtype[Any] = first.dtype
        """dtype of every frame, native-endian"""
        self._ends = list(accumulate(self._count(number) for number in range(len(readers))))
        self._selection: NDArray[np.int64] | None = None
        self.numbers: NDArray[np.int64] = np.arange(self._ends[-1])
        """int64 [frames]: of each frame in the whole sequence that it was selected from"""
        self.total: int = self._ends[-1]
        """frames of that whole sequence"""

    def __reduce__(self) -> tuple[Any, ...]:
        """Another process opens the files, from any folder, for their frames alone; an array is pickled whole."""
        readers = [reader.absolute() if isinstance(reader, LazyFile) else reader for reader in self._readers]
        chosen = ("_selection", "numbers", "total", "opened_files")
        state = {name: getattr(self, name) for name in chosen}
        if "_headers" in self.__dict__:
            state["_headers"] = self._headers
        return Frames, (readers, self.files), state

    def check_files(self) -> None:
        """Raise FileError unless the files are as they were when the sequence was made, maybe on another machine."""
        for reader in self._readers:
            if isinstance(reader, LazyFile):
                reader.check()

    @contextmanager
    def _use(self, number: int, place: str = "") -> Iterator[Reader]:
        """The reader of a file, opened; what it raises is an error of that file, and of the place."""
        reader = self._readers[number]
        with (
            guarded(self.files[number], place),
            self._opened.use(number, lambda: reader.open() if isinstance(reader, LazyFile) else reader) as opened,
        ):
            yield opened

    def _count(self, number: int) -> int:
        """How many frames a file holds; it is opened where its name does not tell."""
        reader = self._readers[number]
        if isinstance(reader, LazyFile) and reader.frames is not None:
            return reader.frames
        told = self._facts(number)
        if told.count == 0:
            raise FileError(f"{self.files[number]} holds no frame")
        self._check(number, told.shape, told.dtype)
        return told.count

    def _facts(self, number: int) -> FileFacts:
        """What is noted of a file, which is opened for it once."""
        reader = self._readers[number]
        if isinstance(reader, LazyFile) and reader.facts is not None:
            return reader.facts
        with self._use(number) as opened:
            told = facts_of(opened)
        if isinstance(reader, LazyFile):
            reader.facts = told
        return told

    def _check(self, number: int, shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
        if tuple(shape) != self.shape or dtype != self.dtype:
            raise FileError(
                f"{self.files[number]} holds frames of {shape} {dtype}, but {self.files[0]} of {self.shape} "
                f"{self.dtype}; the frames of a sequence must be alike"
            )

    def select(self, frames: FrameSelection) -> Frames:
        """Some of the frames, which count from 0 again; only the files that hold them are looked into.

        Parameters
        ----------
        frames : str, int, slice or sequence of these
            Numbers and ranges from 0 as Python has them, in the order in which they are wanted.

        Raises
        ------
        SettingError
            When it names a frame that is not there, none, or one twice.

        Examples
        --------
        >>> import numpy as np
        >>> import crystint
        >>> frames = crystint.open_frames(np.arange(160, dtype=np.uint16).reshape(8, 4, 5))
        >>> some = frames.select("2:8:2,-1")
        >>> len(some), some.numbers.tolist(), int(some[0][0, 0])
        (4, [2, 4, 6, 7], 40)
        """
        chosen = selected(frames, len(self))
        places = chosen if self._selection is None else self._selection[chosen]
        files = np.searchsorted(self._ends, places, side="right")
        used = np.unique(files)
        made = Frames([self._readers[number] for number in used], [self.files[number] for number in used])
        starts, begin = np.array([0, *self._ends]), np.array([0, *made._ends])
        made._selection = places - starts[files] + begin[np.searchsorted(used, files)]
        made.numbers, made.total, made.opened_files = self.numbers[chosen], self.total, self.opened_files
        return made

    def __len__(self) -> int:
        return self._ends[-1] if self._selection is None else len(self._selection)

    def __repr__(self) -> str:
        more = f" and {len(self.files) - 1} more files" if len(self.files) > 1 else ""
        slow, fast = self.shape
        return f"<Frames: {len(self)} of {slow} x {fast} px, {self.dtype}, {self.files[0]}{more}>"

    def _repr_html_(self) -> str:
        facts = {
            "frames": len(self),
            "shape (slow, fast)": "{} x {} px".format(*self.shape),
            "dtype": str(self.dtype),
            "files": len(self.files),
            "first file": self.files[0],
        }
        return html_table("Frames", facts)

    def _find(self, index: int) -> tuple[int, int]:
        """(number of the file, number of the frame in it)."""
        wanted = index + len(self) if index < 0 else index
        if not 0 <= wanted < len(self):
            raise IndexError(f"frame {index} of {len(self)}")
        if self._selection is not None:
            wanted = int(self._selection[wanted])
        number = bisect_right(self._ends, wanted)
        return number, wanted - (self._ends[number - 1] if number else 0)

    def place(self, index: int) -> tuple[int, int]:
        """Number of the file in `files`, and number of the frame in that file."""
        return self._find(index)

    @overload
    def __getitem__(self, index: int | np.integer[Any]) -> Frame: ...
    @overload
    def __getitem__(self, index: slice) -> FrameStack: ...
    def __getitem__(self, index: int | np.integer[Any] | slice) -> NDArray[Any]:
        if isinstance(index, slice):
            wanted = range(*index.indices(len(self)))
            stack = np.empty((len(wanted), *self.shape), dtype=self.dtype)
            for place, each in enumerate(wanted):
                self.read(each, stack[place])
            return stack
        if not isinstance(index, int | np.integer):
            raise SettingError(f"the number of a frame is {described(index)}, expected a whole number or a slice")
        return self.read(int(index))

    def read(self, index: int, out: NDArray[Any] | None = None) -> Frame:
        """One frame, as ``frames[index]``, into memory that is there already.

        Parameters
        ----------
        index : int
            Negative numbers count from the end.
        out : dtype [slow, fast], optional
            Takes the frame. It must be C-contiguous. Memory that is used again and again saves the time in which the
            system clears new memory, which can be as long as unpacking the frame takes.

        Returns
        -------
        dtype [slow, fast]
            `out`, or a new array.

        Raises
        ------
        MissingFrameError
            When the frame was never written, or its file is not there (`missing`).
        FileError
            When the frame is damaged or its file cut short; the message gives its file and its place in it. `out` is
            undefined then.
        ShapeError, DTypeError
            When `out` does not fit.
        """
        number, within = self._find(index)
        if out is not None:
            if out.shape != self.shape or not out.flags.c_contiguous or not out.flags.writeable:
                raise ShapeError(f"out is {out.shape}, expected a writable, C-contiguous array of {self.shape}")
            if out.dtype != self.dtype:
                raise DTypeError(f"out is {out.dtype}, expected {self.dtype}")
        with self._use(number, f"frame {within}") as reader:
            frame = reader.read(within, out)
            self._check(number, frame.shape, frame.dtype)
            more = self._more_masked(number, reader)
            if more is not None:
                frame[(more[0].of_frame(within) != 0) & (more[1] == 0)] = hidden_value(frame.dtype)
        if out is None or frame is out:
            return frame
        np.copyto(out, frame)
        return out

    def chunk(self, index: int) -> RawChunk | None:
        """A frame as it is packed in its file, for a decoder elsewhere.

        Returns
        -------
        RawChunk or None
            None where the frame is not one chunk of bitshuffle and LZ4 in an HDF5 file, or has a mask of its own.

        Raises
        ------
        FileError
            When the chunk is cut off, or its blocks do not lie within it.
        """
        number, within = self._find(index)
        with self._use(number, f"frame {within}") as reader:
            return reader.chunk(within) if self._more_masked(number, reader) is None else None

    def __iter__(self) -> Iterator[Frame]:
        for index in range(len(self)):
            yield self[index]

    def source(self, index: int) -> FrameSource:
        """Where a frame came from: file, number in it, data set."""
        number, within = self._find(index)
        reader = self._readers[number]
        if isinstance(reader, LazyFile) and reader.frames is not None:
            return FrameSource(self.files[number], within)
        return self._facts(number).source(self.files[number], within)

    @cached_property
    def missing(self) -> dict[int, str]:
        """Numbers of the frames that the files do not have although they should, and why.

        They were never written, or their file is not there; reading one is a `MissingFrameError`. Frames that are
        damaged are not among them: that is seen when they are read.
        """
        reasons: dict[int, str] = {}
        for number, reader in enumerate(self._readers):
            if not isinstance(reader, LazyFile) or reader.frames is None:
                with self._use(number) as opened:
                    start = self._ends[number] - opened.count
                    if isinstance(opened, StackReader):
                        reasons |= {start + within: reason for within, reason in opened.missing().items()}
        if self._selection is None:
            return reasons
        return {index: reasons[place] for index, place in enumerate(self._selection.tolist()) if place in reasons}

    def all_files(self) -> list[str]:
        """`files`, and those that HDF5 files among them link to or show."""
        files: dict[str, None] = {}
        for number, reader in enumerate(self._readers):
            files[self.files[number]] = None
            if not isinstance(reader, LazyFile) or reader.frames is None:
                files |= dict.fromkeys(self._facts(number).behind)
        return list(files)

    @property
    def stored_bytes(self) -> int:
        """Bytes of all files that hold the frames; of files that hold others as well, the share of these frames."""
        size = sum(os.stat(file).st_size for file in self.all_files() if os.path.isfile(file))
        return round(size * len(self) / self._ends[-1])

    def close(self) -> None:
        """Close the open files. Asking for a frame opens them again."""
        self._opened.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
