"""Angular correlations: an oracle lag by lag, masks, weights, errors, sums that add, bad input."""

from __future__ import annotations

import numpy as np
import pytest

from crystint.correlate.sums.correlation import (
    CorrelationSums,
    Correlator,
    autocorrelation,
    cross_correlation,
    difference,
    paired_differences,
)
from crystint.errors import DTypeError, SettingError, ShapeError
from tests.oracles import correlate_correlation as oracle


def holed(rng, shape, fraction=0.3, dtype=np.float64):
    values = (5.0 + rng.normal(size=shape)).astype(dtype)
    values[rng.random(shape) < fraction] = np.nan
    return values


@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float64, 1e-12), (np.float32, 1e-6)])
@pytest.mark.parametrize("n", [1, 2, 45, 60, 61])
def test_autocorrelation_equals_the_oracle(rng, dtype, tolerance, n):
    values = holed(rng, (19, n), dtype=dtype)
    found = autocorrelation(values, workers=2)
    assert found.dtype == dtype
    np.testing.assert_allclose(found, [oracle.masked(ring, ring) for ring in values], rtol=tolerance)


def test_norms_are_the_sums_over_what_they_say(rng):
    values = holed(rng, (3, 40))
    total = np.array([oracle.sums(ring, ring)[0] for ring in values])
    np.testing.assert_allclose(autocorrelation(values, norm="sum"), total)
    np.testing.assert_allclose(autocorrelation(values, norm="mean"), total / 40)
    whole = rng.normal(size=(3, 40))
    np.testing.assert_allclose(autocorrelation(whole), autocorrelation(whole, norm="mean"))


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_cross_correlation_goes_forward_in_the_second_ring(rng, dtype):
    first, second = holed(rng, (4, 36), dtype=dtype), holed(rng, (4, 36), dtype=dtype)
    second[2] = 3.0  # a ring without gaps against one with
    found = cross_correlation(first, second)
    np.testing.assert_allclose(found, [oracle.masked(a, b) for a, b in zip(first, second)], rtol=1e-5)
    spike, moved = np.zeros(12), np.zeros(12)
    spike[2], moved[5] = 1.0, 1.0
    assert np.argmax(cross_correlation(spike, moved)) == 3


def test_one_ring_broadcasts_against_many(rng):
    first, second = rng.normal(size=(5, 20)), holed(rng, (2, 5, 20))
    found = cross_correlation(first, second, np.ones(20, bool))
    assert found.shape == (2, 5, 20)
    np.testing.assert_allclose(found[1, 3], oracle.masked(first[3], second[1, 3]))
    np.testing.assert_allclose(cross_correlation(first[0], first)[4], oracle.masked(first[0], first[4]))


def test_weights_count_samples_by_parts(rng):
    values, weight = 3 + rng.normal(size=(2, 30)).astype(np.float32), rng.random((2, 30))
    weight[0, 3:9] = 0.0
    want = [oracle.masked(v, v, w, w) for v, w in zip(values, weight)]
    np.testing.assert_allclose(autocorrelation(values, weight), want, rtol=1e-6)
    small = autocorrelation(values, weight * 1e-3)
    np.testing.assert_allclose(small, want, rtol=1e-6)


def test_lags_without_pairs_are_nan(rng):
    values = rng.normal(size=40).astype(np.float32)
    values[10:] = np.nan
    found = autocorrelation(values)
    assert np.array_equal(np.isnan(found), (np.arange(40) >= 10) & (np.arange(40) <= 30))
    assert (autocorrelation(values, norm="sum")[11:30] == 0).all()
    for weight in (0.01, 1.0):
        weighted = autocorrelation(np.nan_to_num(values), np.where(np.isfinite(values), weight, -1.0))
        assert np.array_equal(np.isnan(weighted), np.isnan(found))


def test_rings_without_data_and_constant_rings():
    values = np.full((3, 24), np.nan, np.float32)
    values[1], values[2, ::2] = 7.0, 7.0
    found = autocorrelation(values)
    assert np.isnan(found[0]).all()
    np.testing.assert_allclose(found[1], 49.0)
    np.testing.assert_allclose(found[2, ::2], 49.0)
    assert np.isnan(found[2, 1::2]).all()
    assert (autocorrelation(values, norm="sum")[0] == 0).all()
    centered = autocorrelation(values, centered=True)
    np.testing.assert_allclose(centered[1], 0.0, atol=1e-12)
    np.testing.assert_allclose(autocorrelation(np.array([1.0, np.inf, -np.inf, 1.0]))[0], 1.0)


@pytest.mark.parametrize("masked", [False, True])
def test_single_precision_keeps_small_fluctuations_of_large_means(rng, masked):
    wave = np.cos(2 * np.pi * 3 * np.arange(720) / 720)
    values = (1000.0 + 0.5 * wave).astype(np.float32)
    good = rng.random(720) > 0.3 if masked else np.ones(720, bool)
    correlator = Correlator()
    correlator.add(values[None], good[None])
    want = [oracle.masked(np.where(good, values.astype(float), np.nan), np.where(good, values.astype(float), np.nan))]
    found = correlator.sums.mean() - 1e6
    np.testing.assert_allclose(found, np.array(want) - 1e6, atol=2e-5)  # of 0.125


def test_centered_takes_the_mean_of_valid_samples(rng):
    values = holed(rng, (3, 50))
    want = [oracle.masked(ring - np.nanmean(ring), ring - np.nanmean(ring)) for ring in values]
    np.testing.assert_allclose(autocorrelation(values, centered=True), want, atol=1e-12)


@pytest.mark.parametrize("pairs", [None, [[0, 1], [2, 2], [1, 0], [2, 0]]])
def test_sums_are_those_of_all_exposures(rng, pairs):
    exposures = holed(rng, (7, 3, 30))
    exposures[0] = rng.normal(size=(3, 30))  # the first without a mask, so that room is made later
    exposures[3, 1] = np.nan
    rows = [(0, 0), (1, 1), (2, 2)] if pairs is None else pairs
    each = np.array([[oracle.sums(e[i], e[j]) for i, j in rows] for e in exposures])
    want, count = each.sum(axis=0)[:, 0], each.sum(axis=0)[:, 1]
    correlator = Correlator(pairs=pairs)
    for exposure in exposures:
        correlator.add(exposure)
    found = correlator.sums
    np.testing.assert_allclose(found.mean(), want / count)
    np.testing.assert_allclose(found.mean("sum"), want / 7)
    np.testing.assert_allclose(found.mean("mean"), want / 7 / 30)
    np.testing.assert_allclose(found.variance("sum"), each[:, :, 0].var(axis=0, ddof=1))
    np.testing.assert_allclose(found.error("mean"), each[:, :, 0].std(axis=0, ddof=1) / np.sqrt(7) / 30)
    level = np.nanmean(exposures, axis=(0, 2))
    scale = np.array([level[i] * level[j] for i, j in rows])[:, None]
    np.testing.assert_allclose(found.mean(by_intensity=True), want / count / scale)
    np.testing.assert_allclose(found.error(by_intensity=True), found.error() / scale)


def test_sums_add_and_nothing_is_the_zero(rng):
    exposures = holed(rng, (9, 4, 32), dtype=np.float32)
    exposures[:2] = 1.0  # no masks at first
    parts = []
    for some in (exposures[:2], exposures[2:3], exposures[3:]):
        correlator = Correlator()
        for exposure in some:
            correlator.add(exposure)
        parts.append(correlator.sums)
    whole = Correlator()
    for exposure in exposures:
        whole.add(exposure)
    added = sum(parts)
    assert added.number == 9
    for function in ("mean", "error", "variance"):
        for norm in ("mask", "mean", "sum"):
            wanted = getattr(whole.sums, function)(norm)
            np.testing.assert_allclose(getattr(added, function)(norm), wanted, rtol=1e-9, atol=1e-12)
    zero = CorrelationSums()
    assert (zero + added) is added
    assert (added + zero) is added
    assert (zero + zero).number == 0
    assert Correlator().sums.total.size == 0
    np.testing.assert_allclose(added.lags, 2 * np.pi * np.arange(32) / 32)
    with pytest.raises(ShapeError, match="do not add"):
        added + parts[0].__class__(np.zeros((1, 2)))


def test_errors_of_equal_masks_are_the_usual_ones(rng):
    exposures = rng.normal(2.0, 1.0, (12, 1, 24))
    exposures[:, :, 3:7] = np.nan
    correlator = Correlator()
    for exposure in exposures:
        correlator.add(exposure)
    mean, error = oracle.ratio_and_error(exposures[:, 0])
    np.testing.assert_allclose(correlator.sums.mean()[0], mean)
    np.testing.assert_allclose(correlator.sums.error()[0], error)
    np.testing.assert_allclose(correlator.sums.variance()[0], 12 * error**2)


def test_errors_of_unequal_masks_are_those_of_the_jackknife(rng):
    exposures = holed(rng, (60, 1, 16), 0.4)
    correlator = Correlator()
    for exposure in exposures:
        correlator.add(exposure)
    np.testing.assert_allclose(correlator.sums.error()[0], oracle.jackknife_error(exposures[:, 0]), rtol=0.03)


def test_one_exposure_has_no_error(rng):
    correlator = Correlator()
    correlator.add(holed(rng, (2, 20)))
    sums = correlator.sums
    assert np.isfinite(sums.mean()).all()
    for norm in ("mask", "mean", "sum"):
        assert np.isnan(sums.error(norm)).all()
        assert np.isnan(sums.variance(norm)).all()


def test_sums_are_a_copy(rng):
    correlator = Correlator()
    correlator.add(rng.normal(size=(2, 20)))
    before = correlator.sums
    total = before.total.copy()
    correlator.add(rng.normal(size=(2, 20)))
    assert np.array_equal(before.total, total)


def test_differences_have_the_joint_mask_and_the_intensity_of_the_exposures(rng):
    first, second = holed(rng, (2, 30), dtype=np.float32), holed(rng, (2, 30), dtype=np.float32)
    left = difference(first, second)
    assert left.dtype == np.float32
    assert np.array_equal(np.isnan(left), np.isnan(first) | np.isnan(second))
    good = rng.random((2, 30)) > 0.2
    correlator = Correlator()
    correlator.add_difference(first, second, good)
    use = np.where(good, left, np.nan)
    np.testing.assert_allclose(correlator.sums.mean(), [oracle.masked(r, r) for r in use], rtol=1e-4, atol=1e-6)
    level = np.nanmean(np.where(np.isfinite(use), 0.5 * (first.astype(float) + second), np.nan), axis=1)
    wanted = correlator.sums.mean() / level[:, None] ** 2
    np.testing.assert_allclose(correlator.sums.mean(by_intensity=True), wanted, rtol=1e-6)


def test_differences_of_unsigned_counts_are_signed():
    first, second = np.array([[1, 2]], np.uint16), np.array([[3, 1]], np.uint16)
    assert difference(first, second).tolist() == [[-2.0, 1.0]]
    found = paired_differences(np.stack([first, second, second]), [[0, 1]])  # an odd number: one is left over
    assert found.tolist() == [[[-2.0, 1.0]]]


def test_the_number_of_threads_changes_nothing(rng):
    values = holed(rng, (50, 64), dtype=np.float32)
    assert np.array_equal(autocorrelation(values, workers=1), autocorrelation(values, workers=3))


def test_no_rings_give_no_correlations():
    assert autocorrelation(np.zeros((0, 10))).shape == (0, 10)


def test_bad_input_is_told_what_is_wrong(rng):
    values = rng.normal(size=(3, 10))
    with pytest.raises(ShapeError, match=r"good is \(4,\)"):
        autocorrelation(values, np.ones(4, bool))
    with pytest.raises(DTypeError, match="good is int64"):
        autocorrelation(values, np.ones(10, np.int64))
    with pytest.raises(DTypeError, match="complex"):
        autocorrelation(values * 1j)
    with pytest.raises(ShapeError, match="samples over 2 pi"):
        autocorrelation(np.zeros((3, 0)))
    with pytest.raises(SettingError, match="norm is 'max'"):
        autocorrelation(values, norm="max")
    with pytest.raises(SettingError, match="workers"):
        autocorrelation(values, workers=0)
    for wrong in (np.zeros((3, 11)), np.zeros((2, 10)), np.zeros((3, 1))):
        with pytest.raises(ShapeError, match="broadcast"):
            cross_correlation(values, wrong)
    with pytest.raises(ShapeError, match="second"):
        difference(values, values[:2])
    with pytest.raises(SettingError, match="0 to 2"):
        paired_differences(values, [[0, 3]])
    with pytest.raises(SettingError, match="itself"):
        paired_differences(values, [[1, 1]])
    with pytest.raises(ShapeError, match="pairs"):
        paired_differences(values, [0, 1])


def test_bad_exposures_are_told_what_is_wrong(rng):
    values = rng.normal(size=(3, 10))
    for pairs in ([0, 1], [[0.0, 1.0]]):
        with pytest.raises(ShapeError, match="pairs"):
            Correlator(pairs=pairs)
    with pytest.raises(SettingError, match="-1"):
        Correlator(pairs=[[0, -1]])
    with pytest.raises(ShapeError, match="ring 3"):
        Correlator(pairs=[[0, 3]]).add(values)
    correlator = Correlator()
    correlator.add(values)
    with pytest.raises(ShapeError, match="before"):
        correlator.add(values[:, :5])
    with pytest.raises(ShapeError, match="rings, n"):
        correlator.add(values[0])
    with pytest.raises(ShapeError, match="intensity"):
        correlator.add(values, intensity=np.zeros(3))
    assert correlator.sums.number == 1
    with pytest.raises(SettingError, match="norm"):
        correlator.sums.mean("max")
