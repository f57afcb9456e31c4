"""Refinement beside the truth of simulated stills, and of what it must not do."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from crystint.index.known_cell import KnownCell
from crystint.index.refinement import SpotRays, refine
from crystint.model.cells import cells_of
from tests.index.simulated import BEAM, CELLS, DISTANCE, WAVELENGTH, misorientation, nodes_near, still

CELL, GROUP = CELLS["lysozyme"]


def rays_of(places, distance=DISTANCE):
    """Of spots that are taken to be on a detector at a distance."""
    place = np.concatenate([np.column_stack([each, np.full(len(each), distance)]) for each in places])
    reach = np.linalg.norm(place, axis=1)
    lattice = np.repeat(np.arange(len(places)), [len(each) for each in places])
    incident = np.tile([0.0, 0.0, 1 / WAVELENGTH], (len(place), 1))
    return SpotRays(place / reach[:, None], reach, incident, lattice)


@pytest.fixture(scope="module")
def stills():
    rng = np.random.default_rng(4)
    return [still(rng, CELL, 60, 0.2) for _ in range(24)]


def near(stills, rng, angle=2e-3):
    """Settings that are off by some mrad, with axes named as the cell names them."""
    turns = Rotation.from_rotvec(rng.normal(0, angle, (len(stills), 3))).as_matrix()
    return np.stack([turn @ np.linalg.inv(each.basis) for turn, each in zip(turns, stills, strict=True)])


def test_orientations_come_to_the_truth(stills, rng):
    before = near(stills, rng)
    result = refine(rays_of([each.place for each in stills]), before, KnownCell.of(CELL, GROUP))
    away = [misorientation(np.linalg.inv(a), t.basis) for a, t in zip(result.setting, stills, strict=True)]
    assert np.median(away) < 0.02
    claimed = np.degrees(np.sqrt(result.covariance[:, :3, :3].trace(axis1=1, axis2=2)))
    assert 0.3 < np.median(away) / np.median(claimed) < 3
    cells = cells_of(result.setting)
    assert np.allclose(cells[:, 0], cells[:, 1], rtol=1e-9)  # the lattice system is kept exactly
    assert np.allclose(cells[:, 3:], 90)
    assert np.abs(cells[:, 0] / CELL[0] - 1).max() < 2e-3
    truth = np.concatenate([np.arange(len(each.place)) for each in stills]).size
    assert 0.7 * truth < result.inlier.sum() < 0.9 * truth  # a fifth are strays
    assert result.spread_along == pytest.approx(4e-4, rel=0.25)


def test_indices_are_those_of_the_truth(stills, rng):
    result = refine(rays_of([each.place for each in stills]), near(stills, rng), KnownCell.of(CELL, GROUP))
    wanted = np.concatenate([np.rint(each.q @ each.basis.T) for each in stills])
    same = (result.hkl == wanted).all(axis=1)
    assert same[result.inlier].mean() > 0.99


def test_a_held_cell_stays(stills, rng):
    result = refine(rays_of([each.place for each in stills]), near(stills, rng), KnownCell.of(CELL, GROUP), strain=0.0)
    assert result.strain.shape == (24, 0)
    assert np.allclose(cells_of(result.setting), CELL, rtol=1e-6)


@pytest.mark.parametrize("factor", [0.99, 1.01])
def test_a_wrong_distance_is_told_from_all_images_with_a_held_cell(stills, rng, factor):
    rays = rays_of([each.place for each in stills], DISTANCE * factor)
    known = KnownCell.of(CELL, GROUP)
    free = refine(rays, near(stills, rng), known)
    assert np.isnan(free.distance)  # never together with the cell
    held = refine(rays, free.setting, known, strain=0.0, shift_sigma=3e-4, distance_sigma=0.05)
    assert held.distance == pytest.approx(1 / factor, abs=2e-3)
    assert held.distance_sigma < 1e-3


def test_a_shift_that_all_images_have_is_found(stills, rng):
    shift = np.array([150e-6, -90e-6])
    rays = rays_of([each.place - shift for each in stills])
    result = refine(rays, near(stills, rng), KnownCell.of(CELL, GROUP), shift_sigma=3e-4)
    assert np.allclose(result.shift[:2], shift, atol=8e-6)
    away = [misorientation(np.linalg.inv(a), t.basis) for a, t in zip(result.setting, stills, strict=True)]
    assert np.median(away) < 0.02


def test_a_crystal_that_turns_is_refined_where_it_stands_at_zero(rng):
    """Spots of one crystal in eight orientations of a goniometer, as one lattice."""
    axis = np.array([1.0, 0.0, 0.0])
    base = still(rng, CELL, 10, 0.0).basis
    places, turned = [], []
    for angle in np.radians(np.arange(8) * 0.7):
        turn = Rotation.from_rotvec(angle * axis).as_matrix()
        p, _ = nodes_near(base @ turn.T, 0.5, 3e-4)
        ray = p + BEAM
        places.append(ray[:, :2] / ray[:, 2:] * DISTANCE)
        turned.append(np.tile(turn, (len(p), 1, 1)))
    rays = rays_of([np.concatenate(places)])
    rays = SpotRays(rays.ray, rays.reach, rays.incident, rays.lattice, np.concatenate(turned))
    start = Rotation.from_rotvec([1e-3, -2e-3, 1e-3]).as_matrix() @ np.linalg.inv(base)
    result = refine(rays, start[None], KnownCell.of(CELL, GROUP))
    assert misorientation(np.linalg.inv(result.setting[0]), base) < 0.01
    assert result.inlier.mean() > 0.95


def test_nothing_to_refine_gives_nothing():
    empty = SpotRays(np.zeros((0, 3)), np.zeros(0), np.zeros((0, 3)), np.zeros(0, np.intp))
    result = refine(empty, np.zeros((0, 3, 3)), KnownCell.of(CELL, GROUP))
    assert len(result.setting) == len(result.hkl) == 0
