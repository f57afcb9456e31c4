"""What of a detector stays the same from frame to frame, on the device."""

from __future__ import annotations

from typing import Any

import numpy as np

from crystint.engine import Engine
from crystint.model.rings import RingMap
from crystint.ops.layout import ring_layout
from crystint.ops.pixels import pixel_defines
from crystint.ops.threshold import CURVE_FIRST, CURVE_PER_OCTAVE, CURVE_POINTS, excess_curve

__all__ = ["CURVE_DEFINES", "Fixed"]

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


class Fixed:
    """Buffers that all frames of one detector share; threads may share them, too.

    CPUs work on `lanes` pixels side by side, GPUs on one pixel in each of `local_size` work-items of a group.
    """

    def __init__(self, engine: Engine, rings: RingMap) -> None:
        self.engine, self.rings = engine, rings
        self.pixels: int = rings.position.size
        self.lanes, self.local_size = (8, 1) if engine.on_cpu else (1, 128)
        group = _GROUP if engine.on_cpu and rings.rings >= 16 * _GROUP else 1
        layout = ring_layout(rings, self.lanes, self.local_size, group, _ROWS if engine.on_cpu else rings.shape[0])
        self.group, self.groups = layout.group, layout.groups
        self.ring_number, self.bands = np.int32(rings.rings), np.int32(layout.bands)
        self.room = int(layout.room[-1])
        send = engine.send
        self.order, self.segment, self.ring_weight = send(layout.order), send(layout.segment), send(layout.weight)
        self.ring_dark, self.about = send(layout.dark), send(layout.about)
        self.sample_pixel, self.sample_value = send(layout.sample_pixel), send(layout.sample_value)
        self.room_of, self.run, self.line = send(layout.room), send(layout.run), send(layout.line)
        self._kept = [np.ascontiguousarray(array) for array in (rings.position, rings.weight)]
        if rings.dark is not None:
            self._kept.append(np.ascontiguousarray(rings.dark))
        self.position, self.weight = (engine.lend(array) for array in self._kept[:2])
        self.dark = send(np.zeros(1, np.float32)) if rings.dark is None else engine.lend(self._kept[2])
        self.masked = send(np.append(np.packbits(np.isnan(rings.position), bitorder="little"), np.uint8(0)))
        self._curves: dict[float, Any] = {}

    def curve(self, k: float) -> Any:
        """The significance curve of `k` sigma as kernels/significance.h has it."""
        if k not in self._curves:
            self._curves[k] = self.engine.send(excess_curve(k).astype(np.float32))
        return self._curves[k]

    def pixel_defines(self, dtype: np.dtype[Any]) -> dict[str, object]:
        """What kernels/pixel.h needs to be told."""
        return pixel_defines(dtype, dark=self.rings.dark is not None)

    def defines(self, dtype: np.dtype[Any]) -> dict[str, object]:
        """What kernels that judge the pixels of frames need to be told."""
        return self.pixel_defines(dtype) | CURVE_DEFINES

    @property
    def ring_defines(self) -> dict[str, object]:
        """How kernels walk over rings."""
        return {"LOCAL_SIZE": self.local_size, "GROUP": self.group}
