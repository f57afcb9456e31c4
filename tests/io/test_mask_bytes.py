"""Masks as people upload them: TIFF of every kind, NumPy, HDF5, pixels alone; right, or an error that says why."""

from __future__ import annotations

import struct
from io import BytesIO

import h5py
import numpy as np
import pytest
import tifffile
from PIL import Image

from crystint.errors import CrystintError, FileError, ShapeError
from crystint.io.frames.masks import read_mask, read_mask_bytes

SHAPE = (61, 47)
_RAW = "application/octet-stream"


def _mask(dtype):
    """Masked pixels hold the ends of the dtype and numbers between; 0 = good."""
    dtype = np.dtype(dtype)
    mask = np.zeros(SHAPE, dtype)
    mask[3, 5:9] = 1
    if dtype.kind == "f":
        mask[60, 46], mask[0, 0] = 0.5, np.nan
    elif dtype.kind == "b":
        mask[60, 46] = True
    else:
        mask[60, 46], mask[0, 0], mask[7, 7] = np.iinfo(dtype).max, np.iinfo(dtype).min, 4
    return mask


def _is_masked(mask):
    return np.isnan(mask) | (mask != 0) if mask.dtype.kind == "f" else mask != 0


def _tiff(mask, **options):
    file = BytesIO()
    big = options.pop("bigtiff", False)
    order = options.pop("byteorder", "<")
    with tifffile.TiffWriter(file, bigtiff=big, byteorder=order) as writer:
        writer.write(mask, photometric=options.pop("photometric", "minisblack"), metadata=None, **options)
    return file.getvalue()


LAYOUTS = {
    "plain": {}, "strips": {"rowsperstrip": 7}, "tiles": {"tile": (16, 32)}, "big TIFF": {"bigtiff": True},
    "LZW": {"compression": "lzw"}, "deflate, predictor": {"compression": "zlib", "predictor": True},
    "tiles of packbits": {"tile": (32, 16), "compression": "packbits"},
}  # fmt: skip


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("dtype", ["u1", "i1", "u2", "i2", "u4", "i4", "f4"])
def test_tiff_of_8_16_and_32_bits(dtype, order, tmp_path):
    mask = _mask(dtype)
    for name, options in LAYOUTS.items():
        if dtype == "f4" and "predictor" in options:
            continue
        data = _tiff(mask, byteorder=order, **options)
        read = read_mask_bytes(data, "image/tiff", SHAPE)
        assert read.dtype == np.uint32, name
        np.testing.assert_array_equal(read != 0, _is_masked(mask), err_msg=name)
        if np.dtype(dtype).kind == "u":
            np.testing.assert_array_equal(read, mask, err_msg=name)
    (tmp_path / "m.tif").write_bytes(data)
    np.testing.assert_array_equal(read_mask(tmp_path / "m.tif", shape=SHAPE), read)


@pytest.mark.parametrize("mode", ["raw", "tiff_lzw", "tiff_adobe_deflate"])
@pytest.mark.parametrize("dtype", ["u1", "u2", "i4"])
def test_tiff_of_pillow(dtype, mode):
    mask, file = _mask(dtype), BytesIO()
    Image.fromarray(mask).save(file, "TIFF", compression=mode)
    np.testing.assert_array_equal(read_mask_bytes(file.getvalue(), "image/tiff", SHAPE) != 0, mask != 0)


def _bomb(width, height):
    """The header of a TIFF of 32 bits whose only strip is not there."""
    entries = [
        (256, 4, 1, width), (257, 4, 1, height), (258, 3, 1, 32), (259, 3, 1, 1), (262, 3, 1, 1), (273, 4, 1, 8),
        (277, 3, 1, 1), (278, 4, 1, height), (279, 4, 1, min(4 * width * height, 2**32 - 1)),
    ]  # fmt: skip
    directory = struct.pack("<H", len(entries)) + b"".join(struct.pack("<HHII", *entry) for entry in entries)
    return b"II*\0" + struct.pack("<I", 8) + directory + struct.pack("<I", 0)


def _packed_bomb():
    """Zeros that are packed a thousand times: 60 kB that would be 64 MB."""
    return _tiff(np.zeros((8000, 8000), np.uint8), compression="zlib")


REFUSED = {
    "other shape": (_tiff(np.ones((60, 47), np.uint8)), r"\(60, 47\), expected \(61, 47\)"),
    "transposed": (_tiff(np.ones((47, 61), np.uint16)), r"\(47, 61\), expected \(61, 47\).*transposed"),
    "RGB": (_tiff(np.ones((*SHAPE, 3), np.uint8), photometric="rgb"), "3 samples per pixel"),
    "grey and alpha": (_tiff(np.ones((*SHAPE, 2), np.uint8), extrasamples=["unassalpha"]), "samples per pixel"),
    "palette": (
        _tiff(np.ones(SHAPE, np.uint8), photometric="palette", colormap=np.zeros((3, 256), np.uint16)), "palette",
    ),
    "several images": (_tiff(np.ones((2, *SHAPE), np.uint8)), "2 frames"),
    "complex": (_tiff(np.ones(SHAPE, np.complex64)), "complex64"),
    "truncated": (_tiff(np.ones(SHAPE, np.uint32))[:3000], "damaged|truncated"),
    "header alone": (b"II*\0", "damaged|truncated"),
    "directory beyond the end": (b"II*\0\xff\xff\xff\x7f", "damaged|truncated"),
    "bomb": (_bomb(2**31, 2**31), r"expected \(61, 47\)|damaged"),
    "bomb of the right width": (_bomb(47, 2**30), r"expected \(61, 47\)"),
    "packed bomb": (_packed_bomb(), r"\(8000, 8000\), expected \(61, 47\)"),
    "JPEG": (b"\xff\xd8\xff\xe0" + bytes(100), "begins with ff d8 ff e0, expected TIFF, NumPy or HDF5"),
    "nothing": (b"", "begins with nothing"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_no_mask_of_this_detector_is_refused(name, monkeypatch):
    """Before anything is decoded where the shape is wrong."""
    data, text = REFUSED[name]
    if "expected \\(61" in text:
        monkeypatch.setattr(tifffile.TiffPage, "asarray", lambda *_, **__: pytest.fail("it was decoded"))
    with pytest.raises(CrystintError, match=text) as error:
        read_mask_bytes(data, "image/tiff", SHAPE)
    assert "crystint-" not in str(error.value), "the name of our own file is of no use to anybody"


def test_numpy():
    for array in (_mask("?"), _mask("u1"), _mask(">i2"), _mask("<f8"), _mask("u8"), np.asfortranarray(_mask("u4"))):
        file = BytesIO()
        np.save(file, array)
        np.testing.assert_array_equal(read_mask_bytes(file.getvalue(), "", SHAPE) != 0, _is_masked(array))


@pytest.mark.parametrize(
    ("array", "text"),
    [
        (np.zeros((47, 61)), r"\(47, 61\), expected \(61, 47\).*transposed"),
        (np.zeros(61 * 47), r"shape \(2867,\)"),
        (np.zeros((2, *SHAPE)), r"shape \(2, 61, 47\)"),
        (np.full(SHAPE, "a"), "numbers"),
        (np.full(SHAPE, None), "damaged or no array of numbers"),
    ],
)
def test_numpy_that_is_no_mask(array, text):
    file = BytesIO()
    np.save(file, array, allow_pickle=True)
    with pytest.raises(CrystintError, match=text):
        read_mask_bytes(file.getvalue(), "", SHAPE)


def test_numpy_that_claims_more_than_there_is():
    file = BytesIO()
    np.save(file, np.zeros((4, 4), np.uint8))
    data = file.getvalue().replace(b"(4, 4)", b"(99999, 99999)".ljust(6))
    with pytest.raises(CrystintError):
        read_mask_bytes(data[:140], "", SHAPE)


def _hdf5(tmp_path, fill):
    path = tmp_path / "mask.h5"
    with h5py.File(path, "w") as file:
        fill(file)
    return path.read_bytes()


def test_hdf5(tmp_path):
    mask = _mask("u4")
    data = _hdf5(tmp_path, lambda file: file.create_dataset("entry/mask", data=mask, compression="gzip"))
    np.testing.assert_array_equal(read_mask_bytes(data, "application/x-hdf5", SHAPE), mask)
    with pytest.raises(CrystintError, match="2-D data sets are"):
        read_mask_bytes(data, "application/x-hdf5", (5, 6))


def test_hdf5_that_shows_data_of_another_file_is_refused(tmp_path):
    """An upload must not read what lies on the server."""
    secret = tmp_path / "secret.h5"
    with h5py.File(secret, "w") as file:
        file["mask"] = np.ones(SHAPE, np.uint8)
    raw = tmp_path / "secret.raw"
    raw.write_bytes(bytes(61 * 47))

    def external(file):
        file["mask"] = h5py.ExternalLink(str(secret), "mask")

    def storage(file):
        file.create_dataset("mask", SHAPE, "u1", external=[(str(raw), 0, 61 * 47)])

    def virtual(file):
        layout = h5py.VirtualLayout(SHAPE, "u1")
        layout[...] = h5py.VirtualSource(str(secret), "mask", SHAPE)
        file.create_virtual_dataset("mask", layout)

    for fill in (external, storage, virtual):
        with pytest.raises(FileError, match="data of another file"):
            read_mask_bytes(_hdf5(tmp_path, fill), "", SHAPE)


@pytest.mark.parametrize("dtype", ["u1", "<u2", "<u4"])
def test_pixels_alone(dtype):
    mask = _mask(dtype)
    np.testing.assert_array_equal(read_mask_bytes(mask.tobytes(), _RAW, SHAPE), mask)


def test_pixels_alone_are_as_many_as_the_detector_has():
    with pytest.raises(ShapeError, match=r"9 bytes, expected 2867 pixels of \(61, 47\)"):
        read_mask_bytes(bytes(9), _RAW, SHAPE)
    with pytest.raises(FileError, match="begins with 00 00"):
        read_mask_bytes(bytes(2867), _RAW)
    with pytest.raises(FileError, match="begins with 00 00"):
        read_mask_bytes(bytes(2867), "image/tiff", SHAPE)
