"""DECTRIS's legacy stream: JSON and bytes in several parts."""

from __future__ import annotations

import io
import json
import random

import h5py
import hdf5plugin
import imagecodecs
import numpy as np
import pytest

import crystint
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

FRAME = (np.arange(221).reshape(13, 17) % 90).astype(np.uint16)
CONFIG = {
    "beam_center_x": 8.5,
    "beam_center_y": 6.25,
    "bit_depth_image": 16,
    "count_time": 0.0099,
    "countrate_correction_count_cutoff": 12440,
    "data_collection_date": "2026-11-30T01:02:03.5+01:00",
    "description": "Dectris Eiger 9M",
    "detector_distance": 0.12696,
    "detector_number": "E-18-0102",
    "frame_time": 0.01,
    "nimages": 10,
    "ntrigger": 3,
    "omega_increment": 0.1,
    "omega_start": 45.0,
    "photon_energy": 12649.9,
    "sensor_material": "Si",
    "sensor_thickness": 0.00045,
    "wavelength": 0.98,
    "x_pixel_size": 7.5e-05,
    "y_pixel_size": 7.5e-05,
    "x_pixels_in_detector": 17,
    "y_pixels_in_detector": 13,
}


def _dump(**values) -> bytes:
    return json.dumps(values).encode()


def _start(config=CONFIG, *more: bytes) -> list[bytes]:
    return [_dump(htype="dheader-1.0", series=7, header_detail="all"), json.dumps(config).encode(), *more]


def _image(blob=None, **about):
    blob = FRAME.tobytes() if blob is None else blob
    about = {"htype": "dimage_d-1.0", "shape": [17, 13], "type": "uint16", "encoding": "<", "size": len(blob)} | about
    times = {"start_time": 1_700_000_000_000_000_000, "stop_time": 1_700_000_000_009_900_000, "real_time": 9_900_000}
    return [
        _dump(htype="dimage-1.0", series=7, frame=4, hash=""),
        json.dumps(about).encode(),
        blob,
        _dump(htype="dconfig-1.0", **times),
    ]


def _chunk() -> bytes:
    """A chunk that HDF5 packed with bitshuffle and LZ4."""
    with h5py.File(io.BytesIO(), "w") as file:
        data = file.create_dataset("d", data=FRAME, chunks=FRAME.shape, **hdf5plugin.Bitshuffle(cname="lz4"))
        return data.id.read_direct_chunk((0, 0))[1]


def test_a_start_is_read():
    mask = np.zeros((13, 17), np.uint32)
    mask[3, 4] = 8
    flat = _dump(htype="dflatfield-1.0", shape=[17, 13], type="float32"), np.ones((13, 17), np.float32).tobytes()
    masked = _dump(htype="dpixelmask-1.0", shape=[17, 13], type="uint32"), mask.tobytes()
    table = _dump(htype="dcountrate_table-1.0", shape=[2, 5], type="float32"), bytes(40)
    start = read_message(_start(CONFIG, *flat, *masked, *table, b"appended"))
    assert (start.series, start.shape, start.dialect) == (SeriesKey(7), (13, 17), "legacy")
    assert (start.images, start.dtype, start.frame_time) == (30, np.dtype("u2"), 0.01)
    assert start.geometry == crystint.Geometry(
        (13, 17), pixel_size=(75e-6, 75e-6), distance=0.12696, beam_center=(6.25, 8.5), wavelength=0.98
    )
    np.testing.assert_array_equal(start.masks["default"], mask)
    assert start.instrument == crystint.Instrument(
        material="Si", thickness=0.00045, saturation=12440, detector="Dectris Eiger 9M", serial="E-18-0102"
    )
    assert start.goniometer == {"omega": (45.0, 0.1)}
    assert start.armed == 1_795_996_923_500_000_000
    assert (start.user_data, start.warnings) == ("appended", ())
    again = read_message(start.message)
    assert (again.geometry, again.masks.keys()) == (start.geometry, start.masks.keys())


@pytest.mark.parametrize(
    ("encoding", "pack"),
    [
        ("<", FRAME.tobytes),
        (">", FRAME.astype(">u2").tobytes),
        ("lz4<", lambda: imagecodecs.lz4_encode(FRAME.tobytes(), header=False)),
        ("bs16-lz4<", _chunk),
        ("bs16-lz4<", lambda: _chunk()[12:]),
    ],
    ids=["plain", "big endian", "lz4", "bslz4", "bslz4 without a header"],
)
def test_an_image_is_read(encoding, pack):
    image = read_message(_image(bytes(pack()), encoding=encoding))
    np.testing.assert_array_equal(image.frame(), FRAME)
    assert (image.series, image.number, image.real_time) == (SeriesKey(7), 4, 0.0099)
    assert (image.started, image.stopped) == (1_700_000_000_000_000_000, 1_700_000_000_009_900_000)


def test_times_since_the_detector_was_armed_are_no_dates():
    parts = _image()
    parts[3] = _dump(htype="dconfig-1.0", start_time=834759834260, stop_time=834760834280, real_time=1000000)
    image = read_message(parts)
    assert (image.started, image.stopped, image.real_time) == (None, None, 1e-3)


@pytest.mark.parametrize("dtype", ["u1", "u2", "u4", ">u4"])
@pytest.mark.parametrize("algorithm", ["bslz4", "lz4", "none"])
def test_an_image_goes_through_a_message(dtype, algorithm):
    for frame in (FRAME.astype(dtype), np.random.default_rng(1).integers(0, 256, (13, 17)).astype(dtype)):
        image = Image(SeriesKey(7), 4, {"a": encode_frame(frame, algorithm)}, started=10**18 + 5, real_time=0.5)
        parts = encode_image(image, "legacy")
        again = read_message(parts)
        np.testing.assert_array_equal(again.frame(), frame)
        assert (again.started, again.stopped, again.real_time) == (10**18 + 5, 10**18 + 5 + 5 * 10**8, 0.5)
        assert again.size == sum(map(len, parts))


def test_start_and_end_go_through_messages():
    geometry = crystint.Geometry((13, 17), pixel_size=(75e-6, 75e-6), distance=0.2, beam_center=(6, 8), wavelength=1.0)
    start = Start(
        SeriesKey(7),
        (13, 17),
        "legacy",
        images=5,
        dtype=np.dtype("u2"),
        geometry=geometry,
        masks={"x": np.eye(13, 17, dtype=np.uint32)},
        goniometer={"omega": (1.0, 0.5)},
        user_data={"a": 1},
    )
    again = read_message(encode_start(start))
    for name in ("series", "shape", "images", "dtype", "geometry", "goniometer", "user_data"):
        assert getattr(again, name) == getattr(start, name), name
    np.testing.assert_array_equal(again.masks["default"], start.masks["x"])
    assert read_message(encode_end(End(SeriesKey(7)), "legacy")).series == SeriesKey(7)


@pytest.mark.parametrize("name", ["nimages", "frame_time", "detector_distance", "omega_start"])
def test_a_number_that_no_float_holds_is_ignored(name):
    start = read_message(_start({**CONFIG, name: 10**4000}))
    assert any("expected" in text or "no start" in text for text in start.warnings)
    assert (start.images is None) == (name == "nimages")


@pytest.mark.parametrize(
    ("parts", "word"),
    [
        ([b"{"], "no JSON"),
        ([b"{}", b""], "htype"),
        ([b"[" * 100_000, b"]"], "no JSON"),
        ([b"[1]", b""], "no object"),
        ([_dump(htype="dheader-1.0", series=-1)], "series"),
        ([_dump(htype="dheader-1.0", series=1)], "header_detail"),
        (_start([1]), "no object"),
        (_start({}), "image_size_y"),
        ([b"{}"] * 17, "17 parts"),
        ([b"{" + b" " * 2**21 + b"}"], "bytes, expected"),
    ],
)
def test_wrong_messages_are_refused_in_words(parts, word):
    with pytest.raises(StreamError, match=word):
        read_message(parts)


@pytest.mark.parametrize(
    ("parts", "word"),
    [
        (_image()[:3], "3 parts"),
        (_image(type="int16"), "'int16'"),
        (_image(encoding="bs32-lz4<"), "'bs32-lz4<'"),
        (_image(encoding="zip"), "'zip'"),
        (_image(shape=[17]), "shape"),
        (_image(shape=[17, 2**17]), "131072"),
        (_image(shape=[17, 14]), "442 bytes"),
        (_image(size=5), "expected 5"),
        ([*_image()[:3], b"no"], "no JSON"),
    ],
)
def test_a_wrong_image_is_told_with_its_number(parts, word):
    with pytest.raises(DamagedImage, match=word) as told:
        read_message(parts)
    assert told.value.number == 4


def test_the_dialect_that_was_asked_for_is_looked_at():
    with pytest.raises(StreamError, match="set format to cbor"):
        read_message(_image(), "stream2")


def test_mutated_messages_are_messages_or_refused():
    seeds = [_start(), _image(), _image(_chunk(), encoding="bs16-lz4<")]
    rng = random.Random(7)
    refused = 0
    for _ in range(3000):
        parts = [bytearray(part) for part in rng.choice(seeds)]
        part = rng.choice(parts)
        for _ in range(rng.choice((1, 2, 5))):
            part[rng.randrange(len(part))] = rng.randrange(256)
        if rng.random() < 0.1:
            del parts[rng.randrange(len(parts))]
        try:
            message = read_message(parts)
            if isinstance(message, Image):
                message.frame()
        except StreamError:
            refused += 1
    assert refused > 500
