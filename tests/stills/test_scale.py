"""Scales of images: as good as the Cramer-Rao bound, unbiased, robust; images that cannot be scaled are named."""

from __future__ import annotations

import numpy as np
import pytest

from crystint.errors import SettingError, ShapeError
from crystint.model.experiment import Experiment
from crystint.model.observations import Flag, Observations
from crystint.stills.scaling.acceleration import Anderson
from crystint.stills.scaling.expected import SignalVariance, profile_variance
from crystint.stills.scaling.newton_steps import shortened
from crystint.stills.scaling.robust import huber_loss, huber_weight, median_spread
from crystint.stills.scaling.scale import scale
from crystint.stills.scaling.table import ScalingTable, components
from crystint.stills.simulation.simulate import simulate_stills
from tests.oracles import stills_scaling as oracle

GROUP = "P 2 2 2"


class Known:
    """A reference made of one value per row."""

    def __init__(self, values):
        self.values = values

    def match(self, hkl, space_group):
        return self.values


def made(**settings):
    columns, truth = oracle.stills(**settings)
    return Observations(**columns), truth


@pytest.fixture(scope="module")
def hundred():
    return made(images=100, per_image=400)


def centred(values):
    return values - np.nanmean(values)


def test_scales_reach_the_cramer_rao_bound(hundred):
    observations, truth = hundred
    found = scale(observations, 100, space_group=GROUP, reference=Known(truth["true"]))
    best_g, best_b = oracle.bound(observations.image, observations.d, truth["signal"], truth["variance"])
    error_g, error_b = found.ln_g - truth["ln_g"], found.b - truth["b"]
    assert found.converged
    assert not found.failed
    assert error_g.std() <= 1.2 * np.sqrt(np.mean(best_g**2))
    assert error_b.std() <= 1.2 * np.sqrt(np.mean(best_b**2))
    assert abs(error_g.mean()) < 3.5 * error_g.std() / 10.0
    assert abs(error_b.mean()) < 3.5 * error_b.std() / 10.0
    claimed = np.sqrt(found.covariance[:, 0, 0])
    assert 0.8 < (error_g / claimed).std() < 1.2
    assert 0.8 < (error_b / np.sqrt(found.covariance[:, 1, 1])).std() < 1.2
    assert np.median(found.chi2) == pytest.approx(1.0, abs=0.1)
    assert (found.used == 400).all()


def test_without_a_reference_the_images_agree_with_one_another():
    observations, truth = made(images=120, per_image=500, d_min=2.6)
    found = scale(observations, 120, space_group=GROUP)
    best_g, best_b = oracle.bound(observations.image, observations.d, truth["signal"], truth["variance"])
    assert found.converged
    assert np.mean(found.ln_g) == pytest.approx(0.0, abs=1e-12)
    assert np.mean(found.b) == pytest.approx(0.0, abs=1e-12)
    assert centred(found.ln_g - truth["ln_g"]).std() <= 1.2 * np.sqrt(np.mean(best_g**2))
    assert centred(found.b - truth["b"]).std() <= 1.2 * np.sqrt(np.mean(best_b**2))
    # the intensities lie on one scale, that of the gauge
    intensity, _ = found.apply(observations)
    strong = truth["true"] > np.quantile(truth["true"], 0.9)
    gauge = np.exp(truth["ln_g"].mean() - truth["b"].mean() / (4 * observations.d**2))
    ratio = intensity[strong] / (truth["true"] * gauge)[strong]
    assert np.median(ratio) == pytest.approx(1.0, abs=0.02)


@pytest.mark.parametrize("limit", [3.0, np.inf])
def test_one_image_is_what_scipy_finds(limit, hundred):
    observations, truth = hundred
    rng = np.random.default_rng(3)
    one = observations.select(observations.image < 3)
    full = truth["true"][: len(one)]
    wild = rng.random(len(one)) < 0.03
    one = one.replace(intensity=np.where(wild, one.intensity + 3000.0, one.intensity))
    found = scale(
        one, 3, space_group=GROUP, reference=Known(full), limit=limit, fit_errors=False, gain=1.0, prior_ln_g=0.4,
        prior_b=3.0,
    )  # fmt: skip
    expected = []
    factor = one.partiality * one.correction
    centre = np.array([found.ln_g.mean(), found.b.mean()])
    for image in range(3):
        mine = one.image == image
        expected.append(
            oracle.one_image(
                one.intensity[mine], (full * factor)[mine], one.d[mine], 40.0, limit, 0.4, 3.0, centre
            )
        )  # fmt: skip
    sigma = np.sqrt(found.covariance[:, [0, 1], [0, 1]])
    assert np.abs((np.stack([found.ln_g, found.b], axis=1) - expected) / sigma).max() < 0.05


def test_two_per_cent_of_outliers_hardly_matter(hundred):
    observations, truth = hundred
    rng = np.random.default_rng(5)
    wild = rng.random(len(observations)) < 0.02
    spoilt = observations.replace(
        intensity=np.where(wild, 50.0 * observations.intensity + 5000.0, observations.intensity)
    )
    reference = Known(truth["true"])
    best_g, _ = oracle.bound(observations.image, observations.d, truth["signal"], truth["variance"])
    good = scale(spoilt, 100, space_group=GROUP, reference=reference).ln_g - truth["ln_g"]
    bad = scale(spoilt, 100, space_group=GROUP, reference=reference, limit=np.inf).ln_g - truth["ln_g"]
    assert np.sqrt(np.mean(good**2)) < 1.2 * np.sqrt(np.mean(best_g**2))
    assert np.sqrt(np.nanmean(bad**2)) > 20.0 * np.sqrt(np.mean(good**2))


def test_weights_from_expected_variances_do_not_bias_weak_data(hundred):
    """The same data, once with the background variance known and once with sigmas of observed counts alone."""
    columns, truth = oracle.stills(images=60, per_image=400, i0=150.0, background=4.0, sd_b=0.0, sd_ln_g=0.2)
    known = Observations(**columns)
    plain = known.replace(background_variance=np.full(len(known), np.nan))
    for observations in (known, plain):
        found = scale(observations, 60, space_group=GROUP, reference=Known(truth["true"]), refine_b=False)
        error = found.ln_g - truth["ln_g"]
        assert abs(error.mean()) < 4.0 * error.std() / np.sqrt(60)
    # what weighting by the observed counts would have done, by hand
    weight = 1.0 / known.sigma**2
    full = truth["signal"] / np.exp(truth["ln_g"][known.image])
    naive = np.log(
        np.bincount(known.image, weight * full * known.intensity) / np.bincount(known.image, weight * full**2)
    )
    assert (naive - truth["ln_g"]).mean() < -0.02


def test_a_brighter_reference_makes_smaller_scales(hundred):
    observations, truth = hundred
    one = scale(observations, 100, space_group=GROUP, reference=Known(truth["true"]))
    ten = scale(observations, 100, space_group=GROUP, reference=Known(10.0 * truth["true"]))
    assert np.allclose(one.ln_g - ten.ln_g, np.log(10.0), atol=1e-4)
    assert np.allclose(one.b, ten.b, atol=1e-3)


def test_the_order_of_rows_does_not_matter(hundred):
    observations, truth = hundred
    order = np.random.default_rng(0).permutation(len(observations))
    one = scale(observations, 100, space_group=GROUP, reference=Known(truth["true"]))
    two = scale(observations.select(order), 100, space_group=GROUP, reference=Known(truth["true"][order]))
    assert np.allclose(one.ln_g, two.ln_g, atol=1e-9)
    free = scale(observations, 100, space_group=GROUP)
    mixed = scale(observations.select(order), 100, space_group=GROUP)
    assert np.allclose(free.ln_g, mixed.ln_g, atol=1e-9)


def test_equivalents_scale_images_against_one_another(hundred):
    """Indices changed to equivalents: with the symmetry the result is the same, without it little is shared."""
    observations, _ = hundred
    sign = np.random.default_rng(1).choice([-1, 1], (len(observations), 3))
    turned = observations.replace(hkl=observations.hkl * sign)
    one = scale(observations, 100, space_group=GROUP)
    two = scale(turned, 100, space_group=GROUP)
    assert np.array_equal(one.ln_g, two.ln_g)
    other = scale(turned, 100, space_group="P 1")
    assert other.used.sum() < two.used.sum()


def test_priors_hold_what_the_data_do_not_say():
    columns, truth = oracle.stills(images=50, per_image=12, i0=400.0)
    observations, reference = Observations(**columns), Known(truth["true"])
    free = scale(observations, 50, space_group=GROUP, reference=reference, prior_b=1000.0)
    held = scale(observations, 50, space_group=GROUP, reference=reference, prior_b=0.5)
    tied = scale(observations, 50, space_group=GROUP, reference=reference, prior_ln_g=0.01, refine_b=False)
    assert np.nanstd(held.b) < 0.3 * np.nanstd(free.b)
    assert np.nanstd(tied.ln_g) < 0.05
    assert (tied.b == 0.0).all()
    # N-independent: with 400 reflections an image the same prior does nothing
    columns, truth = oracle.stills(images=50, per_image=400)
    observations, reference = Observations(**columns), Known(truth["true"])
    wide = scale(observations, 50, space_group=GROUP, reference=reference, prior_ln_g=np.inf, prior_b=np.inf)
    usual = scale(observations, 50, space_group=GROUP, reference=reference)
    assert np.abs(wide.ln_g - usual.ln_g).max() < 2e-4


def test_the_centre_of_strong_priors_is_found(hundred):
    """It must not creep: all images lie at ln G = 3 and B = 12, and the priors are far stronger than one image."""
    columns, truth = oracle.stills(images=60, per_image=30, i0=100.0, sd_ln_g=0.0, sd_b=0.0)
    d = columns["d"]
    observations = Observations(**columns)
    full = truth["true"] * np.exp(-3.0 + 12.0 / (4 * d**2))
    found = scale(observations, 60, space_group=GROUP, reference=Known(full), prior_ln_g=0.02, prior_b=0.5)
    assert found.converged
    assert np.mean(found.ln_g) == pytest.approx(3.0, abs=0.15)
    assert np.mean(found.b) == pytest.approx(12.0, abs=3.0)


def test_bad_images_are_named_and_the_rest_does_not_notice(hundred):
    observations, truth = hundred
    image, n = observations.image, len(observations)
    intensity, sigma, hkl = observations.intensity.copy(), observations.sigma.copy(), observations.hkl.copy()
    flags, reference = observations.flags.copy(), truth["true"].copy()
    intensity[image == 3] = np.nan
    sigma[image == 4] = -1.0
    flags[(image == 5) & (np.arange(n) % 400 > 2)] = Flag.OVERLAPPED | Flag.MASKED
    reference[image == 6] = np.nan
    intensity[image == 7] = 40.0 * np.random.default_rng(0).normal(size=400) - 10.0
    s = 1.0 / (4 * observations.d**2)
    intensity[image == 8] *= np.exp(150.0 * (s - 0.02))[image == 8]
    spoilt = observations.replace(intensity=intensity, sigma=sigma, hkl=hkl, flags=flags)
    names = tuple(f"run7//{i}" for i in range(101))
    experiment = _experiment(names)
    found = scale(spoilt, experiment, space_group=GROUP, reference=Known(reference), max_b=60.0)
    assert sorted(found.failed) == [3, 4, 5, 6, 7, 8, 100]
    for number in found.failed:
        assert found.failed[number].startswith(f"run7//{number}: ")
        assert np.isnan(found.ln_g[number])
        assert np.isnan(found.covariance[number]).all()
    assert "no usable observations" in found.failed[3]
    assert "3 usable observations, 5 needed" in found.failed[5]
    assert "reference" in found.failed[6]
    assert "no usable signal" in found.failed[7]
    assert "temperature factor" in found.failed[8]
    clean = scale(observations, 100, space_group=GROUP, reference=Known(truth["true"]))
    rest = np.setdiff1d(np.arange(100), list(found.failed))
    sigma_g = np.sqrt(clean.covariance[rest, 0, 0])
    assert np.abs((found.ln_g[rest] - clean.ln_g[rest]) / sigma_g).max() < 0.2
    scaled, error = found.apply(spoilt)
    assert np.isnan(scaled[image == 8]).all()
    assert np.isnan(error[image == 8]).all()
    assert np.isfinite(scaled[image == 10]).all()


def test_images_with_singular_orientations_are_named(hundred):
    """CrystFEL writes what it found; b* = a* makes spacings that look like some."""
    observations, truth = hundred
    experiment = _experiment(tuple(f"run//{i}" for i in range(100)))
    experiment.setting[3, :, 1] = experiment.setting[3, :, 0]
    experiment.setting[4] = np.nan  # as images of MTZ files, that have no orientations
    found = scale(observations, experiment, space_group=GROUP, reference=Known(truth["true"]))
    assert list(found.failed) == [3]
    assert found.failed[3] == "run//3: its orientation matrix is singular or not finite"
    assert np.isnan(found.ln_g[3])


def _experiment(names):
    base = simulate_stills(1, d_min=6.0, shape=(300, 320), distance=0.05).experiment
    n = len(names)
    return Experiment(
        setting=np.repeat(base.setting, n, axis=0),
        incident=np.repeat(base.incident, n, axis=0),
        detectors=base.detectors,
        cell=base.cell,
        space_group=base.space_group,
        name=names,
    )


def test_images_that_share_nothing_are_said():
    columns, _ = oracle.stills(images=40, per_image=300, d_min=2.8)
    observations = Observations(**columns)
    alone = observations.image >= 34
    apart = observations.replace(hkl=np.where(alone[:, None], observations.hkl + 1000, observations.hkl))
    found = scale(apart, 40, space_group=GROUP)
    assert sorted(found.failed) == list(range(34, 40))
    assert "no common reflections" in found.failed[36]
    assert "a set of 6 beside one of 34" in found.failed[36]
    assert np.isfinite(found.ln_g[:34]).all()
    assert np.isnan(found.ln_g[34:]).all()
    assert found.ln_g[:34].mean() == pytest.approx(0.0, abs=1e-12)
    without = scale(apart.select(~alone), 34, space_group=GROUP)
    assert np.allclose(found.ln_g[:34], without.ln_g, atol=1e-9)


def test_images_that_are_dropped_do_not_touch_the_means():
    """A sixth of them has an absurd B: without a reference the others come out as if these had never been there."""
    columns, _ = oracle.stills(images=60, per_image=300, d_min=2.8)
    observations = Observations(**columns)
    wild = observations.image >= 50
    steep = np.exp(300.0 * (0.25 / observations.d**2 - 0.015))
    spoilt = observations.replace(intensity=observations.intensity * np.where(wild, steep, 1.0))
    found = scale(spoilt, 60, space_group=GROUP, fit_errors=False, gain=1.0, max_b=60.0)
    assert sorted(found.failed) == list(range(50, 60))
    assert all("temperature factor" in text for text in found.failed.values())
    clean = scale(observations.select(~wild), 50, space_group=GROUP, fit_errors=False, gain=1.0)
    assert np.allclose(found.ln_g[:50], clean.ln_g, atol=2e-3)
    assert np.allclose(found.b[:50], clean.b, atol=0.1)
    # nor do they stay in the error model
    found = scale(spoilt, 60, space_group=GROUP, gain=1.0, max_b=60.0)
    assert sorted(found.failed) == list(range(50, 60))
    assert found.error_model.a == pytest.approx(1.0, abs=0.1)
    assert found.error_model.b < 0.03


@pytest.mark.parametrize("reference", [False, True])
@pytest.mark.parametrize(("wild", "b"), [(5, 200.0), (5, 110.0), (5, -130.0), (14, 150.0)])
def test_absurd_temperature_factors_pull_no_limit(wild, b, reference):
    """Limits are about the median: about a mean that a few such images pull they would all lie inside."""
    columns, truth = oracle.stills(images=40, per_image=300, d_min=2.6, i0=20000.0)
    observations = Observations(**columns)
    steep = np.where(observations.image < wild, np.exp(-b * (0.25 / observations.d**2 - (0.037 if b < 0 else 0))), 1)
    value, sigma = observations.intensity * steep, np.hypot(observations.sigma * steep, 3.0)
    value = value + 3.0 * np.random.default_rng(1).normal(size=len(value))
    spoilt = observations.replace(intensity=value, sigma=sigma, background_variance=np.full(len(value), 49.0))
    rest = spoilt.image >= wild
    target, of_rest = (Known(truth["true"]), Known(truth["true"][rest])) if reference else (None, None)
    found = scale(spoilt, 40, space_group=GROUP, reference=target)
    assert sorted(found.failed) == list(range(wild))
    assert all("from the median of the images" in text for text in found.failed.values())
    clean = scale(spoilt.select(rest), 40, space_group=GROUP, reference=of_rest)
    np.testing.assert_allclose(found.b[wild:], clean.b[wild:], atol=0.05)
    np.testing.assert_allclose(found.ln_g[wild:], clean.ln_g[wild:], atol=2e-3)


def test_chains_of_images_converge():
    """Each image shares reflections with its neighbours only: without acceleration it would take thousands of steps."""
    hkl, d, true = oracle.crystal(d_min=2.6)
    images, per_image, shift = 60, 200, 100
    rng = np.random.default_rng(0)
    shuffled = rng.permutation(len(d))[: images * shift + per_image]
    number = np.concatenate([shuffled[i * shift : i * shift + per_image] for i in range(images)])
    image = np.repeat(np.arange(images), per_image)
    ln_g = np.linspace(-1.0, 1.0, images)
    signal = np.exp(ln_g[image]) * (true[number] + 500.0)
    observations = Observations(
        image=image, hkl=hkl[number], intensity=signal, sigma=np.sqrt(40.0 + signal), d=d[number],
        background_variance=np.full(len(signal), 40.0),
    )  # fmt: skip
    found = scale(observations, images, space_group=GROUP, fit_errors=False, prior_ln_g=np.inf, prior_b=np.inf)
    assert found.converged
    assert found.iterations < 120
    sigma = np.sqrt(found.covariance[:, 0, 0])
    assert np.abs((found.ln_g - ln_g) / sigma).max() < 1.0  # from end to end the data say far less


def accelerated(iterations):
    """The solution of a linear iteration with slow modes, the point after so many iterations, and what found it."""
    rng = np.random.default_rng(0)
    turn = np.linalg.qr(rng.normal(size=(8, 8)))[0]
    slow = turn @ np.diag([0.999, 0.99, 0.9, 0.5, 0.3, 0.2, -0.4, 0.0]) @ turn.T
    solution = rng.normal(size=8)
    x, anderson = np.zeros(8), Anderson(8)
    for _ in range(iterations):
        x = anderson.next(x, solution + slow @ (x - solution), np.ones(8))
    return solution, x, anderson


@pytest.mark.parametrize("iterations", [12, 40])
def test_acceleration_solves_a_linear_iteration(iterations):
    solution, x, anderson = accelerated(iterations)
    assert np.allclose(x, solution, atol=1e-6)
    assert anderson.active
    anderson.forget()
    assert not anderson.active
    assert np.array_equal(anderson.next(np.zeros(2), np.ones(2), np.ones(2)), np.ones(2))


def test_rounding_at_the_solution_is_neither_followed_nor_a_reason_to_forget():
    solution, _, anderson = accelerated(9)
    assert anderson.active
    rng = np.random.default_rng(1)
    assert np.array_equal(anderson.next(solution, solution, np.ones(8)), solution)  # no step at all,
    for _ in range(30):  # and then steps of a unit in the last place: infinitely longer, and of any direction
        g = np.nextafter(solution, rng.choice([-np.inf, np.inf], 8))
        assert np.array_equal(anderson.next(solution, g, np.ones(8)), g)
        assert anderson.active


def test_a_step_away_from_the_solution_is_a_reason_to_forget():
    solution, _, anderson = accelerated(9)
    anderson.next(solution, solution, np.ones(8))
    away = solution + 1.0
    assert np.array_equal(anderson.next(solution, away, np.ones(8)), away)
    assert not anderson.active


def test_the_spread_about_means_of_few_is_not_taken_for_small_errors():
    columns, _ = oracle.stills(images=40, per_image=400, d_min=2.6)
    found = scale(Observations(**columns), 40, space_group=GROUP)
    assert found.error_model.a == pytest.approx(1.0, abs=0.15)


def test_without_convergence_the_images_that_move_have_no_scale(hundred):
    observations, truth = hundred
    found = scale(observations, 100, space_group=GROUP, reference=Known(truth["true"]), max_iterations=2)
    assert not found.converged
    assert found.failed
    assert "still moving after 2 iterations" in next(iter(found.failed.values()))
    assert found.iterations == 2
    assert found.note


@pytest.mark.parametrize(
    ("broken", "error", "text"),
    [
        ({"prior_ln_g": 0.0}, SettingError, "prior_ln_g is 0"),
        ({"prior_b": -1.0}, SettingError, "prior_b is -1.0"),
        ({"limit": np.nan}, SettingError, "limit is nan"),
        ({"min_partiality": 1.5}, SettingError, "min_partiality 1.5"),
        ({"max_iterations": 0}, SettingError, "max_iterations is 0"),
        ({"gain": -1.0}, SettingError, "gain is -1.0"),
        ({"wavelength_nodes": 10}, SettingError, "wavelength"),
    ],
)
def test_impossible_settings_are_said(hundred, broken, error, text):
    observations, truth = hundred
    with pytest.raises(error, match=text):
        scale(observations, 100, space_group=GROUP, reference=Known(truth["true"]), **broken)


def test_rows_of_images_that_are_not_there_are_said(hundred):
    observations, _ = hundred
    with pytest.raises(ShapeError, match="images 0 to 99, but there are 50"):
        scale(observations, 50, space_group=GROUP)
    found = scale(observations, 100, space_group=GROUP)
    with pytest.raises(ShapeError, match="images up to 100"):
        found.apply(observations.replace(image=observations.image + 1))


@pytest.mark.parametrize("images", [0, 3])
def test_nothing_to_scale_is_an_empty_result(images):
    found = scale(Observations.join([]), images, space_group=GROUP)
    assert len(found) == images
    assert len(found.failed) == images
    assert not found.converged
    assert found.note


def test_errors_in_proportion_to_the_intensity_are_learnt():
    """30 % off, as with partialities of stills: the strongest must not decide alone."""
    columns, truth = oracle.stills(images=60, per_image=300, error=0.3)
    observations, reference = Observations(**columns), Known(truth["true"])
    found = scale(observations, 60, space_group=GROUP, reference=reference)
    plain = scale(observations, 60, space_group=GROUP, reference=reference, fit_errors=False)
    assert found.error_model.b == pytest.approx(0.3, abs=0.03)
    best_g, _ = oracle.bound(observations.image, observations.d, truth["signal"], truth["variance"])
    assert (found.ln_g - truth["ln_g"]).std() <= 1.2 * np.sqrt(np.mean(best_g**2))
    assert (plain.ln_g - truth["ln_g"]).std() > 1.2 * (found.ln_g - truth["ln_g"]).std()
    assert plain.error_model.b == 0.0


def test_simulated_stills_with_their_reference():
    """The whole forward model, its variances those of a profile fit."""
    data = simulate_stills(12, d_min=2.4, shape=(1400, 1300), seed=4)
    observations = data.observations()
    found = scale(observations, data.experiment, space_group=data.experiment.space_group, reference=data.reference())
    error = found.ln_g - data.ln_g
    assert not found.failed
    assert 0.5 < (error / np.sqrt(found.covariance[:, 0, 0])).std() < 1.5
    assert found.gain == pytest.approx(1.1, abs=0.12)


def test_sigma_of_applied_scales(hundred):
    observations, truth = hundred
    found = scale(observations, 100, space_group=GROUP, reference=Known(truth["true"]))
    intensity, sigma = found.apply(observations)
    factor = found.factor(observations)
    assert np.allclose(intensity * factor, observations.intensity)
    assert np.allclose(sigma * factor, observations.sigma)
    mean = truth["true"].copy()
    mean[:10] = np.nan
    _, expected = found.apply(observations, mean)
    assert np.allclose((expected * factor)[10:] ** 2, 40.0 + found.gain * (factor * mean)[10:])
    assert np.allclose(expected[:10], sigma[:10])
    assert found.gain == pytest.approx(1.0, abs=1e-6)


def test_gain_and_background_are_told_apart():
    rng = np.random.default_rng(0)
    signal = rng.exponential(500.0, 4000)
    variance = 30.0 + 4.0 * signal
    intensity = signal + np.sqrt(variance) * rng.normal(size=4000)
    columns = {"image": np.zeros(4000), "hkl": np.ones((4000, 3)), "intensity": intensity, "d": np.full(4000, 2.0)}
    sigma = np.sqrt(30.0 + 4.0 * np.maximum(intensity, 0.0))
    plain = SignalVariance.of(Observations(sigma=sigma, **columns))
    assert plain.gain == pytest.approx(4.0, rel=0.05)
    assert np.median(plain.without_signal) == pytest.approx(30.0, abs=10.0)
    known = SignalVariance.of(Observations(sigma=sigma, background_variance=np.full(4000, 30.0), **columns))
    assert known.gain == pytest.approx(4.0, rel=1e-6)
    assert np.allclose(known.expected(signal, 2.0, 0.1), 2.0 * variance + (0.1 * signal) ** 2)
    assert SignalVariance.of(Observations(sigma=sigma, **columns), 1.5).gain == 1.5
    weak = SignalVariance.of(Observations(sigma=np.full(4000, 1e4), **columns))
    assert weak.gain == 1.0
    # variances that are the counts: what is left is not nothing, but of the size of the least of them
    columns["intensity"] = np.maximum(intensity, 20.0)
    bare = SignalVariance.of(Observations(sigma=np.sqrt(columns["intensity"]), **columns))
    assert bare.gain == pytest.approx(1.0)
    assert (bare.without_signal >= 20.0).all()


def test_variance_of_a_profile_fit_is_the_integral_it_stands_for():
    radius = np.linspace(0.0, 8.0, 200_001)
    ring = 2 * np.pi * radius * np.gradient(radius)
    profile = np.exp(-(radius**2)) / np.pi
    for signal in (0.0, 4e-5, 1e-3, 0.1, 1.0, 30.0, 1e4):
        level = 1.0 / (2 * np.pi)  # so that the variance without signal is 1
        exact = 1.0 / (ring * profile**2 / (level + signal * profile)).sum()
        assert profile_variance(np.array([signal]), np.ones(1))[0] == pytest.approx(exact, rel=1e-5)


def test_steps_are_shortened_as_a_whole():
    steps = np.array([[0.5, 4.0, 1.0, np.nan, np.inf], [10.0, 8.0, -60.0, 1.0, 0.0]])
    assert np.allclose(shortened(steps), [[0.5, 1.0, 1.0 / 3.0, 0.0, 0.0], [10.0, 2.0, -20.0, 0.0, 0.0]])


def test_huber():
    residual = np.array([-10.0, -2.0, 0.0, 1.0, 3.0, 30.0, np.nan])
    assert np.allclose(huber_weight(residual, 3.0), [0.3, 1, 1, 1, 1, 0.1, 0])
    assert np.allclose(huber_loss(residual[:-1], 3.0), [51.0, 4.0, 0.0, 1.0, 9.0, 171.0])
    assert np.allclose(huber_loss(residual[:-1], np.inf), residual[:-1] ** 2)
    assert np.allclose(huber_weight(residual, np.inf), [1, 1, 1, 1, 1, 1, 0])
    middle, spread = median_spread(np.append(np.random.default_rng(0).normal(2.0, 0.5, 20_000), [np.nan, 1e9]))
    assert middle == pytest.approx(2.0, abs=0.02)
    assert spread == pytest.approx(0.5, abs=0.02)
    assert np.isnan(median_spread(np.array([np.nan]))).all()


def test_connected_sets_are_numbered_by_size():
    image = np.array([0, 1, 1, 2, 3, 4, 4, 5])
    group = np.array([0, 0, 1, 1, 2, 3, 2, 5])
    assert components(image, group, 6, 6).tolist() == [0, 0, 0, 1, 1, 2]


def test_a_table_is_summed_in_blocks_of_whole_images(monkeypatch):
    monkeypatch.setattr("crystint.stills.scaling.table._BLOCK", 7)
    rng = np.random.default_rng(0)
    image = np.sort(rng.choice([2, 3, 7, 8, 11], 60))
    image[:20] = 2
    n = len(image)
    observations = Observations(
        image=np.sort(image), hkl=np.ones((n, 3)), intensity=rng.normal(size=n), sigma=np.ones(n), d=np.full(n, 2.0)
    )
    table = ScalingTable.of(observations, np.ones(n, bool), SignalVariance.of(observations))
    found = np.zeros(len(table.images))
    for rows, images in table.blocks():
        found[images] = table.sums(observations.intensity[rows], rows, images)
    expected = [observations.intensity[observations.image == i].sum() for i in table.images]
    assert np.allclose(found, expected)
