"""Messages that crystint did not make, and what cbor2 and HDF5 make of those that it did."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("cbor2", reason="cbor2 is not installed")

from crystint.stream import End, Image, Other, SeriesKey, Start, encode_end, encode_image, encode_start, read_message
from crystint.stream.packed_frame import PackedFrame, encode_frame
from tests.conftest import shared_data
from tests.oracles.messages import decoded

NAMES = (
    "crystint_results",
    "jfjoch_like_end",
    "jfjoch_like_image_int16",
    "jfjoch_like_metadata",
    "jfjoch_like_start",
    "stream2_end",
    "stream2_image_two_channels",
    "stream2_image_uint16_bslz4",
    "stream2_image_uint16_lz4",
    "stream2_image_uint16_none",
    "stream2_image_uint16_tail",
    "stream2_image_uint32_bslz4",
    "stream2_image_uint8_bslz4",
    "stream2_start_all",
    "stream2_start_basic",
)


def _check_start(start: Start, values: dict) -> None:
    slow, fast = values["image_size_y"], values["image_size_x"]
    assert start.shape == (slow, fast)
    assert start.images == values["number_of_images"]
    assert start.channels == tuple(values["channels"])
    assert start.frame_time == values["frame_time"]
    assert start.count_time == values["count_time"]
    assert start.armed == round(values["arm_date"].timestamp() * 1000) * 10**6
    assert start.geometry is not None
    assert start.geometry.distance == abs(values["detector_translation"][2])
    assert start.geometry.beam_center == (values["beam_center_y"], values["beam_center_x"])
    assert start.geometry.pixel_size == (values["pixel_size_y"], values["pixel_size_x"])
    assert start.geometry.wavelength == values["incident_wavelength"]
    assert start.instrument.saturation == values["saturation_value"]
    assert start.instrument.thickness == values["sensor_thickness"]
    assert start.error_value == values.get("error_value")
    for axis, each in values.get("goniometer", {}).items():
        assert start.goniometer[axis] == (each["start"], each["increment"])
    masks = values.get("pixel_mask", {})
    assert list(start.masks) == list(masks)
    for channel, mask in masks.items():
        np.testing.assert_array_equal(start.masks[channel], mask)
    assert start.warnings == () if masks else "no pixel mask" in start.warnings[0]


def _check_image(image: Image, values: dict) -> None:
    assert image.number == values["image_id"]
    assert list(image.frames) == list(values["data"])
    for channel, frame in values["data"].items():
        np.testing.assert_array_equal(image.frame(channel), frame)
        assert image.frame(channel).dtype == frame.dtype.newbyteorder("=")
    if "series_date" in values:
        date = round(values["series_date"].timestamp() * 1000) * 10**6
        assert image.started == date + values["start_time"][0] * 20
        assert image.stopped == date + values["stop_time"][0] * 20
        assert image.real_time == values["real_time"][0] / values["real_time"][1]


@pytest.mark.parametrize("name", NAMES)
def test_an_example_says_what_cbor2_reads_in_it(name):
    data = shared_data(f"online/messages/{name}.cbor").read_bytes()
    message, values = read_message(data), decoded(data)
    assert message.series == SeriesKey(values["series_id"], values["series_unique_id"])
    if isinstance(message, Start):
        _check_start(message, values)
        assert message.dialect == ("jungfraujoch" if name.startswith("jfjoch") else "stream2")
    elif isinstance(message, Image):
        _check_image(message, values)
    assert type(message) is {"start": Start, "image": Image, "end": End}.get(values["type"], Other)
    if not isinstance(message, Image):
        assert message.message == data


@pytest.mark.parametrize("name", [name for name in NAMES if "image" in name])
def test_the_bytes_of_a_frame_are_those_of_the_message(name):
    """They are not copied, and stay when the message is dropped."""
    data = bytearray(shared_data(f"online/messages/{name}.cbor").read_bytes())
    for frame in read_message(memoryview(data)).frames.values():
        base = frame.data
        while isinstance(base.base, np.ndarray):
            base = base.base
        assert np.shares_memory(frame.data, np.frombuffer(data, np.uint8))


def test_the_frame_of_a_crystint_message_is_that_of_the_example_byte_for_byte():
    data = shared_data("online/messages/stream2_image_uint16_bslz4.cbor").read_bytes()
    image = read_message(data)
    again = encode_frame(image.frame())
    assert bytes(again.data) == bytes(image.frames["threshold_1"].data)
    sent = Image(image.series, 0, image.frames, started=image.started, stopped=image.stopped, real_time=image.real_time)
    (message,) = encode_image(sent, origin=image.started)
    ours, theirs = decoded(message), decoded(data)
    for key in ("type", "series_id", "series_unique_id", "image_id", "real_time", "start_time", "stop_time"):
        assert ours[key] == theirs[key]
    assert ours["series_date"].timestamp() == theirs["series_date"].timestamp()
    (end,) = encode_end(End(image.series))
    assert end == shared_data("online/messages/stream2_end.cbor").read_bytes()


def test_the_start_of_crystint_says_the_same_as_the_example():
    for name in ("stream2_start_all", "jfjoch_like_start"):
        data = shared_data(f"online/messages/{name}.cbor").read_bytes()
        (message,) = encode_start(read_message(data))
        ours, theirs = decoded(message), decoded(data)
        unused = {"az_int_bin_to_q", "flatfield", "threshold_energy", "countrate_correction_lookup_table"}
        for key in set(theirs) - unused:
            if key.endswith(("enabled",)) and key not in ours:
                continue
            if key == "pixel_mask":
                np.testing.assert_array_equal(*(next(iter(values[key].values())) for values in (ours, theirs)))
            elif key == "arm_date":
                assert ours[key].timestamp() == theirs[key].timestamp()
            elif key == "detector_translation":
                np.testing.assert_allclose(np.abs(ours[key]), np.abs(theirs[key]), rtol=1e-15)
            elif key == "incident_energy":
                assert ours[key] == pytest.approx(theirs[key], rel=1e-8)
            else:
                assert ours[key] == theirs[key], key


@pytest.mark.parametrize("dtype", ["u1", "<u2", ">u2", "<u4", ">u4", "<i2", ">i4", "<f4", ">f8", "<u8", "<f2"])
@pytest.mark.parametrize("algorithm", ["bslz4", "lz4", "none"])
@pytest.mark.parametrize("column_major", [False, True])
def test_cbor2_reads_the_frames_of_a_crystint_message(dtype, algorithm, column_major):
    frame = (np.arange(13 * 17).reshape(13, 17) % 100).astype(dtype)
    packed = encode_frame(frame.T if column_major else frame, algorithm)
    packed = PackedFrame(packed.data, frame.shape, packed.dtype, algorithm, column_major)
    (message,) = encode_image(Image(SeriesKey(1), 0, {"default": packed}))
    np.testing.assert_array_equal(decoded(message)["data"]["default"], frame)
    np.testing.assert_array_equal(read_message(message).frame(), frame)
