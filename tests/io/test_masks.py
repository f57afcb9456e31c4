"""Masks: markers of unusable pixels, combination of bit fields, mask files of every kind."""

from __future__ import annotations

import warnings

import h5py
import numpy as np
import pytest
from fabio.cbfimage import CbfImage
from fabio.edfimage import EdfImage
from fabio.tifimage import TifImage

from crystint.errors import CrystintWarning, DTypeError, FileError, ShapeError
from crystint.io.frames.masks import read_mask
from crystint.io.kinds import kind_of
from crystint.model.mask import USER_MASK, combine_masks, marker, unusable
from crystint.run.frames import masks_in
from crystint.run.settings import PixelSettings
from tests.conftest import shared_data


@pytest.mark.parametrize(
    ("dtype", "values", "expected"),
    [
        ("int32", [-2, -1, 0, 5, 2**31 - 1], [1, 1, 0, 0, 0]),
        ("int16", [-32768, 0, 32767], [1, 0, 0]),
        ("uint8", [0, 254, 255], [0, 0, 1]),
        ("uint16", [0, 65534, 65535], [0, 0, 1]),
        ("uint32", [0, 65535, 2**32 - 1], [0, 0, 1]),
        ("float32", [-1.5, 0, np.nan, np.inf, -np.inf], [0, 0, 1, 1, 1]),
    ],
)
def test_unusable_pixels(dtype, values, expected):
    frame = np.array([values], dtype=dtype)
    assert unusable(frame).tolist() == [[bool(value) for value in expected]]
    assert unusable(np.array([[marker(np.dtype(dtype))]], dtype=dtype)).all()


@pytest.mark.parametrize("dtype", [bool, complex, "U3"])
def test_dtypes_that_are_no_counts(dtype):
    with pytest.raises(DTypeError):
        marker(np.dtype(dtype))
    with pytest.raises(DTypeError):
        unusable(np.zeros((2, 2), dtype=dtype))


def test_combine_keeps_bits():
    bits = np.array([[0, 1, 2]], dtype=np.uint32)
    user = np.array([[True, False, True]])
    weights = np.array([[0.0, np.nan, 0.0]])
    combined = combine_masks(bits, None, user, weights, shape=(1, 3))
    assert combined.dtype == np.uint32
    assert combined.tolist() == [[USER_MASK, 1 | USER_MASK, 2 | USER_MASK]]
    assert not combine_masks(shape=(2, 3)).any()


def test_combine_integers_of_every_width():
    assert combine_masks(np.array([[-1, 0]], dtype=np.int32), shape=(1, 2)).tolist() == [[2**32 - 1, 0]]
    assert combine_masks(np.array([[-1, 7]], dtype=np.int8), shape=(1, 2)).tolist() == [[2**32 - 1, 7]]
    wide = np.array([[2**32, 2**31, 0, 2**40 + 1]], dtype=np.int64)
    assert combine_masks(wide, shape=(1, 4)).tolist() == [[USER_MASK, 2**31, 0, USER_MASK]]
    assert combine_masks(wide.astype(np.uint64), shape=(1, 4)).tolist() == [[USER_MASK, 2**31, 0, USER_MASK]]


def test_combine_refuses_other_shapes():
    with pytest.raises(ShapeError, match=r"mask 2.*transposed"):
        combine_masks(None, np.zeros((3, 2)), shape=(2, 3))
    with pytest.raises(DTypeError, match="mask 1"):
        combine_masks(np.array([["a"]]), shape=(1, 1))


MASK = np.zeros((21, 33), dtype=np.uint8)
MASK[3, 5:9] = 1
MASK[20, 32] = 200


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "uint32", "int32"])
@pytest.mark.parametrize("kind", ["tif", "edf", "npy"])
def test_image_files(tmp_path, kind, dtype):
    path = tmp_path / f"mask.{kind}"
    values = MASK.astype(dtype)
    if kind == "npy":
        np.save(path, values)
    else:
        {"tif": TifImage, "edf": EdfImage}[kind](data=values).write(str(path))
    mask = read_mask(path)
    assert mask.dtype == np.uint32
    assert (mask == MASK).all()


def test_high_bit_survives_tiff(tmp_path):
    values = MASK.astype(np.uint32)
    values[0, 0] = 1 << 31
    TifImage(data=values).write(str(tmp_path / "mask.tif"))
    assert read_mask(tmp_path / "mask.tif")[0, 0] == 1 << 31


def test_bool_npy_and_cbf(tmp_path):
    np.save(tmp_path / "mask.npy", MASK != 0)
    assert (read_mask(tmp_path / "mask.npy") == np.where(MASK, USER_MASK, 0)).all()
    CbfImage(data=MASK.astype(np.int32)).write(str(tmp_path / "mask.cbf"))
    assert (read_mask(tmp_path / "mask.cbf") == MASK).all()


@pytest.mark.parametrize(
    "place",
    [
        "/entry/instrument/detector/pixel_mask",
        "/entry/instrument/detector/detectorSpecific/pixel_mask",
        "/my/choice",
    ],
)
def test_hdf5_masks_are_found(tmp_path, place):
    path = tmp_path / "mask.h5"
    with h5py.File(path, "w") as file:
        file[place] = MASK.astype(np.uint32)
        file["other"] = np.zeros(5)
    assert (read_mask(path) == MASK).all()
    assert (read_mask(path, dataset=place) == MASK).all()
    with pytest.raises(FileError, match=r"no data set /else.*" + place):
        read_mask(path, dataset="/else")


def test_hdf5_with_a_choice_lists_it(tmp_path):
    path = tmp_path / "mask.h5"
    with h5py.File(path, "w") as file:
        file["one"], file["two"] = MASK, MASK
    with pytest.raises(FileError, match=r"/one, /two.*dataset="):
        read_mask(path)


def test_what_is_no_mask(tmp_path):
    with pytest.raises(FileError, match="does not exist"):
        read_mask(tmp_path / "none.tif")
    np.save(tmp_path / "line.npy", np.zeros(5))
    with pytest.raises(FileError, match=r"shape \(5,\)"):
        read_mask(tmp_path / "line.npy")
    (tmp_path / "mask.txt").write_text("not a mask")
    with pytest.raises(FileError, match="unknown kind"):
        read_mask(tmp_path / "mask.txt")


def test_real_edf_mask():
    mask = read_mask(shared_data("pyfai-sparse/mask.edf"))
    assert mask.shape == (400, 600)
    assert 0 < np.count_nonzero(mask) < mask.size / 2


GEOM = """
photon_energy = 9000
adu_per_photon = 1
clen = 0.1
res = 10000
p0/min_fs = 0
p0/max_fs = 32
p0/min_ss = 0
p0/max_ss = 17
p0/corner_x = -16
p0/corner_y = -10
p0/fs = x
p0/ss = y
badspot/min_fs = 4
badspot/max_fs = 6
badspot/min_ss = 2
badspot/max_ss = 2
badspot/panel = p0
"""


def test_bad_regions_of_a_crystfel_geometry(tmp_path):
    (tmp_path / "d.geom").write_text(GEOM)
    mask = read_mask(tmp_path / "d.geom", shape=(21, 33))
    expected = np.zeros((21, 33), dtype=np.uint32)
    expected[2, 4:7] = USER_MASK
    expected[18:] = 1
    assert (mask == expected).all()


def test_bad_regions_in_the_laboratory(tmp_path):
    """Given in x and y, px from the beam: here the panel's corner is at (-10.5, -7)."""
    text = """
photon_energy = 12000
adu_per_photon = 1
clen = 0.1
res = 10000
data = /data
dim0 = %
dim1 = ss
dim2 = fs
p0/min_fs = 0
p0/max_fs = 20
p0/min_ss = 0
p0/max_ss = 13
p0/corner_x = -10.5
p0/corner_y = -7
p0/fs = +1.0x
p0/ss = +1.0y
badstop/min_x = -2
badstop/max_x = 2
badstop/min_y = -1
badstop/max_y = 30
"""
    (tmp_path / "d.geom").write_text(text)
    mask = read_mask(tmp_path / "d.geom")
    x, y = np.arange(21) + 0.5 - 10.5, np.arange(14) + 0.5 - 7
    assert ((mask != 0) == ((np.abs(x) <= 2) & (y[:, None] >= -1))).all()
    assert mask.any()


PANELS = """
res = 10000
a/min_fs = 0
a/max_fs = 20
a/min_ss = 0
a/max_ss = 13
a/corner_x = -10
a/corner_y = -7
b/min_fs = 0
b/max_fs = 20
b/min_ss = 14
b/max_ss = 29
b/corner_x = -10
b/corner_y = 8
"""


@pytest.mark.parametrize(
    ("before", "after", "bad"),
    [
        ("clen = /LCLS/EncoderValue", "", []),
        ("", "a/no_index = 1", [np.s_[:14]]),
        ("no_index = 1", "b/no_index = 0", [np.s_[:14]]),
        ("mask_edge_pixels = 2", "", [np.s_[:2], np.s_[12:16], np.s_[28:], np.s_[:, :2], np.s_[:, 19:]]),
        ("", "b/mask_edge_pixels=20", [np.s_[14:]]),
        ("", "bad1/min_fs=3\nbad1/max_fs=4\nbad1/min_ss=0\nbad1/max_ss=29\nbad1/panel=b", [np.s_[14:, 3:5]]),
    ],
)
def test_what_a_crystfel_geometry_masks(tmp_path, before, after, bad):
    (tmp_path / "d.geom").write_text(before + PANELS + after)
    expected = np.zeros((30, 21), dtype=np.uint32)
    for part in bad:
        expected[part] = 0x100
    np.testing.assert_array_equal(read_mask(tmp_path / "d.geom"), expected)


@pytest.mark.parametrize("older", [False, True])
def test_masks_of_bits_of_a_crystfel_geometry(tmp_path, older):
    """A pixel is bad without one of the good bits, or with one of the bad (crystfel_geometry(5), BAD REGIONS)."""
    bits = np.zeros((30, 21), dtype=np.uint16)
    bits[3, 4], bits[5, 6], bits[20, 7], bits[8, 8] = 0b0011, 0b0111, 0b1011, 0b0001
    with h5py.File(tmp_path / "mask.h5", "w") as file:
        file["data/mask"] = bits
    names = (
        ("mask", "mask_file", "mask_good", "mask_bad")
        if older
        else [f"mask3_{n}" for n in ("data", "file", "goodbits", "badbits")]
    )
    values = ("/data/mask", "mask.h5", "0x3", "0x4")
    (tmp_path / "d.geom").write_text("".join(f"{n} = {v}\n" for n, v in zip(names, values, strict=True)) + PANELS)
    good = np.zeros(bits.shape, dtype=bool)
    good[3, 4] = good[20, 7] = True
    np.testing.assert_array_equal(read_mask(tmp_path / "d.geom") == 0, good)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("flag_lessthan = -10", "flag_lessthan = -10 is not applied; no pixel is masked"),
        ("flag_morethan = 14000", "flag_morethan.*--saturation"),
        ("mask0_data = /entry_1/bad\nmask0_badbits = 1", "mask /entry_1/bad of the data files is not applied"),
        ("mask_file = m.h5\nmask = /bad", "neither goodbits nor badbits"),
    ],
)
def test_keys_of_a_crystfel_mask_that_are_not_applied_are_named(tmp_path, line, words):
    (tmp_path / "d.geom").write_text(f"{line}\n{PANELS}")
    with pytest.warns(CrystintWarning, match=words):
        assert not read_mask(tmp_path / "d.geom").any()


def test_a_mask_file_that_is_missing_is_an_error(tmp_path):
    (tmp_path / "d.geom").write_text(f"mask_file = nowhere.h5\nmask = /bad\nmask_bad = 1\n{PANELS}")
    with pytest.raises(FileError, match=r"nowhere\.h5 does not exist"):
        read_mask(tmp_path / "d.geom")


def test_an_inverted_mask_is_warned_about(tmp_path):
    good = np.ones((20, 30), dtype=bool)
    good[:, :3] = False
    np.save(tmp_path / "good.npy", good)
    np.save(tmp_path / "bad.npy", ~good)
    names = {name: tmp_path / f"{name}.npy" for name in ("good", "bad")}
    with pytest.warns(CrystintWarning, match=r"good\.npy: 90% of the pixels are masked .* give --mask-valid"):
        masks_in(PixelSettings(mask=[names["good"]]), (20, 30))
    with pytest.warns(CrystintWarning, match=r"bad\.npy: 90% of the pixels are masked .* leave --mask-valid out"):
        masks_in(PixelSettings(mask=[names["bad"]], mask_valid=True), (20, 30))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        (mask,) = masks_in(PixelSettings(mask=[names["bad"]]), (20, 30))
        (turned,) = masks_in(PixelSettings(mask=[names["good"]], mask_valid=True), (20, 30))
    assert np.count_nonzero(mask) == 60
    assert (turned == mask).all()
    assert kind_of(names["bad"]).name == "mask"
