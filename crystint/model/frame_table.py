"""The table of a run: one row per frame, named columns, and what each of them means."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum
from itertools import pairwise
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from crystint.model.peaks import HIT, ICE_D, PeakFlag, PeakList

if TYPE_CHECKING:
    from crystint.model.scan import Scan

__all__ = [
    "BACKGROUND_D",
    "COLUMNS",
    "FRAME_DTYPE",
    "LOW_D",
    "SHELL_D",
    "Column",
    "FrameStatus",
    "FrameTable",
    "count_spots",
    "empty_frame_table",
    "flat_columns",
    "is_known",
    "put_scan",
]

FrameTable: TypeAlias = NDArray[np.void]
"""Structured array of `FRAME_DTYPE`, a row per frame."""

LOW_D = 4.0
"""angstrom: spots of coarser spacings are of low resolution"""
BACKGROUND_D = (3.0, 5.0)
"""angstrom: where the background of a frame is told"""
SHELL_D = (np.inf, 10.0, 6.0, 4.0, 3.0, 2.5, 2.0, 1.5, 0.0)
"""angstrom: edges of the resolution shells, the same for all runs, so that tables can be compared and added"""


_SHELL_EDGES = np.array(SHELL_D[::-1])


class FrameStatus(IntEnum):
    """What became of a frame.

    Examples
    --------
    >>> from crystint.model.frame_table import FrameStatus
    >>> FrameStatus(2).name
    'VETOED'
    """

    OK = 0
    """it was read, and nothing was left out"""
    MISSING = 1
    """it could not be read: nothing in its row is known"""
    VETOED = 2
    """it is no hit, and its peaks or pixels were left out for that; its row tells what was found"""
    SKIPPED = 3
    """it came, but was not looked at, since more came than could be; online alone"""
    FAILED = 4
    """it came, but could not be unpacked or did not fit; online alone, files say MISSING of such frames"""


@dataclass(frozen=True, slots=True)
class Column:
    """A column of the table."""

    name: str
    type: str
    """of NumPy, such as "i4" """
    unit: str
    meaning: str
    parts: tuple[str, ...] = ()
    """where a row has several numbers: the names of these"""


def _shell(high: float, low: float) -> str:
    return f"{high:g}-{low:g}"


COLUMNS = (
    Column("frame", "i8", "", "number of the frame in its sequence, from 0"),
    Column(
        "status", "u1", "", "0 ok, 1 missing: could not be read, 2 vetoed: no hit, so its signal was left out, "
        "3 skipped and 4 failed: of a stream",
    ),
    Column("time", "f8", "s", "begin of the exposure, since 1970-01-01: of UTC, or of the clock that the file has"),
    Column("angle", "f8", "deg", "angle of the scan axis at the begin of the exposure"),
    Column("hit", "i1", "", "1 = at least as many spots without ice as a hit needs, 0 = fewer"),
    Column("score", "f8", "", "sum of ln(1 + intensity / sigma) over the spots without ice"),
    Column("n_spots", "i4", "", "spots"),
    Column("n_no_ice", "i4", "", "spots that lie on no ring of ice"),
    Column("n_ice", "i4", "", "spots on a ring of ice that stands out of the background"),
    Column("n_low", "i4", "", f"spots without ice of a spacing above {LOW_D:g} angstrom"),
    Column(
        "shells", "i4", "", "spots without ice from one spacing to the other, angstrom",
        tuple(_shell(high, low) for high, low in pairwise(SHELL_D)),
    ),
    Column("total_intensity", "f8", "count", "sum of the intensities of the spots without ice"),
    Column("frame_sum", "f8", "count", "sum of all measurements of the frame, as they are in it"),
    Column("maximum", "f8", "count", "largest measurement"),
    Column("saturated", "i8", "", "pixels above the largest valid value"),
    Column("bad", "i8", "", "pixels that are not masked, and hold no measurement in this frame"),
    Column("negative", "i8", "", "measurements below zero"),
    Column("background", "f8", "count", "mean background of a pixel from 3 to 5 angstrom, normalised counts"),
    Column("d_min", "f8", "angstrom", "spacing to which spots are seen, where there are 10 or more without ice"),
    Column("d_min_snr", "f8", "", "median intensity / sigma of the outermost tenth of the spots within d_min"),
    Column("ice_score", "f8", "", "strongest ring of ice over the background about it; 1 = none stands out"),
    Column(
        "ice_rings", "f8", "", "each ring of ice over the background about it, by its spacing in angstrom; 1 = it does "
        "not stand out", tuple(f"{d:g}" for d in ICE_D),
    ),
    Column("expected_false_spots", "f8", "", "spots that noise makes in a frame of this background, on average"),
    Column("picked", "i8", "", "pixels that sparsify kept"),
    Column("source_frame", "i8", "", "number of the frame in all frames of the files, where some of them were chosen"),
)  # fmt: skip
"""All columns, in their order. Where a number is not known it is NaN, and -1 in columns of whole numbers."""

FRAME_DTYPE: np.dtype[Any] = np.dtype(
    [(column.name, column.type, (len(column.parts),)) if column.parts else (column.name, column.type)
     for column in COLUMNS]
)  # fmt: skip
"""Dtype of a row of the table of frames; `COLUMNS` has the unit and the meaning of each column. What is not known is
NaN, and -1 in columns of whole numbers."""


def empty_frame_table(n: int = 0) -> FrameTable:
    """`n` rows, numbered from 0, in which nothing is known."""
    rows = np.zeros(n, dtype=FRAME_DTYPE)
    for column in COLUMNS:
        rows[column.name] = np.nan if column.type.startswith("f") else 0 if column.type == "u1" else -1
    rows["frame"] = np.arange(n)
    return rows


def count_spots(row: np.void, peaks: PeakList, hit_peaks: int = HIT) -> tuple[PeakList, NDArray[np.float64]]:
    """Put into a row what the peaks of its frame tell by themselves: all but the resolution limit.

    Parameters
    ----------
    row : FRAME_DTYPE
    peaks : PeakList
        Of this frame.
    hit_peaks : int
        Spots without ice that make it a hit.

    Returns
    -------
    PeakList, float64 [n]
        The spots without ice, and intensity / sigma of each.
    """
    good = peaks[(peaks["flags"] & PeakFlag.ICE) == 0]
    snr = np.divide(good["intensity"], good["sigma"], out=np.zeros(len(good)), where=good["sigma"] > 0)
    row["n_spots"], row["n_no_ice"], row["n_ice"] = len(peaks), len(good), len(peaks) - len(good)
    row["hit"] = len(good) >= hit_peaks
    row["score"] = np.log1p(np.maximum(snr, 0.0)).sum()
    row["total_intensity"] = good["intensity"].sum()
    if np.isfinite(good["d"]).any() or not len(good):
        row["n_low"] = np.count_nonzero(good["d"] > LOW_D)
        row["shells"] = np.histogram(good["d"], _SHELL_EDGES)[0][::-1]
    return good, snr


def put_scan(rows: FrameTable, scan: Scan | None) -> None:
    """Put angles and times of a scan into the rows of its frames, which are numbered as in the scan.

    Times are of UTC where the file tells the zone of its clock, and of that clock where it does not.
    """
    if scan is None:
        return
    rows["angle"] = scan.angles[scan.scan_axis][rows["frame"]] if len(scan.names) else np.nan
    rows["time"] = scan.times[rows["frame"]] - _offset(scan.zone)


def _offset(zone: str) -> float:
    """Seconds that a clock is before UTC."""
    if len(zone) < 3 or zone[0] not in "+-":
        return 0.0
    hours, minutes = int(zone[1:3]), int(zone[-2:]) if len(zone) > 3 else 0
    return (3600.0 * hours + 60.0 * minutes) * (-1.0 if zone[0] == "-" else 1.0)


def is_known(values: NDArray[Any]) -> NDArray[np.bool_]:
    """bool, of the shape of a column: where there is a value."""
    return np.asarray(~np.isnan(values) if values.dtype.kind == "f" else values >= 0)


def flat_columns(rows: FrameTable) -> Iterator[tuple[str, Column, NDArray[Any]]]:
    """Name, column and values [n] of each column; of one with several numbers, of each of these: "shells 4-6"."""
    for column in COLUMNS:
        values = rows[column.name]
        if not column.parts:
            yield column.name, column, values
        for number, part in enumerate(column.parts):
            yield f"{column.name} {part}", column, values[:, number]
