"""Radial profiles: LOKI's on its own data, the oracle's elsewhere, and sums that add."""

from __future__ import annotations

import numpy as np
import pytest

from crystint.correlate.center.profile import RadialProfile
from crystint.errors import DTypeError, SettingError, ShapeError
from tests.conftest import shared_data
from tests.oracles import correlate_rings as oracle

SHAPE = (41, 57)


def test_profiles_of_the_reference_data():
    stored = np.load(shared_data("loki/loki_out_py3.npz"))
    folder = shared_data("loki/inputs/test_img.npy").parent
    frame, valid = np.load(folder / "test_img.npy"), np.load(folder / "test_mask.npy")
    fast, slow, _ = stored["fit_circle_slow"]
    for center, name in (((151.0, 152.0), "rp_guess"), ((slow, fast), "rp_refined")):
        found = RadialProfile(frame.shape, (center[0] + 0.5, center[1] + 0.5), ~valid, bins=216).run(frame)
        assert np.nan_to_num(found.mean) == pytest.approx(stored[name], rel=1e-6)


@pytest.mark.parametrize("center", [(20.5, 28.5), (11.31, 40.93), (-7.25, 70.0)])
def test_means_equal_the_oracle(rng, center):
    frame, mask = rng.poisson(40.0, SHAPE).astype(np.uint16), rng.random(SHAPE) < 0.2
    frame[rng.random(SHAPE) < 0.05] = 65535  # all ones: unusable
    radius = oracle.circle_radius(SHAPE, center)
    found = RadialProfile(SHAPE, center, mask).run(frame)
    expected = oracle.radial_mean(frame, radius, ~mask & (frame != 65535), len(found.mean))
    assert found.mean == pytest.approx(expected, nan_ok=True)
    assert found.radius[:2].tolist() == [0.5, 1.5]
    assert found.count.sum() == np.sum(~mask & (frame != 65535))


def test_a_pixel_on_an_edge_belongs_to_the_outer_bin():
    found = RadialProfile((1, 4), (0.5, 0.5), bins=3).run(np.array([[1.0, 10.0, 100.0, 1000.0]]))
    assert found.total.tolist() == [1.0, 10.0, 100.0]  # radius 3 lies beyond the last bin


def test_spread_and_error(rng):
    frame = rng.normal(5.0, 2.0, (201, 203))
    found = RadialProfile(frame.shape, (100, 100), step=10.0).run(frame)
    assert found.std[2:9] == pytest.approx(2.0, rel=0.1)
    assert found.sem == pytest.approx(found.std / np.sqrt(found.count))


def test_sums_add(rng):
    frames = rng.poisson(3.0, (2, *SHAPE)).astype(float)
    frames[0, 3, 4] = np.nan
    profile = RadialProfile(SHAPE, (20, 20), step=0.5)
    both = profile.run(frames[0]) + profile.run(frames[1])
    inside = np.floor(oracle.circle_radius(SHAPE, (20, 20)) / 0.5) == 30
    assert both.mean[30] == pytest.approx(np.nanmean(frames[:, inside]))
    assert both.std[30] == pytest.approx(np.nanstd(frames[:, inside], ddof=1))
    with pytest.raises(ShapeError):
        both + RadialProfile(SHAPE, (20, 20)).run(frames[0])


def test_masked_bins_are_nan_and_any_radius_will_do(rng):
    radius = np.linspace(0, 2, 50).reshape(5, 10)
    radius[4, 9] = np.nan
    frame = rng.random((5, 10))
    found = RadialProfile.of_radius(radius, radius < 0.5, step=0.5).run(frame)
    assert np.isnan(found.mean[0])
    assert np.isnan(found.std[0])
    assert found.mean[1] == pytest.approx(frame[(radius >= 0.5) & (radius < 1.0)].mean())
    empty = RadialProfile((5, 10), (2, 2), np.ones((5, 10), bool)).run(frame)
    assert np.isnan(empty.mean).all()


def test_bad_input_is_named(rng):
    profile = RadialProfile(SHAPE, (20, 20))
    with pytest.raises(ShapeError, match="transposed"):
        profile.run(np.ones(SHAPE[::-1]))
    with pytest.raises(DTypeError):
        profile.run(np.ones(SHAPE, complex))
    for center, settings in (((np.nan, 1), {}), ((1, 1), {"step": 0.0}), ((1, 1), {"bins": 0})):
        with pytest.raises(SettingError):
            RadialProfile(SHAPE, center, **settings)
    with pytest.raises(SettingError):
        RadialProfile.of_radius(np.full((3, 3), np.nan), step=1.0)
