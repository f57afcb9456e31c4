"""Small helpers shared by the modules that write HDF5: create safely, describe what made the file, text and
links."""

from __future__ import annotations

import errno
import json
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from io import FileIO
from os import PathLike
from pathlib import Path
from typing import Any
from weakref import WeakValueDictionary

import h5py
import hdf5plugin
import numpy as np

from crystint import __version__
from crystint.errors import CrystintError, FileError, warn
from crystint.io.containers import is_hdf5
from crystint.io.hdf5.checked import CheckedFile
from crystint.io.hdf5.checksums import Digest, checksums_of, note_of
from crystint.io.interrupts import deferring, interrupts_deferred
from crystint.io.outputs import atomic_path, utf8

__all__ = [
    "GZIPPED",
    "LEVEL",
    "PACKED",
    "check_written",
    "create_hdf5",
    "digests_in",
    "group",
    "is_gzipped",
    "open_hdf5",
    "packed",
    "planes",
    "process",
    "put",
]


LEVEL = 7
"""Of Zstandard, for data that comes frame by frame: the lowest that packs pixel numbers as well as 9."""


GZIPPED: dict[str, Any] = {"shuffle": True, "compression": "gzip", "compression_opts": 6}
"""Arguments of `create_dataset` for a packing that every HDF5 library can read."""


def packed(level: int = LEVEL, parent: h5py.Group | None = None) -> dict[str, Any]:
    """Arguments of `create_dataset` for bytes of like weight stored together and then Zstandard.

    Parameters
    ----------
    level : int
        Of Zstandard.
    parent : h5py.Group, optional
        Where the data set is to be: gzip takes the place of Zstandard in a file for readers without plug-ins.
    """
    if parent is not None and is_gzipped(parent):
        return dict(GZIPPED)
    return {"shuffle": True, **hdf5plugin.Zstd(clevel=level)}


def is_gzipped(item: h5py.Dataset | h5py.Group) -> bool:
    """Whether the file of `create_hdf5` that has this item is to be readable without plug-ins."""
    target = _targets.get(h5py.h5f.get_name(item.id))
    return target is not None and target.gzipped


PACKED: dict[str, Any] = packed()
"""`packed` at that level."""


class _Target(FileIO):
    """The file that HDF5 writes into.

    HDF5 can crash, at once or when it closes the file, after writing failed: it is told that all went well. What went
    wrong, Ctrl-C too, is in `failure`, and nothing is written any more.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(path, "r+")
        self.failure: BaseException | None = None
        self.digests: dict[str, Digest] = {}
        """of data sets, by their paths, as far as they are known while the file is written"""
        self.gzipped = False

    def __repr__(self) -> str:
        """h5py takes it for the name of the file."""
        return str(id(self))

    @deferring
    def write(self, data: Any, /) -> int:
        """All of the bytes, or none."""
        rest = memoryview(data)
        size = len(rest)
        try:
            while len(rest) and self.failure is None:
                rest = rest[super().write(rest) :]
        except BaseException as error:
            self.failure = error
        return size

    @deferring
    def truncate(self, size: int | None = None, /) -> int:
        """As `write`."""
        try:
            if self.failure is None:
                super().truncate(size)
        except BaseException as error:
            self.failure = error
        return size or 0

    def check(self) -> None:
        """Raise what went wrong."""
        if self.failure is not None:
            raise self.failure


_targets: WeakValueDictionary[bytes, _Target] = WeakValueDictionary()
"""by their names"""


def check_written(item: h5py.Dataset | h5py.Group) -> None:
    """Raise OSError when the file of `create_hdf5` that has this item could not be written, such as on a full disk.

    HDF5 itself does not notice. `create_hdf5` asks at the end; ask before then where there is a lot to write.
    """
    target = _targets.get(h5py.h5f.get_name(item.id))
    if target is not None:
        target.check()


def digests_in(item: h5py.Dataset | h5py.Group) -> dict[str, Digest]:
    """Sums of the data sets of the file of `create_hdf5` that has this item, by their paths; to be added to."""
    target = _targets.get(h5py.h5f.get_name(item.id))
    return {} if target is None else target.digests


@contextmanager
def create_hdf5(
    path: str | PathLike[str], overwrite: bool, creator: str, *, checksums: bool = False, gzipped: bool = False
) -> Iterator[h5py.File]:
    """A new HDF5 file that appears at `path` when the block ends well, and not at all otherwise.

    Parameters
    ----------
    path, overwrite
        As `atomic_path`.
    creator : str
        Attribute of the file.
    checksums : bool
        End with a table of the SHA-256 of everything in it (`crystint.io.hdf5.checksums`), which `verify` checks.
    gzipped : bool
        What is packed in it is packed with gzip, for readers without plug-ins.

    Raises
    ------
    FileError
        As `atomic_path`; also when HDF5 cannot write (full disk).
    """
    with atomic_path(path, overwrite) as temporary, interrupts_deferred(), _Target(temporary) as target:
        _targets[repr(target).encode()] = target
        target.gzipped = gzipped
        try:
            with closing(h5py.File(target, "w")) as file, file:  # Ctrl-C can keep one of the two from closing it
                file.attrs["NX_class"] = "NXroot"
                file.attrs["creator"] = creator
                file.attrs["creator_version"] = __version__
                file.attrs["file_name"] = utf8(Path(path).name)
                file.attrs["HDF5_Version"] = h5py.version.hdf5_version
                yield file
                if checksums:
                    file.flush()
                    table = checksums_of(file, target.digests)
                    note = group(file, note_of(file), "NXnote")
                    put(note, "type", "application/json")
                    put(note, "data", table)
        except CrystintError:
            raise
        except Exception as error:
            target.check()
            if isinstance(error, RuntimeError):  # h5py's class for some failures of HDF5 itself
                raise OSError(str(error)) from error
            raise
        target.check()


def open_hdf5(path: str | PathLike[str]) -> CheckedFile:
    """Open an HDF5 file for reading; the only way in which crystint does. What is read of it is checked.

    One that another program is writing is read as far as it is written, where that program allows it (single writer,
    multiple readers: SWMR); a warning says so.

    Raises
    ------
    FileError
        When it is missing, being written, damaged or no HDF5.
    """
    if not Path(path).is_file():
        raise FileError(f"{path} does not exist")
    try:
        return CheckedFile(path, "r")
    except OSError as error:
        if not _being_written(error):
            raise _unopened(Path(path), error) from error
    try:
        file = CheckedFile(path, "r", swmr=True)
    except OSError as error:
        raise FileError(
            f"{path} is being written by another program, or one that ended early did not close it; try again when it "
            f"is closed, or `h5clear -s` a file that nothing writes any more ({error})"
        ) from error
    warn(f"{path} is being written: what is in it now is read")
    return file


def _being_written(error: OSError) -> bool:
    """Whether HDF5 refuses a file since another program has it open for writing: by a mark in it, or a lock."""
    text = str(error)
    locked = "lock file" in text and error.errno in (errno.EAGAIN, errno.EACCES)
    return locked or "already open for write" in text or "SWMR" in text


def _unopened(path: Path, error: OSError) -> FileError:
    """What is said of a file that HDF5 cannot open."""
    if not path.stat().st_size:
        return FileError(f"{path} is empty")
    other = "" if is_hdf5(path) else "not an HDF5 file, or "
    return FileError(f"{path} is {other}truncated or damaged ({error})")


def group(parent: h5py.Group, name: str, nx_class: str, **attributes: Any) -> h5py.Group:
    """A new group of a NeXus class."""
    made = parent.create_group(name)
    made.attrs["NX_class"] = nx_class
    for key, value in attributes.items():
        made.attrs[key] = value
    return made


def put(parent: h5py.Group, name: str, value: Any, units: str | None = None, **attributes: Any) -> h5py.Dataset:
    """A small dataset with its unit; text becomes variable-length UTF-8."""
    made = parent.create_dataset(name, data=value)
    if units is not None:
        made.attrs["units"] = units
    for key, attribute in attributes.items():
        made.attrs[key] = attribute
    return made


def process(parent: h5py.Group, name: str, configuration: Mapping[str, Any], made_by: Mapping[str, Any]) -> None:
    """A NXprocess group: the program and its version of `made_by`, and `configuration` as JSON text."""
    step = group(parent, name, "NXprocess")
    put(step, "program", made_by.get("program", "crystint"))
    put(step, "version", made_by.get("version", __version__))
    put(step, "sequence_index", np.int64(1))
    note = group(step, "configuration", "NXnote")
    put(note, "type", "text/json")
    put(note, "data", json.dumps(configuration, indent=2))


def planes(file: h5py.File) -> list[str]:
    """Every 2-D data set of numbers in the file."""
    names: list[str] = []
    file.visititems(lambda name, item: names.append("/" + name) if getattr(item, "ndim", 0) == 2 else None)
    return [name for name in names if file[name].dtype.kind in "biuf"]
