"""Sigma clipping of every ring against a float64 oracle, and the demands that peers do not meet."""

from __future__ import annotations

import pickle
from copy import copy
from dataclasses import replace

import numpy as np
import pytest

from crystint.model.geometry import Geometry
from crystint.ops.separator import Separator
from tests.oracles import background as oracle

MODELS = ["poisson", "azimuthal", "hybrid"]


def flat_geometry(shape, **more):
    return Geometry(
        shape=shape,
        pixel_size=(1e-4, 1e-4),
        distance=0.05,
        beam_center=(0.47 * shape[0], 0.53 * shape[1]),
        wavelength=1.0,
        **more,
    )


def expected(separator, frame, model, snr_clip=None, cycles=5, unusable=None):
    rings = separator.rings
    ring = np.clip(np.floor(rings.position + np.float32(0.5)), 0, rings.rings - 1)
    ring = np.where(np.isfinite(rings.position), ring, -1).astype(int)
    if unusable is not None:
        ring = np.where(unusable, -1, ring)
    counts = frame.astype(np.float64) - (0 if rings.dark is None else rings.dark)
    return oracle.frame_background(counts, rings.weight, ring, rings.rings, model, snr_clip, cycles)


def compare(background, wanted, tolerance=1e-4):
    """Mean and spread within the tolerance; where the spread vanishes, within float32 of the mean."""
    n, mean, std, sem = wanted.T
    assert np.array_equal(background.count, n)
    empty = n == 0
    assert np.array_equal(np.isnan(background.mean), empty)
    scale = np.abs(mean[~empty])
    np.testing.assert_allclose(background.mean[~empty], mean[~empty], rtol=tolerance, atol=1e-30)
    for actual, want in ((background.std, std), (background.sem, sem)):
        assert np.all(np.abs(actual - want)[~empty] <= tolerance * want[~empty] + 2e-7 * scale)


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("rings", [37, 300])  # read one by one, and in groups
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.uint32, np.int16, np.int32, np.float32])
def test_every_model_equals_the_oracle(engine, rng, model, dtype, rings):
    geometry = flat_geometry((131, 173), polarization=0.9)
    separator = Separator(geometry, rings=rings, error_model=model, engine=engine)
    truth = 4.0 * separator.rings.weight
    frame = rng.poisson(truth).astype(dtype)
    frame[rng.random(frame.shape) < 0.01] = 120  # Bragg pixels
    compare(separator.background(frame), expected(separator, frame, model))


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("snr_clip", [None, 2.0, 3.5])
@pytest.mark.parametrize("cycles", [0, 1, 5])
@pytest.mark.parametrize("mean", [5, 200])  # at 5 counts and 2 sigma a zero would be an outlier, and is none
def test_threshold_and_cycles(engine, rng, model, snr_clip, cycles, mean):
    separator = Separator(
        flat_geometry((131, 173)), rings=20, error_model=model, snr_clip=snr_clip, cycles=cycles, engine=engine
    )
    frame = rng.poisson(mean, (131, 173)).astype(np.int32)
    frame[::7, ::11] += 300
    background = separator.background(frame)
    compare(background, expected(separator, frame, model, snr_clip, cycles))


@pytest.mark.parametrize("model", MODELS)
def test_weights_that_span_a_factor_of_three(engine, rng, model):
    """The azimuthal variance of pyFAI's one-pass form is 3 % off here."""
    geometry = flat_geometry((97, 131))
    factor = rng.uniform(0.3, 1.0, (97, 131))
    separator = Separator(geometry, rings=60, error_model=model, normalization=factor, engine=engine)
    frame = rng.poisson(50 * separator.rings.weight).astype(np.uint16)
    compare(separator.background(frame), expected(separator, frame, model))


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("level", [0, 2**24, 2**31, 2**32 - 2**20])
def test_counts_of_any_size(engine, rng, model, level):
    separator = Separator(flat_geometry((64, 75)), rings=9, error_model=model, solid_angle=False, engine=engine)
    frame = rng.poisson(level, (64, 75)).clip(0, 2**32 - 2).astype(np.uint32)
    compare(separator.background(frame), expected(separator, frame, model))


@pytest.mark.parametrize("cycles", [0, 5])
@pytest.mark.parametrize("level", [2**24, 2**31, 2**32 - 1000])
@pytest.mark.parametrize("lightest", [1.0, 0.6])
def test_a_narrow_spread_at_a_level_that_float32_cannot_hold(engine, rng, level, cycles, lightest):
    factor = rng.uniform(lightest, 1.0, (64, 75)).astype(np.float32)
    separator = Separator(
        flat_geometry((64, 75)),
        rings=9,
        error_model="azimuthal",
        cycles=cycles,
        solid_angle=False,
        normalization=factor,
        engine=engine,
    )
    mean = np.rint((level - 400) * factor.astype(np.float64))
    frame = (mean + rng.integers(0, 300, (64, 75))).astype(np.uint32)
    background, wanted = separator.background(frame), expected(separator, frame, "azimuthal", None, cycles)
    assert np.array_equal(background.count, wanted[:, 0])
    np.testing.assert_allclose(background.mean, wanted[:, 1], rtol=1e-9)
    np.testing.assert_allclose(background.std, wanted[:, 2], rtol=1e-4)


def test_a_frame_of_zeros_has_a_background_of_zero(engine):
    for model in MODELS:
        for cycles in (0, 5):
            separator = Separator(flat_geometry((64, 75)), rings=9, error_model=model, cycles=cycles, engine=engine)
            background = separator.background(np.zeros((64, 75), np.uint16))
            assert np.all(background.mean == 0)
            assert np.all(background.std == 0)


@pytest.mark.parametrize("dtype", [np.uint16, np.int32, np.float32])
@pytest.mark.parametrize("level", [0.5, 3.0, 100.0])
def test_a_dark_frame_under_very_few_counts(engine, rng, level, dtype):
    """The noise of the dark is additive; zero is nothing special after it is subtracted."""
    shape = (300, 310)
    separator = Separator(flat_geometry(shape), rings=20, dark=np.full(shape, level), engine=engine)
    frame = rng.poisson(level + 0.01, shape).astype(dtype)
    background = separator.background(frame)
    mean = np.sum(background.mean * background.count) / background.count.sum()
    assert abs(mean - (frame.mean() - level)) < 0.02 * np.sqrt(level) + 0.005
    assert len(separator.sparsify(frame).index) < 0.012 * frame.size
    assert len(separator.peaks(frame)) <= 2


@pytest.mark.parametrize("model", MODELS)
def test_rings_of_one_two_and_three_pixels(engine, model):
    """A row of pixels on the beam's height: each ring gets one, two or three of them."""
    values = [[7, 3, 9, 100, 2, 2, 2, 1, 50, 3]]
    for rings in (10, 5, 3):
        geometry = Geometry(shape=(1, 10), pixel_size=(1e-4, 1e-4), distance=1.0, beam_center=(0.5, 0.0))
        separator = Separator(geometry, rings=rings, error_model=model, solid_angle=False, engine=engine)
        frame = np.array(values, np.uint16)
        compare(separator.background(frame), expected(separator, frame, model))


@pytest.mark.parametrize("model", MODELS)
def test_one_ring_of_very_many_pixels(engine, rng, model):
    separator = Separator(flat_geometry((1000, 1100)), rings=1, error_model=model, engine=engine)
    frame = rng.poisson(3.3, (1000, 1100)).astype(np.uint16)
    compare(separator.background(frame), expected(separator, frame, model), 1e-5)


@pytest.mark.parametrize("model", MODELS)
def test_one_pixel_of_a_million_counts_does_not_empty_its_ring(engine, rng, model):
    """pyFAI's Poisson model ends with an empty ring (its issue 1649)."""
    separator = Separator(flat_geometry((90, 110)), rings=12, error_model=model, engine=engine)
    frame = rng.poisson(5, (90, 110)).astype(np.int32)
    clean = separator.background(frame)
    frame[40, 70] = 1_000_000
    background = separator.background(frame)
    compare(background, expected(separator, frame, model))
    np.testing.assert_allclose(background.mean, clean.mean, rtol=0.02)
    assert np.all(background.count >= 0.99 * clean.count - 1)


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("rings", [7, 300])
def test_rings_with_more_signal_than_there_is_room_for_tails(engine, rng, model, rings):
    shape = (400, 420)
    geometry = flat_geometry(shape)
    small = geometry.radius() < 0.1 * geometry.radius().max()  # rings of few pixels may end with equal ones
    separator = Separator(geometry, small, rings=rings, error_model=model, engine=engine)
    frame = rng.poisson(20, shape).astype(np.int32)
    frame[rng.random(frame.shape) < 0.4] += 300
    background = separator.background(frame)
    compare(background, expected(separator, frame, model))
    clear = background.image() < 100  # in the corners, rings of two or three pixels may all be high
    picked = np.zeros(frame.size, bool)
    picked[separator.sparsify(frame, snr=5.0).index] = True
    assert np.mean(picked.reshape(shape)[clear] != (frame[clear] > 200)) < 2e-3  # the neighbours of such rings
    assert clear.mean() > 0.9


@pytest.mark.parametrize("level", [0.2, 8.0, 300.0])
def test_two_backgrounds_in_one_ring(engine, rng, level):
    """A third of the pixels lies far from the level that the sample suggests: limits come to lie inside the core."""
    for model in MODELS:
        separator = Separator(flat_geometry((131, 173)), rings=5, error_model=model, snr_clip=1.2, engine=engine)
        frame = rng.poisson(np.where(np.arange(173) % 3 == 0, 1.8, 1.0) * level, (131, 173)).astype(np.uint16)
        compare(separator.background(frame), expected(separator, frame, model, 1.2))


def test_a_users_threshold_is_used_as_given(engine, rng):
    """In a ring of 10 000 pixels Chauvenet's threshold is 4.07; pyFAI raises 2 to that."""
    separator = Separator(flat_geometry((100, 101)), rings=1, snr_clip=2.0, cycles=1, solid_angle=False, engine=engine)
    frame = rng.poisson(10_000, (100, 101)).astype(np.uint16)
    left = separator.background(frame).count[0] / frame.size
    assert abs(left - 0.9545) < 0.006


@pytest.mark.parametrize("bragg", [False, True])
@pytest.mark.parametrize("mean", [0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0, 1000.0])
def test_the_mean_is_not_biased(engine, rng, mean, bragg):
    """Under 2 % from 0.001 to 1000 counts, with and without 1 % of Bragg pixels."""
    shape = (1200, 1300)
    separator = Separator(flat_geometry(shape), rings=600, solid_angle=False, engine=engine)
    frame = rng.poisson(mean, shape).astype(np.int32)
    drawn = frame.mean()  # what is to be found, without the error of the draw
    if bragg:
        here = rng.random(shape) < 0.01
        drawn = frame[~here].mean()
        frame[here] += (20 + 10 * np.sqrt(mean) + rng.exponential(100 + 10 * mean, here.sum())).astype(np.int32)
    background = separator.background(frame)
    bias = np.sum(background.mean * background.count) / np.sum(background.count) / drawn - 1
    assert abs(bias) < 0.02


def test_a_ring_of_mostly_zeros_keeps_its_ones(engine):
    """Plain sigma clipping throws every 1 away at 0.03 counts, and the mean becomes 0."""
    geometry = Geometry(shape=(1, 1000), pixel_size=(1e-4, 1e-4), distance=1.0, beam_center=(0.5, 0.0))
    separator = Separator(geometry, rings=1, solid_angle=False, engine=engine)
    frame = np.zeros((1, 1000), np.uint16)
    frame[0, ::33] = 1
    assert separator.background(frame).mean[0] == pytest.approx(31 / 1000, rel=1e-6)


@pytest.mark.parametrize("model", MODELS)
def test_a_ring_that_is_nearly_all_unusable_is_found_robust_too(engine, model):
    """Ten usable pixels in a thousand, none of them where the sample of the start looks, one of a million counts."""
    geometry = Geometry(shape=(1, 1000), pixel_size=(1e-4, 1e-4), distance=1.0, beam_center=(0.5, 0.0))
    separator = Separator(geometry, rings=1, error_model=model, solid_angle=False, engine=engine)
    free = np.setdiff1d(np.arange(1000), np.arange(128) * 1000 // 128)[::90][:10]
    frame = np.full((1, 1000), -1, np.int32)
    frame[0, free] = [5, 4, 6, 5, 1_000_000, 5, 7, 3, 5, 5]
    background = separator.background(frame)
    assert background.mean[0] == pytest.approx(5, abs=0.5)
    assert background.count[0] >= 5


def test_saturated_and_unusable_pixels_never_enter(engine, rng):
    geometry = flat_geometry((80, 90))
    for dtype, bad in ((np.int32, [-1, -2]), (np.uint16, [65535]), (np.float32, [np.nan, np.inf, -np.inf])):
        separator = Separator(geometry, rings=8, cycles=0, saturation=1000, engine=engine)
        frame = rng.poisson(20, (80, 90)).astype(dtype)
        where = rng.random(frame.shape)
        frame[where < 0.2] = 2000  # saturated
        for i, value in enumerate(bad):
            frame[(where > 0.3 + 0.1 * i) & (where < 0.4 + 0.1 * i)] = value
        lost = (where < 0.2) | ((where > 0.3) & (where < 0.3 + 0.1 * len(bad)))
        compare(separator.background(frame), expected(separator, frame, "hybrid", None, 0, lost))


def test_an_empty_ring_is_nan_and_stays_alone(engine, rng):
    geometry = flat_geometry((120, 130))
    free = Separator(geometry, rings=10, engine=engine)
    ring = np.floor(free.rings.position + 0.5)
    frame = rng.poisson(9, (120, 130)).astype(np.int32)
    frame[ring == 4] = -1
    background = free.background(frame)
    assert np.flatnonzero(np.isnan(background.mean)).tolist() == [4]
    alone = free.sparsify(frame, snr=2.0, background=background).index  # the table of rings comes from the host
    assert np.array_equal(free.sparsify(frame, snr=2.0).index, alone)
    image = background.image() / free.rings.weight
    assert np.isnan(image[ring == 4]).all()
    for neighbour in (3, 5):
        own = image[ring == neighbour]
        assert np.isfinite(own).all()
        assert np.abs(own - background.mean[neighbour]).max() < 0.5  # nothing of 0, nothing of NaN


def test_dark_flat_and_normalization_are_applied(engine, rng):
    shape = (101, 103)
    dark, flat, factor = rng.uniform(0, 5, shape), rng.uniform(0.8, 1.2, shape), rng.uniform(0.5, 1, shape)
    geometry = flat_geometry(shape, polarization=0.95)
    separator = Separator(geometry, rings=15, dark=dark, flat=flat, normalization=factor, engine=engine)
    weight = flat * factor * geometry.solid_angle() * geometry.polarization_factor()
    np.testing.assert_allclose(separator.rings.weight, weight, rtol=1e-6)
    flat[5, 7], factor[8, 9] = 0, np.nan  # no normalization, no measurement
    dead = Separator(geometry, rings=15, dark=dark, flat=flat, normalization=factor, engine=engine).rings
    assert np.flatnonzero(dead.mask).tolist() == np.flatnonzero(np.isnan(dead.position)).tolist() == [522, 833]
    frame = rng.poisson(dark + 30 * weight).astype(np.uint16)
    background = separator.background(frame)
    compare(background, expected(separator, frame, "hybrid"))
    np.testing.assert_allclose(np.average(background.mean, weights=background.count), 30, rtol=0.01)
    np.testing.assert_allclose(background.image().mean(), (dark + 30 * weight).mean(), rtol=0.01)


def test_rings_are_equally_wide_from_the_smallest_to_the_largest_radius(engine):
    geometry = flat_geometry((50, 60))
    rings = Separator(geometry, rings=7, engine=engine).rings
    radius = geometry.radius()
    edges = np.linspace(radius.min(), radius.max(), 8)
    np.testing.assert_allclose(rings.radius, 0.5 * (edges[1:] + edges[:-1]), rtol=1e-12)
    wanted = np.clip(np.digitize(radius, edges) - 1, 0, 6)
    assert np.mean(np.clip(np.floor(rings.position + np.float32(0.5)), 0, 6) != wanted) < 1e-3  # float32 at the borders
    q = 4 * np.pi * np.sin(0.5 * np.arctan(rings.radius / geometry.distance))
    np.testing.assert_allclose(rings.q, q, rtol=1e-12)


def test_excess_variance_is_that_of_the_ring(engine, rng):
    """Counts whose mean varies by a fifth: variance = mean + (mean / 5)^2."""
    shape, mean = (600, 610), 400.0
    separator = Separator(flat_geometry(shape), rings=4, solid_angle=False, engine=engine)
    quiet = separator.background(rng.poisson(mean, shape).astype(np.uint16))
    assert np.all(quiet.excess < 1.02)
    restless = rng.poisson(mean * (1 + 0.2 * rng.standard_normal(shape)).clip(0)).astype(np.uint16)
    np.testing.assert_allclose(separator.background(restless).excess[:3], 1 + 0.04 * mean, rtol=0.02)


@pytest.mark.parametrize("mean", [1.8, 2.2, 3.0, 10.0])
def test_excess_variance_of_few_counts_is_that_of_all_pixels(engine, rng, mean):
    """A negative binomial law with twice the variance of Poisson's."""
    shape = (600, 610)
    separator = Separator(flat_geometry(shape), rings=40, solid_angle=False, engine=engine)
    frame = rng.negative_binomial(mean, 0.5, shape).astype(np.uint16)
    assert np.median(separator.background(frame).excess) == pytest.approx(2, rel=0.07)


def test_excess_variance_is_never_below_that_of_the_counts(engine, rng):
    separator = Separator(flat_geometry((90, 95)), rings=5, solid_angle=False, engine=engine)
    frame = np.round(rng.normal(400, 2, (90, 95))).astype(np.uint16)  # an average of many frames
    assert np.all(separator.background(frame).excess == 1)


def test_read_out_noise_of_float_frames_adds(engine, rng):
    shape = (300, 310)
    separator = Separator(flat_geometry(shape), rings=5, solid_angle=False, engine=engine)
    frame = (rng.poisson(0.2, shape) + 0.3 * rng.standard_normal(shape)).astype(np.float32)
    background = separator.background(frame)
    assert np.all(background.excess == 1)
    np.testing.assert_allclose(background.additive, 0.09, rtol=0.25)


def test_a_background_is_copied_and_pickled_before_and_after_its_columns_are_asked_for(engine, rng):
    geometry = Geometry(shape=(60, 70), pixel_size=(1e-4, 1e-4), distance=0.5, beam_center=(28, 37), wavelength=1.0)
    separator = Separator(geometry, rings=5, engine=engine)
    frame = rng.poisson(3.0, (60, 70)).astype(np.uint16)
    asked = separator.background(frame)
    assert asked.mean.dtype == np.float64
    for change in (copy, lambda one: pickle.loads(pickle.dumps(one)), lambda one: replace(one, cycles=one.cycles)):
        other = change(separator.background(frame))
        for name in ("mean", "std", "count", "sem", "excess", "additive"):
            assert np.array_equal(getattr(other, name), getattr(asked, name), equal_nan=True)
        assert (other.error_model, other.cycles, other.saturation) == ("hybrid", 5, None)
    with pytest.raises(AttributeError, match="median"):
        _ = separator.background(frame).median
