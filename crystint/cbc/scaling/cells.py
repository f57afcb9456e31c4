"""Rows of a layout in the order of the cells of a grid, for backends that gather what is around a node.

A cell lies between two neighbouring nodes of x and two of y. Rows are sorted by frame, row of cells and cell: what is
within reach of a node is a run of rows per row of cells. Coordinates are whole numbers, in 2^-30 of the width that
nodes and data take up along an axis. Their differences are exact, whatever precision a device has, and a row on a node
has the node's coordinate.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from crystint.arrays import Floats, Ints32
from crystint.cbc.scaling.layout import Layout
from crystint.cbc.scaling.regression import REACH

__all__ = ["BUCKETS", "SPARE", "Axis", "Cells"]


_WIDTH = 1 << 30
SPARE = 16
"""values after the last row, for those who read several rows at a time"""
BUCKETS = 256
"""parts of an axis whose first node is listed"""


@dataclass(frozen=True, eq=False)
class Axis:
    """Nodes along an axis in whole numbers."""

    low: float
    unit: float
    """whole numbers per unit of u"""
    nodes: Ints32
    """int32 [m], ascending"""

    @classmethod
    def of(cls, nodes: Floats, at: Floats) -> Axis:
        """The axis for nodes float64 [m], and data float64 [n] on or beyond them."""
        low = min(float(nodes[0]), float(at.min()))
        unit = _WIDTH / (max(float(nodes[-1]), float(at.max())) - low)
        axis = cls(low, unit, np.zeros(0, np.int32))
        return cls(low, unit, axis.numbers(nodes))

    def numbers(self, at: Floats) -> Ints32:
        """Coordinates as whole numbers, int32 [n], 0 .. 2^30."""
        return np.rint((at - self.low) * self.unit).astype(np.int32)

    def cell(self, number: Ints32) -> NDArray[np.intp]:
        """intp [n]: node below, 0 .. m - 2."""
        return np.clip(np.searchsorted(self.nodes, number, side="right") - 1, 0, len(self.nodes) - 2)

    @property
    def first(self) -> Ints32:
        """int32 [BUCKETS + 1]: node below the beginning of each part of the axis."""
        return self.cell(np.arange(BUCKETS + 1, dtype=np.int32) * np.int32(_WIDTH // BUCKETS)).astype(np.int32)

    def reach(self, bandwidth: float) -> int:
        """How far the kernel reaches, as a whole number; one more, for rows that rounding took out of reach."""
        return int(min(REACH * bandwidth * self.unit + 1.0, _WIDTH))

    def within(self, reach: int) -> Ints32:
        """First and last cell within reach of each node, int32 [m, 2]."""
        nodes = self.nodes.astype(np.int64)
        first = np.searchsorted(nodes[1:-1], nodes - reach, side="left")
        last = np.searchsorted(nodes[1:-1], nodes + reach, side="right")
        return np.stack([first, last], axis=1).astype(np.int32)


@dataclass(frozen=True, eq=False)
class Cells:
    """The n rows of a layout, sorted by frame and cell."""

    x: Axis
    y: Axis
    at_x: Ints32
    """int32 [n + 16]: coordinates, in the order of cells; the last ones are 0"""
    at_y: Ints32
    """int32 [n + 16]"""
    rank: Ints32
    """int32 [n]: where each row of the layout is in that order"""
    start: Ints32
    """int32 [F (ny - 1) (nx - 1) + 1]: cell c has start[c] .. start[c + 1] - 1; frames, then y, then x"""

    @classmethod
    def of(cls, layout: Layout, x: Floats, y: Floats) -> Cells:
        """The order of a layout for nodes x float64 [nx] and y float64 [ny]. Rows in a cell stay in their order."""
        axes = Axis.of(x, layout.u[:, 0]), Axis.of(y, layout.u[:, 1])
        n, across, cells = len(layout), len(x) - 1, (len(x) - 1) * (len(y) - 1)
        small = cells <= 1 << 16  # NumPy sorts 16 bits in linear time
        at_x, at_y = np.zeros(n + SPARE, np.int32), np.zeros(n + SPARE, np.int32)
        rank = np.empty(n, np.int32)
        start = np.zeros(layout.n_frames * cells + 1, np.int32)
        for frame, (first, last) in enumerate(pairwise(layout.frame_start)):
            rows = slice(first, last)
            own = [axis.numbers(layout.u[rows, i]) for i, axis in enumerate(axes)]
            cell = axes[1].cell(own[1]) * across + axes[0].cell(own[0])
            counts = np.bincount(cell, minlength=cells)
            order = np.argsort(cell.astype(np.uint16) if small else cell, kind="stable")
            at_x[rows], at_y[rows] = own[0][order], own[1][order]
            rank[first + order] = np.arange(first, last, dtype=np.int32)
            start[frame * cells + 1 : (frame + 1) * cells + 1] = first + np.cumsum(counts)
        return cls(*axes, at_x, at_y, rank, start)
