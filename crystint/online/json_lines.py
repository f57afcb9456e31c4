"""A line of JSON for each image, for programs that follow: into a file, a pipe, or a descriptor that is open."""

from __future__ import annotations

import json
import math
import os
import re
import select
import stat
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from crystint.errors import SettingError
from crystint.model.peaks import PEAK_DTYPE
from crystint.model.rois import ROI_COLUMNS
from crystint.online.queued_sink import QueuedSink, Tell
from crystint.online.result import ONLINE_COLUMNS, Result
from crystint.online.sink import Run

__all__ = ["JsonLines", "json_line"]

_PIECE = 4096
"""bytes that a pipe with room takes at once: PIPE_BUF"""
_RETRY = 1.0
"""s until a pipe without a reader is tried again"""
_SPOTS = tuple(name for name in PEAK_DTYPE.names or () if name != "frame")
_NUMBER = re.compile(r"(?:fd:)?(\d+)")
_WHOLE = frozenset(column.name for column in ONLINE_COLUMNS if column.type.startswith(("i", "u")))


def json_line(result: Result) -> str:
    """What is known of an image, without a line break at its end. What is not known is null.

    The names are those of `crystint peaks -o peaks.jsonl`, whose readers read it: ``frame``, ``n_peaks``, a list for
    each column of the peaks, and ``results`` with the row of the table of frames. Then there are ``series`` and
    ``series_unique_id``, ``rois``, ``error`` where there is one, and the names of other programs for some of the
    columns: ``file``, ``file-number``, ``n_spots``, ``n_spots_total``, ``n_spots_no_ice``, ``n_spots_low_res``,
    ``d_min_est``, ``bkg``, ``saturated``, ``hit``, ``total_intensity``, ``num_strong_pixels``, ``spot_centers``
    ([fast, slow], 0.5 in the middle of the first pixel), ``t_recv`` and ``t_done`` (ns since 1970-01-01 UTC).

    Examples
    --------
    >>> import json
    >>> from crystint.online.json_lines import json_line
    >>> from crystint.online.result import Result, empty_results
    >>> from crystint.stream import SeriesKey
    >>> line = json.loads(json_line(Result(SeriesKey(1, "a"), empty_results(1))))
    >>> line["frame"], line["n_peaks"], line["n_spots"]
    (0, 0, None)
    """
    row = {column.name: _plain(column.name, result.row[column.name][0].tolist()) for column in ONLINE_COLUMNS}
    peaks = {name: [_number(each) for each in result.peaks[name].tolist()] for name in _SPOTS}
    hit = row["hit"]
    line: dict[str, Any] = {
        "frame": row["frame"],
        "series": result.series.id,
        "series_unique_id": result.series.unique_id,
        "status": result.status.name.lower(),
        "n_peaks": len(result.peaks),
        "file": str(result.series),
        "file-number": row["frame"],
        "n_spots": row["n_spots"],
        "n_spots_total": row["n_spots"],
        "n_spots_no_ice": row["n_no_ice"],
        "n_spots_low_res": row["n_low"],
        "d_min_est": row["d_min"],
        "bkg": row["background"],
        "saturated": row["saturated"],
        "hit": None if hit is None else bool(hit),
        "total_intensity": row["total_intensity"],
        "num_strong_pixels": int(result.peaks["npix"].sum()),
        "spot_centers": [list(place) for place in zip(peaks["fast"], peaks["slow"], strict=True)],
        "t_recv": row["t_received"],
        "t_done": row["t_done"],
        "results": row,
        "rois": {
            name: {column.name: _number(values[column.name].item()) for column in ROI_COLUMNS}
            for name, values in zip(result.roi_names, result.rois, strict=True)
        },
        **peaks,
    }
    if result.error:
        line["error"] = result.error
    return json.dumps(line, allow_nan=False)


def _plain(name: str, value: Any) -> Any:
    if isinstance(value, list):
        return [_plain(name, each) for each in value]
    return None if name in _WHOLE and value < 0 else _number(value)


def _number(value: float) -> float | None:
    return value if math.isfinite(value) else None


class JsonLines(QueuedSink):
    """Writes `json_line` of every result, and flushes after each batch.

    A pipe whose reader goes away gets a new one when it comes; what was to be written meanwhile is lost, counted, and
    told once in a series, as it is when a disk is full. A line is whole or not there.

    Parameters
    ----------
    target : str or path
        A file, which is made or added to; a named pipe; "-" for standard output; "fd:3" for a descriptor that is open.
    tell : callable, optional
        Takes warnings, as events.

    Raises
    ------
    SettingError
        When it cannot be written.
    """

    def __init__(self, target: str | Path, tell: Tell | None = None, *, limit: int = 64 * 2**20) -> None:
        super().__init__("json_lines", tell, limit=limit)
        self._target = str(target)
        number = 1 if self._target == "-" else int(match[1]) if (match := _NUMBER.fullmatch(self._target)) else None
        self._own = number is None
        self._pipe = False
        self._retry = 0.0
        self._images = 0
        self._descriptor: int | None = number
        try:
            if number is not None:
                self._pipe = not stat.S_ISREG(os.fstat(number).st_mode)
            else:
                self._open()
        except OSError as error:
            self.close()
            raise SettingError(
                f"json_lines is {self._target!r}, which cannot be written: {error.strerror}; expected a file, a named "
                "pipe, - for standard output, or fd:N for a descriptor that is open"
            ) from None
        self._start()

    def _open(self) -> None:
        """A named pipe without a reader stays closed."""
        flags = os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC
        try:
            self._pipe = stat.S_ISFIFO(os.stat(self._target).st_mode)
        except FileNotFoundError:
            self._pipe = False
        if not self._pipe:
            self._descriptor = os.open(self._target, flags | os.O_CREAT, 0o644)
            return
        try:
            self._descriptor = os.open(self._target, flags | os.O_NONBLOCK)
        except OSError:
            self._descriptor = None  # ENXIO: nobody reads

    def _results(self, run: Run, results: Sequence[Result]) -> None:
        if self._descriptor is None:
            if time.monotonic() >= self._retry:
                self._retry = time.monotonic() + _RETRY
                self._open()
            if self._descriptor is None:
                self._lose(run, len(results), f"nobody reads {self._target}: its lines are lost")
                return
        text = "".join(json_line(result) + "\n" for result in results).encode()
        try:
            written = self._write_to_pipe(text) if self._pipe else self._write_to_file(text)
        except BrokenPipeError:
            self._put_away()
            self._lose(run, len(results), f"the reader of {self._target} went away: lines are lost")
            return
        except OSError as error:
            self._lose(run, len(results), f"{self._target} cannot be written: {error.strerror}; lines are lost")
            return
        if written:
            self._images += len(results)
        else:
            self._lose(run, len(results), f"the reader of {self._target} is slow: lines are lost")

    def _write_to_file(self, text: bytes) -> bool:
        """Everything, or nothing and the error."""
        assert self._descriptor is not None
        before = os.fstat(self._descriptor).st_size
        view = memoryview(text)
        try:
            while view:
                view = view[os.write(self._descriptor, view) :]
        except OSError:
            with suppress(OSError):
                os.ftruncate(self._descriptor, before)
                os.lseek(self._descriptor, before, os.SEEK_SET)
            raise
        return True

    def _write_to_pipe(self, text: bytes) -> bool:
        """Everything, however long the reader takes; not the rest when the service ends."""
        assert self._descriptor is not None
        poller = select.poll()
        poller.register(self._descriptor, select.POLLOUT)
        view = memoryview(text)
        while view:
            events = poller.poll(200)
            if not events:
                if self._closing and time.monotonic() > self._until:
                    return False
                continue
            if events[0][1] & (select.POLLERR | select.POLLNVAL) and not events[0][1] & select.POLLOUT:
                raise BrokenPipeError
            try:
                view = view[os.write(self._descriptor, view[:_PIECE]) :]
            except BlockingIOError:
                continue
        return True

    def _lose(self, run: Run, count: int, text: str) -> None:
        with self._lock:
            self._lost += count
        self._warn(run.key, text)

    def _put_away(self) -> None:
        if self._descriptor is not None and self._own:
            os.close(self._descriptor)
            self._descriptor = None
            self._retry = 0.0

    def _finish(self) -> None:
        self._put_away()

    def _status(self) -> Mapping[str, Any]:
        return {"target": self._target, "images": self._images}
