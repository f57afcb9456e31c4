"""Rows of a layout on an OpenCL device, as they are and in the order of the cells of a grid.

16 bytes per row are sent once per layout, 12 once per grid. A CPU works in arrays of the host, whose memory goes back
when it is no longer used. Counts enter as background and what is above it: the difference of counts and model, of which
slopes and residuals are made, is exact to rounding of the signal then, not of the background.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crystint.arrays import Floats
from crystint.cbc.scaling.cells import SPARE, Cells
from crystint.cbc.scaling.layout import Layout
from crystint.engine import Buffer, Engine, Kernel
from crystint.errors import SettingError, ShapeError

__all__ = ["CellBuffers", "DeviceRows", "blocks"]


_LANES = 16
"""rows that a CPU works on side by side"""
_GROUP = 32
"""work-items per streak or node on a device that is no CPU"""
_ALONE = 256
"""work-items of a work-group that is the only one, on a device that is no CPU"""
_BLOCK = 1 << 16
"""rows made ready to be sent at a time"""


class DeviceRows:
    """Rows of a layout on a device. Buffers have the names of the parameters of the kernels, which find them here.

    Parameters
    ----------
    engine : Engine
    layout : Layout
    local_size : int, optional
        Work-items per streak or node, a power of two; None = what suits the device.

    Raises
    ------
    ShapeError
        When there are 2^31 rows or more.
    SettingError
        When the local size is impossible.
    DeviceError
        When the device cannot hold the rows.
    """

    def __init__(self, engine: Engine, layout: Layout, *, local_size: int | None = None) -> None:
        if len(layout) >= 2**31 - SPARE:
            raise ShapeError(f"{len(layout)} rows, expected fewer than 2^31 for a device; use path='numpy'")
        size = local_size or (1 if engine.on_cpu else _GROUP)
        if size < 1 or size & (size - 1):
            raise SettingError(f"local_size is {size}, expected a power of two")
        self.engine, self.layout, self.local_size = engine, layout, size
        self.lanes = _LANES if engine.on_cpu and size == 1 else 1
        self.alone = local_size or (1 if engine.on_cpu else _ALONE)
        """work-items of a kernel that is one work-group"""
        self.above = self.filled(np.float32, (_above(layout, rows) for rows in blocks(len(layout))))
        self.background = self.filled(
            np.float32, (layout.background[layout.pixel[rows]] for rows in blocks(len(layout)))
        )
        self.profile = self.filled(np.float32, (layout.profile[rows] for rows in blocks(len(layout))))
        link, shared = _shared_pixels(layout)
        self.link = engine.lend(link)
        self.shared = engine.send(shared)
        self.start = self.sent(layout.streak_start, np.int32)
        self.frame = self.sent(layout.streak_frame, np.int32)
        self.reflection = self.sent(layout.streak_reflection, np.int32)
        by_reflection = np.argsort(layout.streak_reflection, kind="stable")
        ends = np.cumsum(np.bincount(layout.streak_reflection, minlength=layout.n_reflections))
        self.member = self.sent(by_reflection, np.int32)
        self.member_start = self.sent(np.concatenate([[0], ends]), np.int32)
        self._cells: tuple[Floats, Floats, CellBuffers] | None = None

    def cells(self, x: Floats, y: Floats) -> CellBuffers:
        """The order of rows for a grid; that of the last grid is kept."""
        have = self._cells
        if have is None or not (np.array_equal(have[0], x) and np.array_equal(have[1], y)):
            self._cells = None
            have = self._cells = (x, y, CellBuffers(self, Cells.of(self.layout, x, y)))
        return have[2]

    def sent(self, values: Any, dtype: Any) -> Buffer:
        """A buffer with values of another type."""
        return self.engine.send(np.asarray(values, dtype=dtype))

    def room(self, dtype: Any) -> Buffer:
        """A buffer for a value per row, and some that are read beyond, but not used.

        On a CPU it is an array that kernels work in: such memory goes back when it is no longer used.
        """
        return self.engine.borrow(np.empty(len(self.layout) + SPARE, dtype))

    def filled(self, dtype: Any, blocks: Iterator[NDArray[Any]]) -> Buffer:
        """A buffer with a value per row, as `room`, from one block of rows after the other."""
        values = np.zeros(len(self.layout) + SPARE, dtype)
        first = 0
        for block in blocks:
            values[first : first + len(block)] = block
            first += len(block)
        return self.engine.lend(values)

    def kernel(self, file: str, **defines: object) -> Kernel:
        """A kernel for this backend's local size."""
        return self.engine.kernel(file, LOCAL_SIZE=self.local_size, **defines)


class CellBuffers:
    """Rows in the order of cells, on the device. Buffers have the names of the parameters of the kernels."""

    def __init__(self, backend: DeviceRows, cells: Cells) -> None:
        send = backend.engine.send
        self.axes = cells.x, cells.y
        self.nodes_x, self.nodes_y = send(cells.x.nodes), send(cells.y.nodes)
        self.first_x, self.first_y = send(cells.x.first), send(cells.y.first)
        self.ux, self.uy = backend.engine.lend(cells.at_x), backend.engine.lend(cells.at_y)
        self.rank, self.cell_start = backend.engine.lend(cells.rank), send(cells.start)


def blocks(n: int) -> Iterator[slice]:
    """0 .. n - 1 in parts, so that what is in between is small."""
    edges = [*range(0, n, _BLOCK), n]
    return (slice(first, last) for first, last in pairwise(edges))


def _above(layout: Layout, rows: slice) -> Floats:
    """Counts less background of some rows, in double precision."""
    pixel = layout.pixel[rows]
    return layout.counts[pixel] - layout.background[pixel]


def _shared_pixels(layout: Layout) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Link of each row and the entries of shared pixels, int32 [n + 16] and [m, 2]; see kernels/cbc_rows.h."""
    once = layout.multiplicity == 1
    link = np.full(len(layout) + SPARE, -1, np.int32)
    rows = np.concatenate([rows.start + np.flatnonzero(~once[layout.pixel[rows]]) for rows in blocks(len(layout))])
    if not len(rows):
        return link, np.zeros((1, 2), np.int32)
    rows = rows[np.argsort(layout.pixel[rows], kind="stable")]
    pixel = layout.pixel[rows]
    new = np.concatenate([[True], pixel[1:] != pixel[:-1]])
    first = np.flatnonzero(new)
    link[rows] = first[np.cumsum(new) - 1]
    streak = np.searchsorted(layout.streak_start, rows, side="right") - 1
    streak[np.append(first[1:], len(rows)) - 1] ^= -1
    return link, np.stack([rows, streak], axis=1).astype(np.int32)
