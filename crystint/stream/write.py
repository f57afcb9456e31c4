"""From what a detector tells to the parts of its messages: the inverse of `crystint.stream.read`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from crystint.stream import jungfraujoch
from crystint.stream.cbor import encode
from crystint.stream.legacy import legacy_end, legacy_image, legacy_start
from crystint.stream.messages import Dialect, End, Image, SeriesKey, Start
from crystint.stream.packed_frame import encode_frame
from crystint.stream.times import date_text, fraction
from crystint.stream.typed_arrays import frame_tag
from crystint.units import energy_of

__all__ = ["encode_end", "encode_image", "encode_start"]


def encode_start(start: Start, extra: Mapping[str, Any] | None = None) -> tuple[bytes, ...]:
    """The parts of the message that starts a series, in the dialect of the start.

    Parameters
    ----------
    start : Start
        Its masks are sent where it has them, as a detector does with header_detail = all.
    extra : mapping, optional
        More keys, or other values of keys; None = leave the key out.

    Returns
    -------
    tuple of bytes

    Raises
    ------
    StreamError
        When a value cannot be sent.

    Examples
    --------
    >>> import crystint
    >>> from crystint.stream import SeriesKey, Start, encode_start, read_message
    >>> geometry = crystint.Geometry((12, 20), pixel_size=(75e-6, 75e-6), distance=0.2, beam_center=(6, 10))
    >>> parts = encode_start(Start(SeriesKey(7), (12, 20), "stream2", images=3, geometry=geometry))
    >>> read_message(parts).geometry.distance
    0.2
    """
    if start.dialect == "legacy":
        return legacy_start(start, extra)
    keys: dict[str, Any] = {"type": "start", **_series(start.series)}
    keys["arm_date"] = None if start.armed is None else date_text(start.armed)
    keys |= _geometry(start)
    instrument = start.instrument
    keys |= {
        "channels": list(start.channels) or None,
        "count_time": start.count_time,
        "detector_description": instrument.detector,
        "detector_serial_number": instrument.serial,
        "frame_time": start.frame_time,
        "goniometer": {axis: {"start": a, "increment": b} for axis, (a, b) in start.goniometer.items()} or None,
        "image_dtype": None if start.dtype is None else start.dtype.name,
        "image_size_x": start.shape[1],
        "image_size_y": start.shape[0],
        "number_of_images": start.images,
        "pixel_mask": {name: frame_tag(encode_frame(mask)) for name, mask in start.masks.items()} or None,
        "pixel_mask_enabled": bool(start.masks) or None,
        "saturation_value": None if instrument.saturation is None else int(instrument.saturation),
        "sensor_material": instrument.material,
        "sensor_thickness": instrument.thickness,
        "user_data": start.user_data,
    }
    if start.dialect == "jungfraujoch":
        keys |= jungfraujoch.start_keys(start)
    return _message(keys, extra)


def encode_image(
    image: Image, dialect: Dialect = "stream2", extra: Mapping[str, Any] | None = None, *, origin: int | None = None
) -> tuple[bytes, ...]:
    """The parts of the message of an image.

    Parameters
    ----------
    image : Image
        `crystint.stream.encode_frame` packs its frames.
    dialect : "stream2", "jungfraujoch" or "legacy"
    extra : mapping, optional
        More keys, or other values of keys; None = leave the key out.
    origin : int, optional
        ns since 1970-01-01 UTC: the date of the series, to which the times of its images are relative. None = the
        second in which the image started.

    Returns
    -------
    tuple of bytes

    Raises
    ------
    StreamError
        When a value cannot be sent.

    Examples
    --------
    >>> import numpy as np
    >>> from crystint.stream import Image, SeriesKey, encode_frame, encode_image, read_message
    >>> frames = {"threshold_1": encode_frame(np.full((12, 20), 7, np.uint16))}
    >>> image = read_message(encode_image(Image(SeriesKey(7), 0, frames)))
    >>> image.number, int(image.frame().sum())
    (0, 1680)
    """
    if dialect == "legacy":
        return legacy_image(image, extra)
    keys: dict[str, Any] = {"type": "image", **_series(image.series), "image_id": image.number}
    if image.real_time is not None:
        keys["real_time"] = fraction(round(image.real_time * 1e9))
    if image.started is not None:
        origin = image.started // 10**9 * 10**9 if origin is None else origin
        keys["series_date"] = date_text(origin)
        keys["start_time"] = fraction(image.started - origin)
        keys["stop_time"] = None if image.stopped is None else fraction(image.stopped - origin)
    keys["user_data"] = image.user_data
    keys["data"] = {channel: frame_tag(frame) for channel, frame in image.frames.items()}
    return _message(keys, extra)


def encode_end(end: End, dialect: Dialect = "stream2", extra: Mapping[str, Any] | None = None) -> tuple[bytes, ...]:
    """The parts of the message that ends a series.

    Parameters
    ----------
    end : End
    dialect, extra
        As of `encode_image`.

    Returns
    -------
    tuple of bytes

    Raises
    ------
    StreamError
        When a value cannot be sent.

    Examples
    --------
    >>> from crystint.stream import End, SeriesKey, encode_end
    >>> len(encode_end(End(SeriesKey(7, "01HBV3JPF9T4ZDPADX6EMK6XMZ")))[0])
    69
    """
    if dialect == "legacy":
        return legacy_end(end)
    return _message({"type": "end", **_series(end.series)}, extra)


def _message(keys: dict[str, Any], extra: Mapping[str, Any] | None) -> tuple[bytes, ...]:
    return (encode({key: value for key, value in {**keys, **(extra or {})}.items() if value is not None}),)


def _series(series: SeriesKey) -> dict[str, Any]:
    return {"series_id": series.id, "series_unique_id": series.unique_id or None}


def _geometry(start: Start) -> dict[str, Any]:
    geometry = start.geometry
    if geometry is None:
        return {}
    (slow, fast), (high, wide) = geometry.beam_center, geometry.pixel_size
    return {
        "beam_center_x": fast,
        "beam_center_y": slow,
        "detector_translation": [fast * wide, slow * high, -geometry.distance],
        "incident_energy": None if geometry.wavelength is None else energy_of(geometry.wavelength),
        "incident_wavelength": geometry.wavelength,
        "pixel_size_x": wide,
        "pixel_size_y": high,
    }
