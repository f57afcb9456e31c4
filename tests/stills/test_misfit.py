"""Spots that are not like their profiles: named, and their errors as large as they are."""

from __future__ import annotations

import h5py
import numpy as np
import pytest

from crystint.errors import CrystintWarning
from crystint.model.observations import Observations
from crystint.stills.files import StillsRun, read_stills, write_stills
from crystint.stills.integration.integrate import integrate
from crystint.stills.report import stills_report
from crystint.stills.scaling.expected import SignalVariance
from tests.stills.test_integrate import D_MIN, WIDTH, simulated, truth_of

FRAMES = 12


def split(frames, which, pixels=5, share=0.4):
    """Counts of some frames, of which a share is moved along fast: Poisson numbers stay Poisson numbers."""
    frames, rng = frames.copy(), np.random.default_rng(1)
    for number in which:
        moved = rng.binomial(frames[number], share)
        frames[number] += np.roll(moved, pixels, axis=1) - moved
    return frames


@pytest.fixture(scope="module")
def sound():
    data, frames = simulated(frames=FRAMES, seed=8)
    return data, frames, integrate(frames, data.experiment, width=WIDTH, d_min=D_MIN)


@pytest.fixture(scope="module")
def all_split(sound):
    data, frames, _ = sound
    return integrate(split(frames, range(FRAMES)), data.experiment, width=WIDTH, d_min=D_MIN)


@pytest.mark.parametrize("background", [0.05, 2.0, 30.0])
def test_spots_like_their_profiles_have_no_misfit(background):
    data, frames = simulated(frames=6, background=background)
    seen = integrate(frames, data.experiment, width=WIDTH, d_min=D_MIN)
    assert seen.warnings == ()
    np.testing.assert_allclose(seen.fit.chi2, 1.0, atol=0.15)
    assert not seen.fit.profile_error.any()
    assert not seen.observations.profile_error.any()


@pytest.mark.parametrize(("which", "pixels"), [((1, 4), 5), ((0, 2, 3, 7, 9), 4)])
def test_images_with_split_spots_are_named_and_harm_no_other(sound, which, pixels):
    data, frames, before = sound
    with pytest.warns(CrystintWarning, match=f"not like their profiles on {len(which)} images") as told:
        seen = integrate(
            split(frames, which, pixels), data.experiment, width=WIDTH, d_min=D_MIN, profile=before.profile
        )
    text = next(str(each.message) for each in told if "not like their profiles" in str(each.message))
    assert sorted(seen.fit.worst.tolist()) == list(which)
    assert all((f"{name} (" in text) == (number in which) for number, name in enumerate(data.experiment.name))
    others = ~np.isin(seen.observations.image, which)
    for name in ("intensity", "sigma", "background_variance", "profile_error"):
        np.testing.assert_array_equal(
            getattr(seen.observations, name)[others], getattr(before.observations, name)[others]
        )


def test_errors_are_as_large_as_a_wrong_profile_makes_them(sound, all_split):
    data, seen = sound[0], all_split.observations
    truth = truth_of(data, seen)
    strong = seen.usable & (truth > 500.0)
    off, extra = (seen.intensity - truth)[strong], (seen.profile_error * seen.intensity)[strong]
    assert np.sqrt(np.mean(off**2 / (seen.sigma[strong] ** 2 - extra**2))) > 2.0
    assert np.sqrt(np.mean(off**2 / seen.sigma[strong] ** 2)) == pytest.approx(1.0, abs=0.25)
    assert np.median(all_split.fit.chi2[all_split.fit.spots > 0]) > 2.0


def test_merging_takes_the_error_of_the_mean(rng):
    n = 200
    intensity, share = rng.uniform(1.0, 1e4, n), rng.uniform(0.0, 0.3, n).astype(np.float32)
    share[: n // 2] = 0.0
    columns = {
        "image": np.zeros(n), "hkl": np.ones((n, 3)), "intensity": intensity, "d": np.full(n, 3.0),
        "background_variance": np.full(n, 50.0), "profile_error": share,
        "sigma": np.sqrt(50.0 + intensity + (share * intensity) ** 2),
    }  # fmt: skip
    variance = SignalVariance.of(Observations(**columns))
    model = rng.uniform(0.0, 1e4, n)
    assert variance.gain == pytest.approx(1.0, rel=1e-3)
    rows = np.flatnonzero(rng.random(n) < 0.5)
    for a, b in ((1.0, 0.0), (1.3, 0.05)):
        expected = a * (50.0 + model + (share * model) ** 2) + (b * model) ** 2
        np.testing.assert_allclose(variance.select(rows).expected(model[rows], a, b), expected[rows], rtol=1e-3)
    del columns["background_variance"]
    expected = SignalVariance.of(Observations(**columns), 1.0).expected(intensity)
    np.testing.assert_allclose(expected, columns["sigma"] ** 2, atol=110.0)  # as far as the floor is off 50


def test_files_and_reports_hold_the_fit(all_split, sound, tmp_path):
    path = tmp_path / "run.h5"
    run = StillsRun(
        experiment=sound[0].experiment, observations=all_split.observations, profile=all_split.profile,
        fit=all_split.fit,
    )  # fmt: skip
    write_stills(path, run)
    back = read_stills(path)
    np.testing.assert_array_equal(back.fit.chi2, all_split.fit.chi2)
    np.testing.assert_array_equal(back.observations.profile_error, all_split.observations.profile_error)
    assert "chi^2 per pixel of strong spots" in stills_report(back)
    with h5py.File(path, "r+") as file:
        del file["entry/observations/profile_error"]
    assert not read_stills(path).observations.profile_error.any()
