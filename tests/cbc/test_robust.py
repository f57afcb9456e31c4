"""Least squares without its bias: the estimating equation against Poisson's law summed up, f against its integral, and
faint reflections, outliers and errors of whole fits."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import integrate

from crystint.cbc import IntensityScaler, agreement, simulate_cbc, truth_of
from crystint.cbc.scaling.criteria import FLOOR, HUBER
from crystint.cbc.scaling.robust import robust_terms
from crystint.errors import CrystintWarning, SettingError

LOSSES = ["l1", "huber"]


def score(counts, expected, loss):
    """psi of the module's head, by hand."""
    residual = (counts - expected) / np.sqrt(expected)
    return 0.5 * np.sign(residual) if loss == "l1" else np.clip(residual, -HUBER, HUBER)


def law(expected):
    """Poisson's law by its recursion."""
    p = [np.exp(-expected)]
    for n in range(1, int(expected + 12 * np.sqrt(expected) + 20)):
        p.append(p[-1] * expected / n)
    return np.array(p)


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("expected", [0.003, 0.11, 0.97, 3.3, 17.2, 140.6])
def test_the_equation_is_right_on_average(loss, expected):
    p = law(expected)
    slope = robust_terms(np.arange(len(p), dtype=float), np.full(len(p), expected), loss)[1]
    size = float(p @ np.abs(slope))
    assert abs(p @ slope) < (0.05 if loss == "l1" else 0.002) * size  # the mean sign jumps at whole lambda
    by_hand = -2.0 * (score(np.arange(len(p)), expected, loss) - p @ score(np.arange(len(p)), expected, loss))
    np.testing.assert_allclose(slope, by_hand / np.sqrt(expected), atol=(0.05 if loss == "l1" else 0.002) * size)


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("counts", [0.0, 1.0, 6.0, 0.4, -1.5])
def test_f_is_the_integral_of_its_slope(loss, counts):
    ends = np.array([0.02, 0.31, 2.3, 9.7, 55.3])

    def slope(expected):
        return robust_terms(np.full(len(expected), counts), expected, loss)[1]

    value = robust_terms(np.full(5, counts), ends, loss)[0]
    for low, high, rise in zip(ends[:-1], ends[1:], np.diff(value), strict=True):
        at = np.geomspace(low, high, 20001)
        area = integrate.trapezoid(slope(at), at)
        assert rise == pytest.approx(area, rel=1e-3, abs=1e-3)
    below = robust_terms(np.full(2, counts), np.array([-3.0, FLOOR]), loss)
    assert below[1][0] == below[1][1]


@pytest.fixture(scope="module")
def crystal():
    return simulate_cbc(5, d_min=3.6, seed=4)


def fitted(data, table, loss):
    scaler, x = IntensityScaler.of(table, data.setup).merge_hkl("mmm").train(1e-3, kind="least_squares", loss=loss)
    both = agreement(scaler.hkl, scaler.q2(x), truth_of(data))
    merged = scaler.merge_sfac(x)
    error = np.log(both.scaled / both.reference)
    return error, merged["serr"] / merged["sfac"], np.argsort(both.reference)


@pytest.mark.parametrize("loss", ["l2", *LOSSES])
def test_faint_reflections_are_neither_too_strong_nor_gone(crystal, loss):
    error, sigma, order = fitted(crystal, crystal.table, loss)
    faint = order[: len(order) // 3]
    assert abs(np.mean(error[faint])) < 0.06  # 0.12 to 0.19 with the plain sum of squares
    assert np.abs(error).max() < 0.6
    assert 0.55 < np.mean(np.abs(error) < sigma) < 0.8


def test_outliers_matter_less_than_by_poisson(crystal):
    rng = np.random.default_rng(0)
    counts = crystal.table.counts.copy()
    place = np.stack([crystal.table.frame, crystal.table.x, crystal.table.y], axis=1)
    _, pixel = np.unique(place, axis=0, return_inverse=True)
    counts[(rng.random(pixel.max() + 1) < 0.01)[pixel.ravel()]] += 300.0  # pixels of another crystal
    table = crystal.table.replace(counts=counts)
    plain, robust = (np.median(np.abs(fitted(crystal, table, loss)[0])) for loss in ("l2", "huber"))
    assert robust < 0.65 * plain


def test_calls_as_cbclib_has_them(crystal):
    with pytest.raises(SettingError, match=r"IntensityScaler.of\(table, setup\)"):
        IntensityScaler(crystal.table, crystal.table.frame, None, None, None, 2)
    with pytest.raises(SettingError, match=r"table.scale\(setup\)"):
        IntensityScaler(crystal.table)
    with pytest.warns(CrystintWarning, match="num_threads"):
        scaler = crystal.table.scale((20, 30), crystal.setup, 4)
    assert scaler.xtal.values.shape[1:] == (20, 30)
    assert crystal.table.scale(crystal.setup).layout.n_streaks == scaler.layout.n_streaks
