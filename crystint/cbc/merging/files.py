"""A scaling of convergent-beam data in one HDF5 file, and back.

/entry
    table, geometry, process    as `crystint.cbc.table.table_files` writes them: the file is a table as well
    scaling    NXcollection: maps, |q|^2, sigma, intercepts, trace, half sets and settings
    known      NXcollection: what is so, of a simulation
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from os import PathLike
from typing import Any

import h5py

from crystint import __version__
from crystint.cbc.merging.result import CBCRun, Known
from crystint.cbc.scaling.projection import ProjectionMap
from crystint.cbc.table.setup import CBCSetup
from crystint.cbc.table.setup_files import read_setup
from crystint.cbc.table.table import CBCTable
from crystint.cbc.table.table_files import put_entry, read_table
from crystint.errors import FileError
from crystint.io.hdf5.dataclass_tree import read_tree, write_tree
from crystint.io.hdf5.files import create_hdf5, group, open_hdf5, process
from crystint.io.hdf5.provenance import read_provenance

__all__ = ["read_known", "read_run", "setup_in", "write_run", "write_simulation"]

_CLASSES: dict[str, type] = {"ProjectionMap": ProjectionMap, "Known": Known}
_OUTSIDE = ("table", "known", "provenance")
"""Parts of a run that have a place of their own in the file."""
_UNITS = {"q2": "count", "sigma": "count", "intercept": "count", "halves": "count"}


def write_run(
    path: str | PathLike[str], run: CBCRun, *, setup: CBCSetup | None = None, overwrite: bool = False
) -> None:
    """Everything of a run; `read_run` gives it back exactly. No dates: equal runs give equal files.

    Raises
    ------
    FileError
        When the file exists and `overwrite` is False, or cannot be written.
    """
    parts = {entry.name: getattr(run, entry.name) for entry in fields(run) if entry.name not in _OUTSIDE}
    _write(path, run.table, setup, run.known, run.provenance, parts, overwrite)


def write_simulation(
    path: str | PathLike[str],
    table: CBCTable,
    known: Known,
    *,
    setup: CBCSetup | None = None,
    provenance: Mapping[str, Any] | None = None,
    overwrite: bool = False,
) -> None:
    """A table, its geometry and what is so, in a file that `read_table`, `setup_in` and `read_known` read.

    Raises
    ------
    FileError
        When the file exists and `overwrite` is False, or cannot be written.
    """
    _write(path, table, setup, known, provenance or {}, {}, overwrite)


def _write(
    path: str | PathLike[str],
    table: CBCTable,
    setup: CBCSetup | None,
    known: Known | None,
    provenance: Mapping[str, Any],
    parts: Mapping[str, Any],
    overwrite: bool,
) -> None:
    with create_hdf5(path, overwrite, f"crystint {__version__}") as file:
        entry = put_entry(file, table, setup)
        if parts:
            made = group(entry, "scaling", "NXcollection")
            for name, value in parts.items():
                write_tree(made, name, value, units=_UNITS)
        if known is not None:
            write_tree(entry, "known", known, units=_UNITS)
        if provenance:
            process(entry, "process", provenance, provenance)


def read_run(path: str | PathLike[str]) -> CBCRun:
    """The run that `write_run` stored.

    Raises
    ------
    FileError
        When the file is missing, damaged, or no scaling.
    """
    with open_hdf5(path) as file:
        made = file.get("entry/scaling")
        if not isinstance(made, h5py.Group):
            raise FileError(f"{path} holds no scaling; expected what `crystint cbc scale` wrote")
        try:
            parts = {name: read_tree(made[name], _CLASSES) for name in made}
        except (OSError, RuntimeError, ValueError, KeyError) as error:
            raise error if isinstance(error, FileError) else FileError(f"{path}: damaged ({error})") from error
    known = {entry.name for entry in fields(CBCRun)}
    lacking = {"maps", "hkl", "q2", "sigma", "intercept", "trace", "halves", "rows"} - set(parts)
    if lacking:
        raise FileError(f"{path}: /entry/scaling has no {', '.join(sorted(lacking))}; the file is damaged")
    return CBCRun(
        table=read_table(path),
        known=read_known(path),
        provenance=read_provenance(path),
        **{name: value for name, value in parts.items() if name in known},
    )


def read_known(path: str | PathLike[str]) -> Known | None:
    """What is so, of a simulated file; None for others.

    Raises
    ------
    FileError
        When it is damaged.
    """
    if not h5py.is_hdf5(path):
        return None
    with open_hdf5(path) as file:
        if "entry/known" not in file:
            return None
        found = read_tree(file["entry/known"], _CLASSES)
    if not isinstance(found, Known):
        raise FileError(f"{path}: /entry/known is not what crystint writes there")
    return found


def setup_in(path: str | PathLike[str]) -> CBCSetup | None:
    """The geometry of a file; None when it has none.

    Raises
    ------
    FileError, GeometryError, ShapeError
        When it has one that is damaged or impossible.
    """
    if not h5py.is_hdf5(path):
        return None
    with open_hdf5(path) as file:
        if not any(isinstance(file.get(place), h5py.Group) for place in ("entry/geometry", "geometry", "setup")):
            return None
    return CBCSetup(**read_setup(path))
