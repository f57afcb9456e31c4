"""Messages with something wrong in them: a word about it, and nothing else."""

from __future__ import annotations

import random
import re
import struct
import tracemalloc

import numpy as np
import pytest

from crystint.errors import StreamError
from crystint.stream import (
    DamagedImage,
    End,
    Image,
    SeriesKey,
    Start,
    encode_end,
    encode_frame,
    encode_image,
    encode_start,
    read_message,
)
from crystint.stream.cbor import Tag
from crystint.stream.packed_frame import PackedFrame
from crystint.stream.typed_arrays import frame_tag

KEY = SeriesKey(7, "01HBV3")
FRAME = (np.arange(221).reshape(13, 17) % 90).astype(np.uint16)
IMAGE = Image(KEY, 5, {"threshold_1": encode_frame(FRAME)}, started=10**18, stopped=10**18 + 10**6, real_time=1e-3)
START = Start(KEY, (13, 17), "stream2", images=10, masks={"threshold_1": np.ones((13, 17), np.uint32)})


def _image(**extra):
    return encode_image(IMAGE, extra=extra)


def _packed(algorithm="bslz4", *, size=2, shape=(13, 17), data=None, number=69):
    data = IMAGE.frames["threshold_1"].data if data is None else data
    return {"threshold_1": Tag(40, [list(shape), Tag(number, Tag(56500, [algorithm, size, data]))])}


def _total(total: int) -> bytes:
    return struct.pack(">Q", total) + bytes(IMAGE.frames["threshold_1"].data)[8:]


@pytest.mark.parametrize(
    ("extra", "word"),
    [
        ({"data": None}, "NoneType as its data"),
        ({"data": {}}, "0 channels"),
        ({"data": {str(n): 0 for n in range(17)}}, "17 channels"),
        ({"data": {"a": b"base64"}}, "memoryview, expected an array"),
        ({"data": {"a": Tag(40, [[13, 17], b"bytes"])}}, "expected a typed array"),
        ({"data": {"a": Tag(40, [[13, 17], Tag(76, b"")])}}, "expected a typed array"),
        ({"data": {"a": Tag(40, [[13], Tag(64, b"")])}}, "1 axes"),
        ({"data": {"a": Tag(40, [13, 17])}}, "no array of CBOR"),
        ({"data": {"a": Tag(40, [[13, 17], Tag(64, Tag(56500, ["bslz4", 1]))])}}, "not as \\[algorithm"),
        ({"data": {"a": Tag(40, [[13, 17], Tag(64, "text")])}}, "in place of its bytes"),
        ({"data": {"a": Tag(40, [[13, 17], Tag(69, bytes(441))])}}, "441 bytes"),
        ({"data": _packed(shape=(0, 17))}, "0 x 17 pixels"),
        ({"data": _packed(shape=(-1, 17))}, "-1 x 17 pixels"),
        ({"data": _packed(shape=(2**17, 1))}, "131072 x 1 pixels"),
        ({"data": _packed(shape=(2**15, 2**14))}, "2\\^28"),
        ({"data": _packed(shape=(2**14, 2**14), number=71, size=8)}, "would have 2147483648 bytes"),
        ({"data": _packed(shape=(13, 18))}, "13 x 18 pixels of uint16 have 468"),
        ({"data": _packed(number=70)}, "elements of 2 bytes"),
        ({"data": _packed(size=4)}, "elements of 4 bytes"),
        ({"data": _packed("bszstd")}, "'bszstd'"),
        ({"data": _packed(data=b"short")}, "fewer than the header"),
        ({"data": _packed(data=_total(2**63))}, "9223372036854775808 bytes"),
        ({"data": _packed(data=_total(2 * 2**28), shape=(2**14, 2**14))}, "cannot hold"),
    ],
)
def test_an_image_that_is_wrong_is_told_with_its_number(extra, word):
    with pytest.raises(DamagedImage, match=word) as told:
        read_message(_image(**extra) if extra.get("data", 0) is not None else encode_image(IMAGE, extra={"data": None}))
    assert (told.value.series, told.value.number) == (KEY, 5)


@pytest.mark.parametrize(
    ("extra", "word"),
    [
        ({"series_date": Tag(0, "yesterday")}, "expected a date"),
        ({"series_date": Tag(0, "2026-13-41T00:00:00Z")}, "no date"),
        ({"series_date": Tag(0, "9999-12-31T00:00:00Z")}, "no time"),
        ({"start_time": [1, 0]}, "expected \\[numerator"),
        ({"start_time": [2**63, 1]}, "no time"),
        ({"real_time": [1, 2, 3]}, "expected \\[numerator"),
        ({"real_time": ["a", 2]}, "expected \\[numerator"),
    ],
)
def test_an_image_whose_times_are_wrong_is_an_image(extra, word):
    image = read_message(_image(**extra))
    assert re.search(word, image.warning)
    assert (image.started, image.stopped, image.real_time) == (None, None, None)
    assert np.array_equal(image.frame(), IMAGE.frame())


@pytest.mark.parametrize(
    ("extra", "word"),
    [
        ({"type": None}, "type"),
        ({"type": 5}, "type"),
        ({"type": "x" * 100}, "type"),
        ({"series_id": None}, "no series_id"),
        ({"series_id": -1}, "series_id"),
        ({"series_id": 2**63}, "series_id"),
        ({"series_id": 1.0}, "series_id"),
        ({"series_id": True}, "series_id"),
        ({"series_unique_id": [1]}, "series_unique_id"),
        ({"image_id": None}, "no image_id"),
        ({"image_id": 2**32}, "image_id"),
        ({"image_id": -1}, "image_id"),
        ({"image_id": "5"}, "image_id"),
    ],
)
def test_a_message_without_what_it_must_tell_is_refused(extra, word):
    with pytest.raises(StreamError, match=word) as told:
        read_message(_image(**extra))
    assert not isinstance(told.value, DamagedImage)


@pytest.mark.parametrize("value", [None, 0, -1, 65537, 1.0, "12"])
def test_a_start_without_a_size_is_refused(value):
    with pytest.raises(StreamError, match="image_size_x"):
        read_message(encode_start(START, {"image_size_x": value}))


@pytest.mark.parametrize(
    ("extra", "word"),
    [
        ({"number_of_images": "many"}, "number_of_images"),
        ({"number_of_images": -3}, "number_of_images"),
        ({"number_of_images": 2**60}, "number_of_images"),
        ({"channels": "threshold_1"}, "channels"),
        ({"channels": ["a", "a"]}, "channels"),
        ({"image_dtype": "object"}, "image_dtype"),
        ({"arm_date": "now"}, "arm_date"),
        ({"goniometer": [1]}, "goniometer"),
        ({"goniometer": {"omega": {"increment": 1.0}}}, "'omega'"),
        ({"frame_time": float("nan")}, "frame_time"),
        ({"frame_time": 1e300}, "frame_time"),
        ({"count_time": 1e7}, "count_time"),
        ({"saturation_value": -5}, "saturation_value"),
        ({"sensor_material": 14}, "sensor_material"),
        ({"detector_translation": [0.0, 0.1]}, "detector_translation"),
        ({"detector_translation": [0.0, 0.1, "far"]}, "detector_translation"),
        ({"pixel_mask": {"threshold_1": b"bWFzaw=="}}, "pixel mask of 'threshold_1'"),
        ({"pixel_mask": {"threshold_1": frame_tag(encode_frame(np.zeros((17, 13), np.uint32)))}}, "17, 13"),
        ({"pixel_mask": b"bWFzaw=="}, "pixel_mask"),
        ({"flatfield": {"threshold_1": b"ZmxhdA=="}}, "flat field of 'threshold_1'"),
        ({"flatfield": b"ZmxhdA=="}, "flatfield"),
    ],
)
def test_an_odd_value_of_a_start_is_ignored_with_a_word(extra, word):
    start = read_message(encode_start(START, extra))
    assert [text for text in start.warnings if word in text and "ignored" in text], start.warnings


GEOMETRY = {
    "detector_translation": [0.0, 0.0, -0.2],
    "pixel_size_x": 75e-6,
    "pixel_size_y": 75e-6,
    "beam_center_x": 8.0,
    "beam_center_y": 6.0,
}


@pytest.mark.parametrize(
    ("extra", "word"),
    [
        ({"beam_center_x": 0.0, "beam_center_y": 0}, "no beam_center"),
        ({"detector_translation": [0.0, 0.0, 0.0]}, "no distance"),
        ({"pixel_size_x": None}, "no pixel_size"),
        ({"beam_center_x": 800.0}, "outside the frame"),
        ({"detector_translation": [0.0, 0.0, 200.0]}, "200 m"),
        ({"pixel_size_x": 75.0}, "pixel size"),
        ({"incident_wavelength": 1e-10}, "wavelength"),
        ({"goniometer": {"two_theta": {"start": 5.0, "increment": 0.0}}}, "two_theta"),
    ],
)
def test_a_geometry_that_cannot_be_is_none_with_a_word(extra, word):
    start = read_message(encode_start(START, GEOMETRY | extra))
    assert start.geometry is None
    assert word in start.warnings[-1]
    assert read_message(encode_start(START, GEOMETRY)).geometry is not None


def test_a_wavelength_follows_from_the_energy():
    start = read_message(encode_start(START, GEOMETRY | {"incident_energy": 12398.4198}))
    assert start.geometry.wavelength == pytest.approx(1.0, rel=1e-6)


def test_damage_within_the_frame_is_told_when_it_is_decoded():
    data = np.array(IMAGE.frames["threshold_1"].data)
    data[20:] ^= 0x5A
    image = read_message(_image(data=_packed(data=data)))
    with pytest.raises(StreamError, match="damaged"):
        image.frame()
    packed = PackedFrame(data, (13, 17), np.dtype("u2"), "zip")
    assert packed.chunk is None
    with pytest.raises(StreamError, match="'zip'"):
        packed.decode()


def test_ten_thousand_mutated_messages():
    """Bits flipped, bytes changed, cut, lengths of 2^63, pieces moved: a message or a StreamError, in little memory."""
    seeds = [
        *encode_start(
            START, GEOMETRY | {"goniometer": {"omega": {"start": 0.0, "increment": 0.1}}, "user_data": {"a": [1]}}
        ),
        *_image(),
        *_image(data=_packed("lz4", size=0, data=encode_frame(FRAME, "lz4").data), user_data={"x": [1.0, "y", None]}),
        *encode_image(Image(KEY, 5, {"a": encode_frame(FRAME, "none"), "b": encode_frame(FRAME)})),
        *encode_end(End(KEY)),
    ]
    rng = random.Random(20261130)
    outcomes = {"message": 0, "refused": 0, "frame refused": 0}
    tracemalloc.start()
    try:
        for number in range(10_000):
            if number == 2500:  # it makes all slower
                peak = tracemalloc.get_traced_memory()[1]
                tracemalloc.stop()
            try:
                message = read_message(_mutated(rng, bytearray(rng.choice(seeds))))
                outcomes["message"] += 1
            except StreamError:
                outcomes["refused"] += 1
                continue
            try:
                for frame in getattr(message, "frames", {}).values():
                    frame.decode()
            except StreamError:
                outcomes["frame refused"] += 1
    finally:
        tracemalloc.stop()
    assert min(outcomes.values()) > 200, outcomes
    assert peak < 2**24


def _mutated(rng: random.Random, message: bytearray) -> bytearray:
    for _ in range(rng.choice((1, 1, 1, 2, 5))):
        at = rng.randrange(len(message))
        kind = rng.randrange(6)
        if kind == 0:
            message[at] ^= 1 << rng.randrange(8)
        elif kind == 1:
            message[at] = rng.randrange(256)
        elif kind == 2:
            del message[max(at, 1) :]
        elif kind == 3:
            major = rng.choice((0x5B, 0x7B, 0x9B, 0xBB, 0x1B, 0x5F, 0x9F, 0xBF, 0xFF))
            message[at : at + 1] = bytes([major]) + struct.pack(">Q", rng.choice((2**63, 2**64 - 1, 2**31, 2**16)))
        elif kind == 4:
            message[at:at] = rng.randbytes(rng.randrange(1, 9))
        else:
            other = rng.randrange(len(message))
            message[at : at + 8] = message[other : other + 8]
    return message
