"""Where the data process gives its results to: publishers, files, and whoever asks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from crystint.model.geometry import Geometry
from crystint.online.books import Books
from crystint.online.result import Result
from crystint.stream.messages import Image, SeriesKey, Start

__all__ = ["Event", "Run", "Sink"]


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened, for people and programs that follow."""

    name: str
    """one of state, series_start, file, settings, rois, mask, alarm, note, warning, series_end, superseded"""
    data: Mapping[str, Any]
    """JSON-able"""
    time: int = 0
    """ns since 1970-01-01 UTC"""
    number: int = 0
    """one more with each, since the service began"""


class Run(Protocol):
    """A series and what is done with it, as the receiver has it. Its attributes may be read from any thread."""

    start: Start
    name: str
    """of its outputs, without folder and suffix"""
    folder: Path | None
    """of its outputs; None = no files are wanted"""
    geometry: Geometry | None
    """that is used: the one that was given, else that of the start; None = there is none, so no peaks are found"""
    mask: NDArray[np.uint32] | None
    """uint32 [slow, fast], that is used: of the detector, and bit 8 of the user; None = it is not known yet"""
    user: Mapping[str, Any]
    """what was asked for at /start: grid, tokens, user data"""

    @property
    def key(self) -> SeriesKey:
        """Of the series."""

    @property
    def books(self) -> Books:
        """Now."""

    def described(self) -> Mapping[str, Any]:
        """JSON-able: settings and regions of every version with the first image that each applies to, geometry, device,
        versions: the provenance of its outputs."""


@dataclass
class Sink:
    """Takes what the data process gives. All methods are called in the order of the series: `begin` is the first, and
    `end` the last of each. `image` comes from the thread of the receiver, the images before `begin` and all other calls
    from that of the results. None of them may wait: what takes time is done by a thread of the
    sink, behind a queue bounded in bytes. An error is reported and ends the sink for that series, nothing else."""

    name: str = field(default="", init=False)
    wants_sparse: bool = field(default=False, init=False)
    """whether its results are to have their sparse images"""

    @property
    def full(self) -> bool:
        """Whether it could not take another image now. A receiver that is to lose none takes none from the detector
        until it can."""
        return False

    def begin(self, run: Run) -> None:
        """A series starts."""

    def image(self, run: Run, image: Image) -> None:
        """An image came: the first one of its number. Its memory lives as long as somebody holds the image."""

    def results(self, run: Run, results: Sequence[Result]) -> None:
        """Results in the order of their numbers, late ones excepted."""

    def event(self, event: Event) -> None:
        """Something happened."""

    def end(self, run: Run) -> None:
        """The series is final: its books are closed."""

    def busy(self, run: Run) -> bool:
        """Whether its outputs of a series that ended are not complete yet."""
        return False

    def refusal(self) -> str:
        """Why no series should be started now; empty = there is no reason."""
        return ""

    def close(self) -> None:
        """The service ends. What is unfinished is finished here."""

    def status(self) -> Mapping[str, Any]:
        """JSON-able: for the status of the service."""
        return {}
