"""Where frames lie in HDF5 files: links in unusual places, numbered data sets, patterns, stacks of more axes."""

from __future__ import annotations

import re

import h5py
import hdf5plugin
import numpy as np
import pytest

import crystint
from crystint.errors import CrystintWarning, FileError
from crystint.io.kinds import kind_of
from tests.io.hdf5_files import SHAPE, stack

FRAMES = stack(4)


@pytest.fixture
def parts(tmp_path):
    """Two files of two frames each; the test's file is beside them."""
    for number in (1, 2):
        with h5py.File(tmp_path / f"part_{number}.h5", "w") as file:
            file["somewhere/data"] = FRAMES[2 * number - 2 : 2 * number]
    return tmp_path / "x.h5"


@pytest.mark.parametrize("folder", ["entry", "", "run_7/eiger", "entry/instrument/detector/group"])
def test_numbered_links_in_any_group(parts, folder):
    with h5py.File(parts, "w") as file:
        for number in (1, 2):
            file.require_group(folder or "/")[f"data_{number:06d}"] = h5py.ExternalLink(
                f"part_{number}.h5", "somewhere/data"
            )
    assert np.array_equal(crystint.open_frames(parts)[:], FRAMES)
    assert kind_of(parts).form == "DECTRIS master"


@pytest.mark.parametrize("link", ["soft", "external", "external group", "soft to external"])
def test_the_only_stack_is_behind_a_link(parts, link):
    with h5py.File(parts, "w") as file:
        if link == "soft":
            file["raw/images"] = FRAMES[:2]
            file["x/y/frames"] = h5py.SoftLink("/raw/images")
        elif link == "external":
            file["x/y/frames"] = h5py.ExternalLink("part_1.h5", "somewhere/data")
        elif link == "external group":
            file["x/y"] = h5py.ExternalLink("part_1.h5", "somewhere")
        else:
            file["a"] = h5py.ExternalLink("part_1.h5", "somewhere")
            file["x/y"] = h5py.SoftLink("/a/data")
        file["x/loop"] = h5py.SoftLink("/x")
        file["x/nowhere"] = h5py.ExternalLink("part_9.h5", "/data")
    assert np.array_equal(crystint.open_frames(parts)[:], FRAMES[:2])


@pytest.mark.parametrize("text", ["data", np.bytes_("data"), np.array(["data"], "S4"), np.array(["data"], "O")])
def test_attributes_of_text_in_every_way(tmp_path, text):
    with h5py.File(tmp_path / "x.h5", "w") as file:
        group = file.create_group("scan/plot")
        group.attrs["NX_class"] = "NXdata"
        group.attrs.create("signal", text, dtype=h5py.string_dtype() if getattr(text, "dtype", "") == "O" else None)
        file["scan"].attrs["NX_class"] = np.bytes_("NXentry")
        group["data"], group["other"] = FRAMES, FRAMES[:1]
    assert len(crystint.open_frames(tmp_path / "x.h5")) == 4


@pytest.mark.parametrize("name", ["peaks.h5", "peaks.cxi"])
def test_columns_of_tables_are_no_frames(tmp_path, name):
    data = crystint.simulate.simulate((100, 110), frames=20, background=2.0, peaks=20, dtype="uint16", seed=1)
    with crystint.DenseWriter(
        tmp_path / "run.h5", data.shape, data.dtype, geometry=data.geometry, mask=None, saturation=None, provenance={}
    ) as writer:
        for frame in data:
            writer.write(frame)
    crystint.separation.find_peaks([tmp_path / "run.h5"], [tmp_path / name], {"rings": 30})
    with h5py.File(tmp_path / name, "r+") as file:
        if "entry_1/data_1" in file:  # the frames, which a peak list need not have
            del file["entry_1/data_1"]
    with pytest.raises(FileError, match="is a peak list"):
        crystint.open_frames(tmp_path / name)


def shots(path, names, member="detector_2d_1/detector_data"):
    """A file of SACLA: one image per shot."""
    with h5py.File(path, "w") as file:
        for name, frame in zip(names, FRAMES, strict=False):
            file[f"{name}/{member}"] = frame
        file["file_info/version"] = 1
    return path


@pytest.mark.parametrize("dataset", [None, "/tag-*/detector_2d_1/detector_data", "/%/detector_2d_1/detector_data",
                                     "tag-*/*/detector_data", "/tag-[0-9]*/detector_2d_?/*data"])  # fmt: skip
def test_one_data_set_per_shot(tmp_path, dataset):
    path = shots(tmp_path / "x.h5", ["tag-9", "tag-10", "tag-101"])
    frames = crystint.open_frames(path, dataset=dataset)
    assert np.array_equal(frames[:], FRAMES[:3])
    assert frames.source(2).dataset == "/tag-101/detector_2d_1/detector_data"


def test_other_names_need_the_pattern_that_the_message_gives(tmp_path):
    path = shots(tmp_path / "x.h5", ["shot2", "shot10"], "image")
    with pytest.raises(FileError, match=re.escape("or all of them with '/shot*/image'")):
        crystint.open_frames(path)
    assert np.array_equal(crystint.open_frames(path, dataset="/shot*/image")[:], FRAMES[:2])
    with pytest.raises(FileError, match=r"no data set of frames that matches /run\*/image; stacks in it: /shot2/image"):
        crystint.open_frames(path, dataset="/run*/image")


def test_a_name_with_the_letters_of_a_pattern(tmp_path):
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file["50%/da*ta"], file["50%/data"] = FRAMES[:1], FRAMES
    assert len(crystint.open_frames(tmp_path / "x.h5", dataset="/50%/da*ta")) == 1


LAYOUTS = {
    "contiguous": {},
    "one image": {"chunks": (1, 1, *SHAPE), **hdf5plugin.LZ4()},
    "all of the second axis": {"chunks": (1, 2, *SHAPE), "compression": "gzip"},
    "half of the second axis of two": {"chunks": (2, 1, *SHAPE), "compression": "gzip"},
    "tiles": {"chunks": (1, 2, 16, 47), **hdf5plugin.Bitshuffle()},
}


@pytest.mark.parametrize("options", LAYOUTS.values(), ids=LAYOUTS)
def test_leading_axes_are_folded(tmp_path, options):
    frames = stack(6)
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file.create_dataset("entry/data/data", data=frames.reshape(3, 2, *SHAPE), **options)
    said = (
        r"/entry/data/data has 3 x 2 images of 31 x 47 px: taken as 6 frames, the last of these axes counting fastest"
    )
    with pytest.warns(CrystintWarning, match=said):
        opened = crystint.open_frames(tmp_path / "x.h5")
    assert np.array_equal(opened[:], frames)
    assert opened.source(3).index == 3
    opened.close()
    with h5py.File(tmp_path / "x.h5", "r+") as file:
        file["entry/data/data"].attrs["interpretation"] = "image"
    assert len(crystint.open_frames(tmp_path / "x.h5")) == 6  # NeXus says what the axes are: nothing is guessed


def test_folded_frames_that_were_never_written(tmp_path):
    with h5py.File(tmp_path / "x.h5", "w") as file:
        made = file.create_dataset("a", (3, 2, 2, *SHAPE), np.uint16, chunks=(1, 1, 2, *SHAPE), compression="gzip")
        made.attrs["interpretation"] = "image"
        made[0, 1], made[2] = FRAMES[:2], FRAMES.reshape(2, 2, *SHAPE)
    frames = crystint.open_frames(tmp_path / "x.h5")
    assert list(frames.missing) == [0, 1, 4, 5, 6, 7]
    assert np.array_equal(frames[8:], FRAMES)


def test_arrays_of_more_axes(tmp_path):
    np.save(tmp_path / "x.npy", FRAMES.reshape(2, 2, *SHAPE))
    with pytest.warns(CrystintWarning, match="2 x 2 images .* taken as 4 frames"):
        assert np.array_equal(crystint.open_frames(tmp_path / "x.npy")[:], FRAMES)


def test_a_stack_of_three_axes_goes_before_those_of_more(tmp_path):
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file["a/b"], file["a/c"], file["a/d"] = FRAMES, np.zeros((2, 3, *SHAPE)), FRAMES[0]
    assert crystint.open_frames(tmp_path / "x.h5").source(0).dataset == "/a/b"
