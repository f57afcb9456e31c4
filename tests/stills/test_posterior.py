"""Posterior intensities against integrals by scipy."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.stats import norm, truncnorm

from crystint.errors import SettingError
from crystint.stills.scaling.posterior import posterior_with_reference, posterior_with_wilson, truncated_normal


def moments(density, high):
    """Mean and standard deviation of an unnormalised density of x, x^2 being the intensity."""
    x = np.linspace(0.0, high, 400_001)
    log = density(x)
    weight = np.exp(log - log.max())
    mean = (weight * x**2).sum() / weight.sum()
    return mean, np.sqrt((weight * (x**2 - mean) ** 2).sum() / weight.sum())


def test_a_normal_distribution_cut_off_at_zero():
    mean = np.array([-25.0, -5.0, -1.0, 0.0, 0.5, 3.0, 20.0])
    found = truncated_normal(mean, 2.0)
    expected = [truncnorm(-m / 2.0, np.inf, loc=m, scale=2.0) for m in mean]
    assert np.allclose(found[0], [e.mean() for e in expected], rtol=1e-7)
    assert np.allclose(found[1], [e.std() for e in expected], rtol=1e-5)


def test_far_below_zero_nothing_cancels():
    first, second = truncated_normal(np.array([-29.999, -30.001, -1e3, -1e8]), 1.0)
    assert first[0] == pytest.approx(first[1], rel=2e-4)
    assert second[0] == pytest.approx(second[1], rel=2e-4)
    assert np.allclose(first[2:], [1e-3, 1e-8], rtol=1e-5)
    assert np.allclose(second[2:], [1e-3, 1e-8], rtol=1e-5)


@pytest.mark.parametrize(("value", "sigma", "known", "spread"), [(50, 10, 80, 20), (-20, 15, 10, 5), (3, 30, 100, 40)])
def test_a_reference_as_prior(value, sigma, known, spread):
    found = posterior_with_reference([value], [sigma], [known], [spread])
    density = lambda i: norm.pdf(i, value, sigma) * norm.pdf(i, known, spread)  # noqa: E731
    top = known + value + 10 * (sigma + spread)
    total = quad(density, 0, top, limit=300)[0]
    mean = quad(lambda i: i * density(i), 0, top, limit=300)[0] / total
    square = quad(lambda i: i * i * density(i), 0, top, limit=300)[0] / total
    assert found.intensity[0] == pytest.approx(mean, rel=1e-5)
    assert found.sigma[0] == pytest.approx(np.sqrt(square - mean**2), rel=1e-4)
    assert found.share[0] == pytest.approx(spread**-2 / (spread**-2 + sigma**-2))


def test_where_one_of_them_is_silent_the_other_speaks():
    nan = np.nan
    found = posterior_with_reference([1e4, nan, nan, 1e4], [10, 10, nan, 10], [nan, 500, nan, 900], [5, 20, 3, 1e9])
    assert np.allclose(found.intensity, [1e4, 500, nan, 1e4], equal_nan=True)
    assert np.allclose(found.sigma, [10, 20, nan, 10], equal_nan=True)
    assert np.allclose(found.share, [0, 1, nan, 0], equal_nan=True)
    free = posterior_with_reference([-50.0], [10.0], [-50.0], [10.0], positive=False)
    assert free.intensity[0] == -50.0


def test_the_prior_raises_the_agreement_with_itself():
    """Data that hold nothing: after a reference as prior they agree with it. Why this is no measure of quality."""
    rng = np.random.default_rng(0)
    reference = rng.exponential(100.0, 5000)
    noise = 100.0 * rng.normal(size=5000)
    found = posterior_with_reference(noise, 100.0, reference, 50.0)
    assert abs(np.corrcoef(noise, reference)[0, 1]) < 0.05
    assert np.corrcoef(found.intensity, reference)[0, 1] > 0.9


CASES = [(10, 1, 10), (-3, 1, 10), (-20, 1, 5), (0, 1, 0.1), (5, 3, 1), (1000, 10, 100), (-100, 1, 1), (-1, 1, 1e-3)]


@pytest.mark.parametrize(("value", "sigma", "level"), CASES)
@pytest.mark.parametrize("centric", [False, True])
def test_wilson_as_prior(value, sigma, level, centric):
    found = posterior_with_wilson([value], [sigma], [level], [centric])

    def log(x):  # density of x = sqrt(I): times dI = 2 x dx
        likelihood = -0.5 * ((x**2 - value) / sigma) ** 2
        if centric:
            return likelihood - x**2 / (2 * level)
        with np.errstate(divide="ignore"):
            return likelihood - x**2 / level + np.log(x)

    middle = max(value - sigma**2 / level, 0.0)
    low = sigma**2 / max(sigma**2 / level - value, sigma)
    expected = moments(log, np.sqrt(middle + 10 * (sigma if middle > 0 else min(5 * low, 10 * sigma))))
    assert found.intensity[0] == pytest.approx(expected[0], rel=2e-3)
    assert found.sigma[0] == pytest.approx(expected[1], rel=5e-3)
    assert found.intensity[0] > 0.0


def test_wilson_does_not_bias_the_mean():
    """Over reflections drawn from the prior the posterior mean is right on average, and less noisy than the data."""
    rng = np.random.default_rng(0)
    true = np.concatenate([10.0 * rng.exponential(size=20_000), 10.0 * rng.normal(size=20_000) ** 2])
    centric = np.arange(40_000) >= 20_000
    observed = true + 8.0 * rng.normal(size=40_000)
    found = posterior_with_wilson(observed, 8.0, 10.0, centric)
    for side in (centric, ~centric):
        assert found.intensity[side].mean() == pytest.approx(10.0, abs=0.3)
        assert np.mean((found.intensity - true)[side] ** 2) < 0.7 * np.mean((observed - true)[side] ** 2)
        assert np.mean((found.intensity - true)[side] ** 2) == pytest.approx(np.mean(found.sigma[side] ** 2), rel=0.05)


def test_impossible_errors_are_refused():
    with pytest.raises(SettingError, match="sigma is 0 or negative"):
        posterior_with_reference([1.0], [0.0], [1.0], [1.0])
    with pytest.raises(SettingError, match="0 or negative"):
        posterior_with_wilson([1.0], [1.0], [0.0], [False])
