"""French-Wilson amplitudes against quadrature, closed forms and the truth."""

from __future__ import annotations

import gemmi
import numpy as np
import pytest

from crystint.errors import ShapeError
from crystint.model import symmetry
from crystint.stills.merging.amplitudes import french_wilson, posterior, shell_means
from tests.oracles import stills_french_wilson as oracle


@pytest.mark.parametrize("centric", [False, True])
@pytest.mark.parametrize("expected", [0.3, 10.0, 1e4])
def test_moments_equal_quadrature_for_any_significance(centric: bool, expected: float) -> None:
    intensity = np.array([-300.0, -40.0, -12.0, -3.0, -0.5, 0.0, 0.7, 2.0, 5.0, 15.0, 80.0, 1000.0])
    sigma = np.full(len(intensity), 2.5)
    found = posterior(intensity, sigma, np.full(len(intensity), expected), np.full(len(intensity), centric))
    for row in range(len(intensity)):
        f, sd_f, j, sd_j = oracle.moments(intensity[row], 2.5, expected, centric)
        assert found.amplitude[row] == pytest.approx(f, rel=1e-6)
        assert found.sigma_amplitude[row] == pytest.approx(sd_f, rel=1e-5)
        assert found.intensity[row] == pytest.approx(j, rel=1e-6)
        assert found.sigma_intensity[row] == pytest.approx(sd_j, rel=1e-5)


def test_closed_forms_at_the_ends() -> None:
    one = np.ones(1)
    strong = posterior(1e8 * one, 1e3 * one, 1e12 * one, np.zeros(1, bool))
    assert strong.amplitude[0] == pytest.approx(1e4, rel=1e-8)
    assert strong.sigma_amplitude[0] == pytest.approx(1e3 / 2e4, rel=1e-4)
    # nothing measured: the prior's own moments, Gamma(3/2) and sqrt(2 / pi)
    for centric, mean_f, sd_j in ((False, np.sqrt(np.pi) / 2, 1.0), (True, np.sqrt(2 / np.pi), np.sqrt(2.0))):
        prior = posterior(0 * one, 1e5 * one, one, np.array([centric]))
        assert prior.amplitude[0] == pytest.approx(mean_f, rel=1e-4)
        assert prior.intensity[0] == pytest.approx(1.0, rel=1e-4)
        assert prior.sigma_intensity[0] == pytest.approx(sd_j, rel=1e-4)
    # far below zero: an exponential of scale sigma^2 / |I|
    low = posterior(-1e4 * one, one, 1e9 * one, np.zeros(1, bool))
    assert low.intensity[0] == pytest.approx(1e-4, rel=1e-4)
    assert low.amplitude[0] == pytest.approx(np.sqrt(np.pi / 4 * 1e-4), rel=1e-4)
    assert np.isfinite([low.sigma_amplitude[0], low.sigma_intensity[0]]).all()


def test_the_posterior_is_monotonic_and_smooth_over_the_change_of_range() -> None:
    h = np.linspace(-30.0, 30.0, 6001)
    found = posterior(h, np.ones(len(h)), np.full(len(h), 1e6), np.zeros(len(h), bool))
    step = np.diff(found.amplitude)
    assert (step > 0).all()
    assert np.abs(np.diff(step)).max() < 2e-5


def test_amplitudes_of_a_crystal_are_nearest_the_truth(rng: np.random.Generator) -> None:
    cell, group = (60.0, 60.0, 40.0, 90.0, 90.0, 90.0), "P 41 21 2"
    hkl = symmetry.possible(cell, group, 2.0)
    d, epsilon = symmetry.spacing(hkl, cell), symmetry.epsilon(hkl, group)
    centric = symmetry.centric(hkl, group)
    level = 500.0 * np.exp(-2 * 20.0 / (4 * d**2)) * epsilon
    true = level * np.where(centric, rng.normal(size=len(d)) ** 2, rng.exponential(1.0, len(d)))
    sigma = np.full(len(d), 60.0)
    measured = true + sigma * rng.normal(size=len(d))
    found = french_wilson(hkl, measured, sigma, cell=cell, space_group=group)
    assert np.isfinite(found.amplitude).all()
    off = found.amplitude - np.sqrt(true)
    for kind in (centric, ~centric):
        assert abs(off[kind].mean()) < 4 * off[kind].std() / np.sqrt(kind.sum())
        assert np.sqrt(np.mean(off[kind] ** 2)) == pytest.approx(
            np.sqrt(np.mean(found.sigma_amplitude[kind] ** 2)), rel=0.08
        )
    truncated = np.sqrt(np.maximum(measured, 0.0)) - np.sqrt(true)
    assert np.mean(off**2) < 0.8 * np.mean(truncated**2)
    for factor in (1, 2, 4):
        assert np.median((found.expected / level)[epsilon == factor]) == pytest.approx(1.0, abs=0.1)
    assert np.isnan(french_wilson(hkl[:0], measured[:0], sigma[:0], cell=cell, space_group=group).amplitude).all()


def test_shells_without_signal_have_a_small_prior_above_zero(rng: np.random.Generator) -> None:
    d = np.linspace(2.0, 4.0, 1000)
    intensity = np.where(d > 3.0, 100.0, -5.0) + rng.normal(size=1000)
    means = shell_means(intensity, np.ones(1000), d, np.ones(1000, int))
    assert (means > 0).all()
    assert means[d > 3.5] == pytest.approx(100.0, rel=0.02)
    assert means[d < 2.5].max() < 0.2
    assert means[d < 2.5].min() > 0.02


def test_what_is_not_known_stays_unknown() -> None:
    found = posterior(
        np.array([np.nan, 1.0, 1.0, 1.0]), np.array([1.0, 0.0, 1.0, 1.0]), np.array([1.0, 1.0, np.nan, 1.0]),
        np.zeros(4, bool),
    )  # fmt: skip
    assert np.isfinite(found.amplitude).tolist() == [False, False, False, True]
    with pytest.raises(ShapeError):
        posterior(np.ones(2), np.ones(1), np.ones(2), np.zeros(2, bool))
    hkl = np.array([[1, 2, 3], [2, 3, 4]])
    unit = gemmi.UnitCell(30, 30, 30, 90, 90, 90)
    lost = french_wilson(hkl, np.full(2, np.nan), np.ones(2), cell=unit, space_group="P 1")
    assert np.isnan(lost.amplitude).all()
