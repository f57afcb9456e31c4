"""Where images that somebody looks at come from: the last ones of the stream, decoded when somebody asks."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

from numpy.typing import NDArray

from crystint.errors import CrystintError, RefusedError
from crystint.online.control import Control
from crystint.online.history import History
from crystint.online.ring import RingReader
from crystint.stream.messages import Image, Start
from crystint.stream.read import read_message

__all__ = ["FILE", "LAST", "LAST_HIT", "FrameSource", "HeldFrame", "RingFrames", "SeriesFrames"]

LAST, LAST_HIT = -1, -2
FILE = "file:"
"""begin of the keys of finished files"""
_DECODED = 4
"""images whose pixels are remembered"""


@dataclass(frozen=True, eq=False)
class HeldFrame:
    """An image that somebody looks at."""

    series: str
    number: int
    parts: tuple[bytes, ...]
    image: Image
    start: Start | None
    """None = the data process does not remember that series"""
    settings: Mapping[str, Any] | None = None
    """of a finished file, whose start tells all of its detector: settings in place of those of the service; None = it
    came in the stream"""

    @property
    def channel(self) -> str:
        """That is looked at."""
        return next(iter(self.image.frames))

    @cached_property
    def pixels(self) -> NDArray[Any]:
        """[slow, fast] of the channel."""
        try:
            return self.image.frame(self.channel)
        except CrystintError as error:
            raise RefusedError("not_found", f"image {self.number} cannot be unpacked: {error}", "id") from None


class FrameSource(Protocol):
    """Images of series, one at a time."""

    def held(self, series: str | None = None) -> tuple[str | None, list[int]]:
        """The series, and the numbers of its images that are there, in their order.

        Parameters
        ----------
        series : str, optional
            `str` of its key; None = the newest.
        """

    def frame(self, number: int, series: str | None = None) -> HeldFrame:
        """An image.

        Parameters
        ----------
        number : int
            -1 = the last one, -2 = the last hit.
        series : str, optional
            None = the newest.

        Raises
        ------
        RefusedError
            not_found, with the numbers that are there.
        """


class SeriesFrames:
    """Images of the stream and of finished files, by the keys of their series; a `FrameSource`.

    Parameters
    ----------
    stream : FrameSource or None
        None = no images of a stream are kept; then the newest series is the file that was opened last.
    files : FrameSource
        Of the keys that begin with `FILE`.
    """

    def __init__(self, stream: FrameSource | None, files: FrameSource) -> None:
        self.stream, self.files = stream, files

    def _of(self, series: str | None) -> FrameSource:
        if (series or "").startswith(FILE):
            return self.files
        if self.stream is not None:
            return self.stream
        if series is None and self.files.held()[0] is not None:
            return self.files
        raise RefusedError("not_found", "no images are held: the service keeps none for viewers")

    def held(self, series: str | None = None) -> tuple[str | None, list[int]]:
        """As `FrameSource.held`."""
        return self._of(series).held(series)

    def frame(self, number: int, series: str | None = None) -> HeldFrame:
        """As `FrameSource.frame`."""
        return self._of(series).frame(number, series)


class RingFrames:
    """The images of a ring, a `FrameSource`.

    Parameters
    ----------
    ring : RingReader or function that gives one
    control : Control
        Asked for the start messages of series.
    history : History
        Asked for the last hit.
    """

    def __init__(self, ring: RingReader | Callable[[], RingReader], control: Control, history: History) -> None:
        self._reader: RingReader | None = None
        self._ring, self._control, self._history = ring, control, history
        self._frames: OrderedDict[tuple[str, int], HeldFrame] = OrderedDict()
        self._starts: dict[str, Start | None] = {}
        self._newest: tuple[int, HeldFrame] | None = None
        """`RingReader.newest`, and that image"""
        self._lock = threading.Lock()

    @property
    def reader(self) -> RingReader:
        """Of the ring."""
        with self._lock:
            if self._reader is None:
                self._reader = self._ring if isinstance(self._ring, RingReader) else self._ring()
            return self._reader

    def held(self, series: str | None = None) -> tuple[str | None, list[int]]:
        """The series, and the numbers of its images that are held, the oldest first."""
        return self.reader.numbers_of(series)

    def frame(self, number: int, series: str | None = None) -> HeldFrame:
        """An image, as `FrameSource.frame`."""
        wanted: int | None = number
        count = self.reader.newest
        if number == LAST:
            wanted, newest = None, self._newest
            if series is None and newest is not None and newest[0] == count > 0:
                return newest[1]
        elif number == LAST_HIT:
            remembered = self._history.series(series)
            wanted = None if remembered is None else remembered.last_hit
            if remembered is None or wanted is None:
                raise RefusedError("not_found", "there was no hit yet", "id")
            series = str(remembered.key)
        held = self.reader.message(wanted, series)
        if held is None:
            raise RefusedError("not_found", f"image {number} is not held: {self._there(series)}", "id")
        key = (held.series, held.number)
        with self._lock:
            frame = self._frames.get(key)
        if frame is None:
            message = read_message(held.parts)
            assert isinstance(message, Image)  # the ring has nothing else
            frame = HeldFrame(held.series, held.number, held.parts, message, self._start(held.series))
        with self._lock:
            self._frames[key] = frame
            self._frames.move_to_end(key)
            while len(self._frames) > _DECODED:
                self._frames.popitem(last=False)
        if wanted is None and series is None:
            self._newest = (count, frame)
        return frame

    def _there(self, series: str | None) -> str:
        _, numbers = self.held(series)
        return f"{numbers[0]} to {numbers[-1]} are" if numbers else "none are"

    def _start(self, series: str) -> Start | None:
        if self._starts.get(series) is None:
            try:
                message = read_message([self._control.start_message(series)])
            except CrystintError:  # it is closed and forgotten
                message = None
            while len(self._starts) > 16:
                del self._starts[next(iter(self._starts))]
            self._starts[series] = message if isinstance(message, Start) else None
        return self._starts[series]

    def close(self) -> None:
        """Let go of the ring."""
        if self._reader is not None:
            self._reader.close()
