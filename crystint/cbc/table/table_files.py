"""CBC tables in files: HDF5 (one data set per column) and CSV; `crystint.io.cbc.table_file` has the layouts."""

from __future__ import annotations

from os import PathLike

from crystint.cbc.table.table import CBCTable
from crystint.errors import CrystintError
from crystint.io.cbc.table_file import read_columns, write_table
from crystint.io.guard import reads_file

__all__ = ["read_table", "write_table"]


@reads_file
def read_table(path: str | PathLike[str], key: str | None = None, *, arrange: bool = False) -> CBCTable:
    """Read a table from HDF5 or CSV; the content of the file says which.

    Parameters
    ----------
    path : path
    key : str, optional
        Group or data set of an HDF5 file; default the first of /entry/table, /table, /data and the root that has one.
    arrange : bool
        See `CBCTable.from_columns`.

    Returns
    -------
    CBCTable

    Raises
    ------
    FileError
        When the file is missing, damaged, cut short, or something else.
    SettingError, DTypeError, ShapeError
        As `CBCTable.from_columns`, with the name of the file.

    Examples
    --------
    >>> from crystint import cbc
    >>> data = cbc.simulate_cbc(3, d_min=5.0, seed=1)
    >>> cbc.write_table("table.h5", data.table)
    >>> len(cbc.read_table("table.h5")) == len(data.table)
    True
    """
    columns = read_columns(path, key)
    try:
        return CBCTable.from_columns(columns, arrange=arrange)
    except CrystintError as error:
        raise type(error)(f"{path}: {error}") from error
