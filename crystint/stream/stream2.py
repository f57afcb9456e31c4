"""Messages of DECTRIS's Stream2 and of Jungfraujoch, which adds to it: one CBOR map each, told apart by its type."""

from __future__ import annotations

from typing import Any

from crystint.errors import StreamError
from crystint.stream.cbor import decode_map
from crystint.stream.messages import DamagedImage, Dialect, End, Image, Message, Other, SeriesKey
from crystint.stream.start_message import START_KEYS, start_of
from crystint.stream.times import nanoseconds, since
from crystint.stream.typed_arrays import frame_of, plain_value

__all__ = ["read_cbor"]

_KEYS = START_KEYS | {
    "type",
    "series_id",
    "series_unique_id",
    "image_id",
    "real_time",
    "series_date",
    "start_time",
    "stop_time",
    "user_data",
    "data",
}
_LONGEST_TYPE = 64
_MOST_CHANNELS = 16
_LARGEST_SERIES, _LARGEST_IMAGE = 2**63, 2**32


def read_cbor(part: Any, dialect: Dialect | None = None) -> Message:
    """Read a message of one part; see `crystint.stream.read_message`."""
    values = decode_map(part, _KEYS)
    kind = values.get("type")
    if not isinstance(kind, str) or len(kind) > _LONGEST_TYPE:
        raise StreamError(f"the type of the message is {kind!r:.60}, expected start, image, end or another word")
    if kind not in ("start", "image", "end"):
        return Other(kind, _series(values) if "series_id" in values else None, bytes(memoryview(part)))
    series = _series(values)
    if kind == "start":
        return start_of(values, series, bytes(memoryview(part)), dialect)
    if kind == "end":
        return End(series, bytes(memoryview(part)))
    return _image(values, series, part)


def _series(values: dict[str, Any]) -> SeriesKey:
    number = _whole(values, "series_id", _LARGEST_SERIES)
    unique = values.get("series_unique_id")
    if unique is None:
        return SeriesKey(number)
    if not isinstance(unique, str | int):
        raise StreamError(f"series_unique_id is {unique!r:.60}, expected a text")
    return SeriesKey(number, str(unique))


def _whole(values: dict[str, Any], key: str, limit: int) -> int:
    if key not in values:
        raise StreamError(f"a message of the type {values['type']!r} has no {key}")
    value = values[key]
    if type(value) is not int or not 0 <= value < limit:
        raise StreamError(f"{key} is {value!r:.60}, expected a whole number from 0 to {limit - 1}")
    return value


def _image(values: dict[str, Any], series: SeriesKey, part: Any) -> Image:
    number = _whole(values, "image_id", _LARGEST_IMAGE)
    try:
        data = values.get("data")
        if not isinstance(data, dict) or not 0 < len(data) <= _MOST_CHANNELS:
            what = f"{len(data)} channels" if isinstance(data, dict) else f"{type(data).__name__} as its data"
            raise StreamError(f"it has {what}, expected 1 to {_MOST_CHANNELS} channels")
        frames = {channel: frame_of(value, f"channel {channel!r:.40}") for channel, value in data.items()}
    except StreamError as error:
        raise DamagedImage(str(error), series, number) from None
    started = stopped = real_time = None
    warning = ""
    try:
        started, stopped, real_time = _times(values)
    except StreamError as error:  # the pixels are good all the same
        warning = f"image {number}: {error}; its times are not used"
    user_data = plain_value(values.get("user_data"))
    size = memoryview(part).nbytes
    return Image(series, number, frames, started, stopped, real_time, user_data, size, part, warning)


def _times(values: dict[str, Any]) -> tuple[int | None, int | None, float | None]:
    """Begin and end of the exposure, and how long it was."""
    started = stopped = None
    if values.get("series_date") is not None:
        origin = nanoseconds(values["series_date"], "series_date")
        started = since(values.get("start_time"), origin, "start_time")
        stopped = since(values.get("stop_time"), origin, "stop_time")
    real_time = since(values.get("real_time"), 0, "real_time")
    return started, stopped, None if real_time is None else real_time / 1e9
