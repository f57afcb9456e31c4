"""What a detector's stream tells, whatever its dialect: the start of a series, its images, its end."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from crystint.errors import StreamError
from crystint.model.geometry import Geometry
from crystint.model.instrument import Instrument
from crystint.model.partial_geometry import PartialGeometry
from crystint.model.valid_values import FileLimits, ValidValues, valid_values
from crystint.stream.packed_frame import PackedFrame

__all__ = ["DamagedImage", "Dialect", "End", "Image", "Message", "Other", "SeriesKey", "Start"]

Dialect = Literal["stream2", "jungfraujoch", "legacy"]


@dataclass(frozen=True, slots=True)
class SeriesKey:
    """What a series is told by: both together, since some sources begin their numbers anew, and some never change the
    text.

    Examples
    --------
    >>> from crystint.stream import SeriesKey
    >>> str(SeriesKey(7, "01HBV3")), SeriesKey(7) == SeriesKey(7, "01HBV3")
    ('7-01HBV3', False)
    """

    id: int
    """number, as the source counts"""
    unique_id: str = ""
    """text that no other series should have; empty = not told"""

    def __str__(self) -> str:
        return f"{self.id}-{self.unique_id}" if self.unique_id else str(self.id)


class DamagedImage(StreamError):  # noqa: N818 (it is the image that is in error)
    """The message is an image, and whole, but a frame in it cannot be used.

    Parameters
    ----------
    text : str
    series : SeriesKey
    number : int
        Of the image in its series: it is a failed one, not one that never came.

    Examples
    --------
    >>> from crystint.stream import DamagedImage, SeriesKey
    >>> raise DamagedImage("channel a has 5 bytes, expected 12", SeriesKey(7), 1234)
    Traceback (most recent call last):
    crystint.stream.messages.DamagedImage: image 1234 of series 7: channel a has 5 bytes, expected 12
    """

    def __init__(self, text: str, series: SeriesKey, number: int) -> None:
        super().__init__(f"image {number} of series {series}: {text}")
        self.series, self.number = series, number


@dataclass(frozen=True, slots=True, eq=False)
class Start:
    """The start of a series. What the source does not tell is None or empty; nothing is assumed.

    Made by `read_message`.
    """

    series: SeriesKey
    """that starts"""
    shape: tuple[int, int]
    """(slow, fast) pixels"""
    dialect: Dialect
    """of the source: "stream2", "jungfraujoch" or "legacy" """
    images: int | None = None
    """how many may come at most; a series may end before"""
    channels: tuple[str, ...] = ()
    """names of the images of an exposure, such as "threshold_1"; empty = not told"""
    dtype: np.dtype[Any] | None = None
    """of the images; None = not told: they tell it themselves"""
    geometry: Geometry | None = None
    """None = some of distance, pixel size and beam centre is not told"""
    partial: PartialGeometry = field(default_factory=PartialGeometry)
    """what of the geometry is told, where that is not all"""
    masks: Mapping[str, NDArray[np.uint32]] = field(default_factory=dict)
    """uint32 [slow, fast] of each channel, bits as NXmx has them"""
    valid: ValidValues | None = None
    """which values of `dtype` are measurements; None = it is not told: see `valid_of`"""
    error_value: float | None = None
    """that stands for pixels without a measurement, where the source tells it"""
    instrument: Instrument = field(default_factory=Instrument)
    """with `saturation`, the largest value that is a measurement"""
    frame_time: float | None = None
    """s, from the start of an image to that of the next"""
    count_time: float | None = None
    """s"""
    goniometer: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    """degrees: start and increment per image of each axis"""
    armed: int | None = None
    """ns since 1970-01-01 UTC"""
    user_data: Any = None
    """what whoever configured the detector wanted to be sent along"""
    warnings: tuple[str, ...] = ()
    """what was ignored in the message and why, a sentence each"""
    message: bytes = b""
    """as it came; parts of a multipart message are joined by `crystint.stream.legacy`"""

    def valid_of(self, dtype: np.dtype[Any]) -> ValidValues:
        """Which values are measurements, as `crystint.open_frames` decides it for a file that tells the same.

        Parameters
        ----------
        dtype : dtype
            Of the images.
        """
        if self.valid is not None and self.dtype == dtype:
            return self.valid
        limits = FileLimits(error=self.error_value)
        return valid_values(dtype.newbyteorder("="), limits, masked=bool(self.masks), lowest=None, negative=True)


@dataclass(frozen=True, slots=True, eq=False)
class Image:
    """One exposure: a packed frame of each channel, in the memory of the message.

    Made by `read_message`.
    """

    series: SeriesKey
    """that it is an image of"""
    number: int
    """of the image in its series, from 0"""
    frames: Mapping[str, PackedFrame]
    """by channel"""
    started: int | None = None
    """ns since 1970-01-01 UTC: begin of the exposure"""
    stopped: int | None = None
    """its end"""
    real_time: float | None = None
    """s"""
    user_data: Any = None
    """of this image"""
    size: int = 0
    """bytes of the message"""
    message: Any = None
    """the message itself, a buffer; of a multipart one a tuple of buffers"""
    warning: str = ""
    """what was ignored in the message and why, a sentence"""

    def frame(self, channel: str | None = None) -> NDArray[Any]:
        """Decode a frame.

        Parameters
        ----------
        channel : str, optional
            None = the first.

        Returns
        -------
        integer [slow, fast]

        Raises
        ------
        StreamError
            When its bytes are damaged, or there is no such channel.
        """
        name = next(iter(self.frames)) if channel is None else channel
        if name not in self.frames:
            raise StreamError(f"image {self.number} has no channel {name!r}; it has {', '.join(self.frames)}")
        return self.frames[name].decode()


@dataclass(frozen=True, slots=True)
class End:
    """The end of a series.

    Made by `read_message`.
    """

    series: SeriesKey
    """that ends"""
    message: bytes = b""
    """as it came"""


@dataclass(frozen=True, slots=True, eq=False)
class Other:
    """A message of a known dialect that is none of these: calibration, metadata.

    Made by `read_message`.
    """

    type: str
    """what it calls itself"""
    series: SeriesKey | None = None
    """None = it belongs to none"""
    message: bytes = b""
    """as it came"""


Message = Start | Image | End | Other
