"""Which values of a pixel are measurements: from the dtype, the file, its format, its content, and the option."""

from __future__ import annotations

import warnings

import h5py
import numpy as np
import pytest
from fabio.cbfimage import CbfImage
from fabio.edfimage import EdfImage
from fabio.tifimage import TifImage

import crystint
from crystint import ValidValues
from crystint.errors import CrystintNote, SettingError
from crystint.io.describe import describe
from crystint.ops.pixels import PIXEL_TYPES

SHAPE = (212, 260)
INT_MIN = -(2**31)


def gaps(shape, dtype="i4", gap=-1, dead=-2):
    """Counts with a gap of ten rows and a few scattered bad pixels."""
    rng = np.random.default_rng(3)
    frame = rng.poisson(2.0, shape).astype(dtype)
    frame[90:100] = gap
    frame.ravel()[rng.integers(0, frame.size, 40)] = dead
    return frame


def noise(dtype="i2", sigma=0.5, photons=0.1, shape=SHAPE):
    """Photons of an integrating detector, rounded: -1 and 1 are everywhere."""
    rng = np.random.default_rng(4)
    return np.rint(rng.poisson(photons, shape) + rng.normal(0.0, sigma, shape)).astype(dtype)


def hdf5(path, frame, mask=None, **detector):
    """A file of one frame, and what the group of its detector says."""
    with h5py.File(path, "w") as file:
        file["entry/data/data"] = frame[None]
        group = file.create_group("entry/instrument/detector")
        group.attrs["NX_class"] = "NXdetector"
        for name, value in detector.items():
            group[name] = value
        if mask is not None:
            group["pixel_mask"] = mask
    return path


def of(path, lowest=None):
    """The rule, and whether it was said that values below zero are measurements."""
    with warnings.catch_warnings(record=True) as caught, crystint.open_frames(path) as frames:
        warnings.simplefilter("always")
        valid = frames.valid_from(lowest)
    assert {each.category for each in caught} <= {CrystintNote}
    return valid, len(caught)


SIGNED = [
    ("gaps", gaps(SHAPE), {}, 0, 0),
    ("no value below zero", np.abs(noise("i4")), {}, 0, 0),
    ("int-min alone", gaps(SHAPE, gap=INT_MIN, dead=INT_MIN), {}, 0, 0),
    ("nothing but marks", np.full(SHAPE, -1, "i4"), {}, 0, 0),
    ("scattered", noise("i4"), {}, INT_MIN + 1, 1),
    ("scattered, 16 bits", noise("i2"), {}, -(2**15) + 1, 1),
    ("many values", noise("i4", 30.0), {}, INT_MIN + 1, 1),
    ("many values and gaps of int-min", gaps(SHAPE, gap=INT_MIN) - noise("i4", 4.0), {}, INT_MIN + 1, 1),
    ("underload_value", noise("i4", 30.0), {"underload_value": -50}, -50, 0),
    ("error_value", noise("i4", 30.0), {"error_value": np.int32(-1000)}, -999, 0),
    ("both", noise("i4"), {"underload_value": 0, "error_value": np.int32(-1)}, 0, 0),
    ("error above", noise("i4"), {"error_value": np.int32(2**31 - 1)}, 0, 0),
    ("it says PILATUS", noise("i4"), {"description": "Dectris PILATUS3 6M"}, 0, 0),
    ("it says JUNGFRAU", noise("i4"), {"description": "JUNGFRAU 4M"}, INT_MIN + 1, 1),
    ("a PILATUS of 1M by its shape", noise("i4", shape=(1043, 981)), {}, 0, 0),
]  # fmt: skip


@pytest.mark.parametrize(("frame", "told", "lowest", "notes"), [row[1:] for row in SIGNED], ids=[r[0] for r in SIGNED])
def test_signed_integers_in_hdf5(tmp_path, frame, told, lowest, notes):
    valid, said = of(hdf5(tmp_path / "a.h5", frame, **told))
    assert (valid.lowest, said) == (lowest, notes)


@pytest.mark.parametrize(
    ("write", "suffix", "lowest"),
    [
        (CbfImage, "cbf", 0),
        (EdfImage, "edf", INT_MIN + 1),
        (TifImage, "tif", INT_MIN + 1),
        (lambda data: EdfImage(data=data, header={"Detector": "PILATUS 300K, S/N 3-0101"}), "edf", 0),
    ],
    ids=["CBF", "EDF", "TIFF", "EDF of a PILATUS"],
)
def test_formats(tmp_path, write, suffix, lowest):
    path = tmp_path / f"a.{suffix}"
    write(data=noise("i4")).write(str(path))
    assert of(path)[0].lowest == lowest
    write(data=gaps(SHAPE)).write(str(path))
    assert of(path) == (ValidValues(0), 0)
    write(data=noise("i4", 9.0)).write(str(path))  # many different ones, whatever the format
    assert of(path) == (ValidValues(INT_MIN + 1), 1)


def test_the_option_comes_first(tmp_path):
    path = hdf5(tmp_path / "a.h5", noise("i4"), underload_value=-20, error_value=np.int32(700))
    assert of(path)[0] == ValidValues(-20, (700,))
    assert of(path, 0) == (ValidValues(0, (700,)), 0)
    assert of(hdf5(tmp_path / "b.h5", noise("f4")), -0.5)[0] == ValidValues(-0.5)
    assert of(hdf5(tmp_path / "c.h5", gaps(SHAPE, "u2", 65535, 65535)), 3)[0] == ValidValues(3, (65535,))
    with pytest.raises(SettingError, match="at most two"):
        ValidValues(marks=(1, 2, 3))


@pytest.mark.parametrize(
    ("dtype", "told", "plain", "masked"),
    [
        ("u2", {}, ValidValues(None, (65535,)), ValidValues(overload=65535)),
        ("u4", {"bit_depth_image": 32}, ValidValues(None, (2**32 - 1,)), ValidValues(overload=2**32 - 1)),
        ("u4", {"bit_depth_image": 16}, ValidValues(None, (65535, 2**32 - 1)), ValidValues(overload=65535)),
        ("u4", {"bit_depth_image": 12}, ValidValues(None, (4095, 2**32 - 1)), ValidValues(overload=4095)),
        ("u2", {"bit_depth_image": 32}, ValidValues(None, (65535,)), ValidValues(overload=65535)),
        ("i4", {"bit_depth_image": 16}, ValidValues(0, (65535,)), ValidValues(0, overload=65535)),
        ("f4", {"bit_depth_image": 16}, ValidValues(None, (65535,)), ValidValues(overload=65535.0)),
        ("f4", {"bit_depth_image": 32}, ValidValues(None, (2**32 - 1,)), ValidValues(overload=2.0**32)),
        ("f4", {}, ValidValues(), ValidValues()),
        ("u2", {"error_value": np.uint16(65535)}, ValidValues(None, (65535,)), ValidValues(None, (65535,))),
        ("u2", {"error_value": np.uint16(9)}, ValidValues(None, (9, 65535)), ValidValues(None, (9,), 65535)),
        ("f4", {"error_value": -9999.0}, ValidValues(None, (-9999,)), ValidValues(None, (-9999,))),
        ("u2", {"underload_value": 0}, ValidValues(0, (65535,)), ValidValues(0, (), 65535)),
    ],
)
def test_counters(tmp_path, dtype, told, plain, masked):
    """All ones of the counter: no measurement, or an overload where a mask lists what is never measured."""
    frame = np.full(SHAPE, 3, dtype)
    valid = of(hdf5(tmp_path / "a.h5", frame, **told))[0]
    assert valid == (ValidValues(None, plain.marks) if plain.lowest == 0 and dtype == "u2" else plain)
    mask = np.zeros(SHAPE, "u4")
    mask[3] = 1
    valid = of(hdf5(tmp_path / "b.h5", frame, mask, **told))[0]
    assert valid == (ValidValues(None, (), masked.overload) if masked.lowest == 0 and dtype == "u2" else masked)
    limit = valid.limit(None)
    for value in [] if masked.overload is None else [masked.overload]:
        assert np.dtype(dtype).type(limit) < np.dtype(dtype).type(value)
        assert valid.limit(100) == 100


def test_a_mask_for_each_frame_keeps_the_mark(tmp_path):
    """Its pixels must hold something that is no measurement."""
    masks = np.zeros((2, *SHAPE), "u4")
    masks[1, :50] = 1
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["entry/data/data"] = np.full((2, *SHAPE), 3, "u2")
        file["entry/instrument/detector/pixel_mask"] = masks
    with crystint.open_frames(tmp_path / "a.h5") as frames:
        assert frames.valid == ValidValues(None, (65535,))
        assert [int(frames.valid.unusable(frame).sum()) for frame in frames] == [0, 50 * SHAPE[1]]


@pytest.mark.parametrize("dtype", PIXEL_TYPES)
def test_the_marker_is_no_measurement(dtype):
    rules = [ValidValues.of(dtype), ValidValues(-5), ValidValues(1), ValidValues(-5, (7,)), ValidValues(overload=9)]
    for valid in rules:
        marker = np.array([valid.marker(dtype)]).astype(dtype)
        assert valid.unusable(marker).all() or (dtype.kind == "u" and not valid.marks)
        assert not valid.unusable(np.array([2], dtype)).any()


def test_info_tells_the_rule(tmp_path):
    told = hdf5(tmp_path / "a.h5", noise("i4"), underload_value=-20, error_value=np.int32(700))
    assert describe(told)["valid values"] == "from -20, not 700"
    assert describe(hdf5(tmp_path / "b.h5", np.ones(SHAPE, "f4")))["valid values"] == "all finite ones"
