"""The frames of one HDF5 data set, read and unpacked without HDF5, by any number of threads at once.

The chunk index is read from HDF5 once. From then on a frame is a `preadv` of its bytes and a call of the functions in
`crystint.io.hdf5.filters`; neither waits for other threads.
"""

from __future__ import annotations

import os
from array import array
from itertools import product
from math import ceil, prod
from typing import Any, NamedTuple, Protocol, Self, TypeAlias

import h5py
import numpy as np
from numpy.typing import NDArray

from crystint.io.hdf5.filters import DamagedChunk, Filter, can_decode, decode, is_bslz4, raw_chunk
from crystint.io.hdf5.pool import ResourcePool
from crystint.model.raw_chunk import RawChunk

__all__ = ["ChunkReader", "DirectReader", "Layers", "layer_cache", "stored_plainly"]

_MOST_GROWN, _HEADER = 2, 1 << 12
"""How many times longer than its data a chunk may be, and bytes besides; packing makes noise a little longer."""
_MANY = 1 << 27
"""Bytes: chunks of several frames are unpacked as a whole and cached; larger ones are left to HDF5."""


class _Place(NamedTuple):
    """Where a chunk is in its file, its length, and which filters were left out."""

    offset: int
    size: int
    mask: int


class _Contiguous:
    """The frames of a data set that is not chunked, each as if it were one."""

    def __init__(self, dataset: h5py.Dataset) -> None:
        self._start = int(dataset.id.get_offset())
        self._size = prod(dataset.shape[-2:]) * dataset.dtype.itemsize

    def place(self, layer: int, row: int, column: int) -> _Place | None:
        """Of a frame."""
        return _Place(self._start + layer * self._size, self._size, 0)


class _Chunks:
    """The chunks that are there, by their number along frames, slow and fast: no memory for those that are not."""

    def __init__(self, dataset: h5py.Dataset, grid: tuple[int, ...]) -> None:
        self._grid = grid
        steps, entries = dataset.chunks, array("q")
        frames = [prod(dataset.shape[axis + 1 : -2]) for axis in range(dataset.ndim - 2)]
        deep = prod(steps[:-2])

        def note(chunk: Any) -> None:
            first = sum(start * step for start, step in zip(chunk.chunk_offset, frames, strict=False))
            row, column = (start // step for start, step in zip(chunk.chunk_offset[-2:], steps[-2:], strict=True))
            number = self._number(first // deep, row, column)
            entries.extend((number, chunk.byte_offset, chunk.size, chunk.filter_mask))

        dataset.id.chunk_iter(note)
        table = np.frombuffer(entries, np.int64).reshape(-1, 4)
        self._entries = table[np.argsort(table[:, 0], kind="stable")]

    def _number(self, layer: int, row: int, column: int) -> int:
        return (layer * self._grid[1] + row) * self._grid[2] + column

    def place(self, layer: int, row: int, column: int) -> _Place | None:
        """Of a chunk; None = it was never written."""
        number = self._number(layer, row, column)
        at = int(np.searchsorted(self._entries[:, 0], number))
        if at == len(self._entries) or self._entries[at, 0] != number:
            return None
        return _Place(*self._entries[at, 1:].tolist())


class DirectReader(Protocol):
    """Reads frames without HDF5, where it can."""

    def read(self, index: int, out: NDArray[Any]) -> bool:
        """Put a frame into `out`; False = HDF5 must read this one."""

    def chunk(self, index: int) -> RawChunk | None:
        """The packed frame; None where it is not one chunk of bitshuffle and LZ4."""

    def close(self) -> None:
        """Close files."""


Layers: TypeAlias = ResourcePool[tuple[object, int], NDArray[Any]]
"""The unpacked frames of chunks of several frames, by mark of the reader and number of the layer of chunks"""


def layer_cache() -> Layers:
    """A cache of two layers, for all data sets of a file."""
    return ResourcePool(lambda _: None)


class ChunkReader:
    """The frames of one data set, chunked or contiguous, in one file. `of` makes one."""

    def __init__(
        self, dataset: h5py.Dataset, layers: Layers, chunk: tuple[int, int, int], filters: tuple[Filter, ...]
    ) -> None:
        self._dataset = dataset  # keeps the file open, and with it the descriptor
        self._file = int(dataset.file.id.get_vfd_handle())
        self._filters, self._chunk = filters, chunk
        self._stored: np.dtype[Any] = dataset.dtype
        self._fill = dataset.fillvalue
        shape = dataset.shape
        self.shape: tuple[int, int] = (int(shape[-2]), int(shape[-1]))
        self.count: int = prod(shape[:-2])
        self._grid = tuple(map(ceil, (self.count / chunk[0], self.shape[0] / chunk[1], self.shape[1] / chunk[2])))
        self._index = _Contiguous(dataset) if dataset.chunks is None else _Chunks(dataset, self._grid)
        self._layers = layers
        self._mark = object()

    @classmethod
    def of(cls, dataset: h5py.Dataset, layers: Layers) -> Self | None:
        """A reader of that data set; None where only HDF5 can read it."""
        if not stored_plainly(dataset):
            return None
        plist = dataset.id.get_create_plist()
        filters = tuple(_filter(plist.get_filter(place)) for place in range(plist.get_nfilters()))
        layout = plist.get_layout()
        if layout == h5py.h5d.CONTIGUOUS and dataset.id.get_offset() is not None:
            return cls(dataset, layers, (1, *dataset.shape[-2:]), ())
        if layout != h5py.h5d.CHUNKED or not can_decode(filters) or not hasattr(dataset.id, "chunk_iter"):
            return None
        deep = _deep(dataset.shape[:-2], dataset.chunks[:-2])
        if deep is None:
            return None
        if deep > 1 and deep * prod(dataset.shape[-2:]) * dataset.dtype.itemsize > _MANY:
            return None
        return cls(dataset, layers, (deep, *dataset.chunks[-2:]), filters)

    def read(self, index: int, out: NDArray[Any]) -> bool:
        """Put a frame into `out`, native-endian [slow, fast].

        Raises
        ------
        DamagedChunk
            When the file ends before it, or it cannot be unpacked.
        """
        deep = self._chunk[0]
        if deep == 1:
            self._unpack(index, out[None])
            return True
        number, within = divmod(index, deep)
        with self._layers.use((self._mark, number), lambda: self._layer(number)) as frames:
            out[...] = frames[within]
        return True

    def _layer(self, number: int) -> NDArray[Any]:
        """All frames of a layer of chunks, native-endian [frames per chunk, slow, fast]."""
        frames = np.empty((self._chunk[0], *self.shape), self._stored.newbyteorder("="))
        self._unpack(number, frames)
        return frames

    def _unpack(self, layer: int, stack: NDArray[Any]) -> None:
        """All frames of a layer of chunks into `stack`."""
        _, high, wide = self._chunk
        whole = (high, wide) == self.shape
        for row, column in product(range(self._grid[1]), range(self._grid[2])):
            here = stack[:, row * high : (row + 1) * high, column * wide : (column + 1) * wide]
            place = self._index.place(layer, row, column)
            if place is None:
                here[...] = self._fill
            elif whole:
                self._decode(place, stack)
                if not self._stored.isnative:
                    stack.byteswap(inplace=True)
            else:
                tile = np.empty(self._chunk, self._stored)
                self._decode(place, tile)
                here[...] = tile[:, : here.shape[1], : here.shape[2]]

    def _decode(self, place: _Place, out: NDArray[Any]) -> None:
        decode(self._filters, place.mask, self._load(place), out.reshape(-1).view(np.uint8))

    def _load(self, place: _Place) -> NDArray[np.uint8]:
        """The bytes of a chunk."""
        offset, size, _ = place
        if size > _MOST_GROWN * prod(self._chunk) * self._stored.itemsize + _HEADER:
            raise DamagedChunk(f"its chunk claims {size} bytes")
        raw = np.empty(size, np.uint8)
        done = 0
        while done < size:
            more = os.preadv(self._file, [raw.data[done:]], offset + done)
            if not more:
                raise DamagedChunk(f"the file ends {size - done} bytes before the end of the frame's chunk")
            done += more
        return raw

    def chunk(self, index: int) -> RawChunk | None:
        """The packed frame; None where it is not one chunk of bitshuffle and LZ4.

        Raises
        ------
        DamagedChunk
            When the file ends before it, or its blocks do not lie within it.
        """
        if self._chunk != (1, *self.shape):
            return None
        place = self._index.place(index, 0, 0)
        if place is None or not is_bslz4(self._filters, place.mask):
            return None
        if self._filters[0].values[2] != self._stored.itemsize:
            return None
        return raw_chunk(self._load(place), self.shape, self._stored)

    def close(self) -> None:
        """The file is closed with the reader of the data set."""


def stored_plainly(dataset: h5py.Dataset) -> bool:
    """Whether the bytes in the file are the numbers themselves, in a file that `os.preadv` can read."""
    return (
        hasattr(os, "preadv")
        and dataset.file.driver == "sec2"
        and dataset.file.userblock_size == 0
        and dataset.id.get_create_plist().get_external_count() == 0
        and dataset.dtype.kind in "iuf"
        and bool(dataset.id.get_type().equal(h5py.h5t.py_create(dataset.dtype)))
    )


def _deep(shape: tuple[int, ...], chunk: tuple[int, ...]) -> int | None:
    """Frames in a chunk, where they follow one another; None elsewhere."""
    whole = len(chunk)
    while whole and chunk[whole - 1] == shape[whole - 1]:
        whole -= 1
    split = whole - 1  # the axis that chunks divide; those after it are whole
    if any(step > 1 for step in chunk[: max(split, 0)]) or (split > 0 and shape[split] % chunk[split]):
        return None
    return prod(chunk)


def _filter(entry: tuple[Any, ...]) -> Filter:
    number, _, values, _ = entry
    return Filter(int(number), tuple(int(value) for value in values))
