"""The names by which HDF5 files refer to others, and the files that are meant."""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Iterator
from pathlib import Path

import h5py

__all__ = ["SERIES", "files_named", "series_pattern", "source_patterns"]

SERIES = "%b"
"""In the names of sources of a virtual data set: counts the files, or the data sets, of a series."""
_PREFIXES = ("HDF5_EXT_PREFIX", "HDF5_VDS_PREFIX", "HDF5_EXTFILE_PREFIX")
"""Variables of the environment that name more folders in which HDF5 looks."""


def source_patterns(dataset: h5py.Dataset) -> Iterator[str]:
    """Patterns of the names of the files of which a data set is made."""
    if dataset.is_virtual:
        for name in dict.fromkeys(source.file_name for source in dataset.virtual_sources()):
            if name != ".":
                yield series_pattern(name)
    for name, *_ in dataset.external or ():
        yield glob.escape(os.fsdecode(name))


def series_pattern(name: str) -> str:
    """The pattern of a source of a virtual data set: ``%b`` counts the files of a series, ``%%`` is a per cent sign."""
    parts = re.split(f"(%%|{SERIES})", name)
    return "".join({"%%": "%", SERIES: "*"}.get(part, glob.escape(part)) for part in parts)


def files_named(master: Path, pattern: str) -> list[Path]:
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
