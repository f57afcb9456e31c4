"""Half sets: nothing common to both, and figures of merit by their formulas."""

from __future__ import annotations

import numpy as np
import pytest

from crystint.cbc.compat_cbclib import IntensityScaler
from crystint.cbc.scaling.half_sets import HalfSets, half_sets
from crystint.cbc.simulation.simulate import CBCSimulation, simulate_streaks
from crystint.errors import SettingError


def data(intensity: float = 200.0, frames: int = 4) -> tuple[CBCSimulation, IntensityScaler]:
    made = simulate_streaks(8000, frames=frames, reflections=12, seed=4, intensity=intensity, map_scale=1.0)
    return made, IntensityScaler.of(made.table, grid=(16, 16)).merge_hkl("mmm")


@pytest.mark.parametrize("by", ["streaks", "frames"])
def test_halves_share_no_count(by: str, monkeypatch: pytest.MonkeyPatch) -> None:
    _, scaler = data()
    seen = []
    original = IntensityScaler.train

    def train(self: IntensityScaler, *given: object, **options: object) -> object:
        seen.append(self)
        return original(self, *given, **options)

    monkeypatch.setattr(IntensityScaler, "train", train)
    found = half_sets(scaler, 0.003, by=by, seed=2, n_iter=3)
    assert found.by == by
    assert len(seen) == 2
    pixels = [{tuple(row) for row in np.stack([s.table.frame, s.table.y, s.table.x], 1).tolist()} for s in seen]
    assert not pixels[0] & pixels[1]
    everything = {tuple(row) for row in np.stack([scaler.table.frame, scaler.table.y, scaler.table.x], 1).tolist()}
    lost = everything - pixels[0] - pixels[1]
    streaks = [set(s.table.streak.tolist()) for s in seen]
    assert not streaks[0] & streaks[1]
    if by == "frames":
        assert not lost
        assert [len(s.table.frames) for s in seen] == [2, 2]
        assert len(seen[0].xtal.frames) == 2
    else:
        assert 0 < len(lost) < 0.1 * len(everything)
        of = scaler.layout.streak_reflection
        number = scaler.table.streak[scaler.layout.streak_start[:-1]]
        counts = [np.bincount(of[np.isin(number, list(half))], minlength=12) for half in streaks]
        assert np.abs(counts[0] - counts[1]).max() <= 1
        assert counts[0].sum() != counts[1].sum() or (counts[0] != counts[1]).any()


def test_strong_data_agree_better_than_weak_ones() -> None:
    cc = [half_sets(data(intensity)[1], 0.003, n_iter=10).cc_half for intensity in (1.0, 10.0, 300.0)]
    assert cc[0] < cc[1] < cc[2]
    assert cc[2] > 0.98


def test_each_half_is_close_to_the_truth() -> None:
    made, scaler = data(2000.0)
    found = half_sets(scaler, 0.003, by="frames", n_iter=20)
    for half in found.q2:
        ratio = half / made.truth.q2
        assert np.std(ratio[found.both] / ratio[found.both].mean()) < 0.05


def test_figures_of_merit() -> None:
    first, second = np.array([1.0, 4.0, 9.0, 16.0, np.nan]), np.array([3.0, 7.0, 20.0, 30.0, 5.0])
    found = HalfSets(np.stack([first, second]), "streaks")
    a, b = first[:4], second[:4]
    cc = ((a - a.mean()) * (b - b.mean())).sum() / np.sqrt(((a - a.mean()) ** 2).sum() * ((b - b.mean()) ** 2).sum())
    assert found.both.tolist() == [True] * 4 + [False]
    assert found.cc_half == pytest.approx(cc)
    assert found.cc_star == pytest.approx(np.sqrt(2 * cc / (1 + cc)))
    k = 30.0 / 60.0
    assert found.r_split == pytest.approx(np.sqrt(2) * np.abs(a - k * b).sum() / (a + k * b).sum())
    few = HalfSets(found.q2[:, :2], "frames")
    assert np.isnan(few.cc_half)
    assert np.isnan(few.cc_star)
    assert np.isnan(HalfSets(found.q2[:, 4:], "frames").r_split)
    assert np.isnan(HalfSets(np.array([[1.0, 2.0, 3.0], [3.0, 2.0, 1.0]]), "frames").cc_star)


def test_a_reflection_in_one_half_only_is_nan_in_the_other() -> None:
    _, scaler = data()
    layout = scaler.layout
    alone = layout.streak_reflection.copy()
    alone[0] = layout.n_reflections
    more = scaler.replace(layout=layout.merged(alone, np.vstack([layout.reflection_hkl, [[9, 9, 9]]])))
    found = half_sets(more, 0.003, n_iter=2)
    assert np.isfinite(found.q2[:, -1]).sum() == 1
    assert not found.both[-1]


def test_impossible() -> None:
    _, scaler = data()
    with pytest.raises(SettingError, match="give the bandwidth"):
        half_sets(scaler)
    with pytest.raises(SettingError, match="expected 'streaks' or 'frames'"):
        half_sets(scaler, 0.003, by="pixels")
    with pytest.raises(SettingError, match="merge first"):
        half_sets(scaler.unmerge_hkl(), 0.003)
    with pytest.raises(SettingError, match="one frame"):
        half_sets(data(frames=1)[1], 0.003, by="frames")
    trained, _ = scaler.train(0.003, n_iter=2)
    assert np.isfinite(half_sets(trained, n_iter=2).cc_half)
