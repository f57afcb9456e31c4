"""Likeness: distances of curves, errors as of repeated exposures, and pairs that leakage does not choose."""

from __future__ import annotations

import numpy as np
import pytest

from crystint.correlate.pairs.curve_likeness import likeness
from crystint.correlate.pairs.pairing import distances, pair_exposures
from crystint.correlate.polar.background import fourier_background
from crystint.correlate.sums.correlator import Correlator
from crystint.correlate.sums.harmonics import fourier_coefficients
from crystint.errors import SettingError, ShapeError

N = 576
PHI = 2.0 * np.pi * np.arange(N) / N
SIGNAL = {6: 0.04, 10: 0.03, 20: 0.03}


def gaps(width=1.0):
    good = np.ones(N, bool)
    for start, count in ((14, 8), (160, 9), (300, 8), (440, 9)):
        good[start : start + int(width * count)] = False
    return good


def exposures(rng, count, kinds=4, scatter=0.0, noise=0.01):
    found = []
    for number in range(count):
        around = 1.0 + 0.2 * np.cos(2.0 * (PHI - 0.5 * (number % kinds)))
        around += scatter * (rng.normal() * np.cos(2.0 * PHI + 1.0) + rng.normal() * np.cos(PHI))
        signal = sum(a * np.cos(k * PHI + rng.uniform(0.0, 2.0 * np.pi)) for k, a in SIGNAL.items())
        found.append(around * (1.0 + signal) + noise * rng.normal(size=N))
    return np.array(found)


def test_distances_are_those_of_the_curves(rng):
    values = exposures(rng, 6)
    found = likeness(values, harmonics=4, guard=0)
    curves = fourier_background(values, harmonics=4).values
    assert found.points.shape == (6, 9)
    assert distances(found.points, found.points) == pytest.approx(distances(curves, curves), rel=1e-6, abs=1e-6)


def test_errors_are_those_of_repeated_exposures(rng):
    """Signal beyond the guard and noise: what they add to the curve under gaps."""
    good = gaps(2.0)
    for signal, noise in ((0.03, 0.0), (0.0, 0.02), (0.03, 0.02)):
        values = np.array(
            [1.0 + signal * np.cos(19 * PHI + rng.uniform(0, 6.3)) + noise * rng.normal(size=N) for _ in range(400)]
        )
        found = likeness(values, good, harmonics=3, guard=12)
        true = np.array([np.sqrt(N), *np.zeros(6)])
        scatter = np.sqrt(np.mean(np.sum((found.points - true) ** 2, axis=1)))
        assert np.sqrt(np.mean(found.errors**2)) == pytest.approx(scatter, rel=0.25)
        assert found.alike == pytest.approx(4.0 * np.median(found.errors))


@pytest.mark.parametrize("method", ["optimal", "greedy"])
def test_the_signal_is_what_it_is(method):
    """No scatter in a kind, so that all choice is by leakage: with curves alone a third of it is lost."""
    for compare, low, high in ((True, 0.93, 1.07), (False, 0.0, 0.85)):
        found = []
        for seed in range(10):
            values = np.where(gaps(), exposures(np.random.default_rng(seed), 80), np.nan)
            if compare:
                like = likeness(values)
                pairs = pair_exposures(like.points, method, alike=like.alike).pairs
            else:
                pairs = pair_exposures(fourier_background(values).values, method).pairs
            assert (np.ptp(pairs % 4, axis=1) == 0).all()
            correlator = Correlator(workers=1)
            for i, j in pairs:
                correlator.add_difference(values[[i]], values[[j]])
            power = fourier_coefficients(correlator.sums.mean(), 20)[0].real
            found.append([power[k] / (0.5 * a**2) for k, a in SIGNAL.items()])
        assert low < np.mean(found) < high


def test_far_exposures_are_told_apart(rng):
    """Scatter of the anisotropy far above the errors: pairs are the same with and without them."""
    values = exposures(rng, 40, scatter=0.3, noise=0.001)
    like = likeness(values)
    far = pair_exposures(like.points, "optimal")
    assert np.median(far.distance) > 2.0 * like.alike
    assert pair_exposures(like.points, "optimal", alike=like.alike).total < 1.1 * far.total


def test_all_alike_are_paired_by_number(rng):
    points = rng.normal(size=(6, 3))
    assert pair_exposures(points, alike=100.0).pairs.tolist() == [[0, 1], [2, 3], [4, 5]]
    found = pair_exposures(points, "optimal", alike=100.0)
    assert found.distance == pytest.approx(np.linalg.norm(np.diff(points[found.pairs], axis=1)[:, 0], axis=1))


def test_masks_and_what_is_missing(rng):
    values = exposures(rng, 4)
    good = np.broadcast_to(gaps(), values.shape).copy()
    hidden = np.where(good, values, np.nan)
    hidden[1, 5] = np.inf
    good[1, 5] = False
    np.testing.assert_array_equal(likeness(hidden).points, likeness(values, good).points)
    hidden[2] = np.nan
    found = likeness(hidden)
    assert np.isnan(found.points[2]).all()
    assert np.isnan(found.errors[2])
    assert np.isfinite(found.points[[0, 1, 3]]).all()
    assert found.alike == pytest.approx(4.0 * np.median(found.errors[[0, 1, 3]]))
    assert likeness(np.full((3, 50), np.nan)).alike == 0.0


def test_few_values_have_fewer_coefficients(rng):
    """Eleven of fifty samples do not carry 31 coefficients; a single one carries its mean."""
    values = np.full((2, 50), np.nan)
    values[0, ::5] = 3.0 + 1e-3 * rng.normal(size=10)
    values[1, 7] = 2.0
    found = likeness(values)
    assert found.points[0, 0] == pytest.approx(3.0 * np.sqrt(50), rel=1e-2)
    assert np.isfinite(found.points).all()
    assert found.errors[0] > 0.0


@pytest.mark.parametrize(
    ("values", "options", "error"),
    [
        (np.ones(5), {}, ShapeError),
        (np.ones((2, 0)), {}, ShapeError),
        (np.ones((2, 9)), {"good": np.ones(5, bool)}, ShapeError),
        (np.ones((2, 9)), {"harmonics": 5}, SettingError),
        (np.ones((2, 9)), {"harmonics": -1}, SettingError),
        (np.ones((2, 9)), {"guard": -1}, SettingError),
    ],
)
def test_bad_input_is_named(values, options, error):
    with pytest.raises(error):
        likeness(values, **options)


@pytest.mark.parametrize("alike", [-1.0, np.nan, np.inf])
def test_bad_distances_are_named(alike):
    with pytest.raises(SettingError, match="alike"):
        pair_exposures(np.ones((4, 2)), alike=alike)
