"""What of a detector stays the same from frame to frame, on the device."""

from __future__ import annotations

from typing import Any

import numpy as np

from crystint.engine import Buffer, Engine
from crystint.model.rings import RingMap
from crystint.ops.layout import ring_layout
from crystint.ops.pixels import pixel_defines
from crystint.ops.threshold import CURVE_FIRST, CURVE_PER_OCTAVE, CURVE_POINTS, excess_curve

__all__ = ["CURVE_DEFINES", "DetectorBuffers"]

_GROUP = 16
"""rings that a CPU reads together"""
_ROWS = 64
"""rows of the frame in which it reads them"""


CURVE_DEFINES: dict[str, object] = {
    "CURVE_FIRST": f"{CURVE_FIRST}.0f",
    "CURVE_PER_OCTAVE": f"{CURVE_PER_OCTAVE}.0f",
    "CURVE_POINTS": CURVE_POINTS,
}
"""the defines of kernels/significance.h"""


class DetectorBuffers:
    """Buffers that all frames of one detector share; threads may share them, too.

    CPUs work on `lanes` pixels side by side, GPUs on one pixel in each of `local_size` work-items of a group. Buffers
    and numbers have the names of the parameters of the kernels, which find them here.
    """

    def __init__(self, engine: Engine, ring_map: RingMap) -> None:
        self.engine, self.ring_map = engine, ring_map
        self.rings, self.pixels = ring_map.rings, int(ring_map.position.size)
        self.height, self.width = ring_map.shape
        self.lanes, self.local_size = (8, 1) if engine.on_cpu else (1, 128)
        group = _GROUP if engine.on_cpu and self.rings >= 16 * _GROUP else 1
        rows = _ROWS if engine.on_cpu else self.height
        layout = ring_layout(ring_map, self.lanes, self.local_size, group, rows)
        self.group, self.groups, self.bands = layout.group, layout.groups, layout.bands
        self.tail_size = int(layout.room[-1])
        self.mean_weight, self.ring_pixels = (layout.about[:, i].astype(np.float64) for i in (0, 3))
        send = engine.send
        self.order, self.segment, self.ring_weight = send(layout.order), send(layout.segment), send(layout.weight)
        self.ring_dark, self.about = send(layout.dark), send(layout.about)
        self.sample_pixel, self.sample_value = send(layout.sample_pixel), send(layout.sample_value)
        self.room, self.run, self.line = send(layout.room), send(layout.run), send(layout.line)
        self._host_arrays = [np.ascontiguousarray(array) for array in (ring_map.position, ring_map.weight)]
        if ring_map.dark is not None:
            self._host_arrays.append(np.ascontiguousarray(ring_map.dark))
        self.position, self.weight = (engine.lend(array) for array in self._host_arrays[:2])
        self.dark = send(np.zeros(1, np.float32)) if ring_map.dark is None else engine.lend(self._host_arrays[2])
        bits = np.packbits(np.isnan(ring_map.position), bitorder="little")
        self.masked = send(np.append(bits, np.zeros(2 - len(bits) % 2, np.uint8)).view(np.uint16))
        self._curves: dict[float, Buffer] = {}

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
