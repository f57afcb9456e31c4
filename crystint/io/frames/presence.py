"""Which frames of an HDF5 data set were never written: HDF5 gives their pixels the fill value, which is no measurement.

HDF5 keeps a chunk when something is written into it, whatever that is; one that it does not have was never written. A
virtual data set shows parts of others: what no part covers, and what a part has no source for, is not there either.
Parts that no frame has, such as gaps between modules, are no reason to call a frame missing. Of data without chunks
(contiguous) HDF5 only knows whether any were written.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from math import ceil, prod
from pathlib import Path
from threading import RLock
from typing import Any, Protocol

import h5py
import numpy as np
from numpy.typing import NDArray

from crystint.errors import FileError
from crystint.io.frames.stack_search import check_claims
from crystint.io.frames.virtual_parts import Part, frame_count, parts_of
from crystint.io.hdf5.files import open_hdf5
from crystint.io.linked_files import source_files

__all__ = ["Presence", "presence_of"]

_DEEPEST = 16
"""Virtual data sets that may show one another."""


class Presence(Protocol):
    """Which frames of a data set are there."""

    def absent(self, index: int) -> str:
        """Why a frame is not there; empty = it is."""

    def all_absent(self) -> dict[int, str]:
        """All frames that are not there, and why."""


def presence_of(dataset: h5py.Dataset, depth: int = 0) -> Presence:
    """What HDF5 knows of the frames of a data set."""
    if dataset.is_virtual and depth < _DEEPEST:
        return _Shown(Path(dataset.file.filename), dataset.shape, list(parts_of(dataset)), depth)
    if dataset.chunks is not None:
        return _stored_chunks(dataset)
    contiguous = dataset.id.get_create_plist().get_layout() == h5py.h5d.CONTIGUOUS
    empty = contiguous and dataset.size and not dataset.external and dataset.id.get_offset() is None
    return _Stored(np.zeros(frame_count(dataset.shape) if empty else 0, np.int32), 1)


@dataclass(frozen=True, eq=False)
class _Stored:
    """Of a data set that lies in its file."""

    written: NDArray[np.int32]
    """int32 [frames]: chunks of each that were written; empty = all of all"""
    chunks: int
    """that a frame should have"""

    def absent(self, index: int) -> str:
        written = int(self.written[index]) if len(self.written) else self.chunks
        if not written:
            return "it was never written"
        return "" if written == self.chunks else f"only {written} of its {self.chunks} chunks were ever written"

    def all_absent(self) -> dict[int, str]:
        return {int(index): self.absent(int(index)) for index in np.flatnonzero(self.written < self.chunks)}


def _stored_chunks(dataset: h5py.Dataset) -> _Stored:
    """Frames that lack a chunk which others have."""
    grid = tuple(map(ceil, np.array(dataset.shape) / dataset.chunks))
    if dataset.id.get_num_chunks() == prod(grid):
        return _Stored(np.zeros(0, np.int32), 1)
    there = np.zeros(grid, bool)
    if hasattr(dataset.id, "chunk_iter"):
        dataset.id.chunk_iter(lambda chunk: there.__setitem__(_number(chunk.chunk_offset, dataset.chunks), True))
    else:
        for number in range(dataset.id.get_num_chunks()):
            there[_number(dataset.id.get_chunk_info(number).chunk_offset, dataset.chunks)] = True
    for axis, (step, length) in enumerate(zip(dataset.chunks[:-2], dataset.shape[:-2], strict=True)):
        there = np.take(there, np.arange(length) // step, axis)
    parts = there.reshape(frame_count(dataset.shape), -1)
    used = parts.any(axis=0)
    return _Stored(parts.sum(axis=1, dtype=np.int32), max(int(used.sum()), 1))


def _number(offset: tuple[int, ...], steps: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(start // step for start, step in zip(offset, steps, strict=True))


@dataclass(eq=False)
class _Shown:
    """Of a virtual data set. Sources are looked into when a frame of theirs is asked for."""

    own: Path
    """the file of the virtual data set"""
    shape: tuple[int, ...]
    parts: list[Part]
    depth: int
    _sources: dict[tuple[str, str], tuple[int, Presence] | str] = field(default_factory=dict)
    _lock: Any = field(default_factory=RLock)

    def __post_init__(self) -> None:
        used = np.zeros(self.shape[-2:], bool)
        for rows, columns in {part.pixels for part in self.parts}:
            used[rows.start : rows.stop : rows.step, columns.start : columns.stop : columns.step] = True
        sizes = [len(part.frames) for part in self.parts]
        areas = np.array([len(part.pixels[0]) * len(part.pixels[1]) for part in self.parts], np.int64)
        frames = np.concatenate([np.empty(0, np.intp), *(part.frames for part in self.parts)])
        parts = np.repeat(np.arange(len(sizes)), sizes)
        covered = np.bincount(frames, areas[parts], frame_count(self.shape))
        self._whole = (covered >= np.count_nonzero(used)) & (covered > 0)
        order = np.argsort(frames, kind="stable")
        within = np.concatenate([np.empty(0, np.intp), *map(np.arange, sizes)])
        self._frames, self._part, self._within = frames[order], parts[order], within[order]

    def absent(self, index: int) -> str:
        start, stop = (int(at) for at in np.searchsorted(self._frames, (index, index + 1)))
        if not self._whole[index]:
            return f"no source of the virtual data set shows {'all of it' if stop > start else 'it'}"
        reasons = (self._not_in(self.parts[self._part[at]], int(self._within[at])) for at in range(start, stop))
        return next(filter(None, reasons), "")

    def all_absent(self) -> dict[int, str]:
        return {index: reason for index in range(len(self._whole)) if (reason := self.absent(index))}

    def _not_in(self, part: Part, within: int) -> str:
        """Why the source of a part does not have one of its frames; empty = it has."""
        with self._lock:
            key = (part.file, part.member)
            if key not in self._sources:
                self._sources[key] = self._look(part.file, part.member)
            source = self._sources[key]
        if isinstance(source, str):
            return source
        count, presence = source
        if part.taken is None:
            return ""
        frame = int(part.taken[within])
        if frame >= count:
            return f"{part.file} holds only {count} frame{'s' * (count != 1)}"
        reason = presence.absent(frame)
        return f"{reason} (frame {frame} of {part.file})" if reason else ""

    def _look(self, name: str, member: str) -> tuple[int, Presence] | str:
        """Number of frames and presence of a source, or why it is not there."""
        paths = [self.own] if name == "." else source_files(self.own, name)
        if not paths:
            if (self.own.parent / f"{name}.part").exists():
                return f"{name} is being written: it is called {name}.part until it is closed"
            return f"{name} does not exist beside {self.own.name}"
        try:
            with open_hdf5(paths[0]) as file:
                source = file.get(member)
                if not isinstance(source, h5py.Dataset):
                    return f"{paths[0]} has no data set {member}"
                check_claims(source, str(paths[0]))
                return frame_count(source.shape), presence_of(source, self.depth + 1)
        except FileError as error:
            return str(error)
        except (OSError, RuntimeError, KeyError) as error:
            return f"{paths[0]}: {member} cannot be read: {error}"
