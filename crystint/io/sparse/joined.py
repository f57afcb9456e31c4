"""Sparse files of parts of a run, joined to one file without unpacking a pixel.

Each list that grows with the frames becomes a virtual data set with one mapping per part: over the files of the parts,
or over their data sets copied into the joined file as they are packed (``/entry_0000/parts``). A chunk of HDF5 has a
fixed size, and the parts end within one: they cannot be put behind each other in one plain data set without packing
all of it again. Pointers, and what is small, are written anew.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from crystint.errors import FileError
from crystint.io.guard import guarded
from crystint.io.hdf5.files import group, open_hdf5, packed
from crystint.io.names import near
from crystint.io.sparse.layout import ENTRY, PEAK_GROUP
from crystint.model.peaks import PEAK_DTYPE

__all__ = ["JoinedLists"]

_COPIES = "parts"
_DATA, _OWN, _PEAKS = "sparse_frames", "crystint", PEAK_GROUP
_STATISTICS = ("count", "sem", "excess", "additive")
_LISTS = (
    *(f"{_DATA}/{name}" for name in ("index", "index_delta", "index_escape", "intensity")),
    *(f"{_DATA}/background_{name}" for name in ("avg", "std")),
    *(f"{_OWN}/{name}" for name in ("role_at", "role", "reason", *(f"background_{name}" for name in _STATISTICS))),
    *(f"{_PEAKS}/{name}" for name in ("peakTotalIntensity", "peakXPosRaw", "peakYPosRaw", "peakSNR")),
    *(f"{_PEAKS}/columns/{name}" for name in PEAK_DTYPE.names or () if name != "flags"),
)
_SMALL = (*(f"{_OWN}/{name}" for name in ("frame", "snr", "noise")), f"{_PEAKS}/nPeaks", f"{_PEAKS}/columns/flags")
_POINTERS = (f"{_DATA}/frame_ptr", f"{_OWN}/role_ptr", f"{_DATA}/escape_ptr")
_REASON, _PIXELS = f"{_OWN}/reason", f"{_DATA}/intensity"
"""Reasons are stored from the first part on that has others than 1."""


@dataclass(slots=True)
class _Held:
    """What a part holds."""

    path: Path
    frames: int
    shapes: dict[str, tuple[int, ...]]
    small: dict[str, NDArray[Any]]


@dataclass(eq=False)
class JoinedLists:
    """The lists of all parts of a sparse file."""

    held: list[_Held] = field(default_factory=list)
    _types: dict[str, tuple[Any, dict[str, Any]]] = field(default_factory=dict)
    """dtype and attributes of each list"""

    @classmethod
    def of(cls, paths: Sequence[Path]) -> JoinedLists:
        """Look at the parts, in their order.

        Raises
        ------
        FileError
            When one is damaged.
        """
        joined = cls()
        for path in paths:
            with _entry(path) as entry:
                joined._add(path, entry)
        return joined

    def _add(self, path: Path, entry: h5py.Group) -> None:
        shapes: dict[str, tuple[int, ...]] = {}
        for name in (*_LISTS, *_SMALL, *_POINTERS):
            stored = entry.get(name)
            if stored is not None:
                shapes[name] = stored.shape
                self._types.setdefault(name, (stored.dtype, dict(stored.attrs)))
        small = {name: entry[name][()] for name in (*_SMALL, *_POINTERS) if name in shapes}
        frames = len(small[_POINTERS[0]]) - 1
        for name, wanted in ((f"{_DATA}/background_avg", frames), (_PIXELS, int(small[_POINTERS[0]][-1]))):
            if shapes[name][0] != wanted:
                raise FileError(f"{path} is damaged: {name} has {shapes[name][0]} rows, expected {wanted}")
        self.held.append(_Held(path, frames, shapes, small))

    @property
    def frames(self) -> int:
        """Of all parts."""
        return sum(held.frames for held in self.held)

    @property
    def reasons(self) -> bool:
        """Whether pixels are kept for several reasons."""
        return _REASON in self._types

    def small(self, name: str) -> NDArray[Any]:
        """A short list: "crystint/snr", for instance."""
        return np.concatenate([held.small[name] for held in self.held if name in held.small])

    def write(self, entry: h5py.Group, target: Path, *, virtual: bool, **changed: NDArray[Any]) -> None:
        """Make the lists of a joined file.

        Parameters
        ----------
        entry : h5py.Group
            Its entry, which has the groups of `crystint.io.sparse.layout.root`.
        target : path
            Where the file will be.
        virtual : bool
            Show the files of the parts; else what they hold is copied.
        changed
            Short lists that are to be other than those of the parts, by the last part of their names.
        """
        names = _peak_groups(entry, self.held[0].path) if f"{_PEAKS}/nPeaks" in self._types else None
        sources = [near(held.path, target) if virtual else "." for held in self.held]
        places = [f"/{ENTRY}" if virtual else f"/{ENTRY}/{_COPIES}/{number:05d}" for number in range(len(self.held))]
        if not virtual:
            self._copy(entry, places)
        for name in _LISTS:
            if name in self._types and (names or not name.startswith(_PEAKS)):
                self._virtual(entry, name, sources, places)
        entry[_DATA]["errors"] = entry[_DATA]["background_std"]
        for name in _SMALL:
            if name in self._types:
                self._plain(entry, name, changed.get(name.rpartition("/")[2], self.small(name)))
        for name in _POINTERS:
            if name in self._types:
                counts = np.concatenate([np.diff(held.small[name].astype(np.int64)) for held in self.held])
                self._plain(entry, name, np.concatenate([[0], np.cumsum(counts)]).astype(np.uint64))

    def _copy(self, entry: h5py.Group, places: Sequence[str]) -> None:
        """The packed chunks of all lists."""
        for held, place in zip(self.held, places, strict=True):
            made = entry.require_group(place)
            with _entry(held.path) as source:
                for name in _LISTS:
                    if name in held.shapes:
                        made.require_group(name.rpartition("/")[0])
                        h5py.h5o.copy(source.id, name.encode(), made.id, name.encode())

    def _virtual(self, entry: h5py.Group, name: str, sources: Sequence[str], places: Sequence[str]) -> None:
        dtype, attributes = self._types[name]
        lengths = [self._length(held, name) for held in self.held]
        rest = np.max([held.shapes[name][1:] for held in self.held if name in held.shapes], axis=0)
        layout = h5py.VirtualLayout((sum(lengths), *map(int, rest)), dtype)
        start = 0
        for held, source, place, length in zip(self.held, sources, places, lengths, strict=True):
            shape = held.shapes.get(name)
            if length and shape is not None:
                layout[(slice(start, start + length), *(slice(0, size) for size in shape[1:]))] = h5py.VirtualSource(
                    source, f"{place}/{name}", shape
                )
            start += length
        made = entry.create_virtual_dataset(name, layout, fillvalue=1 if name == _REASON else 0)
        for key, value in attributes.items():
            made.attrs[key] = value

    @staticmethod
    def _length(held: _Held, name: str) -> int:
        return held.shapes.get(name, held.shapes[_PIXELS] if name == _REASON else (0,))[0]

    def _plain(self, entry: h5py.Group, name: str, values: NDArray[Any]) -> None:
        dtype, attributes = self._types[name]
        options = packed(parent=entry) | {"chunks": True} if len(values) else {}
        made = entry.create_dataset(name, data=values.astype(dtype, copy=False), **options)
        for key, value in attributes.items():
            made.attrs[key] = value


@contextmanager
def _entry(path: Path) -> Iterator[h5py.Group]:
    with guarded(path), open_hdf5(path) as file:
        yield file[ENTRY]


def _peak_groups(entry: h5py.Group, first: Path) -> bool:
    """Make the groups of peaks, as those of a part."""
    with _entry(first) as source:
        for name in (_PEAKS, f"{_PEAKS}/columns"):
            attributes = dict(source[name].attrs)
            made = group(entry, name, attributes.pop("NX_class"))
            for key, value in attributes.items():
                made.attrs[key] = value
    return True
