"""Centroids: residuals of known displacements, refinement of known errors, and a verdict that does not flatter."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from crystint.errors import CrystintWarning, SettingError, ShapeError
from crystint.prediction.offsets import rays
from crystint.prediction.partiality import RockingWidth
from crystint.stills.scaling.centroids import centroid_residuals
from crystint.stills.scaling.gain import Gain
from crystint.stills.scaling.geometry_moves import excitations, moved, reach_of, slopes_of_offsets
from crystint.stills.scaling.geometry_refinement import refine_geometry
from crystint.stills.simulation.simulate import simulate_stills

IMAGES = 25


class Spots:
    """Centroids of strong spots with the error of counts and a floor."""

    def __init__(self, floor=0.3, orientation_error=0.0, farther=0.0, seed=2):
        data = simulate_stills(IMAGES, d_min=2.5, shape=(2000, 1900), orientation_error=orientation_error, seed=seed)
        truth = data.listed
        strong = truth.signal > 200.0
        rng = np.random.default_rng([seed, 5])
        self.sigma = 2.5 / np.sqrt(truth.signal[strong])
        scatter = np.hypot(self.sigma, floor)
        self.image, self.hkl = truth.image[strong], truth.hkl[strong]
        self.slow = truth.slow[strong] + scatter * rng.normal(size=strong.sum())
        self.fast = truth.fast[strong] + scatter * rng.normal(size=strong.sum())
        self.experiment = data.experiment
        if farther:  # what the experiment says is wrong by this
            detector = data.experiment.detectors[0]
            panel = detector.panels[0]
            origin = (panel.origin[0], panel.origin[1], panel.origin[2] * (1.0 - farther))
            detector = replace(detector, panels=(replace(panel, origin=origin),))
            self.experiment = replace(data.experiment, detectors=(detector,))
        self.error = Rotation.from_matrix(data.setting @ np.linalg.inv(data.experiment.setting)).as_rotvec()

    @property
    def columns(self):
        return self.image, self.hkl, self.slow, self.fast, self.sigma, self.sigma


@pytest.fixture(scope="module")
def right():
    return Spots()


def test_exact_places_have_no_residual():
    data = simulate_stills(3, d_min=3.0, shape=(1000, 900), distance=0.08, thickness=1e-3, attenuation=3000.0)
    t = data.listed
    sigma = np.full(len(t), 0.1)
    found = centroid_residuals(data.experiment, t.image, t.hkl, t.slow, t.fast, sigma, sigma)
    assert np.abs(found.radial).max() < 1e-9
    assert np.abs(found.tangential).max() < 1e-9


def test_a_displacement_is_split_into_its_parts():
    """One px outwards along the line from the beam is 1 px radial; across it, 1 px tangential."""
    data = simulate_stills(2, d_min=3.0, shape=(1000, 900), distance=0.08)
    t = data.listed
    across = np.stack([t.slow - 500.0, t.fast - 450.0], axis=1)
    across /= np.linalg.norm(across, axis=1)[:, None]
    sigma = np.full(len(t), 0.1)

    def residuals(slow, fast):
        return centroid_residuals(data.experiment, t.image, t.hkl, t.slow + slow, t.fast + fast, sigma, sigma)

    out = residuals(*across.T)
    assert np.allclose(out.radial / out.radial_pixel, 1.0, atol=0.01)
    assert np.abs(out.tangential / out.tangential_pixel).max() < 0.01
    far = np.hypot(t.slow - 500.0, t.fast - 450.0) > 60.0  # nearer, a straight line leaves the ring
    assert np.allclose(out.radial_sigma / out.radial_pixel, 0.1, atol=0.001)
    side = residuals(across[:, 1], -across[:, 0])
    assert np.allclose(np.abs(side.tangential / side.tangential_pixel), 1.0, atol=0.01)
    assert np.abs(side.radial / side.radial_pixel)[far].max() < 0.02
    # in 1/angstrom: at small angles a px is its size over wavelength and distance
    near = t.d > 12.0
    assert np.allclose(side.tangential_pixel[near], 172e-6 / 0.08, rtol=0.02)
    assert np.allclose(out.radial_pixel[near], 172e-6 / 0.08, rtol=0.02)


def test_errors_along_slow_and_fast_are_turned():
    data = simulate_stills(4, d_min=2.2, shape=(1000, 900), distance=0.08)
    t = data.listed
    up = (np.abs(t.fast - 450.0) < 10.0) & (np.abs(t.slow - 500.0) > 150.0)
    assert up.sum() > 5
    one, two = np.full(len(t), 0.1), np.full(len(t), 0.3)
    found = centroid_residuals(data.experiment, t.image, t.hkl, t.slow, t.fast, one, two)
    assert np.allclose((found.radial_sigma / found.radial_pixel)[up], 0.1, atol=0.02)
    assert np.allclose((found.tangential_sigma / found.tangential_pixel)[up], 0.3, atol=0.01)


def test_images_are_judged(right):
    found = centroid_residuals(right.experiment, *right.columns)
    table = found.per_image(IMAGES + 1)
    assert found.floor() == pytest.approx((0.3, 0.3), abs=0.03)
    assert table.spots[IMAGES] == 0
    assert np.isnan(table.radial[IMAGES])
    pulls = table.radial[:IMAGES] / table.radial_sigma[:IMAGES]
    assert 0.6 < pulls.std() < 1.4
    assert np.allclose(table.radial_rms[:IMAGES], 0.32, atol=0.06)
    assert table.off() == {}
    turned = Spots(floor=0.1, orientation_error=3e-3)
    off = centroid_residuals(turned.experiment, *turned.columns).per_image(IMAGES).off()
    assert off
    assert all("tangential" in text for text in off.values())
    farther = Spots(floor=0.1, farther=3e-3)
    off = centroid_residuals(farther.experiment, *farther.columns).per_image(IMAGES).off()
    assert len(off) == IMAGES
    assert all("radial +" in text for text in off.values())


def test_missing_centroids_are_left_out(right):
    slow = right.slow.copy()
    slow[::3] = np.nan
    found = centroid_residuals(right.experiment, right.image, right.hkl, slow, right.fast, right.sigma, right.sigma)
    assert found.used.sum() == np.isfinite(slow).sum()
    table = found.per_image(IMAGES)
    assert np.isfinite(table.radial).all()
    with pytest.raises(ShapeError, match="not one table"):
        centroid_residuals(right.experiment, right.image, right.hkl, slow[1:], right.fast, right.sigma, right.sigma)


def test_derivatives_are_differences(right):
    few = slice(0, 300, 7)
    image, hkl, slow, fast = right.image[few].astype(np.intp), right.hkl[few], right.slow[few], right.fast[few]
    sigma = np.full(len(image), 0.1)

    def values(step):
        total = np.zeros((IMAGES, 4))
        total[:] = step
        now = moved(right.experiment, total, np.ones(IMAGES, bool), True)
        found = centroid_residuals(now, image, hkl, slow, fast, sigma, sigma)
        return found.radial, found.tangential, excitations(now, image, hkl)

    ray = rays(right.experiment, image, slow, fast)
    slopes = slopes_of_offsets(right.experiment, image, hkl, ray, reach_of(right.experiment, image, slow, fast))
    for number in range(4):
        step = np.zeros(4)
        step[number] = 1e-6
        for up, down, slope in zip(values(step), values(-step), slopes):
            assert np.allclose((up - down) / 2e-6, slope[:, number], atol=2e-3)


@pytest.mark.parametrize("width", [None, RockingWidth(1e-3)])
def test_wrong_orientations_are_found(width):
    spots = Spots(floor=0.05, orientation_error=2e-3)
    found = refine_geometry(spots.experiment, *spots.columns, width=width, prior_rotation=5e-3)
    left = spots.error - found.rotation
    assert np.sqrt(np.mean(left**2)) < 0.15 * np.sqrt(np.mean(spots.error**2))
    pulls = left / np.sqrt(found.covariance[:, [0, 1, 2], [0, 1, 2]])
    assert pulls.std() < 1.5
    assert found.helps
    assert found.verdict.startswith("it helps")
    assert not found.failed
    assert (found.distance == 0.0).all()
    assert len(found.experiment.detectors) == 1


def test_excitations_help_where_positions_do_not():
    """The rotations across the beam move spots hardly; that about the beam moves them along the ring."""
    spots = Spots(floor=0.3, orientation_error=1e-3)
    plain = refine_geometry(spots.experiment, *spots.columns)
    more = refine_geometry(spots.experiment, *spots.columns, width=RockingWidth(1e-3))
    by_plain, by_more = (np.sqrt(np.mean((spots.error - r.rotation) ** 2, axis=0)) for r in (plain, more))
    assert (by_more[:2] < 0.7 * by_plain[:2]).all()
    assert by_more[2] == pytest.approx(by_plain[2], rel=0.2)
    assert by_plain[2] < 0.3 * by_plain[:2].min()


def test_wrong_distances_are_found():
    spots = Spots(floor=0.05, farther=1e-3)
    found = refine_geometry(spots.experiment, *spots.columns, prior_distance=1e-2, width=RockingWidth(1e-3))
    assert np.allclose(found.distance, 1e-3, atol=3e-4)
    assert found.distance.mean() == pytest.approx(1e-3, abs=1e-4)
    assert found.helps
    assert len(np.unique(found.experiment.detector)) == IMAGES
    held = refine_geometry(spots.experiment, *spots.columns, prior_distance=1e-6)
    assert np.abs(held.distance).max() < 1e-4


def test_where_nothing_is_wrong_it_says_that_it_does_not_help(right):
    found = refine_geometry(right.experiment, *right.columns)
    assert not found.helps
    assert "does not help" in found.verdict
    assert found.after[0] <= found.before[0] + 0.005  # the spots of the fit itself would have flattered it
    # 12 spots an image: the fit likes what it sees, and spots left out do not
    few = np.zeros(len(right.image), bool)
    for number in range(IMAGES):
        few[np.flatnonzero(right.image == number)[::20][:12]] = True
    thin = refine_geometry(right.experiment, *(column[few] for column in right.columns), prior_rotation=0.1)
    assert thin.after[1] > 1.05 * thin.before[1]
    assert not thin.helps
    # a tight prior keeps the orientations as they are
    held = refine_geometry(right.experiment, *right.columns, prior_rotation=1e-7)
    assert np.abs(held.rotation).max() < 1e-7


def test_images_with_few_spots_stay_as_they_are(right):
    keep = (right.image != 3) | (np.arange(len(right.image)) % 60 == 0)
    keep &= right.image != 5
    columns = [column[keep] for column in right.columns]
    found = refine_geometry(right.experiment, *columns, min_spots=30)
    assert sorted(found.failed) == [3, 5]
    assert found.failed[3].startswith("image 3: ")
    assert "no centroids" in found.failed[5]
    for number in (3, 5):
        assert np.isnan(found.rotation[number]).all()
        assert np.array_equal(found.experiment.setting[number], right.experiment.setting[number])
    assert not np.array_equal(found.experiment.setting[4], right.experiment.setting[4])


def test_a_prior_is_weighed_against_the_spots():
    """A prior as wide as the error from the spots alone takes one half of the way back."""
    spots = Spots(floor=0.3, orientation_error=2e-3)
    free = refine_geometry(spots.experiment, *spots.columns, prior_rotation=1.0, floor=0.3)
    wide = float(np.sqrt(np.median(free.covariance[:, 0, 0])))
    held = refine_geometry(spots.experiment, *spots.columns, prior_rotation=wide, floor=0.3)
    across = free.rotation[:, :2], held.rotation[:, :2]
    share = (across[0] * across[1]).sum() / (across[0] ** 2).sum()
    assert 0.35 < share < 0.65


def test_spots_that_come_closer_for_the_wrong_reason_do_not_convince():
    """A wrong distance is taken up by rotations across the beam, and the spots leave the sphere."""
    spots = Spots(floor=0.3, orientation_error=5e-4, farther=2e-3)
    found = refine_geometry(spots.experiment, *spots.columns)
    assert found.excitation[1] > 1.005 * found.excitation[0]
    assert not found.helps
    good, none, bad = Gain(0.3, 0.1, 500), Gain(0.1, 0.1, 500), Gain(-0.3, 0.1, 500)
    assert replace(found, gain=(good, none)).helps
    assert replace(found, gain=(none, good)).helps
    assert not replace(found, gain=(good, bad)).helps
    assert not replace(found, gain=(bad, good)).helps
    assert not replace(found, gain=(none, none)).helps


@pytest.mark.parametrize("floor", [0.05, 0.3, 0.6])
@pytest.mark.parametrize("width", [None, RockingWidth(1e-3)])
def test_what_is_right_is_said_to_help_whatever_the_spread_of_centroids(floor, width):
    """0.05 degrees become 0.01: with a floor of 0.6 px distances of spots are 1 % less, and tell nothing of that."""
    spots = Spots(floor=floor, orientation_error=0.87e-3)
    found = refine_geometry(spots.experiment, *spots.columns, width=width)
    before, after = (np.sqrt(np.mean(turn**2)) for turn in (spots.error, spots.error - found.rotation))
    assert after < 0.9 * before
    assert found.helps, found.verdict
    assert found.turned == pytest.approx(np.sqrt(np.mean((found.rotation**2).sum(axis=1))))


def test_a_spot_of_the_direct_beam_is_named_and_left_out(right):
    columns = list(right.columns)
    wrong = np.arange(len(right.image)) == 7
    columns[1] = np.where(wrong[:, None], 0, right.hkl)
    with pytest.warns(CrystintWarning, match=r"1 spot of hkl 0 0 0 \(on .*\) left out"):
        found = refine_geometry(right.experiment, *columns)
    without = refine_geometry(right.experiment, *(column[~wrong] for column in right.columns))
    np.testing.assert_array_equal(found.rotation, without.rotation)
    assert found.verdict == without.verdict
    assert not centroid_residuals(right.experiment, *columns).used[7]


def test_what_moves_during_the_exposure_turns_too(right):
    swing = replace(right.experiment, sweep=1e-3 * right.experiment.setting)
    turned = moved(swing, np.tile([0.1, -0.2, 0.05, 0.0], (IMAGES, 1)), np.ones(IMAGES, bool), False)
    assert np.allclose(turned.sweep, 1e-3 * turned.setting)
    assert not np.allclose(turned.setting, right.experiment.setting, atol=1e-4)


@pytest.mark.parametrize(
    "broken", [{"prior_rotation": 0.0}, {"floor": -1.0}, {"prior_distance": 0.0}, {"min_spots": 1}]
)
def test_impossible_settings_are_said(right, broken):
    with pytest.raises(SettingError, match=next(iter(broken))):
        refine_geometry(right.experiment, *right.columns, **broken)
