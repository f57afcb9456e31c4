"""The demands that only real frames can put: thaumatin on a PILATUS3 6M, against DIALS and theory."""

from __future__ import annotations

import csv
from functools import cache

import numpy as np
import pytest
from scipy.spatial import cKDTree

from crystint.io.frames.sequence import open_frames
from crystint.model.rings import interpolate
from crystint.ops import detector_buffers
from crystint.ops.densify import densify
from crystint.ops.separator import Separator
from tests.conftest import shared_data
from tests.oracles import background as oracle

MODELS = ["poisson", "azimuthal", "hybrid"]


@cache
def frame_of(number):
    """Frame, geometry, saturation."""
    with open_frames(shared_data(f"thaumatin/thau_3_2_00{number}.cbf.bz2")) as frames:
        return frames[0], frames.geometry, frames.saturation


@pytest.fixture(scope="module")
def separate(engine):
    """Separators, made once per model."""

    @cache
    def make(model):
        _, geometry, saturation = frame_of("03")
        return Separator(geometry, error_model=model, saturation=saturation, engine=engine)

    return make


def ring_of(separator, frame):
    """Ring of each usable pixel, -1 for the others."""
    ring = np.clip(np.floor(separator.rings.position + np.float32(0.5)), 0, separator.rings.rings - 1)
    lost = np.isnan(separator.rings.position) | (frame < 0) | (frame > separator.saturation)
    return np.where(lost, -1, ring).astype(int)


def spots_of(number):
    with shared_data("thaumatin/dials_strong_spots.csv").open() as file:
        rows = csv.DictReader(line for line in file if not line.startswith("#"))
        return np.array([(float(r["slow"]), float(r["fast"])) for r in rows if r["frame"].endswith(number)])


def oracle_of(separator, frame, model):
    ring = ring_of(separator, frame)
    return oracle.frame_background(frame, separator.rings.weight, ring, 1000, model).T


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("number", ["03", "15"])
def test_every_ring_equals_the_oracle(separate, monkeypatch, number, model):
    """In the order of the rings. The sample of the robust start counts unusable pixels, so they are masked here."""
    frame, geometry, saturation = frame_of(number)
    lost = (frame < 0) | (frame > saturation)
    engine = separate(model).engine
    monkeypatch.setattr(detector_buffers, "ring_cells", lambda rings: None)
    separator = Separator(geometry, lost, error_model=model, saturation=saturation, engine=engine)
    background = separator.background(frame)
    n, mean, std, sem = oracle_of(separator, frame, model)
    assert np.array_equal(background.count, n)
    filled = n > 0
    np.testing.assert_allclose(background.mean[filled], mean[filled], rtol=1e-4)
    scale = 2e-7 * mean[filled]
    assert np.all(np.abs(background.std - std)[filled] <= 1e-4 * std[filled] + scale)
    assert np.all(np.abs(background.sem - sem)[filled] <= 1e-4 * sem[filled] + scale)


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("number", ["03", "08", "15", "18"])
def test_every_mean_is_that_of_the_oracle(separate, monkeypatch, number, model):
    """In storage order, where the robust start is from all pixels, and gaps have no mask: to 0.02 standard errors."""
    frame, _, _ = frame_of(number)
    separator = separate(model)
    monkeypatch.setattr(oracle, "OF_COUNTS", True)
    background = separator.background(frame)
    n, mean, std, sem = oracle_of(separator, frame, model)
    filled = (n > 0) & (sem > 0)
    assert np.array_equal(background.count > 0, n > 0)
    assert np.max(np.abs(background.mean - mean)[filled] / sem[filled]) < 0.02
    assert np.all(np.abs(background.std - std)[filled] <= 2e-3 * std[filled])
    assert np.array_equal(background.count, n)


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("number", ["03", "08", "15", "18"])
def test_no_ring_ends_without_a_background(separate, number, model):
    frame, _, _ = frame_of(number)
    separator = separate(model)
    usable = np.bincount(ring_of(separator, frame).ravel() + 1, minlength=1001)[1:]
    background = separator.background(frame)
    assert np.all(np.isfinite(background.mean[usable >= 1]))
    assert np.all(np.isnan(background.mean[usable == 0]))
    many = usable >= 10
    assert np.all(background.count[many] > 0)
    assert np.all(background.count[many] >= 0.5 * usable[many])


@pytest.mark.parametrize("model", ["poisson", "hybrid"])
def test_at_low_counts_the_spread_follows_the_counts(separate, model):
    """Width of z in 0.97 .. 1.03 in every quartile of the rings, and of the normalization inside the rings."""
    frame, _, _ = frame_of("15")
    separator = separate(model)
    background = separator.background(frame)
    ring = ring_of(separator, frame)
    here = ring >= 20  # beyond the shadow of the beam stop
    ring, weight = ring[here], separator.rings.weight[here].astype(float)
    mean = background.mean[ring]
    by_pixel = (frame[here] - mean * weight) / np.sqrt(mean * weight)
    by_ring = (frame[here] / weight - mean) / background.std[ring]
    background_pixel = np.abs(by_pixel) < 5
    middle = np.array([np.median(weight[ring == r]) if np.any(ring == r) else 1.0 for r in range(1000)])
    for low, high in ((20, 250), (250, 500), (500, 750), (750, 1000)):
        inside = background_pixel & (ring >= low) & (ring < high)
        assert 0.97 < by_pixel[inside].std() < 1.03
        assert 0.97 < by_ring[inside].std() < 1.03
        for half in (weight < middle[ring], weight >= middle[ring]):
            assert 0.97 < by_pixel[inside & half].std() < 1.03


@pytest.mark.parametrize(("number", "recall", "share"), [("03", 98.9, 77), ("08", 98.5, 77), ("15", 94, 75)])
def test_peaks_against_dials(separate, number, recall, share):
    """One set of defaults. peakfinder8 on frame 03: 98.9 and 77 %."""
    frame, _, _ = frame_of(number)
    peaks = separate("hybrid").peaks(frame)
    ours, theirs = np.stack([peaks["slow"], peaks["fast"]], axis=1), spots_of(number)
    assert 100 * np.mean(cKDTree(ours).query(theirs)[0] <= 3) >= recall
    assert 100 * np.mean(cKDTree(theirs).query(ours)[0] <= 3) >= share


def test_a_blank_frame_has_no_peaks(separate):
    frame, _, _ = frame_of("18")
    assert len(separate("hybrid").peaks(frame)) <= 3


def test_repeated_runs_are_byte_identical(separate):
    frame, _, _ = frame_of("03")
    separator = separate("hybrid")

    def all_of_it():
        sparse = separator.sparsify(frame)
        parts = (sparse.index, sparse.value, sparse.background.mean, sparse.background.std, sparse.background.excess)
        return [part.tobytes() for part in parts] + [separator.peaks(frame).tobytes(), densify(sparse).tobytes()]

    assert all_of_it() == all_of_it()


@pytest.mark.parametrize("number", ["03", "15"])
def test_densified_background_has_the_statistics_of_the_raw_one(separate, number):
    frame, _, _ = frame_of(number)
    separator = separate("hybrid")
    sparse = separator.sparsify(frame)
    back = densify(sparse, engine=separator.engine)
    rest = np.ones(frame.size, bool)
    rest[sparse.index] = rest[sparse.unusable_index] = False
    raw, new = frame.ravel()[rest].astype(float), back.ravel()[rest].astype(float)
    assert new.mean() == pytest.approx(raw.mean(), rel=0.02)
    assert new.var() == pytest.approx(raw.var(), rel=0.02)
    assert (new == 0).mean() == pytest.approx((raw == 0).mean(), rel=0.02)
    again = separator.sparsify(back)
    assert len(np.setdiff1d(again.index, sparse.index)) == 0
    assert np.array_equal(back.ravel()[~rest], frame.ravel()[~rest])


def test_clean_densify_is_the_interpolated_mean(separate):
    frame, _, _ = frame_of("15")
    separator = separate("hybrid")
    sparse = separator.sparsify(frame)
    wanted = interpolate(sparse.background.mean, separator.rings.position) * separator.rings.weight
    back = densify(sparse, noise=False, engine=separator.engine)
    rest = np.ones(frame.size, bool)
    rest[sparse.index] = rest[sparse.unusable_index] = False
    assert np.abs(back.ravel()[rest] - wanted.ravel()[rest]).max() <= 0.5 + 1e-4


def test_a_weak_rotation_frame_of_another_detector(engine):
    """0.02 counts per pixel on a tilted PILATUS 2M; every strong reflection that DIALS integrated on it is a peak."""
    with open_frames(shared_data("stills/l_cysteine_wedge/l-cyst_01_00001.cbf.bz2")) as frames:
        separator = Separator(frames.geometry, frames.mask, saturation=frames.saturation, engine=engine)
        peaks = separator.peaks(frames[0])
    assert 5 <= len(peaks) <= 60
    assert np.all(peaks["snr"] > 2)
