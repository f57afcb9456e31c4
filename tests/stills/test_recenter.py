"""Profiles follow the spots of an image, hold what they hold, and say so where they do not."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from crystint.errors import SettingError
from crystint.prediction.partiality import RockingWidth
from crystint.stills.files import StillsRun
from crystint.stills.integration.amplitude import Amplitudes, combined
from crystint.stills.integration.integrate import integrate
from crystint.stills.integration.place_offsets import coordinates, smooth_offsets
from crystint.stills.integration.profile import ProfileWidths
from crystint.stills.report import stills_report
from crystint.stills.simulation.simulate import simulate_stills

pytestmark = pytest.mark.filterwarnings("ignore::crystint.errors.CrystintWarning")  # not what is tested

RUN = {"width": RockingWidth(1e-3), "d_min": 3.21}
SET = {
    "d_min": 3.21,
    "shape": (400, 420),
    "distance": 0.06,
    "domain": 1e-3,
    "spot": 2.2e-3,
    "background": 0.5,
    "seed": 6,
}


def moved(experiment, shift):
    """The same images, with panels that are said to be `shift` m aside (slow, fast), and farther by one in 300."""
    detectors = []
    for detector in experiment.detectors:
        panels = []
        for panel in detector.panels:
            fast, slow = (np.array(v) / np.linalg.norm(v) for v in (panel.fast_vector, panel.slow_vector))
            origin = np.array(panel.origin) + shift[0] * slow + shift[1] * fast
            panels.append(replace(panel, origin=tuple((origin * [1.0, 1.0, 1.0 + 1.0 / 300.0]).tolist())))
        detectors.append(replace(detector, panels=tuple(panels)))
    return replace(experiment, detectors=tuple(detectors))


@pytest.fixture(scope="module")
def data():
    return simulate_stills(8, **SET)


@pytest.fixture(scope="module")
def frames(data):
    return data.images()


def ratio(data, found):
    """Counts found over counts that are there, of all that is strong, and the worst of three shells."""
    seen, truth = found.observations, data.listed
    key = [
        ((t.image.astype(np.int64) * 1000 + t.hkl[:, 0] + 300) * 1000 + t.hkl[:, 1] + 300) * 1000 + t.hkl[:, 2] + 300
        for t in (seen, truth)
    ]
    order = np.argsort(key[1])
    place = order[np.minimum(np.searchsorted(key[1][order], key[0]), len(order) - 1)]
    good = seen.usable & (key[1][place] == key[0]) & (truth.signal[place] > 30.0)
    shells = np.array_split(np.argsort(seen.d[good]), 3)
    value, known = seen.intensity[good], truth.signal[place][good]
    return value.sum() / known.sum(), min(value[rows].sum() / known[rows].sum() for rows in shells)


def test_right_places_stay_and_their_profiles_are_gaussian(data, frames):
    found = integrate(frames, data.experiment, **RUN)
    plain = integrate(frames, data.experiment, recenter=False, **RUN)
    assert found.warnings == ()
    assert not found.profile.form.any()
    np.testing.assert_allclose(found.profile.radial, plain.profile.radial, rtol=5e-3)
    assert ratio(data, found)[0] == pytest.approx(1.0, abs=0.005)
    before, after = found.profile.offset.T
    assert np.all(after < 1.02 * before)
    assert np.nanmax(np.abs(found.profile.fitted - 1.0)) < 0.02


def test_wrong_places_are_followed(data, frames):
    wrong = moved(data.experiment, (200e-6, -260e-6))
    plain = integrate(frames, wrong, recenter=False, method="profile", **RUN)
    fixed = integrate(frames, wrong, method="profile", **RUN)
    assert "spots are seen off their profiles by" in plain.warnings[-1]
    assert "refined" in plain.warnings[-1]
    assert fixed.warnings == ()
    # without it widths grow and cores, though wider, lose counts
    assert plain.profile.radial.mean() > 1.15 * fixed.profile.radial.mean()
    assert fixed.profile.radial.mean() == pytest.approx(2.2e-3, rel=0.03)
    assert ratio(data, fixed)[1] == pytest.approx(1.0, abs=0.015)
    before, after = fixed.profile.offset.T
    assert np.nanmin(before) > 1.2
    assert np.nanmax(after) < 0.6
    # the places in the table are the predicted ones
    place = [(t.observations.image, t.observations.slow) for t in (plain, fixed)]
    np.testing.assert_array_equal(place[0][1], place[1][1])


def test_profiles_that_do_not_fit_are_named(data, frames):
    wrong, given = moved(data.experiment, (300e-6, -300e-6)), ProfileWidths.constant(2.2e-3)
    found = integrate(frames, wrong, profile=given, method="profile", recenter=False, **RUN)
    assert any("fitted profiles are off the sums" in text and "--method sum" in text for text in found.warnings)
    assert np.nanmin(found.profile.fitted) < 0.95
    sums = integrate(frames, wrong, profile=given, method="sum", recenter=False, **RUN)
    assert not any("fitted" in text for text in sums.warnings)


def test_the_report_has_the_offsets(data, frames):
    found = integrate(frames[:3], data.experiment.select(np.arange(3)), **RUN)
    text = stills_report(StillsRun(profile=found.profile))
    assert "spots off px  off profiles  profile/sum" in text
    assert f"{found.profile.offset[0, 0]:.2f}" in text
    assert "spots off" not in stills_report(StillsRun(profile=ProfileWidths.constant(1e-3)))


def test_the_form_of_spots_with_wings_is_learnt():
    widths = ProfileWidths(np.array([0.0, 0.05, 0.1]), np.full(2, 1e-3), np.full(2, 1e-3), np.full(2, 100))
    edges = np.arange(0.0, 2.6, 0.5)
    gauss = np.diff(-np.exp(-(edges**2)))
    wings = 0.8 * gauss + 0.2 * np.diff(-np.exp(-((edges / 1.8) ** 2)))
    rng = np.random.default_rng(0)
    d = np.repeat([5.0, 3.5], 400)
    expected = np.tile(gauss / gauss.sum(), (800, 1))
    seen = np.where(d[:, None] < 4.0, wings / wings.sum(), gauss / gauss.sum()) + rng.normal(0.0, 0.01, (800, 5))
    found = widths.with_form(d, seen, expected)
    assert not found.form[0].any()
    np.testing.assert_allclose(np.exp(found.form[1]) * expected[0], wings / wings.sum(), atol=3e-3)
    assert widths.form_at(d) is None
    np.testing.assert_allclose(found.form_at(np.array([3.0]))[0], found.form[1])
    few = widths.with_form(d[:10], seen[-10:], expected[:10])
    assert not few.form.any()
    with pytest.raises(SettingError, match=r"form of the profile widths is \(2, 3\), expected \(2, 5\)"):
        replace(widths, form=np.ones((2, 3)))


def rays_of(n, seed=0):
    rng = np.random.default_rng(seed)
    angle, turn = rng.uniform(0.05, 0.5, n), rng.uniform(0.0, 2.0 * np.pi, n)
    ray = np.stack([np.sin(angle) * np.cos(turn), np.sin(angle) * np.sin(turn), np.cos(angle)], axis=1)
    return coordinates(ray, np.array([0.0, 0.0, 1.0])), rng


def parts(at, vector):
    return np.einsum("nij,nj->ni", at.turn, vector)


def test_smooth_offsets_are_found_and_noise_is_not():
    at, rng = rays_of(600)
    rows = np.arange(0, 600, 2)
    true = np.stack([1e-3 + 2e-3 * at.a, -5e-4 + 3e-3 * at.b], axis=1)
    noise = rng.normal(0.0, 5e-4, (300, 2))
    noise[::20] += 5e-3  # spots of something else
    error = np.full(300, 1e-4)
    found, terms = smooth_offsets(at, rows, parts(at, true)[rows] + noise, error, np.ones(300))
    assert terms == 3
    assert np.abs(found - parts(at, true)).max() < 2e-4
    none = [smooth_offsets(at, rows, rng.normal(0.0, 5e-4, (300, 2)), error, np.ones(300))[1] for _ in range(40)]
    assert np.count_nonzero(none) <= 3
    few = [smooth_offsets(at, rows[:24], rng.normal(0.0, 5e-4, (24, 2)), error[:24], np.ones(24))[1] for _ in range(80)]
    assert np.count_nonzero(few) <= 8
    assert smooth_offsets(at, rows[:5], noise[:5], error[:5], np.ones(5))[1] == 0
    flat, terms = smooth_offsets(at, rows[:30], parts(at, np.full((600, 2), 1e-3))[rows[:30]] + noise[1:31] * 0.1,
                                 error[:30], np.ones(30))  # fmt: skip
    assert terms >= 1
    assert np.abs(flat - parts(at, np.full((600, 2), 1e-3))).max() < 3e-4


def test_radial_and_tangential_are_those_of_excitation_of(data):
    """A shift along one direction of the detector is one vector, whatever the azimuth."""
    from crystint.prediction.predict import predict
    from crystint.stills.integration.shoeboxes import pixel_axes

    images = data.experiment
    seen = predict(images, 3.21, RockingWidth(1e-3), images=np.array([0]))
    axes = pixel_axes(images, seen.image, seen.hkl, seen.panel, seen.slow, seen.fast)
    at = coordinates(seen.ray, images.incident[0])
    low = np.hypot(at.a, at.b) < 0.15
    vector = np.einsum("nji,nj->ni", at.turn, axes[:, :, 0])[low]
    assert np.linalg.norm(vector.mean(axis=0)) > 0.97 * np.linalg.norm(vector, axis=1).mean()


def test_strong_reflections_are_sums_and_faint_ones_fits():
    fit = Amplitudes(np.array([10.0, 1e4, 5.0, np.nan]), np.array([50.0, 1.1e4, 40.0, np.nan]), np.full(4, 40.0))
    total = Amplitudes(
        np.array([30.0, 1.2e4, np.nan, np.nan]), np.array([110.0, 1.3e4, np.nan, np.nan]), np.full(4, 100.0)
    )
    found = combined(fit, total)
    share = 100.0 / (100.0 + fit.intensity[:2])
    np.testing.assert_allclose(found.intensity[:2], share * fit.intensity[:2] + (1 - share) * total.intensity[:2])
    np.testing.assert_allclose(
        found.variance[:2], fit.variance[:2] + (1 - share) ** 2 * (total.variance - fit.variance)[:2]
    )
    assert (found.intensity[2], found.variance[2]) == (5.0, 40.0)
    assert np.isnan(found.intensity[3])
    known = combined(fit, total, np.array([1e9, -5.0, 1.0, 1.0]))
    np.testing.assert_allclose(known.intensity[:2], [30.0, 1e4], rtol=1e-6)
