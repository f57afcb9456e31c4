"""Frames in HDF5 files: plain stacks, NXmx and DECTRIS masters with links, virtual data sets, CXI.

Where the chunks of the file are frames, or tiles of frames, in a packing that `filters` knows, they are
read without HDF5 and its lock; everything else is read by HDF5.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from contextlib import contextmanager
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
from crystint.io.frames.stack_parts import StackPart, stack_parts
from crystint.io.frames.stack_search import NoFramesError, check_claims, find_datasets, left_out
from crystint.io.frames.virtual import VirtualReader
from crystint.io.geometry.detector_group import detector_of, entry_of
from crystint.io.geometry.nexus import nexus_geometry, nexus_saturation
from crystint.io.geometry.nexus_scan import nexus_instrument, nexus_scan
from crystint.io.hdf5.chunks import ChunkReader, DirectReader, layer_cache
from crystint.io.hdf5.filters import DamagedChunk
from crystint.io.hdf5.nexus_values import text
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


class StackReader:
    """The frames of one HDF5 file, which may be spread over several data sets and files.

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
            self._parts = stack_parts(self._file, str(path), names)
            self._sets: list[h5py.Dataset] = [part.dataset for part in self._parts if part.dataset is not None]
            first = self._sets[0]
            for each in self._sets:
                check_claims(each, str(path))
                if each.shape[-2:] != first.shape[-2:] or each.dtype != first.dtype:
                    raise FileError(
                        f"{path}: {each.name} holds frames of {each.shape[-2:]} {each.dtype}, "
                        f"but {first.name} of {first.shape[-2:]} {first.dtype}"
                    )
                _say_folded(each, path)
            if file.dataset is None and (others := left_out(self._file, names)):
                warn(f"{path}: {', '.join(others[:3])} holds frames as well, left out; --dataset chooses or takes all")
        except BaseException:
            self._file.close()
            raise
        self.shape: tuple[int, int] = (int(first.shape[-2]), int(first.shape[-1]))
        self.dtype: np.dtype[Any] = first.dtype.newbyteorder("=")
        self._ends = list(accumulate(part.count for part in self._parts))
        self.count: int = self._ends[-1]
        self._presence: dict[int, Presence] = {}
        self._direct: dict[int, DirectReader | None] = {}
        self._layers = layer_cache()
        self._lock = Lock()

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
        with self._placed(index):
            direct = self._reader(number)
            if direct is None or not direct.read(within, out):
                stack = self._parts[number].dataset
                assert stack is not None  # else it was absent
                stack.read_direct(out, tuple(map(int, np.unravel_index(within, stack.shape[:-2]))))
        return out

    def absent(self, index: int) -> str:
        """Why a frame is not there; empty = it is, as far as HDF5 knows."""
        number, within = self._find(index)
        part = self._parts[number]
        return part.reason or self._present(number, part).absent(within)

    def missing(self) -> dict[int, str]:
        """Numbers of the frames that are not there, and why."""
        reasons: dict[int, str] = {}
        for number, part in enumerate(self._parts):
            start = self._ends[number] - part.count
            if part.dataset is None:
                reasons |= dict.fromkeys(range(start, start + part.count), part.reason)
            else:
                absent = self._present(number, part).all_absent()
                reasons |= {start + within: reason for within, reason in absent.items()}
        return reasons

    def _present(self, number: int, part: StackPart) -> Presence:
        """What HDF5 knows of the frames of a data set, looked up once."""
        with self._lock:
            if number not in self._presence:
                assert part.dataset is not None
                self._presence[number] = presence_of(part.dataset)
            return self._presence[number]

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
        with self._placed(index):
            direct = self._reader(number)
            return None if direct is None else direct.chunk(within)

    def _reader(self, number: int) -> DirectReader | None:
        """The direct reader of a data set, without HDF5, made lazily and cached; None where there is none."""
        with self._lock:
            if number not in self._direct:
                stack = self._parts[number].dataset
                assert stack is not None  # else its frames are absent
                kind = VirtualReader if stack.is_virtual else ChunkReader
                self._direct[number] = kind.of(stack, self._layers)
            return self._direct[number]

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
        return [str(path) for each in self._sets for path in files_behind(each)]

    @cached_property
    def _detector(self) -> h5py.Group | None:
        """The one that the frames are of."""
        try:
            names = [part.name for part in self._parts if part.dataset is not None]
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
        stack = Stack(self.shape, self.count, self._sets[0])
        try:
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
        for reader in self._direct.values():
            if reader is not None:
                reader.close()
        self._direct, self._presence = {}, {}
        self._parts, self._sets = [], []
        self._layers.clear()
        self._file.close()


def _say_folded(stack: h5py.Dataset, path: Path) -> None:
    """Warn where more than one axis counts the frames, and nothing says that they do."""
    if (fold := folded(stack.shape)) and text(stack.attrs.get("interpretation")) != "image":
        warn(f"{path}: {stack.name} has {fold}")


def _reason(error: Exception) -> str:
    """HDF5's message, with a hint where a filter is missing."""
    message = str(error)
    if "filter" in message and ("not found" in message or "not registered" in message or "can't open" in message):
        return f"{message}; no decompression filter for it in this version of hdf5plugin"
    return f"{message}; the data are damaged or truncated"
