"""What a sparse file spends its bytes on: what is there once, and what grows with the frames."""

from __future__ import annotations

from dataclasses import dataclass
from os import PathLike
from pathlib import Path

import h5py
import numpy as np

from crystint.io.guard import reads_file
from crystint.io.hdf5.files import open_hdf5
from crystint.io.sparse.layout import ENTRY
from crystint.io.sparse.maps import MAP_NAMES, SHARED

__all__ = ["FileParts", "file_parts"]

_PER_NODE = 32
"""Chunks that a full node of HDF5's index keeps when it is split: chunks that come in order leave nodes half full."""


def _node(axes: int) -> int:
    """Bytes of a node of HDF5's index of chunks (version 1 B-tree, HDF5 File Format Specification, III.A.1)."""
    return 24 + 64 * 8 + 65 * (8 + 8 * (axes + 1))


@dataclass(frozen=True, slots=True)
class _Growing:
    """A list that grows with the frames."""

    stored: int
    chunks: int
    axes: int


@dataclass(frozen=True, slots=True)
class FileParts:
    """Bytes of a sparse file."""

    size: int
    """of the file"""
    maps: int
    """of the detector maps, also where they are in another file"""
    shared: bool
    """whether they are"""
    lists: tuple[_Growing, ...]
    pixels: tuple[int, ...]
    """that are stored of each frame"""

    @property
    def growing(self) -> int:
        """Bytes of the lists that grow with the frames."""
        return sum(each.stored for each in self.lists)

    @property
    def fixed(self) -> int:
        """The others."""
        return self.size - self.growing

    def at(self, times: float) -> int:
        """Size of a file with that many times the frames, which are like these."""
        index = 0.0
        for each in self.lists:
            nodes = max(0.0, each.chunks * times / _PER_NODE - 1.0) - max(0.0, each.chunks / _PER_NODE - 1.0)
            index += max(0.0, nodes) * _node(each.axes)
        return round(self.fixed + times * self.growing + index)


@reads_file
def file_parts(path: str | PathLike[str]) -> FileParts:
    """What a sparse file of crystint is made of.

    Raises
    ------
    FileError
        When it cannot be read.
    """
    lists: dict[int, _Growing] = {}
    maps = 0
    with open_hdf5(path) as file:
        data, own = file[ENTRY]["sparse_frames"], file[ENTRY]["crystint"]
        maps = sum(group[name].id.get_storage_size() for group in (data, own) for name in MAP_NAMES if name in group)

        pixels = tuple(np.diff(data["frame_ptr"][()].astype(np.int64)).tolist())

        def look(name: str, item: h5py.Group | h5py.Dataset) -> None:
            if not isinstance(item, h5py.Dataset):
                return
            rows = bool(pixels) and item.shape[:1] == (len(pixels),) and name.rpartition("/")[2] not in MAP_NAMES
            if item.chunks is not None and (rows or None in item.maxshape):
                address = h5py.h5o.get_info(item.id).addr
                lists[address] = _Growing(item.id.get_storage_size(), item.id.get_num_chunks(), item.ndim)
            elif rows:
                lists[h5py.h5o.get_info(item.id).addr] = _Growing(item.id.get_storage_size(), 0, item.ndim)

        file[ENTRY].visititems(look)
        return FileParts(Path(path).stat().st_size, maps, SHARED in own.attrs, tuple(lists.values()), pixels)
