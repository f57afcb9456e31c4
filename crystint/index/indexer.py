"""Lattices of a known cell in the spots of frames: searched, judged, and taken away to look for more."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crystint.engine.engine import Engine
from crystint.index.defaults import ACCEPTED
from crystint.index.evidence import RADII, evidence, orientations
from crystint.index.known_cell import KnownCell
from crystint.ops.lattice_search import LatticeSearch, SearchEffort

__all__ = ["Indexer", "Solution", "off_nodes"]

SPREAD = 1e-3
"""1/angstrom: of spots about their nodes, before anything is known"""
STRONGEST = 200
"""spots that are searched; all are judged"""
FEWEST = 6
"""spots, below which no lattice can be told from chance"""
MORE = SearchEffort(500_000, 0.2, 48, 16)
"""for frames in which the first search sees nothing"""


@dataclass(frozen=True, slots=True)
class Solution:
    """A lattice in the spots of a frame."""

    frame: int
    """place in the sequence of spot lists"""
    setting: NDArray[np.float64]
    """float64 [3, 3]: columns a*, b*, c* of the user's cell, 1/angstrom, not constrained"""
    evidence: float
    """-log10 of the chance that spots thrown at random lie as near to the nodes of any lattice that was tried"""
    radius: float
    """1/angstrom, at which that is"""


class Indexer:
    """Finds the lattices of one cell. Keep it: what it needs is made once.

    Parameters
    ----------
    engine : Engine
    cell : KnownCell
    q_max : float
        Of the spots, 1/angstrom.
    accepted : float
        Evidence from which on a lattice is taken.
    lattices : int
        Of a frame, at most.
    """

    def __init__(
        self, engine: Engine, cell: KnownCell, q_max: float, *, accepted: float = ACCEPTED, lattices: int = 1
    ) -> None:
        self.engine, self.cell, self.q_max = engine, cell, q_max
        self.accepted, self.lattices = accepted, lattices
        self.tried = orientations(float(np.linalg.norm(cell.reduced, axis=1).max()), q_max)
        self._searches: list[LatticeSearch] = []

    def _search(self, attempt: int) -> LatticeSearch:
        """The first, or the thorough search."""
        while len(self._searches) <= attempt:
            effort = MORE if self._searches else SearchEffort()
            self._searches.append(LatticeSearch(self.engine, self.cell.reduced, self.q_max, RADII, effort))
        return self._searches[attempt]

    def index(self, spots: Sequence[NDArray[np.float64]]) -> list[Solution]:
        """The lattices of frames.

        Parameters
        ----------
        spots : sequence of float64 [n, 3]
            q of each frame's spots, 1/angstrom, the strongest first.

        Returns
        -------
        list of Solution
            Sorted by frame; of a frame, the most certain one first.
        """
        solutions: list[Solution] = []
        left = {frame: q for frame, q in enumerate(spots) if len(q) >= FEWEST}
        for _ in range(self.lattices):
            new = self._best(left)
            solutions += new
            rest: dict[int, NDArray[np.float64]] = {}
            for each in new:
                q = left[each.frame]
                apart = q[off_nodes(q, each.setting) > max(each.radius, 2.5 * SPREAD)]
                if len(apart) >= FEWEST:
                    rest[each.frame] = apart
            left = rest
            if not left:
                break
        return sorted(solutions, key=lambda each: each.frame)

    def _best(self, spots: dict[int, NDArray[np.float64]]) -> list[Solution]:
        """One lattice of each frame that has one."""
        done: dict[int, Solution] = {}
        for attempt in (0, 1):
            frames = [frame for frame in spots if frame not in done]
            if not frames:
                break
            done |= self._accepted(self._search(attempt), frames, spots)
        return list(done.values())

    def _accepted(
        self, search: LatticeSearch, frames: list[int], spots: dict[int, NDArray[np.float64]]
    ) -> dict[int, Solution]:
        some = [spots[frame][:STRONGEST] for frame in frames]
        counts = np.array([len(q) for q in some])
        first = np.concatenate([[0], np.cumsum(counts)])
        result = search.search(np.concatenate(some), first)
        value, radius = evidence(counts[:, None], result.inside, self.cell.volume, tried=self.tried)
        best = value.argmax(axis=1)
        rows = np.arange(len(frames))
        settings = self.cell.settings(result.basis[rows, best])
        return {
            frames[row]: Solution(
                frames[row], settings[row], float(value[row, best[row]]), float(radius[row, best[row]])
            )
            for row in np.flatnonzero(value[rows, best] >= self.accepted)
        }


def off_nodes(q: NDArray[np.float64], setting: NDArray[np.float64]) -> NDArray[Any]:
    """1/angstrom from each spot to its nearest node."""
    node = np.rint(q @ np.linalg.inv(setting).T) @ setting.T
    return np.asarray(np.linalg.norm(q - node, axis=1))
