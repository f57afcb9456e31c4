"""Uncertainties against the alternation itself, repeated with one pixel changed, and against simulated repetitions."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pytest

from crystint.cbc.merging.families import families
from crystint.cbc.merging.uncertainty import Uncertainty, uncertainty
from crystint.cbc.scaling.layout import Layout
from crystint.cbc.scaling.projection import ProjectionMap
from crystint.cbc.scaling.sums import NumpyBackend
from crystint.cbc.simulation.simulate import CBCSimulation, simulate_streaks
from crystint.errors import SettingError, ShapeError
from tests.oracles.cbc_alternation import Data, alternate, matrices

Floats = np.ndarray


def merged(data: CBCSimulation, symmetry: str = "mmm") -> Layout:
    assert data.table.u is not None
    layout = Layout.of(data.table, data.table.u)
    found = families(layout.streak_hkl, symmetry)
    return layout.merged(found.number, found.hkl)


@dataclass
class Small:
    """A fit that is its own expectation: maps that are level in each frame are not changed by smoothing."""

    layout: Layout
    chi: ProjectionMap
    theta: Floats
    b: Floats
    free: np.ndarray
    h: float
    data: Data

    def uncertainty(self, variance: Floats | None = None) -> Uncertainty:
        return uncertainty(self.layout, self.chi, np.exp(self.theta), self.h, intercepts=self.b, variance=variance)


def small(overlap: float, offset: float, h: float) -> Small:
    layout = merged(simulate_streaks(500, frames=2, reflections=4, overlap=overlap, length=10, seed=3, nodes=10))
    grid = ProjectionMap.even(layout.frames, layout.u, (5, 5))
    data = Data(
        layout.frame, layout.pixel, layout.reflection, layout.streak, layout.profile, layout.u, layout.background,
        grid.x, grid.y, h,
    )  # fmt: skip
    reached = (matrices(data)[1].sum(axis=0) > 0).reshape(2, 5, 5)
    values = np.where(reached, 1.0, np.nan) * np.array([0.7, 1.3])[:, None, None]
    chi, _ = ProjectionMap(values, grid.x, grid.y, layout.frames).normalised()
    free, b = np.zeros(layout.n_streaks, bool), np.zeros(layout.n_streaks)
    if offset:
        free[::2] = True
        b[::2] = offset + np.arange(free.sum())
    theta = np.log(np.linspace(50, 200, layout.n_reflections))
    signal = np.exp(theta)[layout.reflection] * layout.profile * chi.interpolate(layout.frame, layout.u)
    expected = layout.background + np.bincount(layout.pixel, signal + b[layout.streak], layout.n_pixels)
    return Small(replace(layout, counts=expected), chi, theta, b, free, h, data)


@pytest.mark.parametrize(("overlap", "offset", "h"), [(0.3, 0.0, 0.008), (0.5, 5.0, 0.02), (0.1, 0.0, 0.02)])
def test_one_pixel_moves_the_fixed_point_as_computed(overlap: float, offset: float, h: float) -> None:
    fit, step = small(overlap, offset, h), 1e-2
    made = matrices(fit.data)
    start = theta, b, chi = alternate(fit.data, fit.layout.counts, made, fit.free)
    assert theta == pytest.approx(fit.theta, abs=1e-9)
    assert b == pytest.approx(fit.b, abs=1e-7)
    assert chi == pytest.approx(fit.chi.values.ravel(), abs=1e-9, nan_ok=True)
    overlapped = np.flatnonzero(fit.layout.multiplicity > 1)
    for pixel in (fit.layout.n_pixels // 2, overlapped[0], overlapped[len(overlapped) // 2]):
        one = np.zeros(fit.layout.n_pixels)
        one[pixel] = 1.0
        up, down = (
            alternate(fit.data, fit.layout.counts + sign * step * one, made, fit.free, start)[0] for sign in (1, -1)
        )
        found = fit.uncertainty(one)
        moved = found.relative((up - down) / (2 * step))
        assert np.abs(found.covariance - np.outer(moved, moved)).max() < 1e-4 * found.sigma.max() ** 2


def test_variances_of_pixels_add_up() -> None:
    fit = small(0.3, 5.0, 0.01)
    noise = np.random.default_rng(0).uniform(0.0, 3.0, fit.layout.n_pixels)
    parts = [fit.uncertainty(np.where(np.arange(len(noise)) % 3 == k, noise, 0.0)).covariance for k in range(3)]
    assert sum(parts) == pytest.approx(fit.uncertainty(noise).covariance, rel=1e-9)
    assert fit.uncertainty().covariance == pytest.approx(fit.uncertainty(fit.layout.counts).covariance, rel=1e-9)


@pytest.mark.parametrize("h", [0.002, 0.01])
def test_blocks_of_rows_make_no_difference(monkeypatch: pytest.MonkeyPatch, h: float) -> None:
    fit = replace(small(0.5, 5.0, 0.01), h=h)
    whole = fit.uncertainty()
    monkeypatch.setattr("crystint.cbc.merging.response._BLOCK", 64)
    parts = fit.uncertainty()
    assert parts.covariance == pytest.approx(whole.covariance, rel=1e-9)
    assert parts.bias == pytest.approx(whole.bias, abs=1e-12)


def test_known_maps_leave_fishers_matrix() -> None:
    fit = small(0.3, 0.0, 0.01)
    layout, q2 = fit.layout, np.exp(fit.theta)
    values = fit.chi.values * np.random.default_rng(1).uniform(0.5, 1.5, fit.chi.values.shape)
    values[0, 2, 2] = values[1, 1, 3] = np.nan  # empty nodes among those that rows lie between
    chi = replace(fit.chi, values=values)
    signal = q2[layout.reflection] * layout.profile * chi.interpolate(layout.frame, layout.u)
    layout = replace(layout, counts=layout.background + np.bincount(layout.pixel, signal, layout.n_pixels))
    slope = np.zeros((layout.n_pixels, layout.n_reflections))
    np.add.at(slope, (layout.pixel, layout.reflection), signal)
    inverse = np.linalg.inv(slope.T @ (slope / layout.counts[:, None]))
    found = uncertainty(layout, chi, q2, None)
    assert found.sigma_known == pytest.approx(np.sqrt(np.diag(inverse)), rel=1e-9)
    away = np.eye(len(q2)) - found.weight[None, :]
    assert found.covariance == pytest.approx(away @ inverse @ away.T, rel=1e-9, abs=1e-15)
    assert uncertainty(layout, chi, q2, fit.h).sigma_known == pytest.approx(found.sigma_known, rel=1e-12)


def test_reduced_chi_square() -> None:
    fit = small(0.3, 5.0, 0.01)
    rng = np.random.default_rng(2)
    expected, noise = fit.layout.counts, rng.uniform(0.2, 30.0, fit.layout.n_pixels)
    noise[::7] = 0.0
    noisy = replace(fit, layout=replace(fit.layout, counts=rng.poisson(expected).astype(np.float64)))
    degrees = len(expected) - len(fit.theta) - fit.free.sum()
    square = (noisy.layout.counts - expected) ** 2
    assert noisy.uncertainty().reduced_chi_square == pytest.approx(np.sum(square / expected) / degrees)
    given = np.sum(square[noise > 0] / noise[noise > 0]) / degrees
    assert noisy.uncertainty(noise).reduced_chi_square == pytest.approx(given)


def test_the_scale_is_taken_out() -> None:
    fit = small(0.3, 0.0, 0.01)
    found = fit.uncertainty()
    assert found.weight.sum() == pytest.approx(1.0)
    assert found.weight @ found.covariance == pytest.approx(np.zeros(len(found.sigma)), abs=1e-12)
    other = replace(fit.chi, values=fit.chi.values / 7.0)
    again = uncertainty(fit.layout, other, 7.0 * np.exp(fit.theta), fit.h)
    assert again.covariance == pytest.approx(found.covariance, rel=1e-8)
    assert found.relative(fit.theta + 3.0) == pytest.approx(found.relative(fit.theta), abs=1e-12)
    assert found.relative(fit.theta) == pytest.approx(fit.theta - found.weight @ fit.theta, abs=1e-12)
    assert found.of_intensity(np.exp(fit.theta)) == pytest.approx(np.exp(fit.theta) * found.sigma)


def test_a_reflection_without_signal_does_not_move_the_mean() -> None:
    none, weight = np.zeros(3), np.array([0.25, 0.75, 0.0])
    found = Uncertainty(np.eye(3), none, none, none, weight, np.zeros(3, int), 1.0)
    assert found.relative([1.0, 5.0, np.nan]) == pytest.approx([-3.0, 1.0, np.nan], nan_ok=True)


def test_frames_without_a_common_reflection_have_scales_of_their_own() -> None:
    fit = small(0.1, 0.0, 0.02)
    layout = fit.layout.merged(np.arange(fit.layout.n_streaks), fit.layout.streak_hkl)
    q2 = np.exp(fit.theta)[fit.layout.streak_reflection]
    found = uncertainty(layout, fit.chi, q2, fit.h)
    first = layout.streak_frame == 0
    assert np.array_equal(found.component == found.component[0], first)
    assert np.isfinite(found.sigma).all()
    assert np.abs(found.covariance[np.ix_(first, ~first)]).max() < 1e-12
    assert np.bincount(found.component, found.weight) == pytest.approx([1.0, 1.0])
    assert uncertainty(layout, fit.chi, q2, None).component.max() == 0


def test_a_reflection_seen_nowhere_has_no_sigma() -> None:
    fit = small(0.1, 0.0, 0.02)
    more = np.vstack([fit.layout.reflection_hkl, [[9, 9, 9]]])
    layout = fit.layout.merged(fit.layout.streak_reflection, more)
    found = uncertainty(layout, fit.chi, np.append(np.exp(fit.theta), np.nan), fit.h)
    whole = fit.uncertainty()
    assert np.isnan(found.sigma[-1])
    assert np.isnan(found.sigma_known[-1])
    assert np.isnan(found.bias[-1])
    assert found.relative(np.append(fit.theta, np.nan))[:-1] == pytest.approx(whole.relative(fit.theta), abs=1e-12)
    assert np.isnan(found.covariance[-1]).all()
    assert found.sigma[:-1] == pytest.approx(whole.sigma, rel=1e-12)
    alone = fit.layout.merged(np.zeros(fit.layout.n_streaks, int), fit.layout.streak_hkl[:1])
    assert np.isnan(uncertainty(alone, fit.chi, [100.0], fit.h).sigma).all()


def fitted(layout: Layout, grid: ProjectionMap, h: float, rounds: int = 12) -> tuple[Floats, ProjectionMap]:
    """The alternation with a dozen steps of expectation maximisation each time."""
    path, b, chi = NumpyBackend(layout), np.zeros(layout.n_streaks), grid
    above = np.bincount(layout.reflection, (layout.counts - layout.background)[layout.pixel] * layout.profile)
    q2 = np.maximum(above / np.bincount(layout.reflection, layout.profile**2), 1.0)
    for _ in range(rounds):
        _, q2 = path.bind(chi).em(b, q2, 12, False)
        chi, mean = replace(chi, values=path.bind(chi).regress(b, q2, h)).normalised()
        q2 = q2 * mean
    return path.bind(chi).em(b, q2, 12, False)[1], chi


def repeated(layout: Layout, truth: Floats, h: float, sets: int) -> tuple[Floats, Floats, Floats]:
    """Deviations, sigmas and estimated biases [sets, H] of fits to Poisson counts."""
    rng, found = np.random.default_rng(11), []
    grid = ProjectionMap.even(layout.frames, layout.u, (24, 24))
    for _ in range(sets):
        noisy = replace(layout, counts=rng.poisson(layout.counts).astype(np.float64))
        q2, chi = fitted(noisy, grid, h)
        each = uncertainty(noisy, chi, q2, h)
        found.append((each.relative(np.log(q2) - truth), each.sigma, each.bias))
    deviation, sigma, bias = (np.array(column) for column in zip(*found))
    return deviation, sigma, bias


def crowded() -> tuple[Layout, Floats]:
    data = simulate_streaks(
        9_000, frames=1, reflections=24, seed=5, intensity=150.0, weakest=0.3, map_scale=1.0, noise=False
    )
    return merged(data), np.log(data.truth.q2)


def test_sigma_covers_the_truth_and_is_the_spread_of_repetitions() -> None:
    layout, truth = crowded()
    deviation, sigma, _ = repeated(layout, truth, 0.001, 16)
    covered = np.abs(deviation) < sigma
    limit = 3.0 * np.sqrt(0.683 * 0.317 / covered.size)  # binomial; the bias at this bandwidth takes 0.02
    assert covered.mean() == pytest.approx(0.665, abs=limit)
    spread = np.sqrt(np.mean(deviation.var(axis=0, ddof=1)) / np.mean(sigma**2))
    assert spread == pytest.approx(1.0, abs=3.0 / np.sqrt(2.0 * covered.size) + 0.03)


def test_bias_of_a_wide_kernel_is_told() -> None:
    layout, truth = crowded()
    deviation, sigma, bias = repeated(layout, truth, 0.004, 4)
    assert np.mean(np.abs(deviation) < sigma) < 0.6
    told, so = bias.mean(axis=0), deviation.mean(axis=0)
    assert np.corrcoef(told, so)[0, 1] > 0.8
    assert np.std(so - told) < 0.7 * np.std(so)


@pytest.mark.parametrize(("change", "part"), [
    ({"q2": [1.0]}, "q2 is"), ({"q2": [1.0, 2.0, -3.0, 4.0]}, "q2 has"), ({"bandwidth": 0.0}, "bandwidth"),
    ({"intercepts": [1.0]}, "intercepts is"), ({"variance": [1.0]}, "variance is"),
])  # fmt: skip
def test_what_does_not_fit(change: dict[str, object], part: str) -> None:
    fit = small(0.1, 0.0, 0.02)
    given = {"q2": np.exp(fit.theta), "bandwidth": fit.h, **change}
    with pytest.raises((SettingError, ShapeError), match=part):
        uncertainty(fit.layout, fit.chi, **given)


def test_maps_of_other_frames() -> None:
    fit = small(0.1, 0.0, 0.02)
    one = ProjectionMap(fit.chi.values[:1], fit.chi.x, fit.chi.y, fit.chi.frames[:1])
    with pytest.raises(ShapeError, match="expected 2"):
        uncertainty(fit.layout, one, np.exp(fit.theta), fit.h)
    dark = replace(fit.chi, values=fit.chi.values * 0.0)
    with pytest.raises(SettingError, match="0 or empty"):
        uncertainty(fit.layout, dark, np.exp(fit.theta), fit.h)
