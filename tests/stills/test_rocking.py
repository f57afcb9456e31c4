"""Rocking width of a data set: found to a few per mille, with its error, for stills and averaged exposures."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.special import erf

from crystint.errors import SettingError
from crystint.model.observations import Observations
from crystint.prediction.partiality import RockingWidth
from crystint.stills.scaling.rocking import excitation_sweep, fit_rocking
from crystint.stills.simulation.simulate import simulate_stills
from tests.oracles import stills_scaling as oracle
from tests.stills.test_scale import Known, _experiment

GROUP = "P 2 2 2"


def made(domain=1e-3, mosaicity=0.0, sweep=False, error=0.0, seed=0, images=50, per_image=300, **crystal):
    """The table of the oracle with partialities of a known width; the change of excitation over the exposure too."""
    columns, truth = oracle.stills(images=images, per_image=per_image, seed=seed, **crystal)
    rng = np.random.default_rng([seed, 2])
    d, n = columns["d"], len(columns["d"])
    width = np.sqrt(domain**2 + (mosaicity / d) ** 2)
    e = 2.0 * width * rng.uniform(-1, 1, n)
    change = rng.uniform(0.1, 2.0, n) * 1e-3 if sweep else np.zeros(n)
    if sweep:
        p = np.sqrt(np.pi) * width / (2 * change) * (erf((e + change / 2) / width) - erf((e - change / 2) / width))
    else:
        p = np.exp(-((e / width) ** 2))
    signal = truth["signal"] / columns["partiality"] * p
    variance = 40.0 + signal + (error * signal) ** 2
    columns |= {"intensity": signal + np.sqrt(variance) * rng.normal(size=n), "partiality": np.full(n, np.nan)}
    columns["sigma"] = np.sqrt(40.0 + np.maximum(columns["intensity"], 0.0))
    return Observations(excitation=e, **columns), Known(truth["true"]), change


@pytest.fixture(scope="module")
def experiment():
    return _experiment(tuple(f"image {i}" for i in range(50)))


@pytest.mark.parametrize("start", [4e-4, 1e-3, 2.5e-3])
@pytest.mark.parametrize(("domain", "mosaicity"), [(1e-3, 0.0), (1e-3, 3e-3), (5e-4, 3e-3)])
def test_the_width_is_found_from_afar(experiment, domain, mosaicity, start):
    observations, reference, _ = made(domain, mosaicity)
    found = fit_rocking(observations, experiment, reference=reference, space_group=GROUP, start=RockingWidth(start))
    assert found.converged
    assert found.width.domain == pytest.approx(domain, rel=0.02)
    assert abs(found.width.domain - domain) < 4.5 * found.sigma_domain
    if mosaicity:
        assert found.width.mosaicity == pytest.approx(mosaicity, rel=0.02)
        assert abs(found.width.mosaicity - mosaicity) < 4.5 * found.sigma_mosaicity
        assert found.mosaicity_significance > 10.0
    else:
        assert found.mosaicity_significance < 3.0
        assert found.width.mosaicity < 5e-4
    assert found.chi2 == pytest.approx(1.0, abs=0.06)
    assert found.images == 50


def test_the_claimed_error_is_the_spread(experiment):
    pulls = []
    for seed in range(12):
        observations, reference, _ = made(1e-3, 2e-3, seed=seed, images=15, per_image=150)
        found = fit_rocking(observations, experiment, reference=reference, space_group=GROUP, start=RockingWidth(1e-3))
        square = np.array([found.width.domain**2, found.width.mosaicity**2])
        pulls.append((square - [1e-6, 4e-6]) / np.sqrt(np.diag(found.covariance)))
    assert 0.5 < np.std(pulls) < 1.6
    assert abs(np.mean(pulls)) < 1.0


@pytest.mark.parametrize("sweep", [False, True])
def test_the_error_has_the_scales_in_it(experiment, sweep, monkeypatch):
    """The covariance is the width's block of the inverse of the whole normal matrix, scales of all images included."""
    observations, reference, change = made(1e-3, 2e-3, sweep=sweep, images=6)
    moving = replace(experiment, sweep=np.zeros((50, 3, 3))) if sweep else experiment
    monkeypatch.setattr("crystint.stills.scaling.rocking.excitation_sweep", lambda *_: change)
    found = fit_rocking(
        observations, moving, reference=reference, space_group=GROUP, start=RockingWidth(1e-3, 2e-3), fit_errors=False,
        limit=np.inf, gain=1.0, prior_ln_g=np.inf, prior_b=np.inf,
    )  # fmt: skip
    d, image, e = observations.d, observations.image, observations.excitation

    def partial(square):
        width = np.sqrt(square[0] + square[1] / d**2)
        if not sweep:
            return np.exp(-((e / width) ** 2))
        ends = erf((e + change / 2) / width) - erf((e - change / 2) / width)
        return np.sqrt(np.pi) * width / (2 * change) * ends

    square = np.array([found.width.domain**2, found.width.mosaicity**2])
    full = observations.correction * reference.values
    s = 1.0 / (4 * d**2)
    # scales near enough to the fitted ones: least squares of each image at this width
    model = np.zeros(len(d))
    for number in range(6):
        mine = image == number
        y, x = observations.intensity[mine], (full * partial(square))[mine]
        scale = np.array([np.log(y.sum() / x.sum()), 0.0])
        for _ in range(30):
            now = np.exp(scale[0] - scale[1] * s[mine]) * x
            weight = 1.0 / (40.0 + now)
            by = np.stack([now, -s[mine] * now])
            scale += np.linalg.solve((by * weight) @ by.T, (by * weight) @ (y - now))
        model[mine] = np.exp(scale[0] - scale[1] * s[mine]) * x
    jacobian = np.zeros((len(d), 14))
    for number in range(6):
        jacobian[image == number, 2 * number] = model[image == number]
        jacobian[image == number, 2 * number + 1] = (-s * model)[image == number]
    for part in range(2):
        step = np.eye(2)[part] * square[part] * 1e-5
        slope = (partial(square + step) - partial(square - step)) / (2e-5 * square[part])
        jacobian[:, 12 + part] = model / partial(square) * slope
    root = jacobian / np.sqrt(40.0 + np.maximum(model, 0.0))[:, None]
    norm = np.linalg.norm(root, axis=0)
    expected = np.linalg.inv(root.T @ root / np.outer(norm, norm)) / np.outer(norm, norm)
    assert np.allclose(found.covariance, expected[12:, 12:], rtol=0.02)
    without = np.linalg.inv((root.T @ root)[12:, 12:])
    assert (np.diag(without) < 0.9 * np.diag(found.covariance)).any()


def test_a_constant_width_is_worse_where_there_is_mosaicity(experiment):
    observations, reference, _ = made(1e-3, 3e-3)
    arguments = {"reference": reference, "space_group": GROUP, "start": RockingWidth(1e-3)}
    both = fit_rocking(observations, experiment, **arguments)
    one = fit_rocking(observations, experiment, mosaicity=False, **arguments)
    assert one.width.mosaicity == 0.0
    assert one.covariance[1, 1] == 0.0
    assert one.error_model.b > both.error_model.b + 0.1
    assert one.width.domain > 1.3e-3


def test_errors_in_proportion_do_not_bias_the_width(experiment):
    observations, reference, _ = made(1e-3, 2e-3, error=0.2, seed=4)
    found = fit_rocking(observations, experiment, reference=reference, space_group=GROUP, start=RockingWidth(1e-3))
    assert found.width.domain == pytest.approx(1e-3, rel=0.03)
    assert found.width.mosaicity == pytest.approx(2e-3, rel=0.05)
    assert found.error_model.b == pytest.approx(0.2, abs=0.03)


@pytest.mark.parametrize("mosaicity", [0.0, 3e-3])
def test_partialities_averaged_over_the_exposure(experiment, mosaicity, monkeypatch):
    observations, reference, change = made(1e-3, mosaicity, sweep=True)
    moving = replace(experiment, sweep=np.zeros((50, 3, 3)))
    monkeypatch.setattr("crystint.stills.scaling.rocking.excitation_sweep", lambda *_: change)
    found = fit_rocking(observations, moving, reference=reference, space_group=GROUP, start=RockingWidth(1.5e-3))
    assert found.converged
    assert found.width.domain == pytest.approx(1e-3, rel=0.02)
    assert found.width.mosaicity == pytest.approx(mosaicity, abs=5e-4 if mosaicity == 0.0 else 1e-4)


def test_the_sweep_of_an_excitation_is_its_difference():
    data = simulate_stills(2, d_min=4.0, shape=(600, 620), distance=0.05, seed=3, wavelength=0.7)
    still, angle = data.experiment, 1e-5
    turn = np.array([[1.0, 0.0, 0.0], [0.0, 1.0, -angle], [0.0, angle, 1.0]])
    swing = replace(still, sweep=turn @ still.setting - still.setting)
    image, hkl = data.listed.image, data.listed.hkl

    def excitation(setting):
        s1 = still.incident[image] + np.einsum("nij,nj->ni", setting[image], hkl)
        return np.linalg.norm(s1, axis=1) - np.linalg.norm(still.incident[image], axis=1)

    difference = excitation(still.setting + 0.5 * swing.sweep) - excitation(still.setting - 0.5 * swing.sweep)
    assert np.abs(difference).max() > 1e-7
    assert np.allclose(excitation_sweep(swing, image, hkl), difference, rtol=1e-4, atol=1e-12)
    assert (excitation_sweep(still, image, hkl) == 0.0).all()


def test_simulated_stills():
    data = simulate_stills(15, d_min=2.2, shape=(1500, 1450), domain=8e-4, mosaicity=2e-3, seed=1)
    found = fit_rocking(
        data.observations(), data.experiment, reference=data.reference(), space_group=data.experiment.space_group,
        start=RockingWidth(1.5e-3),
    )  # fmt: skip
    assert found.width.domain == pytest.approx(8e-4, rel=0.05)
    assert found.width.mosaicity == pytest.approx(2e-3, rel=0.05)
    assert found.scan.shape[1] == 2


def test_what_cannot_be_fitted_is_said(experiment):
    observations, reference, _ = made(images=3)
    blind = observations.replace(excitation=np.full(len(observations), np.nan))
    with pytest.raises(SettingError, match="0 have an excitation"):
        fit_rocking(blind, experiment, reference=reference, space_group=GROUP, start=RockingWidth(1e-3))
    found = fit_rocking(
        observations, experiment, reference=reference, space_group=GROUP, start=RockingWidth(1e-3), max_iterations=1
    )
    assert not found.converged
    assert "still moving" in found.note
    few = fit_rocking(
        observations, experiment, reference=reference, space_group=GROUP, start=RockingWidth(1e-3), max_images=2
    )
    assert few.images == 2
