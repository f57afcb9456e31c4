"""Dependencies of input files: the files that a pattern matches, and those that HDF5 files link to.

A master shows the frames of its data files by external links, virtual data sets or external storage; a mask may lie
behind a link as well. Steps use this list to refuse outputs that would overwrite an input.
"""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Iterable, Iterator
from contextlib import suppress
from os import PathLike
from pathlib import Path

import h5py

from crystint.errors import FileError
from crystint.io.containers import is_hdf5
from crystint.io.hdf5.files import open_hdf5
from crystint.io.names import expand

__all__ = ["files_behind", "files_read", "linked_by", "missing_sources"]

_BESIDE = {".refl": (".expt",)}
"""Suffix of a file, and of those beside it that are read with it where they are there."""
_PREFIXES = ("HDF5_EXT_PREFIX", "HDF5_VDS_PREFIX", "HDF5_EXTFILE_PREFIX")
"""Variables of the environment that name more folders in which HDF5 looks."""


def files_read(sources: Iterable[str | PathLike[str]]) -> list[Path]:
    """Every file that is read when `sources` are: patterns expanded, and with the files that HDF5 files link to.

    Files that do not exist are given as they are; nothing is opened but HDF5 files, of which only links are read.
    """
    files: dict[Path, None] = {}
    for source in sources:
        try:
            paths = expand(source)
        except FileError:
            continue  # nothing matches: whoever reads it will say so
        for path in paths:
            files |= dict.fromkeys([path, *linked_by(path)])
            for suffix in _BESIDE.get(path.suffix.lower(), ()):
                if path.with_suffix(suffix).exists():
                    files[path.with_suffix(suffix)] = None
    return list(files)


def linked_by(path: Path) -> list[Path]:
    """The other files that an HDF5 file shows, and those that they show; none for files of other kinds."""
    files: dict[Path, None] = {}
    waiting, visited = [path], set()
    while waiting:
        one = waiting.pop()
        real = os.path.realpath(one)
        if real in visited:
            continue
        visited.add(real)
        with suppress(OSError, RuntimeError, ValueError):  # damaged, or not there: the reader will say so
            if Path(one).is_file() and is_hdf5(one):
                with open_hdf5(one) as file:
                    linked = [place for name in _names(file) for place in _places(Path(one), name)]
                files |= dict.fromkeys(linked)
                waiting += linked
    return list(files)


def _names(file: h5py.File) -> Iterator[str]:
    """Patterns of the names of the files that are shown."""
    groups, visited = [file["/"]], set()
    while groups:
        group = groups.pop()
        for name in group:
            link = group.get(name, getlink=True)
            if isinstance(link, h5py.ExternalLink):
                yield glob.escape(link.filename)
                continue
            if isinstance(link, h5py.SoftLink):
                continue
            with suppress(OSError, KeyError, RuntimeError):
                item = group[name]
                address = h5py.h5o.get_info(item.id).addr
                if address in visited:
                    continue
                visited.add(address)
                if isinstance(item, h5py.Group):
                    groups.append(item)
                elif isinstance(item, h5py.Dataset):
                    yield from _shown(item)


def _shown(dataset: h5py.Dataset) -> Iterator[str]:
    """Patterns of the names of the files of which a data set is made."""
    if dataset.is_virtual:
        for name in dict.fromkeys(source.file_name for source in dataset.virtual_sources()):
            if name != ".":
                yield _series(name)
    for name, *_ in dataset.external or ():
        yield glob.escape(os.fsdecode(name))


def _series(name: str) -> str:
    """The pattern of a source of a virtual data set: ``%b`` counts the files of a series, ``%%`` is a per cent sign."""
    parts = re.split("(%%|%b)", name)
    return "".join({"%%": "%", "%b": "*"}.get(part, glob.escape(part)) for part in parts)


def _places(master: Path, pattern: str) -> list[Path]:
    """Every file that a master may mean by a name.

    HDF5 looks beside the master, beside the file that the master is a symbolic link to, where the environment says, and
    in the working folder, in an order that depends on the kind of link.
    """
    folders = [str(master.parent), str(Path(os.path.realpath(master)).parent)]
    for variable in _PREFIXES:
        folders += [part.replace("${ORIGIN}", folders[0]) for part in os.environ.get(variable, "").split(":") if part]
    candidates = [os.path.join(glob.escape(folder), name) for folder in folders for name in (pattern, _last(pattern))]
    matches = (Path(path) for candidate in (*candidates, pattern) for path in glob.glob(candidate))
    return [path for path in dict.fromkeys(matches) if path.exists()]


def _last(pattern: str) -> str:
    return pattern.rpartition("/")[2]


def files_behind(dataset: h5py.Dataset) -> list[Path]:
    """The file that a data set lies in, behind an external link too, and those that it is made of, however deep."""
    own = Path(dataset.file.filename)
    shown = [place for pattern in _shown(dataset) for place in _places(own, pattern)]
    return list(dict.fromkeys([own, *shown, *(path for place in shown for path in linked_by(place))]))


def missing_sources(dataset: h5py.Dataset) -> list[str]:
    """Names of files that a virtual data set shows and that are not there, series apart."""
    if not dataset.is_virtual:
        return []
    own = Path(dataset.file.filename)
    names = dict.fromkeys(source.file_name for source in dataset.virtual_sources())
    return [name for name in names if name != "." and "%b" not in name and not _places(own, _series(name))]
