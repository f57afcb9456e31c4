"""Messages in and out, beside cbor2."""

from __future__ import annotations

import numpy as np
import pytest

import crystint
from crystint.stream import (
    End,
    Image,
    Other,
    SeriesKey,
    Start,
    encode_end,
    encode_frame,
    encode_image,
    encode_start,
    read_message,
)

KEY = SeriesKey(7, "01HBV3JPF9T4ZDPADX6EMK6XMZ")
SHAPE = (13, 17)


def _frame(dtype) -> np.ndarray:
    return (np.arange(SHAPE[0] * SHAPE[1]).reshape(SHAPE) % 120).astype(dtype)


@pytest.mark.parametrize("algorithm", ["bslz4", "lz4", "none"])
@pytest.mark.parametrize("dtype", ["u1", "u2", ">u2", "u4", "u8", "i1", "i2", "i4", "i8", "f4", "f8", ">f4"])
def test_a_frame_goes_through_a_message(dtype, algorithm):
    frames = {"a": encode_frame(_frame(dtype), algorithm), "b": encode_frame(_frame(dtype).T.copy().T, algorithm)}
    parts = encode_image(Image(KEY, 12, frames, started=1_700_000_000_123_456_780, real_time=0.004))
    image = read_message(parts)
    assert (image.series, image.number, list(image.frames)) == (KEY, 12, ["a", "b"])
    assert (image.started, image.stopped, image.real_time) == (1_700_000_000_123_456_780, None, 0.004)
    for channel in frames:
        np.testing.assert_array_equal(image.frame(channel), _frame(dtype))
        assert image.frame(channel).dtype == np.dtype(dtype).newbyteorder("=")


@pytest.mark.parametrize("dialect", ["stream2", "jungfraujoch"])
def test_a_start_goes_through_a_message(dialect):
    geometry = crystint.Geometry(SHAPE, pixel_size=(75e-6, 172e-6), distance=0.2, beam_center=(6.5, 10), wavelength=0.9)
    mask = np.zeros(SHAPE, np.uint32)
    mask[2, 3] = 2**31
    start = Start(
        KEY,
        SHAPE,
        dialect,
        images=10**9,
        channels=("threshold_1", "difference"),
        dtype=np.dtype("u2"),
        geometry=geometry,
        masks={"threshold_1": mask},
        instrument=crystint.Instrument(material="Si", thickness=450e-6, saturation=60000, detector="E", serial="1"),
        frame_time=0.004,
        count_time=0.0039,
        goniometer={"omega": (90.0, 0.1)},
        armed=1_700_000_000_329_000_000,
        user_data={"a": [1, "b"]},
    )
    again = read_message(encode_start(start))
    assert again.warnings == ()
    np.testing.assert_array_equal(again.masks["threshold_1"], mask)
    for name in [
        "series",
        "shape",
        "dialect",
        "images",
        "channels",
        "dtype",
        "geometry",
        "instrument",
        "frame_time",
        "count_time",
    ]:
        assert getattr(again, name) == getattr(start, name), name
    assert (again.goniometer, again.armed, again.user_data) == (start.goniometer, start.armed, start.user_data)
    assert again.valid_of(np.dtype("u2")).overload == 65535


def test_an_end_and_other_messages():
    assert read_message(encode_end(End(KEY))).series == KEY
    other = read_message(encode_end(End(KEY), extra={"type": "calibration"}))
    assert isinstance(other, Other)
    assert (other.type, other.series) == ("calibration", KEY)
