"""Kernels keep to the rule which values are measurements; data below zero survive; overloads make one spot."""

from __future__ import annotations

import h5py
import numpy as np
import pytest

import crystint
from crystint import Separator, ValidValues
from crystint.compare.run import compare
from crystint.correlate import PolarGrid, PolarTransform
from crystint.model.peaks import PeakFlag
from crystint.separation.steps import DENSIFY, PEAKS, SPARSIFY
from tests.separation.test_background import MODELS, expected, flat_geometry
from tests.separation.test_background import compare as agree

pytestmark = pytest.mark.filterwarnings("ignore::crystint.errors.CrystintNote")  # that data are below zero
SHAPE = (131, 173)
CASES = [
    ("u1", ValidValues(2, (200,))),
    ("u2", ValidValues(None, (4095, 65535))),
    ("u2", ValidValues(overload=65535)),
    ("u4", ValidValues(None, (65535, 2**32 - 1))),
    ("i2", ValidValues(-3)),
    ("i4", ValidValues(-2, (200,))),
    ("i4", ValidValues()),
    ("f4", ValidValues(-1.5, (65535, 2**32 - 1))),
]


def background_frame(rng, dtype, valid):
    """A flat background, with everything in it that the rule is about."""
    mean = 4.0 if np.dtype(dtype).kind == "u" else 0.5
    frame = rng.poisson(mean, SHAPE).astype(dtype)
    special = [0, 1, 7, 9, 200, 4094, 4095, 4096, 65534, 65535, 2**31, 2**32 - 1, -1, -2, -3, -4, -(2**15), -(2**31)]
    limits = (-np.inf, np.inf) if np.dtype(dtype).kind == "f" else (np.iinfo(dtype).min, np.iinfo(dtype).max)
    for value in special:
        if limits[0] <= value <= limits[1]:
            frame.ravel()[rng.integers(0, frame.size, 30)] = value
    return frame


@pytest.mark.parametrize(("dtype", "valid"), CASES)
@pytest.mark.parametrize("rings", [37, 300])
def test_background_and_lists_keep_to_the_rule(engine, rng, dtype, valid, rings):
    """As the oracle has it when the pixels are left out that NumPy calls unusable."""
    frame = background_frame(rng, dtype, valid)
    bad = valid.unusable(frame)
    assert 0 < bad.sum() < 0.2 * bad.size or valid.overload
    separator = Separator(flat_geometry(SHAPE), rings=rings, engine=engine, valid=valid)
    agree(separator.background(frame), expected(separator, frame, "hybrid", unusable=bad | (frame == valid.overload)))
    sparse = separator.sparsify(frame, 4.0)
    lost = np.zeros(0, np.uint32) if sparse.unusable_index is None else sparse.unusable_index
    assert np.array_equal(lost, np.flatnonzero(bad))
    assert not bad.ravel()[sparse.index].any()
    if valid.overload:
        assert np.isin(np.flatnonzero(frame == valid.overload), sparse.index).all()
    assert compare(frame, sparse, shells=4, engine=engine).exact
    again = crystint.densify(sparse, engine=engine)
    assert np.array_equal(valid.unusable(again), bad)


@pytest.mark.parametrize(("dtype", "valid"), CASES)
def test_polar_images_keep_to_the_rule(engine, rng, dtype, valid):
    frame = background_frame(rng, dtype, valid)
    grid = PolarGrid((60.3, 80.9), np.arange(1.0, 50.0))
    lost = valid.unusable(frame) | (frame == valid.overload)
    image = PolarTransform(engine, grid, SHAPE, valid=valid).run(frame)
    other = PolarTransform(engine, grid, SHAPE).run(np.where(lost, np.nan, frame).astype("f4"))
    np.testing.assert_array_equal(image.values, other.values)


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("rings", [37, 300])
def test_few_usable_pixels_in_a_ring(engine, rng, model, weighted, rings):
    """Rings with 1 to 10 measurements among unusable pixels are those of as many pixels: below 3 nothing is clipped."""
    weight = rng.uniform(0.6, 1.6, SHAPE) if weighted else None
    separator = Separator(
        flat_geometry(SHAPE), None, rings, model, engine=engine, solid_angle=False, normalization=weight
    )
    ring = np.clip(np.floor(separator.rings.position + np.float32(0.5)), 0, rings - 1).astype(int).ravel()
    order = np.lexsort((rng.random(ring.size), ring))
    rank = np.empty(ring.size, int)
    rank[order] = np.arange(ring.size) - np.searchsorted(ring[order], ring[order])
    for level in (0.05, 0.7, 31.0, 1009.0):
        frame = rng.poisson(level * separator.rings.weight).astype("u2")
        frame[rng.random(SHAPE) < 0.1] = 311
        unusable = (rank >= 1 + ring % 10).reshape(SHAPE)
        frame[unusable] = 65535
        background = separator.background(frame)
        n, mean, std, _ = expected(separator, frame, model, unusable=unusable).T
        assert np.array_equal(background.count, n)
        np.testing.assert_allclose(background.mean, mean, rtol=1e-5)
        np.testing.assert_allclose(background.std, std, rtol=1e-4, atol=1e-3 * np.nanmax(mean))
        for n in (1, 2):
            few = background.count[n - 1 :: 10]
            assert (few[: len(few) - 1] == n).all()


def photons_with_noise(rng, shape=(260, 280), photons=0.1, sigma=0.5, dtype="i4"):
    """Rounded photons of an integrating detector."""
    return np.rint(rng.poisson(photons, shape) + rng.normal(0.0, sigma, shape)).astype(dtype)


@pytest.mark.parametrize("dtype", ["i2", "i4", "f4"])
@pytest.mark.parametrize("sigma", [0.5, 3.0])
def test_whole_numbers_below_zero_are_no_photon_counts(engine, rng, dtype, sigma):
    """The mean is the true one, the spread is measured, and nothing is invented, neither here nor by densify."""
    frame = photons_with_noise(rng, sigma=sigma, dtype=dtype)
    separator = Separator(flat_geometry(frame.shape), rings=60, engine=engine, solid_angle=False, valid=ValidValues())
    background = separator.background(frame)
    mean = np.average(background.mean, weights=background.count)
    variance = background.additive + np.maximum(background.mean, 0.0)
    spread = np.sqrt(np.average(variance, weights=background.count))
    error = float(frame.std()) / np.sqrt(frame.size)
    assert mean == pytest.approx(0.1, abs=4 * error)
    assert spread == pytest.approx(frame.std(), rel=0.03)
    assert len(separator.peaks(frame)) < 3
    sparse = separator.sparsify(frame, 3.0)
    assert len(sparse.index) < 0.005 * frame.size
    again = crystint.densify(sparse, seed=2, engine=engine)
    assert again.dtype == frame.dtype
    assert again.mean() == pytest.approx(frame.mean(), abs=6 * error)
    assert again.std() == pytest.approx(frame.std(), rel=0.03)
    if dtype != "f4":  # noise of floats is not rounded
        assert (again < 0).mean() == pytest.approx((frame < 0).mean(), abs=0.01)
    assert len(np.setdiff1d(separator.sparsify(again, 3.0).index, sparse.index)) <= 2


def test_dark_subtracted_counts_are_no_photon_counts(engine, rng):
    """Floats of whole numbers about zero give as many peaks as the same frame with a fraction added."""
    frame = (rng.poisson(20.0, (260, 280)) - 20).astype("f4")
    separator = Separator(flat_geometry(frame.shape), rings=60, engine=engine)
    assert len(separator.peaks(frame)) < 3
    assert len(separator.sparsify(frame).index) < 0.01 * frame.size
    counts = rng.poisson(20.0, frame.shape).astype("f4")
    assert not np.nan_to_num(separator.background(counts).additive).any()


def written(path, frames, **detector):
    """Frames as another program would write them, and what it says of the detector."""
    with h5py.File(path, "w") as file:
        file.create_dataset("entry/data/data", data=frames, chunks=(1, *frames.shape[1:]), compression="gzip")
        group = file.create_group("entry/instrument/detector")
        group.attrs["NX_class"] = "NXdetector"
        geometry = {"x_pixel_size": 1e-4, "y_pixel_size": 1e-4, "detector_distance": 0.1}
        center = {"beam_center_y": 0.5 * frames.shape[1], "beam_center_x": 0.5 * frames.shape[2]}
        for name, value in {**geometry, **center, **detector}.items():
            group[name] = value
    return path


ROUND_TRIPS = {
    "data below zero": lambda rng: (np.stack([photons_with_noise(rng, dtype="i2") for _ in range(2)]), {}),
    "data and int-min": lambda rng: (_with_gap(photons_with_noise(rng, sigma=4.0)[None], -(2**31)), {}),
    "a lower limit": lambda rng: (photons_with_noise(rng, sigma=9.0)[None], {"underload_value": -12}),
    "marks": lambda rng: (_with_gap(rng.poisson(2.0, (2, 120, 130)).astype("i4"), -1), {}),
    "counter of 16 bits": lambda rng: (
        _with_gap(rng.poisson(2.0, (2, 120, 130)).astype("u4"), 65535), {"bit_depth_image": 16},
    ),
    "overloads": lambda rng: (
        _with_gap(rng.poisson(2.0, (2, 120, 130)).astype("u2"), 65535, width=2),
        {"pixel_mask": np.eye(120, 130, dtype="u4")},
    ),
    "a mask for each frame": lambda rng: (
        rng.poisson(2.0, (2, 120, 130)).astype("u2"),
        {"pixel_mask": np.stack([np.eye(120, 130, dtype="u4"), np.eye(120, 130, 4, dtype="u4")])},
    ),
    "floats of a counter": lambda rng: (
        _with_gap(rng.poisson(2.0, (1, 120, 130)).astype("f4"), 4294967295.0), {"bit_depth_image": 32},
    ),
}  # fmt: skip


def _with_gap(frames, value, width=6):
    frames[:, 50 : 50 + width, 20 : 20 + 10 * width] = value
    return frames


@pytest.mark.parametrize("case", ROUND_TRIPS)
def test_files_come_back_with_the_same_rule(tmp_path, rng, case):
    """sparsify, compare, densify, and separating that anew."""
    frames, detector = ROUND_TRIPS[case](rng)
    raw = written(tmp_path / "raw.h5", frames, **detector)
    settings = {"rings": 50}
    SPARSIFY(raw, outputs=tmp_path / "sparse.h5", settings=settings)
    assert compare(raw, tmp_path / "sparse.h5").exact
    DENSIFY(tmp_path / "sparse.h5", outputs=tmp_path / "dense.h5")
    with crystint.open_frames(raw) as one, crystint.open_frames(tmp_path / "dense.h5") as other:
        assert other.valid == one.valid
        for frame, again in zip(one, other, strict=True):
            bad = one.valid.unusable(frame) & (one.mask == 0 if one.mask is not None else True)
            np.testing.assert_array_equal(again[bad], frame[bad])
            assert np.array_equal(other.valid.unusable(again) & (other.mask == 0), bad)
    SPARSIFY(tmp_path / "dense.h5", outputs=tmp_path / "again.h5", settings=settings)
    with crystint.open_sparse(tmp_path / "sparse.h5") as one, crystint.open_sparse(tmp_path / "again.h5") as other:
        assert one.rings.valid == other.rings.valid
        for before, after in zip(one, other, strict=True):
            new = np.setdiff1d(after.index, before.index)
            assert len(new) <= 0.0005 * before.background.rings.position.size


def test_an_option_makes_marks_of_negative_values(tmp_path, rng):
    raw = written(tmp_path / "raw.h5", photons_with_noise(rng)[None])
    for lowest, mean in (("file", 0.1), (0, 0.28)):
        SPARSIFY(raw, outputs=tmp_path / f"{lowest}.h5", settings={"rings": 20, "min_valid": lowest})
        with crystint.open_sparse(tmp_path / f"{lowest}.h5") as sparse:
            background = sparse[0].background
        assert np.average(background.mean, weights=background.count) == pytest.approx(mean, abs=0.015)


@pytest.mark.parametrize("dtype", ["u2", "u4"])
def test_an_overload_is_one_saturated_peak(tmp_path, rng, dtype):
    """Spots whose middle overflowed: where the file has a mask that does not list it."""
    full = np.iinfo(dtype).max
    slow, fast = np.mgrid[:200, :210]
    spots = [(40, 50), (60, 150), (150, 40), (160, 165)]
    mean = 2.0 + sum(3e4 * np.exp(-((slow - a) ** 2 + (fast - b) ** 2) / 3.0) for a, b in spots)
    frame = rng.poisson(mean).astype(dtype)
    frame[frame > 900] = full
    mask = np.zeros(frame.shape, "u4")
    mask[100:104] = 1
    frame[100:104] = full
    raw = written(tmp_path / "raw.h5", frame[None], pixel_mask=mask)
    PEAKS(raw, outputs=tmp_path / "peaks.h5", settings={"rings": 50})
    peaks = crystint.read_peaks(tmp_path / "peaks.h5")
    assert sorted((round(s), round(f)) for s, f in zip(peaks["slow"] - 0.5, peaks["fast"] - 0.5, strict=True)) == spots
    assert (peaks["flags"] & PeakFlag.SATURATED != 0).all()
