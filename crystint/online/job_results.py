"""What jobs have found, as it is looked at: peaks image by image, tables with a row per image, reports."""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crystint.errors import CrystintError, RefusedError
from crystint.io.frame_table import read_frame_table
from crystint.io.kinds import kind_of
from crystint.io.peaks.files import read_peaks
from crystint.model.frame_table import flat_columns
from crystint.model.peaks import PeakList
from crystint.online.data_root import file_below
from crystint.online.jobs import Job, Jobs

__all__ = ["JobResults"]

_REMEMBERED = 4
_LARGEST_REPORT = 2**24


@dataclass(frozen=True, eq=False)
class _IndexedPeaks:
    """Peaks in the order of their images."""

    peaks: PeakList
    images: NDArray[np.int64]
    """of each peak: the number in the sequence that the job read, which is not its frame where only some were read"""

    def of(self, image: int) -> PeakList:
        """Those of an image."""
        first, last = np.searchsorted(self.images, [image, image + 1])
        return self.peaks[first:last]


class JobResults:
    """Reads outputs of jobs, and remembers the last ones.

    Parameters
    ----------
    jobs : Jobs
    """

    def __init__(self, jobs: Jobs) -> None:
        self._jobs = jobs
        self._peaks: dict[tuple[Path, int], _IndexedPeaks] = {}
        self._tables: dict[tuple[Path, int], dict[str, NDArray[Any]]] = {}
        self._lock = threading.Lock()

    def peaks(self, number: int, image: int | None) -> tuple[NDArray[np.int64], PeakList]:
        """Number of the image of each peak, int64 [n], and the peaks: of one image, or of all.

        Raises
        ------
        RefusedError
            When the job has none.
        """
        path = self._output(number, "peaks")
        with self._lock:
            indexed: _IndexedPeaks = self._remembered(self._peaks, path, _indexed)
        if image is None:
            return indexed.images, indexed.peaks
        peaks = indexed.of(image)
        return np.full(len(peaks), image, np.int64), peaks

    def table(self, number: int) -> dict[str, NDArray[Any]]:
        """Columns with a row per image; ``frame`` is the number of the image in the sequence that the job read.

        Raises
        ------
        RefusedError
            When the job has none.
        """
        path = self._output(number, "table")
        with self._lock:
            table: dict[str, NDArray[Any]] = self._remembered(self._tables, path, _table)
        return table

    def report(self, number: int) -> dict[str, Any]:
        """``text`` to read, and ``numbers``, None where the command gives none.

        Raises
        ------
        RefusedError
            When the job has none.
        """
        self._output(number, "report")
        job = self._jobs.get(number)
        texts = [self._jobs.log(number)]
        numbers = None
        for output in job.outputs:
            if output.endswith((".txt", ".json")):
                content = self._text(output)
                if output.endswith(".json"):
                    numbers = json.loads(content)
                else:
                    texts = [content]
        return {"job": number, "text": texts[0], "numbers": numbers}

    def _text(self, output: str) -> str:
        path = file_below(self._jobs.root, output, "id")
        if path.stat().st_size > _LARGEST_REPORT:
            raise RefusedError("too_large", f"{output} has more than {_LARGEST_REPORT} bytes")
        return path.read_text(encoding="utf-8")

    def _output(self, number: int, result: str) -> Path:
        """The file that has it: the first output."""
        job: Job = self._jobs.get(number)
        if result not in job.offer.results:
            raise RefusedError("wrong_state", f"job {number} is {job.command}, which has no {result}", "id")
        if result not in job.results:
            hint = "; sparsify stores peaks where it is asked to" if job.state == "done" else ""
            raise RefusedError("wrong_state", f"job {number} is {job.state}: it has no {result}{hint}", "id")
        return file_below(self._jobs.root, job.outputs[0], "id")

    @staticmethod
    def _remembered(memory: dict[tuple[Path, int], Any], path: Path, read: Any) -> Any:
        """What was read of a file, unless it has changed since; the last few."""
        key = (path, path.stat().st_mtime_ns)
        try:
            content = memory.pop(key) if key in memory else read(path)
        except CrystintError as error:
            raise RefusedError("not_found", str(error), "id") from None
        memory[key] = content
        while len(memory) > _REMEMBERED:
            del memory[next(iter(memory))]
        return content


def _indexed(path: Path) -> _IndexedPeaks:
    peaks = read_peaks(path)
    images = peaks["frame"].astype(np.int64)
    rows = read_frame_table(path)
    source = rows["source_frame"].astype(np.int64)
    told = source >= 0
    if told.any():
        place = np.searchsorted(rows["frame"], images)
        there = place < len(rows)
        place = np.where(there, place, 0)
        there &= (rows["frame"][place] == images) & told[place]
        images = np.where(there, source[place], images)
    order = np.argsort(images, kind="stable")
    return _IndexedPeaks(peaks[order], images[order])


def _table(path: Path) -> dict[str, NDArray[Any]]:
    if kind_of(path).name == "stills file":
        return _stills_table(path)
    rows = read_frame_table(path)
    table = {name: values for name, _, values in flat_columns(rows)}
    source = table.get("source_frame")
    if source is not None:
        table["frame"] = np.where(source >= 0, source, table["frame"])
    return table


def _stills_table(path: Path) -> dict[str, NDArray[Any]]:
    """A row per crystal: observations, their signal, and scales where there are any."""
    from crystint.stills.files import read_stills

    run = read_stills(path)
    images, observations = run.images, run.observations
    count = len(images)
    table: dict[str, NDArray[Any]] = {"frame": images.frame.astype(np.int64)}
    if observations is not None:
        used = np.isfinite(observations.intensity) & np.isfinite(observations.sigma) & (observations.sigma > 0)
        image = np.asarray(observations.image)[used]
        number = np.bincount(image, minlength=count)
        signal = np.bincount(image, (observations.intensity / observations.sigma)[used], count)
        table["observations"] = number
        with np.errstate(invalid="ignore", divide="ignore"):
            table["i_over_sigma"] = np.where(number > 0, signal / number, np.nan)
    if run.scales is not None:
        table |= _numbers(run.scales, count)
    return table


def _numbers(record: Any, count: int) -> Mapping[str, NDArray[Any]]:
    """The fields of a dataclass that are one number per image."""
    fields = {name: np.asarray(getattr(record, name)) for name in type(record).__dataclass_fields__}
    return {name: values for name, values in fields.items() if values.shape == (count,) and values.dtype.kind in "iufb"}
