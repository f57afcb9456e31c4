"""Amplitudes of profiles: against sums by hand, against theory by Monte Carlo, and on every OpenCL device."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from crystint.errors import SettingError, ShapeError
from crystint.stills.integration.amplitude import amplitudes, box_sums
from crystint.stills.integration.amplitude_device import ProfileAmplitude, profile_amplitude
from crystint.stills.integration.ring import expected_background, ring_means
from tests.oracles import stills_amplitude as oracle

RING = 100


def boxes(rng, n, signal, background, width=2.5, ring=RING):
    """Poisson counts [n, 169] of spots on a background, the profile [169], and the counts of rings."""
    profile = oracle.gaussian(width, 2.5)
    counts = rng.poisson(background + np.reshape(signal, (-1, 1)) * profile, (n, profile.size))
    return counts, profile, rng.poisson(background, (n, ring))


def estimate(counts, profile, rings, method=amplitudes, **options):
    mean = rings.mean(axis=1)
    pixels = np.full(len(mean), rings.shape[1])
    return method(counts, np.broadcast_to(profile, counts.shape), mean, pixels, **options)


def assorted(rng, n=70):
    """Reflections of all kinds: bright, negative, masked, without ring, with and without a model."""
    profile = np.stack([oracle.gaussian(w, 2.5, turn=w, width_2=1.5) for w in rng.uniform(1.2, 3.0, n)])
    profile *= rng.random(profile.shape) > 0.1
    background = rng.gamma(0.5, 4.0, n)
    signal = rng.exponential(300.0, n)
    counts = rng.poisson(background[:, None] + signal[:, None] * profile)
    ring = rng.integers(20, 300, n)
    background = rng.poisson(background * ring) / ring
    model = np.where(rng.random(n) < 0.5, signal, np.nan)
    profile[3], ring[4], model[5] = 0.0, 0, -7.0
    return counts, profile, background, ring, model


def by_hand(counts, profile, background, ring, model, iterations=3, floor=0.02, noise=0.0):
    rows = zip(counts, profile, background, ring, model, strict=True)
    found = [oracle.amplitude(i, p, b, max(b, floor) + noise**2, r, m, iterations=iterations) for i, p, b, r, m in rows]
    return np.array(found).T


@pytest.mark.parametrize("iterations", [0, 1, 3])
@pytest.mark.parametrize("noise", [0.0, 1.5])
def test_amplitudes_equal_the_sums_by_hand(rng, iterations, noise):
    counts, profile, background, ring, model = assorted(rng, 300)
    found = amplitudes(counts, profile, background, ring, model=model, iterations=iterations, noise=noise)
    expected = by_hand(counts, profile, background, ring, model, iterations, noise=noise)
    for name, wanted in zip(("intensity", "variance", "background_variance"), expected, strict=True):
        np.testing.assert_allclose(getattr(found, name), wanted, rtol=1e-10, atol=1e-12, err_msg=name)
    assert np.isnan(found.intensity[[3, 4]]).all()
    assert np.isfinite(found.intensity).sum() == 298


@pytest.mark.parametrize("local_size", [None, 1, 8, 64])
def test_the_kernel_equals_the_processor(engine, rng, local_size):
    counts, profile, background, ring, model = assorted(rng, 300)
    options = {"model": model, "expected_background": background + 0.1}
    wanted = amplitudes(counts, profile, background, ring, noise=0.3, **options)
    operation = ProfileAmplitude(engine, noise=0.3, local_size=local_size)
    found = operation.run(counts.astype(np.uint16), profile, background, ring, **options)
    assert np.array_equal(np.isnan(found.intensity), np.isnan(wanted.intensity))
    good = np.isfinite(wanted.intensity)
    sigma = np.sqrt(wanted.variance[good])
    assert np.abs(found.intensity - wanted.intensity)[good].max() < 1e-5 * max(wanted.intensity[good].max(), 1.0)
    assert (np.abs(found.intensity - wanted.intensity)[good] / sigma).max() < 1e-4
    np.testing.assert_allclose(found.variance, wanted.variance, rtol=1e-5)
    np.testing.assert_allclose(found.background_variance, wanted.background_variance, rtol=1e-5)


def test_a_known_model_is_used_without_iterations_too(engine, rng):
    counts, profile, background, ring, model = assorted(rng)
    found = ProfileAmplitude(engine, iterations=0).run(counts, profile, background, ring, model=model)
    wanted = by_hand(counts, profile, background, ring, model, iterations=0)
    np.testing.assert_allclose(found.variance, wanted[1], rtol=1e-5)


def test_the_kernel_takes_boxes_of_any_size(engine, rng):
    sizes = np.array([1, 169, 7, 8, 0, 25, 400])
    start = np.concatenate([[0], np.cumsum(sizes)])
    profile = rng.random(start[-1])
    profile /= np.maximum(np.repeat(np.add.reduceat(np.append(profile, 0.0), start[:-1]), sizes), 1e-9)
    counts = rng.poisson(3.0 + 200.0 * profile)
    background, ring = np.full(len(sizes), 3.0), np.full(len(sizes), 50)
    found = ProfileAmplitude(engine).run(counts, profile, background, ring, start=start)
    parts = [slice(a, b) for a, b in pairwise(start)]
    wanted = by_hand([counts[p] for p in parts], [profile[p] for p in parts], background, ring, [np.nan] * 7)
    np.testing.assert_allclose(found.intensity, wanted[0], rtol=1e-5)
    np.testing.assert_allclose(found.variance, wanted[1], rtol=1e-5)
    assert np.isnan(found.intensity[4])


def test_the_kernel_on_the_default_device_and_of_nothing(rng):
    counts, profile, background, ring, model = assorted(rng)
    found = profile_amplitude(counts, profile, background, ring, model=model)
    np.testing.assert_allclose(
        found.variance, amplitudes(counts, profile, background, ring, model=model).variance, 1e-5
    )
    assert len(profile_amplitude(counts[:0], profile[:0], background[:0], ring[:0])) == 0


@pytest.mark.parametrize("method", [amplitudes, box_sums])
@pytest.mark.parametrize(("signal", "background"), [(0.0, 1.0), (0.0, 16.0), (5.0, 0.1), (100.0, 4.0), (3000.0, 1.0)])
def test_no_bias_and_the_variance_that_is_claimed(rng, method, signal, background):
    counts, profile, rings = boxes(rng, 20000, signal, background)
    found = estimate(
        counts, profile, rings, method, model=np.full(20000, signal), expected_background=np.full(20000, background)
    )
    off = found.intensity - signal
    error = off.std() / np.sqrt(len(off))
    assert abs(off.mean()) < 4.0 * error
    assert off.var() == pytest.approx(found.variance.mean(), rel=0.04)
    # a core of 2.5 R leaves out 0.2 %, which the profile knows
    assert profile.sum() == pytest.approx(0.998, abs=0.001)


@pytest.mark.parametrize(("signal", "background"), [(0.0, 1.0), (100.0, 1.0), (100.0, 16.0), (3000.0, 4.0)])
def test_the_variance_is_near_the_least_possible(rng, signal, background):
    counts, profile, rings = boxes(rng, 20000, signal, background)
    spread = estimate(counts, profile, rings, model=np.full(20000, signal)).intensity.var()
    # the bound also learns the background from the core; not doing so costs at most 7 % in sigma (1.145 in variance)
    assert 0.96 < spread / oracle.bound(profile, background, signal, RING) < 1.18
    assert spread > 0.97 * oracle.known_background_bound(profile, background, signal)
    iterated = estimate(counts, profile, rings).intensity
    assert iterated.var() < 1.06 * spread
    assert iterated.mean() == pytest.approx(signal, abs=max(0.003 * signal, 4.0 * np.sqrt(spread / 20000)))


@pytest.mark.parametrize("ring", [60, 100, 300])
def test_the_ring_adds_its_own_variance(rng, ring):
    counts, profile, rings = boxes(rng, 20000, 0.0, 4.0, ring=ring)
    spots = 1.0 / np.sum((profile / profile.sum()) ** 2)
    found = estimate(counts, profile, rings, iterations=0)
    factor = found.intensity.std() * profile.sum() / np.sqrt(4.0 * spots)
    assert factor == pytest.approx(np.sqrt(1.0 + spots / ring), rel=0.02)
    assert np.sqrt(found.variance.mean()) == pytest.approx(found.intensity.std(), rel=0.02)


def test_weights_of_observed_counts_would_cost_a_pixel_each(rng):
    counts, profile, rings = boxes(rng, 4000, 0.0, 4.0)
    spots = 1.0 / np.sum(profile**2)
    wrong = oracle.observed_weights(counts, profile, rings.mean(axis=1))
    assert wrong.mean() == pytest.approx(-spots, rel=0.15)  # -42 counts where there are none
    right = estimate(counts, profile, rings)
    assert abs(right.intensity.mean()) < 0.02 * spots
    assert wrong.mean() / np.sqrt(right.variance.mean()) < -2.5


@pytest.mark.parametrize(("background", "least"), [(0.25, 25.0), (2.3, 25.0), (16.0, 10.0)])
def test_a_median_ring_would_make_signal_of_nothing(rng, background, least):
    counts, profile, rings = boxes(rng, 4000, 0.0, background)
    core = profile > 0
    box = core.sum()
    wrong = counts[:, core].sum(axis=1) - box * oracle.median_ring(rings)
    mean, pixels = ring_means(rings, np.ones(rings.shape, bool))
    right = counts[:, core].sum(axis=1) - box * mean
    error = right.std() / np.sqrt(len(right))
    assert wrong.mean() * 113 / box > least
    assert abs(right.mean()) < 4.0 * error
    assert (pixels == RING).mean() > 0.999


@pytest.mark.parametrize(
    ("factor", "even", "expected"), [(np.sqrt(2.0), 4.0 / 3.0, 1.055), (0.8, 0.780, 0.938), (1.0, 1.0, 1.0)]
)
def test_a_wrong_width_costs_little_with_expected_variances(rng, factor, even, expected):
    profile = oracle.gaussian(2.5, 9.0, half=8)
    counts = rng.poisson(1.0 + 1000.0 * profile, (2000, profile.size))
    rings = rng.poisson(1.0, (2000, RING))
    assumed = oracle.gaussian(2.5 * factor, 9.0, half=8)
    assert estimate(counts, assumed, rings, iterations=0).intensity.mean() / 1000.0 == pytest.approx(even, abs=0.02)
    assert estimate(counts, assumed, rings).intensity.mean() / 1000.0 == pytest.approx(expected, abs=0.02)
    # even weights: 2 f^2 / (1 + f^2)
    assert even == pytest.approx(2.0 * factor**2 / (1.0 + factor**2), abs=0.002)


def test_missing_pixels_change_sigma_and_not_the_intensity(rng):
    counts, profile, rings = boxes(rng, 20000, 500.0, 2.0)
    some = profile * (np.arange(profile.size) % 3 > 0)
    assert 0.5 < some.sum() < 0.8
    for method in (amplitudes, box_sums):
        whole, part = (estimate(counts, p, rings, method) for p in (profile, some))
        assert part.intensity.mean() == pytest.approx(500.0, rel=0.005)
        assert part.variance.mean() > 1.2 * whole.variance.mean()
        assert part.intensity.var() == pytest.approx(part.variance.mean(), rel=0.05)


def test_a_mean_with_variances_of_a_model_has_no_bias(rng):
    """What the module says of merging: 1 count low with variances from the data, none with expected ones."""
    counts, profile, rings = boxes(rng, 40000, 20.0, 0.5)
    known = {"model": np.full(40000, 20.0), "expected_background": np.full(40000, 0.5)}
    right, own = estimate(counts, profile, rings, **known), estimate(counts, profile, rings)
    assert np.average(right.intensity, weights=1.0 / right.variance) == pytest.approx(20.0, abs=0.15)
    assert np.average(own.intensity, weights=1.0 / own.variance) == pytest.approx(19.05, abs=0.2)


@pytest.mark.parametrize("background", [0.02, 0.5, 4.0, 100.0])
def test_cutting_a_ring_costs_no_mean(rng, background):
    rings = rng.poisson(background, (40000, 113))
    mean, pixels = ring_means(rings, np.ones(rings.shape, bool))
    assert 113 * abs((mean - rings.mean(axis=1)).mean()) < 0.02
    assert pixels.min() > 110


def test_a_ring_forgets_zingers_and_spots_that_nobody_predicted(rng):
    rings = rng.poisson(1.0, (2000, 120))
    dirty = rings.copy()
    dirty[:, 17] += rng.integers(30, 100000, 2000)
    dirty[:, 50:70] += rng.poisson(400.0 * np.exp(-(np.linspace(-2, 2, 20) ** 2)), (2000, 20))
    ring = np.ones(rings.shape, bool)
    ring[:, 100:] = False
    dirty[:, 100:] = 10**6
    mean, pixels = ring_means(dirty, ring)
    assert dirty[:, :100].mean() > 100.0
    assert mean.mean() == pytest.approx(1.1, abs=0.1)  # what is left is the outermost skirt of the spot
    assert np.all(pixels <= 99)
    assert np.all(pixels > 70)


def test_a_ring_of_nothing_has_no_mean():
    mean, pixels = ring_means(np.full((2, 5), 3), np.array([[False] * 5, [True] * 5]))
    assert np.isnan(mean[0])
    assert mean[1] == 3.0
    assert pixels.tolist() == [0, 5]


def test_background_is_expected_from_the_neighbours_where_a_ring_knows_little(rng):
    d = np.linspace(2.0, 6.0, 4000)
    truth = np.where(d > 4.0, 0.02, 30.0)
    mean = rng.poisson(truth * RING) / RING
    found = expected_background(mean, np.full(4000, RING), d)
    dark, bright = d > 4.2, d < 3.8
    assert found[dark].std() < 0.4 * mean[dark].std()
    assert found[dark].mean() == pytest.approx(0.02, rel=0.1)
    np.testing.assert_allclose(found[bright], mean[bright], rtol=0.02)
    assert np.isnan(expected_background(np.array([np.nan, 1.0]), np.array([0, 5]), np.array([1.0, 2.0]))[0])
    assert expected_background(np.zeros(3), np.full(3, RING), np.ones(3)).tolist() == [0.0, 0.0, 0.0]
    assert len(expected_background(np.zeros(0), np.zeros(0, int), np.zeros(0))) == 0


def test_impossible_arguments_are_named(engine, rng):
    counts, profile, background, ring, _ = assorted(rng)
    for call in (amplitudes, box_sums):
        with pytest.raises(ShapeError, match="profile is"):
            call(counts, profile[:, 1:], background, ring)
        with pytest.raises(ShapeError, match="ring_pixels is"):
            call(counts, profile, background, ring[1:])
        with pytest.raises(SettingError, match="background_floor"):
            call(counts, profile, background, ring, background_floor=0.0)
        with pytest.raises(SettingError, match="noise"):
            call(counts, profile, background, ring, noise=-1.0)
    with pytest.raises(SettingError, match="iterations"):
        amplitudes(counts, profile, background, ring, iterations=-1)
    for bad in ({"background_floor": 0.0}, {"iterations": -1}, {"local_size": 3}):
        with pytest.raises(SettingError, match=next(iter(bad))):
            ProfileAmplitude(engine, **bad)
    operation = ProfileAmplitude(engine)
    with pytest.raises(ShapeError, match="profile is"):
        operation.run(counts, profile[:, 1:], background, ring)
    with pytest.raises(ShapeError, match="model is"):
        operation.run(counts, profile, background, ring, model=background[1:])
    with pytest.raises(ShapeError, match="expected two axes"):
        operation.run(counts.ravel(), profile.ravel(), background, ring)
    with pytest.raises(ShapeError, match="start is not"):
        operation.run(counts.ravel(), profile.ravel(), background, ring, start=np.array([0, 5, 3]))
