"""A scaling of convergent-beam data in one HDF5 file, and back; `crystint.io.cbc.scaling_file` has the layout."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from os import PathLike
from typing import Any

from crystint.cbc.merging.result import CBCRun, ReferenceIntensities
from crystint.cbc.scaling.projection import ProjectionMap
from crystint.cbc.table.setup import CBCSetup
from crystint.cbc.table.table import CBCTable
from crystint.cbc.table.table_files import read_table
from crystint.errors import FileError
from crystint.io.cbc.scaling_file import read_scaling, read_truth, write_scaling
from crystint.io.cbc.setup_file import has_setup, read_setup
from crystint.io.guard import reads_file
from crystint.io.hdf5.provenance import read_provenance

__all__ = ["read_run", "setup_in", "truth_in", "write_run", "write_simulation"]

_CLASSES: dict[str, type] = {"ProjectionMap": ProjectionMap, ReferenceIntensities.stored_name: ReferenceIntensities}
_OUTSIDE = ("table", "reference", "provenance")
"""Parts of a run that have a group of their own in the file."""


def write_run(
    path: str | PathLike[str], run: CBCRun, *, setup: CBCSetup | None = None, overwrite: bool = False
) -> None:
    """Everything of a run; `read_run` gives it back exactly. No dates: equal runs give equal files.

    Raises
    ------
    FileError
        When the file exists and `overwrite` is False, or cannot be written.
    """
    write_scaling(
        path,
        run.table,
        setup=setup,
        parts={entry.name: getattr(run, entry.name) for entry in fields(run) if entry.name not in _OUTSIDE},
        truth=run.reference,
        provenance=run.provenance,
        overwrite=overwrite,
    )


def write_simulation(
    path: str | PathLike[str],
    table: CBCTable,
    truth: ReferenceIntensities,
    *,
    setup: CBCSetup | None = None,
    provenance: Mapping[str, Any] | None = None,
    overwrite: bool = False,
) -> None:
    """A table, its geometry and its truth, in a file that `read_table`, `setup_in` and `truth_in` read.

    Raises
    ------
    FileError
        When the file exists and `overwrite` is False, or cannot be written.
    """
    write_scaling(path, table, setup=setup, truth=truth, provenance=provenance, overwrite=overwrite)


@reads_file
def read_run(path: str | PathLike[str]) -> CBCRun:
    """The run that `write_run` stored.

    Parameters
    ----------
    path : path
        What ``crystint cbc scale`` wrote.

    Returns
    -------
    CBCRun

    Raises
    ------
    FileError
        When the file is missing, damaged, or no scaling.

    Examples
    --------
    >>> import subprocess
    >>> import sys
    >>> from crystint import cbc
    >>> for step in (
    ...     "simulate -o table.h5 --frames 2 --rows 1000",
    ...     "scale table.h5 -o scaled.h5 --bandwidth 5e-3 -q",
    ... ):
    ...     command = [sys.executable, "-m", "crystint", "cbc", *step.split()]
    ...     _ = subprocess.run(command, check=True, capture_output=True)
    >>> run = cbc.read_run("scaled.h5")
    >>> run.q2.shape == (len(run.hkl),), len(run.maps.values)
    (True, 2)
    """
    parts = read_scaling(path, _CLASSES)
    names = {entry.name for entry in fields(CBCRun)}
    lacking = {"maps", "hkl", "q2", "sigma", "intercept", "trace", "halves", "rows"} - set(parts)
    if lacking:
        raise FileError(f"{path}: /entry/scaling has no {', '.join(sorted(lacking))}; the file is damaged")
    return CBCRun(
        table=read_table(path),
        reference=truth_in(path),
        provenance=read_provenance(path),
        **{name: value for name, value in parts.items() if name in names},
    )


@reads_file
def truth_in(path: str | PathLike[str]) -> ReferenceIntensities | None:
    """The truth of a simulated file; None for others.

    Raises
    ------
    FileError
        When it is damaged.
    """
    truth = read_truth(path, _CLASSES)
    if truth is None or isinstance(truth, ReferenceIntensities):
        return truth
    raise FileError(f"{path}: /entry/known is not what crystint writes there")


@reads_file
def setup_in(path: str | PathLike[str]) -> CBCSetup | None:
    """The geometry of a file; None when it has none.

    Raises
    ------
    FileError, GeometryError, ShapeError
        When it has one that is damaged or impossible.
    """
    return CBCSetup(**read_setup(path)) if has_setup(path) else None
