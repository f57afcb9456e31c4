"""The kernels of the lattice search beside oracles, and directions that leave no gap."""

from __future__ import annotations

import numpy as np
import pytest

from crystint.index.evidence import RADII
from crystint.ops.lattice_search import LatticeSearch, SearchEffort, axes_across, half_sphere
from tests.index.simulated import CELLS, basis_of, misorientation, still
from tests.oracles import lattice

EFFORT = SearchEffort(4000)
NEAR, SHARE = 0.2, 0.6


@pytest.fixture(scope="module")
def frames():
    rng = np.random.default_rng(3)
    return [still(rng, CELLS["lysozyme"][0], n, 0.3) for n in (25, 12, 40)]


@pytest.fixture(scope="module")
def spots(frames):
    """Of three frames and one without any, and where they begin."""
    q = [each.q for each in frames]
    q.insert(1, np.zeros((0, 3)))
    return np.concatenate(q), np.cumsum([0, *map(len, q)])


def search_of(engine, cell="lysozyme", q_max=0.5, effort=EFFORT):
    return LatticeSearch(engine, basis_of(CELLS[cell][0]), q_max, RADII, effort)


def caught(monkeypatch, engine):
    """What each kernel is arguments and gives, by name."""
    launches = {}
    launch = type(engine).launch

    def recording(self, kernel, groups, size, /, *sources, frames=1, **arguments):
        before = {}
        if kernel.name in ("refine_vectors", "refine_lattices"):
            buffer = arguments.get("vector") or arguments["basis"]
            number = arguments.get("vectors") or arguments["lattices"]
            rows = 3 if kernel.name == "refine_vectors" else 9
            before["start"] = self.receive(buffer, frames * rows * number).reshape(frames, rows, number)
        launch(self, kernel, groups, size, *sources, frames=frames, **arguments)
        launches.setdefault(kernel.name, []).append((self, arguments, frames, before))

    monkeypatch.setattr(type(engine), "launch", recording)
    return launches


def test_the_best_direction_of_each_patch(engine, spots, monkeypatch):
    q, first = spots
    launches = caught(monkeypatch, engine)
    search = search_of(engine)
    search.search(q, first)
    assert len(launches["score_vectors"]) == len(search.axes) == 2  # a = b
    for axis, (own, arguments, frames, _) in zip(search.axes, launches["score_vectors"], strict=True):
        patches, length = arguments["patches"], search.lengths[axis]
        best = own.receive(arguments["best"], frames * patches).reshape(frames, patches)
        which = own.receive(arguments["which"], frames * patches).reshape(frames, patches)
        directions = half_sphere(search.spacings[axis])
        for frame in range(frames):
            some = q[first[frame] : first[frame + 1]]
            some = some[np.linalg.norm(some, axis=1) <= arguments["reach"]]
            for patch in (0, patches // 2, patches - 1):
                own_ones = directions[256 * patch : 256 * (patch + 1)]
                scores = [lattice.score_of_vector(some, length * each, NEAR) for each in own_ones]
                assert best[frame, patch] == pytest.approx(max(scores), rel=1e-3, abs=1e-3)
                assert 256 * patch <= which[frame, patch] < 256 * (patch + 1)
                chosen = lattice.score_of_vector(some, length * directions[which[frame, patch]], NEAR)
                assert chosen == pytest.approx(max(scores), rel=1e-3, abs=1e-3)


def test_refined_vectors(engine, spots, monkeypatch):
    q, first = spots
    launches = caught(monkeypatch, engine)
    search = search_of(engine)
    search.search(q, first)
    ((own, arguments, frames, before),) = launches["refine_vectors"]
    number = arguments["vectors"]
    result = own.receive(arguments["vector"], frames * 3 * number).reshape(frames, 3, number)
    lengths = search.lengths[np.asarray(search.axes)[search.kinds]]
    for frame in (0, 2, 3):
        for k in range(0, number, 5):
            start = before["start"][frame, :, k]
            wanted = lattice.refined_vector(q[first[frame] : first[frame + 1]], start, lengths[k])
            assert np.linalg.norm(result[frame, :, k] - wanted) < 2e-3 * lengths[k]
    assert np.allclose(np.linalg.norm(result, axis=1), lengths, rtol=1e-5)


def test_turned_lattices(engine, spots, monkeypatch):
    q, first = spots
    launches = caught(monkeypatch, engine)
    search = search_of(engine)
    search.search(q, first)
    ((own, arguments, frames, _),) = launches["score_turns"]
    number, sectors = arguments["vectors"], arguments["sectors"]
    best = own.receive(arguments["best"], frames * number * sectors).reshape(frames, number, sectors)
    which = own.receive(arguments["which"], frames * number * sectors).reshape(frames, number, sectors)
    vectors = own.receive(arguments["vector"], frames * 3 * number).reshape(frames, 3, number)
    for frame, k in ((0, 0), (0, number - 1), (2, 3), (3, number // 2)):
        some = q[first[frame] : first[frame + 1]]
        angles = np.arange(search.angles) * 2 * np.pi / search.angles
        bases = [
            search._basis_about(vectors[frame, :, k].astype(float), search.kinds[k], np.array(angle))
            for angle in angles
        ]
        scores = np.array([lattice.score_of_lattice(some, basis, NEAR, SHARE) for basis in bases[:256]])
        assert best[frame, k, 0] == pytest.approx(scores.max(), rel=1e-3, abs=1e-3)
        assert scores[which[frame, k, 0]] == pytest.approx(scores.max(), rel=1e-3, abs=1e-3)


def test_turned_bases_are_the_cell(engine):
    search = search_of(engine, "triclinic")
    rng = np.random.default_rng(1)
    metric = search.basis @ search.basis.T
    for kind, axis in enumerate(search.axes):
        direction = rng.normal(size=3)
        vector = direction / np.linalg.norm(direction) * search.lengths[axis]
        basis = search._basis_about(vector, np.array(kind), np.array(rng.uniform(0, 6)))
        assert np.allclose(basis @ basis.T, metric)
        assert np.allclose(basis[axis], vector)
        assert np.linalg.det(basis) > 0


def test_refined_lattices_and_their_counts(engine, spots, monkeypatch):
    q, first = spots
    launches = caught(monkeypatch, engine)
    search = search_of(engine)
    result = search.search(q, first)
    ((own, arguments, _, before),) = launches["refine_lattices"]
    spread = own.receive(arguments["spread"], arguments["lattices"])
    checked = 0
    for frame in (0, 2, 3):
        some = q[first[frame] : first[frame + 1]]
        good = result.inside[frame, :, 4].argsort()[-3:]  # of wrong ones, rounding decides which spots are near
        for k in good:
            start = before["start"][frame, :, k].reshape(3, 3)
            wanted = lattice.refined_lattice(some, start, spread[k], arguments["widest"], arguments["strain"])
            if np.abs(result.basis[frame, k] - wanted).max() > 0.02:
                continue
            checked += 1
            counts = lattice.inside(some, result.basis[frame, k], search.radii)
            assert np.abs(np.array(counts) - result.inside[frame, k]).max() <= 1
    assert checked >= 7
    assert (result.inside[1] == 0).all()  # a frame without spots


def test_the_lattice_is_among_the_results(engine, frames, spots):
    q, first = spots
    result = search_of(engine).search(q, first)
    for frame, truth in zip((0, 2, 3), frames, strict=True):
        best = result.inside[frame, :, 3].argmax()
        assert misorientation(result.basis[frame, best], truth.basis) < 0.3


def test_frames_in_any_batch_give_the_same(engine, spots):
    q, first = spots
    search = search_of(engine)
    whole = search.search(q, first)
    alone = search.search(q, first[2:4])
    assert np.array_equal(whole.basis[2], alone.basis[0])
    assert np.array_equal(whole.inside[2], alone.inside[0])
    assert len(search.search(q, first[:1]).basis) == 0


@pytest.mark.parametrize("spacing", [0.3, 0.1, 0.04])
def test_directions_leave_no_gap(spacing):
    directions = half_sphere(spacing)
    assert len(directions) % 256 == 0
    assert np.allclose(np.linalg.norm(directions, axis=1), 1, atol=1e-6)
    rng = np.random.default_rng(2)
    some = rng.normal(size=(2000, 3))
    some /= np.linalg.norm(some, axis=1)[:, None]
    nearest = np.abs(some @ directions.T).max(axis=1)  # either sense
    assert np.degrees(np.arccos(nearest)).max() < np.degrees(0.75 * spacing)


def test_axes_across_are_right_handed(rng):
    vectors = rng.normal(size=(50, 3))
    axes = axes_across(vectors)
    assert np.allclose(axes @ axes.swapaxes(1, 2), np.eye(3))
    assert np.allclose(np.linalg.det(axes), 1)
    assert np.allclose(axes[:, 2] * np.linalg.norm(vectors, axis=1)[:, None], vectors)
