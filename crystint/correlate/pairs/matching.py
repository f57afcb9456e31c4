"""Perfect matching of least total weight in a complete graph, with proof."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from crystint.arrays import Floats, Indices, Ints
from crystint.correlate.pairs.blossom import FAR, Blossoms
from crystint.errors import CrystintError, SettingError, ShapeError

__all__ = ["minimum_matching"]


_LARGEST = 1 << 44
"""the largest weight becomes this whole number"""


def minimum_matching(weight: NDArray[Any]) -> Indices:
    """Pair the rows of a symmetric table so that the sum of the weights is least; of an odd number, one stays over.

    The relaxed problem, in which half edges may go round odd cycles, is an assignment of rows to columns, and its
    prices are shortest paths; trees with blossoms (`Blossoms`) join the odd cycles to one
    another. Weights are rounded to whole numbers, 6e-14 of the largest, and the rest is exact: it ends for any weights,
    and the sum of the prices proves the total.

    Parameters
    ----------
    weight : real [n, n]
        Symmetric but for rounding, finite beside the diagonal, which is not looked at.

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
    np.fill_diagonal(weight, weight[0, 1])
    if not np.isfinite(weight).all():
        raise SettingError("a weight is not finite")
    weight -= weight.min()
    weight *= _LARGEST / (float(weight.max()) or 1.0)
    if count % 2:  # a partner that costs nothing, for the one that stays over
        weight = np.pad(weight, (0, 1))
    partner = _solve(np.rint(weight, out=weight))
    pairs = np.stack([np.arange(len(partner)), partner], axis=1)
    return pairs[(pairs[:, 0] < pairs[:, 1]) & (pairs[:, 1] < count)]


def _solve(weight: Floats) -> NDArray[np.intp]:
    """Partner of each vertex; intp [n]. The weights are whole numbers from 0 to `_LARGEST`, n is even."""
    np.fill_diagonal(weight, np.inf)
    columns = linear_sum_assignment(weight)[1] if len(weight) > 2 else np.array([1, 0])
    np.fill_diagonal(weight, 0.0)
    whole = weight.astype(np.int64)
    whole = 2 * (whole + whole.T)  # exactly symmetric, and halves of differences stay even
    np.fill_diagonal(whole, FAR)
    price, partner = _relaxed(whole, columns)
    blossoms = Blossoms(whole, price, partner)
    blossoms.match()
    partners = np.array(blossoms.partner, dtype=np.intp)
    total = int(whole[np.arange(len(partners)), partners].sum()) // 2
    if total != blossoms.bound():
        raise CrystintError(f"the matching of {len(partners)} vertices is not proven: {total} above {blossoms.bound()}")
    return partners


def _relaxed(weight: Ints, columns: NDArray[np.intp]) -> tuple[Ints, list[int]]:
    """Prices of the vertices, and partners of those that are not left over in an odd cycle (-1)."""
    count = len(weight)
    rows = np.arange(count)
    taken = weight[rows, columns]
    price = np.zeros(count, np.int64)
    changed = rows
    for _ in range(count):
        # shortest paths: column j by way of row i costs weight[i, j] more than the column that row i has
        fresh = price.copy()
        for begin in range(0, len(changed), 256):
            part = changed[begin : begin + 256]
            np.minimum(fresh, (weight[part] + (price[columns[part]] - taken[part])[:, None]).min(axis=0), out=fresh)
        changed = np.flatnonzero((fresh < price)[columns])
        price = fresh
        if not len(changed):
            break
    else:  # the assignment was not the best one, by rounding: begin without it
        np.fill_diagonal(weight, FAR)
        return np.asarray(weight.min(axis=1) // 4 * 2), [-1] * count
    other = np.empty(count, np.int64)
    other[rows] = taken - price[columns]
    partner = [-1] * count
    seen = np.zeros(count, bool)
    for start in range(count):
        cycle = []
        at = start
        while not seen[at]:
            seen[at] = True
            cycle.append(at)
            at = int(columns[at])
        for first, second in zip(cycle[::2], cycle[1::2], strict=False):
            partner[first], partner[second] = second, first
    return (price + other) // 2, partner
