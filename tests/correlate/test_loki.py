"""LOKI's names: the tutorial on its own files, to the numbers of the original code, and what it got wrong."""

from __future__ import annotations

import h5py
import numpy as np
import pytest

from crystint.correlate.loki import (
    DiffCorr,
    InterpSimple,
    RadialProfile,
    RingFit,
    fit_periodic,
    is_outlier,
    pair_fits,
    remove_peaks,
)
from crystint.correlate.simulation.simulate import simulate_frame
from crystint.correlate.sums.correlation import Correlator, paired_differences
from crystint.errors import GeometryError, SettingError, ShapeError
from tests.conftest import shared_data

PAIRS = [[0, 4], [1, 6], [2, 5], [3, 8], [7, 11], [9, 13], [10, 12]]


@pytest.fixture(scope="module")
def rings():
    with h5py.File(shared_data("loki/inputs/bragg_rings.hdf5")) as file:
        return file["111_Bragg_rings"][:].astype(np.float32)


@pytest.fixture(scope="module")
def wanted():
    return np.load(shared_data("loki/loki_out_py3.npz"))


@pytest.fixture(scope="module")
def fits(rings):
    """The tutorial's fits, and their coefficients."""
    coefs = [fit_periodic(ring, ring > 0, 15)[0] for ring in rings]
    return np.array([np.polynomial.chebyshev.chebval(np.arange(rings.shape[1]), c) for c in coefs]), coefs


@pytest.fixture(scope="module")
def image():
    folder = shared_data("loki/inputs")
    return np.load(folder / "test_img.npy"), np.load(folder / "test_mask.npy")


def close(found, wanted, tolerance=1e-6):
    """To a tolerance of the largest."""
    np.testing.assert_allclose(found, wanted, rtol=0, atol=tolerance * np.abs(wanted).max())


def cleaned(rings, coefs, variant):
    """Rings without peaks; the tutorial as printed takes the mask of the last ring for all."""
    found = np.empty_like(rings)
    for i, (ring, coef) in enumerate(zip(rings, coefs)):
        mask = (rings[-1] if variant == "literal" else ring) > 0
        found[i], left, removed = remove_peaks(ring, mask, thick=2, peak_thresh=2.5, coef=coef)
        assert np.array_equal(found[i] + removed, ring * mask)
        assert not (left & (removed != 0)).any()
    return found


def test_fits_and_pairs_are_those_of_the_tutorial(rings, wanted, fits):
    np.testing.assert_allclose(fits[0], wanted["cheby_fits"], rtol=1e-6)
    cheby, poly, fit = fit_periodic(rings[3], rings[3] > 0, 15)
    np.testing.assert_allclose(np.polyval(poly, np.arange(5000)), wanted["poly_fits"][3], rtol=1e-6)
    np.testing.assert_allclose(fit, wanted["cheby_fits"][3] * (rings[3] > 0), rtol=1e-6)
    assert len(cheby) == len(poly) == 16
    pairs, distances = pair_fits(fits[0])
    assert pairs == PAIRS
    np.testing.assert_allclose(distances, wanted["pair_dists"], rtol=1e-6)


@pytest.mark.parametrize("variant", ["literal", "permask"])
def test_curves_of_the_tutorial(rings, wanted, fits, variant):
    clean = cleaned(rings, fits[1], variant)
    assert np.array_equal(clean, wanted[f"{variant}_rings_clean"])
    diffs = np.zeros((len(PAIRS), rings.shape[1]))
    for i, (a, b) in enumerate(PAIRS):
        diffs[i] = (clean[a] - clean[b]) * ((clean[a] > 0) & (clean[b] > 0))
    close(diffs, wanted[f"{variant}_diffs"])
    cors = DiffCorr(list(diffs)).autocorr()  # a list, as the tutorial has it
    close(cors, wanted[f"{variant}_cors"])
    norm = clean[clean > 0].mean(dtype=np.float64)
    close(norm, wanted[f"{variant}_norm"])
    close(cors.mean(axis=0) / norm**2, wanted[f"{variant}_cm_norm"])
    filled = [ring + (ring == 0) * fit for ring, fit in zip(clean, fits[0])]
    close(DiffCorr(filled).autocorr().mean(axis=0) / norm**2, wanted[f"{variant}_cm2_norm"])


def test_masked_correlation_is_that_of_the_reference(rings, wanted, fits):
    reference = np.load(shared_data("loki/loki_maskcorrected_ref.npz"))
    clean = cleaned(rings, fits[1], "permask").astype(np.float64)
    clean[clean <= 0] = np.nan
    differences = paired_differences(clean, PAIRS)
    assert np.array_equal(np.isfinite(differences), reference["pair_mask"])
    norm = np.nanmean(clean)
    for centered, name in ((False, "corr_masknorm"), (True, "corr_masknorm_meanremoved")):
        correlator = Correlator(centered=centered)
        for exposure in differences:
            correlator.add(exposure[None])
        found = correlator.sums.mean()[0]
        close(found, reference[name])
        if not centered:
            np.testing.assert_allclose(found[:3] / norm**2, [0.34600, 0.05524, 0.02607], atol=5e-6)
    each = DiffCorr(differences)
    close(each.autocorr(), reference["corr_sum"])
    close(each.autocorr("mask") * reference["weight"], reference["corr_sum"])


def test_polar_image_and_its_correlation_are_those_of_the_tutorial(image, wanted):
    x, y, low, high, nphi = wanted["polar_params"]
    interpolator = InterpSimple(x, y, qRmax=int(high), qRmin=int(low), nphi=int(nphi), raw_img_shape=image[0].shape)
    pmask = interpolator.nearest(image[1], dtype=bool).round()
    assert np.array_equal(pmask, wanted["polar_mask"])
    polar = pmask * interpolator.nearest(image[0])
    assert np.array_equal(polar, wanted["polar_img"])
    correlation = DiffCorr([wanted["polar_filled"]]).autocorr()[0]
    close(correlation, wanted["polar_autocorr_raw"])
    close(correlation / wanted["polar_rad_pro"][:, None] ** 2, wanted["polar_autocorr_norm"])
    np.testing.assert_allclose(interpolator.phis, 2 * np.pi * np.arange(816) / 816)


def test_radial_profiles_are_those_of_loki(image, wanted):
    profile = RadialProfile((152, 151), image[0].shape, mask=image[1], minlength=200)  # LOKI fails here
    found = profile.calculate(image[0])
    np.testing.assert_allclose(found, wanted["rp_guess"][: len(found)], rtol=1e-6)
    profile.update_center(wanted["fit_circle_slow"][:2])
    found = profile.calculate(image[0])
    np.testing.assert_allclose(found, wanted["rp_refined"][: len(found)], rtol=1e-6)
    assert len(RadialProfile((152, 151), image[0].shape, minlength=400).calculate(image[0])) == 400


@pytest.mark.parametrize("start", [(152, 151), (145, 155)])
def test_the_centre_of_the_image_does_not_depend_on_the_start(image, start):
    (x, y, radius), residual, mean = RingFit(image[0], image[1]).fit_circle(beta_i=(*start, 89.0))
    np.testing.assert_allclose([x, y], [149.8, 149.5], atol=0.1)
    assert abs(radius - 89.0) < 3.0
    assert residual >= 0
    assert image[0].min() < mean < image[0].max()


def test_circles_and_ellipses_of_a_simulated_frame():
    simulated = simulate_frame(height=60.0, gap=4, hot=20)
    x, y = simulated.center[1] - 0.5, simulated.center[0] - 0.5
    fit = RingFit(simulated.frame, simulated.mask == 0)
    beta, _, mean = fit.fit_circle((x + 4, y - 3, 97.0))
    np.testing.assert_allclose(beta, [x, y, 100.0], atol=0.1)
    assert 80 < mean < 2000
    np.testing.assert_allclose(fit.fit_circle_slow((x + 3, y - 3, 98.0), 4, 5, 0.1), beta, atol=0.05)
    ellipse, _, _ = fit.fit_ellipse((x + 2, y - 2, 99.0, 101.0))
    np.testing.assert_allclose(ellipse, [x, y, 100.0, 100.0], atol=0.2)
    zeros = RingFit(np.where(simulated.mask == 0, simulated.frame, 0)).fit_circle((x, y, 100.0))[0]
    np.testing.assert_allclose(zeros, beta, atol=0.02)
    zeros = RingFit(np.where(simulated.mask == 0, simulated.frame, 0)).fit_circle((x, y, 100.0))
    np.testing.assert_allclose(zeros[2], mean, rtol=1e-3)  # without the pixels of 0
    with pytest.raises(SettingError, match="no ring within 1 px"):
        fit.fit_circle((x, y, 95.0), ring_width=2)


def test_an_ellipse_has_half_lengths_along_x_and_y(rng):
    slow, fast = np.indices((260, 280)) + 0.5
    place = np.hypot((fast - 141.2) / 104.0, (slow - 128.9) / 96.0) * 100.0
    frame = rng.poisson(50 + 200 * np.exp(-0.5 * ((place - 100.0) / 2.0) ** 2))
    (x, y, a, b), residual, _ = RingFit(frame).fit_ellipse((140.0, 129.0, 80.0, 118.0), ring_width=20)
    np.testing.assert_allclose([x, y, a, b], [140.7, 128.4, 104.0, 96.0], atol=0.1)
    assert residual < 50.0


def test_points_outside_the_frame_are_no_data(rng):
    image = rng.integers(1, 100, (20, 30))
    interpolator = InterpSimple(15.0, 10.0, 14, 2, 60, image.shape)
    found = interpolator.nearest(image.astype(np.float32))
    assert np.isnan(found[-1]).any()
    assert found[0, 0] == image[10, 13]  # column 0 towards -x
    assert found[0, 15] == image[8, 15]  # then up
    whole = interpolator.nearest(image)
    assert whole.dtype == np.float64
    assert np.array_equal(np.isnan(whole), np.isnan(found))
    assert interpolator.nearest(image, dtype=np.int32)[np.isnan(found)].max() == 0
    assert InterpSimple(15.0, 10.0, 8, 2, 60, image.shape).nearest(image).dtype == image.dtype
    valid = np.ones(image.shape, bool)
    valid[10, 13] = False
    assert np.isnan(interpolator.nearest(image.astype(np.float32), mask=valid)[0, 0])
    assert not interpolator.nearest(valid, dtype=bool)[0, 0]
    with pytest.raises(ShapeError, match="data"):
        interpolator.nearest(image[:5])
    with pytest.raises(ShapeError, match="mask"):
        interpolator.nearest(image, mask=valid[:5])
    with pytest.raises(SettingError, match="bin_fac"):
        InterpSimple(15.0, 10.0, 14, 2, 60, image.shape, bin_fac=2)
    with pytest.raises(GeometryError, match="no point"):
        InterpSimple(500.0, 10.0, 14, 2, 60, image.shape)


def test_correlations_of_several_rings(rng):
    shots = rng.normal(size=(4, 3, 30)).astype(np.float32)
    correlation = DiffCorr(shots)
    found = correlation.crosscorr(1)
    assert found.shape == shots.shape
    want = [[[np.dot(s[j], np.roll(s[1], -k)) for k in range(30)] for j in range(3)] for s in shots.astype(float)]
    np.testing.assert_allclose(found, want, atol=1e-10)
    np.testing.assert_allclose(correlation.autocorr()[:, 1], found[:, 1])
    np.testing.assert_allclose(correlation.phi_values[[0, -1]], [0, 2 * np.pi * 29 / 30])
    moved = DiffCorr(shots, delta_shot=2, pre_dif=False)
    assert np.array_equal(moved.shotsAB, shots[:2].astype(float) - shots[2:])
    for wrong in (None, 0, 4):
        with pytest.raises(SettingError, match="delta_shot"):
            DiffCorr(shots, wrong, pre_dif=False)
    with pytest.raises(SettingError, match="qindex"):
        correlation.crosscorr(3)
    with pytest.raises(ShapeError, match="several rings"):
        DiffCorr(shots[0]).crosscorr(0)
    with pytest.raises(ShapeError, match="shots"):
        DiffCorr(shots[0, 0])


def test_outliers_of_masked_arrays():
    values = np.array([0.0, 0.0, 0.0, 0.0, 10.0, 10.1, 9.9, 10.2, 30.0])
    found = is_outlier(np.ma.masked_equal(values, 0.0), 5)
    assert found.tolist() == [False] * 8 + [True]
    assert isinstance(found, np.ndarray)
    assert is_outlier(np.ma.masked_equal(np.stack([values, values], axis=1), 0.0), 5).tolist() == found.tolist()
    part = np.ma.masked_array(np.stack([values, values], axis=1), False)
    part[:4, 0] = np.ma.masked  # one coordinate is enough
    assert is_outlier(part, 5).tolist() == found.tolist()
    assert is_outlier([1.0, 1.0, 1.0, 1.0, 9.0]).tolist() == [False] * 4 + [True]  # LOKI: 0 / 0


def test_peaks_at_the_seam_take_their_neighbours_with_them(rng):
    ring = 100 + rng.normal(size=60)
    ring[0] = 1000.0
    left, mask, removed = remove_peaks(ring, ring > 0, thick=2, peak_thresh=5.0)
    assert np.flatnonzero(~mask).tolist() == [0, 1, 2, 58, 59]
    assert (left[~mask] == 0).all()
    assert removed[0] == 1000.0
    assert remove_peaks(ring, ring > 0, peak_thresh=5.0)[1].sum() == 59
    with pytest.raises(ShapeError, match="ring"):
        remove_peaks(ring, mask[:5])
    with pytest.raises(ShapeError, match="data"):
        fit_periodic(ring, mask[:5], 3)


def test_a_ring_without_data_has_no_curve():
    cheby, poly, fit = fit_periodic(np.zeros(50), np.ones(50, bool), 5)
    assert np.isnan(cheby).all()
    assert np.isnan(poly).all()
    assert np.isnan(fit).all()


def test_of_an_odd_number_one_is_left_over(fits):
    pairs, distances = pair_fits(fits[0][:5])
    assert len(pairs) == len(distances) == 2
    with pytest.raises(SettingError, match="two"):
        pair_fits(fits[0][:1])
