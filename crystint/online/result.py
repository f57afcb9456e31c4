"""What is known of an image online, and its row: the columns of the table of frames, and those of the stream."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from crystint.model.frame_table import COLUMNS, FRAME_DTYPE, Column, FrameStatus, empty_frame_table
from crystint.model.peaks import PeakList, empty_peaks
from crystint.stream.messages import SeriesKey

if TYPE_CHECKING:
    from crystint.online.sparse_images import SparseImage

__all__ = ["ONLINE_COLUMNS", "RESULT_DTYPE", "STREAM_COLUMNS", "Result", "ResultTable", "empty_results"]

STREAM_COLUMNS = (
    Column("t_start", "i8", "ns", "begin of the exposure by the detector's clock, since 1970-01-01 UTC"),
    Column("t_received", "i8", "ns", "when the message had come, since 1970-01-01 UTC"),
    Column("t_done", "i8", "ns", "when the image had been looked at, since 1970-01-01 UTC"),
    Column("late", "u1", "", "1 = it came after it had been given up as missing"),
    Column("settings_version", "i4", "", "number of the settings that it was looked at with"),
    Column("roi_version", "i4", "", "number of the regions that were summed"),
)

ONLINE_COLUMNS = (*COLUMNS, *STREAM_COLUMNS)
"""Columns of the results of a stream, in their order: `crystint.model.frame_table.COLUMNS`, then those of the stream.
``frame`` is the number that the detector gives the image."""

RESULT_DTYPE: np.dtype[Any] = np.dtype(
    [*((name, FRAME_DTYPE[name]) for name in FRAME_DTYPE.names or ()), *((c.name, c.type) for c in STREAM_COLUMNS)]
)
"""Dtype of a row of results."""

ResultTable: TypeAlias = NDArray[np.void]
"""Structured array of `RESULT_DTYPE`."""


def empty_results(n: int = 0) -> ResultTable:
    """`n` rows in which nothing is known: NaN, and -1 in columns of whole numbers."""
    rows = np.zeros(n, RESULT_DTYPE)
    frames = empty_frame_table(n)
    for name in FRAME_DTYPE.names or ():
        rows[name] = frames[name]
    for column in STREAM_COLUMNS:
        rows[column.name] = 0 if column.type == "u1" else -1
    return rows


@dataclass(frozen=True, slots=True, eq=False)
class Result:
    """What became of an image.

    Examples
    --------
    >>> from crystint.online.result import Result, empty_results
    >>> from crystint.stream.messages import SeriesKey
    >>> result = Result(SeriesKey(1, "a"), empty_results(1))
    >>> result.number, result.status.name, len(result.peaks)
    (0, 'OK', 0)
    """

    series: SeriesKey
    """that the image is of"""
    row: ResultTable
    """structured array of `RESULT_DTYPE` [1]"""
    peaks: PeakList = field(default_factory=empty_peaks)
    """that were found"""
    rois: NDArray[np.void] = field(default_factory=lambda: np.zeros(0, np.dtype([])))
    """structured array of `crystint.model.rois.ROI_DTYPE` [regions], in the order of `roi_names`"""
    roi_names: tuple[str, ...] = ()
    """of the regions"""
    error: str = ""
    """why it failed"""
    sparse: SparseImage | None = None
    """for the file of sparse images alone: other sinks never have it"""

    @property
    def number(self) -> int:
        """Of the image in its series."""
        return int(self.row["frame"][0])

    @property
    def status(self) -> FrameStatus:
        """Whether it was looked at."""
        return FrameStatus(int(self.row["status"][0]))

    @property
    def hit(self) -> bool:
        """Whether there are as many spots as a hit needs."""
        return bool(self.row["hit"][0] == 1)
