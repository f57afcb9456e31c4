"""The wavelength curve: a known spectrum is found back, and nothing else changes for it."""

from __future__ import annotations

import numpy as np
import pytest

from crystint.errors import SettingError, ShapeError
from crystint.model.observations import Observations
from crystint.stills.scaling.scale import scale
from crystint.stills.scaling.wavelength_curve import WavelengthCurve
from tests.oracles import stills_scaling as oracle
from tests.stills.test_scale import GROUP, Known


def spectrum(wavelength):
    """ln of a spectrum with a steep edge, as of an undulator."""
    return -3.0 * np.abs(wavelength - 1.05) / 0.06 + 0.8 * (wavelength < 1.05) * (wavelength - 1.05) / 0.02


def laue(images=20, per_image=1200, seed=0, outliers=0.0):
    columns, truth = oracle.stills(images=images, per_image=per_image, seed=seed, d_min=3.0)
    rng = np.random.default_rng([seed, 3])
    n = len(columns["d"])
    wavelength = rng.uniform(1.0, 1.2, n)
    signal = truth["signal"] / columns["partiality"] * np.exp(spectrum(wavelength) - spectrum(wavelength).mean())
    columns |= {"partiality": np.ones(n), "wavelength": wavelength}
    columns["intensity"] = signal + np.sqrt(40.0 + signal) * rng.normal(size=n)
    wild = rng.random(n) < outliers
    columns["intensity"] = np.where(wild, 20.0 * columns["intensity"] + 1000.0, columns["intensity"])
    columns["sigma"] = np.sqrt(40.0 + np.maximum(columns["intensity"], 0.0))
    return Observations(**columns), truth, wavelength


@pytest.mark.parametrize("outliers", [0.0, 0.02])
@pytest.mark.parametrize("known", [True, False])
def test_a_spectrum_is_found_back(known, outliers):
    observations, truth, wavelength = laue(outliers=outliers)
    reference = Known(truth["true"]) if known else None
    found = scale(observations, 20, space_group=GROUP, reference=reference, wavelength_nodes=30)
    assert found.converged
    assert not found.failed
    curve = np.log(found.curve.at(wavelength))
    assert np.mean(curve) == pytest.approx(0.0, abs=0.01)
    expected = spectrum(wavelength) - spectrum(wavelength).mean()
    middle = (wavelength > 1.005) & (wavelength < 1.17)
    assert np.abs(curve - expected)[middle].max() < 0.15
    assert np.sqrt(np.mean((curve - expected)[middle] ** 2)) < 0.04
    error = found.ln_g - truth["ln_g"]
    assert (error - error.mean()).std() < 0.03


def test_without_the_curve_the_data_do_not_agree():
    observations, truth, _ = laue()
    number = truth["number"]
    agreement = {}
    for nodes in (0, 24):
        found = scale(observations, 20, space_group=GROUP, wavelength_nodes=nodes)
        intensity, sigma = found.apply(observations)
        rows = truth["true"] > np.median(truth["true"])
        group = np.unique(number[rows], return_inverse=True)[1]
        agreement[nodes] = oracle.r_meas(group, intensity[rows], np.ones(rows.sum()) + 0.0 * sigma[rows])
    assert agreement[0] > 0.5
    assert agreement[24] < 0.35 * agreement[0]


def test_a_flat_spectrum_stays_flat():
    columns, truth = oracle.stills(images=20, per_image=800)
    wavelength = np.random.default_rng(0).uniform(1.0, 1.2, len(columns["d"]))
    observations = Observations(wavelength=wavelength, **columns)
    found = scale(observations, 20, space_group=GROUP, reference=Known(truth["true"]), wavelength_nodes=12)
    assert np.abs(found.curve.ln_factor).max() < 0.1


def test_rows_without_a_wavelength_are_left_out():
    observations, truth, wavelength = laue(per_image=600)
    unknown = np.arange(len(observations)) % 7 == 0
    partly = observations.replace(wavelength=np.where(unknown, np.nan, wavelength))
    found = scale(partly, 20, space_group=GROUP, reference=Known(truth["true"]), wavelength_nodes=24)
    assert found.used.sum() == (~unknown).sum()
    intensity, _ = found.apply(partly)
    assert np.isnan(intensity[unknown]).all()
    assert np.isfinite(intensity[~unknown]).all()


def test_one_step_is_the_least_squares_solution():
    """Linear for a small change: against the normal equations of hat functions, solved by numpy."""
    rng = np.random.default_rng(0)
    wavelength, model = rng.uniform(0.9, 1.3, 500), rng.exponential(10.0, 500)
    nodes = np.array([0.95, 1.0, 1.1, 1.25])
    hats = np.stack([np.interp(wavelength, nodes, row) for row in np.eye(4)], axis=1)
    truth = np.array([0.01, -0.02, 0.005, 0.0])
    weight = rng.uniform(0.5, 2.0, 500)
    intensity = model * (1.0 + hats @ truth) + 0.01 * rng.normal(size=500)
    found = WavelengthCurve(nodes, np.zeros(4)).improved(wavelength, intensity, model, weight, 1e6)
    root = np.sqrt(weight)
    expected = np.linalg.lstsq(hats * (model * root)[:, None], (intensity - model) * root, rcond=None)[0]
    expected -= (hats.sum(axis=0) / 500) @ expected
    assert np.allclose(found.ln_factor, expected, atol=1e-7)
    stiff = WavelengthCurve(nodes, np.zeros(4)).improved(wavelength, intensity, model, weight, 1e-9)
    assert np.abs(np.diff(stiff.ln_factor, 2)).max() < 1e-6
    bent = WavelengthCurve(nodes, np.array([0.3, -0.3, 0.3, -0.3]))
    straight = bent.improved(wavelength, model, model, weight, 1e-9)
    assert np.abs(np.diff(straight.ln_factor, 2)).max() < 1e-6


def test_curves_that_cannot_be_are_refused():
    with pytest.raises(SettingError, match="1 nodes"):
        WavelengthCurve.flat(np.array([1.0, 1.1]), 1)
    with pytest.raises(SettingError, match="the column is empty"):
        WavelengthCurve.flat(np.full(3, np.nan), 5)
    with pytest.raises(SettingError, match="no curve to fit"):
        WavelengthCurve.flat(np.ones(3), 5)
    with pytest.raises(SettingError, match="do not ascend"):
        WavelengthCurve(np.array([1.0, 1.0]), np.zeros(2))
    with pytest.raises(ShapeError, match="expected one each"):
        WavelengthCurve(np.array([1.0, 1.1]), np.zeros(3))
    curve = WavelengthCurve(np.array([1.0, 1.2]), np.array([0.0, 1.0]))
    assert np.allclose(curve.at(np.array([0.5, 1.1, 9.0])), np.exp([0.0, 0.5, 1.0]))
    assert np.isnan(curve.at(np.array([np.nan]))).all()
