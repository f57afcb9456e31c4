"""Least total of a perfect matching, and whether prices prove one; written from the definitions."""

from __future__ import annotations

import numpy as np


def least_total(weight):
    """Over all subsets: each holds the best of its first vertex with any other; of an odd number one stays over."""
    count = len(weight)
    best = np.full(1 << count, np.inf)
    best[0] = 0.0
    for subset in range(1, 1 << count):
        first = (subset & -subset).bit_length() - 1
        rest = subset ^ (1 << first)
        others = [j for j in range(first + 1, count) if rest >> j & 1]
        totals = [weight[first][j] + best[rest ^ (1 << j)] for j in others]
        if len(others) % 2 == 0:
            totals.append(best[rest])
        best[subset] = min(totals)
    return best[-1]


def proves(weight, price, odd_sets, partner):
    """Whether prices of vertices and of odd sets show that no matching is better (duality of linear programmes).

    odd_sets: (vertices, price) of each. Slack of an edge: weight - prices of its ends + prices of the sets it lies in.
    """
    slack = weight - price[:, None] - price[None, :]
    for inside, value in odd_sets:
        if value < 0 or len(inside) % 2 == 0:
            return False
        slack[np.ix_(inside, inside)] += value
    np.fill_diagonal(slack, 0)
    everyone = np.arange(len(partner))
    full = all((~np.isin(partner[inside], inside)).sum() == 1 for inside, value in odd_sets if value > 0)
    return bool((slack >= 0).all() and (slack[everyone, partner] == 0).all() and full
                and (partner[partner] == everyone).all() and (partner != everyone).all())  # fmt: skip
