"""Frames that were never written, or whose file is not there, are missing; they are no measurements of zeros."""

from __future__ import annotations

import warnings

import h5py
import hdf5plugin
import numpy as np
import pytest

import crystint
from crystint.errors import CrystintWarning, FileError, MissingFrameError
from crystint.io.describe import describe
from tests.io.hdf5_files import SHAPE, eiger_master, stack, virtual_master

FRAMES = stack(8)


def missing(path, dataset=None):
    """Numbers of the missing frames; the others must be those of FRAMES."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", CrystintWarning)
        frames = crystint.open_frames(path, dataset=dataset)
    for number in range(len(frames)):
        if number in frames.missing:
            with pytest.raises(MissingFrameError, match="is missing: "):
                frames[number]
            assert frames.chunk(number) is None
        else:
            assert np.array_equal(frames[number], FRAMES[number])
    return len(frames), list(frames.missing)


# external links of a master


def lost(folder, *numbers, images=None, numbered=False):
    """A master of four files of two frames, some of which are lost."""
    path = eiger_master(folder, FRAMES)
    if images is not None:
        with h5py.File(path, "r+") as file:
            for name, value in zip(("nimages", "ntrigger"), images, strict=True):
                file["entry/instrument/detector/detectorSpecific"][name] = value
    for number in range(1, 5):
        name = folder / f"run_data_{number:06d}.h5"
        if number in numbers:
            name.unlink()
        elif numbered:
            with h5py.File(name, "r+") as file:
                file["entry/data/data"].attrs["image_nr_low"] = np.int32(2 * number - 1)
                file["entry/data/data"].attrs["image_nr_high"] = np.int32(2 * number)
    return path


@pytest.mark.parametrize(
    ("numbers", "images", "numbered", "expected"),
    [
        ((2,), None, True, [2, 3]),
        ((2, 3), None, True, [2, 3, 4, 5]),
        ((1,), None, True, [0, 1]),
        ((1, 3), None, True, [0, 1, 4, 5]),
        ((4,), (8, 1), False, [6, 7]),
        ((4,), (2, 4), True, [6, 7]),
        ((3, 4), (4, 2), False, [4, 5, 6, 7]),
        ((1,), (8, 1), False, [0, 1]),
        ((2, 4), (8, 1), True, [2, 3, 6, 7]),
    ],
)
def test_what_tells_how_many_frames_a_lost_file_held(tmp_path, numbers, images, numbered, expected):
    path = lost(tmp_path, *numbers, images=images, numbered=numbered)
    frames = crystint.open_frames(path)  # without a warning: nothing is guessed
    assert (len(frames), list(frames.missing)) == (8, expected)
    assert missing(path) == (8, expected)
    assert f"run_data_{numbers[0]:06d}.h5, which does not exist beside it" in frames.missing[expected[0]]
    assert frames.source(expected[0]).dataset == f"/entry/data/data_{numbers[0]:06d}"


@pytest.mark.parametrize(("total", "lost_frames"), [(12, 6), (8, 2)])
def test_a_lost_file_that_held_more_than_the_others(tmp_path, total, lost_frames):
    """The numbers of the images and the total of the run agree: no guess from the size of the others."""
    path = eiger_master(tmp_path, FRAMES)
    (tmp_path / "run_data_000001.h5").unlink()
    for number in (2, 3, 4):
        with h5py.File(tmp_path / f"run_data_{number:06d}.h5", "r+") as file:
            file["entry/data/data"].attrs["image_nr_low"] = np.int32(2 * number + 3)
            file["entry/data/data"].attrs["image_nr_high"] = np.int32(2 * number + 4)
    with h5py.File(path, "r+") as file:
        specific = file["entry/instrument/detector/detectorSpecific"]
        specific["nimages"], specific["ntrigger"] = total, 1
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        frames = crystint.open_frames(path)
    doubts = [str(each.message) for each in caught if "6 frames are said to be missing" in str(each.message)]
    assert len(doubts) == (total == 8)  # they do not agree
    assert list(frames.missing) == list(range(lost_frames))
    assert np.array_equal(frames[lost_frames], FRAMES[2])


def test_numbers_that_nothing_tells_are_guessed_or_left_out_with_a_warning(tmp_path):
    path = lost(tmp_path, 2, 4)
    guess = (
        "data_000002.h5, which does not exist beside it; nothing tells how many .* taken as 2, as many as the others"
    )
    with pytest.warns(CrystintWarning, match=guess), pytest.warns(CrystintWarning, match=r"data_000004.*are left out"):
        frames = crystint.open_frames(path)
    assert (len(frames), list(frames.missing)) == (6, [2, 3])


def test_counts_that_cannot_be_are_held_to_the_size_of_the_files(tmp_path):
    path = lost(tmp_path, 4, images=(1, 10**9), numbered=False)
    with pytest.warns(CrystintWarning, match="999999994 frames are said to be missing, .* taken as 2"):
        frames = crystint.open_frames(path)
    assert (len(frames), list(frames.missing)) == (8, [6, 7])


def test_a_run_that_was_stopped_is_told(tmp_path):
    path = lost(tmp_path, images=(10, 1), numbered=False)
    with pytest.warns(CrystintWarning, match="8 of the 10 images"):
        assert len(crystint.open_frames(path)) == 8


def test_a_master_without_a_single_data_file(tmp_path):
    path = lost(tmp_path, 1, 2, 3, 4, images=(8, 1))
    with pytest.raises(FileError, match=r"data_000001 is a link .*run_data_000001.h5, which does not exist beside it"):
        crystint.open_frames(path)
    assert crystint.Geometry.read(path, shape=SHAPE).beam_center == (11.5, 20.25)


def test_a_data_file_that_is_not_whole(tmp_path):
    path = lost(tmp_path, images=(8, 1))
    last = tmp_path / "run_data_000004.h5"
    last.write_bytes(last.read_bytes()[:900])
    assert missing(path) == (8, [6, 7])
    assert "run_data_000004.h5 is truncated or damaged" in crystint.open_frames(path).missing[6]
    about = describe(path)
    assert (about["frames"], about["missing"]) == (8, "2 frames: 6, 7")
    assert "truncated or damaged" in about["why missing"]


# chunks


OPTIONS = {
    "by crystint": hdf5plugin.Bitshuffle(),
    "by HDF5": {"scaleoffset": 0},
    "plain": {},
    "fill value": {"fillvalue": 7, **hdf5plugin.LZ4()},
}


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
@pytest.mark.parametrize(
    ("chunk", "expected"), [((1, *SHAPE), [3, 4, 6, 7]), ((2, *SHAPE), [4, 6, 7]), ((1, 16, 47), [3, 4, 6, 7])]
)
def test_chunks_that_hdf5_does_not_have(tmp_path, options, chunk, expected):
    with h5py.File(tmp_path / "x.h5", "w") as file:
        made = file.create_dataset("entry/data/data", FRAMES.shape, FRAMES.dtype, chunks=chunk, **options)
        for number in (0, 1, 2, 5):
            made[number] = FRAMES[number]
    with crystint.open_frames(tmp_path / "x.h5") as frames:
        assert len(frames) == 8
        if 4 in expected and chunk[0] == 2:
            expected = [6, 7]  # 4 shares a chunk with 5, which HDF5 wrote as a whole
        assert list(frames.missing) == expected


def test_a_frame_of_which_a_tile_was_never_written_is_missing(tmp_path):
    with h5py.File(tmp_path / "x.h5", "w") as file:
        made = file.create_dataset("data", FRAMES.shape, FRAMES.dtype, chunks=(1, 16, 24), compression="gzip")
        made[...] = FRAMES
        half = file.create_dataset("half", FRAMES.shape, FRAMES.dtype, chunks=(1, 16, 24), compression="gzip")
        half[:5] = FRAMES[:5]
        half[5, :16] = FRAMES[5, :16]
    assert missing(tmp_path / "x.h5", "data") == (8, [])
    assert missing(tmp_path / "x.h5", "half") == (8, [5, 6, 7])
    reasons = crystint.open_frames(tmp_path / "x.h5", dataset="half").missing
    assert (reasons[5], reasons[6]) == ("only 2 of its 4 chunks were ever written", "it was never written")


def test_tiles_that_no_frame_has_are_a_gap(tmp_path):
    with h5py.File(tmp_path / "x.h5", "w") as file:
        made = file.create_dataset("data", FRAMES.shape, FRAMES.dtype, chunks=(1, 31, 16), compression="gzip")
        for number in (0, 2):
            made[number, :, :16] = FRAMES[number, :, :16]
            made[number, :, 32:] = FRAMES[number, :, 32:]
    frames = crystint.open_frames(tmp_path / "x.h5")
    assert list(frames.missing) == [1, 3, 4, 5, 6, 7]
    assert np.array_equal(frames[2][:, :16], FRAMES[2, :, :16])
    assert not frames[2][:, 16:32].any()


def test_zeros_that_were_written_are_frames(tmp_path):
    with h5py.File(tmp_path / "x.h5", "w") as file:
        made = file.create_dataset("data", (3, *SHAPE), np.uint16, chunks=(1, *SHAPE), **hdf5plugin.LZ4())
        made[...] = 0
    assert crystint.open_frames(tmp_path / "x.h5").missing == {}


def test_contiguous_data_that_were_never_written(tmp_path):
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file.create_dataset("data", FRAMES.shape, FRAMES.dtype)
    assert missing(tmp_path / "x.h5") == (8, list(range(8)))


# virtual data sets


def save(path, frames, room=None):
    with h5py.File(path, "w") as file:
        made = file.create_dataset(
            "data", (room or len(frames), *frames.shape[1:]), frames.dtype, chunks=(1, *frames.shape[1:]),
            maxshape=(None, *frames.shape[1:]), **hdf5plugin.Zstd(),
        )  # fmt: skip
        made[: len(frames)] = frames
    return path


def virtual(path, layout, **options):
    with h5py.File(path, "w", libver="latest") as file:
        file.create_virtual_dataset("entry/data/data", layout, **options)
    return path


def test_sources_that_are_lost_short_or_partly_written(tmp_path):
    save(tmp_path / "a.h5", FRAMES[:2])
    save(tmp_path / "b.h5", FRAMES[2:3], room=2)
    save(tmp_path / "c.h5", FRAMES[4:5])
    layout = h5py.VirtualLayout(FRAMES.shape, FRAMES.dtype)
    for number, name in enumerate("abcd"):
        source = h5py.VirtualSource(f"{name}.h5", "data", (2, *SHAPE), maxshape=(None, *SHAPE))[:2]
        layout[2 * number : 2 * number + 2] = source
    path = virtual(tmp_path / "v.h5", layout, fillvalue=3)
    assert missing(path) == (8, [3, 5, 6, 7])
    reasons = crystint.open_frames(path).missing
    assert reasons[3] == "it was never written (frame 1 of b.h5)"
    assert reasons[5] == "c.h5 holds only 1 frame"
    assert reasons[6] == "d.h5 does not exist beside v.h5"
    (tmp_path / "d.h5.part").touch()
    assert crystint.open_frames(path).missing[6] == "d.h5 is being written: it is called d.h5.part until it is closed"
    deeper = h5py.VirtualLayout(FRAMES.shape, FRAMES.dtype)
    deeper[...] = h5py.VirtualSource("v.h5", "entry/data/data", FRAMES.shape)
    assert missing(virtual(tmp_path / "w.h5", deeper)) == (8, [3, 5, 6, 7])


def test_modules_side_by_side_with_a_gap(tmp_path):
    """As of detectors of several modules, each in a file of its own; the gap between them is no hole."""
    frames = FRAMES.copy()
    frames[:, :, 20:24] = 9
    save(tmp_path / "left.h5", frames[:, :, :20])
    save(tmp_path / "right.h5", frames[:6, :, 24:], room=7)
    layout = h5py.VirtualLayout(FRAMES.shape, FRAMES.dtype)
    layout[:, :, :20] = h5py.VirtualSource("left.h5", "data", (8, 31, 20))
    layout[:, :, 24:] = h5py.VirtualSource("right.h5", "data", (8, 31, 23))
    opened = crystint.open_frames(virtual(tmp_path / "v.h5", layout, fillvalue=9))
    assert list(opened.missing) == [6, 7]
    assert np.array_equal(opened[:6], frames[:6])
    half = h5py.VirtualLayout(FRAMES.shape, FRAMES.dtype)
    half[:, :, :20] = h5py.VirtualSource("left.h5", "data", (8, 31, 20))
    half[1::2, :, 24:] = h5py.VirtualSource("right.h5", "data", (7, 31, 23))[:4]
    opened = crystint.open_frames(virtual(tmp_path / "h.h5", half))
    assert list(opened.missing) == [0, 2, 4, 6]
    assert opened.missing[2] == "no source of the virtual data set shows all of it"


def test_a_series_with_a_hole(tmp_path):
    """Sources that are counted, as SWMR writers and h5py's low-level interface make them."""
    for number in (0, 2, 3):
        save(tmp_path / f"d_{number}.h5", FRAMES[2 * number : 2 * number + 2])
    unlimited = h5py.h5s.UNLIMITED
    with h5py.File(tmp_path / "m.h5", "w", libver="latest") as file:
        space = h5py.h5s.create_simple((2, *SHAPE), (unlimited, *SHAPE))
        space.select_hyperslab((0, 0, 0), (unlimited, 1, 1), (2, 1, 1), (2, *SHAPE))
        source = h5py.h5s.create_simple((2, *SHAPE))
        layout = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        layout.set_virtual(space, b"d_%b.h5", b"/data", source)
        extent = h5py.h5s.create_simple((2, *SHAPE), (unlimited, *SHAPE))
        h5py.h5d.create(file.create_group("entry/data").id, b"data", h5py.h5t.NATIVE_UINT16, extent, layout)
    with h5py.File(tmp_path / "m.h5") as file:
        shown = len(file["entry/data/data"])
    assert missing(tmp_path / "m.h5") == (shown, [number for number in (2, 3) if number < shown])


def test_a_source_without_limit(tmp_path):
    save(tmp_path / "a.h5", FRAMES[:5], room=7)
    layout = h5py.VirtualLayout((5, *SHAPE), FRAMES.dtype, maxshape=(None, *SHAPE))
    source = h5py.VirtualSource("a.h5", "data", (5, *SHAPE), maxshape=(None, *SHAPE))
    layout[: h5py.h5s.UNLIMITED] = source[: h5py.h5s.UNLIMITED]
    assert missing(virtual(tmp_path / "v.h5", layout)) == (7, [5, 6])


def test_a_virtual_master_whose_file_is_lost(tmp_path):
    path = virtual_master(tmp_path, FRAMES)
    (tmp_path / "vds_data_000002.h5").unlink()
    assert missing(path) == (8, [2, 3])
    assert describe(path)["missing"] == "2 frames: 2, 3"
    (tmp_path / "vds_data_000001.h5").unlink()
    about = describe(path)
    assert "frame 0" not in about
    assert "frame 4" in about
