"""The start of a stream says of geometry, mask and values what crystint reads in the file of the same series."""

from __future__ import annotations

import h5py
import numpy as np
import pytest

import crystint
from crystint.stream import SeriesKey, Start, encode_start, read_message
from crystint.stream.packed_frame import encode_frame
from crystint.stream.typed_arrays import frame_tag

SHAPE = (40, 50)


def _master(path, dtype, mask, error):
    with h5py.File(path, "w") as file:
        file.create_dataset("entry/data/data_000001", data=np.ones((2, *SHAPE), dtype), chunks=(1, *SHAPE))
        detector = file.create_group("entry/instrument/detector")
        for key, value, unit in (
            ("beam_center_x", 24.25, "pixel"),
            ("beam_center_y", 20.75, "pixel"),
            ("detector_distance", 0.125, "m"),
            ("x_pixel_size", 75e-6, "m"),
            ("y_pixel_size", 172e-6, "m"),
        ):
            detector[key] = value
            detector[key].attrs["units"] = unit
        detector["saturation_value"] = 30000
        detector["description"] = "EIGER2"
        if mask is not None:
            detector["pixel_mask"] = mask
        if error is not None:
            detector["error_value"] = error
        file["entry/instrument/beam/incident_wavelength"] = 0.9
        file["entry/instrument/beam/incident_wavelength"].attrs["units"] = "angstrom"


@pytest.mark.parametrize(
    ("dtype", "masked", "error"),
    [("u2", True, None), ("u2", False, None), ("u4", True, None), ("i2", True, -32768), ("i4", False, -1)],
)
def test_the_start_says_what_a_file_of_the_series_says(tmp_path, dtype, masked, error):
    mask = np.zeros(SHAPE, np.uint32)
    mask[3, 4], mask[30, 49] = 1, 2**30
    _master(tmp_path / "a_master.h5", dtype, mask if masked else None, error)
    extra = {
        "beam_center_x": 24.25,
        "beam_center_y": 20.75,
        "detector_translation": [24.25 * 75e-6, 20.75 * 172e-6, -0.125],
        "pixel_size_x": 75e-6,
        "pixel_size_y": 172e-6,
        "saturation_value": 30000,
        "incident_wavelength": 0.9,
        "image_dtype": np.dtype(dtype).name,
        "error_value": error,
        "pixel_mask": {"threshold_1": frame_tag(encode_frame(mask))} if masked else None,
    }
    start = read_message(encode_start(Start(SeriesKey(1), SHAPE, "stream2"), extra))
    with crystint.open_frames(tmp_path / "a_master.h5") as frames:
        assert start.geometry == frames.geometry
        assert start.valid == frames.valid == start.valid_of(frames.dtype)
        assert start.instrument.saturation == frames.saturation
        if masked:
            np.testing.assert_array_equal(start.masks["threshold_1"], frames.mask)
