"""What of a detector stays the same from frame to frame, on the device."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crystint.engine import Buffer, Engine
from crystint.model.rings import RingMap
from crystint.ops.cells import RingCells, ring_cells
from crystint.ops.layout import RingLayout, ring_layout
from crystint.ops.pixels import pixel_defines
from crystint.ops.threshold import CURVE_FIRST, CURVE_PER_OCTAVE, CURVE_POINTS, excess_curve

__all__ = ["CURVE_DEFINES", "CellBuffers", "DetectorBuffers", "Gaps", "RingOrder"]

_GROUP = 16
"""rings that a CPU reads together"""
_ROWS = 64
"""rows of the frame in which it reads them"""
_PARTS = 8
"""most parts in which a frame is counted: each has a table of its own, which must be added up"""


CURVE_DEFINES: dict[str, object] = {
    "CURVE_FIRST": f"{CURVE_FIRST}.0f",
    "CURVE_PER_OCTAVE": f"{CURVE_PER_OCTAVE}.0f",
    "CURVE_POINTS": CURVE_POINTS,
}
"""the defines of kernels/significance.h"""


class RingOrder:
    """The pixels of a detector ring by ring: the arrays of kernels/ring_statistics.cl."""

    def __init__(self, engine: Engine, layout: RingLayout) -> None:
        self.groups, self.bands, self.tail_size = layout.groups, layout.bands, int(layout.room[-1])
        send = engine.send
        self.order, self.segment, self.ring_weight = send(layout.order), send(layout.segment), send(layout.weight)
        self.ring_dark, self.room = send(layout.dark), send(layout.room)
        self.sample_pixel, self.sample_value = send(layout.sample_pixel), send(layout.sample_value)
        self.run, self.line = send(layout.run), send(layout.line)


class CellBuffers:
    """The cells of a detector: the arrays of kernels/ring_histogram.cl and clip_histogram.cl."""

    def __init__(self, engine: Engine, cells: RingCells) -> None:
        self.layout = cells
        self.cells, self.parts = len(cells.cell_weight), min(engine.device.compute_units, _PARTS)
        send = engine.send
        self.cell, self.first_cell = send(cells.cell.reshape(-1)), send(cells.first_cell)
        self.cell_weight, self.cell_bounds = send(cells.cell_weight), send(cells.cell_bounds)
        self.cell_order, self.cell_pixel = send(cells.cell_order), send(cells.cell_pixel)
        self.strip_rings, self.strip_weight = send(cells.strip_rings), send(cells.strip_weight)


@dataclass(frozen=True, slots=True, eq=False)
class Gaps:
    """The unusable pixels of the last frame of a dtype; what `DetectorBuffers.gaps` holds."""

    index: NDArray[np.uint32]
    value: NDArray[Any]
    index_buffer: Buffer | None
    value_buffer: Buffer | None
    """the same for kernels; None on GPUs, which list them anew"""
    cell_weight: Buffer | None
    """mean normalization of the other pixels of each cell, where there are cells"""


class DetectorBuffers:
    """Buffers that all frames of one detector share; threads may share them, too.

    CPUs work on `lanes` pixels side by side, GPUs on one pixel in each of `local_size` work-items of a group. Buffers
    and numbers have the names of the parameters of the kernels, which find them here, in `ring_order` and in `cells`.
    """

    def __init__(self, engine: Engine, ring_map: RingMap) -> None:
        self.engine, self.ring_map = engine, ring_map
        self.rings, self.pixels = ring_map.rings, int(ring_map.position.size)
        self.height, self.width = ring_map.shape
        self.lanes, self.local_size = (8, 1) if engine.on_cpu else (1, 128)
        self.group = _GROUP if engine.on_cpu and self.rings >= 16 * _GROUP else 1
        self._making = threading.Lock()
        self._ring_order: RingOrder | None = None
        counters = engine.on_cpu and engine.doubles and ring_map.dark is None
        cells = ring_cells(ring_map) if counters else None
        self.cells = None if cells is None else CellBuffers(engine, cells)
        """None = frames are read in the order of the rings"""
        about = cells.about if cells is not None else self._ring_layout.about
        self.about = engine.send(about)
        self.mean_weight, self.ring_pixels = (about[:, i].astype(np.float64) for i in (0, 3))
        self.every_ring = engine.send(np.ones(self.rings, np.uint32))
        self._host_arrays = [np.ascontiguousarray(array) for array in (ring_map.position, ring_map.weight)]
        if ring_map.dark is not None:
            self._host_arrays.append(np.ascontiguousarray(ring_map.dark))
        self.position, self.weight = (engine.lend(array) for array in self._host_arrays[:2])
        self.dark = engine.send(np.zeros(1, np.float32)) if ring_map.dark is None else engine.lend(self._host_arrays[2])
        bits = np.packbits(np.isnan(ring_map.position), bitorder="little")
        self.masked = engine.send(np.append(bits, np.zeros(2 - len(bits) % 2, np.uint8)).view(np.uint16))
        self._curves: dict[float, Buffer] = {}
        self.gaps: dict[np.dtype[Any], Gaps] = {}

    @cached_property
    def _ring_layout(self) -> RingLayout:
        rows = _ROWS if self.engine.on_cpu else self.height
        return ring_layout(self.ring_map, self.lanes, self.local_size, self.group, rows)

    @property
    def ring_order(self) -> RingOrder:
        """Made when it is first needed: where there are cells, most frames do without."""
        with self._making:
            if self._ring_order is None:
                self._ring_order = RingOrder(self.engine, self._ring_layout)
                del self._ring_layout  # it is on the device
        return self._ring_order

    def cells_for(self, dtype: np.dtype[Any]) -> CellBuffers | None:
        """The cells, if frames of that dtype are read in storage order: whole numbers, none of them below zero."""
        if dtype.kind == "f" or self.pixel_defines(dtype)["NEGATIVE"]:
            return None
        return self.cells

    def significance_curve(self, k: float) -> Buffer:
        """The significance curve of `k` sigma as kernels/significance.h has it."""
        if k not in self._curves:
            self._curves[k] = self.engine.send(excess_curve(k).astype(np.float32))
        return self._curves[k]

    def pixel_defines(self, dtype: np.dtype[Any]) -> dict[str, object]:
        """What kernels/pixel.h needs to be told."""
        return pixel_defines(dtype, self.ring_map.valid, dark=self.ring_map.dark is not None)

    def defines(self, dtype: np.dtype[Any]) -> dict[str, object]:
        """What kernels that judge the pixels of frames need to be told."""
        return self.pixel_defines(dtype) | CURVE_DEFINES

    @property
    def ring_defines(self) -> dict[str, object]:
        """How kernels walk over rings."""
        return {"LOCAL_SIZE": self.local_size, "GROUP": self.group}
