"""Results of a series on their way into files: appended to a journal at once, read from it in the order of images."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crystint import __version__
from crystint.io.frame_record import FrameRecord
from crystint.io.series.results_file import ranges_of
from crystint.model.frame_table import FrameStatus
from crystint.model.peaks import PEAK_DTYPE, PeakList, empty_peaks
from crystint.online.result import RESULT_DTYPE, Result, ResultTable, empty_results
from crystint.run.journal import Journal
from crystint.stream.messages import SeriesKey

__all__ = ["ResultsJournal", "looked_at"]

_NOWHERE = -1
_GROWN = 4096
_FARTHEST, _FIRST = 1_000_000, 10_000_000
"""images that may be missing before one, and before the first"""


class ResultsJournal:
    """The journal of a series, beside the file that its results will be in.

    Parameters
    ----------
    output : path
        That file.
    key : SeriesKey
    command : sequence of str
        That the run was started with.

    Raises
    ------
    FileError
        When another process has it, it cannot be written, or belongs to another series.
    """

    def __init__(self, output: Path, key: SeriesKey, command: Sequence[str] = ()) -> None:
        same = {"series_id": key.id, "series_unique_id": key.unique_id, "version": __version__}
        self._journal = Journal.open(output, {"same": same, "command": list(command)}, resume=True)
        self._record = np.full(_GROWN, _NOWHERE, np.int32)
        self._row = np.zeros(_GROWN, np.int32)
        self._status = np.full(_GROWN, FrameStatus.MISSING, np.uint8)
        self.events: list[dict[str, Any]] = []
        """JSON-able, in their order"""
        self.described: list[dict[str, Any]] = []
        """what was done with the series, the last one of each process"""
        self.count = 0
        """one more than the highest number of an image"""
        self.resumed = self._journal.resumed
        self.left_out = 0
        """results of numbers that are too far behind the others"""
        self._unpacked = lru_cache(maxsize=64)(lambda number: FrameRecord.unpack(self._journal.read(number)))
        for packed in self._journal.replay():
            self._note(FrameRecord.unpack(packed))

    def done(self) -> NDArray[np.int64]:
        """int64 [n]: images that came and have results."""
        return np.flatnonzero((self._record >= 0) & (self._status != FrameStatus.MISSING))

    def add(self, results: Sequence[Result]) -> None:
        """Append results.

        Raises
        ------
        FileError
            When the disk does not take them.
        """
        results = self._near(results)
        if not results:
            return
        rows = np.concatenate([result.row for result in results])
        peaks = np.concatenate([empty_peaks(), *(result.peaks for result in results)])
        facts: dict[str, Any] = {"images": len(results)}
        arrays: dict[str, NDArray[Any]] = {
            "rows": _bytes(rows),
            "counts": np.array([len(result.peaks) for result in results], np.int64),
            "peaks": _bytes(peaks),
        }
        regions = [result for result in results if len(result.rois)]
        if regions:
            dtype = regions[0].rois.dtype
            facts["roi_dtype"] = json.loads(json.dumps(dtype.descr))
            facts["rois"] = [[result.number, list(result.roi_names)] for result in regions]
            arrays["rois"] = _bytes(np.concatenate([result.rois.astype(dtype) for result in regions]))
        self._append(FrameRecord(results[0].number, None, facts, arrays))

    def _near(self, results: Sequence[Result]) -> list[Result]:
        """Without those of numbers that cannot be of this series: a row for each number before would fill memory."""
        near, count = [], self.count
        for result in results:
            if 0 <= result.number < (count + _FARTHEST if count else _FIRST):
                near.append(result)
                count = max(count, result.number + 1)
            else:
                self.left_out += 1
        return near

    def add_event(self, event: Mapping[str, Any]) -> None:
        """Append what happened."""
        self._append(FrameRecord(_NOWHERE, None, {"event": dict(event)}))

    def describe(self, described: Mapping[str, Any]) -> None:
        """Append what is done with the images."""
        self._append(FrameRecord(_NOWHERE, None, {"described": dict(described)}))

    def _append(self, record: FrameRecord) -> None:
        self._journal.append(record.pack())
        self._note(record)

    def _note(self, record: FrameRecord) -> None:
        """Where the record just read or written is, and which images are in it."""
        number = self._journal.count - 1
        if "event" in record.facts:
            self.events.append(record.facts["event"])
        elif "described" in record.facts:
            self.described.append(record.facts["described"])
        else:
            rows = record.arrays["rows"].reshape(-1).view(RESULT_DTYPE)
            self._grow(int(rows["frame"].max()) + 1)
            for place, (image, status) in enumerate(zip(rows["frame"].tolist(), rows["status"].tolist(), strict=True)):
                if self._record[image] == _NOWHERE or self._status[image] == FrameStatus.MISSING:
                    self._record[image], self._row[image], self._status[image] = number, place, status

    def _grow(self, images: int) -> None:
        self.count = max(self.count, images)
        if images > len(self._record):
            more = max(images, 2 * len(self._record)) - len(self._record)
            self._record = np.concatenate([self._record, np.full(more, _NOWHERE, np.int32)])
            self._row = np.concatenate([self._row, np.zeros(more, np.int32)])
            self._status = np.concatenate([self._status, np.full(more, FrameStatus.MISSING, np.uint8)])

    def status(self, images: int) -> NDArray[np.uint8]:
        """uint8 [images]: `FrameStatus` of the first images; MISSING of those without a result."""
        self._grow(images)
        return self._status[:images].copy()

    def rows(self, first: int, stop: int) -> ResultTable:
        """Results of some images in their order; those without one are MISSING."""
        self._grow(stop)
        rows = empty_results(stop - first)
        rows["frame"], rows["status"] = np.arange(first, stop), FrameStatus.MISSING
        for number, images in self._by_record(first, stop):
            packed = self._unpacked(number).arrays["rows"].reshape(-1).view(RESULT_DTYPE)
            rows[images - first] = packed[self._row[images]]
        return rows

    def _by_record(self, first: int, stop: int) -> Iterator[tuple[int, NDArray[np.int64]]]:
        """The records that hold some images, and which of them each holds."""
        records = self._record[first:stop]
        order = np.argsort(records, kind="stable")
        numbers, starts = np.unique(records[order], return_index=True)
        for number, images in zip(numbers.tolist(), np.split(order, starts[1:]), strict=True):
            if number != _NOWHERE:
                yield number, images + first

    def peaks(self, images: int) -> PeakList:
        """Peaks of the first images, in the order of these."""
        lists = []
        for number, own in self._by_record(0, images):
            record = self._unpacked(number)
            stops = np.cumsum(record.arrays["counts"])
            peaks = record.arrays["peaks"].reshape(-1).view(PEAK_DTYPE)
            for image in own.tolist():
                place = self._row[image]
                some = peaks[stops[place] - record.arrays["counts"][place] : stops[place]].copy()
                some["frame"] = image
                lists.append(some)
        peaks = np.concatenate([empty_peaks(), *lists])
        return peaks[np.argsort(peaks["frame"], kind="stable")]

    def regions(self, first: int, stop: int) -> Iterator[tuple[int, tuple[str, ...], NDArray[np.void]]]:
        """Number, names of regions and their values, of those of some images that have any."""
        for number, own in self._by_record(first, stop):
            record = self._unpacked(number)
            if "rois" not in record.facts:
                continue
            dtype = np.dtype([(name, kind) for name, kind in record.facts["roi_dtype"]])
            values, at = record.arrays["rois"].reshape(-1).view(dtype), 0
            chosen = set(own.tolist())
            for image, names in record.facts["rois"]:
                if image in chosen:
                    yield image, tuple(names), values[at : at + len(names)]
                at += len(names)

    def close(self, *, keep: bool) -> None:
        """Close it, and remove it unless it is to be kept."""
        self._unpacked.cache_clear()
        self._journal.close(keep=keep)


def _bytes(table: NDArray[np.void]) -> NDArray[np.uint8]:
    """uint8 [n, bytes of a row] of a structured array."""
    return np.ascontiguousarray(table).view(np.uint8).reshape(len(table), table.dtype.itemsize)


def looked_at(output: Path, key: SeriesKey) -> list[tuple[int, int]]:
    """The images that a killed process had looked at: for `crystint.online.series.Series.had`.

    Parameters
    ----------
    output : path
        ``{name}_results.h5`` of the series.
    key : SeriesKey

    Returns
    -------
    list of (int, int)
        Ranges: first, and last + 1.

    Raises
    ------
    FileError
        As `ResultsJournal`.
    """
    journal = ResultsJournal(output, key)
    try:
        return [(first, last + 1) for first, last in ranges_of(journal.done()).tolist()]
    finally:
        journal.close(keep=journal.resumed)
