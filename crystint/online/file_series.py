"""A finished file as a series: its images, and what was found in them, both read when somebody asks."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from crystint.errors import CrystintError, RefusedError
from crystint.model.frame_table import FRAME_DTYPE, FrameTable
from crystint.model.peaks import PeakList
from crystint.online.frame_source import FILE, LAST, LAST_HIT, HeldFrame
from crystint.online.history import Rows, SeriesHistory
from crystint.online.result import ResultTable, empty_results
from crystint.online.spot_sums import SpotSums
from crystint.online.strip import Completeness
from crystint.stream.messages import Image, SeriesKey, Start
from crystint.stream.packed_frame import encode_frame

__all__ = ["EmptyFrames", "FileFrames", "FileKey", "FileSeries", "PeaksOfFile", "SpotOverlay", "results_of_table"]

_DECODED = 4
"""images whose pixels are remembered"""
CHANNEL = "data"
"""name of the images of a file among those of an exposure"""


@dataclass(frozen=True, slots=True)
class FileKey(SeriesKey):
    """The key of a finished file.

    Examples
    --------
    >>> from crystint.online.file_series import FileKey
    >>> str(FileKey(0, "night/run_master.h5"))
    'file:night/run_master.h5'
    """

    def __str__(self) -> str:
        return FILE + self.unique_id


class FileFrames(Protocol):
    """Frames of a file; `crystint.io.frames.sequence.Frames` is one."""

    @property
    def shape(self) -> tuple[int, int]:
        """(slow, fast)"""

    @property
    def dtype(self) -> np.dtype[Any]:
        """of the frames"""

    def __len__(self) -> int: ...

    def read(self, index: int) -> NDArray[Any]:
        """One frame."""

    def close(self) -> None:
        """Let go of the file."""


@dataclass(frozen=True)
class EmptyFrames:
    """Frames without a count, below the spots of a list whose frames are not there."""

    shape: tuple[int, int]
    count: int

    @property
    def dtype(self) -> np.dtype[Any]:
        """uint16"""
        return np.dtype(np.uint16)

    def __len__(self) -> int:
        return self.count

    def read(self, index: int) -> NDArray[Any]:
        """Zeros."""
        return np.zeros(self.shape, self.dtype)

    def close(self) -> None:
        """Nothing is open."""


class PeaksOfFile(Protocol):
    """Peaks by frame; `crystint.io.peaks.by_frame.PeaksByFrame` is one."""

    def of(self, frame: int) -> PeakList:
        """Those of a frame."""

    def blocks(self) -> Iterator[PeakList]:
        """All of them, those of some frames at a time."""


@dataclass(frozen=True, eq=False)
class SpotOverlay:
    """Spots over the images of a series, of a peak list or of a run of the search: {name, source, image -> spots}."""

    name: str
    """that people see, once in a series"""
    source: str
    """ "file:peaks.cxi", "job:3" """
    peaks: PeaksOfFile
    frame_of: Callable[[int], int] = field(default=lambda image: image)
    """the frame of the list that an image of the series is; negative = it is none of them"""

    def spots(self, image: int) -> PeakList:
        """Of an image."""
        peaks = self.peaks.of(self.frame_of(image)).copy()
        peaks["frame"] = image
        return peaks

    def described(self) -> dict[str, Any]:
        """JSON-able."""
        return {"name": self.name, "source": self.source}


@dataclass(eq=False)
class FileSeries(SeriesHistory):
    """An opened file: a `SeriesHistory` whose rows are those of the file, and the frames of its images."""

    kind: str = ""
    """of `crystint.io.kinds`"""
    frames: FileFrames = field(default_factory=lambda: EmptyFrames((1, 1), 0))
    start: Start | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)
    """in place of those of the service: what places the detector is in `start`"""
    notes: tuple[str, ...] = ()
    """what was guessed, left out, or is not there"""
    files: tuple[Any, ...] = ()
    """paths of the files that it was opened of"""
    sources: Callable[[int], tuple[str, int]] | None = None
    """file and number in it of an image; None = it is not told"""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.overlays: dict[str, SpotOverlay] = {}
        self._decoded: OrderedDict[int, HeldFrame] = OrderedDict()
        self._reading = threading.Lock()
        self.ended = True

    def put(self, rows: ResultTable, regions: NDArray[np.void] | None = None, roi_names: tuple[str, ...] = ()) -> None:
        """Have these rows, one for each image."""
        self._now = (len(rows), Rows(rows, regions, roi_names))
        self.completeness = Completeness()
        self.completeness.add(rows)
        self.last = int(rows["frame"][-1]) if len(rows) else None
        hits = rows["frame"][rows["hit"] == 1]
        self.last_hit = int(hits[-1]) if len(hits) else None

    def add_overlay(self, overlay: SpotOverlay) -> SpotOverlay:
        """Put spots over the images; the first ones are those of the series. The name may get a number."""
        name, number = overlay.name, 1
        while name in self.overlays:
            number += 1
            name = f"{overlay.name} {number}"
        named = SpotOverlay(name, overlay.source, overlay.peaks, overlay.frame_of)
        self.overlays[name] = named
        self.__dict__.pop("_sums_of_file", None)
        return named

    @property
    def looked_at(self) -> bool:
        """Whether its spots are in files; otherwise they are found when an image is looked at."""
        return bool(self.overlays)

    def spots(self, number: int) -> PeakList | None:
        """Of an image; None = no file has spots of this series."""
        overlay = next(iter(self.overlays.values()), None)
        return None if overlay is None else overlay.spots(number)

    @property
    def sums(self) -> SpotSums:
        """Over all spots of the first list, which is read for it."""
        return self._sums_of_file

    @cached_property
    def _sums_of_file(self) -> SpotSums:
        sums = SpotSums()
        for overlay in list(self.overlays.values())[:1]:
            for peaks in overlay.peaks.blocks():
                sums.add(peaks, self.info.get("shape"))
        return sums

    def frame(self, number: int) -> HeldFrame:
        """An image; -1 = the last one, -2 = the last hit.

        Raises
        ------
        RefusedError
            not_found, with what there is, or why it cannot be read.
        """
        wanted = len(self.frames) - 1 if number == LAST else number
        if number == LAST_HIT:
            if self.last_hit is None:
                raise RefusedError("not_found", f"{self.key} has no hit, as far as its table of frames tells", "id")
            wanted = self.last_hit
        if not 0 <= wanted < len(self.frames):
            there = f"0 to {len(self.frames) - 1} are" if len(self.frames) else "it has none"
            raise RefusedError("not_found", f"image {wanted} is not in {self.key}: {there}", "id")
        with self._reading:
            if wanted not in self._decoded:
                self._decoded[wanted] = self._read(wanted)
                while len(self._decoded) > _DECODED:
                    self._decoded.popitem(last=False)
            self._decoded.move_to_end(wanted)
            return self._decoded[wanted]

    def _read(self, number: int) -> HeldFrame:
        try:
            pixels = self.frames.read(number)
        except CrystintError as error:
            raise RefusedError("not_found", f"image {number} of {self.key} cannot be read: {error}", "id") from None
        image = Image(self.key, number, {CHANNEL: encode_frame(pixels, "none")})
        return HeldFrame(str(self.key), number, (), image, self.start, self.settings)

    def close(self) -> None:
        """Let go of the file."""
        with self._reading:
            self._decoded.clear()
            self.frames.close()

    def described(self) -> dict[str, Any]:
        """JSON-able."""
        start = self.start
        return {
            "series": str(self.key),
            "kind": self.kind,
            "images": len(self.frames),
            "shape": list(self.frames.shape) if len(self.frames) else None,
            "dtype": self.frames.dtype.str,
            "geometry": None if start is None or start.geometry is None else start.geometry.to_dict(),
            "looked_at": self.looked_at,
            "overlays": [overlay.described() for overlay in self.overlays.values()],
            "notes": list(self.notes),
        }


def results_of_table(table: FrameTable) -> ResultTable:
    """Rows of results with what a table of frames tells; columns of a stream, where the table has them, as well."""
    rows = empty_results(len(table))
    there = set(table.dtype.names or ())
    for name in {*(FRAME_DTYPE.names or ()), *(rows.dtype.names or ())} & there:
        rows[name] = table[name]
    return rows
