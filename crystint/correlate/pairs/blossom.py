"""Alternating trees with blossoms: what makes a matching perfect at the least total weight, in whole numbers."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from crystint.arrays import Ints

__all__ = [
    "FAR",
    "Blossoms",
    "Link",
    "NearestEdges",
]

Link = tuple[int, int]
"""two vertices that an edge joins"""

FAR = 1 << 60
"""more than any weight"""


class NearestEdges:
    """For each outer blossom and each vertex the edge of least slack between them, and the least of these.

    Prices are those of step 0 of `Blossoms`: they stay what they are while a vertex stays
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


_ROOT = -1
"""partner of a vertex without one"""


class Blossoms:
    """A matching, prices that prove it, and the nested odd sets (blossoms) that have a price of their own.

    J. Edmonds (1965), J. Res. NBS 69B, 125, in the dense form of order n^3 (E. Lawler (1976), Combinatorial
    Optimization, 6.9), one tree at a time. The slack of an edge is weight - price - price of its ends, and is 0 or
    more between outermost blossoms; edges of the tree have none. Vertices at an even depth of the tree are "outer",
    others in it "inner". A step raises the prices of the outer ones by as much as is possible and lowers those of the
    inner ones; an edge that loses its slack so makes the tree grow, closes a blossom, or reaches another vertex without
    a partner, which ends the search with one pair more. All is done in whole numbers, so there is nothing to tolerate.

    Parameters
    ----------
    weight : int64 [n, n]
        Symmetric, n even, even numbers; diagonal: `crystint.correlate.pairs.blossom.FAR`.
    price : int64 [n]
        All even; no two together above the weight of their edge. Is changed.
    partner : list of int
        Partner of each vertex, or -1; edges without slack only. Is changed.
    """

    def __init__(self, weight: Ints, price: Ints, partner: list[int]) -> None:
        n = len(weight)
        self.weight, self.price, self.partner = weight, price, partner
        self.top = np.arange(n)
        """int64 [n]: outermost blossom of each vertex; a vertex is its own where it is in none"""
        self._base = list(range(n))
        self._parent: list[int] = [-1] * n
        self._children: dict[int, list[int]] = {}
        self._links: dict[int, list[Link]] = {}
        """of each blossom: the edge from each child to the next one, round the odd cycle"""
        self._inside: dict[int, Ints] = {i: np.array([i]) for i in range(n)}
        self.set_price: dict[int, int] = {}
        """price of each blossom; even"""

    def match(self) -> None:
        """Give every vertex a partner."""
        for vertex in range(len(self.partner)):
            if self.partner[vertex] == _ROOT:
                self._search(vertex)

    def bound(self) -> int:
        """No perfect matching has a smaller total: the sum of the prices."""
        odd = sum(z * ((len(self._inside[b]) - 1) // 2) for b, z in self.set_price.items())
        return int(self.price.sum()) - odd

    # -- one tree ------------------------------------------------------------------------------------------------

    def _search(self, root: int) -> None:
        n = len(self.partner)
        self._step = 0  # by how much outer prices were raised so far in this tree
        self._side = np.zeros(n, np.int64)  # of each vertex: 1 outer, -1 inner, 0 not in the tree
        self._outer: dict[int, int] = {}  # row of each outer blossom in `_edges`
        self._inner: dict[int, Link] = {}  # edge (outer vertex, own vertex) that each inner blossom hangs on
        self._since: dict[int, int] = {}  # step at which each blossom with a price entered the tree
        self._edges = NearestEdges(self.weight, self.price)
        self._add_outer(int(self.top[root]))
        while True:
            grow, reached = self._edges.outward(self._side == 0)
            between, closing = self._edges.between()
            close = between // 2
            opens = {b: self._since[b] + self.set_price[b] // 2 for b in self._inner if b in self.set_price}
            inner = min(opens, key=opens.__getitem__, default=-1)
            self._step = min(grow, close, opens.get(inner, FAR))
            if self._step == opens.get(inner, FAR):
                self._open(inner)
            elif self._step == close:
                self._close(*closing)
            else:
                blossom = int(self.top[reached[1]])
                across = self.partner[self._base[blossom]]
                if across == _ROOT:
                    self._augment(*reached)
                    return
                self._add_inner(blossom, reached)
                self._add_outer(int(self.top[across]))

    def _enter(self, blossom: int, side: int) -> Ints:
        """Count prices of a blossom from step 0 on: as if it had been in the tree since then."""
        inside = self._inside[blossom]
        self._side[inside] = side
        self.price[inside] -= side * self._step
        if blossom in self.set_price:
            self._since[blossom] = self._step
        return inside

    def _leave(self, blossom: int) -> None:
        inside = self._inside[blossom]
        side = int(self._side[inside[0]])
        self._side[inside] = 0
        self.price[inside] += side * self._step
        if blossom in self.set_price:
            self.set_price[blossom] += 2 * side * (self._step - self._since.pop(blossom))

    def _add_inner(self, blossom: int, link: Link) -> None:
        self._enter(blossom, -1)
        self._inner[blossom] = link

    def _add_outer(self, blossom: int) -> None:
        inside = self._enter(blossom, 1)
        self._outer[blossom] = self._edges.add(inside, inside, [], self._side == 1)

    # -- blossoms ------------------------------------------------------------------------------------------------

    def _to_root(self, vertex: int) -> tuple[list[int], list[Link]]:
        """Outermost blossoms from an outer vertex to the root, and the edges between them."""
        blossom = int(self.top[vertex])
        blossoms: list[int] = [blossom]
        links: list[Link] = []
        while True:
            base = self._base[blossom]
            across = self.partner[base]
            if across == _ROOT:
                return blossoms, links
            inner = int(self.top[across])
            outer, own = self._inner[inner]
            blossom = int(self.top[outer])
            blossoms += [inner, blossom]
            links += [(base, across), (own, outer)]

    def _close(self, first: int, second: int) -> None:
        """Make one outer blossom of the cycle that an edge between two outer ones closes."""
        left, left_links = self._to_root(first)
        right, right_links = self._to_root(second)
        while len(left) > 1 and len(right) > 1 and left[-2] == right[-2]:
            del left[-1], right[-1], left_links[-1], right_links[-1]
        blossom = len(self._base)
        children = left[::-1] + right[:-1]
        self._base.append(self._base[left[-1]])
        self._parent.append(-1)
        self._children[blossom] = children
        self._links[blossom] = [(b, a) for a, b in left_links[::-1]] + [(first, second)] + right_links
        rows, fresh = [], []
        for child in children:
            inner = child in self._inner
            self._leave(child)
            self._parent[child] = blossom
            if inner:
                del self._inner[child]
                fresh.append(self._inside[child])
            else:
                rows.append(self._outer.pop(child))
        self._inside[blossom] = inside = np.concatenate([self._inside[child] for child in children])
        self.top[inside] = blossom
        self.set_price[blossom] = 0
        self._enter(blossom, 1)
        self._outer[blossom] = self._edges.add(inside, np.concatenate(fresh), rows, self._side == 1)

    def _open(self, blossom: int) -> None:
        """Take apart an inner blossom whose price is 0; what of it joins the two ends of the tree there stays in it."""
        link = self._inner.pop(blossom)
        self._leave(blossom)
        children, links = self._children[blossom], self._links[blossom]
        self._dissolve(blossom)
        at = children.index(int(self.top[link[1]]))
        while at % len(children):
            # partners are 1 with 2, 3 with 4, ...: the way to the base that begins with the partner
            self._add_inner(children[at], link)
            if at % 2:
                outer, link = children[at + 1], links[at + 1]
                at = (at + 2) % len(children)
            else:
                outer, link = children[at - 1], links[at - 2][::-1]
                at -= 2
            self._add_outer(outer)
        self._add_inner(children[0], link)

    def _dissolve(self, blossom: int) -> None:
        """Make the children of an outermost blossom outermost."""
        for child in self._children.pop(blossom):
            self._parent[child] = -1
            self.top[self._inside[child]] = child
        del self._links[blossom], self._inside[blossom], self.set_price[blossom]

    def _augment(self, outer: int, vertex: int) -> None:
        """Swap partners along the path from the root to a vertex without one, and forget the tree."""
        for blossom in [*self._outer, *self._inner]:
            self._leave(blossom)
        self._rebase(int(self.top[vertex]), vertex)
        while True:
            self.partner[vertex] = outer
            blossom = int(self.top[outer])
            across = self.partner[self._base[blossom]]
            self._rebase(blossom, outer)
            self.partner[outer] = vertex
            if across == _ROOT:
                break
            inner = int(self.top[across])
            outer, vertex = self._inner[inner]
            self._rebase(inner, vertex)
        worthless = [b for b in self._outer if self.set_price.get(b) == 0]
        while worthless:
            blossom = worthless.pop()
            worthless += [child for child in self._children[blossom] if self.set_price.get(child) == 0]
            self._dissolve(blossom)

    def _rebase(self, blossom: int, vertex: int) -> None:
        """Let a vertex be the one of its blossom that has its partner outside."""
        waiting = [(blossom, vertex)]
        while waiting:
            blossom, vertex = waiting.pop()
            self._base[blossom] = vertex
            if blossom not in self._children:
                continue
            children, links = self._children[blossom], self._links[blossom]
            child = vertex
            while self._parent[child] != blossom:
                child = self._parent[child]
            waiting.append((child, vertex))
            at = children.index(child)
            pairs = range(at + 1, len(children), 2) if at % 2 else range(at - 2, -1, -2)
            for one in pairs:
                a, b = links[one]
                self.partner[a], self.partner[b] = b, a
                waiting += [(children[one], a), (children[(one + 1) % len(children)], b)]
            self._children[blossom], self._links[blossom] = children[at:] + children[:at], links[at:] + links[:at]
