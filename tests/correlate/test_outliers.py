"""Outliers per ring: medians to the bit, MAD = 0, masks, LOKI's counts."""

from __future__ import annotations

import numpy as np
import pytest

from crystint.correlate.polar.outliers import RingOutliers, is_outlier, ring_outliers
from crystint.engine import Engine
from crystint.errors import DTypeError, SettingError, ShapeError
from tests.conftest import shared_data
from tests.oracles import correlate_outliers as oracle


def rings(rng, n):
    """Float rings of all kinds: noise, gaps, none, one, constant, whole numbers, negative, huge and tiny, infinite."""
    values = rng.normal(0.0, 10.0, (12, n)).astype(np.float32)
    values[rng.random(values.shape) < 0.2] = np.nan
    values[1] = np.nan
    values[2] = 5.0
    values[3] = rng.poisson(0.05, n)
    values[4] = np.round(rng.normal(0.0, 2.0, n))
    values[5] = -np.abs(values[5])
    values[6] *= np.float32(1e30)
    values[7] *= np.float32(1e-30)
    values[8, rng.random(n) < 0.3] = -np.inf
    values[9, rng.random(n) < 0.3] = np.inf
    values[10, 1:] = np.nan
    values[11] = np.nextafter(np.float32(1.0), np.float32(2.0)) - np.float32(2**-24) * rng.integers(0, 4, n)
    return values


def check(found, values, threshold, least=0.0):
    for k, ring in enumerate(values):
        flags, median, mad, sigma = oracle.ring(list(ring), threshold, least)
        assert np.array_equal(found.median[k], median, equal_nan=True), k
        assert np.array_equal(found.mad[k], mad, equal_nan=True), k
        np.testing.assert_allclose(found.sigma[k], sigma, rtol=1e-5)
        assert np.array_equal(found.flags[k], flags), k
        assert found.good[k] == np.isfinite(ring).sum()


@pytest.mark.parametrize("n", [1, 2, 3, 15, 16, 17, 100, 333])
@pytest.mark.parametrize("local_size", [None, 1, 4, 64])
def test_medians_and_flags_equal_the_oracle(engine, rng, n, local_size):
    values = rings(rng, n)
    check(RingOutliers(engine, 2.0, local_size=local_size).run(values), values, 2.0)


@pytest.mark.parametrize("n", [2, 255, 1000])
def test_the_form_for_gpus_gives_the_same(engine, rng, monkeypatch, n):
    values = rings(rng, n)
    monkeypatch.setattr(Engine, "on_cpu", property(lambda self: False))
    check(RingOutliers(Engine(engine.device), 2.0).run(values), values, 2.0)


def test_medians_equal_numpy_on_long_rings(engine, rng):
    values = rng.gamma(0.5, 100.0, (7, 6300)).astype(np.float32)
    values[rng.random(values.shape) < 0.3] = np.nan
    values[3] = np.floor(values[3])
    values[4, 5000:] = np.nan
    found = RingOutliers(engine, 5.0).run(values)
    median = np.nanmedian(values, axis=1)
    assert np.array_equal(found.median, median)
    assert np.array_equal(found.mad, np.nanmedian(np.abs(values - median[:, None]), axis=1))
    assert np.array_equal(found.flags, [is_outlier(ring, 5.0) for ring in values])


def test_clean_values_have_nan_where_flags_are(engine, rng):
    values = rings(rng, 100)
    plain, found = RingOutliers(engine, 1.5).run(values), RingOutliers(engine, 1.5).run(values, clean=True)
    assert plain.clean is None
    assert plain.flags.any()
    assert np.array_equal(plain.flags, found.flags)
    wanted = np.where(plain.flags | ~np.isfinite(values), np.nan, values)
    assert np.array_equal(found.clean, wanted, equal_nan=True)


def test_mad_of_zero(engine):
    values = np.full((4, 101), 7.0, np.float32)
    values[1, 50] = 1000.0  # one among equals
    values[2, :40] = np.arange(40) + 8.0  # more than half are equal
    values[3] = 0.0
    values[3, :5] = 1.0  # few photons
    found = RingOutliers(engine, 5.0).run(values)
    assert found.mad.tolist() == [0.0] * 4
    assert found.flags.sum(axis=1).tolist() == [0, 1, 0, 5]
    check(found, values, 5.0)
    found = RingOutliers(engine, 5.0, least_sigma=1.0).run(values)
    assert found.flags.sum(axis=1).tolist() == [0, 1, 0, 0]
    check(found, values, 5.0, 1.0)


def test_masked_values_do_not_move_the_median(engine, rng):
    values = rng.normal(100.0, 5.0, (1, 1000)).astype(np.float32)
    masked = values.copy()
    masked[0, ::3] = np.nan
    found = RingOutliers(engine, 3.0).run(masked)
    assert found.median[0] == np.median(np.delete(values[0], np.s_[::3]))
    assert not found.flags[0, ::3].any()


def test_a_value_at_the_threshold_is_no_outlier(engine):
    values = np.array([[-2, -1, 0, 1, 2, 4]], np.float32)  # median 0.5, MAD 1.5
    at = 0.6745 * 3.5 / 1.5
    assert RingOutliers(engine, at * 1.001).run(values).flags.sum() == 0
    assert RingOutliers(engine, at * 0.999).run(values).flags.tolist() == [[False] * 5 + [True]]


def test_counts_of_the_original_come_from_its_masked_zeros(engine):
    """LOKI counted masked zeros in median and MAD, and missed measured zeros."""
    case = np.load(shared_data("loki/loki_out_py3.npz"))
    image, valid, count = case["polar_img"], case["polar_mask"], case["polar_outlier_count"]
    assert [oracle.as_the_original_counted(row, 5) for row in image] == count.tolist()
    found = RingOutliers(engine, 5.0).run(np.where(valid, image, np.nan)).flags.sum(axis=1)
    rows = np.where(valid, image, np.nan)
    assert np.array_equal(found, [is_outlier(row, 5).sum() for row in rows])


def test_points_of_several_dimensions(rng):
    points = rng.normal(0.0, 1.0, (200, 3))
    points[17] = [30.0, 0.0, 0.0]
    distance = np.sqrt(((points - np.median(points, axis=0)) ** 2).sum(axis=1))
    wanted = 0.6745 * distance / np.median(distance) > 3.5
    assert wanted[17]
    assert np.array_equal(is_outlier(points), wanted)
    valid = np.ones(200, bool)
    valid[17] = False
    assert not is_outlier(points, 3.5, valid)[17]
    points[3, 1] = np.nan
    assert not is_outlier(points)[3]


def test_points_without_spread():
    assert not is_outlier(np.full(9, 4.0)).any()
    assert is_outlier([4.0] * 20 + [5.0]).tolist() == [False] * 20 + [True]
    assert not is_outlier(np.full(5, np.nan)).any()
    assert is_outlier([]).shape == (0,)


def test_empty_images(engine):
    assert RingOutliers(engine).run(np.zeros((0, 5), np.float32)).flags.shape == (0, 5)
    found = RingOutliers(engine).run(np.zeros((3, 0), np.float32), clean=True)
    assert np.isnan(found.median).all()
    assert found.good.tolist() == [0, 0, 0]


def test_impossible_input_is_refused(engine):
    with pytest.raises(ShapeError, match="rings, n"):
        RingOutliers(engine).run(np.zeros(5, np.float32))
    with pytest.raises(DTypeError, match="int32"):
        RingOutliers(engine).run(np.zeros((2, 5), np.int32))
    for value in (0.0, -1.0, np.nan, np.inf):
        with pytest.raises(SettingError, match="threshold"):
            RingOutliers(engine, value)
    with pytest.raises(SettingError, match="least_sigma"):
        RingOutliers(engine, least_sigma=np.nan)
    with pytest.raises(SettingError, match="local_size"):
        RingOutliers(engine, local_size=3)
    with pytest.raises(ShapeError, match="mask"):
        is_outlier(np.zeros(3), mask=np.ones(4))
    with pytest.raises(ShapeError, match="points"):
        is_outlier(np.zeros((3, 3, 3)))


def test_the_function_is_the_operation(rng):
    assert ring_outliers(rings(rng, 50), 2.0).flags.any()
