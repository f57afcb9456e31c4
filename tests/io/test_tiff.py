"""TIFF files of several programs, against the array that went in; damage; what is no grey image."""

from __future__ import annotations

import bz2
import gzip
import subprocess
import sys

import numpy as np
import pytest
import tifffile
from fabio.tifimage import TifImage
from PIL import Image

from crystint import FileError, open_frames

SHAPE = (37, 53)


def counts(dtype, n=1):
    """Frames in which both ends of the dtype occur."""
    dtype = np.dtype(dtype)
    values = np.random.default_rng(5).poisson(4, (n, *SHAPE)).astype(dtype)
    if dtype.kind == "f":
        return values * dtype.type(1.1) - 3
    limits = np.iinfo(dtype)
    values[:, ::5, ::3], values[:, 1::5, ::4] = limits.max, limits.min
    return values


def check(path, expected):
    with open_frames(path) as frames:
        assert len(frames) == len(expected)
        assert (frames.shape, frames.dtype) == (SHAPE, expected.dtype)
        np.testing.assert_array_equal(frames[:], expected)


@pytest.mark.parametrize("byteorder", ["<", ">"])
@pytest.mark.parametrize("compression", [None, "lzw", "deflate", "packbits", "zstd"])
@pytest.mark.parametrize("dtype", ["u1", "u2", "i2", "u4", "i4", "f4"])
def test_compressions(tmp_path, dtype, compression, byteorder):
    """As tifffile writes it: plain, in tiles, as BigTIFF, by a predictor, several pages."""
    frames = counts(dtype, 3)
    options = {"compression": compression, "byteorder": byteorder}
    variants = {"plain": {}, "tiles": {"tile": (16, 16)}, "strips": {"rowsperstrip": 5}, "big": {"bigtiff": True}}
    if compression in ("lzw", "deflate"):
        variants["predictor"] = {"predictor": True}
    for name, variant in variants.items():
        writer = {key: variant.pop(key) for key in ("bigtiff",) if key in variant}
        path = tmp_path / f"{name}.tif"
        tifffile.imwrite(path, frames, photometric="minisblack", **options, **variant, **writer)
        check(path, frames)


@pytest.mark.parametrize("compression", ["raw", "tiff_lzw", "tiff_adobe_deflate", "packbits"])
@pytest.mark.parametrize("dtype", ["u1", "u2", "i4", "f4"])
def test_pages_of_pillow(tmp_path, dtype, compression):
    frames = counts(dtype, 3)
    first, *others = map(Image.fromarray, frames)
    first.save(tmp_path / "p.tif", save_all=True, append_images=others, compression=compression)
    check(tmp_path / "p.tif", frames)


@pytest.mark.parametrize("dtype", ["u1", "u2", "i2", "u4", "i4", "f4"])
def test_files_of_fabio(tmp_path, dtype):
    frames = counts(dtype)
    TifImage(data=frames[0], header={}).write(str(tmp_path / "f.tif"))
    check(tmp_path / "f.tif", frames)
    content = (tmp_path / "f.tif").read_bytes()
    for name, pack in (("f.tif.gz", gzip.compress), ("f.tif.bz2", bz2.compress)):
        (tmp_path / name).write_bytes(pack(content))
        check(tmp_path / name, frames)


@pytest.mark.parametrize("truncate", [False, True], ids=["directories", "one directory"])
@pytest.mark.parametrize("imagej", [False, True])
@pytest.mark.parametrize("dtype", ["u1", "u2", "f4"])
def test_stacks(tmp_path, dtype, imagej, truncate):
    """ImageJ and tifffile put long stacks under a single directory."""
    frames = counts(dtype, 4)
    options = {"imagej": True} if imagej else {"photometric": "minisblack"}
    tifffile.imwrite(tmp_path / "s_1.tif", frames, truncate=truncate, **options)
    check(tmp_path / "s_1.tif", frames)
    tifffile.imwrite(tmp_path / "s_2.tif", frames[1:], truncate=truncate, **options)
    with open_frames(tmp_path / "s_*.tif") as sequence:
        np.testing.assert_array_equal(sequence[:], frames[[0, 1, 2, 3, 1, 2, 3]])


@pytest.mark.parametrize("bits", [10, 12, 14])
def test_packed_bits(tmp_path, bits):
    """Rows begin at a byte, and the highest bit comes first (TIFF 6.0, section 3)."""
    frames = np.random.default_rng(2).integers(0, 1 << bits, (1, *SHAPE)).astype(np.uint16)
    each = (frames[0, :, :, None] >> np.arange(bits)[::-1]) & 1
    rows = np.packbits(each.reshape(SHAPE[0], -1).astype(bool), axis=1)
    tifffile.imwrite(tmp_path / "b.tif", rows, metadata=None)
    with tifffile.TiffFile(tmp_path / "b.tif", mode="r+") as tiff:
        tiff.pages[0].tags["ImageWidth"].overwrite(SHAPE[1])
        tiff.pages[0].tags["BitsPerSample"].overwrite(bits)
    check(tmp_path / "b.tif", frames)


def test_counts_where_white_is_zero_are_not_inverted(tmp_path):
    frames = counts("u1")
    tifffile.imwrite(tmp_path / "w.tif", frames[0], photometric="miniswhite", compression="lzw")
    check(tmp_path / "w.tif", frames)


@pytest.mark.parametrize("compression", [None, "lzw", "deflate", "packbits"])
@pytest.mark.parametrize("kept", [6, 20, 0.3, 0.5, 0.9])
@pytest.mark.parametrize("layout", ["page", "pages", "tiles", "stack"])
def test_truncated_files_are_told(tmp_path, layout, kept, compression, capfd):
    frames = counts("u2", 1 if layout == "page" else 3)
    options = {"tiles": {"tile": (16, 16)}, "stack": {"truncate": True}}.get(layout, {})
    if layout == "stack" and compression is not None:
        options = {}
    tifffile.imwrite(tmp_path / "c.tif", frames, photometric="minisblack", compression=compression, **options)
    content = (tmp_path / "c.tif").read_bytes()
    (tmp_path / "c.tif").write_bytes(content[: kept if kept > 1 else int(kept * len(content))])
    with pytest.raises(FileError, match=r"c\.tif.*(damaged|truncated)"), open_frames(tmp_path / "c.tif") as cut:
        cut[:]
    assert capfd.readouterr() == ("", "")


def test_a_damaged_frame_is_told_with_its_number(tmp_path):
    frames = counts("u2", 3)
    tifffile.imwrite(tmp_path / "d.tif", frames, photometric="minisblack", compression="deflate")
    with tifffile.TiffFile(tmp_path / "d.tif") as tiff:
        at = tiff.pages[1].dataoffsets[0]
    content = bytearray((tmp_path / "d.tif").read_bytes())
    content[at + 100 : at + 140] = b"\xff" * 40
    (tmp_path / "d.tif").write_bytes(content)
    with open_frames(tmp_path / "d.tif") as damaged:
        np.testing.assert_array_equal(damaged[0], frames[0])
        with pytest.raises(FileError, match=r"d\.tif, frame 1, is damaged or truncated"):
            damaged[1]
        np.testing.assert_array_equal(damaged[2], frames[2])


def test_a_chain_of_directories_that_goes_round_ends(tmp_path):
    tifffile.imwrite(tmp_path / "r.tif", counts("u2", 2), photometric="minisblack", metadata=None)
    with tifffile.TiffFile(tmp_path / "r.tif") as tiff:
        first, second = (page.offset for page in tiff.pages)
        entries = len(tiff.pages[1].tags)
    content = bytearray((tmp_path / "r.tif").read_bytes())
    end = second + 2 + 12 * entries
    content[end : end + 4] = first.to_bytes(4, "little")
    (tmp_path / "r.tif").write_bytes(content)
    with pytest.raises(FileError, match=r"r\.tif is damaged or truncated.*circular"):
        open_frames(tmp_path / "r.tif")


def test_an_unknown_compression_is_told(tmp_path):
    tifffile.imwrite(tmp_path / "u.tif", counts("u2")[0], compression="lzw")
    with tifffile.TiffFile(tmp_path / "u.tif", mode="r+") as tiff:
        tiff.pages[0].tags["Compression"].overwrite(34661)
    with pytest.raises(FileError, match=r"u\.tif, frame 0, is a TIFF that crystint cannot decode.*JBIG"):
        open_frames(tmp_path / "u.tif")[0]


def test_colours_are_refused(tmp_path):
    planes = np.zeros((3, 8, 9), np.uint16)
    tifffile.imwrite(tmp_path / "planar.tif", planes, photometric="rgb", planarconfig="separate")
    tifffile.imwrite(tmp_path / "rgb.tif", planes.transpose(1, 2, 0), photometric="rgb", compression="lzw")
    tifffile.imwrite(tmp_path / "big.tif", planes, photometric="rgb", planarconfig="separate", bigtiff=True)
    for name in ("planar.tif", "rgb.tif", "big.tif"):
        with pytest.raises(FileError, match=rf"{name} has 3 samples per pixel, expected a grey image"):
            open_frames(tmp_path / name)
    grey = Image.fromarray(planes[0].astype(np.uint8))
    for name, mode, message in (("p.tif", "P", "numbers of a palette's colours"), ("b.tif", "1", "bool data")):
        grey.convert(mode).save(tmp_path / name)
        with pytest.raises(FileError, match=rf"{name} holds {message}.*expected a grey image"):
            open_frames(tmp_path / name)


def test_nothing_of_tiff_is_imported_before_it_is_needed():
    code = (
        "import sys, crystint, crystint.io.frames.tiff; print({'tifffile', 'imagecodecs', 'fabio'} & set(sys.modules))"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout == "set()\n"
