"""The angle between scattering vectors, Fourier and Legendre coefficients, against closed forms."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.polynomial import legendre

from crystint.correlate.simulation.simulate import simulate_particles
from crystint.correlate.sums.correlator import Correlator
from crystint.correlate.sums.harmonics import (
    cos_psi,
    fourier_coefficients,
    half_scattering_angle,
    legendre_coefficients,
)
from crystint.errors import SettingError, ShapeError
from tests.conftest import shared_data


def test_psi_is_the_angle_between_scattering_vectors():
    lag, t1, t2 = 2 * np.pi * np.arange(17) / 17, 0.2, 0.45

    def vector(theta, phi):  # k_out - k_in of radiation scattered by 2 theta towards phi
        out = np.array([np.sin(2 * theta) * np.cos(phi), np.sin(2 * theta) * np.sin(phi), np.cos(2 * theta)])
        found = out - np.array([0.0, 0.0, 1.0])
        return found / np.linalg.norm(found)

    want = [vector(t1, 0.3) @ vector(t2, 0.3 + phi) for phi in lag]
    np.testing.assert_allclose(cos_psi(lag, t1, t2), want, atol=1e-14)
    np.testing.assert_allclose(cos_psi(lag, t1), np.cos(lag) * np.cos(t1) ** 2 + np.sin(t1) ** 2)
    assert cos_psi(0.0, np.linspace(0, 1.5, 1000)).max() == 1.0
    assert cos_psi(lag, np.zeros((3, 1)), 0.1).shape == (3, 17)


def test_the_angle_of_scattering():
    wanted = np.load(shared_data("loki/loki_out_py3.npz"))
    theta = half_scattering_angle(2.67, 1.42)
    np.testing.assert_allclose(cos_psi(wanted["phis"], theta), wanted["cos_psi"], atol=1e-12)


def test_the_angle_of_scattering_has_limits():
    np.testing.assert_allclose(half_scattering_angle([0.0, 4 * np.pi], 1.0), [0.0, np.pi / 2])
    with pytest.raises(SettingError, match="wavelength"):
        half_scattering_angle(1.0, 0.0)
    with pytest.raises(SettingError, match="q is up to 13"):
        half_scattering_angle([1.0, 13.0], 1.0)


@pytest.mark.parametrize("n", [60, 61])
def test_fourier_coefficients_are_those_of_the_series(rng, n):
    most = n // 2
    coefficient = rng.normal(size=(2, most + 1)) + 1j * rng.normal(size=(2, most + 1))
    coefficient[:, 0] = coefficient[:, 0].real
    if n % 2 == 0:
        coefficient[:, -1] = coefficient[:, -1].real
    lag = 2 * np.pi * np.arange(n) / n
    k = np.arange(-most, most + 1)
    full = np.concatenate([np.conj(coefficient[:, :0:-1]), coefficient], axis=1)
    curve = (full @ np.exp(1j * k[:, None] * lag)).real
    np.testing.assert_allclose(fourier_coefficients(curve), coefficient, atol=1e-12)
    np.testing.assert_allclose(fourier_coefficients(curve[0], 4), coefficient[0, :5], atol=1e-12)


def test_fourier_coefficients_over_gaps_are_fitted(rng):
    lag = 2 * np.pi * np.arange(90) / 90
    curve = 3.0 + 2 * (0.5 * np.cos(2 * lag) - 0.25 * np.sin(3 * lag)) * np.ones((3, 1))
    curve[0, 20:45], curve[1, 8:] = np.nan, np.nan
    found = fourier_coefficients(curve, 4)
    np.testing.assert_allclose(found[0], [3.0, 0.0, 0.5, 0.25j, 0.0], atol=1e-10)
    assert np.isnan(found[1]).all()  # 8 lags, 9 unknowns
    np.testing.assert_allclose(found[2], found[0], atol=1e-10)
    curve[2, 10] = 1e6
    weight = np.ones(90)
    weight[10] = 0.0
    np.testing.assert_allclose(fourier_coefficients(curve, 4, weights=weight)[2], found[0], atol=1e-10)
    weight = np.where(np.arange(90) == 10, 1e-12, np.nan)  # an unknown weight is none
    assert np.isnan(fourier_coefficients(curve, 4, weights=weight)).all()


@pytest.mark.parametrize("even", [True, False])
def test_legendre_coefficients_are_those_of_the_series(rng, even):
    x = cos_psi(2 * np.pi * np.arange(200) / 200, 0.3, 0.4)
    orders = np.arange(0, 7, 2 if even else 1)
    b = rng.normal(size=(3, len(orders)))
    full = np.zeros((3, 7))
    full[:, orders] = b / (4 * np.pi)
    curve = np.array([legendre.legval(x, row) for row in full])
    found = legendre_coefficients(curve, x, 6, even=even)
    assert found.orders.tolist() == orders.tolist()
    np.testing.assert_allclose(found.coefficients, b, rtol=1e-8)
    np.testing.assert_allclose(found.at(x[:5]), curve[:, :5], rtol=1e-8)
    curve[0, 3:60] = np.nan
    curve[1, 9] += 5.0
    weight = np.where(np.arange(200) == 9, 0.0, 1.0)
    found = legendre_coefficients(curve, np.broadcast_to(x, curve.shape), 6, even=even, weights=weight)
    np.testing.assert_allclose(found.coefficients, b, rtol=1e-7)


def test_weights_are_inverse_variances(rng):
    x = np.linspace(-1, 1, 400)
    sigma = np.where(x < 0, 5.0, 0.1)
    draws = 2.0 / (4 * np.pi) + sigma * rng.normal(size=(300, 400))
    plain = legendre_coefficients(draws, x, 2).coefficients
    weighted = legendre_coefficients(draws, x, 2, weights=1 / sigma**2)
    assert weighted.coefficients[:, 0].std() < 0.1 * plain[:, 0].std()
    assert np.isnan(weighted.error).all()
    np.testing.assert_allclose(weighted.coefficients.mean(axis=0), [2.0, 0.0], atol=0.05)


def test_fits_of_noisy_curves_are_weighted_least_squares(rng):
    n = 12
    lag = 2 * np.pi * np.arange(n) / n
    curve, weight = rng.normal(size=n), rng.uniform(0.1, 3.0, n)

    def solve(design):
        inverse = np.linalg.inv(design.T @ (weight[:, None] * design))
        return inverse @ (design.T @ (weight * curve))

    c0, c1, s1 = solve(np.stack([np.ones(n), 2 * np.cos(lag), -2 * np.sin(lag)], axis=1))
    np.testing.assert_allclose(fourier_coefficients(curve, 1, weights=weight), [c0, c1 + 1j * s1])
    x = cos_psi(lag, 0.3)
    want = solve(legendre.legvander(x, 4)[:, ::2] / (4 * np.pi))
    found = legendre_coefficients(curve, x, 4, weights=weight)
    np.testing.assert_allclose(found.coefficients, want)
    assert np.isnan(found.error).all()


def test_errors_of_legendre_coefficients_are_their_scatter():
    """Single particles: an exposure changes C at all lags together. Twenty nights of ten parts of fifty exposures."""
    theta = np.array([0.25, 0.4])
    strength = np.array([[3.0, 2.0], [0.0, 0.0], [1.0, -0.8], [0.0, 0.0], [0.4, 0.5]])
    found = []
    for seed in range(20):
        values, _ = simulate_particles(500, strength, theta, 90, seed=seed)
        parts = []
        for begin in range(0, 500, 50):
            correlator = Correlator(pairs=[[0, 0], [0, 1]], workers=1)
            for one in values[begin : begin + 50]:
                correlator.add(one)
            parts.append(correlator.sums)
        whole = sum(parts)
        x = np.stack([cos_psi(whole.lags, theta[0]), cos_psi(whole.lags, *theta)])
        found.append(legendre_coefficients(whole.mean(), x, 4, parts=[part.mean() for part in parts]))
    scatter = np.std([one.coefficients for one in found], axis=0, ddof=1)
    error = np.sqrt(np.mean([one.error**2 for one in found], axis=0))
    np.testing.assert_allclose(error, scatter, rtol=0.45)
    orders = 2 * np.arange(3)
    wanted = [4 * np.pi * strength[orders, 0] * strength[orders, j] / (2 * orders + 1) for j in (0, 1)]
    off = (np.mean([one.coefficients for one in found], axis=0) - wanted) / (scatter / np.sqrt(20))
    assert np.abs(off).max() < 4.0


def test_a_particle_turned_at_random_has_the_coefficients_of_theory():
    """I = 1 + a P_2(q.n): the mean over n is 1 + a^2 P_2(cos psi) / 5, by the addition theorem."""
    nodes, weights = legendre.leggauss(12)
    phi = 2 * np.pi * np.arange(24) / 24
    sine = np.sqrt(1 - nodes**2)
    axes = np.stack([np.outer(sine, np.cos(phi)), np.outer(sine, np.sin(phi)), np.outer(nodes, np.ones(24))])
    share = np.outer(weights, np.ones(24)) / 48
    lag, theta = 2 * np.pi * np.arange(72) / 72, 0.3

    def intensity(angle):
        q = np.array([np.cos(theta) * np.cos(angle), np.cos(theta) * np.sin(angle), np.sin(theta)])
        return 1 + 0.7 * legendre.legval(np.tensordot(q, axes, 1), [0, 0, 1])

    curve = np.array([(share * intensity(0.0) * intensity(angle)).sum() for angle in lag])
    found = legendre_coefficients(curve, cos_psi(lag, theta), 4)
    np.testing.assert_allclose(found.coefficients, [4 * np.pi, 4 * np.pi * 0.49 / 5, 0.0], atol=1e-8)


def test_too_little_or_wrong_input():
    x = np.linspace(-1, 1, 10)
    few = np.where(np.arange(10) < 2, 1.0, np.nan)
    assert np.isnan(legendre_coefficients(few, x, 4).coefficients).all()
    assert np.isnan(legendre_coefficients(few, x, 2).error).all()
    with pytest.raises(ShapeError, match="cosine"):
        legendre_coefficients(few, x[:4], 4)
    with pytest.raises(ShapeError, match="weights"):
        legendre_coefficients(few, x, 4, weights=x[:4])
    for parts in (few[None], np.ones((3, 4)), np.ones(10)):
        with pytest.raises(ShapeError, match="parts"):
            legendre_coefficients(few, x, 2, parts=parts)
    with pytest.raises(SettingError, match="most"):
        legendre_coefficients(few, x, 20, even=False)
    with pytest.raises(SettingError, match="between"):
        legendre_coefficients(few, 2 * x, 4)
    with pytest.raises(SettingError, match="most is 6"):
        fourier_coefficients(x, 6)
    with pytest.raises(ShapeError, match="correlation"):
        fourier_coefficients(np.zeros((2, 0)))
