"""Maps: exact on and between nodes; empty nodes take no part."""

from __future__ import annotations

import numpy as np
import pytest

from crystint.cbc.scaling.projection import ProjectionMap
from crystint.errors import SettingError, ShapeError
from tests.oracles import cbc_scaling as oracle

X = np.array([-0.3, -0.1, 0.0, 0.5, 0.6])
Y = np.array([0.1, 0.4, 1.0])
FRAMES = np.array([100, 101, 104])


def a_map(rng, empty=0.0):
    values = rng.uniform(0.5, 2.0, (3, 3, 5))
    values[rng.random(values.shape) < empty] = np.nan
    return ProjectionMap(values, X, Y, FRAMES)


def test_nodes_give_back_their_values_exactly(rng):
    chi = a_map(rng)
    at = np.stack(np.meshgrid(X, Y), axis=-1).reshape(-1, 2)
    for frame in range(3):
        assert np.array_equal(chi.interpolate(frame, at), chi.values[frame].reshape(-1))
    holes = a_map(rng, 0.4)
    for frame in range(3):
        assert np.array_equal(holes.interpolate(frame, at), holes.values[frame].reshape(-1), equal_nan=True)


def test_a_bilinear_function_is_exact_between_nodes(rng):
    x, y = np.meshgrid(X, Y)
    chi = ProjectionMap(np.broadcast_to(2 + x - 3 * y + 5 * x * y, (3, 3, 5)), X, Y, FRAMES)
    at = np.stack([rng.uniform(-0.3, 0.6, 200), rng.uniform(0.1, 1.0, 200)], axis=1)
    exact = 2 + at[:, 0] - 3 * at[:, 1] + 5 * at[:, 0] * at[:, 1]
    np.testing.assert_allclose(chi.interpolate(rng.integers(0, 3, 200), at), exact, rtol=1e-14, atol=1e-15)


def test_a_tenth_of_the_way_is_nine_tenths_of_the_first_node():
    chi = ProjectionMap([[[10.0, 20.0], [10.0, 20.0]]], [0.0, 1.0], [0.0, 1.0], [7])
    assert chi.interpolate(0, [[0.1, 0.5]])[0] == pytest.approx(11.0, rel=1e-15)


@pytest.mark.parametrize("empty", [0.0, 0.3, 1.0])
def test_interpolation_equals_the_oracle(rng, empty):
    chi = a_map(rng, empty)
    at, frame = rng.uniform(-0.5, 1.2, (300, 2)), rng.integers(0, 3, 300)
    slow = [oracle.bilinear(chi.values[n], X, Y, place) for n, place in zip(frame, at)]
    assert oracle.distance(chi.interpolate(frame, at), slow) < 1e-14


def test_beyond_the_edge_is_the_edge(rng):
    chi = a_map(rng)
    found = chi.interpolate(1, [[-9.0, -9.0], [9.0, 9.0], [9.0, 0.4]])
    assert found.tolist() == [chi.values[1, 0, 0], chi.values[1, 2, 4], chi.values[1, 1, 4]]


def test_frames_do_not_mix(rng):
    chi = a_map(rng)
    at = rng.uniform(0.0, 0.5, (20, 2))
    alone = ProjectionMap(chi.values[2:], X, Y, FRAMES[2:])
    assert np.array_equal(chi.interpolate(np.full(20, 2), at), alone.interpolate(0, at))


def test_mean_runs_over_known_nodes_only():
    chi = ProjectionMap([[[1.0, np.nan], [2.0, 6.0]]], [0.0, 1.0], [0.0, 1.0], [7])
    assert chi.mean == 3.0
    found, mean = chi.normalised()
    assert mean == 3.0
    assert found.mean == pytest.approx(1.0)
    assert found.empty.sum() == 1
    with pytest.raises(SettingError, match="mean of chi is nan"):
        ProjectionMap(chi.values * np.nan, chi.x, chi.y, [7]).normalised()


def test_grids_over_the_data(rng):
    u = rng.uniform(-1.0, 1.0, (50, 2))
    chi = ProjectionMap.even([3, 4], u, (5, 9))
    assert chi.values.shape == (2, 5, 9)
    assert (chi.values == 1.0).all()
    assert (chi.x[0], chi.x[-1], chi.y[0], chi.y[-1]) == (*np.sort(u[:, 0])[[0, -1]], *np.sort(u[:, 1])[[0, -1]])
    own = ProjectionMap.even([3], u, (np.linspace(-1, 1, 4), 3))
    assert own.values.shape == (1, 4, 3)
    assert len(ProjectionMap.even([3], np.zeros((4, 2)), (2, 2)).x) == 2
    with pytest.raises(SettingError, match=r"grid of chi in x covers 0\.\.1, but the data reach"):
        ProjectionMap.even([3], u, (5, np.linspace(0, 1, 4)))
    with pytest.raises(SettingError, match="1 nodes in y"):
        ProjectionMap.even([3], u, (1, 4))


def test_maps_and_questions_that_do_not_fit(rng):
    chi = a_map(rng)
    with pytest.raises(ShapeError, match="expected"):
        ProjectionMap(chi.values[:2], X, Y, FRAMES)
    with pytest.raises(ShapeError, match="axis x"):
        ProjectionMap(chi.values, X[:1], Y, FRAMES)
    with pytest.raises(SettingError, match="axis y of the map is not ascending"):
        ProjectionMap(chi.values, X, Y[::-1], FRAMES)
    with pytest.raises(ShapeError, match="u is"):
        chi.interpolate(0, [1.0, 2.0])
    with pytest.raises(SettingError, match="map of 3 frames"):
        chi.interpolate([0, 3], np.zeros((2, 2)))
    assert len(chi.interpolate(0, np.zeros((0, 2)))) == 0
