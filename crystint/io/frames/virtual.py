"""Frames that a virtual data set shows from other data sets, read there without HDF5."""

from __future__ import annotations

import os
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Self

import h5py
import numpy as np
from numpy.typing import NDArray

from crystint.errors import FileError
from crystint.io.frames.virtual_parts import frame_count
from crystint.io.hdf5.chunks import ChunkReader, Layers
from crystint.io.hdf5.files import open_hdf5
from crystint.io.hdf5.filters import DamagedChunk
from crystint.io.hdf5.pool import ResourcePool
from crystint.io.linked_files import source_files
from crystint.model.raw_chunk import RawChunk

__all__ = ["VirtualReader"]

_EMPTY = -1


class _Source:
    """A data set in another file, open while it is in the pool."""

    def __init__(self, path: Path, name: str, like: h5py.Dataset, layers: Layers) -> None:
        try:
            self._file = open_hdf5(path)
        except FileError as error:
            raise DamagedChunk(f"its file {error}") from error
        try:
            dataset = self._file.get(name)
            if not isinstance(dataset, h5py.Dataset):
                raise DamagedChunk(f"it is in {path}, which has no data set {name}")
            fits = not dataset.is_virtual and dataset.shape[-2:] == like.shape[-2:] and dataset.dtype == like.dtype
            self.reader = ChunkReader.of(dataset, layers) if fits else None
        except BaseException:
            self._file.close()
            raise

    def close(self) -> None:
        """Close the file."""
        self.reader = None
        self._file.close()


class VirtualReader:
    """The frames of a virtual data set that is made of whole frames. `of` makes one."""

    def __init__(
        self,
        dataset: h5py.Dataset,
        layers: Layers,
        sources: list[tuple[Path, str]],
        source: NDArray[np.intp],
        frame: NDArray[np.intp],
    ) -> None:
        self._fill = dataset.fillvalue
        self._dataset, self._layers = dataset, layers
        self._sources, self._source, self._frame = sources, source, frame
        self._files: ResourcePool[int, _Source] = ResourcePool(_Source.close, idle=4)

    @classmethod
    def of(cls, dataset: h5py.Dataset, layers: Layers) -> Self | None:
        """A reader of that data set; None where only HDF5 can put its frames together."""
        if os.environ.get("HDF5_VDS_PREFIX") or dataset.ndim not in (3, 4):
            return None
        if dataset.shape[0] != frame_count(dataset.shape):
            return None
        folder = Path(dataset.file.filename).parent
        source = np.full(dataset.shape[0], _EMPTY, np.intp)
        frame = np.zeros(dataset.shape[0], np.intp)
        sources: list[tuple[Path, str]] = []
        for part in dataset.virtual_sources():
            shown = _whole_frames(part.vspace, most=len(source))
            taken = None if shown is None else _whole_frames(part.src_space, len(shown), most=len(source))
            path = Path(dataset.file.filename) if part.file_name == "." else folder / part.file_name
            if not path.is_file() and not source_files(Path(dataset.file.filename), part.file_name):
                continue  # it does not exist: its frames are missing
            if shown is None or taken is None or len(shown) != len(taken) or not path.is_file():
                return None
            if len(shown) and (shown.max() >= len(source) or np.any(source[shown] != _EMPTY)):
                return None
            source[shown], frame[shown] = len(sources), taken
            sources.append((path, part.dset_name))
        return cls(dataset, layers, sources, source, frame)

    def read(self, index: int, out: NDArray[Any]) -> bool:
        """Put a frame into `out`; False = HDF5 must read this one.

        Raises
        ------
        DamagedChunk
            When its file is damaged, or it cannot be unpacked.
        """
        number = int(self._source[index])
        if number == _EMPTY:
            out[...] = self._fill
            return True
        with self._use(number) as source:
            frame = int(self._frame[index])
            if source.reader is None or frame >= source.reader.count:
                return False
            return source.reader.read(frame, out)

    def chunk(self, index: int) -> RawChunk | None:
        """The packed frame; None where it is not one chunk of bitshuffle and LZ4."""
        number = int(self._source[index])
        if number == _EMPTY:
            return None
        with self._use(number) as source:
            return None if source.reader is None else source.reader.chunk(int(self._frame[index]))

    def _use(self, number: int) -> AbstractContextManager[_Source]:
        return self._files.use(number, lambda: _Source(*self._sources[number], self._dataset, self._layers))

    def close(self) -> None:
        """Close the files of the sources."""
        self._files.clear()


def _whole_frames(space: h5py.h5s.SpaceID, number: int | None = None, *, most: int) -> NDArray[np.intp] | None:
    """The numbers of the frames that a selection holds, in its order; None where it is not whole frames, or too many.

    `number` is how many there are when everything is selected: HDF5 does not know the shape of a source then.
    """
    shape = space.shape
    kind = space.get_select_type()
    if kind == h5py.h5s.SEL_ALL:
        return np.arange(shape[0] if number is None else number)
    if kind != h5py.h5s.SEL_HYPERSLABS or not space.is_regular_hyperslab():
        return None
    start, stride, count, block = (list(values) for values in space.get_regular_hyperslab())
    if len(shape) == 2:
        shape, start, stride = (1, *shape), [0, *start], [1, *stride]
        count, block = [1, *count], [1, *block]
    for axis in range(1, len(shape)):
        solid = count[axis] == 1 or stride[axis] == block[axis]
        if start[axis] != 0 or not solid or count[axis] * block[axis] != shape[axis]:
            return None
    if count[0] * block[0] > min(shape[0], most):  # without limit
        return None
    first = start[0] + stride[0] * np.arange(count[0])
    return np.asarray((first[:, None] + np.arange(block[0])).reshape(-1), np.intp)
