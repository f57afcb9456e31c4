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
from crystint.io.guard import guarded
from crystint.io.hdf5.files import open_hdf5
from crystint.io.hdf5.source_names import SERIES, files_named, series_pattern, source_patterns
from crystint.io.names import expand

__all__ = ["files_behind", "files_read", "linked_by", "master_of", "missing_sources", "source_files"]

_BESIDE = {".refl": (".expt",)}
"""Suffix of a file, and of those beside it that are read with it where they are there."""


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
        with suppress(FileError), guarded(one):  # damaged, or not there: the reader will say so
            if Path(one).is_file() and is_hdf5(one):
                with open_hdf5(one) as file:
                    linked = [place for name in _names(file) for place in files_named(Path(one), name)]
                files |= dict.fromkeys(linked)
                waiting += linked
    return list(files)


def master_of(path: str | PathLike[str]) -> Path | None:
    """The master beside a data file that shows its frames; None when there is none.

    Names are those of DECTRIS: run_data_000001.h5 and run_master.h5, or run.nxs as a program of NeXus writes it.
    """
    own = Path(path)
    run = re.fullmatch(r"(.+)_data_\d+", own.stem)
    if run is None or not own.is_file():
        return None
    for name in (f"{run[1]}_master{own.suffix}", f"{run[1]}_master.h5", f"{run[1]}.nxs"):
        master = own.with_name(name)
        if master.is_file() and os.path.realpath(own) in map(os.path.realpath, linked_by(master)):
            return master
    return None


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
                    yield from source_patterns(item)


def files_behind(dataset: h5py.Dataset) -> list[Path]:
    """The file that a data set lies in, behind an external link too, and those that it is made of, however deep."""
    own = Path(dataset.file.filename)
    shown = [place for pattern in source_patterns(dataset) for place in files_named(own, pattern)]
    return list(dict.fromkeys([own, *shown, *(path for place in shown for path in linked_by(place))]))


def source_files(master: Path, name: str) -> list[Path]:
    """The files that a file may mean by the name of a source of a virtual data set; none when there is no such file."""
    return files_named(master, series_pattern(name))


def missing_sources(dataset: h5py.Dataset) -> list[str]:
    """Names of files that a virtual data set shows and that are not there, series apart."""
    if not dataset.is_virtual:
        return []
    own = Path(dataset.file.filename)
    names = dict.fromkeys(source.file_name for source in dataset.virtual_sources())
    return [name for name in names if name != "." and SERIES not in name and not source_files(own, name)]
