"""Data frames that pandas stored in HDF5, read without pandas: what cbclib keeps its tables in.

Layouts (pandas' HDFStore, `pandas_type` of the group): "frame" (fixed) has blocks of like columns, ``block<i>_items``
with their names and ``block<i>_values`` [rows, columns]; "frame_table" has one data set ``table`` of records whose
fields ``values_block_<i>`` hold several columns, named in an attribute.
"""

from __future__ import annotations

import re
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from crystint.errors import FileError

__all__ = ["frame_columns", "is_frame"]

_NAME = re.compile(rb"^a?V(.+)$", re.MULTILINE)
"""A name in a list that was pickled as text (protocol 0). It is searched for, never unpickled."""


def is_frame(entry: h5py.Group) -> bool:
    """Whether pandas stored a frame in this group."""
    return "pandas_type" in entry.attrs


def frame_columns(entry: h5py.Group) -> dict[str, NDArray[Any]]:
    """Columns of the frame by name; its row labels are left out.

    Raises
    ------
    FileError
        When it is no frame, or of a layout that is not known.
    """
    kind = bytes(entry.attrs["pandas_type"]).decode() if "pandas_type" in entry.attrs else ""
    if kind == "frame":
        columns = _fixed(entry)
    elif kind == "frame_table":
        columns = _records(entry["table"])
    else:
        raise FileError(f"{entry.file.filename}: {entry.name} is a {kind!r} of pandas, expected a data frame")
    odd = [name for name, values in columns.items() if values.dtype.kind not in "biuf"]
    if odd:
        raise FileError(f"{entry.file.filename}: the column {odd[0]} is no numbers; drop it, or store the frame as CSV")
    return columns


def _fixed(entry: h5py.Group) -> dict[str, NDArray[Any]]:
    columns: dict[str, NDArray[Any]] = {}
    for block in range(int(entry.attrs["nblocks"])):
        names, values = entry[f"block{block}_items"][()], entry[f"block{block}_values"][()]
        if values.ndim != 2 or values.shape[1] != len(names):
            raise FileError(
                f"{entry.file.filename}: block {block} of {entry.name} is {values.shape}, expected {len(names)} columns"
            )
        for number, name in enumerate(names):
            columns[name.decode()] = np.ascontiguousarray(values[:, number])
    return {name.decode(): columns[name.decode()] for name in entry["axis0"][()]}


def _records(entry: h5py.Dataset) -> dict[str, NDArray[Any]]:
    records, columns = entry[()], {}
    for name in records.dtype.names:
        if name == "index":  # the labels of the rows, not cbclib's column
            continue
        if not name.startswith("values_block_"):
            columns[name] = np.ascontiguousarray(records[name])
            continue
        values = records[name]
        names = [each.decode() for each in _NAME.findall(bytes(entry.attrs[f"{name}_kind"]))]
        if values.ndim != 2 or values.shape[1] != len(names):
            raise FileError(
                f"{entry.file.filename}: {name} of {entry.name} is {values.shape}, expected {len(names)} columns"
            )
        columns |= {each: np.ascontiguousarray(values[:, number]) for number, each in enumerate(names)}
    return columns
