"""Columns of CBC tables in files: HDF5 (one data set per column) and CSV.

/entry (NXentry, attribute ``crystint_cbc`` = version of the layout)
    table      NXdata: a data set per column, with ``units`` and ``long_name``; other columns as they are;
               attribute ``columns`` = their order
    geometry   NXcollection, if it was given: see `crystint.io.cbc.setup_file`
    process    NXprocess, if it was given: provenance

Also read: groups of data sets under cbclib's names, tables of records, and data frames that pandas stored.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from os import PathLike
from pathlib import Path
from typing import Any, Protocol

import h5py
import numpy as np
from numpy.typing import NDArray

from crystint import __version__
from crystint.errors import FileError
from crystint.io.cbc.columns import MEANING
from crystint.io.cbc.setup_file import Setup, put_setup
from crystint.io.cbc.table_csv import read_csv, write_csv
from crystint.io.cbc.table_pandas import frame_columns, is_frame
from crystint.io.containers import is_hdf5
from crystint.io.guard import reads_file
from crystint.io.hdf5.files import create_hdf5, group, open_hdf5, packed, process
from crystint.io.kinds import unexpected

__all__ = ["CSV_ENDINGS", "HDF5_ENDINGS", "MARK", "VERSION", "Table", "put_entry", "read_columns", "write_table"]

VERSION = 1
HDF5_ENDINGS = (".h5", ".hdf5", ".hdf", ".nxs")
CSV_ENDINGS = (".csv",)
MARK = "crystint_cbc"
_PLACES = ("entry/table", "table", "data", "/")
_ROWS = 1 << 16
"""Rows of a chunk."""


class Table(Protocol):
    """Columns by name, in order."""

    def __len__(self) -> int: ...
    def columns(self) -> tuple[str, ...]: ...
    def items(self) -> Iterator[tuple[str, NDArray[Any]]]: ...


def write_table(
    path: str | PathLike[str],
    table: Table,
    *,
    setup: Setup | None = None,
    provenance: Mapping[str, Any] | None = None,
    overwrite: bool = False,
) -> None:
    """Write all columns of a table; .csv for text, .h5, .hdf5, .hdf or .nxs for HDF5. The file is whole or not there.

    Both hold every value exactly. CSV has no dtypes, so that columns of `extra` come back as int64, float64, bool or
    text; and neither geometry nor provenance.

    Parameters
    ----------
    path : path
    table : CBCTable
    setup : CBCSetup, optional
        Written beside the table; HDF5 only.
    provenance : mapping, optional
        HDF5 only.
    overwrite : bool
        Replace an existing file.

    Raises
    ------
    FileError
        For another ending, a file that exists when `overwrite` is False or cannot be written, or when CSV cannot hold
        what there is.

    Examples
    --------
    >>> from crystint import cbc
    >>> data = cbc.simulate_cbc(3, d_min=5.0, seed=1)
    >>> cbc.write_table("table.csv", data.table)
    >>> bool((cbc.read_table("table.csv").counts == data.table.counts).all())
    True
    """
    ending = Path(path).suffix.lower()
    if ending in CSV_ENDINGS:
        if setup is not None:
            raise FileError(f"{path}: a CSV file holds no geometry; write it as HDF5, or the setup on its own")
        write_csv(path, table.items(), overwrite)
    elif ending in HDF5_ENDINGS:
        with create_hdf5(path, overwrite, f"crystint {__version__}") as file:
            entry = put_entry(file, table, setup)
            if provenance is not None:
                process(entry, "process", provenance, provenance)
    else:
        raise FileError(f"{path}: unknown ending {ending!r}, expected {', '.join(CSV_ENDINGS + HDF5_ENDINGS)}")


def put_entry(file: h5py.File, table: Table, setup: Setup | None) -> h5py.Group:
    """The entry of a new file, with a table and, where it is known, the geometry."""
    file.attrs["default"] = "entry"
    entry = group(file, "entry", "NXentry", default="table", **{MARK: VERSION})
    _put_table(entry, table)
    if setup is not None:
        put_setup(entry, setup)
    return entry


@reads_file
def read_columns(path: str | PathLike[str], key: str | None = None) -> dict[str, NDArray[Any]]:
    """Columns of a table in HDF5 or CSV, under the names in the file; the content of the file says which it is.

    Parameters
    ----------
    path : path
    key : str, optional
        Group or data set of an HDF5 file; default the first of /entry/table, /table, /data and the root that has one.

    Raises
    ------
    FileError
        When the file is missing, damaged, cut short, or something else.
    """
    if not Path(path).is_file():
        raise FileError(f"{path} does not exist")
    columns = _hdf5(path, key) if is_hdf5(path) or Path(path).suffix.lower() in HDF5_ENDINGS else read_csv(path)
    for values in columns.values():
        values.flags.writeable = False
    return columns


def _put_table(entry: h5py.Group, table: Table) -> None:
    """Store a table as the group ``table`` of `entry`, which carries the attribute `MARK` = `VERSION`."""
    made = group(entry, "table", "NXdata", signal="counts", columns=list(table.columns()))
    for name, values in table.items():
        text = values.dtype.kind == "U"
        column = made.create_dataset(
            name,
            data=values.astype(object) if text else values,
            dtype=h5py.string_dtype() if text else None,
            chunks=(min(_ROWS, len(table)), *values.shape[1:]) if len(table) else None,
            **(packed(1) if len(table) else {}),
        )
        units, meaning = MEANING.get(name, ("", ""))
        if units:
            column.attrs["units"] = units
        if meaning:
            column.attrs["long_name"] = meaning


def _hdf5(path: str | PathLike[str], key: str | None) -> dict[str, NDArray[Any]]:
    with open_hdf5(path) as file:
        entry = file.get("entry")
        version = entry.attrs.get(MARK, 0) if isinstance(entry, h5py.Group) else 0
        if int(version) > VERSION:
            raise FileError(
                f"{path} has version {version} of the layout, this crystint knows {VERSION}: a newer one wrote it"
            )
        groups = _PLACES if key is None else (key,)
        columns = next((columns for name in groups if (columns := _columns(file.get(name)))), None)
    if columns is None:
        listed = ", ".join("/" + name.lstrip("/") for name in groups)
        reason = f"{path} has no table of streak pixels at {listed}; name its group with key"
        raise unexpected(path, "convergent-beam table", reason)
    return columns


def _columns(entry: Any) -> dict[str, NDArray[Any]]:
    """Columns of a group of data sets, a data set of records, or a frame of pandas; empty for anything else."""
    if isinstance(entry, h5py.Dataset) and entry.dtype.names:
        records = entry[()]
        return {name: np.ascontiguousarray(records[name]) for name in records.dtype.names}
    if not isinstance(entry, h5py.Group):
        return {}
    if is_frame(entry):
        return frame_columns(entry)
    datasets = {name: each for name, each in entry.items() if isinstance(each, h5py.Dataset) and each.ndim}
    if not {"x", "y"} <= set(datasets):
        return {}
    order = [name for name in entry.attrs.get("columns", ()) if name in datasets]  # HDF5 sorts by name
    return {name: _values(datasets[name]) for name in dict.fromkeys([*order, *datasets])}


def _values(entry: h5py.Dataset) -> NDArray[Any]:
    return np.array(entry.asstr()[()], dtype=str) if h5py.check_string_dtype(entry.dtype) else np.asarray(entry[()])
