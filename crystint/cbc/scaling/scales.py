"""Which reflections have a common scale: those whose data reach a node of a map together, and so from one to the next.

|q|^2 and chi share a scale that no data determine. Where all streaks hang together by nodes of the maps that they reach
in common, and by reflections that are on several maps, this scale is one factor for all. Where they fall into groups
that have nothing in common, each group has a factor of its own, which is whatever the start of the fit made it.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.sparse.csgraph import connected_components

from crystint.arrays import Floats, Indices
from crystint.cbc.scaling.layout import Layout
from crystint.cbc.scaling.projection import ProjectionMap
from crystint.cbc.scaling.regression import REACH

__all__ = ["mixed_families", "scale_groups", "scales_text"]


def scale_groups(layout: Layout, chi: ProjectionMap, q2: NDArray[np.float64], bandwidth: float | None) -> Indices:
    """intp [H]: reflections of one number have a common scale.

    Parameters
    ----------
    layout : Layout
    chi : ProjectionMap
        For its nodes.
    q2 : float64 [H]
        |q|^2; one of 0 or NaN reaches no node.
    bandwidth : float or None
        Of the regression of chi. None: chi is known, and all reflections have one scale.

    Notes
    -----
    Time is linear in rows; memory is that of the nodes of a map for each reflection of a frame.
    """
    if bandwidth is None:
        return np.zeros(layout.n_reflections, dtype=np.intp)
    linked = sparse.csr_matrix((layout.n_reflections,) * 2)
    for first, last in pairwise(layout.frame_start):
        streaks = slice(*np.searchsorted(layout.streak_start, (first, last)))
        of_streak = layout.streak_reflection[streaks]
        own, number = np.unique(of_streak, return_inverse=True)
        member = np.repeat(number, np.diff(layout.streak_start[streaks.start : streaks.stop + 1]))
        use = (layout.profile[first:last] > 0.0) & (q2[own] > 0.0)[member]
        reached = _reached(layout.u[first:last][use], member[use], len(own), chi, REACH * bandwidth)
        node, which = np.nonzero(reached)
        start = np.argmax(reached, axis=1)[node]
        linked = linked + sparse.csr_matrix((np.ones(len(node)), (own[start], own[which])), shape=linked.shape)
    return np.asarray(connected_components(linked, directed=False)[1], dtype=np.intp)


def _reached(u: Floats, member: Indices, members: int, chi: ProjectionMap, reach: float) -> NDArray[np.bool_]:
    """bool [nodes, members]: nodes in reach of the rows of each; how many rows, by sums of their corners."""
    ends = []
    for axis, at in ((chi.y, u[:, 1]), (chi.x, u[:, 0])):
        ends.append((np.searchsorted(axis, at - reach, side="left"), np.searchsorted(axis, at + reach, side="right")))
    (low_y, high_y), (low_x, high_x) = ends
    height, width = len(chi.y) + 1, len(chi.x) + 1
    count = np.zeros(members * height * width, dtype=np.int64)
    for row, column, sign in ((low_y, low_x, 1), (low_y, high_x, -1), (high_y, low_x, -1), (high_y, high_x, 1)):
        count += sign * np.bincount((member * height + row) * width + column, minlength=len(count))
    rows = count.reshape(members, height, width).cumsum(axis=1).cumsum(axis=2)[:, :-1, :-1]
    return np.asarray((rows > 0).reshape(members, -1).T)


def scales_text(group: Indices, seen: NDArray[np.bool_], family: Indices | None = None) -> str | None:
    """What to say of reflections that have no common scale; None where all have one.

    group intp [H], as `scale_groups` has them; seen bool [H], those that have |q|^2; family intp [H], of what is
    averaged, None = nothing is.
    """
    groups = len(np.unique(group[seen]))
    if groups < 2:
        return None
    text = f"the reflections fall into {groups} groups that share no node of a map, so that each has a scale of its own"
    mixed = 0 if family is None else int(mixed_families(group, seen, family).sum())
    if mixed:
        return (
            f"{text}; {mixed} merged |q|^2 are averages over different scales, without sigma: train with `merge_hkl` of"
            " the symmetry, which gives them one scale"
        )
    return f"{text}: |q|^2 of different groups cannot be compared; merge in a higher symmetry, or add frames"


def mixed_families(group: Indices, seen: NDArray[np.bool_], family: Indices) -> NDArray[np.bool_]:
    """bool [families]: those with reflections of several groups."""
    pairs = np.unique(np.stack([family[seen], group[seen]]), axis=1)
    return np.asarray(np.bincount(pairs[0], minlength=int(family.max(initial=-1)) + 1) > 1)
