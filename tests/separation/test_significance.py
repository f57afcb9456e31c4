"""Picking: exact at low counts, Gaussian at high ones, in order, complete."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import gammainc
from scipy.stats import norm, poisson

from crystint.errors import SettingError
from crystint.model.geometry import Geometry
from crystint.model.rings import interpolate
from crystint.ops.separator import Separator
from crystint.ops.threshold import CURVE_FIRST, CURVE_PER_OCTAVE, CURVE_POINTS, counts_at, excess_curve, significance
from tests.oracles import significance as oracle


def flat_geometry(shape, **more):
    return Geometry(
        shape=shape,
        pixel_size=(1e-4, 1e-4),
        distance=0.05,
        beam_center=(0.47 * shape[0], 0.53 * shape[1]),
        wavelength=1.0,
        **more,
    )


def background_images(background):
    """bg w, phi, additive w^2, std w at every pixel, by slow interpolation."""
    rings = background.rings
    place, weight = rings.position.ravel(), rings.weight.ravel().astype(float)
    columns = (background.mean, background.excess, background.additive, background.std)
    mean, phi, additive, std = (
        np.array([np.nan if np.isnan(p) else oracle.between(values, float(p)) for p in place]) for values in columns
    )
    return mean * weight, phi, additive * weight**2, std * weight


@pytest.mark.parametrize("k", [0.5, 1.0, 2.0, 3.0, 5.0, 8.0, 20.0])
@pytest.mark.parametrize("mu", [2e-6, 1e-3, 0.0228, 0.3, 1.0, 2.7, 10.0, 317.0, 1e5, 8e6])
def test_the_curve_is_poissons_law(k, mu):
    place = (np.log2(mu) - CURVE_FIRST) * CURVE_PER_OCTAVE
    height = np.interp(place, np.arange(CURVE_POINTS), excess_curve(k))
    curve = mu + height * (1 + np.sqrt(mu))
    wanted = oracle.threshold(mu, 1.0, k)
    assert curve == pytest.approx(wanted, rel=2e-4, abs=2e-4)


@pytest.mark.parametrize("k", [1.0, 3.0, 5.0])
def test_at_high_counts_the_curve_is_gaussian(k):
    mu = 2.0**23
    height = np.interp((23 - CURVE_FIRST) * CURVE_PER_OCTAVE, np.arange(CURVE_POINTS), excess_curve(k))
    assert height * (1 + np.sqrt(mu)) / np.sqrt(mu) == pytest.approx(k, rel=2e-3)


@pytest.mark.parametrize("k", [1.0, 2.0, 3.0, 5.0, 12.0])
def test_a_threshold_falls_with_the_normalization_and_rises_with_all_else(k, rng):
    """From this a bound for all pixels of a ring follows: that of the heaviest, over the lowest of its neighbours."""
    mean, phi = 10.0 ** rng.uniform(-4, 4, 4000), rng.uniform(1, 3, 4000)
    spread, weight, more = rng.uniform(0, 2, 4000), rng.uniform(0.1, 1.5, 4000), rng.uniform(1, 1.5, (4, 4000))
    limit = counts_at(mean, phi, spread, weight, k) / weight
    slack = 1e-4 * (limit - mean)
    assert np.all(counts_at(mean, phi, spread, weight * more[0], k) / (weight * more[0]) <= limit + slack)
    assert np.all(counts_at(mean * more[1], phi, spread, weight, k) / weight >= limit - slack)
    assert np.all(counts_at(mean, phi * more[2], spread, weight, k) / weight >= limit - slack)
    assert np.all(counts_at(mean, phi, spread * more[3], weight, k) / weight >= limit - slack)


def test_a_threshold_without_meaning_is_refused():
    for k in (0.0, -1.0, np.nan, np.inf):
        with pytest.raises(SettingError, match="sigma"):
            excess_curve(k)


@pytest.mark.parametrize("snr", [1.0, 2.0, 3.0, 5.0])
@pytest.mark.parametrize("mean", [0.004, 0.05, 0.7, 5.0, 60.0, 3000.0])
def test_picked_are_the_pixels_that_poissons_law_picks(engine, rng, mean, snr):
    shape = (83, 97)
    separator = Separator(flat_geometry(shape, polarization=0.9), rings=6, engine=engine)
    frame = rng.poisson(mean * separator.rings.weight).astype(np.uint32)
    frame[rng.random(shape) < 0.03] += rng.integers(1, 12, 1).astype(np.uint32)
    background = separator.background(frame)
    sparse = separator.sparsify(frame, snr=snr, background=background)
    expected, phi, _, _ = background_images(background)
    wanted = oracle.significant(frame.ravel(), expected, phi, snr)
    differ = np.setxor1d(sparse.index, np.flatnonzero(wanted))
    for pixel in differ:  # only where the threshold is within float32 of a whole count
        limit = oracle.threshold(expected[pixel], phi[pixel], snr)
        assert abs(limit - frame.ravel()[pixel]) < 3e-4 * (1 + limit)
    assert len(differ) <= 3
    assert np.array_equal(sparse.value, frame.ravel()[sparse.index])


@pytest.mark.parametrize("rings", [5, 40, 300])
@pytest.mark.parametrize("fall", [0.02, 0.3])
def test_where_the_background_falls_from_ring_to_ring_nothing_is_missed(engine, rng, rings, fall):
    """The threshold of a pixel between two rings may lie below what is typical of its own ring."""
    shape = (131, 173)
    separator = Separator(flat_geometry(shape), rings=rings, engine=engine)
    mean = 900.0 * np.exp(-fall * separator.rings.position.astype(float) * (40 / rings)) + 0.05
    frame = rng.poisson(mean).astype(np.int32)
    sparse = separator.sparsify(frame)
    expected, phi, _, _ = background_images(sparse.background)
    wanted = oracle.significant(frame.ravel(), expected, phi, 3.0)
    differ = np.setxor1d(sparse.index, np.flatnonzero(wanted))
    for pixel in differ:
        limit = oracle.threshold(expected[pixel], phi[pixel], 3.0)
        assert abs(limit - frame.ravel()[pixel]) < 3e-4 * (1 + limit)
    assert len(differ) <= 3


@pytest.mark.parametrize("snr", [1.5, 3.0, 8.0])
def test_bounds_of_a_ring_decide_as_the_threshold_of_each_pixel(engine, rng, snr):
    """Two counts of a ring judge most of its pixels, whatever their normalization and the neighbouring rings."""
    shape = (131, 173)
    factor = rng.uniform(0.2, 1.0, shape)
    separator = Separator(flat_geometry(shape), rings=40, normalization=factor, engine=engine)
    mean = 60.0 * np.exp(-0.1 * separator.rings.position.astype(float)) * separator.rings.weight
    frame = rng.poisson(mean).astype(np.int32)
    bright = rng.random(shape) < 0.3  # from well below to well above the threshold
    frame[bright] += rng.integers(0, 3 * (1 + np.sqrt(mean[bright]) * snr)).astype(np.int32)
    background = separator.background(frame)
    picked = separator.sparsify(frame, snr=snr, background=background).index
    expected, phi, _, _ = background_images(background)
    wanted = oracle.significant(frame.ravel(), expected, phi, snr)
    differ = np.setxor1d(picked, np.flatnonzero(wanted))
    for pixel in differ:
        limit = oracle.threshold(expected[pixel], phi[pixel], snr)
        assert abs(limit - frame.ravel()[pixel]) < 3e-4 * (1 + limit)
    assert len(differ) <= 3


def test_saturated_pixels_of_a_ring_without_background_are_kept(engine):
    shape = (60, 70)
    separator = Separator(flat_geometry(shape), rings=6, saturation=1000, engine=engine)
    ring = np.floor(separator.rings.position + 0.5)
    frame = np.full(shape, 5, np.int32)
    frame[ring == 3] = -1
    some = np.flatnonzero(ring.ravel() == 3)[::50]
    frame.ravel()[some] = 5000
    sparse = separator.sparsify(frame)
    assert np.isnan(sparse.background.mean[3])
    assert np.array_equal(sparse.index, some)
    assert np.array_equal(sparse.unusable_index, np.flatnonzero(frame.ravel() == -1))


def test_a_pixel_at_the_threshold_is_not_above_it(engine):
    """Half the pixels 98, half 102: the mean is 100, the spread 2, and 102 at one sigma exactly."""
    geometry = flat_geometry((64, 64))
    separator = Separator(geometry, rings=1, error_model="azimuthal", solid_angle=False, engine=engine)
    frame = np.where(np.indices((64, 64)).sum(axis=0) % 2, 98, 102).astype(np.uint16)
    assert separator.background(frame).std[0] == 2.0
    assert len(separator.sparsify(frame, snr=1.0).index) == 0
    assert len(separator.sparsify(frame, snr=0.999).index) == 64 * 64 // 2
    assert len(separator.peaks(frame, snr=1.0, snr_pick=0.5, connected=1)) > 0  # a peak may be at its threshold
    assert len(separator.peaks(frame, snr=1.001, snr_pick=0.5, connected=1)) == 0


@pytest.mark.parametrize("noise", [0.0, 2.0])
def test_the_azimuthal_model_picks_by_the_spread_of_the_ring(engine, rng, noise):
    shape = (83, 97)
    separator = Separator(flat_geometry(shape), rings=6, error_model="azimuthal", engine=engine)
    frame = np.round(rng.normal(500, 4, shape)).astype(np.int32)
    frame[::9, ::8] += 30
    background = separator.background(frame)
    expected, _, _, std = background_images(background)
    wanted = frame.ravel() - expected > 2.5 * np.sqrt(std**2 + noise**2)
    sparse = separator.sparsify(frame, snr=2.5, noise=noise)
    assert np.array_equal(sparse.index, np.flatnonzero(wanted))
    assert len(sparse.index) > 10


def test_noise_is_added_in_quadrature_to_the_poisson_excess(engine, rng):
    shape, noise, k = (83, 97), 3.0, 2.0
    separator = Separator(flat_geometry(shape), rings=6, engine=engine)
    frame = rng.poisson(6.0, shape).astype(np.int32)
    background = separator.background(frame)
    expected, phi, _, _ = background_images(background)
    excess = np.array([oracle.threshold(e, p, k) - e for e, p in zip(expected, phi)])
    wanted = frame.ravel() - expected > np.sqrt(excess**2 + (k * noise) ** 2)
    assert np.array_equal(separator.sparsify(frame, snr=k, noise=noise).index, np.flatnonzero(wanted))


def test_float_frames_take_their_read_out_noise_from_the_ring(engine, rng):
    shape = (200, 210)
    separator = Separator(flat_geometry(shape), rings=6, engine=engine)
    frame = (rng.poisson(0.05, shape) + 0.2 * rng.standard_normal(shape)).astype(np.float32)
    frame[50, 60] = 4.0
    sparse = separator.sparsify(frame, snr=4.0)
    assert 50 * 210 + 60 in sparse.index
    assert len(sparse.index) < 250  # the photons of the background, some, and no noise
    assert sparse.value.min() > 0.8
    assert len(separator.sparsify(frame, snr=4.0, noise=5.0).index) == 0


@pytest.mark.parametrize("mean", [0.001, 0.01, 0.1, 0.5, 2.0, 10.0, 100.0, 1000.0])
def test_false_picks_of_blank_frames(engine, rng, mean):
    """At most 1.5 times what the Gaussian tail of SNR 3 allows; what Poisson's law allows, where counts are many."""
    shape = (700, 740)
    separator = Separator(flat_geometry(shape), rings=100, engine=engine)
    truth = mean * separator.rings.weight.astype(float)
    frame = rng.poisson(truth).astype(np.uint16)
    picked = len(separator.sparsify(frame, snr=3.0).index)
    assert picked <= 1.5 * norm.sf(3.0) * frame.size
    allowed = poisson.sf(poisson.isf(norm.sf(3.0), truth), truth).sum()
    if mean >= 2:
        assert allowed / 1.5 < picked < allowed * 1.5


def test_picking_does_not_depend_on_the_normalization_inside_a_ring(engine, rng):
    """pyFAI picks the low-normalization quartile of a ring up to twice as often (one spread per ring)."""
    shape = (600, 620)
    factor = rng.uniform(0.33, 1.0, shape)
    separator = Separator(flat_geometry(shape), rings=40, normalization=factor, engine=engine)
    frame = rng.poisson(30 * separator.rings.weight).astype(np.uint16)
    picked = separator.sparsify(frame, snr=2.0).index
    quartile = np.searchsorted(np.quantile(factor, [0.25, 0.5, 0.75]), factor.ravel()[picked])
    share = np.bincount(quartile, minlength=4) / len(picked)
    assert np.all(np.abs(share - 0.25) < 0.025)


def test_values_are_exact_beyond_float32(engine, rng):
    shape = (83, 97)
    separator = Separator(flat_geometry(shape), rings=6, engine=engine)
    for dtype, values in ((np.int32, [2**24 + 1, 2**31 - 1]), (np.uint32, [2**24 + 3, 2**32 - 2])):
        frame = rng.poisson(3, shape).astype(dtype)
        frame[10, 20], frame[70, 30] = values
        sparse = separator.sparsify(frame)
        picked = dict(zip(sparse.index.tolist(), sparse.value.tolist()))
        assert picked[10 * 97 + 20] == values[0]
        assert picked[70 * 97 + 30] == values[1]
        assert sparse.value.dtype == dtype


def test_unusable_pixels_are_listed_and_masked_ones_are_not(engine, rng):
    shape = (83, 97)
    mask = rng.random(shape) < 0.1
    separator = Separator(flat_geometry(shape), mask, rings=6, engine=engine)
    frame = rng.poisson(3, shape).astype(np.int32)
    lost = rng.random(shape) < 0.1
    frame[lost] = -rng.integers(1, 3, lost.sum())
    sparse = separator.sparsify(frame)
    assert np.array_equal(sparse.unusable_index, np.flatnonzero(lost & ~mask))
    assert np.array_equal(sparse.unusable_value, frame[lost & ~mask])
    assert not mask.ravel()[sparse.index].any()
    assert not lost.ravel()[sparse.index].any()


def test_saturated_pixels_are_kept_whatever_the_threshold(engine, rng):
    shape = (83, 97)
    separator = Separator(flat_geometry(shape), rings=6, saturation=50, engine=engine)
    frame = rng.poisson(3, shape).astype(np.uint16)
    frame[5, 6] = 51
    assert separator.sparsify(frame, snr=1000.0).index.tolist() == [5 * 97 + 6]


def test_an_unknown_ring_gives_nothing_to_its_neighbours():
    values = np.array([1.0, np.nan, 3.0, 5.0])
    place = np.array([-0.4, 0.0, 0.4, 0.6, 1.4, 1.6, 2.0, 2.5, 3.4, np.nan])
    interpolated = interpolate(values, place)
    np.testing.assert_array_equal(interpolated, [1, 1, 1, np.nan, np.nan, 3, 3, 4, 5, np.nan])


def test_one_ring_is_flat():
    np.testing.assert_array_equal(interpolate(np.array([2.0]), np.array([-0.5, 0.0, 0.49])), [2, 2, 2])


@pytest.mark.parametrize("k", [0.5, 2.0, 5.0, 12.0, 29.0])
@pytest.mark.parametrize("phi", [1.0, 1.7])
def test_the_significance_of_a_threshold_is_its_sigma(k, phi):
    expected = np.array([1e-4, 0.03, 0.8, 12.0, 3e4])
    counts = np.array([oracle.threshold(one, phi, k) for one in expected])
    reached = significance(counts, expected, np.full(5, phi), np.zeros(5))
    np.testing.assert_allclose(reached, k, rtol=1e-6)


@pytest.mark.parametrize("k", [2.0, 5.0, 45.0])
def test_significance_is_the_inverse_of_the_threshold_with_other_noise_too(k, rng):
    mean, phi = 10.0 ** rng.uniform(-4, 4, 300), rng.choice([0.0, 1.0, 1.4], 300)
    spread, weight = rng.uniform(0.1, 3, 300), rng.uniform(0.5, 1.5, 300)
    counts = counts_at(mean, phi, spread, weight, k, noise=0.5)
    reached = significance(counts, mean * weight, phi, np.square(spread * weight) + 0.25)
    np.testing.assert_allclose(reached, k, rtol=1e-3)


def test_significance_at_the_background_and_without_one():
    one = np.ones(4)
    reached = significance(np.array([3.0, 2.0, 5.0, 0.1]), np.array([3.0, 3.0, np.nan, 0.0]), one, 0 * one)
    assert reached[:2].tolist() == [0.0, 0.0]
    assert np.isnan(reached[2])
    assert 0 < reached[3] < 6


@pytest.mark.parametrize("phi", [1.0, 1.7])
@pytest.mark.parametrize("other", [0.0, 0.5, 4.0])
def test_significance_is_never_negative(phi, other):
    """Half a count where 0.3 are expected is above the background, and more likely than not."""
    expected = np.repeat([0.01, 0.3, 0.9, 2.0, 40.0], 60)
    counts = np.tile(np.linspace(0.0, 2.0, 60), 5) * expected
    n = np.full(len(counts), phi)
    reached = significance(counts, expected, n, 0 * n + other)
    by_counting = np.where(counts > expected, np.maximum(norm.isf(gammainc(counts / n, expected / n)), 0.0), 0.0)
    if other == 0.0:
        assert np.allclose(reached, by_counting, atol=1e-9)
    assert (reached >= 0.0).all()
    assert (reached <= by_counting + 1e-9).all()
    assert (reached[by_counting > 0.1] > 0.0).all()


def test_every_peak_stands_at_or_above_the_threshold_in_its_significance(engine, rng):
    """The column is what ``snr`` is a threshold of; intensity over sigma of the whole spot may be below."""
    shape = (400, 420)
    separator = Separator(flat_geometry(shape), rings=40, engine=engine)
    frame = rng.poisson(0.05, shape).astype(np.int32)
    for slow, fast in zip(rng.integers(2, 398, 300), rng.integers(2, 418, 300)):
        frame[slow - 1 : slow + 2, fast - 1 : fast + 2] += rng.poisson([[0.4, 1, 0.4], [1, 3, 1], [0.4, 1, 0.4]])
    background = separator.background(frame)
    peaks = separator.peaks(frame, snr=4.0)
    assert len(peaks) > 50
    assert peaks["significance"].min() >= 4.0
    assert peaks["significance"].min() < 5.0
    assert (peaks["snr"] < 4.0).any()
    expected, phi, _, _ = (image.reshape(shape) for image in background_images(background))
    for peak in peaks[::5]:
        near = np.s_[peak["slow0"] : peak["slow1"], peak["fast0"] : peak["fast1"]]
        at = np.unravel_index(np.argmax(np.where(frame[near] == peak["maximum"], 1, 0)), frame[near].shape)
        n, mean, excess = peak["maximum"], expected[near][at], phi[near][at]
        wanted = norm.isf(gammainc(n / excess, mean / excess))
        assert peak["significance"] == pytest.approx(wanted, rel=2e-3)
