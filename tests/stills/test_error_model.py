"""Error model: known errors are found, other programs' forms are the same variance, and failure is said."""

from __future__ import annotations

import numpy as np
import pytest

from crystint.errors import SettingError, ShapeError
from crystint.model import symmetry
from crystint.stills.scaling.error_model import ErrorModel, fit_error_model
from crystint.stills.scaling.variance_fit import fit_variance
from tests.conftest import shared_data

DIALS_USED, DIALS_OUT = 1 << 8, (1 << 22) | (1 << 23) | (1 << 24)


def equivalents(a, b, seed=0, n=30_000, unique=3000, level=1000.0):
    rng = np.random.default_rng(seed)
    true = level * rng.exponential(size=unique)
    group = rng.integers(0, unique, n)
    sigma = np.sqrt(level / 20.0 + true[group])
    error = np.sqrt(a * sigma**2 + (b * true[group]) ** 2)
    return group, true[group] + error * rng.normal(size=n), sigma


@pytest.mark.parametrize(("a", "b"), [(1.0, 0.02), (1.5, 0.05), (3.0, 0.1), (0.6, 0.2)])
def test_known_errors_are_found(a, b):
    found = fit_error_model(*equivalents(a, b))
    assert found.converged
    assert not found.note
    assert found.a == pytest.approx(a, rel=0.06)
    assert found.b == pytest.approx(b, rel=0.06)
    assert found.isa == pytest.approx(1.0 / found.b)
    assert 29_990 <= found.used + found.rejected <= 30_000


def test_the_deviates_have_unit_variance_afterwards():
    group, intensity, sigma = equivalents(2.0, 0.08, seed=3)
    found = fit_error_model(group, intensity, sigma)
    mean = np.bincount(group, intensity) / np.bincount(group)
    variance = found.variance(sigma, mean[group])
    weight = 1.0 / variance
    total = np.bincount(group, weight)
    mean = np.bincount(group, weight * intensity) / total
    several = (np.bincount(group) > 1)[group]
    follow = (1.0 - weight / total[group])[several]
    deviates = (intensity - mean[group])[several] / np.sqrt(variance[several] * follow)
    assert deviates.std() == pytest.approx(1.0, abs=0.02)


def test_multiplicity_two_is_not_taken_for_small_errors():
    """Each observation pulls its own mean: without the correction 1 - w / W, a would be one half."""
    rng = np.random.default_rng(0)
    group = np.repeat(np.arange(10_000), 2)
    true = 1000.0 * rng.exponential(size=10_000)[group]
    sigma = np.sqrt(50.0 + true)
    found = fit_error_model(group, true + sigma * rng.normal(size=20_000), sigma)
    assert found.a == pytest.approx(1.0, abs=0.05)


def test_without_further_errors_b_is_zero_and_said():
    found = fit_error_model(*equivalents(1.0, 0.0, n=60_000))
    assert found.b < 0.01
    assert found.isa > 100.0
    if found.b == 0.0:
        assert "b = 0" in found.note


def test_outliers_hardly_matter():
    group, intensity, sigma = equivalents(1.5, 0.05, seed=2)
    wild = np.random.default_rng(9).random(len(group)) < 0.02
    spoilt = np.where(wild, intensity + 60.0 * sigma, intensity)
    found = fit_error_model(group, spoilt, sigma)
    assert found.a == pytest.approx(1.5, rel=0.25)
    assert found.b == pytest.approx(0.05, rel=0.25)
    assert found.rejected >= 0.7 * wild.sum()
    naive = fit_error_model(group, spoilt, sigma, limit=1e6)
    assert naive.a > 5.0


def test_unit_and_order_do_not_matter():
    group, intensity, sigma = equivalents(1.5, 0.05)
    one = fit_error_model(group, intensity, sigma)
    small = fit_error_model(group, 1e-7 * intensity, 1e-7 * sigma)
    order = np.random.default_rng(0).permutation(len(group))
    mixed = fit_error_model(group[order], intensity[order], sigma[order])
    # the fit stops when a and b change by less than a per mille
    assert (small.a, small.b) == pytest.approx((one.a, one.b), rel=1e-6)
    assert (mixed.a, mixed.b) == pytest.approx((one.a, one.b), rel=1e-6)


def test_what_cannot_be_used_is_left_out():
    group, intensity, sigma = equivalents(1.5, 0.05)
    extra = np.full(4, group.max() + 5)
    more = fit_error_model(
        np.concatenate([group, extra, [77, 78, 79]]),
        np.concatenate([intensity, [np.nan, 1e9, np.inf, -1e9], [1e9, 1e9, 1e9]]),
        np.concatenate([sigma, [1.0, 0.0, 1.0, -1.0], [np.nan, 0.0, -1.0]]),
    )
    one = fit_error_model(group, intensity, sigma)
    assert (more.a, more.b) == (one.a, one.b)


@pytest.mark.parametrize("n", [0, 1, 100])
def test_too_few_equivalents_are_said(n):
    group, intensity, sigma = (column[:n] for column in equivalents(1.5, 0.05, unique=30))
    found = fit_error_model(group, intensity, sigma)
    assert not found.converged
    assert "150 needed" in found.note
    assert (found.a, found.b) == (1.0, 0.0)
    assert found.isa == np.inf


def test_reflections_seen_once_do_not_count():
    found = fit_error_model(np.arange(5000), np.ones(5000), np.ones(5000))
    assert not found.converged
    assert found.note.startswith("0 observations of reflections seen twice or more")


def test_a_fit_that_does_not_stand_still_says_so():
    found = fit_error_model(*equivalents(1.5, 0.3), max_iterations=1)
    assert not found.converged
    assert "still change after 1 iterations" in found.note


def test_sigmas_that_mean_nothing_are_said():
    group, intensity, _ = equivalents(1.0, 0.3, seed=1)
    found = fit_error_model(group, intensity, np.full(len(group), 2e3))
    assert not found.converged
    assert "lower limit" in found.note
    assert found.a == 0.25


def test_means_too_uncertain_for_a_are_said():
    found = fit_error_model(*equivalents(1.0, 0.9, n=9000))
    assert "too few to tell the factor on sigma (a)" in found.note


@pytest.mark.parametrize(("a", "b"), [(1.4, 0.05), (0.7, 0.2), (2.0, 0.0)])
def test_other_programs_write_the_same_variance(a, b):
    model = ErrorModel(a, b)
    sigma, mean = np.array([3.0, 10.0, 200.0]), np.array([5.0, 800.0, 1e5])
    variance = model.variance(sigma, mean)
    xds, dials, evans = model.to_xds(), model.to_dials(), model.to_evans()
    assert np.allclose(variance, xds.a * (sigma**2 + xds.b * mean**2))
    assert np.allclose(variance, dials.a**2 * (sigma**2 + (dials.b * mean) ** 2))
    assert np.allclose(variance, evans.sdfac**2 * (sigma**2 + evans.sdb**2 * mean + (evans.sdadd * mean) ** 2))
    isa = 1.0 / b if b else np.inf
    assert (model.isa, xds.isa, dials.isa, evans.isa) == pytest.approx((isa,) * 4)


def test_the_model_of_dials_converts_as_published():
    model = ErrorModel(1.00772**2, 1.00772 * 0.05261)
    assert model.to_dials().a == pytest.approx(1.00772)
    assert model.to_dials().b == pytest.approx(0.05261)
    assert model.isa == pytest.approx(18.86, abs=0.01)


def test_negative_means_have_no_error_of_their_own():
    assert np.array_equal(ErrorModel(1.0, 0.5).variance(np.array([2.0]), np.array([-100.0])), [4.0])


def test_impossible_values_are_refused():
    with pytest.raises(SettingError, match="a = 0"):
        ErrorModel(0.0, 0.1)
    with pytest.raises(SettingError, match=r"b = -0\.1"):
        ErrorModel(1.0, -0.1)
    with pytest.raises(ShapeError, match="not one table"):
        fit_error_model(np.zeros(3, int), np.ones(3), np.ones(4))


def test_squares_that_fit_exactly_give_exact_numbers():
    rng = np.random.default_rng(0)
    mean = rng.exponential(1000.0, 3000)
    variance = 50.0 + mean + 30.0 * rng.random(3000)
    found = fit_variance(1.7 * variance + (0.08 * mean) ** 2, variance, mean)
    assert (found.a, found.b) == pytest.approx((1.7, 0.08), rel=1e-6)
    assert found.rejected == 0


def test_isa_of_the_sweeps_that_dials_scaled():
    data = np.load(shared_data("stills/l_cysteine_observations.npz"))
    use = ((data["flags"] & DIALS_USED) != 0) & ((data["flags"] & DIALS_OUT) == 0) & (data["partiality"] > 0.4)
    columns = {name: data[name][use].astype(np.float64) for name in data.files if data[name].ndim == 1}
    factor = columns["lp"] / columns["dqe"] / columns["partiality"] / columns["inverse_scale_factor"]
    _, group = symmetry.groups(data["miller_index"][use], "P 21 21 21")
    intensity, sigma = columns["intensity_sum_value"] * factor, np.sqrt(columns["intensity_sum_variance"]) * factor
    assert len(group) == 11_816
    found = fit_error_model(group, intensity, sigma)
    assert found.converged
    assert found.isa == pytest.approx(18.9, rel=0.10)
