"""Simulated exposures have the correlations they say; masked ones are unbiased; differences remove what is fixed.

Many lags are tested at once: every lag within 3 standard errors would fail by chance at 0.27 % of independent lags. The
number of lags beyond 3 is therefore held against the binomial law, and no lag may lie beyond the bound that
all lags together pass with 99.9 % (Bonferroni); both with errors from the draws themselves. Seeds are fixed, so the
tests are deterministic; for both seeds of the masked test every lag is in fact within 3.
"""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from crystint.correlate.simulation.simulate import simulate_frame, simulate_particles, simulate_rings
from crystint.correlate.sums.correlation import Correlator
from crystint.correlate.sums.harmonics import cos_psi, fourier_coefficients, legendre_coefficients
from crystint.errors import SettingError, ShapeError

WAVES = (0.0, 0.0, 4e-3, 0.0, 2e-3, 0.0, 1e-3)


def sums_of(values, **options):
    correlator = Correlator(**options)
    for exposure in values:
        correlator.add(exposure)
    return correlator.sums


def agree(z):
    """No more lags beyond 3 than chance allows, and none beyond what all of them may reach."""
    count = z.size
    assert (np.abs(z) > 3).sum() <= stats.binom.ppf(0.999, count, 2 * stats.norm.sf(3))
    assert np.abs(z).max() < stats.norm.isf(0.0005 / count)


@pytest.mark.parametrize("seed", [1, 2])
def test_masked_correlations_are_unbiased(seed):
    """30 % masked, 1000 draws: the truth within 3 standard errors at every lag."""
    simulated = simulate_rings(1000, 180, WAVES, noise=0.05, masked=0.3, gaps=2, seed=seed)
    assert np.isnan(simulated.values).mean() > 0.3
    sums = sums_of(simulated.values.astype(np.float64) - 1.0)
    half = slice(0, 91)  # the other half is the same
    z = ((sums.mean() - simulated.truth[0, 0]) / sums.error())[0, half]
    assert np.abs(z).max() < 3.0
    agree(z)
    naive = ((sums.mean("mean") - simulated.truth[0, 0]) / sums.error("mean"))[0, half]
    assert np.abs(naive).max() > 20.0  # what masks do when they are not seen to


def test_errors_are_those_of_the_scatter():
    """200 repetitions of 50 draws: z has unit variance at every lag, within 5 standard errors of that."""
    simulated = simulate_rings(10_000, 60, WAVES, noise=0.05, masked=0.3, seed=3)
    values = simulated.values.astype(np.float64) - 1.0
    z = []
    for part in values.reshape(200, 50, 1, 60):
        sums = sums_of(part, workers=1)
        z.append(((sums.mean() - simulated.truth[0, 0]) / sums.error())[0, :31])
    spread = np.std(z, axis=0)
    assert (np.abs(spread / np.sqrt(49 / 47) - 1) < 5 / np.sqrt(400)).all()


def test_cross_correlations_of_rings_are_those_given():
    matrices = np.zeros((5, 2, 2))
    matrices[2] = [[4e-3, -1e-3], [-1e-3, 1e-3]]
    matrices[4] = [[1e-3, 1e-3], [1e-3, 3e-3]]
    simulated = simulate_rings(1500, 120, matrices, rings=2, masked=0.2, seed=1)
    sums = sums_of(simulated.values.astype(np.float64) - 1.0, pairs=[[0, 0], [0, 1], [1, 1]])
    z = (sums.mean() - simulated.truth[[0, 0, 1], [0, 1, 1]]) / sums.error()
    agree(z[:, ::12])  # harmonics up to 4 make lags much alike: 5 independent numbers per row
    found = fourier_coefficients(sums.mean(), 5)
    np.testing.assert_allclose(found.real[1], [0, 0, -1e-3, 0, 1e-3, 0], atol=2.5e-4)


def test_differences_remove_what_is_fixed():
    """An anisotropy of 20 % that paired exposures share: what is left of it is below 1 % of what it was."""
    simulated = simulate_rings(400, 360, WAVES, anisotropy=0.2, kinds=4, masked=0.1, gaps=3, seed=5)
    raw = sums_of(simulated.values).mean() - 1.0
    correlator = Correlator()
    for kind in range(4):
        some = simulated.values[simulated.kind == kind]
        for first, second in zip(some[::2], some[1::2]):
            correlator.add_difference(first, second)
    assert correlator.sums.number == 200
    assert simulated.kind[:6].tolist() == [0, 1, 2, 3, 0, 1]
    assert np.array_equal(simulated.anisotropy[1], simulated.anisotropy[5])
    assert abs(simulated.anisotropy.std() - 0.2) < 0.06
    truth = simulated.truth[0, 0]
    fixed = np.fft.irfft((np.abs(np.fft.rfft(simulated.anisotropy[:, 0], axis=1)) ** 2).mean(axis=0)) / 360
    assert np.abs(raw[0] - truth).max() > 0.5 * fixed[0]  # the raw correlation is full of it
    # regress on both shapes: the fluctuations come out twice, of the anisotropy less than 1 % is left
    found = correlator.sums.mean()[0]
    share = np.linalg.lstsq(np.stack([truth, fixed], axis=1), found, rcond=None)[0]
    assert abs(share[1]) < 0.01
    assert abs(share[0] - 2.0) < 0.3
    z = (found - 2 * truth) / correlator.sums.error()[0]
    agree(z[:181:15])


def test_without_fluctuations_nothing_is_left_of_the_anisotropy():
    simulated = simulate_rings(2, 360, (0.0,), anisotropy=0.2, masked=0.1, seed=1)
    correlator = Correlator()
    correlator.add_difference(*simulated.values)
    assert np.abs(correlator.sums.mean()).max() < 1e-12
    scattered = simulate_rings(2, 360, (0.0,), anisotropy=0.2, scatter=0.05, seed=1).anisotropy
    assert 0 < np.abs(scattered[0] / scattered[1] - 1).max() < 0.5


def test_particles_have_the_correlation_of_theory():
    theta = np.array([0.15, 0.3])
    values, truth = simulate_particles(3000, [[1.0, 0.8], [0.0, 0.0], [0.5, -0.4]], theta, 72, particles=2, seed=1)
    sums = sums_of(values, pairs=[[0, 0], [0, 1], [1, 1]])
    wanted = truth[[0, 0, 1], [0, 1, 1]]
    agree(((sums.mean() - wanted) / sums.error())[:, :37:12])
    lag = sums.lags
    cosine = np.stack([cos_psi(lag, theta[i], theta[j]) for i, j in ((0, 0), (0, 1), (1, 1))])
    found = legendre_coefficients(wanted, cosine, 4).coefficients
    np.testing.assert_allclose(found[:, 1], 2 * 4 * np.pi / 5 * np.array([0.25, -0.2, 0.16]), rtol=1e-8)
    np.testing.assert_allclose(found[:, 0], 4 * 4 * np.pi * np.array([1.0, 0.8, 0.64]), rtol=1e-8)


def test_equal_seeds_give_equal_rings():
    settings = {"rings": 2, "mean": [1.0, 5.0], "anisotropy": 0.1, "noise": 0.1, "masked": 0.2, "spikes": 2, "gaps": 1}
    first, again, other = (simulate_rings(4, 100, seed=seed, **settings) for seed in (7, 7, 8))
    assert np.array_equal(first.values, again.values, equal_nan=True)
    assert not np.array_equal(first.values, other.values, equal_nan=True)
    assert first.spikes.sum(axis=2).max() <= 10
    assert np.nanmin(first.values[first.spikes]) < np.nanmax(first.values[first.spikes])
    plain = simulate_rings(4, 100, seed=7, **(settings | {"masked": 0.0, "gaps": 0, "spikes": 0}))
    same = np.isfinite(first.values) & ~first.spikes
    assert np.array_equal(first.values[same], plain.values[same])  # one setting changes nothing else


def test_frames_are_of_rings_about_the_centre():
    simulated = simulate_frame(
        curves=1 + 0.5 * np.cos(np.arange(2)[:, None] + 2 * np.pi * np.arange(36) / 36), gap=4, hot=9
    )
    assert simulated.frame.dtype == np.int32
    assert (simulated.frame[simulated.mask != 0] == 0).all()
    assert 1 <= simulated.hot.sum() <= 9
    good = (simulated.mask == 0) & ~simulated.hot
    z = (simulated.frame - simulated.expected)[good] / np.sqrt(simulated.expected[good])
    assert abs(z.mean()) < 4 / np.sqrt(z.size)
    assert abs(z.std() - 1) < 0.02
    crowded = simulate_frame(gap=9, hot=5000)
    assert not (crowded.hot & (crowded.mask != 0)).any()
    middle = simulate_frame((41, 41), (20.5, 20.5), [10.0], curves=[[3.0, 1.0, 1.0, 1.0]], background=0.0)
    assert middle.expected[20, 30] == 150.0  # along the fast axis: the first sample
    assert middle.expected[30, 20] == middle.expected[20, 10] == 50.0


def test_impossible_settings():
    with pytest.raises(ShapeError, match="harmonics"):
        simulate_rings(3, 6, np.ones(4))
    with pytest.raises(SettingError, match="eigenvalues"):
        simulate_rings(3, 60, (0.0, -1.0))
    with pytest.raises(SettingError, match="masked"):
        simulate_rings(3, 60, masked=2.0)
    with pytest.raises(SettingError, match="exposures"):
        simulate_rings(0)
    with pytest.raises(ShapeError, match="theta"):
        simulate_particles(3, [[1.0]], [0.1, 0.2])
    with pytest.raises(SettingError, match="radii"):
        simulate_frame(radii=[-1.0])
