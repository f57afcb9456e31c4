"""Cheetah's tables of peaks: a row per frame, and as many columns as the fullest frame has peaks.

One frame of ice or of a shutter's fault makes all rows as wide as it is. The tables are in narrow chunks, and those
that hold no peak are neither written, nor stored, nor read: what one full frame costs does not depend on the others.
"""

from __future__ import annotations

from collections.abc import Mapping
from os import PathLike

import h5py
import numpy as np
from numpy.typing import NDArray

from crystint.errors import FileError, warn
from crystint.io.hdf5.checked import stored_bytes
from crystint.io.limits import check_claim
from crystint.model.peaks import PeakList, unknown_peaks

__all__ = ["ROWS", "WIDE", "peaks_of_tables", "put_rows"]

ROWS = 256
"""Frames per chunk of a table, and that are read together."""
WIDE = 64
"""Peaks of a frame per chunk of a table."""
_AT_ONCE = 1 << 20
"""Places of a table that are read together."""


def put_rows(table: h5py.Dataset, start: int, counts: NDArray[np.integer], values: NDArray[np.floating]) -> None:
    """Fill rows of a table; behind the last peak of a row they are zeros, or stay what was never written.

    Parameters
    ----------
    table : [frames, at least the most of `counts`]
    start : int
        The first of the rows.
    counts : int [rows]
    values : float [sum of counts]
        Those of one row behind those of the other.
    """
    row = np.repeat(np.arange(len(counts)), counts)
    place = np.arange(len(values)) - np.repeat(np.cumsum(counts) - counts, counts)
    wide = table.chunks[1]
    for left in range(0, int(counts.max(initial=0)), wide):
        right = min(left + wide, table.shape[1])
        here = (place >= left) & (place < right)
        block = np.zeros((len(counts), right - left), table.dtype)
        block[row[here], place[here] - left] = values[here]
        table[start : start + len(counts), left:right] = block


def peaks_of_tables(
    result: h5py.Group, columns: Mapping[str, str], path: str | PathLike[str], frames: slice = slice(None)
) -> PeakList:
    """The peaks in Cheetah's tables of (frames, most peaks in a frame), of which nPeaks tells the filled places.

    Programs count the peaks that were there, also where the table had no room for all of them: those it has are
    returned, with a warning.

    Parameters
    ----------
    columns : mapping of the name in the file to the column
    frames : slice
        That are read; all where it is not given.

    Raises
    ------
    FileError
        When the tables are not of one shape with a row per frame.
    """
    counts = np.asarray(result["nPeaks"][()]).reshape(-1).astype(np.int64)
    tables = {name: result[name] for name in columns if isinstance(result.get(name), h5py.Dataset)}
    shapes: set[tuple[int, ...]] = {table.shape for table in tables.values()}
    shape: tuple[int, ...] = next(iter(shapes), ())
    if len(shapes) != 1 or len(shape) != 2 or counts.shape != shape[:1] or counts.min(initial=0) < 0:
        listed = ", ".join(map(str, sorted(shapes, key=str)))
        raise FileError(
            f"{path}: {result.name} has nPeaks of shape {counts.shape} and tables of {listed}, expected a count, 0 or "
            "more, and a row of each table for each frame"
        )
    numbers = np.arange(len(counts))[frames]
    counts = counts[frames]
    cut = np.flatnonzero(counts > shape[1])
    if len(cut):
        lost = int((counts[cut] - shape[1]).sum())
        warn(
            f"{path}: nPeaks counts more peaks than the tables' {shape[1]} columns have in {len(cut)} frames, "
            f"the first of them frame {numbers[cut[0]]}: {lost} peaks are not in the file"
        )
        counts = np.minimum(counts, shape[1])
    for table in tables.values():
        check_claim(f"{path}, {table.name}", 8 * int(counts.sum()), stored_bytes(table))
    peaks = unknown_peaks(int(counts.sum()))
    peaks["frame"] = np.repeat(numbers, counts)
    rows = range(shape[0])[frames]
    start = at = 0
    while start < len(rows):
        some = counts[start : start + ROWS]
        some = some[: max(1, _AT_ONCE // max(1, int(some.max())))]
        here = rows[start : start + len(some)]
        wide, more = int(some.max()), int(some.sum())
        filled = np.arange(wide) < some[:, None]
        for name, table in tables.items() if more else ():
            peaks[columns[name]][at : at + more] = table[here.start : here.stop : here.step, :wide][filled]
        start, at = start + len(some), at + more
    peaks["slow"] += 0.5
    peaks["fast"] += 0.5
    return peaks
