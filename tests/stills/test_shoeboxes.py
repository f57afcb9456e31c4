"""Cores, rings and flags against a pixel-by-pixel classification with exact geometry."""

from __future__ import annotations

import numpy as np
import pytest

from crystint.errors import SettingError, ShapeError
from crystint.model.experiment import Detector
from crystint.model.observations import Flag
from crystint.model.panels import Panel
from crystint.prediction.partiality import RockingWidth
from crystint.prediction.predict import predict
from crystint.stills.integration.shoeboxes import BoxRules, Places, cut, pixel_axes
from crystint.stills.simulation.simulate import Crystal, SimulatedStills, StillsSettings
from tests.oracles import stills_shoeboxes as oracle

SHAPE = (301, 287)
WIDTHS = (6e-3, 3.5e-3)
CRYSTAL = Crystal(cell=(20.0, 24.0, 31.0, 90.0, 90.0, 90.0), space_group="P 21 21 21")


@pytest.fixture(scope="module")
def scene():
    """An experiment of two crystals on one frame, and what is predicted on it."""
    settings = StillsSettings(
        frames=1, crystal=CRYSTAL, shape=SHAPE, distance=0.04, d_min=2.0, second_lattice=1.0, seed=5
    )
    experiment = SimulatedStills(settings).experiment
    return experiment, predict(experiment, 2.0, RockingWidth(4e-3))


def places_of(experiment, predicted, widths=WIDTHS):
    where = predicted.panel.astype(np.intp), predicted.slow, predicted.fast
    axes = pixel_axes(experiment, predicted.image, predicted.hkl, *where)
    return Places(*where, axes=axes, width=np.broadcast_to(widths, (len(predicted), 2)))


def geometry_of(experiment):
    panel = experiment.detectors[0].panels[0]
    return panel.origin, panel.slow_vector, panel.fast_vector


def painted(boxes, values, fill=0):
    """A column of values of boxes in a frame of its own, for each reflection."""
    for box in boxes:
        for k, row in enumerate(box.row):
            yield int(row), box, k, values(box)[k].reshape(box.side, box.side)


def test_axes_are_those_of_the_exact_geometry(scene):
    experiment, predicted = scene
    places = places_of(experiment, predicted)
    geometry, incident = geometry_of(experiment), experiment.incident[0]
    for k in range(0, len(predicted), 7):
        for step in ((3.0, 0.0), (0.0, -3.0), (2.0, 2.0)):
            exact = oracle.offsets(
                geometry, incident, predicted.ray[k], (places.slow[k] + step[0], places.fast[k] + step[1])
            )
            linear = places.axes[k] @ step
            assert np.abs(linear - exact).max() < 0.02 * np.hypot(*exact)


def test_cores_and_rings_are_those_of_every_pixel_by_itself(scene):
    experiment, predicted = scene
    places, rules = places_of(experiment, predicted), BoxRules()
    frame = np.ones(SHAPE, np.int32)
    boxes = list(cut(frame, experiment.detectors[0], places, rules))
    assert sorted(np.concatenate([box.row for box in boxes]).tolist()) == list(range(len(predicted)))
    geometry, incident = geometry_of(experiment), experiment.incident[0]
    exact = np.array([oracle.distance(geometry, incident, ray, WIDTHS, SHAPE, 16) for ray in predicted.ray])
    with np.errstate(invalid="ignore"):
        claims = (exact <= 2.5).sum(axis=0)
        near = (np.abs(exact - 2.5) < 0.06).any(axis=0)  # the border itself is a matter of rounding
    checked = 0
    for box in boxes:
        for k, row in enumerate(box.row):
            first = [round(p + o[k, 0] - 0.5) for p, o in zip((places.slow[row], places.fast[row]), box.offset)]
            profile, ring = (v[k].reshape(box.side, box.side) for v in (box.profile, box.ring))
            overlapped = False
            for i in range(box.side):
                for j in range(box.side):
                    y, x = first[0] + i, first[1] + j
                    if not (0 <= y < SHAPE[0] and 0 <= x < SHAPE[1]):
                        assert profile[i, j] == 0.0
                        assert not ring[i, j]
                        continue
                    if near[y, x] or abs(exact[row, y, x] - 3.5) < 0.1:
                        overlapped = None if near[y, x] and overlapped is False else overlapped
                        continue
                    mine = exact[row, y, x] <= 2.5
                    assert (profile[i, j] > 0.0) == (mine and claims[y, x] == 1)
                    assert ring[i, j] == (claims[y, x] == 0 and exact[row, y, x] > 3.5)
                    overlapped = True if mine and claims[y, x] > 1 else overlapped
                    checked += 1
            if overlapped is not None:
                assert bool(box.flags[k] & Flag.OVERLAPPED) == overlapped
            assert box.ring[k].sum() >= rules.min_ring or box.flags[k] & Flag.MASKED
    assert checked > 20000
    assert any((box.flags & Flag.OVERLAPPED).any() for box in boxes)


def test_profiles_hold_one_reflection_less_what_is_missing(scene):
    experiment, predicted = scene
    places = places_of(experiment, predicted)
    for box in cut(np.ones(SHAPE, np.int32), experiment.detectors[0], places, BoxRules()):
        clean = (box.flags & (Flag.OVERLAPPED | Flag.EDGE)) == 0
        assert np.all(np.abs(box.captured[clean] - 0.998) < 0.003)
        assert np.all(box.captured[~clean] < 0.9999)
        for k in np.flatnonzero(clean)[:5]:  # the height of the exact Gaussian at the centre of each pixel
            scale = abs(np.linalg.det(places.axes[box.row[k]])) / (np.pi * WIDTHS[0] * WIDTHS[1])
            slow, fast = np.meshgrid(box.offset[0][k], box.offset[1][k], indexing="ij")
            offset = np.einsum("ai,ijk->ajk", places.axes[box.row[k]], np.stack([slow, fast]))
            wanted = scale * np.exp(-((offset[0] / WIDTHS[0]) ** 2) - (offset[1] / WIDTHS[1]) ** 2)
            core = box.profile[k] > 0.0
            np.testing.assert_allclose(box.profile[k][core], wanted.ravel()[core], rtol=5e-3)


@pytest.mark.parametrize("dtype", [np.uint16, np.int32, np.float32])
def test_pixels_that_cannot_be_used_are_not(scene, dtype):
    experiment, predicted = scene
    places, detector = places_of(experiment, predicted), experiment.detectors[0]
    inside = np.all([(p > 20) & (p < n - 20) for p, n in zip((places.slow, places.fast), SHAPE)], axis=0)
    rows = np.flatnonzero(inside)
    frame = np.full(SHAPE, 3, dtype)
    mask = np.zeros(SHAPE, bool)
    at = lambda row: (int(places.slow[row]), int(places.fast[row]))  # noqa: E731
    clean = next(cut(frame, detector, places, BoxRules()))
    alone = [row for row in rows if row in clean.row[(clean.flags == 0)]][:4]
    hot, dead, hidden, dark = alone
    frame[at(hot)] = 1000
    frame[at(dead)] = {"u": np.iinfo(np.uint16).max, "i": -2, "f": np.nan}[np.dtype(dtype).kind]
    mask[at(hidden)] = True
    y, x = at(dark)
    mask[y - 4 : y + 5, x - 4 : x + 5] = True
    seen = {}
    for row, box, k, profile in painted(
        cut(frame, detector, places, BoxRules(), mask=mask, saturation=999.0), lambda box: box.profile
    ):
        seen[row] = (int(box.flags[k]), profile, box.counts[k].reshape(profile.shape), box.ring[k])
    middle = seen[hot][1].shape[0] // 2, seen[hot][1].shape[1] // 2
    for row, flag in ((hot, Flag.SATURATED), (dead, 0), (hidden, 0)):
        assert seen[row][0] == flag
        assert seen[row][1][middle] == 0.0
        assert seen[row][2][middle] == 0
        assert 0.5 < seen[row][1].sum() < 0.99
    assert seen[dark][0] == Flag.MASKED
    assert seen[dark][1].sum() < 0.1
    counts = [int(box.counts.max()) for box in cut(frame, detector, places, BoxRules(), mask=mask, saturation=999.0)]
    assert max(counts) == 3


def test_too_small_a_ring_masks(scene):
    experiment, predicted = scene
    places, rules = places_of(experiment, predicted), BoxRules(min_ring=100, ring_pixels=100)
    few, many = 0, 0
    for box in cut(np.ones(SHAPE, np.int32), experiment.detectors[0], places, rules):
        small = box.ring.sum(axis=1) < 100
        assert np.array_equal((box.flags & Flag.MASKED) > 0, small | (box.captured < rules.min_captured))
        few, many = few + small.sum(), many + (~small).sum()
    assert few > 0
    assert many > 0


def test_a_core_that_leaves_its_panel_is_told(scene):
    experiment, predicted = scene
    whole = experiment.detectors[0].panels[0]
    steps = whole.slow_vector, whole.fast_vector
    middle = 140
    second = tuple(o + middle * f for o, f in zip(whole.origin, whole.fast_vector, strict=True))
    halves = (
        Panel((0, SHAPE[0]), (0, middle), whole.origin, *steps),
        Panel((0, SHAPE[0]), (middle, SHAPE[1]), second, *steps),
    )
    detector = Detector(SHAPE, halves)
    places = places_of(experiment, predicted)
    split = Places((places.fast >= middle).astype(np.intp), places.slow, places.fast, places.axes, places.width)
    one, two = ({}, {})
    for found, args in ((one, (experiment.detectors[0], places)), (two, (detector, split))):
        for row, box, k, profile in painted(cut(np.ones(SHAPE, np.int32), *args, BoxRules()), lambda box: box.profile):
            found[row] = int(box.flags[k]), profile
    reach = 2.5 * places.extent()[:, 1]
    for row in range(len(places)):
        crosses = abs(places.fast[row] - middle) < reach[row] - 0.8
        far = abs(places.fast[row] - middle) > reach[row] + 0.8
        if crosses:
            assert two[row][0] & Flag.EDGE
            assert two[row][1].sum() < one[row][1].sum()
        elif far:
            assert two[row][0] & Flag.EDGE == one[row][0] & Flag.EDGE
    assert any(flag & Flag.EDGE for flag, _ in two.values())


def test_boxes_grow_with_the_spots(scene):
    experiment, predicted = scene
    detector, frame, sides = experiment.detectors[0], np.ones(SHAPE, np.int32), []
    for width in (2e-3, 4e-3, 1.5e-2):
        boxes = cut(frame, detector, places_of(experiment, predicted, (width, width)), BoxRules())
        sides.append([box.side for box in boxes for _ in box.row])
    assert np.median(sides[0]) == 11
    assert np.median(sides[1]) == 13
    assert min(sides[2]) > 23


def test_impossible_rules_and_shapes_are_named(scene):
    experiment, predicted = scene
    places = places_of(experiment, predicted)
    for name, value in (("reach", 0.1), ("guard", 0.9), ("min_ring", 0), ("ring_pixels", 0), ("min_captured", 1.5)):
        with pytest.raises(SettingError, match=name):
            BoxRules(**{name: value})
    with pytest.raises(ShapeError, match="frame is"):
        next(cut(np.ones((5, 5)), experiment.detectors[0], places, BoxRules()))
    with pytest.raises(ShapeError, match="mask is"):
        next(cut(np.ones(SHAPE), experiment.detectors[0], places, BoxRules(), mask=np.zeros((5, 5), bool)))
