"""Messages of a simulated detector, made of frames that are packed before."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from crystint.online.faults import Way
from crystint.stream import (
    End,
    Image,
    PackedFrame,
    SeriesKey,
    Start,
    encode_end,
    encode_frame,
    encode_image,
    encode_start,
)
from crystint.stream.cbor import encode
from crystint.stream.typed_arrays import frame_tag

__all__ = ["PackedImage", "Wire"]

PackedImage = Mapping[str, PackedFrame]
"""The frames of an image, by channel."""
_HUGE = (2**63).to_bytes(8, "big")
_HEADER = 12
"""bytes before the first block of bitshuffle and LZ4"""


class Wire:
    """From frames to the parts of messages.

    Parameters
    ----------
    frames : sequence of mapping of channel to PackedFrame
        Sent in turn.
    start : Start
        What the detector tells of itself; its series is not looked at.
    ways : collection of str
        How images will be sent, besides as they are: made now, so that nothing is packed later.
    """

    def __init__(self, frames: Sequence[PackedImage], start: Start, ways: Sequence[Way] = ()) -> None:
        self._frames, self._start, self.dialect = frames, start, start.dialect
        self._cbor = start.dialect != "legacy"
        self._data: dict[tuple[int, str], bytes] = {}
        self._altered: dict[tuple[int, str], PackedImage] = {}
        made = [way for way in ways if way in _ALTERED]
        for number in range(len(frames)) if isinstance(frames, list | tuple) else ():
            for way in ("", *made):
                self._body(number, way)

    def start(self, series: SeriesKey, images: int | None) -> tuple[Any, ...]:
        """The message that starts a series of so many images."""
        return encode_start(replace(self._start, series=series, images=images))

    def end(self, series: SeriesKey) -> tuple[Any, ...]:
        """The message that ends it."""
        return encode_end(End(series), self.dialect)

    def image(
        self,
        series: SeriesKey,
        number: int,
        way: Way = "",
        *,
        origin: int,
        exposed: tuple[int, int],
        damaged_byte: int = 3,
    ) -> tuple[Any, ...]:
        """The message of an image.

        Parameters
        ----------
        series : SeriesKey
        number : int
        way : str
            As `crystint.online.faults.Way`.
        origin : int
            ns since 1970-01-01 UTC: the date of the series.
        exposed : (int, int)
            ns since `origin`: begin and end of the exposure.
        damaged_byte : int
            Of corrupt_cbor.
        """
        begin, end = exposed
        place = number % len(self._frames)
        altered = way if way in _ALTERED else ""
        frames: PackedImage = {} if self._cbor else self._packed(place, altered)
        image = Image(series, number, frames, origin + begin, origin + end, (end - begin) / 1e9)
        parts = encode_image(image, self.dialect, origin=origin)
        if self._cbor:  # it ends with an empty map, whose place the frames take
            parts = (b"".join((memoryview(parts[0])[:-1], self._body(place, altered))),)
        if way == "corrupt_cbor":
            message = bytearray(parts[0])
            message[damaged_byte] = 0xFF
            return (bytes(message), *parts[1:])
        if way == "truncated":
            return (parts[0][: len(parts[0]) // 2], *parts[1:])
        return parts

    def _body(self, place: int, way: str) -> bytes:
        """The map of the frames, encoded; kept where the frames are sent in turn."""
        body = self._data.get((place, way))
        if body is None:
            frames = self._packed(place, way)
            body = encode({channel: frame_tag(frame) for channel, frame in frames.items()})[3:] if self._cbor else b""
            if isinstance(self._frames, list | tuple):
                self._data[place, way] = body
        return body

    def _packed(self, place: int, way: str) -> PackedImage:
        if not way:
            return self._frames[place]
        frames = self._altered.get((place, way))
        if frames is None:
            frames = {channel: _ALTERED[way](frame) for channel, frame in self._frames[place].items()}
            if not self._cbor:
                self._altered[place, way] = frames
        return frames


def _other_bytes(frame: PackedFrame) -> PackedFrame:
    pixels = frame.decode().copy()
    pixels[-1, -1] = 1 if pixels[-1, -1] == 0 else 0
    return encode_frame(pixels, frame.algorithm)


def _with_a_row_more(frame: PackedFrame) -> PackedFrame:
    pixels = frame.decode()
    return encode_frame(np.concatenate([pixels, pixels[-1:]]))


def _damaged(frame: PackedFrame) -> PackedFrame:
    """Bytes that no decoder can take for LZ4: the length of the first block is beyond the end."""
    packed = frame if frame.algorithm != "none" else encode_frame(frame.decode())
    data = packed.data.copy()
    data[_HEADER : _HEADER + 64] = 0xFF
    return replace(packed, data=data)


def _huge(frame: PackedFrame) -> PackedFrame:
    packed = frame if frame.algorithm != "none" else encode_frame(frame.decode())
    data = packed.data.copy()
    data[:8] = np.frombuffer(_HUGE, np.uint8)
    return replace(packed, data=data)


_ALTERED: dict[str, Callable[[PackedFrame], PackedFrame]] = {
    "other_bytes": _other_bytes,
    "wrong_shape": _with_a_row_more,
    "corrupt_lz4": _damaged,
    "huge_total": _huge,
    "unknown_algorithm": lambda frame: replace(frame, algorithm="middle-out"),
    "lz4": lambda frame: encode_frame(frame.decode(), "lz4"),
    "raw": lambda frame: encode_frame(frame.decode(), "none"),
}
