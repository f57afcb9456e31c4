"""Dependencies of input files: the files that a pattern matches, and those that HDF5 files link to.

A master shows the frames of its data files by external links, virtual data sets or external storage; a mask may lie
behind a link as well. Steps use this list to refuse outputs that would overwrite an input.
"""

from __future__ import annotations

import glob
import os
from collections.abc import Iterable, Iterator
from contextlib import suppress
from os import PathLike, fspath
from pathlib import Path

import h5py

__all__ = ["files_read", "linked_by"]

_BESIDE = {".refl": (".expt",)}
"""Suffix of a file, and of those beside it that are read with it where they are there."""


def files_read(sources: Iterable[str | PathLike[str]]) -> list[Path]:
    """Every file that is read when `sources` are: patterns expanded, and with the files that HDF5 files link to.

    Files that do not exist are given as they are; nothing is opened but HDF5 files, of which only links are read.
    """
    files: dict[Path, None] = {}
    for source in sources:
        name = fspath(source)
        pattern = glob.has_magic(name) and not Path(name).exists()
        for path in map(Path, glob.glob(name, recursive=True) if pattern else [name]):
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
            if Path(one).is_file() and h5py.is_hdf5(one):
                with h5py.File(one, "r") as file:
                    linked = [place for name in _names(file) for place in _places(Path(one), name)]
                files |= dict.fromkeys(linked)
                waiting += linked
    return list(files)


def _names(file: h5py.File) -> Iterator[str]:
    """Names of the files that are shown, as they stand in the file."""
    groups, visited = [file["/"]], set()
    while groups:
        group = groups.pop()
        for name in group:
            link = group.get(name, getlink=True)
            if isinstance(link, h5py.ExternalLink):
                yield link.filename
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
    if dataset.is_virtual:
        yield from dict.fromkeys(source.file_name for source in dataset.virtual_sources() if source.file_name != ".")
    if dataset.external:
        yield from (name if isinstance(name, str) else os.fsdecode(name) for name, *_ in dataset.external)


def _places(master: Path, name: str) -> list[Path]:
    """Where a file that a master names may be: beside it, as HDF5 looks for it. ``%b`` counts the files of a series."""
    name = name.replace("%b", "*")
    for place in (master.parent / name, master.parent / Path(name).name, Path(name)):
        if "*" in name:
            matches = [Path(path) for path in glob.glob(fspath(place))]
            if matches:
                return matches
        elif place.exists():
            return [place]
    return []
