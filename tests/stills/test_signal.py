"""Images without a signal are named and left out; weak ones stay; none of them spoils what is merged."""

from __future__ import annotations

import numpy as np
import pytest

from crystint.model.observations import Observations
from crystint.stills.files import read_stills, write_stills
from crystint.stills.merging.merge import merge
from crystint.stills.merging.outliers import without_weight
from crystint.stills.scaling.error_model import fit_error_model
from crystint.stills.scaling.scale import scale
from crystint.stills.scaling.signal import SIGNIFICANT, levels, significance
from crystint.stills.simulation.simulate import Crystal, simulate_stills
from crystint.stills.step_functions import merge_files, scale_files
from tests.oracles import stills_scaling as oracle

pytestmark = pytest.mark.filterwarnings("ignore::crystint.errors.CrystintWarning")  # not what is tested

GROUP, CELL = "P 2 2 2", (60.0, 70.0, 80.0, 90.0, 90.0, 90.0)
NAMES = 40


class Known:
    def __init__(self, values):
        self.values = values

    def match(self, hkl, space_group):
        return self.values


def stills(**settings):
    columns, truth = oracle.stills(**{"images": NAMES, "per_image": 300, "d_min": 2.8} | settings)
    return Observations(**columns), truth


def blank(observations, images, seed=0, offset=0.0, level=1.0):
    """The same rows, those of some images with noise alone."""
    noise = level * np.sqrt(40.0) * np.random.default_rng(seed).normal(offset, 1.0, len(observations))
    rows = np.isin(observations.image, images)
    return observations.replace(
        intensity=np.where(rows, noise, observations.intensity),
        sigma=np.where(rows, np.sqrt(40.0 + np.maximum(noise, 0.0)), observations.sigma),
    )


@pytest.mark.parametrize("known", [True, False], ids=["to a reference", "to one another"])
@pytest.mark.parametrize("offset", [-0.3, 0.0, 0.05])
def test_blank_images_are_named_and_the_rest_does_not_notice(known, offset):
    """Also where the background was taken too high, or a little too low."""
    observations, truth = stills()
    reference = Known(truth["true"]) if known else None
    spoilt = blank(observations, [2, 17, 30], offset=offset)
    found = scale(spoilt, NAMES, space_group=GROUP, reference=reference)
    assert sorted(found.failed) == [2, 17, 30]
    assert found.failed[17].startswith("image 17: no usable signal: the weighted sum of its 300 intensities is ")
    assert np.isnan(found.ln_g[[2, 17, 30]]).all()
    if not known:
        assert found.ln_g[np.isfinite(found.ln_g)].mean() == pytest.approx(0.0, abs=1e-12)
    rest = ~np.isin(observations.image, [2, 17, 30])
    target = Known(truth["true"][rest]) if known else None
    clean = scale(observations.select(rest), NAMES, space_group=GROUP, reference=target)
    assert np.allclose(found.ln_g, clean.ln_g, atol=2e-4, equal_nan=True)
    assert np.allclose(found.b, clean.b, atol=0.02, equal_nan=True)


def test_frames_of_zeros_are_blank():
    observations, _ = stills()
    rows = observations.image == 5
    dead = observations.replace(intensity=np.where(rows, 0.0, observations.intensity))
    assert sorted(scale(dead, NAMES, space_group=GROUP).failed) == [5]


def test_a_few_hot_pixels_are_no_signal():
    observations, _ = stills()
    spoilt = blank(observations, [5])
    intensity = spoilt.intensity.copy()
    intensity[np.flatnonzero(observations.image == 5)[::100]] = 1e6
    assert sorted(scale(spoilt.replace(intensity=intensity), NAMES, space_group=GROUP).failed) == [5]


@pytest.mark.parametrize("known", [True, False], ids=["to a reference", "to one another"])
def test_weak_images_stay(known):
    """A mean I / sigma of 0.3 over 500 reflections, of images 60 times fainter than the others."""
    observations, truth = stills(per_image=500, sd_ln_g=0.0, sd_b=0.0)
    weak = observations.image >= 34
    full = truth["signal"] / truth["signal"][weak].mean() * 0.3 * np.sqrt(40.0)
    faint = full + np.sqrt(40.0 + full) * np.random.default_rng(1).normal(size=len(full))
    table = observations.replace(
        intensity=np.where(weak, faint, observations.intensity),
        sigma=np.where(weak, np.sqrt(40.0 + np.maximum(faint, 0.0)), observations.sigma),
    )
    found = scale(table, NAMES, space_group=GROUP, reference=Known(truth["true"]) if known else None)
    assert not found.failed
    ratio = np.log(0.3 * np.sqrt(40.0) / truth["signal"][weak].mean())
    error = found.ln_g[34:] - found.ln_g[:34].mean() - ratio
    assert np.abs(error).max() < 0.5


def test_how_often_nothing_looks_like_something():
    """z of blank images is normal, with unit variance; that of others grows as the root of their reflections."""
    rng = np.random.default_rng(0)
    images, each = 2000, 100
    image = np.repeat(np.arange(images), each)
    expected, sigma = rng.exponential(size=len(image)), rng.uniform(1.0, 3.0, len(image))
    z = significance(image, images, sigma * rng.normal(size=len(image)), sigma, expected / sigma)
    assert z.mean() == pytest.approx(0.0, abs=4.0 / np.sqrt(images))
    assert z.std() == pytest.approx(1.0, abs=0.06)
    assert (z < SIGNIFICANT).all()
    z = significance(image, images, expected + sigma * rng.normal(size=len(image)), sigma, expected / sigma)
    assert z.mean() == pytest.approx(np.sqrt(each * np.mean((expected / sigma) ** 2)), rel=0.1)
    # a value as large as you like is one of 5 sigma
    wild = np.full(len(image), 0.0)
    wild[::each] = 1e9
    most = (
        5.0 * (expected / sigma)[::each] / np.sqrt(np.add.reduceat((expected / sigma) ** 2, np.arange(images) * each))
    )
    assert np.allclose(significance(image, images, wild, sigma, expected / sigma), most)
    assert (significance(image, images, wild, sigma, np.zeros(len(image))) == 0.0).all()


def test_levels_are_means_of_shells():
    s2 = np.array([0.001, 0.0012, 0.0199, 0.02, 0.01])
    assert np.allclose(
        levels(s2, np.array([2.0, 4.0, 1.0, 3.0, -5.0]), np.array([1.0, 2.0, 1.0, 1.0, 1.0])), [2, 2, 2, 2, 0]
    )


@pytest.mark.parametrize("known", [True, False], ids=["to a reference", "to one another"])
def test_what_passes_at_the_start_is_found_in_the_fit(known, monkeypatch):
    """There the means of the other images are compared with, at the temperature factor that fits best."""
    monkeypatch.setattr("crystint.stills.scaling.scale._with_signal", lambda use, *rest: use)
    observations, truth = stills()
    reference = Known(truth["true"]) if known else None
    found = scale(blank(observations, [2, 17, 30]), NAMES, space_group=GROUP, reference=reference)
    assert sorted(found.failed) == [2, 17, 30]
    clean = scale(observations, NAMES, space_group=GROUP, reference=reference)
    others = np.setdiff1d(np.arange(NAMES), [2, 17, 30])
    shift = found.ln_g - clean.ln_g
    assert np.abs(shift[others] - (0.0 if known else shift[others].mean())).max() < 0.01


def test_a_prior_that_knows_the_scale_needs_no_signal():
    observations, truth = stills()
    spoilt = blank(observations, [2])
    found = scale(spoilt, NAMES, space_group=GROUP, reference=Known(truth["true"]), prior_ln_g=0.1, refine_b=False)
    assert 2 not in found.failed


def test_merging_goes_on_as_if_blank_images_were_not_there():
    observations, _ = stills()
    spoilt = blank(observations, [2, 17])
    clean = observations.select(~np.isin(observations.image, [2, 17]))
    merged = [
        merge(table, scale(table, NAMES, space_group=GROUP), space_group=GROUP, cell=CELL, shells=1)
        for table in (spoilt, clean)
    ]
    one, two = (each.statistics.overall for each in merged)
    assert one.cc_half_observations == pytest.approx(two.cc_half_observations, abs=2e-3)
    assert one.r_meas == pytest.approx(two.r_meas, rel=0.01)
    assert one.i_over_sigma == pytest.approx(two.i_over_sigma, rel=0.01)
    assert sorted(merged[0].failed) == [2, 17]


def test_intensities_of_enormous_sigma_do_not_make_the_statistics():
    """An image of noise that was given a scale all the same: ln G = -8."""
    observations, _ = stills()
    spoilt = blank(observations, [2])
    scales = scale(observations, NAMES, space_group=GROUP)
    clean = merge(observations, scales, space_group=GROUP, cell=CELL, shells=1)
    scales.ln_g[2] = -8.0
    found = merge(spoilt, scales, space_group=GROUP, cell=CELL, shells=1)
    one, two = found.statistics.overall, clean.statistics.overall
    assert one.r_meas < 1.3 * two.r_meas
    assert one.cc_half_observations > two.cc_half_observations - 0.01
    assert found.error_model.a == pytest.approx(clean.error_model.a, rel=0.1)
    assert any("less than a thousandth of its equivalents" in note for note in found.notes)
    # and all of it when nothing shall be left out
    everything = merge(spoilt, scales, space_group=GROUP, cell=CELL, shells=1, outliers=None)
    assert everything.statistics.overall.r_meas > 3.0 * two.r_meas


def test_the_error_model_is_that_of_most_observations():
    """2 % of them have sigmas that are 300 times larger, and right."""
    rng = np.random.default_rng(0)
    n, unique = 20_000, 4000
    group = rng.integers(0, unique, n)
    true = 1000.0 * rng.exponential(size=unique)[group]
    sigma = np.sqrt(50.0 + true) * np.where(rng.random(n) < 0.02, 300.0, 1.0)
    value = true + np.sqrt(1.5 * sigma**2 + (0.08 * true) ** 2) * rng.normal(size=n)
    found = fit_error_model(group, value, sigma)
    assert found.a == pytest.approx(1.5, rel=0.1)
    assert found.b == pytest.approx(0.08, rel=0.1)


def test_an_observation_without_weight_settles_no_quarrel():
    """Of two that disagree nobody can say which is wrong, nor can a third that says nothing."""
    table = Observations(
        image=[0, 1, 2], hkl=[[1, 2, 3]] * 3, intensity=[1000.0, 3000.0, 2000.0], sigma=[30.0, 60.0, 9e4], d=[9.0] * 3,
        background_variance=[1.0, 1.2, 8.1e9],
    )  # fmt: skip
    found = merge(table, space_group=GROUP, cell=CELL, error_model=None)
    assert found.rejected.tolist() == [2]
    assert found.multiplicity.tolist() == [2]


def test_weight_is_judged_within_a_reflection():
    group = np.array([0, 0, 0, 1, 1, 2])
    variance = np.array([1.0, 1.0, 4000.0, 1e9, 1.1e9, 1e12])
    assert without_weight(group, variance).tolist() == [False, False, True, False, False, False]


@pytest.fixture
def one_blank(tmp_path):
    """Observations of 12 simulated images, one of which has noise alone."""
    data = simulate_stills(
        12, crystal=Crystal(cell=(79, 79, 38, 90, 90, 90), space_group="P 43 21 2"), d_min=4.0, shape=(300, 320),
        distance=0.05, seed=3,
    )  # fmt: skip
    table = data.observations()
    rows = table.image == 2
    noise = np.sqrt(table.background_variance) * np.random.default_rng(0).normal(size=len(table))
    intensity = np.where(rows, noise, table.intensity)
    sigma = np.where(rows, np.sqrt(table.background_variance + np.maximum(noise, 0.0)), table.sigma)
    write_stills(
        tmp_path / "i.h5", experiment=data.experiment, observations=table.replace(intensity=intensity, sigma=sigma)
    )
    return tmp_path


def test_commands_name_the_image_and_go_on(one_blank):
    name = read_stills(one_blank / "i.h5").experiment.name[2]
    scaled = scale_files([one_blank / "i.h5"], [one_blank / "s.h5"], fit_width=True)
    assert "of 11 images" in scaled.text
    assert list(scaled.notes) == [2]
    assert scaled.notes[2].startswith(f"{name}: no usable signal")
    merged = merge_files(one_blank / "s.h5", [one_blank / "m.h5"])
    assert merged.notes == scaled.notes  # and not that nothing of it was merged
    assert merged.result.merged.statistics.overall.cc_half > 0.98
    report = one_blank / "m.txt"
    merge_files(one_blank / "s.h5", [report])
    assert f"{name}: no usable signal" in report.read_text(encoding="utf-8")
