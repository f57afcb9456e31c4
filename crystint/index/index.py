"""From spots to lattices with their indices: stills frame by frame, the spots of a scan together."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from crystint.engine.engine import Engine
from crystint.index.defaults import ACCEPTED, STRAIN
from crystint.index.indexer import FEWEST, Indexer, Solution, off_nodes
from crystint.index.known_cell import KnownCell
from crystint.index.refinement import RefinedLattices, SpotRays, refine
from crystint.index.spots import IndexSpots

__all__ = ["Indexed", "index_spots"]

WITHOUT_ICE = 15
"""spots that must be left for those on rings of ice not to be searched"""
_SHARED = 20
"""lattices from which on what all images have in common is told from what each has"""
_SHIFT = 3e-4
"""m: prior of a shift of the detector"""
_DISTANCE = 0.05
"""prior of a factor of the distance, less 1"""
_SAME = 0.1
"""degrees: lattices of a frame that are turned by less are one"""


@dataclass(frozen=True, slots=True, eq=False)
class Indexed:
    """Lattices, and which spots are theirs. Made by `index_spots`."""

    frame: NDArray[np.int64]
    """int64 [lattices]: of each; of a scan 0"""
    evidence: NDArray[np.float64]
    """float64 [lattices]: -log10 of the chance that spots thrown at random lie as near to the nodes of any
    lattice that was tried"""
    refined: RefinedLattices
    """its columns of spots are of those of `rows`"""
    rows: NDArray[np.intp]
    """int [m]: spots that a refinement had"""
    lattice: NDArray[np.intp]
    """int [spots]: the lattice that each spot is of; -1 = none"""
    hkl: NDArray[np.int32]
    """int32 [spots, 3]: 0 0 0 of a spot without a lattice"""
    held: RefinedLattices | None
    """with the cell held and a distance fitted, where there are images enough"""
    tried: int
    """frames with spots enough"""


def index_spots(
    spots: IndexSpots,
    incident: NDArray[np.float64],
    cell: KnownCell,
    engine: Engine,
    *,
    accepted: float = ACCEPTED,
    lattices: int = 1,
    strain: float = STRAIN,
) -> Indexed:
    """Index spots with a known cell.

    Parameters
    ----------
    spots : IndexSpots
    incident : float64 [3]
        s0, 1/angstrom.
    cell : KnownCell
    engine : Engine
    accepted : float
        Evidence from which on a lattice is taken.
    lattices : int
        Of a frame, at most.
    strain : float
        Prior of the strains of the lattice system; 0 holds the cell.

    Returns
    -------
    Indexed

    Examples
    --------
    >>> import crystint, numpy as np
    >>> from crystint import index, stills
    >>> data = stills.simulate_stills(2, d_min=2.5, shape=(600, 640), distance=0.08, seed=1)
    >>> _ = stills.write_frames(data, "made.h5")
    >>> with crystint.open_frames("made.h5") as frames:
    ...     geometry, images = frames.geometry, np.stack([frames[0], frames[1]])
    >>> peaks = crystint.Separator(geometry, rings=100).peaks(images)
    >>> peaks = np.concatenate(peaks) if isinstance(peaks, list) else peaks
    >>> spots = index.IndexSpots.of(peaks, index.detector_of_geometry(geometry), 2)
    >>> cell = index.KnownCell.of(data.experiment.cell, "P212121")
    >>> indexed = index.index_spots(spots, np.array([0, 0, 1 / geometry.wavelength]), cell, crystint.Engine())
    >>> indexed.frame.tolist(), bool((indexed.lattice >= 0).mean() > 0.8)
    ([0, 1], True)
    """
    groups = _Groups.of(spots, incident)
    searched = [groups.q[_to_search(rows, spots.ice)] for rows in groups.rows]
    long = np.linalg.norm(groups.q, axis=1)
    q_max = float(np.quantile(long, 0.99)) if len(long) else 0.1
    solutions = Indexer(engine, cell, q_max, accepted=accepted, lattices=lattices).index(searched)
    solutions, refined = _refined(solutions, groups, cell, strain)
    rows, rays = groups.rays(solutions)
    inside = rows[refined.inlier]
    lattice, hkl = np.full(len(spots), -1, np.intp), np.zeros((len(spots), 3), np.int32)
    lattice[inside], hkl[inside] = rays.lattice[refined.inlier], refined.hkl[refined.inlier]
    held = None
    if len(solutions) >= _SHARED:
        held = refine(rays, refined.setting, cell, strain=0.0, shift_sigma=_SHIFT, distance_sigma=_DISTANCE)
    return Indexed(
        frame=np.array([each.frame for each in solutions], np.int64),
        evidence=np.array([each.evidence for each in solutions]),
        refined=refined,
        rows=rows,
        lattice=lattice,
        hkl=hkl,
        held=held,
        tried=sum(len(q) >= FEWEST for q in searched),
    )


def _to_search(rows: NDArray[np.intp], ice: NDArray[np.bool_]) -> NDArray[np.intp]:
    """Those on rings of ice are left out where enough remain."""
    without = rows[~ice[rows]]
    return without if len(without) >= WITHOUT_ICE else rows


@dataclass(frozen=True, slots=True, eq=False)
class _Groups:
    """Spots that are searched together: those of a still, or all of a scan, the strongest first."""

    spots: IndexSpots
    incident: NDArray[np.float64]
    q: NDArray[np.float64]
    rows: list[NDArray[np.intp]]
    """of each group"""

    @classmethod
    def of(cls, spots: IndexSpots, incident: NDArray[np.float64]) -> _Groups:
        """Those of stills, or of a scan."""
        q = spots.q(incident)
        if spots.turned is not None:
            return cls(spots, incident, q, [np.argsort(-spots.intensity, kind="stable")])
        ends = np.searchsorted(spots.frame, np.arange(int(spots.frame.max(initial=-1)) + 2))
        return cls(spots, incident, q, [np.arange(a, b) for a, b in pairwise(ends)])

    def rays(self, solutions: list[Solution]) -> tuple[NDArray[np.intp], SpotRays]:
        """Rows of the spots of each lattice, and their rays: of several lattices a spot is of the nearest."""
        of_group: dict[int, list[int]] = {}
        for number, each in enumerate(solutions):
            of_group.setdefault(each.frame, []).append(number)
        rows, lattice = [np.zeros(0, np.intp)], [np.zeros(0, np.intp)]
        for group, numbers in of_group.items():
            own = self.rows[group]
            away = np.stack([off_nodes(self.q[own], solutions[number].setting) for number in numbers])
            rows.append(own)
            lattice.append(np.asarray(numbers)[away.argmin(axis=0)])
        which, spots = np.concatenate(rows), self.spots
        incident = np.broadcast_to(self.incident, (len(which), 3))
        turned = None if spots.turned is None else spots.turned[which]
        return which, SpotRays(spots.ray[which], spots.reach[which], incident, np.concatenate(lattice), turned)


def _refined(
    solutions: list[Solution], groups: _Groups, cell: KnownCell, strain: float
) -> tuple[list[Solution], RefinedLattices]:
    """Solutions that are different lattices after their refinement."""
    while True:
        shift = _SHIFT if len(solutions) >= _SHARED else 0.0
        settings = np.array([each.setting for each in solutions]).reshape(-1, 3, 3)
        refined = refine(groups.rays(solutions)[1], settings, cell, strain=strain, shift_sigma=shift)
        different = [
            number
            for number, each in enumerate(solutions)
            if not any(
                solutions[other].frame == each.frame and _is_same(refined.setting[number], refined.setting[other])
                for other in range(number)
            )
        ]
        if len(different) == len(solutions):
            return solutions, refined
        solutions = [solutions[number] for number in different]


def _is_same(one: NDArray[np.float64], other: NDArray[np.float64]) -> bool:
    """Whether two settings are of one lattice, however its axes are named."""
    change = np.rint(np.linalg.inv(one) @ other)
    if abs(abs(np.linalg.det(change)) - 1.0) > 0.01:
        return False
    turn = other @ np.linalg.inv(one @ change)
    return bool(np.abs(turn - np.eye(3)).max() < np.radians(_SAME))
