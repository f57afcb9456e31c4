"""Pairs: LOKI's on its own data, the oracle's elsewhere, and the least total proven by trying all."""

from __future__ import annotations

import numpy as np
import pytest

from crystint.correlate.pairs import matching, pairing
from crystint.correlate.pairs.blossom import FAR, Blossoms
from crystint.correlate.pairs.matching import minimum_matching
from crystint.correlate.pairs.pairing import distances, pair_exposures
from crystint.errors import DTypeError, SettingError, ShapeError
from tests.conftest import shared_data
from tests.oracles import correlate_matching as exact
from tests.oracles import correlate_rings as oracle


def test_pairs_of_the_reference_data():
    stored = np.load(shared_data("loki/loki_out_py3.npz"))
    greedy = pair_exposures(stored["cheby_fits"])
    assert greedy.pairs.tolist() == [[0, 4], [1, 6], [2, 5], [3, 8], [7, 11], [9, 13], [10, 12]]
    assert greedy.distance == pytest.approx(stored["pair_dists"], rel=1e-9)
    assert greedy.total == pytest.approx(23271.5, abs=0.05)
    optimal = pair_exposures(stored["cheby_fits"], "optimal")
    assert optimal.pairs.tolist() == [[0, 4], [1, 13], [2, 5], [3, 8], [6, 9], [7, 11], [10, 12]]
    assert optimal.total == pytest.approx(22738.6, abs=0.05)
    table = distances(stored["cheby_fits"], stored["cheby_fits"], same=True)
    away = ~np.eye(14, dtype=bool)
    assert table[away] == pytest.approx(stored["dist_matrix"][away], rel=1e-9)


@pytest.mark.parametrize("count", [2, 3, 8, 31, 40])
@pytest.mark.parametrize("block", [1, 7, 512])
def test_greedy_equals_the_oracle(rng, monkeypatch, count, block):
    monkeypatch.setattr(pairing, "_BLOCK", block)
    fits = rng.normal(1e4, 50.0, (count, 19))
    found = pair_exposures(fits)
    assert found.pairs.tolist() == [sorted(pair) for pair in oracle.greedy_pairs(fits)]
    assert len(found.left_over) == count % 2


def test_equal_fits_are_paired_by_number():
    found = pair_exposures(np.ones((5, 4)))
    assert found.pairs.tolist() == [[0, 1], [2, 3]]
    assert found.distance.tolist() == [0.0, 0.0]
    assert found.left_over.tolist() == [4]


def _places(rng, kind, count):
    """Exposures as pairing meets them: spread out, of a few kinds (some of them odd in number), equal, on a lattice."""
    if kind == "spread":
        return rng.normal(size=(count, 3))
    if kind == "clusters":
        return rng.normal(size=(5, 8))[np.arange(count) % 5] + 1e-3 * rng.normal(size=(count, 8))
    if kind == "small clusters":
        return (10 * rng.normal(size=(count, 8)))[np.arange(count) // 7] + 1e-3 * rng.normal(size=(count, 8))
    if kind == "duplicates":
        return rng.normal(size=(7, 8))[rng.integers(0, 7, count)]
    return rng.integers(0, 4, (count, 2)).astype(float)


KINDS = ("spread", "clusters", "small clusters", "duplicates", "ties")


def _without_start(weight, _columns):
    """Prices from which all partners have yet to be found: then trees are large, and blossoms many."""
    return weight.min(axis=1) // 4 * 2, [-1] * len(weight)


@pytest.mark.parametrize("start", ["relaxed", "nothing"])
@pytest.mark.parametrize("kind", [*KINDS, "random", "whole"])
def test_the_matching_has_the_least_total(rng, monkeypatch, kind, start):
    if start == "nothing":
        monkeypatch.setattr(matching, "_relaxed", _without_start)
    for count in [*range(2, 11), 12]:
        if kind in KINDS:
            place = _places(rng, kind, count)
            weight = np.linalg.norm(place[:, None] - place[None, :], axis=2)
        else:
            weight = rng.random((count, count)) if kind == "random" else rng.integers(0, 5, (count, count))
            weight = weight + weight.T
        pairs = minimum_matching(weight)
        assert len(np.unique(pairs)) == 2 * (count // 2) == pairs.size
        assert weight[pairs[:, 0], pairs[:, 1]].sum() == pytest.approx(exact.least_total(weight), rel=1e-9, abs=1e-12)


def test_weights_may_differ_by_rounding(rng):
    place = _places(rng, "clusters", 80)
    weight = distances(place, place) * (1.0 + 1e-13 * rng.normal(size=(80, 80)))
    pairs = minimum_matching(weight)
    assert weight[pairs[:, 0], pairs[:, 1]].sum() == pytest.approx(pair_exposures(place, "optimal").total, rel=1e-9)


def test_the_two_oracles_agree(rng):
    for count in (2, 5, 8):
        weight = rng.random((count, count))
        weight = weight + weight.T
        assert exact.least_total(weight) == pytest.approx(oracle.least_total(weight), rel=1e-12)


@pytest.mark.parametrize("start", [matching._relaxed, _without_start])
@pytest.mark.parametrize("kind", KINDS)
def test_prices_prove_large_matchings(rng, kind, start):
    """Odd sets in odd sets, opened and closed again: whatever the way, the prices of the end prove its total."""
    place = _places(rng, kind, 240)
    whole = 4 * np.rint(1e9 * distances(place, place)).astype(np.int64)
    np.fill_diagonal(whole, FAR)
    columns = np.array(matching.linear_sum_assignment(np.where(whole == FAR, np.inf, whole))[1])
    blossoms = Blossoms(whole, *start(whole, columns))
    blossoms.match()
    odd_sets = [(blossoms._inside[b], price) for b, price in blossoms.set_price.items()]
    assert exact.proves(whole, blossoms.price, odd_sets, np.array(blossoms.partner))
    assert blossoms.bound() == whole[np.arange(240), blossoms.partner].sum() // 2
    if start is _without_start and kind == "spread":
        wrong = blossoms.price.copy()
        wrong[3] += 2
        assert not exact.proves(whole, wrong, odd_sets, np.array(blossoms.partner))


@pytest.mark.parametrize("kind", KINDS)
def test_hundreds_of_exposures_of_a_few_kinds(rng, kind):
    """Five hundred are a block of the command; linear programming with odd sets did not end here."""
    place = _places(rng, kind, 499)
    found = pair_exposures(place, "optimal")
    assert found.pairs.shape == (249, 2)
    assert len(np.unique(found.pairs)) == 498
    assert found.total <= pair_exposures(place).total * (1 + 1e-9)
    if kind == "clusters":  # 100, 100, 100, 100, 99: no pair of two kinds
        assert (np.ptp(found.pairs % 5, axis=1) == 0).all()


def test_odd_sets_are_cut(rng):
    """Far clusters of odd size: without odd sets the programme stops at halves."""
    place = np.concatenate([rng.normal(size=(5, 2)) + 50 * np.array([i % 3, i // 3]) for i in range(6)])
    weight = np.hypot(*(place[:, None] - place[None, :]).transpose(2, 0, 1))
    pairs = minimum_matching(weight)
    across = pairs[:, 0] // 5 != pairs[:, 1] // 5
    assert across.sum() == 3
    # within a cluster, what is left over pairs at its best
    for cluster in range(6):
        inside = pairs[(pairs // 5 == cluster).all(axis=1)]
        members = np.unique(inside)
        own = weight[np.ix_(members, members)]
        assert weight[inside[:, 0], inside[:, 1]].sum() == pytest.approx(oracle.least_total(own))


def test_the_edge_between_far_odd_clusters_is_the_best_one(rng):
    """That edge is found by the prices of the vertices and of the odd sets."""
    for _ in range(4):
        place = np.concatenate([rng.normal(size=(9, 2)), rng.normal(size=(9, 2)) + np.array([30, 0])])
        weight = np.hypot(*(place[:, None] - place[None, :]).transpose(2, 0, 1))
        without = np.array([oracle.least_total(weight, [k for k in range(c, c + 9) if k != i]) for c in (0, 9)
                            for i in range(c, c + 9)])  # fmt: skip
        best = np.min(weight[:9, 9:] + without[:9, None] + without[None, 9:])
        pairs = minimum_matching(weight)
        assert weight[pairs[:, 0], pairs[:, 1]].sum() == pytest.approx(best, rel=1e-9)


def test_hundreds_of_exposures_no_swap_is_better(rng):
    place = rng.normal(size=(300, 3))
    weight = distances(place, place)
    pairs = minimum_matching(weight)
    a, b = pairs.T
    now = weight[a, b]
    for c, d in ((a, b), (b, a)):
        other = weight[a[:, None], c[None, :]] + weight[b[:, None], d[None, :]]
        np.fill_diagonal(other, np.inf)
        assert np.all(other >= now[:, None] + now[None, :] - 1e-9)
    assert now.sum() < pair_exposures(place).total


@pytest.mark.parametrize("method", ["greedy", "optimal"])
def test_fits_that_are_not_finite_are_left_over(rng, method):
    fits = rng.normal(size=(7, 5))
    fits[2, 1], fits[5, 0] = np.nan, np.inf
    found = pair_exposures(fits, method)
    assert {2, 5} < set(found.left_over.tolist())
    assert len(found.pairs) == 2
    assert np.isfinite(found.distance).all()
    assert sorted([*found.pairs.ravel(), *found.left_over]) == list(range(7))


@pytest.mark.parametrize(
    ("fits", "method", "error", "words"),
    [
        (np.ones((1, 5)), "greedy", SettingError, "got 1 of 1"),
        (np.full((4, 5), np.nan), "optimal", SettingError, "got 0 of 4"),
        (np.ones(5), "greedy", ShapeError, "exposures, samples"),
        (np.ones((4, 5), complex), "greedy", DTypeError, "complex"),
        (np.ones((4, 5)), "best", SettingError, "best"),
    ],
)
def test_bad_input_is_named(fits, method, error, words):
    with pytest.raises(error, match=words):
        pair_exposures(fits, method)


def test_bad_weights_are_named():
    with pytest.raises(ShapeError):
        minimum_matching(np.ones((3, 4)))
    with pytest.raises(SettingError):
        minimum_matching(np.ones((1, 1)))
    with pytest.raises(SettingError):
        minimum_matching(np.full((4, 4), np.nan))
