"""Fourier coefficients of correlations: their scatter against repeated runs, and the noise floor against its law."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from crystint.correlate.files import read_correlations, write_correlations
from crystint.correlate.sums.coefficients import coefficients_of
from crystint.correlate.sums.correlator import Correlator
from crystint.model.correlation_run import CorrelationRun

RADIUS, PIXELS, N, COUNTS = 40.0, 251, 720, 50.0
"""a ring whose samples lie closer than its pixels, so that neighbours share noise"""


def exposure(rng, wave):
    """Poisson counts of the pixels along a ring, with a fourfold wave at a random azimuth, between pixels by a line."""
    phi = 2 * np.pi * np.arange(PIXELS) / PIXELS
    pixel = rng.poisson(COUNTS * (1 + wave * np.cos(4 * (phi - rng.uniform(0, 7)))))
    return np.interp(np.arange(N) * PIXELS / N, np.arange(PIXELS + 1), np.append(pixel, pixel[0]))


def run(seed, wave, count=40, gap=0, radii=((RADIUS,), [[0, 0]])):
    rng, correlator = np.random.default_rng(seed), Correlator(centered=True)
    for _ in range(count):
        good = np.ones(N, bool)
        good[100 : 100 + gap] = False
        correlator.add(exposure(rng, wave)[None], good[None])
    return CorrelationRun(correlator.sums, radii=np.array(radii[0]), pairs=np.array(radii[1]))


def test_noise_alone_ends_at_its_floor():
    # of a line between two pixels: white noise of the pixels, C_n = counts / pixels at low n
    made = [coefficients_of(run(seed, 0.0), 12) for seed in range(12)]
    noise = np.array([c.noise[0, 1:] for c in made])
    np.testing.assert_allclose(noise.mean(axis=0)[:6], COUNTS / PIXELS, rtol=0.05)
    pull = np.array([(c.values.real - c.noise)[0, 1:] / c.error[0, 1:] for c in made])
    assert abs(pull.mean()) < 0.4
    assert 0.7 < pull.std() < 1.5


@pytest.mark.parametrize("gap", [0, 60])
def test_a_signal_stands_above_the_floor_with_the_error_of_repeated_runs(gap):
    made = [coefficients_of(run(seed, 0.05, gap=gap), 8) for seed in range(16)]
    signal = np.array([(c.values.real - c.noise)[0, 4] for c in made])
    error = np.array([c.error[0, 4] for c in made])
    expected = (0.05 * COUNTS) ** 2 / 4 * (1 - 1 / N)
    assert signal.mean() == pytest.approx(expected, abs=4 * error.mean() / 4)
    assert 0.5 < signal.std(ddof=1) / error.mean() < 1.7


def test_norms_carry_the_errors_along_and_files_keep_them(tmp_path):
    one = run(3, 0.05)
    plain, scaled = coefficients_of(one, 8), coefficients_of(replace(one, norm="sum"), 8)
    np.testing.assert_allclose(scaled.error, N * plain.error, rtol=1e-9)
    np.testing.assert_allclose(scaled.values[:, 1:], N * plain.values[:, 1:], rtol=1e-9)
    by = coefficients_of(replace(one, by_intensity=True), 8)
    np.testing.assert_allclose((by.error / by.values.real)[:, 1:], (plain.error / plain.values.real)[:, 1:], rtol=1e-9)
    write_correlations(tmp_path / "run.h5", one, coefficients=8)
    np.testing.assert_array_equal(coefficients_of(read_correlations(tmp_path / "run.h5"), 8).error, plain.error)
    both = coefficients_of(one + run(4, 0.05), 8)
    assert 0.5 < (both.error / plain.error)[0, 4] < 0.95


def test_what_cannot_be_told_is_nan_and_far_rings_share_no_noise():
    assert np.isnan(coefficients_of(run(0, 0.0, count=1), 4).error).all()
    assert np.isnan(coefficients_of(run(0, 0.0), 40).error[0, 33:]).all()
    near = run(0, 0.0, radii=((2.0,), [[0, 0]]))  # a ring of 13 pixels has no lag away from its own noise
    assert np.isnan(coefficients_of(near, 16).noise).all()
    rng, correlator = np.random.default_rng(0), Correlator(pairs=[[0, 1]])
    for _ in range(5):
        correlator.add(rng.poisson(9.0, (2, N)))
    two = CorrelationRun(correlator.sums, radii=np.array([40.0, 60.0]), pairs=np.array([[0, 1]]))
    assert (coefficients_of(two, 8).noise == 0.0).all()
