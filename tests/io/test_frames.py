"""Frames from files of every kind, and what is said about bad files."""

from __future__ import annotations

import bz2
import gzip
import json
import os
import tracemalloc
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import fabio
import h5py
import hdf5plugin
import numpy as np
import pytest
from fabio.cbfimage import CbfImage
from fabio.edfimage import EdfImage
from fabio.tifimage import TifImage
from PIL import Image
from tifffile import TiffPage

import crystint
from crystint.errors import CrystintWarning, FileError, GeometryError, MissingFrameError
from crystint.io.frames.sequence import FrameSource, open_frames
from crystint.io.hdf5.checked import CheckedFile
from tests.conftest import shared_data
from tests.io.hdf5_files import SHAPE, beam, detector, eiger_master, stack, virtual_master

FRAMES = stack()
DTYPES = ["uint8", "uint16", "uint32", "int16", "int32", "float32"]


def cbf(path, frame, header=""):
    """Write a CBF file with FabIO; `header` becomes its mini header."""
    image = CbfImage(data=frame.astype(np.int32))
    if header:
        image.header["_array_data.header_convention"] = "PILATUS_1.2"
        image.header["_array_data.header_contents"] = header
    image.write(str(path))
    return path


def same(actual, expected):
    assert actual.dtype == expected.dtype
    assert actual.dtype.isnative
    assert np.array_equal(actual, expected)


# one file of each kind


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("kind", ["tif", "edf", "npy", "h5"])
def test_every_kind_and_dtype(tmp_path, kind, dtype):
    path = tmp_path / f"frame.{kind}"
    frame = FRAMES[1].astype(dtype)
    if kind == "npy":
        np.save(path, frame)
    elif kind == "h5":
        with h5py.File(path, "w") as file:
            file["data"] = frame[None]
    else:
        {"tif": TifImage, "edf": EdfImage}[kind](data=frame).write(str(path))
    with open_frames(path) as frames:
        assert (len(frames), frames.shape, frames.dtype) == (1, SHAPE, np.dtype(dtype))
        same(frames[0], frame)
        assert frames.source(0).file == str(path)
        assert frames.geometry is None
        assert frames.mask is None
        assert frames.saturation is None
        assert frames[0].flags.owndata or frames[0].base is not None
        frames[0][:] = 0  # the caller's own
        same(frames[0], frame)


@pytest.mark.parametrize("packing", ["", ".gz", ".bz2"])
def test_cbf_plain_and_packed(tmp_path, packing):
    path = cbf(tmp_path / "frame.cbf", FRAMES[2])
    if packing:
        module = {".gz": gzip, ".bz2": bz2}[packing]
        (tmp_path / f"frame.cbf{packing}").write_bytes(module.compress(path.read_bytes()))
        path = tmp_path / f"frame.cbf{packing}"
    same(open_frames(path)[0], FRAMES[2].astype(np.int32))


def test_cbf_counts_beyond_16_and_24_bits(tmp_path):
    frame = np.array([[0, -1, 127, -128], [32767, -32768, 2**24 + 1, 2**31 - 1]], dtype=np.int32)
    same(open_frames(cbf(tmp_path / "f.cbf", frame))[0], frame)


def test_real_cbf_equals_fabio():
    path = shared_data("thaumatin/thau_3_2_0018.cbf.bz2")
    frames = open_frames(path)
    with fabio.open(str(path)) as image:
        same(frames[0], image.data)
    assert frames.saturation == 115897
    geometry = frames.geometry
    assert geometry.shape == (2527, 2463)
    assert geometry.pixel_size == (172e-6, 172e-6)
    assert geometry.beam_center == (1306.96, 1261.61)
    assert (geometry.distance, geometry.wavelength, geometry.polarization) == (0.351, 0.96859, 0.99)


def test_multi_page_tiff_and_edf(tmp_path):
    pages = [Image.fromarray(frame) for frame in FRAMES]
    for name, options in (("plain.tif", {}), ("packed.tif", {"compression": "tiff_lzw"})):
        pages[0].save(tmp_path / name, save_all=True, append_images=pages[1:], **options)
        frames = open_frames(tmp_path / name)
        assert len(frames) == len(FRAMES)
        same(frames[:], FRAMES)
    image = EdfImage(data=FRAMES[0])
    for frame in FRAMES[1:]:
        image.append_frame(data=frame)
    image.write(str(tmp_path / "many.edf"))
    frames = open_frames(tmp_path / "many.edf")
    same(frames[:], FRAMES)
    assert frames.source(3) == FrameSource(str(tmp_path / "many.edf"), 3)


def test_opening_tiff_files_decodes_none(tmp_path, monkeypatch):
    pages = [Image.fromarray(frame) for frame in FRAMES]
    for number in range(3):
        some = pages[: number + 1]
        some[0].save(tmp_path / f"a_{number}.tif", save_all=True, append_images=some[1:])
    TifImage(data=FRAMES[3]).write(str(tmp_path / "a_3.tif"))
    decoded = []
    plain = TiffPage.asarray
    monkeypatch.setattr(TiffPage, "asarray", lambda *args, **options: decoded.append(args) or plain(*args, **options))
    frames = open_frames(tmp_path / "a_*.tif")
    assert len(frames) == 1 + 2 + 3 + 1
    assert decoded == []
    same(frames[:], FRAMES[[0, 0, 1, 0, 1, 2, 3]])
    assert len(decoded) == 1 + 2 + 3 + 1
    assert frames.source(4) == FrameSource(str(tmp_path / "a_2.tif"), 1)


def test_mini_header_of_a_pilatus_tiff(tmp_path):
    header = "# Pixel_size 172e-6 m x 172e-6 m\n# Detector_distance 0.2 m\n# Beam_xy (20.5, 11.25) pixels\n"
    Image.fromarray(FRAMES[0]).save(tmp_path / "p.tif", description=header + "# Count_cutoff 1000 counts\n")
    frames = open_frames(tmp_path / "p.tif")
    assert frames.geometry.beam_center == (11.25, 20.5)
    assert frames.geometry.distance == 0.2
    assert frames.saturation == 1000


def test_big_endian_files_become_native(tmp_path):
    np.save(tmp_path / "big.npy", FRAMES.astype(">u2"))
    same(open_frames(tmp_path / "big.npy")[:], FRAMES)
    with h5py.File(tmp_path / "big.h5", "w") as file:
        file["data"] = FRAMES.astype(">u2")
    same(open_frames(tmp_path / "big.h5")[:], FRAMES)
    Image.frombytes("I;16B", SHAPE[::-1], FRAMES[0].astype(">u2").tobytes()).save(tmp_path / "big.tif")
    same(open_frames(tmp_path / "big.tif")[0], FRAMES[0])


# sequences


def test_indices_slices_iteration():
    frames = open_frames(FRAMES)
    same(frames[-1], FRAMES[-1])
    same(frames[np.int64(2)], FRAMES[2])
    same(frames[1:4:2], FRAMES[1:4:2])
    same(frames[::-1], FRAMES[::-1])
    assert frames[5:].shape == (0, *SHAPE)
    assert [int(frame[0, 0]) for frame in frames] == [0, 1, 2, 3, 4]
    for index in (5, -6):
        with pytest.raises(IndexError, match="of 5"):
            frames[index]
    same(open_frames(FRAMES[0])[0], FRAMES[0])


def test_arrays_are_copied_and_checked():
    frames = open_frames(FRAMES)
    assert not np.shares_memory(frames[0], FRAMES)
    same(open_frames(FRAMES[:, None])[:], FRAMES)  # a singleton axis
    for bad in (np.zeros(5), np.zeros((2, 2, 3, 4)), np.zeros((3, 0, 4)), np.zeros((3, 4), dtype=complex)):
        with pytest.raises(FileError, match="array"):
            open_frames(bad)
    with pytest.raises(FileError, match="no frame"):
        open_frames(np.zeros((0, 3, 4)))


def test_list_and_glob_in_natural_order(tmp_path):
    for number in (10, 2, 1, 33):
        cbf(tmp_path / f"img_{number}.cbf", FRAMES[0] + number)
    frames = open_frames(tmp_path / "img_*.cbf")
    assert [int(frame[0, 0]) for frame in frames] == [1, 2, 10, 33]
    assert frames.files == [str(tmp_path / f"img_{number}.cbf") for number in (1, 2, 10, 33)]
    listed = open_frames([tmp_path / "img_33.cbf", str(tmp_path / "img_1*.cbf")], tmp_path / "img_2.cbf")
    assert [int(frame[0, 0]) for frame in listed] == [33, 1, 10, 2]
    assert listed.source(1) == FrameSource(str(tmp_path / "img_1.cbf"), 0)


def test_brackets_in_a_name_are_no_pattern(tmp_path):
    path = cbf(tmp_path / "img[1].cbf", FRAMES[0])
    assert len(open_frames(path)) == 1


def test_files_of_many_frames_in_sequence(tmp_path):
    one = eiger_master(tmp_path, FRAMES)
    np.save(tmp_path / "more.npy", FRAMES[:3])
    frames = open_frames(one, tmp_path / "more.npy")
    assert len(frames) == 8
    same(frames[:], np.concatenate([FRAMES, FRAMES[:3]]))
    assert frames.source(4) == FrameSource(str(one), 0, "/entry/data/data_000003")
    assert frames.source(6) == FrameSource(str(tmp_path / "more.npy"), 1)
    same(frames[1], FRAMES[1])  # back in the first file


def test_opening_cbf_files_decodes_none(tmp_path, monkeypatch):
    path = cbf(tmp_path / "a.cbf", FRAMES[0])
    for number in range(200):
        os.link(path, tmp_path / f"b_{number}.cbf")
    monkeypatch.setattr("fabio.compression.decByteOffset", None)
    assert len(open_frames(tmp_path / "*.cbf")) == 201


def test_memory_does_not_grow_with_the_number_of_frames(tmp_path):
    frames = np.zeros((200, 200, 250), dtype=np.uint32)
    with h5py.File(tmp_path / "many.h5", "w") as file:
        file.create_dataset("data", data=frames, chunks=(1, 200, 250), compression="gzip")
    np.save(tmp_path / "many.npy", frames)
    for name in ("many.h5", "many.npy"):
        with open_frames(tmp_path / name) as opened:
            tracemalloc.start()
            total = sum(int(frame.sum()) for frame in opened)
            peak = tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()
        assert total == 0
        assert peak < 5 * frames[0].nbytes


def test_closing_and_coming_back(tmp_path):
    frames = open_frames(eiger_master(tmp_path, FRAMES))
    frames.close()
    same(frames[4], FRAMES[4])
    frames.close()
    frames.close()


def test_a_file_is_opened_once_for_all_its_frames(tmp_path, monkeypatch):
    path = eiger_master(tmp_path, FRAMES)
    opened = []

    class Counted(CheckedFile):
        def __init__(self, name, *arguments, **options):
            if isinstance(name, str | Path):
                opened.append(name)
            super().__init__(name, *arguments, **options)

    monkeypatch.setattr("crystint.io.hdf5.files.CheckedFile", Counted)
    frames = open_frames(path)
    same(frames[:], FRAMES)
    _ = frames.geometry, frames.mask, frames.source(4)
    assert len(opened) == 1


def test_two_threads_read_one_sequence(tmp_path):
    np.save(tmp_path / "a.npy", FRAMES)
    frames = open_frames(eiger_master(tmp_path, FRAMES), tmp_path / "a.npy")
    with ThreadPoolExecutor(4) as pool:
        corners = list(pool.map(lambda index: int(frames[index][0, 0]), list(range(10)) * 5))
    assert corners == [0, 1, 2, 3, 4, 0, 1, 2, 3, 4] * 5


# HDF5


@pytest.mark.parametrize(
    "filters",
    [
        hdf5plugin.Bitshuffle(cname="lz4"),
        hdf5plugin.Bitshuffle(cname="zstd"),
        hdf5plugin.LZ4(),
        hdf5plugin.Zstd(),
        hdf5plugin.Blosc(),
        {"compression": "gzip", "shuffle": True},
        {"compression": "lzf"},
        {},
    ],
)
@pytest.mark.parametrize("dtype", ["uint16", "int32"])
def test_every_compression(tmp_path, filters, dtype):
    frames = FRAMES.astype(dtype)
    with h5py.File(tmp_path / "s.h5", "w") as file:
        file.create_dataset("entry/data/data", data=frames, chunks=(1, *SHAPE), **filters)
    same(open_frames(tmp_path / "s.h5")[:], frames)


def test_eiger_master_with_external_links(tmp_path):
    frames = open_frames(eiger_master(tmp_path, FRAMES))
    same(frames[:], FRAMES)
    assert frames.source(3) == FrameSource(str(tmp_path / "run_master.h5"), 1, "/entry/data/data_000002")
    assert frames.saturation == 60000
    assert frames.mask.dtype == np.uint32
    assert frames.mask[2, 3] == 1
    assert (frames.mask[4] == 1 << 30).all()
    assert np.count_nonzero(frames.mask) == 1 + SHAPE[1]
    geometry = frames.geometry
    assert geometry.beam_center == (11.5, 20.25)
    assert (geometry.distance, geometry.wavelength, geometry.shape) == (0.1, 1.0, SHAPE)


def test_virtual_master(tmp_path):
    frames = open_frames(virtual_master(tmp_path, FRAMES))
    same(frames[:], FRAMES)
    assert frames.source(4) == FrameSource(str(tmp_path / "vds_master.h5"), 4, "/entry/data/data")
    assert frames.saturation == 32766
    assert (frames.mask == np.eye(*SHAPE)).all()
    assert frames.geometry.wavelength == pytest.approx(1.0, rel=1e-12)
    assert frames.geometry.distance == pytest.approx(0.1)


@pytest.mark.parametrize("make", [eiger_master, virtual_master])
def test_frames_of_a_missing_linked_file_are_missing(tmp_path, make):
    path = make(tmp_path, FRAMES)
    lost = next(tmp_path.glob("*_data_000002.h5"))
    lost.unlink()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", CrystintWarning)  # that their number is guessed
        frames = open_frames(path)
    assert list(frames.missing) == [2, 3]
    assert lost.name in frames.missing[2]
    with pytest.raises(MissingFrameError, match=lost.name + ".*does not exist"):
        frames[3]
    assert np.array_equal(frames[4], FRAMES[4])


@pytest.mark.parametrize(
    "place",
    [
        "/entry/data/data",
        "/entry_1/data_1/data",
        "/entry_1/instrument_1/detector_1/data",
        "/data",
        "/somewhere/else/counts",
    ],
)
def test_places_of_the_frames(tmp_path, place):
    with h5py.File(tmp_path / "s.h5", "w") as file:
        file[place] = FRAMES
        file["entry/instrument/detector/pixel_mask"] = np.zeros(SHAPE, dtype=np.uint32)
        file["calibration/pedestal"] = np.zeros((3, *SHAPE), dtype=np.uint16)
        file["short"] = np.zeros((9, 3))
    frames = open_frames(tmp_path / "s.h5")
    same(frames[:], FRAMES)
    assert frames.source(2).dataset == place


def test_default_and_signal_attributes_lead(tmp_path):
    with h5py.File(tmp_path / "s.h5", "w") as file:
        file["entry/data/data"] = FRAMES[:1] * 0
        file["scan/plot/counts"] = FRAMES
        file.attrs["default"] = "scan"
        file["scan"].attrs["default"] = "plot"
        file["scan/plot"].attrs["signal"] = "counts"
    same(open_frames(tmp_path / "s.h5")[:], FRAMES)


def test_a_choice_is_listed_and_can_be_made(tmp_path):
    with h5py.File(tmp_path / "s.h5", "w") as file:
        file["one/low"], file["two/high"] = FRAMES, FRAMES[:2]
    with pytest.raises(FileError, match=r"/one/low \(5, 31, 47\).*/two/high.*--dataset"):
        open_frames(tmp_path / "s.h5")
    same(open_frames(tmp_path / "s.h5", dataset="/two/high")[:], FRAMES[:2])
    with pytest.raises(FileError, match=r"no data set /three.*/one/low"):
        open_frames(tmp_path / "s.h5", dataset="/three")


def test_singleton_axis_and_single_frame(tmp_path):
    with h5py.File(tmp_path / "s.h5", "w") as file:
        file["entry/data/data"] = FRAMES[:, None]
    same(open_frames(tmp_path / "s.h5")[:], FRAMES)
    with h5py.File(tmp_path / "one.h5", "w") as file:
        file["image"] = FRAMES[3]
    same(open_frames(tmp_path / "one.h5")[0], FRAMES[3])


def test_hdf5_without_frames(tmp_path):
    with h5py.File(tmp_path / "none.h5", "w") as file:
        file["curve"] = np.arange(10.0)
    with pytest.raises(FileError, match="holds no frames"):
        open_frames(tmp_path / "none.h5")
    with h5py.File(tmp_path / "zero.h5", "w") as file:
        file.create_dataset("entry/data/data", shape=(0, *SHAPE), maxshape=(None, *SHAPE), dtype="u2")
    with pytest.raises(FileError, match="holds no frame"):
        open_frames(tmp_path / "zero.h5")


def test_sparse_files_are_no_frames():
    with pytest.raises(FileError, match="sparse file"):
        open_frames(shared_data("pyfai-sparse/crop_03_hybrid_sparse.h5"))


@pytest.mark.parametrize("share", [0.5, 0.9, 0.02])
def test_truncated_hdf5(tmp_path, share):
    path = tmp_path / "s.h5"
    with h5py.File(path, "w") as file:
        file.create_dataset("data", data=stack(40), chunks=(1, *SHAPE), compression="gzip")
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    with pytest.raises(FileError, match=r"s\.h5 is truncated or damaged"):
        open_frames(path)


@pytest.mark.parametrize("filters", [{"compression": "gzip"}, hdf5plugin.Bitshuffle(cname="lz4")])
def test_a_damaged_chunk_is_told_with_its_frame(tmp_path, filters):
    path = tmp_path / "s.h5"
    with h5py.File(path, "w") as file:
        data = file.create_dataset("data", data=FRAMES, chunks=(1, *SHAPE), **filters)
        data.id.write_direct_chunk((3, 0, 0), b"\xff" * 40)
    frames = open_frames(path)
    same(frames[2], FRAMES[2])
    with pytest.raises(FileError, match=r"s\.h5, /data\[3\], cannot be read"):
        frames[3]


def test_a_damaged_linked_file_is_named(tmp_path):
    path = eiger_master(tmp_path, FRAMES)
    part = tmp_path / "run_data_000002.h5"
    part.write_bytes(part.read_bytes()[:700])
    with pytest.warns(CrystintWarning, match=r"run_data_000002\.h5 is truncated or damaged.*taken as 2, as many as"):
        frames = open_frames(path)
    assert list(frames.missing) == [2, 3]


def test_geometry_that_is_impossible_is_told_when_asked_for(tmp_path):
    frames = open_frames(eiger_master(tmp_path, FRAMES, beam_center_x=(400.0, "pixel")))
    same(frames[0], FRAMES[0])
    with pytest.raises(GeometryError, match=r"run_master\.h5.*outside the frame"):
        _ = frames.geometry
    assert frames.read_geometry(beam_outside=True).beam_center[1] == 400.0


# bad files


def test_missing_files(tmp_path):
    for name in ("none.cbf", "none.h5"):
        with pytest.raises(FileError, match=rf"{name} does not exist"):
            open_frames(tmp_path / name)
    with pytest.raises(FileError, match="no file matches"):
        open_frames(tmp_path / "*.cbf")
    with pytest.raises(FileError, match="no file given"):
        open_frames([])
    with pytest.raises(FileError, match="is a folder"):
        open_frames(tmp_path)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("notes.txt", b"these are words\n"),
        ("d.json", json.dumps({"a": 1}).encode()),
        ("d2.json", json.dumps({"a": 1}, indent=1).encode()),
        ("d.poni", b"poni_version: 2\nDistance: 1\n"),
        ("d.xml", b"<a/>"),
        ("zeros.bin", b"\0" * 5000),
        ("fake.tif", b"II*\0 no image"),
    ],
)
def test_unknown_kinds(tmp_path, name, content, capfd):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(FileError, match=rf"{name}.*(unknown kind|damaged|expected frames).*"):
        open_frames(tmp_path / name)
    assert capfd.readouterr() == ("", "")


def test_empty_files(tmp_path):
    for name in ("e.cbf", "e.h5", "e.npy"):
        (tmp_path / name).touch()
        with pytest.raises(FileError, match=rf"{name} is empty"):
            open_frames(tmp_path / name)


@pytest.mark.parametrize("share", [0.3, 0.6, 0.9, 0.99])
@pytest.mark.parametrize("packing", ["", ".gz", ".bz2"])
def test_truncated_cbf(tmp_path, share, packing, capfd):
    content = cbf(tmp_path / "whole.cbf", stack(1, (90, 110))[0]).read_bytes()
    path = tmp_path / f"cut.cbf{packing}"
    cut = content[: int(share * len(content))]
    if packing:
        whole = {".gz": gzip, ".bz2": bz2}[packing].compress(content)
        cut = whole[: int(share * len(whole))]
    path.write_bytes(cut)
    with pytest.raises(FileError, match=rf"cut\.cbf{packing} is .*truncated"):
        open_frames(path)[0]
    assert capfd.readouterr() == ("", "")


def test_truncated_cbf_without_a_size_is_seen_by_its_pixels(tmp_path):
    content = cbf(tmp_path / "whole.cbf", FRAMES[0]).read_bytes()
    start = content.index(b"\x0c\x1a\x04\xd5")
    content = content.replace(b"X-Binary-Size: ", b"X-Other-Thing: ")[: start + 900]
    (tmp_path / "cut.cbf").write_bytes(content)
    with pytest.raises(FileError, match=r"truncated: .* 1457 pixels"):
        open_frames(tmp_path / "cut.cbf")[0]


@pytest.mark.parametrize("packing", ["", ".gz", ".bz2"])
def test_damaged_cbf_is_seen_by_its_checksum_when_that_is_asked_for(tmp_path, packing):
    pack = {"": bytes, ".gz": gzip.compress, ".bz2": bz2.compress}[packing]
    content = bytearray(cbf(tmp_path / "x.cbf", FRAMES[0]).read_bytes())
    path = tmp_path / f"f.cbf{packing}"
    path.write_bytes(pack(content))
    whole = crystint.verify(path)
    assert (whole.ok, whole.sets, whole.problems) == (True, 1, ())
    assert b"X-Binary-Size: %d" % whole.size in content
    content[content.index(b"\x0c\x1a\x04\xd5") + 300] ^= 1
    path.write_bytes(pack(content))
    assert not crystint.verify(path).ok
    assert "MD5 sum" in crystint.verify(path).problems[0]
    assert (open_frames(path)[0] != FRAMES[0]).any()  # of the right lengths
    path.write_bytes(pack(content.replace(b"Content-MD5", b"Content-XX5")))
    with pytest.raises(FileError, match="no Content-MD5"):
        crystint.verify(path)
    path.write_bytes(content[:-500])
    with pytest.raises(FileError, match="truncated"):
        crystint.verify(path)


@pytest.mark.parametrize("module", [gzip, bz2])
@pytest.mark.parametrize("at", [0.1, 0.5, 0.9])
def test_a_damaged_packing_is_told(tmp_path, module, at):
    cbf(tmp_path / "f.cbf", np.random.default_rng(0).integers(0, 200, SHAPE))
    content = bytearray(module.compress((tmp_path / "f.cbf").read_bytes()))
    start = 20 + int(at * (len(content) - 60))
    content[start : start + 30] = b"\xff" * 30
    path = tmp_path / f"f.cbf.{'gz' if module is gzip else 'bz2'}"
    path.write_bytes(content)
    with pytest.raises(FileError, match="damaged or truncated"):
        open_frames(path)[0]


@pytest.mark.parametrize("kind", ["edf", "tif"])
@pytest.mark.parametrize("share", [0.9, 0.5])
def test_truncated_images(tmp_path, kind, share, capfd):
    path = tmp_path / f"cut.{kind}"
    {"tif": TifImage, "edf": EdfImage}[kind](data=stack(1, (90, 110))[0]).write(str(path))
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    with pytest.raises(FileError, match=rf"cut\.{kind}.*(damaged|truncated)"):
        open_frames(path)[0]
    assert capfd.readouterr() == ("", "")


def test_truncated_second_frame_of_an_edf(tmp_path):
    image = EdfImage(data=FRAMES[0])
    image.append_frame(data=FRAMES[1])
    path = tmp_path / "two.edf"
    image.write(str(path))
    path.write_bytes(path.read_bytes()[:-300])
    frames = open_frames(path)
    same(frames[0], FRAMES[0])
    with pytest.raises(FileError, match=r"two\.edf, frame 1, is damaged"):
        frames[1]


def test_truncated_npy(tmp_path):
    np.save(tmp_path / "s.npy", FRAMES)
    content = (tmp_path / "s.npy").read_bytes()
    (tmp_path / "s.npy").write_bytes(content[: len(content) // 2])
    with pytest.raises(FileError, match="truncated"):
        open_frames(tmp_path / "s.npy")


def test_a_frame_of_another_shape_or_dtype_is_named(tmp_path):
    cbf(tmp_path / "a_1.cbf", FRAMES[0])
    cbf(tmp_path / "a_2.cbf", FRAMES[0][:-1])
    frames = open_frames(tmp_path / "a_*.cbf")
    assert len(frames) == 2
    with pytest.raises(FileError, match=r"a_2\.cbf holds frames of \(30, 47\) int32, but .*a_1\.cbf of \(31, 47\)"):
        frames[1]
    np.save(tmp_path / "b_1.npy", FRAMES)
    np.save(tmp_path / "b_2.npy", FRAMES.astype(np.int32))
    with pytest.raises(FileError, match=r"b_2\.npy holds frames of .* int32"):
        open_frames(tmp_path / "b_*.npy")


def test_data_sets_of_one_master_must_be_alike(tmp_path):
    with h5py.File(tmp_path / "m.h5", "w") as file:
        detector(file)
        beam(file)
        file["entry/data/data_000001"], file["entry/data/data_000002"] = FRAMES, FRAMES[:, :-2]
    with pytest.raises(FileError, match=r"data_000002 holds frames of \(29, 47\)"):
        open_frames(tmp_path / "m.h5")


def test_reading_says_nothing_on_stderr(tmp_path, capfd):
    Image.fromarray(FRAMES[0]).save(tmp_path / "lzw.tif", compression="tiff_lzw")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        same(open_frames(tmp_path / "lzw.tif")[0], FRAMES[0])
    assert capfd.readouterr() == ("", "")
