"""A scaling of convergent-beam data in one HDF5 file, and back.

/entry
    table, geometry, process    as `crystint.io.cbc.table_file` writes them: the file is a table as well
    scaling    NXcollection: maps, |q|^2, sigma, intercepts, trace, half sets and settings
    known      NXcollection: the truth of a simulation
"""

from __future__ import annotations

from collections.abc import Mapping
from os import PathLike
from typing import Any

import h5py

from crystint import __version__
from crystint.errors import FileError
from crystint.io.cbc.setup_file import Setup
from crystint.io.cbc.table_file import Table, put_entry
from crystint.io.containers import is_hdf5
from crystint.io.guard import reads_file
from crystint.io.hdf5.dataclass_tree import read_tree, write_tree
from crystint.io.hdf5.files import create_hdf5, group, open_hdf5, process

__all__ = ["read_scaling", "read_truth", "write_scaling"]

_UNITS = {"q2": "count", "sigma": "count", "intercept": "count", "halves": "count"}


def write_scaling(
    path: str | PathLike[str],
    table: Table,
    *,
    setup: Setup | None = None,
    parts: Mapping[str, Any] | None = None,
    truth: Any = None,
    provenance: Mapping[str, Any] | None = None,
    overwrite: bool = False,
) -> None:
    """A table with what belongs to it. No dates: equal contents give equal files.

    Parameters
    ----------
    table, setup
        See `crystint.io.cbc.table_file.write_table`.
    parts : mapping of name to arrays, dataclasses and plain values
        The scaling; none for a table that is not scaled.
    truth : dataclass, optional
    provenance : mapping, optional

    Raises
    ------
    FileError
        When the file exists and `overwrite` is False, or cannot be written.
    """
    with create_hdf5(path, overwrite, f"crystint {__version__}") as file:
        entry = put_entry(file, table, setup)
        if parts:
            made = group(entry, "scaling", "NXcollection")
            for name, value in parts.items():
                write_tree(made, name, value, units=_UNITS)
        if truth is not None:
            write_tree(entry, "known", truth, units=_UNITS)
        if provenance:
            process(entry, "process", provenance, provenance)


@reads_file
def read_scaling(path: str | PathLike[str], classes: Mapping[str, type]) -> dict[str, Any]:
    """The parts that `write_scaling` stored; `classes` of the dataclasses among them, by the names in the file.

    Raises
    ------
    FileError
        When the file is missing, damaged, or no scaling.
    """
    with open_hdf5(path) as file:
        scaling = file.get("entry/scaling")
        if not isinstance(scaling, h5py.Group):
            raise FileError(f"{path} holds no scaling; expected what `crystint cbc scale` wrote")
        return {name: read_tree(scaling[name], classes) for name in scaling}


@reads_file
def read_truth(path: str | PathLike[str], classes: Mapping[str, type]) -> Any:
    """The truth that `write_scaling` stored; None where the file has none, or is no HDF5.

    Raises
    ------
    FileError
        When it is damaged.
    """
    if not is_hdf5(path):
        return None
    with open_hdf5(path) as file:
        return read_tree(file["entry/known"], classes) if "entry/known" in file else None
