"""The results of a series: a column for each thing that is known of its images, and what became of them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from crystint.io.frame_table import RESULTS
from crystint.io.hdf5.appendable import AppendableDataset
from crystint.io.hdf5.files import create_hdf5, group, process, put
from crystint.io.hdf5.provenance import plain
from crystint.io.opened_file import OpenedFile
from crystint.model.frame_table import Column

__all__ = ["ranges_of", "read_columns", "write_series_results"]

_ROWS = 4096
"""of a chunk, and read at a time"""


def ranges_of(numbers: NDArray[Any]) -> NDArray[np.int64]:
    """Numbers as ranges.

    Parameters
    ----------
    numbers : integer [n]
        Ascending, each once.

    Returns
    -------
    int64 [ranges, 2]
        First and last of each.

    Examples
    --------
    >>> import numpy as np
    >>> from crystint.io.series.results_file import ranges_of
    >>> ranges_of(np.array([3, 4, 5, 9])).tolist()
    [[3, 5], [9, 9]]
    """
    numbers = np.asarray(numbers, np.int64)
    if not len(numbers):
        return np.zeros((0, 2), np.int64)
    breaks = np.flatnonzero(np.diff(numbers) != 1)
    first = numbers[np.concatenate([[0], breaks + 1])]
    last = numbers[np.concatenate([breaks, [len(numbers) - 1]])]
    return np.stack([first, last], axis=1)


def read_columns(file: OpenedFile, columns: Sequence[Column], rows: NDArray[np.void]) -> None:
    """Put columns of the results of a series into rows, as far as the file has them.

    Parameters
    ----------
    file : OpenedFile
        That `write_series_results` wrote, or that links to it; of another file nothing is read.
    columns : sequence of Column
        Beside those of a table of frames, `crystint.io.frame_table.frame_table_in`.
    rows : structured array [images]
        With these columns.
    """
    held = None if file.hdf5 is None else file.hdf5.get(f"entry/{RESULTS}")
    for column in columns:
        stored = held.get(column.name) if isinstance(held, h5py.Group) else None
        if isinstance(stored, h5py.Dataset) and stored.shape == rows.shape and stored.dtype.kind in "iuf":
            rows[column.name] = stored[()]


def write_series_results(
    path: Path,
    columns: Sequence[Column],
    images: int,
    rows: Callable[[int, int], NDArray[np.void]],
    *,
    settings: Mapping[str, Mapping[str, Any]],
    books: Mapping[str, Any],
    ranges: Mapping[str, tuple[NDArray[np.int64], str]],
    log: Iterable[Mapping[str, Any]],
    provenance: Mapping[str, Any],
    attributes: Mapping[str, Any],
    more: Callable[[h5py.Group], None] | None = None,
) -> None:
    """Write it, in place of the one that is there.

    ``/entry/results/<column>`` [images], whose row is the number of the image; ``/entry/settings/<version>``;
    ``/entry/books``: the counts at the end, and which images are meant, as ranges; ``/entry/log``: what happened.

    Parameters
    ----------
    path : path
    columns : sequence of Column
    images : int
    rows : callable
        Of the first image and the last + 1: structured array of the columns.
    settings : mapping
        Version to JSON-able settings.
    books : mapping
        Name of a count to whole numbers, truth values, or None where it is not known.
    ranges : mapping
        Name to int64 [n, 2], first and last numbers of images, and what these are.
    log : iterable of mapping
        JSON-able, each with ``time``, ns since 1970-01-01 UTC, and ``name``.
    provenance : mapping
    attributes : mapping
        Of the entry.
    more : callable, optional
        Takes the entry, to put something else into it.

    Raises
    ------
    FileError
        When it cannot be written.
    """
    with create_hdf5(path, True, "crystint", checksums=True) as file:
        file.attrs["default"] = "entry"
        entry = group(file, "entry", "NXentry", default=RESULTS)
        for key, value in attributes.items():
            entry.attrs[key] = value
        _put_columns(entry, columns, images, rows)
        held = group(entry, "settings", "NXcollection")
        for version, values in settings.items():
            note = group(held, version, "NXnote")
            put(note, "type", "text/json")
            put(note, "data", json.dumps(plain(values), indent=1))
        counts = group(entry, "books", "NXcollection", unknown=-1)
        for name, count in books.items():
            if not isinstance(count, str):
                put(counts, name, np.int64(-1 if count is None else count))
        for name, (numbers, meaning) in ranges.items():
            put(counts, name, numbers, long_name=f"{meaning}: first and last number of each range")
        _put_log(entry, list(log))
        if more is not None:
            more(entry)
        process(entry, "process", provenance, provenance)


def _put_columns(
    entry: h5py.Group, columns: Sequence[Column], images: int, rows: Callable[[int, int], NDArray[np.void]]
) -> None:
    """As `crystint.io.frame_table.put_frame_table`, some rows at a time."""
    data = group(entry, RESULTS, "NXdata", signal="n_no_ice", axes="frame", no_value=-1)
    made = {}
    chunk = max(1, min(_ROWS, images))
    for column in columns:
        about: dict[str, Any] = {"long_name": column.meaning}
        about |= {"units": column.unit} if column.unit else {}
        about |= {"parts": ", ".join(column.parts)} if column.parts else {}
        shape = (len(column.parts),) if column.parts else ()
        made[column.name] = AppendableDataset(data, column.name, column.type, shape, chunk=chunk, **about)
    for first in range(0, images, _ROWS):
        some = rows(first, min(first + _ROWS, images))
        for column in columns:
            made[column.name].add(some[column.name])
    for each in made.values():
        each.flush()


def _put_log(entry: h5py.Group, log: Sequence[Mapping[str, Any]]) -> None:
    made = group(entry, "log", "NXcollection")
    put(made, "time", np.array([event.get("time", 0) for event in log], np.int64), "ns", start="1970-01-01T00:00:00Z")
    for name, texts in (
        ("name", [str(event.get("name", "")) for event in log]),
        ("data", [json.dumps(plain(event.get("data", {}))) for event in log]),
    ):
        made.create_dataset(name, data=np.array(texts, dtype=object), dtype=h5py.string_dtype())
