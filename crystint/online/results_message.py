"""The messages of results, ``crystint-results/1``: CBOR, one array per column.

`docs/online-messages.md` has the table of their keys.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from crystint.errors import StreamError
from crystint.model.frame_table import Column
from crystint.model.peaks import PEAK_DTYPE, PeakList, empty_peaks
from crystint.model.rois import ROI_COLUMNS, ROI_DTYPE, empty_roi_values
from crystint.online.result import ONLINE_COLUMNS, RESULT_DTYPE, Result, ResultTable, empty_results
from crystint.online.sink import Event, Run
from crystint.stream.cbor import Tag, decode, encode
from crystint.stream.messages import SeriesKey
from crystint.stream.typed_arrays import array_of, list_tag, plain_value

__all__ = [
    "VERSION",
    "Notice",
    "ResultsBatch",
    "end_message",
    "event_message",
    "read_results_message",
    "results_message",
    "roi_table",
    "start_message",
]

VERSION = 1
"""of ``crystint-results``"""

_ROW_MAJOR = 40
"""Tag of an array of several axes, row by row."""

_NAMES = {"frame": "image_id"}
"""Names in messages, where they are others than those of the columns."""
_PLAIN = {"i1": "u1", "i4": "u4", "f8": "f4"}
"""Types in messages: counts of spots are unsigned, so that -1, not known, is all ones."""
_WHOLE = {"frame": "u8", "time": "f8", "angle": "f8", "total_intensity": "f8", "frame_sum": "f8", "maximum": "f8"}
"""Columns that float32 would be too coarse for."""
_SPOTS = (
    Column("slow", "f4", "px", "centroid along the slow axis, from the outer corner of the first pixel"),
    Column("fast", "f4", "px", "centroid along the fast axis, from the outer corner of the first pixel"),
    Column("intensity", "f4", "count", "sum of the counts above the background, normalised"),
    Column("sigma", "f4", "count", "standard deviation of the intensity"),
    Column("snr", "f4", "", "intensity / sigma"),
    Column("npix", "u2", "", "pixels above the background"),
    Column("maximum", "i8", "count", "counts of the strongest pixel"),
    Column("d", "f4", "angstrom", "spacing at the centroid; NaN where the wavelength is not known"),
    Column("flags", "u2", "", "1 saturated, 2 touches a masked pixel, 4 touches an edge, 8 on a ring of ice, 16 stays"),
)
_FIRST = ("t_start", "n_spots", "hit", "background", "d_min")


@dataclass(frozen=True, slots=True, eq=False)
class ResultsBatch:
    """A message of results. `results` has them one by one.

    Examples
    --------
    >>> from crystint.online.result import Result, empty_results
    >>> from crystint.online.results_message import read_results_message, results_message
    >>> from crystint.stream import SeriesKey
    >>> message = results_message(SeriesKey(7), [Result(SeriesKey(7), empty_results(1))], 12)
    >>> batch = read_results_message(message)
    >>> batch.sequence, batch.rows["frame"].tolist(), int(batch.rows["n_spots"][0])
    (12, [0], -1)
    """

    series: SeriesKey
    """that the images are of"""
    sequence: int
    """one more with each message of a publisher: a gap is what was lost"""
    rows: ResultTable
    """structured array of `RESULT_DTYPE` [n]; what the message does not have is not known"""
    peaks: PeakList
    """of all images, one after the other; ``frame`` is the number of the image"""
    spot_count: NDArray[np.int64]
    """[n] how many of the peaks are of each image"""
    rois: Mapping[str, Mapping[str, NDArray[Any]]] = field(default_factory=dict)
    """the columns of each region, [n] each"""
    errors: Mapping[int, str] = field(default_factory=dict)
    """why images failed, by their numbers"""

    def results(self) -> Iterator[Result]:
        """Each of them."""
        names, table = tuple(self.rois), roi_table(self.rois, len(self.rows))
        ends = np.cumsum(self.spot_count)
        for index in range(len(self.rows)):
            row = self.rows[index : index + 1]
            peaks = self.peaks[ends[index] - self.spot_count[index] : ends[index]]
            error = self.errors.get(int(row["frame"][0]), "")
            yield Result(self.series, row, peaks, table[index], names, error)


@dataclass(frozen=True, slots=True, eq=False)
class Notice:
    """A message that holds no results: a series started or ended, or something happened.

    Examples
    --------
    >>> from crystint.online.results_message import event_message, read_results_message
    >>> from crystint.online.sink import Event
    >>> notice = read_results_message(event_message(Event("settings", {"snr": 4.5}), sequence=7))
    >>> notice.type, notice.data["name"], notice.data["data"]
    ('event', 'settings', {'snr': 4.5})
    """

    type: Literal["start", "end", "event"]
    """of the message"""
    series: SeriesKey | None
    """that starts or ends; None in events"""
    sequence: int
    """as in `ResultsBatch`"""
    data: Mapping[str, Any]
    """all other keys"""


def start_message(run: Run, sequence: int) -> bytes:
    """The start of a series: geometry, settings, regions, and what the columns of its results mean."""
    start = run.start
    return _message(
        "start",
        run.key,
        sequence,
        {
            **run.described(),
            "name": run.name,
            "shape": list(start.shape),
            "images": start.images,
            "user": {key: value for key, value in run.user.items() if key != "tokens"},
            "channels": list(start.channels),
            "frame_time": start.frame_time,
            "geometry": None if run.geometry is None else run.geometry.to_dict(),
            "columns": [_described(column, _wire_type(column)) for column in ONLINE_COLUMNS],
            "spot_columns": [_described(column, column.type) for column in _SPOTS],
            "roi_columns": [_described(column, column.type) for column in ROI_COLUMNS],
        },
    )


def end_message(run: Run, sequence: int, files: Sequence[str] = ()) -> bytes:
    """The end of a series: its books, and the files that were closed until then."""
    return _message("end", run.key, sequence, {"name": run.name, "books": run.books.to_dict(), "files": [*files]})


def event_message(event: Event, sequence: int) -> bytes:
    """Something happened."""
    told = {"name": event.name, "data": dict(event.data), "time": event.time, "number": event.number}
    return _message("event", None, sequence, told)


def results_message(series: SeriesKey, results: Sequence[Result], sequence: int, *, exact: bool = False) -> bytes:
    """Results of a series.

    Parameters
    ----------
    series : SeriesKey
    results : sequence of Result
        In the order in which they are to be.
    sequence : int
        One more than that of the message before.
    exact : bool
        Every column in its own type, and all columns of the peaks: nothing is rounded. Else as the table of the message
        says: most numbers in 32 bits.
    """
    rows = _joined([result.row for result in results], RESULT_DTYPE)
    columns = {_NAMES.get(column.name, column.name): _wire(rows, column, exact) for column in ONLINE_COLUMNS}
    order = ["image_id", *_FIRST, *(name for name in columns if name not in ("image_id", *_FIRST, *_VERSIONS))]
    body: dict[str, Any] = {name: _array(columns[name]) for name in order}
    peaks = _joined([result.peaks for result in results], PEAK_DTYPE)
    body["spot_count"] = _array(np.array([len(result.peaks) for result in results], "u4"))
    body["spots"] = {name: _array(values) for name, values in _spots(peaks, exact)}
    body["rois"] = {
        name: {key: _array(values) for key, values in table.items()} for name, table in _roi_columns(results).items()
    }
    body |= {name: _array(columns[name]) for name in _VERSIONS}
    errors = {str(result.number): result.error for result in results if result.error}
    if errors:
        body["errors"] = errors
    return _message("results", series, sequence, body)


_VERSIONS = ("settings_version", "roi_version")


def read_results_message(data: Any) -> ResultsBatch | Notice:
    """Read a message of ``crystint-results/1``.

    Parameters
    ----------
    data : bytes-like
        Keys may be in any order; columns may be missing, of other types, or unknown.

    Raises
    ------
    StreamError
        When it is damaged, or of another kind or version.
    """
    values = decode(data)
    if not isinstance(values, dict):
        raise StreamError("a message of results is no map of CBOR")
    kind, series = values.get("type"), None
    if "series_id" in values:
        series = SeriesKey(int(values["series_id"]), str(values.get("series_unique_id", "")))
    if values.get("version") != VERSION:
        raise StreamError(f"a message of results has version {values.get('version')!r}, expected {VERSION}")
    sequence = values.get("sequence", -1)
    if kind in ("start", "end", "event"):
        head = ("type", "version", "series_id", "series_unique_id", "sequence")
        body = {key: plain_value(each) for key, each in values.items() if key not in head}
        return Notice(kind, series, sequence, body)
    if kind != "results" or series is None:
        raise StreamError(f"a message of results is of type {kind!r}, expected start, results, end or event")
    try:
        return _batch(values, series, sequence)
    except (KeyError, ValueError, TypeError, AttributeError, OverflowError) as error:
        raise StreamError(f"a message of results is damaged: {error}") from error


def _batch(values: Mapping[str, Any], series: SeriesKey, sequence: int) -> ResultsBatch:
    numbers = _values(values["image_id"], "image_id")
    rows = empty_results(len(numbers))
    for column in ONLINE_COLUMNS:
        stored = values.get(_NAMES.get(column.name, column.name))
        if stored is not None:
            rows[column.name] = _from_message(_values(stored, column.name), rows[column.name])
    spots = values.get("spots", {})
    counts = np.zeros(len(numbers), np.int64)
    if "spot_count" in values:
        counts = _values(values["spot_count"], "spot_count").astype(np.int64)
    if len(counts) != len(numbers) or (counts < 0).any():
        raise ValueError(f"it has {len(counts)} numbers of spots for {len(numbers)} images")
    spots = {str(name): _values(each, str(name)) for name, each in spots.items()}
    total = max((len(each) for each in spots.values()), default=0)
    if counts.sum() != total:
        raise ValueError(f"it has {total} spots, and {counts.sum()} by their numbers")
    peaks = empty_peaks(total)
    for name in (PEAK_DTYPE.names or ())[1:]:
        if name in spots:
            peaks[name] = _of_length(spots[name], total, f"spots {name}")
        elif PEAK_DTYPE[name].kind == "f":
            peaks[name] = np.nan
    peaks["frame"] = np.repeat(rows["frame"], counts)
    rois = {
        name: {key: _of_length(_values(each, key), len(numbers), f"region {name} {key}") for key, each in table.items()}
        for name, table in values.get("rois", {}).items()
    }
    errors = {int(number): str(text) for number, text in values.get("errors", {}).items()}
    return ResultsBatch(series, sequence, rows, peaks, counts, rois, errors)


def _of_length(values: NDArray[Any], length: int, what: str) -> NDArray[Any]:
    if values.shape != (length,):
        raise ValueError(f"{what} has {values.shape} values, expected {length}")
    return values


def _from_message(stored: NDArray[Any], column: NDArray[Any]) -> NDArray[Any]:
    """As they are in the table: all ones of an unsigned type is -1."""
    if stored.shape != column.shape:
        raise ValueError(f"a column has {stored.shape} values, expected {column.shape}")
    if stored.dtype.kind == "u" and column.dtype.kind == "i":
        return np.where(stored == np.iinfo(stored.dtype).max, -1, stored.astype(np.int64))
    return stored


def _wire_type(column: Column) -> str:
    return _WHOLE.get(column.name) or _PLAIN.get(column.type, column.type)


def _wire(rows: ResultTable, column: Column, exact: bool) -> NDArray[Any]:
    kind = column.type if exact and column.name != "frame" else _wire_type(column)
    return rows[column.name].astype(kind)


def _joined(parts: Sequence[NDArray[np.void]], dtype: np.dtype[Any]) -> NDArray[np.void]:
    """One after the other: as `numpy.concatenate`, without its work on every field."""
    return np.frombuffer(b"".join([part.astype(dtype, copy=False).tobytes() for part in parts]), dtype)


def _spots(peaks: PeakList, exact: bool) -> Iterable[tuple[str, NDArray[Any]]]:
    if exact:
        yield from ((name, peaks[name]) for name in (PEAK_DTYPE.names or ())[1:])
        return
    for column in _SPOTS:
        values = peaks[column.name]
        if column.type == "u2":
            values = np.minimum(values, 0xFFFF)
        elif column.type == "i8":
            values = np.rint(np.nan_to_num(values))
        yield column.name, values.astype(column.type)


def _roi_columns(results: Sequence[Result]) -> dict[str, dict[str, NDArray[Any]]]:
    """Columns of each region; 0 and NaN where an image has no such region."""
    names = dict.fromkeys(name for result in results for name in result.roi_names)
    if not names:
        return {}
    dtype, blank = ROI_DTYPE, empty_roi_values(1)
    columns = {}
    for name in names:
        places = [result.roi_names.index(name) if name in result.roi_names else -1 for result in results]
        parts = [blank if at < 0 else result.rois[at : at + 1] for at, result in zip(places, results, strict=True)]
        table = _joined(parts, dtype)
        columns[name] = {each: table[each] for each in dtype.names or ()}
    return columns


def roi_table(rois: Mapping[str, Mapping[str, NDArray[Any]]], n: int) -> NDArray[np.void]:
    """`ROI_DTYPE` [n, regions]; what a message does not have is not known."""
    table = np.tile(empty_roi_values(1), (n, len(rois)))
    for number, columns in enumerate(rois.values()):
        for name in columns.keys() & set(ROI_DTYPE.names or ()):
            table[name][:, number] = columns[name]
    return table


def _described(column: Column, kind: str) -> dict[str, Any]:
    name = _NAMES.get(column.name, column.name)
    about = {"name": name, "type": kind, "unit": column.unit, "meaning": column.meaning}
    return about | ({"parts": list(column.parts)} if column.parts else {})


def _message(kind: str, series: SeriesKey | None, sequence: int, body: Mapping[str, Any]) -> bytes:
    values: dict[str, Any] = {"type": kind, "version": VERSION}
    if series is not None:
        values |= {"series_id": series.id, "series_unique_id": series.unique_id}
    values["sequence"] = sequence
    return encode(values | {key: value for key, value in body.items() if key not in values})


def _array(values: NDArray[Any]) -> Tag:
    typed = list_tag(values)
    return typed if values.ndim == 1 else Tag(_ROW_MAJOR, [list(values.shape), typed])


def _values(stored: Any, what: str) -> NDArray[Any]:
    """An array of one or more axes."""
    if not isinstance(stored, Tag) or stored.number != _ROW_MAJOR:
        return array_of(stored, what)
    shape, typed = stored.value
    return array_of(typed, what).reshape(tuple(shape))
