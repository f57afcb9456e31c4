"""HDF5 files, groups, data sets and attributes that are looked at before they are read.

HDF5 takes memory as a file claims it, and a virtual data set that shows itself ends the process. Whoever opens a file
with `crystint.io.hdf5.files.open_hdf5` gets these classes, which are those of h5py but for what is checked:

- the bytes that a read takes, against those that are stored;
- that a virtual data set does not show itself, directly or through others.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from itertools import takewhile
from math import prod
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from crystint.errors import FileError
from crystint.io.hdf5.heaps import check_heaps
from crystint.io.hdf5.source_names import SERIES, files_named, series_pattern, source_patterns
from crystint.io.limits import ANY_FILE, check_claim
from crystint.units import readable_size

__all__ = ["CheckedDataset", "CheckedFile", "CheckedGroup", "check_virtual", "stored_bytes"]

_DEEPEST = 16
"""Virtual data sets that may show one another; HDF5's own limit of links in a row."""
_LARGEST_ATTRIBUTE = 1 << 24
"""Bytes; attributes above 64 kB are rare."""
_SERIES_LENGTH = 1000
"""Data sets of a series in one file that are looked at."""


class _Holder:
    """What a file and its groups have in common: their members are checked classes too."""

    def __getitem__(self, name: Any) -> Any:
        return _checked(super().__getitem__(name))  # type: ignore[misc]

    def get(self, *arguments: Any, **options: Any) -> Any:
        """As h5py's."""
        return _checked(super().get(*arguments, **options))  # type: ignore[misc]


class _Member:
    """What groups and data sets have in common."""

    @property
    def file(self) -> CheckedFile:
        """The file that it is in."""
        return CheckedFile(self.id)  # type: ignore[attr-defined]

    @property
    def attrs(self) -> _Attributes:
        """Its attributes."""
        return _Attributes(self)


class _Attributes(h5py.AttributeManager):  # type: ignore[misc]
    """Attributes, each read when its size is right."""

    def __getitem__(self, name: str) -> Any:
        attribute = h5py.h5a.open(self._id, self._e(name))
        if attribute.dtype.hasobject:
            file = h5py.h5f.get_name(self._id).decode("utf-8", "surrogateescape")
            _check_texts(attribute.dtype, file, f"attribute {name}")
        claimed = prod(attribute.shape or ()) * attribute.dtype.itemsize
        if claimed > _LARGEST_ATTRIBUTE:
            owner = h5py.h5i.get_name(self._id).decode("utf-8", "replace")
            raise FileError(f"attribute {name} of {owner} claims {readable_size(claimed)}: the file is damaged")
        return super().__getitem__(name)


class CheckedGroup(_Holder, _Member, h5py.Group):  # type: ignore[misc]
    """A group."""


class CheckedFile(_Holder, _Member, h5py.File):  # type: ignore[misc]
    """An open file."""


class CheckedDataset(_Member, h5py.Dataset):  # type: ignore[misc]
    """A data set. Reading raises FileError where it claims more than is stored, or shows itself."""

    _followed = False

    def __getitem__(self, selection: Any, new_dtype: Any = None) -> Any:
        self._check(selection)
        return super().__getitem__(selection, new_dtype)

    def __iter__(self) -> Iterator[Any]:
        self._check(())
        return iter(super().__iter__())

    def read_direct(self, dest: Any, source_sel: Any = None, dest_sel: Any = None) -> None:
        """As h5py's."""
        self._check(() if source_sel is None else source_sel)
        super().read_direct(dest, source_sel, dest_sel)

    def _check(self, selection: Any) -> None:
        if not self._followed:
            check_virtual(self)
            self._followed = True
        if self.shape is None:
            return
        if self.dtype.hasobject:
            _check_texts(self.dtype, self.file.filename, self.name)
        size, chunk = self.dtype.itemsize, prod(self.chunks or ())
        if size * max(prod(self.shape), chunk) > ANY_FILE:
            claimed = size * max(_selected(self.shape, selection), chunk)
            check_claim(f"{self.file.filename}, {self.name},", claimed, stored_bytes(self))


def _check_texts(dtype: np.dtype[Any], file: str, place: str) -> None:
    """Raise unless what lies in heaps are texts, and HDF5 can walk through the heaps.

    Other lists of any length, and references, are nothing that crystint reads; a damaged type that says so ends HDF5.
    """
    fields = [dtype[name] for name in dtype.names or ()] or [dtype]
    if any(each.hasobject and not h5py.check_string_dtype(each.base) for each in fields):
        raise FileError(f"{file}, {place}, is of a type that crystint does not read ({dtype.metadata or dtype})")
    check_heaps(file)


def _checked(item: Any) -> Any:
    """An object of h5py in the class that checks; anything else as it is."""
    if type(item) is h5py.Group:
        return CheckedGroup(item.id)
    return CheckedDataset(item.id, readonly=True) if type(item) is h5py.Dataset else item


def _selected(shape: tuple[int, ...], selection: Any) -> int:
    """Elements that a selection holds; all of an axis where it is not a number, a slice or a list."""
    parts = selection if isinstance(selection, tuple) else (selection,)
    axes = [part for part in parts if not isinstance(part, str)]
    if Ellipsis in [part for part in axes if part is Ellipsis]:
        at = next(number for number, part in enumerate(axes) if part is Ellipsis)
        axes[at : at + 1] = [slice(None)] * (len(shape) - len(axes) + 1)
    count = 1
    for axis, length in enumerate(shape):
        part = axes[axis] if axis < len(axes) else slice(None)
        if isinstance(part, slice):
            count *= len(range(*part.indices(length)))
        elif hasattr(part, "__len__"):
            count *= min(length, len(part))
    return count


def stored_bytes(dataset: h5py.Dataset) -> int:
    """Bytes that a data set takes in the files that it lies in; at most their whole size."""
    behind = [Path(dataset.file.filename)]
    if dataset.is_virtual or dataset.external:
        behind += [path for pattern in source_patterns(dataset) for path in files_named(behind[0], pattern)]
        return sum(_file_size(path) for path in behind)
    return min(int(dataset.id.get_storage_size()), _file_size(behind[0]))


def _file_size(path: Path) -> int:
    with suppress(OSError):
        return os.stat(path).st_size
    return 0


# ---------------------------------------------------------------------------------------------- virtual data sets


def check_virtual(dataset: h5py.Dataset) -> None:
    """Raise unless following the sources of a virtual data set comes to an end.

    Raises
    ------
    FileError
        When it shows itself, directly or through others, or more than 16 stand behind one another.
    """
    _follow(dataset, (), set())


_Place = tuple[str, int]
"""Real path of a file, and address of an object in it."""


def _follow(dataset: h5py.Dataset, above: tuple[_Place, ...], done: set[_Place]) -> None:
    if not dataset.is_virtual:
        return
    file = dataset.file.filename
    here = (os.path.realpath(file), int(h5py.h5o.get_info(dataset.id).addr))
    if here in above:
        raise FileError(f"{file}, {dataset.name}, is a virtual data set that shows itself")
    if len(above) == _DEEPEST:
        raise FileError(f"{file}, {dataset.name}: more than {_DEEPEST} virtual data sets show one another")
    if here in done:
        return
    for name, member in dict.fromkeys((each.file_name, each.dset_name) for each in dataset.virtual_sources()):
        for path in [Path(file)] if name == "." else files_named(Path(file), series_pattern(name)):
            for source in _sources(path, member):
                _follow(source, (*above, here), done)
    done.add(here)


def _sources(path: Path, name: str) -> Iterator[h5py.Dataset]:
    """The data sets of a name, or of a series of names, in a file; none where HDF5 cannot open it either."""
    with ExitStack() as stack:
        try:
            file = stack.enter_context(CheckedFile(path, "r"))
            names = (
                [name.replace(SERIES, str(number)) for number in range(_SERIES_LENGTH)] if SERIES in name else [name]
            )
            members = [file.get(each) for each in takewhile(file.__contains__, names)]
        except (OSError, KeyError, RuntimeError):
            return
        yield from (member for member in members if isinstance(member, h5py.Dataset))
