"""Tables of frames in files: as CSV, as HDF5, and within peak lists and sparse files."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from io import StringIO
from os import PathLike
from pathlib import Path
from typing import Any, TextIO

import h5py
import numpy as np
from numpy.typing import NDArray

from crystint.errors import DTypeError, FileError, SettingError
from crystint.io.guard import reads_file
from crystint.io.hdf5.files import create_hdf5, group, packed, process
from crystint.io.hdf5.provenance import provenance as made_by_program
from crystint.io.kinds import unexpected
from crystint.io.opened_file import OpenedFile
from crystint.io.outputs import atomic_path
from crystint.io.recognise import frame_table
from crystint.model.frame_table import (
    COLUMNS,
    FRAME_DTYPE,
    Column,
    FrameStatus,
    FrameTable,
    empty_frame_table,
    flat_columns,
    is_known,
)

__all__ = [
    "RESULTS",
    "frame_table_in",
    "json_rows",
    "json_table",
    "put_frame_table",
    "read_frame_table",
    "results_in",
    "write_frame_table",
]

RESULTS = "results"
"""name of the group that holds a table"""
PLACES = ("entry/results", "entry_1/results", "entry_0000/results")
"""where it stands: in files of its own and peak lists, in CXI, in sparse files"""
_STATUS = {status.value: status.name.lower() for status in FrameStatus}
_FEW = 256
"""rows that are not worth being packed"""
_AT_ONCE = 1024
"""rows that are turned into text together"""


def put_frame_table(entry: h5py.Group, rows: FrameTable) -> h5py.Group:
    """A NXdata group ``results`` with a data set per column and, as signal, the spots without ice over the frame."""
    data = group(entry, RESULTS, "NXdata", signal="n_no_ice", axes="frame", no_value=-1)
    for column in COLUMNS:
        values = np.ascontiguousarray(rows[column.name])
        made = data.create_dataset(column.name, data=values, **(packed() if len(rows) > _FEW else {}))
        if column.unit:
            made.attrs["units"] = column.unit
        made.attrs["long_name"] = column.meaning
        if column.parts:
            made.attrs["parts"] = ", ".join(column.parts)
    return data


def table_of_group(data: h5py.Group, path: str | PathLike[str]) -> FrameTable:
    """The table in a group that `put_frame_table` made; columns that it lacks hold nothing that is known.

    Raises
    ------
    FileError
        When the columns are not of one length, or no numbers.
    """
    frames = data.get("frame")
    if not isinstance(frames, h5py.Dataset) or frames.ndim != 1:
        raise FileError(f"{path}: {data.name} is no table of frames: it has no column `frame`")
    rows = empty_frame_table(len(frames))
    for column in COLUMNS:
        stored = data.get(column.name)
        if stored is None:
            continue
        shape = rows[column.name].shape
        if not isinstance(stored, h5py.Dataset) or stored.shape != shape or stored.dtype.kind not in "iuf":
            raise FileError(f"{path} is damaged: {data.name}/{column.name} is no column of {shape} numbers")
        rows[column.name] = stored[()]
    return rows


def write_frame_table(
    path: str | PathLike[str],
    rows: FrameTable,
    *,
    provenance: Mapping[str, Any] | None = None,
    overwrite: bool = False,
) -> None:
    """Write a table of frames; the suffix says how: .csv, or .h5 (.hdf5, .nxs).

    CSV has one line of names, with the unit in brackets, then a line per frame. What is not known is empty. A second
    file ``<name>.json`` has the provenance.

    Parameters
    ----------
    path : path
    rows : FrameTable
    provenance : mapping, optional
        From `crystint.provenance`; None = the program that runs.
    overwrite : bool
        Replace an existing file.

    Raises
    ------
    FileError
        When the file exists or cannot be written.
    SettingError, DTypeError
        For another suffix, or another array.

    Examples
    --------
    >>> import crystint
    >>> from crystint.model.frame_table import empty_frame_table
    >>> crystint.write_frame_table("frames.csv", empty_frame_table(3))
    >>> crystint.read_frame_table("frames.csv")["frame"].tolist()
    [0, 1, 2]
    """
    path = Path(path)
    if getattr(rows, "dtype", None) != FRAME_DTYPE:
        raise DTypeError("rows is no table of frames: expected an array of crystint.FRAME_DTYPE")
    made_by = made_by_program({}, []) if provenance is None else provenance
    suffix = path.suffix.lower()
    if suffix == ".csv":
        with atomic_path(path.with_name(path.name + ".json"), overwrite) as beside:
            notes = {"provenance": dict(made_by), "n_frames": len(rows), "missing": missing_of(rows)}
            beside.write_text(json.dumps(notes, indent=1), encoding="utf-8")
            with atomic_path(path, overwrite) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
                _write_csv(file, rows)
    elif suffix in (".h5", ".hdf5", ".nxs"):
        with create_hdf5(path, overwrite, "crystint") as made:
            made.attrs["default"] = "entry"
            entry = group(made, "entry", "NXentry", default=RESULTS)
            put_frame_table(entry, rows)
            process(entry, "process", made_by, made_by)
    else:
        raise SettingError(
            f"{path}: no table of frames has the suffix {suffix!r}; known are .csv and .h5 (.hdf5, .nxs)"
        )


def missing_of(rows: FrameTable) -> list[int]:
    """Numbers of the frames that could not be read."""
    return [int(number) for number in rows["frame"][rows["status"] == FrameStatus.MISSING]]


def _heading(name: str, column: Column) -> str:
    return f"{name} [{column.unit}]" if column.unit else name


def _write_csv(file: TextIO, rows: FrameTable) -> None:
    headings, columns = [], []
    for name, column, values in flat_columns(rows):
        headings.append(_heading(name, column))
        if column.name == "status":
            columns.append([_STATUS.get(int(value), str(value)) for value in values])
        else:
            told = is_known(values)
            columns.append([repr(value) if there else "" for value, there in zip(values.tolist(), told, strict=True)])
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(headings)
    writer.writerows(zip(*columns, strict=True))


def csv_text(rows: FrameTable) -> str:
    """The lines of a CSV file."""
    text = StringIO(newline="")
    _write_csv(text, rows)
    return text.getvalue()


def _read_csv(path: Path) -> FrameTable:
    with path.open(encoding="utf-8-sig", newline="") as file:
        lines = list(csv.reader(file))
    headings = {text.split(" [")[0].strip(): place for place, text in enumerate(lines[0])} if lines else {}
    if "frame" not in headings:
        raise FileError(f"{path} is no table of frames: its first line has no column `frame`")
    lines = [line for line in lines[1:] if line]
    rows = empty_frame_table(len(lines))
    codes = {name: str(value) for value, name in _STATUS.items()}
    for name, column, values in flat_columns(rows):
        place = headings.get(name)
        if place is None:
            continue
        for number, line in enumerate(lines):
            try:
                text = line[place].strip()
                if column.name == "status":
                    text = codes.get(text, text)
                if text:
                    values[number] = float(text) if column.type.startswith("f") else int(text)
            except (ValueError, IndexError, OverflowError) as error:
                raise FileError(f"{path} line {number + 2}: {name} cannot be read ({error})") from error
    return rows


def json_table(rows: FrameTable) -> dict[str, Iterator[list[Any]]]:
    """As JSON can hold it, for `write_json`: a list per column, of a few rows at a time; null = not known."""

    def blocks(name: str) -> Iterator[list[Any]]:
        return (_jsonable(rows[name][start : start + _AT_ONCE]) for start in range(0, len(rows), _AT_ONCE))

    return {column.name: blocks(column.name) for column in COLUMNS}


def json_rows(rows: FrameTable) -> Iterator[dict[str, Any]]:
    """A mapping per frame, without its number."""
    names = [column.name for column in COLUMNS if column.name != "frame"]
    for start in range(0, len(rows), _AT_ONCE):
        columns = [_jsonable(rows[name][start : start + _AT_ONCE]) for name in names]
        yield from (dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True))


def _jsonable(values: NDArray[Any]) -> list[Any]:
    told = is_known(values)
    if values.dtype.kind == "f":
        told &= np.isfinite(values)
    listed = values.astype(object)
    listed[~told] = None
    return list(listed.tolist())


def table_of_json(columns: Mapping[str, Sequence[Any]], path: str | PathLike[str]) -> FrameTable:
    """The table of what `json_table` gives, in whole lists.

    Raises
    ------
    FileError
        When a column is of another length, or holds no numbers.
    """
    try:
        rows = empty_frame_table(len(columns["frame"]))
        for column in COLUMNS:
            if column.name in columns:
                nothing = math.nan if column.type.startswith("f") else -1
                values = [_filled(value, nothing) for value in columns[column.name]]
                rows[column.name] = np.array(values).reshape(rows[column.name].shape)
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise FileError(f"{path} is damaged: the results of its frames cannot be read ({error!r})") from error
    return rows


def _filled(value: Any, nothing: float) -> Any:
    if isinstance(value, list):
        return [_filled(part, nothing) for part in value]
    return nothing if value is None else value


@reads_file
def read_frame_table(path: str | PathLike[str]) -> FrameTable:
    """Read a table of frames: one of its own (.csv, .h5), that of a peak list, or that of a sparse file.

    Parameters
    ----------
    path : path

    Returns
    -------
    FrameTable [frames]
        Structured array of `crystint.FRAME_DTYPE`.

    Raises
    ------
    FileError
        When the file is missing or damaged, or holds no such table.

    Examples
    --------
    >>> import crystint
    >>> data = crystint.simulate.simulate((100, 110), frames=2, background=5.0, peaks=8, intensity=900.0, seed=1)
    >>> with crystint.DenseWriter(
    ...     "run.h5", data.shape, data.dtype, geometry=data.geometry, mask=None, saturation=None, provenance={}
    ... ) as writer:
    ...     for frame in data:
    ...         writer.write(frame)
    >>> outcome = crystint.separation.find_peaks(["run.h5"], ["peaks.cxi"], {"rings": 30})
    >>> rows = crystint.read_frame_table("peaks.cxi")
    >>> len(rows), bool((rows["n_spots"] > 4).all())
    (2, True)
    """
    with OpenedFile(path) as file:
        rows = frame_table_in(file)
        if rows is None:
            lacking = "crystint peaks and crystint sparsify write one with every file; this one is older, or of others"
            raise unexpected(file, "table of frames", f"{path} holds no table of frames: {lacking}")
        return rows


def frame_table_in(file: OpenedFile) -> FrameTable | None:
    """The table in a file that is open; None = there is none."""
    path = file.path
    if file.hdf5 is not None:
        return results_in(file.hdf5, path)
    if frame_table(file):
        return _read_csv(path)
    if file.text.startswith('{"frame":') and '"n_peaks":' in file.text:
        return _of_lines(path)
    notes = path if path.suffix.lower() == ".json" else path.with_name(path.name + ".json")
    try:
        columns = json.loads(notes.read_text(encoding="utf-8")).get(RESULTS)
    except (OSError, ValueError, AttributeError):
        return None
    return table_of_json(columns, notes) if isinstance(columns, dict) else None


def results_in(file: h5py.File, path: str | PathLike[str]) -> FrameTable | None:
    """The table in an open HDF5 file; None = there is none."""
    for place in PLACES:
        data = file.get(place)
        if isinstance(data, h5py.Group) and "frame" in data:
            return table_of_group(data, path)
    return None


def _of_lines(path: Path) -> FrameTable | None:
    """The table in a peak list of JSON lines."""
    columns: dict[str, list[Any]] = {column.name: [] for column in COLUMNS}
    for number, text in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        if not text.strip():
            continue
        try:
            line = json.loads(text)
            if "n_spots" in line:  # joined spots
                continue
            results = line.get(RESULTS)
            if results is None:
                return None
            for name, values in columns.items():
                values.append(line["frame"] if name == "frame" else results[name])
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise FileError(f"{path} line {number} is not a frame of a peak list ({error!r})") from error
    return table_of_json(columns, path)
