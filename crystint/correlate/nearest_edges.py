"""Edges of least slack from the outer blossoms of a tree: what tells a matching how to go on."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["FAR", "Ints", "Link", "NearestEdges"]

Ints = NDArray[np.int64]
Link = tuple[int, int]
"""two vertices that an edge joins"""

FAR = 1 << 60
"""more than any weight"""


class NearestEdges:
    """For each outer blossom and each vertex the edge of least slack between them, and the least of these.

    Prices are those of step 0 of `crystint.correlate.blossom.Blossoms`: they stay what they are while a vertex stays
    in the tree. Memory: 16 n bytes per outer blossom.

    Parameters
    ----------
    weight : int64 [n, n]
    price : int64 [n]
        Followed, not copied.
    """

    def __init__(self, weight: Ints, price: Ints) -> None:
        n = len(price)
        self._weight, self._price = weight, price
        self._near = np.full(n, FAR)  # least weight - price from all outer vertices, and from which
        self._near_from = np.zeros(n, np.int64)
        self._rows = np.zeros((0, n), np.int64)  # the same from those of each outer blossom
        self._rows_from = np.zeros((0, n), np.int64)
        self._least = np.zeros(0, np.int64)  # of each: slack to the nearest vertex of another one
        self._least_to = np.zeros(0, np.int64)
        self._spare: list[int] = []

    def outward(self, outside: NDArray[np.bool_]) -> tuple[int, Link]:
        """Least slack of an edge to a vertex outside the tree, and the edge: (outer, outside)."""
        slack = np.where(outside, self._near - self._price, FAR)
        vertex = int(slack.argmin())
        return int(slack[vertex]), (int(self._near_from[vertex]), vertex)

    def between(self) -> tuple[int, Link]:
        """Least slack of an edge between two outer blossoms, and the edge."""
        row = int(self._least.argmin())
        other = int(self._least_to[row])
        return int(self._least[row]), (int(self._rows_from[row, other]), other)

    def add(self, inside: Ints, fresh: Ints, rows: list[int], outer: NDArray[np.bool_]) -> int:
        """A row for an outer blossom.

        Parameters
        ----------
        inside : int64 [members]
        fresh : int64 [some]
            Those that were not outer before.
        rows
            Of the outer blossoms that it is made of; they are given up.
        outer : bool [n]
            Outer vertices, the new ones too.
        """
        values, source = self._from(fresh)
        for row in rows:
            better = self._rows[row] < values
            values = np.where(better, self._rows[row], values)
            source = np.where(better, self._rows_from[row], source)
            self._rows[row] = self._least[row] = FAR
        self._spare += rows
        row = self._row()
        self._rows[row], self._rows_from[row] = values, source
        better = values < self._near
        self._near[better], self._near_from[better] = values[better], source[better]
        others = outer.copy()
        others[inside] = False
        slack = np.where(others, values - self._price, FAR)
        self._least_to[row] = slack.argmin()
        self._least[row] = slack[self._least_to[row]]
        table = self._rows[:, fresh] - self._price[fresh]
        table[row] = FAR
        at = table.argmin(axis=1)
        least = table[np.arange(len(at)), at]
        better = least < self._least
        self._least[better], self._least_to[better] = least[better], fresh[at[better]]
        return row

    def _from(self, vertices: Ints) -> tuple[Ints, Ints]:
        """Least weight - price from some vertices to every one, and from which."""
        if len(vertices) == 1:
            vertex = int(vertices[0])
            return self._weight[vertex] - self._price[vertex], np.full(len(self._price), vertex)
        table = self._weight[vertices] - self._price[vertices, None]
        least = table.argmin(axis=0)
        return table[least, np.arange(len(least))], vertices[least]

    def _row(self) -> int:
        """A free row of the tables, which grow when there is none."""
        if not self._spare:
            size = len(self._least)
            more = max(16, size)
            self._rows = np.concatenate([self._rows, np.full((more, self._rows.shape[1]), FAR)])
            self._rows_from = np.concatenate([self._rows_from, np.zeros((more, self._rows.shape[1]), np.int64)])
            self._least = np.concatenate([self._least, np.full(more, FAR)])
            self._least_to = np.concatenate([self._least_to, np.zeros(more, np.int64)])
            self._spare = list(range(size + more - 1, size - 1, -1))
        return self._spare.pop()
