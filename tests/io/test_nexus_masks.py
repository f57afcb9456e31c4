"""Masks within HDF5 files, as other programs leave them: places, axes, dtypes, and those that cannot be used."""

from __future__ import annotations

import warnings

import h5py
import numpy as np
import pytest

import crystint
from crystint.errors import CrystintWarning, FileError
from crystint.information.steps import INFO
from crystint.io.describe import describe
from crystint.model.mask import USER_MASK, unusable
from crystint.run.frames import mask_of
from crystint.run.settings import PixelSettings

SHAPE = (21, 34)
DETECTOR = "entry/instrument/detector"
BAD = np.zeros(SHAPE, dtype=bool)
BAD[3, 5:9] = BAD[20, 33] = True


def file_with(path, mask=None, place=f"{DETECTOR}/pixel_mask", frames=3, dtype="u2", more=()):
    """An HDF5 file of frames that all hold 7, and whatever is put at the place of a mask."""
    with h5py.File(path, "w") as file:
        file["entry/data/data"] = np.full((frames, *SHAPE), 7, dtype)
        file.create_group(DETECTOR).attrs["NX_class"] = "NXdetector"
        if mask is not None:
            file[place] = mask
        for name, value in more:
            file[name] = value
    return path


def masked_in(path):
    """The mask of all frames, with no warning."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with crystint.open_frames(path) as frames:
            return frames.mask


@pytest.mark.parametrize(
    "place",
    [
        f"{DETECTOR}/pixel_mask", f"{DETECTOR}/mask", f"{DETECTOR}/detectorSpecific/pixel_mask", "entry/data/mask",
        "entry/data/pixel_mask", "entry_1/data_1/mask", "data/pixelmask0", "entry_1/instrument_1/detector_1/mask",
        "mask",
    ],
)  # fmt: skip
def test_places(tmp_path, place):
    assert (masked_in(file_with(tmp_path / "a.h5", BAD.astype("u1"), place)) == BAD).all()


@pytest.mark.parametrize(
    ("mask", "bits"),
    [
        (BAD, USER_MASK),
        (BAD.astype("f4"), USER_MASK),
        (np.where(BAD, np.nan, 0.0), USER_MASK),
        (BAD.astype(">i4") * 6, 6),
        (BAD * np.uint32(1 << 31), 1 << 31),
        (BAD * np.int64(1 << 31), 1 << 31),
        (BAD * np.int64(1 << 32), USER_MASK),
        (BAD * np.uint64(1 << 63), USER_MASK),
        (-BAD.astype("i1"), 0xFFFFFFFF),
    ],
    ids=["bool", "float", "NaN", "big-endian", "bit 31", "bit 31 of 64", "bit 32", "bit 63", "-1"],
)
def test_dtypes_lose_no_pixel(tmp_path, mask, bits):
    assert (masked_in(file_with(tmp_path / "a.h5", mask)) == np.where(BAD, bits, 0)).all()


@pytest.mark.parametrize(
    "axes",
    [(1, *SHAPE), (*SHAPE, 1), (1, 1, *SHAPE), (SHAPE[0], 1, SHAPE[1]), (3, 7, SHAPE[1])],
    ids=["before", "after", "two", "between", "panels"],
)
def test_axes_that_say_nothing(tmp_path, axes):
    assert (masked_in(file_with(tmp_path / "a.h5", BAD.astype("u4").reshape(axes), frames=5)) == BAD).all()


def test_modules_and_thresholds_are_merged(tmp_path):
    first, second = BAD.astype("u4"), np.roll(BAD, 4, axis=1).astype("u4") * 2
    modules = [(f"{DETECTOR}/detectorSpecific/detectorModule_00{k}/flatfield", 1.0) for k in range(2)]
    for number, more in enumerate((modules, [(f"{DETECTOR}/threshold_energy", [6e3, 9e3])])):
        for frames in (2, 5):  # an axis that could be either is that of the detector
            path = file_with(tmp_path / f"{number}{frames}.h5", np.stack([first, second]), frames=frames, more=more)
            assert (masked_in(path) == first + second).all()


@pytest.mark.parametrize("dtype", ["u2", "i4", "f4"])
def test_a_mask_for_each_frame(tmp_path, dtype):
    """A frame loses what its own mask hides; what all of them hide is the mask."""
    masks = np.zeros((3, *SHAPE), "u4")
    masks[1, :9] = 1
    masks[:, 15] = np.array([4, 4, 8])[:, None]
    path = file_with(tmp_path / "a.h5", masks, dtype=dtype)
    with crystint.open_frames(path) as frames:
        everywhere = np.zeros(SHAPE, "u4")
        everywhere[15] = 12
        assert (frames.mask == everywhere).all()
        for number in (1, 0, 2):
            hidden = (masks[number] != 0) & (everywhere == 0)
            assert (unusable(frames[number]) == hidden).all()
            assert (frames[number][~hidden] == 7).all()
            assert (frames.mask_of(number) == masks[number]).all()


@pytest.mark.parametrize("axes", [(4, 2), (1, 2), (2,), (4, 1)], ids=str)
def test_folded_frames_have_the_masks_of_their_modules(tmp_path, axes):
    """As EXtra-data's virtual CXI files have it: frames and masks of (trains, modules, slow, fast)."""
    masks = (np.random.default_rng(5).random((*axes, *SHAPE)) < 0.3).astype("u4") * 2
    each = np.broadcast_to(masks, (4, 2, *SHAPE)).reshape(8, *SHAPE)
    with h5py.File(tmp_path / "a.cxi", "w") as file:
        file["entry_1/instrument_1/detector_1/data"] = np.full((4, 2, *SHAPE), 7, "f4")
        file["entry_1/instrument_1/detector_1/mask"] = masks
    with pytest.warns(CrystintWarning, match="taken as 8 frames"):
        frames = crystint.open_frames(tmp_path / "a.cxi", frames="1:")
    with frames:
        assert (frames.mask == np.where(each.all(axis=0), 2, 0)).all()
        for number in (0, 5, 6):
            assert (frames.mask_of(number) == each[number + 1]).all()
            assert (unusable(frames[number]) == (each[number + 1] != 0) & ~each.all(axis=0)).all()


def test_files_with_masks_of_their_own(tmp_path):
    """Each file's mask holds for its own frames; a file without one is taken to be as the others."""
    other = np.roll(BAD, 3, axis=0)
    paths = [
        file_with(tmp_path / f"{k}.h5", mask)
        for k, mask in enumerate((BAD | other, BAD.astype("u4"), None, BAD.astype("u4")))
    ]
    with crystint.open_frames(paths) as frames:
        assert ((frames.mask != 0) == BAD).all()
        lost = [unusable(frames[3 * k]) for k in range(4)]
    assert (lost[0] == (other & ~BAD)).all()
    assert not np.any(lost[1:])


def broken_link(file):
    file[f"{DETECTOR}/pixel_mask"] = h5py.ExternalLink("gone.h5", "/pixel_mask")


def broken_soft_link(file):
    file["entry/data/mask"] = h5py.SoftLink("/nowhere")


def transposed(file):
    file[f"{DETECTOR}/pixel_mask"] = BAD.T


def smaller(file):
    file["mask"] = BAD[:-1]


def one_per_frame(file):
    file["entry/data/mask"] = np.zeros(3, "u1")


def words(file):
    file[f"{DETECTOR}/mask"] = "mask.h5"


def compound(file):
    file[f"{DETECTOR}/pixel_mask"] = np.zeros(SHAPE, [("a", "i4"), ("b", "i4")])


def nothing(file):
    file[f"{DETECTOR}/pixel_mask"] = h5py.Empty("u4")


def virtual(file):
    layout = h5py.VirtualLayout(SHAPE, "u4")
    layout[:] = h5py.VirtualSource("gone.h5", "mask", SHAPE)
    file.create_virtual_dataset(f"{DETECTOR}/pixel_mask", layout)


@pytest.mark.parametrize(
    ("put", "message"),
    [
        (broken_link, "link to /pixel_mask in gone.h5, which is not there"),
        (broken_soft_link, "link to /nowhere"),
        (transposed, "transposed"),
        (smaller, r"\(20, 34\), that of a frame \(21, 34\)"),
        (one_per_frame, r"\(3,\)"),
        (words, "expected numbers"),
        (compound, "expected numbers"),
        (nothing, "empty"),
        (virtual, "gone.h5, which is not there"),
    ],
)
def test_a_mask_that_cannot_be_used_is_named(tmp_path, put, message):
    path = file_with(tmp_path / "a.h5")
    with h5py.File(path, "r+") as file:
        put(file)
    expected = f"the mask /.*mask cannot be used: .*{message}"
    with pytest.warns(CrystintWarning, match=expected), crystint.open_frames(path) as frames:
        assert frames.mask is None
    with pytest.warns(CrystintWarning):
        assert "cannot be used" in describe(path)["mask"]


def test_an_axis_of_unknown_meaning_is_an_error(tmp_path):
    path = file_with(tmp_path / "a.h5", np.stack([BAD] * 5))
    np.save(tmp_path / "good.npy", BAD)
    with crystint.open_frames([path, file_with(tmp_path / "b.h5", BAD)]) as frames:
        assert (frames[4] == 7).all()
    with crystint.open_frames(path) as frames:
        assert (frames[0] == 7).all()
        with pytest.warns(CrystintWarning, match="axis of 5.*left out"):
            assert (mask_of(frames, PixelSettings(mask=[tmp_path / "good.npy"])).pixels != 0).sum() == BAD.sum()
        with pytest.raises(FileError, match=r"axis of 5 is neither that of the frames \(3\).* -m FILE"):
            _ = frames.mask


def test_shares_of_masks_are_told(tmp_path):
    """Whatever -m brings; nothing where the frames' own mask is all there is."""
    mask = np.zeros(SHAPE, bool)
    mask[:, :17] = True
    np.save(tmp_path / "half.npy", mask)
    path = file_with(tmp_path / "a.h5", np.roll(BAD, 15, axis=1))
    with crystint.open_frames(path) as frames:
        assert mask_of(frames, PixelSettings()).about == ""
        about = mask_of(frames, PixelSettings(mask=[tmp_path / "half.npy"])).about
    assert about == "masked 50.6 % (file 0.7 %, -m 50 %)"
    assert INFO(path, settings={"mask": [tmp_path / "half.npy"]}).data[0]["with -m"] == about


@pytest.mark.parametrize("share", [0.4, 0.95])
def test_a_mask_in_the_file_that_hides_most_is_warned_of(tmp_path, share, recwarn):
    mask = (np.arange(SHAPE[0] * SHAPE[1]) < share * SHAPE[0] * SHAPE[1]).reshape(SHAPE)
    with crystint.open_frames(file_with(tmp_path / "a.h5", mask)) as frames:
        mask_of(frames, PixelSettings())
    said = [str(each.message) for each in recwarn]
    assert said == ([f"the mask in {tmp_path / 'a.h5'}: 95% of the pixels are masked (0 is good, all else is masked)"]
                    if share > 0.5 else [])  # fmt: skip


def test_info_takes_the_smallest_valid_counts(tmp_path, recwarn):
    """Scattered values below zero are data, and a note says so; not where the limit is given."""
    path = file_with(tmp_path / "a.h5", dtype="i2")
    with h5py.File(path, "r+") as file:
        file["entry/data/data"][:, ::2, ::3] = -np.arange(-2, 10)[None, None, :]
    (about,) = INFO(path, settings={"min_valid": -3}).data
    assert about["valid values"] == "from -3"
    assert about["frame 0"]["unusable"].startswith(f"{11 * 6} px")
    assert not len(recwarn)


def test_early_firmware_keeps_the_limit_with_the_modules(tmp_path):
    place = f"{DETECTOR}/detectorSpecific/detectorModule_003/countrate_correction_count_cutoff"
    with crystint.open_frames(file_with(tmp_path / "a.h5", more=[(place, np.uint32(5123))])) as frames:
        assert frames.saturation == 5123
