"""Sums of reflections on a frame against an oracle that goes pixel by pixel, and against the truth."""

from __future__ import annotations

import numpy as np
import pytest

from crystint.model.valid_values import ValidValues
from crystint.summation.footprints import Footprints
from tests.oracles.summation import disc_sums


@pytest.fixture
def frame() -> np.ndarray:
    """Counts with a gradient, on an odd shape."""
    slow, fast = np.indices((61, 47))
    return np.random.default_rng(3).poisson(2.0 + 0.03 * slow + 0.02 * fast).astype(np.int32)


def test_discs_are_summed_as_pixel_by_pixel(frame):
    rng = np.random.default_rng(5)
    places = rng.uniform(-3, 1, (25, 2)) * 0 + rng.uniform([-2, -2], [63, 49], (25, 2))  # some hang over, some overlap
    frame[rng.integers(0, 61, 15), rng.integers(0, 47, 15)] = -1
    mask = np.zeros(frame.shape, np.uint32)
    mask[20:22, 10:40] = 8
    spots = Footprints.discs(places[:, 0], places[:, 1], frame, mask)
    expected = disc_sums(frame, (mask != 0) | (frame < 0), places)
    assert spots.whole.tolist() == [one is not None for one in expected]
    assert 5 < spots.whole.sum() < 25
    for name, values in zip(("intensity", "variance", "background"), zip(*[one or [np.nan] * 3 for one in expected])):
        np.testing.assert_allclose(spots.sums(frame)[name], values, rtol=1e-12, atol=1e-9)


def test_unusable_and_saturated_pixels_and_edges_leave_no_sum(frame):
    frame[12, 12], frame[30, 30] = 9000, -5
    places = np.array([[12.5, 12.5], [30.5, 30.5], [45.0, 20.0], [58.0, 20.0]])
    spots = Footprints.discs(*places.T, frame, valid=ValidValues(lowest=0.0), saturation=8000.0)
    assert spots.whole.tolist() == [False, False, True, False]
    assert np.isnan(spots.sums(frame)["intensity"]).tolist() == [True, True, False, True]


def test_pixels_of_reflections_are_counted(frame):
    spots = Footprints.discs([20.5, 40.5], [20.5, 20.5], frame)
    index = np.array([0, 20 * 47 + 20, 20 * 47 + 21, 40 * 47 + 24, 60 * 47 + 46], np.uint32)
    assert spots.count(index).tolist() == [2, 1]
    assert spots.count(index[:0]).tolist() == [0, 0]


def test_no_reflection_at_all(frame):
    spots = Footprints.discs([], [], frame)
    assert len(spots) == 0
    assert len(spots.sums(frame)) == 0


def test_intensity_and_variance_are_those_of_the_truth():
    rng = np.random.default_rng(11)
    slow, fast = np.meshgrid(np.arange(12.5, 600, 25), np.arange(12.5, 500, 25), indexing="ij")
    places = np.stack([slow.ravel(), fast.ravel()], axis=1) + rng.uniform(-0.5, 0.5, (slow.size, 2))
    i, j = np.indices((600, 500))
    expected = np.full((600, 500), 0.7)
    for place in places:
        s, f = (slice(int(x) - 8, int(x) + 9) for x in place)
        expected[s, f] += (
            60 / (2 * np.pi) * np.exp(-0.5 * ((i[s, f] + 0.5 - place[0]) ** 2 + (j[s, f] + 0.5 - place[1]) ** 2))
        )
    frame = rng.poisson(expected).astype(np.uint16)
    sums = Footprints.discs(*places.T, frame).sums(frame)
    number = len(sums)
    assert abs(sums["intensity"].mean() - 60.0) < 4 * sums["intensity"].std() / np.sqrt(number)
    assert sums["intensity"].std() ** 2 / sums["variance"].mean() == pytest.approx(1.0, abs=4 * np.sqrt(2 / number))
