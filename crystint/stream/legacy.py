"""DECTRIS's first stream ("legacy", the factory setting of many detectors): JSON and bytes, in several parts.

A start is translated into the keys of Stream2 and read as one. Its names of detectors, unlike those of Stream2, tell
nothing of thresholds: there is one channel.
"""

from __future__ import annotations

import json
import math
import re
import struct
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from crystint.arrays import Bytes
from crystint.errors import StreamError
from crystint.io.hdf5.filters import library
from crystint.stream.cbor import LONGEST_MESSAGE, Tag, decode, encode
from crystint.stream.messages import DamagedImage, End, Image, Message, Other, SeriesKey, Start
from crystint.stream.packed_frame import PackedFrame, check_length, check_shape, encode_frame
from crystint.stream.start_message import start_of
from crystint.units import energy_of

__all__ = ["CHANNEL", "legacy_end", "legacy_image", "legacy_start", "read_legacy", "split_parts"]

CHANNEL = "default"
_LONGEST_JSON = 2**20
_MOST_PARTS = 16
_LARGEST_SERIES, _LARGEST_IMAGE = 2**63, 2**32
_EPOCH_BEGINS = 10**18
"""ns; larger times are since 1970, smaller ones since the detector was armed"""
_TYPES = ("uint8", "uint16", "uint32")
_ENCODING = re.compile(r"(?:bs(8|16|32)-)?(lz4)?([<>])")
_TRANSLATED = {
    "beam_center_x": "beam_center_x",
    "beam_center_y": "beam_center_y",
    "count_time": "count_time",
    "countrate_correction_count_cutoff": "saturation_value",
    "description": "detector_description",
    "detector_distance": "detector_distance",
    "detector_number": "detector_serial_number",
    "frame_time": "frame_time",
    "photon_energy": "incident_energy",
    "sensor_material": "sensor_material",
    "sensor_thickness": "sensor_thickness",
    "wavelength": "incident_wavelength",
    "x_pixel_size": "pixel_size_x",
    "x_pixels_in_detector": "image_size_x",
    "y_pixel_size": "pixel_size_y",
    "y_pixels_in_detector": "image_size_y",
}
_AXES = ("omega", "chi", "kappa", "phi", "two_theta")


def _json(part: memoryview, what: str) -> dict[str, Any]:
    if len(part) > _LONGEST_JSON:
        raise StreamError(f"{what} has {len(part)} bytes, expected {_LONGEST_JSON} at most")
    try:
        values = json.loads(bytes(part))
    except (ValueError, RecursionError):
        raise StreamError(f"{what} is no JSON") from None
    if not isinstance(values, dict):
        raise StreamError(f"{what} is JSON, but no object")
    return values


def _whole(values: Mapping[str, Any], key: str, limit: int) -> int:
    value = values.get(key)
    if type(value) is not int or not 0 <= value < limit:
        raise StreamError(f"{key} is {value!r:.60}, expected a whole number from 0 to {limit - 1}")
    return value


def read_legacy(parts: Sequence[memoryview], whole: Any) -> Message:
    """Read a message.

    Parameters
    ----------
    parts : sequence of memoryview
    whole : sequence of buffers
        As they came; images keep it.

    Raises
    ------
    DamagedImage, StreamError
        As `crystint.stream.read_message`.
    """
    if not 0 < len(parts) <= _MOST_PARTS or sum(map(len, parts)) > LONGEST_MESSAGE:
        raise StreamError(f"the message has {len(parts)} parts and {sum(map(len, parts))} bytes: too many")
    head = _json(parts[0], "its first part")
    kind = head.get("htype")
    if not isinstance(kind, str):
        raise StreamError(f"the htype of its first part is {kind!r:.60}")
    series = SeriesKey(_whole(head, "series", _LARGEST_SERIES))
    if kind == "dheader-1.0":
        return _start(parts, series)
    if kind == "dimage-1.0":
        return _image(parts, series, _whole(head, "frame", _LARGEST_IMAGE), whole)
    if kind == "dseries_end-1.0":
        return End(series, bytes(parts[0]))
    return Other(kind[:64], series, encode(list(parts)))


def _start(parts: Sequence[memoryview], series: SeriesKey) -> Start:
    if len(parts) < 2:
        raise StreamError("the start of the series tells nothing of the images; set header_detail to basic or all")
    config = _json(parts[1], "the configuration of the start")
    values = {new: config[old] for old, new in _TRANSLATED.items() if old in config}
    if config.get("bit_depth_image") in (8, 16, 32):
        values["image_dtype"] = f"uint{config['bit_depth_image']}"
    images = [n for n in (config.get("nimages"), config.get("ntrigger", 1)) if type(n) is int]
    if len(images) == 2:
        values["number_of_images"] = math.prod(max(-1, min(n, _LARGEST_SERIES)) for n in images)
    values["goniometer"] = {
        axis: {"start": config[f"{axis}_start"], "increment": config.get(f"{axis}_increment", 0.0)}
        for axis in _AXES
        if f"{axis}_start" in config
    }
    date = config.get("data_collection_date")
    if isinstance(date, str) and re.search(r"T.*(Z|[+-]\d\d:?\d\d)$", date):
        values["arm_date"] = date
    rest = list(parts[2:])
    while len(rest) > 1 and bytes(rest[0][:1]) == b"{":
        about = _json(rest[0], "a part of the start")
        name = {"dpixelmask-1.0": "pixel_mask", "dflatfield-1.0": "flatfield"}.get(str(about.get("htype")))
        if name is not None:
            values[name] = {CHANNEL: _array(about, rest[1])}
        del rest[:2]
    if rest:
        values["user_data"] = _appendix(rest[0])
    start = start_of(values, series, encode(list(parts)), "legacy")
    return replace(start, channels=(CHANNEL,))


def _array(about: Mapping[str, Any], data: memoryview) -> Any:
    """An array as Stream2 has it; `start_of` refuses what is none."""
    shape, tag = about.get("shape"), {"uint32": 70, "float32": 85}.get(str(about.get("type")))
    return Tag(40, [shape[::-1] if isinstance(shape, list) else shape, Tag(-1 if tag is None else tag, data)])


def _appendix(part: memoryview) -> Any:
    text = bytes(part[:_LONGEST_JSON]).decode(errors="replace")
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def _image(parts: Sequence[memoryview], series: SeriesKey, number: int, whole: Any) -> Image:
    try:
        if len(parts) < 4:
            raise StreamError(f"it has {len(parts)} parts, expected 4")
        frame = _frame(_json(parts[1], "its second part"), parts[2])
        times = _json(parts[3], "its fourth part")
        started, stopped, real = (_time(times, key) for key in ("start_time", "stop_time", "real_time"))
    except StreamError as error:
        raise DamagedImage(str(error), series, number) from None
    absolute = started is not None and started > _EPOCH_BEGINS
    return Image(
        series,
        number,
        {CHANNEL: frame},
        started if absolute else None,
        stopped if absolute else None,
        None if real is None else real / 1e9,
        _appendix(parts[4]) if len(parts) > 4 else None,
        sum(map(len, parts)),
        tuple(whole),
    )


def _time(values: Mapping[str, Any], key: str) -> int | None:
    """ns; None = it is not told."""
    value = values.get(key)
    if isinstance(value, float) and value == value and abs(value) < _LARGEST_SERIES:
        value = round(value)
    return value if type(value) is int and abs(value) < _LARGEST_SERIES else None


def _frame(about: Mapping[str, Any], blob: memoryview) -> PackedFrame:
    shape, name, encoding = about.get("shape"), about.get("type"), about.get("encoding")
    match = _ENCODING.fullmatch(encoding) if isinstance(encoding, str) else None
    if name not in _TYPES or match is None:
        raise StreamError(f"it is {name!r:.40} in the encoding {encoding!r:.40}, expected uint16 in bs16-lz4<, say")
    shape = shape[:2] if isinstance(shape, list) and shape[2:] in ([], [1]) else None
    if shape is None or len(shape) != 2 or not all(type(each) is int for each in shape):
        raise StreamError(f"its shape is {about.get('shape')!r:.60}, expected [width, height]")
    bits, packed, order = match.groups()
    dtype = np.dtype(name).newbyteorder(order)
    if bits and (not packed or int(bits) != 8 * dtype.itemsize):
        raise StreamError(f"its encoding is {encoding!r}, its type {name}")
    if type(about.get("size")) is int and about["size"] != len(blob):
        raise StreamError(f"it has {len(blob)} bytes, expected {about['size']}")
    algorithm = "none" if not packed else "bslz4" if bits else "lz4"
    frame = PackedFrame(np.frombuffer(blob, np.uint8), (shape[1], shape[0]), dtype, algorithm)
    check_shape(frame, "it")
    if packed:
        frame = replace(frame, data=_framed(frame))
    check_length(frame, "it")
    return frame


def _framed(frame: PackedFrame) -> Bytes:
    """With the header of HDF5's filters; some sources send it, others do not."""
    data, total = frame.data, frame.nbytes
    if len(data) >= 12 and struct.unpack_from(">Q", data.data)[0] == total:
        return data
    if frame.algorithm == "lz4":
        if len(data) == total:
            raise StreamError(f"its {total} bytes are packed in as many")
        head = struct.pack(">QII", total, total, len(data))
    else:
        size = frame.dtype.itemsize
        head = struct.pack(">QI", total, int(library().bshuf_default_block_size(size)) * size)
    return np.concatenate((np.frombuffer(head, np.uint8), data))


def split_parts(message: memoryview) -> list[memoryview]:
    """The parts of a message that was put into one, as `Start.message` has it."""
    parts = decode(message)
    if not isinstance(parts, list) or not all(isinstance(part, memoryview) for part in parts):
        raise StreamError("the message is an array of CBOR, but not of parts of another")
    return parts


def legacy_start(start: Start, extra: Mapping[str, Any] | None) -> tuple[bytes, ...]:
    """The parts of a start; `extra` goes into its configuration."""
    instrument, geometry = start.instrument, start.geometry
    config: dict[str, Any] = {
        "bit_depth_image": None if start.dtype is None else 8 * start.dtype.itemsize,
        "count_time": start.count_time,
        "countrate_correction_count_cutoff": None if instrument.saturation is None else int(instrument.saturation),
        "description": instrument.detector,
        "detector_number": instrument.serial,
        "frame_time": start.frame_time,
        "nimages": start.images,
        "ntrigger": 1,
        "sensor_material": instrument.material,
        "sensor_thickness": instrument.thickness,
        "x_pixels_in_detector": start.shape[1],
        "y_pixels_in_detector": start.shape[0],
    }
    if geometry is not None:
        config |= {
            "beam_center_x": geometry.beam_center[1],
            "beam_center_y": geometry.beam_center[0],
            "detector_distance": geometry.distance,
            "photon_energy": None if geometry.wavelength is None else energy_of(geometry.wavelength),
            "wavelength": geometry.wavelength,
            "x_pixel_size": geometry.pixel_size[1],
            "y_pixel_size": geometry.pixel_size[0],
        }
    for axis, (first, increment) in start.goniometer.items():
        config |= {f"{axis}_start": first, f"{axis}_increment": increment}
    config = {key: value for key, value in {**config, **(extra or {})}.items() if value is not None}
    detail = "all" if start.masks else "basic"
    parts = [_dump({"htype": "dheader-1.0", "series": start.series.id, "header_detail": detail}), _dump(config)]
    if start.masks:
        mask = next(iter(start.masks.values()))
        parts.append(_dump({"htype": "dpixelmask-1.0", "shape": [mask.shape[1], mask.shape[0]], "type": "uint32"}))
        parts.append(np.ascontiguousarray(mask, "<u4").tobytes())
    if start.user_data is not None:
        parts.append(_dump(start.user_data))
    return tuple(parts)


def legacy_image(image: Image, extra: Mapping[str, Any] | None) -> tuple[bytes, ...]:
    """The parts of an image of one channel; `extra` goes into its second part."""
    if len(image.frames) != 1:
        raise StreamError(f"image {image.number} has {len(image.frames)} channels; the legacy stream has one")
    frame = next(iter(image.frames.values()))
    if frame.column_major or frame.dtype.name not in _TYPES or (frame.algorithm == "lz4" and not _one_block(frame)):
        frame = encode_frame(frame.decode(), frame.algorithm)
    data, order = frame.data, ">" if frame.dtype.str.startswith(">") else "<"
    encoding = {"bslz4": f"bs{8 * frame.dtype.itemsize}-lz4{order}", "lz4": f"lz4{order}"}.get(frame.algorithm, order)
    if frame.algorithm == "lz4":
        data, encoding = (
            (data[16:], encoding) if _one_block(frame) else (encode_frame(frame.decode(), "none").data, order)
        )
    about = {
        "htype": "dimage_d-1.0",
        "shape": [frame.shape[1], frame.shape[0]],
        "type": frame.dtype.name,
        "encoding": encoding,
        "size": len(data),
    }
    started, real = image.started or 0, round(1e9 * (image.real_time or 0.0))
    stopped = started + real if image.stopped is None else image.stopped
    parts = [
        _dump({"htype": "dimage-1.0", "series": image.series.id, "frame": image.number, "hash": ""}),
        _dump({**about, **(extra or {})}),
        bytes(data),
        _dump({"htype": "dconfig-1.0", "start_time": started, "stop_time": stopped, "real_time": real}),
    ]
    return tuple(parts if image.user_data is None else [*parts, _dump(image.user_data)])


def _one_block(frame: PackedFrame) -> bool:
    """Whether it is one block of LZ4, which is all that the legacy stream has."""
    total, block, size = struct.unpack_from(">QII", frame.data.data)
    return bool(block >= total and size < total and size == len(frame.data) - 16)


def legacy_end(end: End) -> tuple[bytes, ...]:
    """The part of an end."""
    return (_dump({"htype": "dseries_end-1.0", "series": end.series.id}),)


def _dump(values: Any) -> bytes:
    try:
        return json.dumps(values).encode()
    except (TypeError, ValueError) as error:
        raise StreamError(f"there is no JSON for it: {error}") from None
