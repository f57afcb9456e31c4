"""What a simulated detector did: which images it sent, how, and what books a receiver must come to."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crystint.io.outputs import atomic_path
from crystint.online.books import Books
from crystint.online.faults import DAMAGES, FAILURES, Action

__all__ = ["SeriesTruth", "Truth", "ranges"]


def ranges(numbers: Iterable[int]) -> list[list[int]]:
    """Numbers as ranges, first and last.

    Examples
    --------
    >>> from crystint.online.truth import ranges
    >>> ranges([7, 0, 1, 2])
    [[0, 2], [7, 7]]
    """
    sorted_ = np.unique(np.fromiter(numbers, np.int64))
    if not len(sorted_):
        return []
    breaks = np.flatnonzero(np.diff(sorted_) > 1)
    first, last = np.append(0, breaks + 1), np.append(breaks, len(sorted_) - 1)
    return [[int(sorted_[i]), int(sorted_[j])] for i, j in zip(first, last)]


class _Numbers:
    """A set of image numbers, a byte each."""

    def __init__(self) -> None:
        self._there = np.zeros(0, np.bool_)

    def add(self, number: int) -> None:
        if number >= len(self._there):
            self._there = np.concatenate([self._there, np.zeros(max(1024, number + 1, len(self._there)), np.bool_)])
        self._there[number] = True

    def __contains__(self, number: int) -> bool:
        return number < len(self._there) and bool(self._there[number])

    def __len__(self) -> int:
        return int(self._there.sum())

    @property
    def values(self) -> NDArray[np.int64]:
        return np.flatnonzero(self._there)


@dataclass(eq=False)
class SeriesTruth:
    """What was done in a series. Numbers of images, each once."""

    id: int
    unique_id: str
    announced: int | None
    """images that the start told; None = nothing was told"""
    images: int = 0
    """taken, sent or not"""
    starts: int = 0
    """start messages that were sent"""
    ends: int = 0
    """end messages that were sent"""
    early: bool = False
    """ended before all images were taken: broken off, aborted"""
    sent: _Numbers = field(default_factory=_Numbers)
    """with their number in the message, damaged ones excepted"""
    dropped: _Numbers = field(default_factory=_Numbers)
    """never sent, by a fault"""
    not_taken: _Numbers = field(default_factory=_Numbers)
    """that nobody fetched in time, so that they were thrown away"""
    repeated: list[int] = field(default_factory=list)
    differing: list[int] = field(default_factory=list)
    """of the repeated ones, with other bytes than the first"""
    late: list[int] = field(default_factory=list)
    """sent while the series went on, after their turn"""
    after_end: list[int] = field(default_factory=list)
    damaged: dict[str, list[int]] = field(default_factory=dict)
    """by the kind of damage; sent so that the number cannot be read"""
    failed: dict[str, list[int]] = field(default_factory=dict)
    """by the kind of fault; the number can be read"""
    unsure: list[list[int]] = field(default_factory=list)
    """ranges that were perhaps in a queue when the detector was killed"""

    def took(self, action: Action, delivered: bool) -> None:
        """Note an image that was sent, or that nobody fetched."""
        number, way = action.number, action.way
        if not action.again and not action.late:
            self.images = max(self.images, number + 1)
        if not delivered:
            if not action.again:
                self.not_taken.add(number)
            return
        if way in DAMAGES:
            self.damaged.setdefault(way, []).append(number)
            return
        if action.again and number in self.sent:
            self.repeated.append(number)
            if way == "other_bytes":
                self.differing.append(number)
            return
        self.sent.add(number)
        if way in FAILURES:
            self.failed.setdefault(way, []).append(number)
        if action.late:
            (self.after_end if self.ends else self.late).append(number)

    @property
    def books(self) -> Books:
        """Those that a receiver comes to which waits for the images after the end, and has time for all. Without an end
        it cannot know of images after the last one that came."""
        received = len(self.sent)
        failed = sum(map(len, self.failed.values()))
        last = int(max(self.sent.values, default=-1))
        told = self.announced if self.announced and self.ends else 0
        return Books(
            expected=max(told, last + 1),
            received=received,
            analysed=received - failed,
            failed=failed,
            duplicate=len(self.repeated),
            differing=len(self.differing),
            damaged=sum(map(len, self.damaged.values())),
            second_ends=max(self.ends - 1, 0),
            dropped=len(self.not_taken),
            ended=True,
            last=last,
        )

    def to_dict(self) -> dict[str, Any]:
        """JSON-able."""
        return {
            "series_id": self.id,
            "series_unique_id": self.unique_id,
            "announced": self.announced,
            "images": self.images,
            "starts": self.starts,
            "ends": self.ends,
            "early": self.early,
            "sent": ranges(self.sent.values),
            "dropped": ranges(self.dropped.values),
            "not_taken": ranges(self.not_taken.values),
            "repeated": self.repeated,
            "differing": self.differing,
            "late": self.late,
            "after_end": self.after_end,
            "damaged": self.damaged,
            "failed": self.failed,
            "unsure": self.unsure,
            "books": self.books.to_dict(),
        }


@dataclass(eq=False)
class Truth:
    """What a simulated detector did."""

    described: Mapping[str, Any]
    """its settings"""
    peaks: NDArray[np.void]
    """those planted, structured array of `crystint.simulate.TRUTH_DTYPE`; ``frame`` counts the frames that are sent in
    turn"""
    frames: int
    """that are sent in turn: image n shows frame n modulo this"""
    series: list[SeriesTruth] = field(default_factory=list)
    rate: float | None = None
    """images per second that were taken; None = not known yet"""

    def to_dict(self) -> dict[str, Any]:
        """JSON-able."""
        names = self.peaks.dtype.names or ()
        return {
            "type": "crystint-simulation",
            "version": 1,
            **self.described,
            "rate": self.rate,
            "series": [series.to_dict() for series in self.series],
            "frames": self.frames,
            "peaks": {name: _plain(self.peaks[name]) for name in names},
        }

    def write(self, path: str | Path, overwrite: bool = False) -> None:
        """As JSON.

        Raises
        ------
        FileError
            If the file is there and not to be replaced, or cannot be written.
        """
        with atomic_path(path, overwrite) as made:
            made.write_text(json.dumps(self.to_dict(), allow_nan=False) + "\n", encoding="utf-8")


def _plain(values: NDArray[Any]) -> list[Any]:
    """Numbers of JSON; null for NaN."""
    if values.dtype.kind != "f":
        return values.tolist()  # type: ignore[no-any-return]
    return [None if np.isnan(value) else round(float(value), 4) for value in values]
