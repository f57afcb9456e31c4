"""The bandwidth by cross-validation: what it divides, what it adds up, and whether it finds a good one."""

from __future__ import annotations

import numpy as np
import pytest

from crystint.cbc.compat_cbclib import IntensityScaler
from crystint.cbc.scaling.bandwidth import bandwidth_from_pixels, choose_bandwidth
from crystint.cbc.scaling.subsets import subset
from crystint.cbc.simulation.simulate import CBCSimulation, simulate_streaks
from crystint.errors import SettingError


def data(**settings: float) -> tuple[CBCSimulation, IntensityScaler]:
    made = simulate_streaks(5000, frames=2, reflections=10, seed=4, intensity=200.0, weakest=0.3, **settings)
    return made, IntensityScaler.of(made.table, grid=(20, 20)).merge_hkl("mmm")


def error(made: CBCSimulation, scaler: IntensityScaler, width: float) -> float:
    trained, x = scaler.train(width)
    difference = np.log(trained.q2(x) / made.truth.q2)
    return float(np.std(difference))


def test_pixels() -> None:
    assert bandwidth_from_pixels(1.5, 200e-6, 0.1) == pytest.approx(3e-3)
    with pytest.raises(SettingError, match="distance is 0"):
        bandwidth_from_pixels(1.0, 200e-6, 0.0)
    with pytest.raises(SettingError, match="pixels is nan"):
        bandwidth_from_pixels(np.nan, 200e-6, 0.1)


def test_the_score_is_that_of_pixels_left_out() -> None:
    _, scaler = data()
    told: dict[float, float] = {}
    choice = choose_bandwidth(
        scaler,
        [0.002, 0.02],
        folds=2,
        block=3,
        seed=5,
        n_iter=3,
        fit_intercept=True,
        progress=lambda width, score: told.update({width: score}),
    )
    table, layout = scaler.table, scaler.layout
    blocks = np.stack([table.frame, table.y // 3, table.x // 3], axis=1)
    once, number = np.unique(blocks, axis=0, return_inverse=True)
    fold = (np.random.default_rng(5).permutation(len(once)) % 2)[number.reshape(-1)]
    start, parts = [None, None], np.zeros((2, 2))
    for at, width in ((1, 0.02), (0, 0.002)):
        sizes = []
        for held in (0, 1):
            part, there = subset(scaler, fold != held)
            assert there.all()
            trained, x = part.train(width, x0=start[held], n_iter=3, fit_intercept=True)
            start[held] = x
            chi = np.nan_to_num(trained.xtal.interpolate(layout.frame, layout.u), nan=1.0)
            q2 = np.exp(x[layout.n_streaks :])[layout.reflection]
            expected = layout.background + np.bincount(layout.pixel, q2 * chi * layout.profile + x[layout.streak])
            out = np.unique(layout.pixel[fold == held])
            parts[at, held] = np.sum(expected[out] - layout.counts[out] * np.log(expected[out]))
            sizes.append(len(out))
        assert sum(sizes) == layout.n_pixels
        assert told[width] == pytest.approx(parts[at].sum() / layout.n_pixels, rel=1e-9)
    best = int(parts[0].sum() > parts[1].sum())
    over = parts - parts[best]
    assert choice.optimum == [0.002, 0.02][best]
    assert choice.score == pytest.approx(over.sum(axis=1) / layout.n_pixels, abs=1e-9)
    each = over[1 - best] / sizes
    assert choice.error[1 - best] == pytest.approx(abs(each[0] - each[1]) / 2.0, rel=1e-6)
    assert choice.at_edge


def test_smooth_maps_want_wide_kernels_and_rough_ones_narrow_ones() -> None:
    widths = [0.0012, 0.0024, 0.0048, 0.0096]
    smooth, rough = (choose_bandwidth(data(map_scale=scale)[1], widths, folds=3, n_iter=8) for scale in (2.0, 0.25))
    assert smooth.optimum > rough.optimum
    for choice in (smooth, rough):
        at = int(np.argmin(choice.score))
        assert choice.tried.tolist() == widths
        assert choice.optimum == choice.tried[at]
        assert float(choice) == choice.bandwidth == max(0.6 * choice.optimum, widths[0])
        assert choice.score[at] == choice.error[at] == 0.0
        assert (np.delete(choice.score, at) > 0.0).all()
        assert (np.delete(choice.error, at) > 0.0).all()
        assert choice.at_edge == (at in (0, 3))


def test_the_chosen_one_is_near_the_best_for_q2() -> None:
    made, scaler = data()
    choice = choose_bandwidth(scaler, folds=3, n_iter=8)
    spacing = np.diff(scaler.xtal.x).max()
    assert choice.tried[[0, -1]] == pytest.approx([0.35 * spacing, 5.0 * spacing])
    errors = [error(made, scaler, width) for width in choice.tried]
    assert error(made, scaler, float(choice)) < 1.2 * min(errors)


def test_bandwidths_too_small_for_the_grid_are_passed_over() -> None:
    _, scaler = data()
    choice = choose_bandwidth(scaler, [1e-5, 0.003, 0.005], folds=2, n_iter=2)
    assert np.isnan(choice.score[0])
    assert np.isfinite(choice.score[1:]).all()
    assert choice.at_edge  # the first that could be used
    assert choice.bandwidth == choice.optimum == 0.003
    assert choose_bandwidth(scaler, [0.003, 0.006], folds=2, n_iter=2, undersmoothing=0.9).bandwidth in (0.003, 0.0054)
    with pytest.raises(SettingError, match=r"none of the bandwidths.*reach"):
        choose_bandwidth(scaler, [1e-5], folds=2, n_iter=2)


@pytest.mark.parametrize(("options", "part"), [
    ({"folds": 1}, "folds is 1"), ({"block": 0}, "block 0"), ({"bandwidths": []}, "0 bandwidths"),
    ({"undersmoothing": 0.0}, "undersmoothing is 0"), ({"undersmoothing": 1.1}, "at most 1"),
    ({"bandwidths": [-1.0]}, "bandwidth is -1"), ({"block": 4000}, "fold empty"), ({"folds": 5000}, "fold empty"),
    ({"block": 4000, "folds": 2, "seed": 1}, "frame without"), ({"n_iter": 0}, "n_iter"),
])  # fmt: skip
def test_impossible(options: dict[str, object], part: str) -> None:
    _, scaler = data()
    with pytest.raises(SettingError, match=part):
        choose_bandwidth(scaler, **options)


def test_a_reflection_with_all_its_pixels_left_out_is_expected_to_be_nothing() -> None:
    """One pixel in a reflection of its own: whatever the fold, the score is a number."""
    _, scaler = data()
    layout = scaler.layout
    rows = np.arange(len(layout)) != 0
    rows[layout.streak_start[0] : layout.streak_start[1]] = False
    rows[layout.streak_start[0]] = True
    alone = layout.streak_reflection.copy()
    alone[0] = layout.n_reflections
    more = layout.merged(alone, np.vstack([layout.reflection_hkl, [[9, 9, 9]]]))
    part, _ = subset(scaler.replace(layout=more), rows | (layout.pixel == layout.pixel[0]))
    assert np.isfinite(choose_bandwidth(part, [0.003, 0.006], folds=2, n_iter=2).score).all()


def test_a_streak_with_all_its_pixels_left_out() -> None:
    _, scaler = data()
    layout = scaler.layout
    keep = np.ones(len(layout), bool)
    lonely = layout.streak_start[3], layout.streak_start[4]
    held = np.isin(layout.pixel, layout.pixel[slice(*lonely)])
    part, there = subset(scaler, keep & ~held)
    assert there.sum() == layout.n_streaks - 1
    assert not there[3]
    assert part.layout.n_reflections == layout.n_reflections
    trained, x = part.train(0.003, n_iter=2)
    assert len(x) == layout.n_streaks - 1 + layout.n_reflections
    assert trained.xtal.values.shape == scaler.xtal.values.shape
