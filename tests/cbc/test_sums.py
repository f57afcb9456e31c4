"""Criteria with their gradients, steps of expectation maximisation, regression of chi."""

from __future__ import annotations

from math import log

import numpy as np
import pytest

from crystint.cbc.scaling.layout import Layout
from crystint.cbc.scaling.objective import FLOOR, HUBER, criterion, pixel_terms
from crystint.cbc.scaling.projection import ProjectionMap
from crystint.cbc.scaling.regression import kernel_regression
from crystint.cbc.scaling.sums import FAINTEST, NumpyBackend
from crystint.errors import SettingError
from tests.cbc.case import small
from tests.oracles import cbc_scaling as oracle

CRITERIA = [
    ("poisson", "l2"), ("least_squares", "l2"), ("least_squares", "l1"), ("least_squares", "huber"),
]  # fmt: skip
ROBUST = [("robust", "l1"), ("robust", "huber")]


class Small:
    """A small table with overlaps, maps with an empty node, and some b and |q|^2."""

    def __init__(self, rng, **options):
        self.table, self.u, self.rows = small(rng, **options)
        layout = Layout.of(self.table, self.u)
        self.layout = layout.merged(np.arange(layout.n_streaks) % 3, np.eye(3, dtype=int))
        even = ProjectionMap.even(layout.frames, self.u, (4, 5))
        values = rng.uniform(0.5, 1.5, even.values.shape)
        values[0, 0, 0] = np.nan
        self.chi = ProjectionMap(values, even.x, even.y, even.frames)
        self.model = NumpyBackend(self.layout).bind(self.chi)
        self.at = np.nan_to_num(self.model.chi_at)
        self.b = rng.uniform(0.1, 1.0, self.layout.n_streaks)
        self.q2 = np.array([30.0, 90.0, 100.0])

    def slow(self, b, q2, kind, loss):
        return oracle.objective(self.rows, self.at, b, q2, kind, loss, FLOOR)


@pytest.mark.parametrize(("kind", "loss"), CRITERIA)
def test_the_criterion_equals_the_oracle(rng, kind, loss):
    s = Small(rng)
    assert s.layout.n_pixels < len(s.layout)
    assert s.model.objective(s.b, s.q2, kind, loss)[0] == pytest.approx(s.slow(s.b, s.q2, kind, loss), rel=1e-12)


@pytest.mark.parametrize(("kind", "loss"), CRITERIA)
@pytest.mark.parametrize("background", [0.7, -5.0])
def test_the_gradient_is_that_of_the_criterion(rng, kind, loss, background):
    """Finite differences of the oracle, overlaps in; with a negative background some lambda are below the floor."""
    s = Small(rng, background=background)
    _, by_b, by_q2 = s.model.objective(s.b, s.q2, kind, loss)
    theta = np.log(s.q2)
    for gradient, point, what in ((by_b, s.b, 0), (by_q2 * s.q2, theta, 1)):
        differences = []
        for number in range(len(point)):
            values = []
            for step in (2, 1, -1, -2):
                moved = point.copy()
                moved[number] += step * 1e-5
                pair = (moved, s.q2) if what == 0 else (s.b, np.exp(moved))
                values.append(s.slow(*pair, kind, loss))
            differences.append((8 * (values[1] - values[2]) - (values[0] - values[3])) / 12e-5)
        np.testing.assert_allclose(gradient, differences, rtol=1e-6, atol=1e-6 * np.abs(gradient).max())


@pytest.mark.parametrize(("kind", "loss"), CRITERIA + ROBUST)
@pytest.mark.parametrize("counts", [0.0, 0.5, 3.0, -2.0])
def test_neither_value_nor_slope_jumps_at_the_floor(kind, loss, counts):
    near = np.array([FLOOR * (1 - 1e-9), FLOOR * (1 + 1e-9)])
    value, slope = pixel_terms(np.full(2, counts), near, kind, loss)
    assert value[0] == pytest.approx(value[1], rel=1e-6, abs=1e-6)
    assert slope[0] == pytest.approx(slope[1], rel=1e-6, abs=1e-6)
    value, slope = pixel_terms(np.full(3, counts), np.array([-5.0, 0.0, 1e-300]), kind, loss)
    assert np.isfinite(value).all()
    assert np.isfinite(slope).all()


def test_counts_where_none_were_expected_are_not_rewarded():
    value, slope = pixel_terms(np.full(3, 2.0), np.array([-1.0, 0.0, FLOOR]), "poisson", "l2")
    assert value[0] > value[1] > value[2] > 0.0
    assert (slope < 0.0).all()


def test_huber_joins_its_line_without_a_jump():
    lam = 100.0
    counts = lam + 10.0 * HUBER * np.array([1 - 1e-9, 1 + 1e-9, -1 + 1e-9, -1 - 1e-9])
    value, slope = pixel_terms(counts, np.full(4, lam), "least_squares", "huber")
    np.testing.assert_allclose(value, HUBER**2, rtol=1e-7)
    assert slope[0] == pytest.approx(slope[1], rel=1e-7)
    far, _ = pixel_terms(np.array([lam + 100.0]), np.array([lam]), "least_squares", "huber")
    assert far[0] == pytest.approx(2 * HUBER * (10.0 - HUBER / 2), rel=1e-12)


def test_poisson_by_hand():
    value, slope = pixel_terms(np.array([3.0]), np.array([2.0]), "poisson", "l2")
    assert value[0] == pytest.approx(2.0 - 3.0 * log(2.0))
    assert slope[0] == -0.5


@pytest.mark.parametrize("name", ["huber", "Huber", "HUBER"])
def test_names_in_any_capitalisation(name):
    assert criterion("Least_Squares", name) == ("least_squares", "huber")
    assert criterion("POISSON", "L1") == ("poisson", "l1")
    with pytest.raises(SettingError, match="kind is 'gauss'"):
        criterion("gauss", "l2")
    with pytest.raises(SettingError, match="loss is 'l3'"):
        criterion("poisson", "l3")


def test_a_step_equals_the_oracle(rng):
    s = Small(rng)
    b, q2 = s.model.em(s.b, s.q2, 1, True)
    slow_b, slow_q2 = oracle.em(s.rows, s.at, s.b, s.q2)
    np.testing.assert_allclose(b, slow_b, rtol=1e-12)
    np.testing.assert_allclose(q2, slow_q2, rtol=1e-12)
    b, q2 = s.model.em(s.b, s.q2, 3, False)
    assert b is s.b
    for _ in range(3):
        _, s.q2 = oracle.em(s.rows, s.at, s.b, s.q2)
    np.testing.assert_allclose(q2, s.q2, rtol=1e-12)


@pytest.mark.parametrize("background", [0.7, 0.0])
@pytest.mark.parametrize("intercepts", [True, False])
def test_steps_never_raise_the_criterion(rng, background, intercepts):
    s = Small(rng, background=background, strength=2.0)
    b, q2 = s.b, np.array([1e-3, 1e3, 1.0])
    before = s.model.objective(b, q2, "poisson", "l2")[0]
    for _ in range(40):
        b, q2 = s.model.em(b, q2, 1, intercepts)
        now = s.model.objective(b, q2, "poisson", "l2")[0]
        assert now <= before + 1e-12 * abs(before)
        assert (b >= 0.0).all()
        assert (q2 > 0.0).all()
        before = now


def test_after_many_steps_the_gradient_is_zero(rng):
    s = Small(rng)
    b, q2 = s.model.em(np.zeros_like(s.b), s.q2, 500, True)
    _, _, by_q2 = s.model.objective(b, q2, "poisson", "l2")
    assert np.abs(by_q2 * q2).max() < 1e-6


def test_a_reflection_without_counts_fades_but_stays_positive(rng):
    s = Small(rng)
    dark = np.isin(s.layout.pixel, s.layout.pixel[s.layout.reflection == 0])
    s.layout.counts[s.layout.pixel[dark]] = 0.0
    _, q2 = s.model.em(np.zeros_like(s.b), s.q2, 200, False)
    assert q2[0] == pytest.approx(FAINTEST * q2.max())


@pytest.mark.parametrize("h", [0.0001, 0.006, 1.0])
def test_regression_equals_the_oracle(rng, h):
    s = Small(rng)
    slow = oracle.regression(s.rows, s.u, s.at, s.b, s.q2, s.layout.frames, s.chi.x, s.chi.y, h)
    assert oracle.distance(s.model.regress(s.b, s.q2, h), slow) < 1e-11
    if h == 0.0001:
        assert np.isnan(slow).any()


def test_regression_where_nothing_is_modelled_yet(rng):
    """Rows of a dark map and of a reflection of 0 count among those that share a pixel, or not at all."""
    s = Small(rng)
    dark = ProjectionMap(np.zeros_like(s.chi.values), s.chi.x, s.chi.y, s.chi.frames)
    q2 = np.array([0.0, 5.0, 6.0])
    slow = oracle.regression(s.rows, s.u, np.zeros(len(s.rows)), s.b, q2, s.layout.frames, s.chi.x, s.chi.y, 0.005)
    found = NumpyBackend(s.layout).bind(dark).regress(s.b, q2, 0.005)
    assert oracle.distance(found, slow) < 1e-11
    assert (found[~np.isnan(found)] > 0.0).any()


def test_a_constant_comes_back_to_the_edges_of_grid_and_data(rng):
    n = 5000
    u = rng.uniform(-1.0, 1.0, (n, 2))
    weight = rng.uniform(0.1, 2.0, n)
    x = y = np.linspace(-2.0, 2.0, 21)
    found = kernel_regression(u, np.array([0, n]), 3.0 * weight, weight, x, y, 0.1)[0]
    known = ~np.isnan(found)
    np.testing.assert_allclose(found[known], 3.0, rtol=1e-12)
    assert known[5:16, 5:16].all()
    assert not known[:2].any()
    assert not known[:, -2:].any()


def test_the_kernel_ends_at_four_bandwidths(rng):
    x = y = np.array([-1.0, 0.39, 0.41])
    found = kernel_regression(np.zeros((1, 2)), np.array([0, 1]), np.ones(1), np.ones(1), x, y, 0.1)[0]
    assert np.isnan(found).tolist() == [[True] * 3, [True, False, True], [True] * 3]


def test_counts_below_background_give_no_negative_chi():
    found = kernel_regression(
        np.zeros((1, 2)), np.array([0, 1]), -np.ones(1), np.ones(1), np.array([0.0, 1.0]), np.array([0.0, 1.0]), 5.0
    )
    assert (found == 0.0).all()


@pytest.mark.parametrize("n", [1, 127, 128, 129, 2047, 2048, 2049, 5000])
def test_regression_of_any_number_of_rows_in_any_order(rng, n):
    u, weight, value = rng.uniform(-1.0, 1.0, (n, 2)), rng.uniform(0.1, 2.0, n), rng.uniform(0.1, 2.0, n)
    x, y = np.linspace(-1.0, 1.0, 4), np.linspace(-1.0, 1.0, 3)
    ends = np.array([0, n])
    found = kernel_regression(u, ends, value, weight, x, y, 0.3)
    order = rng.permutation(n)
    again = kernel_regression(u[order], ends, value[order], weight[order], x, y, 0.3)
    assert oracle.distance(again, found) < 1e-12
    dx, dy = (x[:, None] - u[:, 0]) / 0.3, (y[:, None] - u[:, 1]) / 0.3
    kernel = np.exp(-0.5 * (dx[None] ** 2 + dy[:, None] ** 2)) * ((abs(dx) <= 4)[None] & (abs(dy) <= 4)[:, None])
    with np.errstate(invalid="ignore"):
        assert oracle.distance(found[0], (kernel @ value) / (kernel @ weight)) < 1e-12


@pytest.mark.parametrize("bandwidth", [0.0, -1e-3, np.nan, np.inf])
def test_a_bandwidth_is_above_zero(rng, bandwidth):
    s = Small(rng)
    with pytest.raises(SettingError, match=r"bandwidth is .* expected a number above 0"):
        s.model.regress(s.b, s.q2, bandwidth)
