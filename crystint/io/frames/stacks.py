"""Frames in HDF5 files: plain stacks, NXmx and DECTRIS masters with links, virtual data sets, CXI.

Where the chunks of the file are frames, or tiles of frames, in a packing that `filters` knows, they are
read without HDF5 and its lock; everything else is read by HDF5.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import cached_property
from itertools import accumulate
from pathlib import Path
from threading import Lock
from typing import Any

import h5py
import hdf5plugin  # noqa: F401  (registers the decompression filters)
import numpy as np
from numpy.typing import NDArray

from crystint.errors import FileError, GeometryError, MissingFrameError, warn
from crystint.io.frames.nexus_limits import nexus_limits
from crystint.io.frames.nexus_mask import NexusMask, Stack, nexus_mask
from crystint.io.frames.presence import Presence, presence_of
from crystint.io.frames.readers import FrameSource, ToldScan, folded
from crystint.io.frames.stack_parts import stack_parts
from crystint.io.frames.stack_paths import broken_link, item_at
from crystint.io.frames.stack_search import NoFramesError, check_claims, find_datasets, left_out
from crystint.io.frames.virtual import VirtualReader
from crystint.io.geometry.detector_group import detector_of, entry_of
from crystint.io.geometry.nexus import nexus_geometry, nexus_saturation
from crystint.io.geometry.nexus_scan import nexus_instrument, nexus_scan
from crystint.io.hdf5.chunks import ChunkReader, DirectReader, Layers, layer_cache
from crystint.io.hdf5.filters import DamagedChunk
from crystint.io.hdf5.nexus_values import text
from crystint.io.hdf5.pool import ResourcePool
from crystint.io.hdf5.source_metadata import read_metadata
from crystint.io.kinds import NEVER_FRAMES, opened_kind, unexpected
from crystint.io.linked_files import files_behind
from crystint.io.opened_file import OpenedFile
from crystint.model.instrument import Instrument
from crystint.model.partial_geometry import PartialGeometry
from crystint.model.raw_chunk import RawChunk
from crystint.model.source_metadata import SourceMetadata
from crystint.model.valid_values import FileLimits

__all__ = ["StackReader"]

_OPEN = 64
"""Data sets, which may each lie in a file of its own, that stay open: a system may allow 256 files."""


class _OpenSet:
    """A data set that is open, and the reader without HDF5 that it has; None = there is none at the path."""

    def __init__(self, item: Any, layers: Layers) -> None:
        self.item, self._layers = item, layers
        self._direct: list[DirectReader | None] = []
        self._lock = Lock()

    @property
    def direct(self) -> DirectReader | None:
        """The reader without HDF5, made lazily; None where there is none."""
        with self._lock:
            if not self._direct:
                kind = VirtualReader if self.item.is_virtual else ChunkReader
                self._direct.append(kind.of(self.item, self._layers))
            return self._direct[0]

    def close(self) -> None:
        """Let go of the data set, and so of its file."""
        for reader in filter(None, self._direct):
            reader.close()
        self._direct.clear()
        self.item = None


class StackReader:
    """The frames of one HDF5 file, which may be spread over several data sets and files; the last few used are open.

    Raises
    ------
    FileError
        When it is truncated or damaged, or holds something else than frames; the message says what.
    """

    def __init__(self, file: OpenedFile) -> None:
        self._path = path = file.path
        opened = file.hdf5
        assert opened is not None
        self._file: h5py.File = opened
        try:
            if file.dataset is None and opened_kind(file, NEVER_FRAMES) is not None:
                raise unexpected(file, "frames")
            try:
                names = find_datasets(self._file, str(path), file.dataset)
            except NoFramesError as error:
                raise unexpected(file, "frames", str(error)) from error
            self._layers = layer_cache()
            self._opened: ResourcePool[str, _OpenSet] = ResourcePool(_OpenSet.close, idle=_OPEN)
            say = _not_again if file.again else warn
            alike = _Alike(path, say)
            self._parts = stack_parts(self._file, str(path), names, alike.checked(self._use), say)
            if file.dataset is None and not file.again and (others := left_out(self._file, names)):
                warn(f"{path}: {', '.join(others[:3])} holds frames as well, left out; --dataset chooses or takes all")
        except BaseException:
            self._file.close()
            raise
        self.shape: tuple[int, int] = alike.shape
        self.dtype: np.dtype[Any] = alike.dtype.newbyteorder("=")
        self._ends = list(accumulate(part.count for part in self._parts))
        self.count: int = self._ends[-1]
        self._presence: dict[int, Presence] = {}
        self._lock = Lock()

    @contextmanager
    def _use(self, path: str) -> Iterator[_OpenSet]:
        """The data set at a path, opened when it is wanted."""
        with self._opened.use(path, lambda: _OpenSet(item_at(self._file, path, None), self._layers)) as opened:
            yield opened

    @property
    def places(self) -> tuple[str, ...]:
        """Path of each data set."""
        return tuple(part.name for part in self._parts)

    @property
    def ends(self) -> tuple[int, ...]:
        """Number of the frame after the last of each data set, missing ones counted."""
        return tuple(self._ends)

    @property
    def _sets(self) -> list[str]:
        """Paths of the data sets that are there."""
        return [part.name for part in self._parts if not part.reason]

    def _find(self, index: int) -> tuple[int, int]:
        number = bisect_right(self._ends, index)
        return number, index - (self._ends[number - 1] if number else 0)

    def read(self, index: int, out: NDArray[Any] | None = None) -> NDArray[Any]:
        """One frame.

        Raises
        ------
        MissingFrameError
            When it was never written, or its file is not there.
        FileError
            When it cannot be decompressed or read; the message gives its data set and its number in that.
        """
        reason = self.absent(index)
        if reason:
            raise MissingFrameError(f"{self._where(index)} is missing: {reason}")
        if out is None or (out.shape, out.dtype) != (self.shape, self.dtype):
            out = np.empty(self.shape, self.dtype)
        number, within = self._find(index)
        with self._placed(index), self._there(number) as opened:
            if opened.direct is None or not opened.direct.read(within, out):
                stack = opened.item
                stack.read_direct(out, tuple(map(int, np.unravel_index(within, stack.shape[:-2]))))
        return out

    def absent(self, index: int) -> str:
        """Why a frame is not there; empty = it is, as far as HDF5 knows."""
        number, within = self._find(index)
        part = self._parts[number]
        return part.reason or self._present(number).absent(within)

    def missing(self) -> dict[int, str]:
        """Numbers of the frames that are not there, and why."""
        reasons: dict[int, str] = {}
        for number, part in enumerate(self._parts):
            start = self._ends[number] - part.count
            if part.reason:
                reasons |= dict.fromkeys(range(start, start + part.count), part.reason)
            else:
                absent = self._present(number).all_absent()
                reasons |= {start + within: reason for within, reason in absent.items()}
        return reasons

    def _present(self, number: int) -> Presence:
        """What HDF5 knows of the frames of a data set, looked up once."""
        with self._lock:
            if number not in self._presence:
                with self._there(number) as opened:
                    self._presence[number] = presence_of(opened.item)
            return self._presence[number]

    @contextmanager
    def _there(self, number: int) -> Iterator[_OpenSet]:
        """The data set of a part that was there when this file was opened.

        Raises
        ------
        FileError
            When it cannot be opened any more.
        """
        name = self._parts[number].name
        with self._use(name) as opened:
            if opened.item is None:
                raise FileError(
                    f"{self._path}: {broken_link(self._file, name) or f'{name} is gone'}; it was there when the file "
                    "was opened"
                )
            yield opened

    def chunk(self, index: int) -> RawChunk | None:
        """The packed frame where it is one chunk of bitshuffle and LZ4; None elsewhere.

        Raises
        ------
        FileError
            When it is not as long as it says, or cut off.
        """
        number, within = self._find(index)
        if self.absent(index):
            return None
        with self._placed(index), self._there(number) as opened:
            return None if opened.direct is None else opened.direct.chunk(within)

    @contextmanager
    def _placed(self, index: int) -> Iterator[None]:
        """Turn what goes wrong with a frame into a FileError with its file, data set and number in the data set."""
        try:
            yield
        except (DamagedChunk, OSError, RuntimeError) as error:
            raise FileError(f"{self._where(index)} cannot be read: {_reason(error)}") from error

    def _where(self, index: int) -> str:
        number, within = self._find(index)
        return f"{self._path}, {self._parts[number].name}[{within}],"

    def source(self, index: int) -> FrameSource:
        """Where that frame is: the file that was opened, and the number within the data set named."""
        number, within = self._find(index)
        return FrameSource(str(self._path), within, self._parts[number].name)

    def behind(self) -> list[str]:
        """The files that the frames lie in."""
        files: list[str] = []
        for number, part in enumerate(self._parts):
            if not part.reason:
                with self._there(number) as opened:
                    files += map(str, files_behind(opened.item))
        return files

    @cached_property
    def _detector(self) -> h5py.Group | None:
        """The one that the frames are of."""
        try:
            names = self._sets
            firsts = {entry_of(name): name for name in reversed(names)}
            first = detector_of(self._file, names[0], self.shape)
            if first is None or entry_of(first.name) not in firsts:
                return first
            for name in firsts.values():
                if (other := detector_of(self._file, name, self.shape)) is not None and other != first:
                    raise GeometryError(
                        f"the frames are of several detectors ({first.name}, {other.name}): name those of one with "
                        "dataset= or --dataset, or give geometry and mask (-g, -m)"
                    )
            return first
        except GeometryError as error:
            raise GeometryError(f"{self._path}: {error}") from error

    def geometry(self) -> PartialGeometry:
        """From the NXdetector of the frames and the NXbeam groups."""
        return nexus_geometry(self._file, self._detector, self.shape, str(self._path), self.count)

    def scan(self) -> ToldScan:
        """From the chain of axes that the sample depends on, or DECTRIS's goniometer, and times of the detector."""
        try:
            return ToldScan(
                *nexus_scan(self._file, self._detector, entry_of(self._parts[0].name), self.shape, self.count)
            )
        except GeometryError:
            return ToldScan()  # it is not told which detector the frames are of: geometry and mask say so

    def instrument(self) -> Instrument:
        """Sensor, detector and names."""
        try:
            return nexus_instrument(self._file, self._detector, entry_of(self._parts[0].name))
        except GeometryError:
            return Instrument()

    def metadata(self) -> SourceMetadata:
        """What stands in the entry of the frames beside them."""
        entry = self._file.get(entry_of(self._parts[0].name))
        return read_metadata(entry, self.shape) if isinstance(entry, h5py.Group) else SourceMetadata()

    def mask(self) -> tuple[NexusMask | None, list[str]]:
        """The pixel mask of the NXdetector group, or one beside the frames."""
        return self._mask

    @cached_property
    def _mask(self) -> tuple[NexusMask | None, list[str]]:
        try:
            with self._use(self._sets[0]) as opened:
                stack = Stack(self.shape, self.count, opened.item)
                return nexus_mask(self._file, self._detector, str(self._path), stack)
        except GeometryError as error:
            return None, [f"no mask is read: {error}"]

    def saturation(self) -> float | None:
        """saturation_value, or DECTRIS's countrate_correction_count_cutoff."""
        try:
            return nexus_saturation(self._detector)
        except GeometryError as error:
            warn(f"no saturation value is read: {error}")
            return None

    def limits(self) -> FileLimits:
        """underload_value, error_value and the depth of the counter."""
        try:
            return nexus_limits(self._detector, str(self._path))
        except GeometryError:
            return FileLimits()  # it is not told which detector the frames are of: geometry and mask say so

    def close(self) -> None:
        """Close the file."""
        self._opened.clear()
        self._presence, self._parts = {}, []
        self._layers.clear()
        self._file.close()


class _Alike:
    """Looks at data sets as they are opened: their frames must be alike, and possible."""

    def __init__(self, path: Path, say: Callable[[str], None]) -> None:
        self._path, self._say, self._first = path, say, ""
        self.shape: tuple[int, int] = (0, 0)
        """(slow, fast)"""
        self.dtype: np.dtype[Any] = np.dtype(np.uint8)

    def checked(
        self, use: Callable[[str], AbstractContextManager[_OpenSet]]
    ) -> Callable[[str], AbstractContextManager[Any]]:
        """The same, giving data sets that were looked at."""

        @contextmanager
        def opened(path: str) -> Iterator[Any]:
            with use(path) as each:
                if each.item is not None:
                    self._look(each.item)
                yield each.item

        return opened

    def _look(self, each: h5py.Dataset) -> None:
        check_claims(each, str(self._path))
        if not self._first:
            self._first, self.dtype = each.name, each.dtype
            self.shape = (int(each.shape[-2]), int(each.shape[-1]))
        if each.shape[-2:] != self.shape or each.dtype != self.dtype:
            raise FileError(
                f"{self._path}: {each.name} holds frames of {each.shape[-2:]} {each.dtype}, "
                f"but {self._first} of {self.shape} {self.dtype}"
            )
        if (fold := folded(each.shape)) and text(each.attrs.get("interpretation")) != "image":
            self._say(f"{self._path}: {each.name} has {fold}")


def _not_again(text: str) -> None:
    """In the place of `warn` where a file is opened once more."""


def _reason(error: Exception) -> str:
    """HDF5's message, with a hint where a filter is missing."""
    message = str(error)
    if "filter" in message and ("not found" in message or "not registered" in message or "can't open" in message):
        return f"{message}; no decompression filter for it in this version of hdf5plugin"
    return f"{message}; the data are damaged or truncated"
