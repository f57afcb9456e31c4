"""Small helpers shared by the modules that write HDF5: create safely, describe what made the file, text and
links."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from io import BytesIO
from os import PathLike
from pathlib import Path
from typing import Any

import h5py
import hdf5plugin
import numpy as np

from crystint import __version__
from crystint.errors import CrystintError, FileError
from crystint.io.containers import container_of
from crystint.io.outputs import atomic_path

__all__ = ["LEVEL", "PACKED", "create_hdf5", "group", "open_hdf5", "packed", "planes", "process", "put"]


LEVEL = 7
"""Of Zstandard, for data that comes frame by frame: the lowest that packs pixel numbers as well as 9."""


def packed(level: int = LEVEL) -> dict[str, Any]:
    """Arguments of `create_dataset` for bytes of like weight stored together and then Zstandard."""
    return {"shuffle": True, **hdf5plugin.Zstd(clevel=level)}


PACKED: dict[str, Any] = packed()
"""`packed` at that level."""


@contextmanager
def create_hdf5(
    path: str | PathLike[str], overwrite: bool, creator: str, *, small: bool = False
) -> Iterator[h5py.File]:
    """A new HDF5 file that appears at `path` when the block ends well, and not at all otherwise.

    A `small` one is made in memory and written at once: HDF5 can crash when a full disk keeps it from closing a file.

    Raises
    ------
    FileError
        As `atomic_path`; also when HDF5 cannot write (full disk).
    """
    with atomic_path(path, overwrite) as temporary:
        memory = BytesIO()
        try:
            with h5py.File(memory if small else temporary, "w") as file:
                file.attrs["NX_class"] = "NXroot"
                file.attrs["creator"] = creator
                file.attrs["creator_version"] = __version__
                file.attrs["file_name"] = Path(path).name
                file.attrs["HDF5_Version"] = h5py.version.hdf5_version
                yield file
            if small:
                temporary.write_bytes(memory.getbuffer())
        except CrystintError:
            raise
        except RuntimeError as error:  # h5py's class for some failures of HDF5 itself
            raise OSError(str(error)) from error


def open_hdf5(path: str | PathLike[str]) -> h5py.File:
    """Open an HDF5 file for reading.

    Raises
    ------
    FileError
        When it is missing, damaged or no HDF5.
    """
    if not Path(path).is_file():
        raise FileError(f"{path} does not exist")
    try:
        return h5py.File(path, "r")
    except OSError as error:
        with Path(path).open("rb") as stream:
            start = stream.read(4096)
        if not start:
            raise FileError(f"{path} is empty") from error
        other = "" if container_of(start) == "hdf5" else "not an HDF5 file, or "
        raise FileError(f"{path} is {other}truncated or damaged ({error})") from error


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
