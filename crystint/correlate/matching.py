"""Perfect matching of least total weight in a complete graph, with proof."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import Bounds, LinearConstraint, linprog, milp
from scipy.sparse import coo_array, csr_array, vstack
from scipy.sparse.csgraph import connected_components

from crystint.errors import CrystintError, SettingError, ShapeError

__all__ = ["minimum_matching"]

Array = NDArray[np.float64]
Edges = NDArray[np.intp]

_NEIGHBOURS = 8
"""nearest partners of each vertex that are candidates from the beginning"""
_ROUNDS = 200


def minimum_matching(weight: Array) -> Edges:
    """Pair the rows of a symmetric table so that the sum of the weights is least; of an odd number, one stays over.

    Linear programming over the matching polytope (J. Edmonds (1965), J. Res. NBS 69B, 125): every vertex has one
    partner, and every odd set one that lies outside. It starts with a few near edges per vertex and no odd sets;
    edges whose reduced cost is negative and odd sets that are violated are added until there are none (M. Grotschel,
    O. Holland (1985), Math. Programming 33, 243). The bound so found proves the result. Where the odd sets that are
    looked for (components of the fractional part) are not enough, an integer programme over the edges whose reduced
    cost the remaining gap allows decides; that is exact as well.

    Parameters
    ----------
    weight : float [n, n]
        Symmetric, finite beside the diagonal, which is not looked at.

    Returns
    -------
    intp [n // 2, 2], each pair with the smaller number first, sorted.

    Raises
    ------
    ShapeError, SettingError
        When the table is not square, has fewer than two rows, or a weight is not finite.
    """
    count = len(weight)
    if weight.ndim != 2 or weight.shape[1] != count:
        raise ShapeError(f"the weights are {weight.shape}, expected a square table")
    if count < 2:
        raise SettingError("a matching needs at least two vertices")
    weight = weight.astype(np.float64)
    np.fill_diagonal(weight, 0.0)
    if not np.isfinite(weight).all():
        raise SettingError("a weight is not finite")
    if count % 2:  # a partner that costs nothing, for the one that stays over
        weight = np.pad(weight, (0, 1))
    found = _solve(weight)
    found = found[(found < count).all(axis=1)]
    return found[np.argsort(found[:, 0])]


def _solve(weight: Array) -> Edges:
    count = len(weight)
    edges = _first_edges(weight)
    odd_sets: list[NDArray[np.bool_]] = []
    for _ in range(_ROUNDS):
        cost = weight[edges[:, 0], edges[:, 1]]
        degree, cuts = _rows(edges, odd_sets, count)
        answer = _relaxed(cost, degree, cuts, len(odd_sets))
        reduced = _reduced(weight, answer, odd_sets)
        more = _negative(reduced, edges, count, 1e-9 * (1.0 + float(cost.max())))
        if len(more):
            edges = np.concatenate([edges, more])
            continue
        share = answer.x
        fresh = _violated(edges, share, count, odd_sets)
        if fresh:
            odd_sets += fresh
            continue
        if np.all(np.abs(share - np.round(share)) < 1e-6):
            return np.asarray(edges[share > 0.5])
        return _integer(weight, edges, degree, cuts, len(odd_sets), reduced, float(answer.fun))
    raise CrystintError(f"the matching of {count} vertices did not end in {_ROUNDS} rounds")


def _first_edges(weight: Array) -> Edges:
    """The nearest few of each vertex, and a perfect matching of neighbours by number, so that a solution exists."""
    count = len(weight)
    near = min(_NEIGHBOURS, count - 1)
    table = weight.copy()
    np.fill_diagonal(table, np.inf)
    partner = np.argpartition(table, near - 1, axis=1)[:, :near]
    pairs = np.stack([np.repeat(np.arange(count), near), partner.ravel()], axis=1)
    pairs = np.concatenate([pairs, np.arange(count).reshape(-1, 2)])
    return np.unique(np.sort(pairs, axis=1), axis=0)


def _rows(edges: Edges, odd_sets: list[NDArray[np.bool_]], count: int) -> tuple[Any, Any]:
    """Incidence of the vertices, and of the boundaries of the odd sets; sparse [vertices | sets, edges]."""
    number = np.arange(len(edges))
    ones = np.ones(2 * len(edges))
    degree = csr_array(coo_array((ones, (edges.T.ravel(), np.tile(number, 2))), shape=(count, len(edges))))
    crossing = [csr_array((inside[edges[:, 0]] != inside[edges[:, 1]]).astype(float)[None, :]) for inside in odd_sets]
    return degree, vstack(crossing, format="csr") if crossing else None


def _relaxed(cost: Array, degree: Any, cuts: Any, sets: int) -> Any:
    answer = linprog(
        cost,
        A_eq=degree,
        b_eq=np.ones(degree.shape[0]),
        A_ub=None if cuts is None else -cuts,
        b_ub=None if cuts is None else -np.ones(sets),
        bounds=(0, None),
        method="highs",
    )
    if answer.status != 0:
        raise CrystintError(f"the linear programme of the matching failed: {answer.message}")
    return answer


def _reduced(weight: Array, answer: Any, odd_sets: list[NDArray[np.bool_]]) -> Array:
    """What each edge of the complete graph costs beyond the dual prices of its vertices and sets; float64 [n, n]."""
    price = np.asarray(answer.eqlin.marginals)
    reduced = np.asarray(weight - price[:, None] - price[None, :])
    for inside, dual in zip(odd_sets, -np.asarray(answer.ineqlin.marginals), strict=False):
        if dual > 0:
            reduced[np.ix_(inside, ~inside)] -= dual
            reduced[np.ix_(~inside, inside)] -= dual
    return reduced


def _negative(reduced: Array, edges: Edges, count: int, tolerance: float) -> Edges:
    """Edges that are no candidates yet and would lower the bound: the worst few of each vertex."""
    table = reduced.copy()
    np.fill_diagonal(table, np.inf)
    table[edges[:, 0], edges[:, 1]] = table[edges[:, 1], edges[:, 0]] = np.inf
    near = min(_NEIGHBOURS, count - 1)
    partner = np.argpartition(table, near - 1, axis=1)[:, :near]
    rows = np.repeat(np.arange(count), near)
    bad = table[rows, partner.ravel()] < -tolerance
    pairs = np.sort(np.stack([rows[bad], partner.ravel()[bad]], axis=1), axis=1)
    return np.unique(pairs, axis=0)


def _violated(edges: Edges, share: Array, count: int, known: list[NDArray[np.bool_]]) -> list[NDArray[np.bool_]]:
    """Odd components of the edges in use, at several levels of use, with less than one edge across their boundary."""
    found: dict[bytes, NDArray[np.bool_]] = {}
    had = {inside.tobytes() for inside in known}
    for level in (1e-6, 0.1, 0.2, 0.3, 0.4, 0.55, 0.7):
        used = edges[share > level]
        graph = coo_array((np.ones(len(used)), (used[:, 0], used[:, 1])), shape=(count, count))
        parts, owner = connected_components(graph, directed=False)
        for part in np.flatnonzero(np.bincount(owner, minlength=parts) % 2):
            inside = owner == part
            if 3 <= inside.sum() <= count - 3:
                across = float(share[inside[edges[:, 0]] != inside[edges[:, 1]]].sum())
                if across < 1.0 - 1e-6 and inside.tobytes() not in had:
                    found[inside.tobytes()] = inside
    return list(found.values())


def _integer(weight: Array, edges: Edges, degree: Any, cuts: Any, sets: int, reduced: Array, bound: float) -> Edges:
    """Branch and bound over the edges that the gap to a first integer solution allows."""

    def best(among: Edges, rows: Any, more: Any) -> tuple[Edges, float]:
        cost = weight[among[:, 0], among[:, 1]]
        limits = [LinearConstraint(rows, 1.0, 1.0)]
        if more is not None:
            limits.append(LinearConstraint(more, np.ones(sets), np.inf))
        answer = milp(
            cost, constraints=limits, integrality=np.ones(len(among)), bounds=Bounds(0, 1), options={"mip_rel_gap": 0.0}
        )
        if answer.x is None:
            raise CrystintError(f"the integer programme of the matching failed: {answer.message}")
        return among[answer.x > 0.5], float(answer.fun)

    pairs, total = best(edges, degree, cuts)
    first, second = np.nonzero(np.triu(reduced <= total - bound + 1e-9 * (1.0 + abs(total)), 1))
    wider = np.unique(np.concatenate([edges, np.stack([first, second], axis=1)]), axis=0)
    if len(wider) == len(edges):
        return pairs
    rows = np.arange(len(wider))
    more = csr_array(
        coo_array((np.ones(2 * len(wider)), (wider.T.ravel(), np.tile(rows, 2))), shape=(len(weight), len(wider)))
    )
    return best(wider, more, None)[0]
