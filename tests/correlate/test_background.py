"""Backgrounds of rings: LOKI's curves and rings, an oracle ring by ring, gaps, and peaks at the seam."""

from __future__ import annotations

import h5py
import numpy as np
import pytest
from numpy.polynomial import chebyshev, polynomial

from crystint.correlate.polar.background import chebyshev_background, fourier_background, remove_peaks
from crystint.errors import SettingError, ShapeError
from tests.conftest import shared_data
from tests.oracles import correlate_background as oracle


@pytest.fixture(scope="module")
def case():
    """LOKI's rings and what it made of them."""
    with h5py.File(shared_data("loki/inputs/bragg_rings.hdf5")) as file:
        rings = file["111_Bragg_rings"][:].astype(np.float32)
    return rings, np.load(shared_data("loki/loki_out_py3.npz"))


def noisy(rng, rings=9, n=400):
    """Rings of a few waves and a peak or two, with gaps."""
    phi = 2 * np.pi * np.arange(n) / n
    values = 100 + 20 * np.cos(phi - rng.random((rings, 1)) * 6) + 5 * np.sin(3 * phi) + rng.normal(0, 1, (rings, n))
    good = rng.random((rings, n)) > 0.2
    good[:, 50:80] = False
    return values, good


def test_curves_are_those_of_loki(case):
    rings, wanted = case
    found = chebyshev_background(rings, rings > 0, degree=15, overlap=0.2)
    np.testing.assert_allclose(found.values, wanted["cheby_fits"], rtol=1e-6)
    np.testing.assert_allclose(found.values, wanted["poly_fits"], rtol=1e-6)


def test_coefficients_of_the_raw_axis(case):
    rings, wanted = case
    found = chebyshev_background(rings, rings > 0)
    column = np.arange(rings.shape[1])
    raw = found.raw_chebyshev()
    np.testing.assert_allclose([chebyshev.chebval(column, c) for c in raw], found.values, rtol=2e-8)
    np.testing.assert_allclose(raw, wanted["cheb_coefs"], rtol=1e-4)
    raw = found.raw_polynomial()
    np.testing.assert_allclose([polynomial.polyval(column, c) for c in raw], found.values, rtol=2e-8)
    np.testing.assert_allclose(raw[:, ::-1], wanted["poly_coefs"], rtol=1e-4)


@pytest.mark.parametrize("variant", ["permask", "literal"])
def test_rings_without_peaks_are_those_of_loki(case, variant):
    rings, wanted = case
    good = rings > 0 if variant == "permask" else rings[-1] > 0
    found = remove_peaks(rings, chebyshev_background(rings, rings > 0), good, thick=2, threshold=2.5, wrap=False)
    assert found.values.dtype == np.float32
    assert np.array_equal(np.nan_to_num(found.values), wanted[f"{variant}_rings_clean"])
    assert np.array_equal(found.removed.sum(axis=1), wanted[f"{variant}_n_removed"])


@pytest.mark.parametrize(("degree", "overlap"), [(0, 0.0), (3, 0.5), (15, 0.2), (7, 1.0)])
def test_chebyshev_equals_the_oracle(rng, degree, overlap):
    values, good = noisy(rng)
    found = chebyshev_background(values, good, degree=degree, overlap=overlap)
    for k, curve in enumerate(found.values):
        wanted = oracle.chebyshev_curve(values[k], good[k], degree, overlap)
        np.testing.assert_allclose(curve, wanted, rtol=1e-8)
    np.testing.assert_allclose(found.at(np.array([3.5])), found.at(np.array([3.5, 9.0]))[:, :1])


@pytest.mark.parametrize(("harmonics", "ridge"), [(0, 0.0), (3, 0.0), (5, 1e-4), (8, 0.1)])
def test_fourier_equals_the_oracle(rng, harmonics, ridge):
    values, good = noisy(rng)
    found = fourier_background(values, good, harmonics=harmonics, ridge=ridge)
    for k, curve in enumerate(found.values):
        np.testing.assert_allclose(curve, oracle.fourier_curve(values[k], good[k], harmonics, ridge), rtol=1e-9)


def test_more_rings_than_are_fitted_at_a_time(rng):
    values, good = noisy(rng, rings=300, n=60)
    for fit in (chebyshev_background, fourier_background):
        found = fit(values, good)
        one = fit(values[299:], good[299:])
        np.testing.assert_allclose(found.coefficients[299], one.coefficients[0], rtol=1e-7)


def test_a_ridge_tames_gaps(rng):
    phi = 2 * np.pi * np.arange(600) / 600
    values = 50 + 5 * np.cos(phi) + rng.normal(0, 1, (1, 600))
    good = (phi < 2.5)[None]
    wild = fourier_background(values, good, harmonics=10, ridge=0.0).values
    tame = fourier_background(values, good, harmonics=10, ridge=1e-3).values
    assert np.abs(tame - 50).max() < 20 < np.abs(wild - 50).max()
    assert np.abs(tame - values)[good].mean() < 1.0


def test_fourier_curves_close_and_chebyshev_nearly(rng):
    values, good = noisy(rng)
    ring = np.array([0.0, 400.0])
    ends = fourier_background(values, good).at(ring)
    np.testing.assert_allclose(ends[:, 0], ends[:, 1], rtol=1e-12)
    ends = chebyshev_background(values, good).at(ring)
    assert np.abs(ends[:, 0] - ends[:, 1]).max() < 1.0


def test_rings_without_data_and_constant_rings():
    values = np.full((4, 50), 3.0)
    values[0] = np.nan
    values[1, 9:] = np.nan
    for fit, enough in ((chebyshev_background, False), (fourier_background, True)):
        curve = fit(values)
        assert np.isnan(curve.values[0]).all()
        assert np.isfinite(curve.values[1]).all() == enough
        np.testing.assert_allclose(curve.values[2:], 3.0, rtol=1e-12)
        clean = remove_peaks(values, curve)
        assert not clean.removed.any()
        assert np.array_equal(clean.values, np.where(np.isfinite(curve.values), values, clean.values), equal_nan=True)
    assert np.isnan(chebyshev_background(values).raw_chebyshev()[:2]).all()


@pytest.mark.parametrize("wrap", [True, False])
@pytest.mark.parametrize("thick", [0, 1, 3])
def test_peaks_and_their_neighbours_go(engine, rng, wrap, thick):
    values, good = noisy(rng)
    values[:, [0, 130, 399]] += 300.0
    good[:, [0, 130, 399]] = True
    curve = fourier_background(values, good).values
    for device in (None, engine):
        found = remove_peaks(values, curve, good, thick=thick, threshold=6.0, wrap=wrap, engine=device)
        for k, ring in enumerate(values):
            keep = oracle.without_peaks(ring, good[k], curve[k], thick, 6.0, wrap)
            assert np.array_equal(np.isfinite(found.values[k]), keep)
            assert np.array_equal(found.removed[k], good[k] & ~keep)
            assert np.array_equal(found.values[k, keep], ring[keep])


def test_a_seam_is_closed_by_wrap():
    values = np.tile([10.0, 11.0], (1, 30))
    values[0, 0] = 500.0
    curve = np.full(values.shape, 10.5)
    closed, opened = (np.flatnonzero(remove_peaks(values, curve, wrap=w).removed[0]).tolist() for w in (True, False))
    assert closed == [0, 1, 2, 58, 59]
    assert opened == [0, 1, 2]


def test_impossible_input_is_refused():
    values = np.ones((2, 30))
    with pytest.raises(ShapeError, match=r"ring\[None\]"):
        chebyshev_background(np.ones(30))
    with pytest.raises(ShapeError, match="good"):
        fourier_background(values, np.ones((2, 29), bool))
    for settings in ({"degree": 30}, {"degree": -1}, {"overlap": 1.5}, {"overlap": np.nan}):
        with pytest.raises(SettingError):
            chebyshev_background(values, **settings)
    for settings in ({"harmonics": 16}, {"harmonics": -1}, {"ridge": -1.0}, {"ridge": np.nan}):
        with pytest.raises(SettingError):
            fourier_background(values, **settings)
    with pytest.raises(SettingError, match="Fourier"):
        fourier_background(values).raw_chebyshev()
    with pytest.raises(ShapeError, match="curves"):
        remove_peaks(values, np.ones((2, 29)))
    with pytest.raises(SettingError, match="thick"):
        remove_peaks(values, values, thick=-1)
    with pytest.raises(SettingError, match="threshold"):
        remove_peaks(values, values, threshold=0.0)
