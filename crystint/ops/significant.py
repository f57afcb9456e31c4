"""Pixels that stand out from the background: picking, and the maxima from which peaks are made."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from crystint.engine import Engine
from crystint.model.rings import Background, RingMap
from crystint.ops.pixels import largest_valid, pixel_defines
from crystint.ops.threshold import (
    CURVE_FIRST,
    CURVE_PER_OCTAVE,
    CURVE_POINTS,
    excess_curve,
    reach_of_rings,
    ring_table,
)

__all__ = ["BLOCK", "SignificantPixels", "curve_defines"]

BLOCK = 4096
"""pixels that one work-group looks at"""


def curve_defines(rings: int) -> dict[str, object]:
    """The defines of kernels/significance.h."""
    return {
        "RINGS": rings,
        "CURVE_FIRST": f"{CURVE_FIRST}.0f",
        "CURVE_PER_OCTAVE": f"{CURVE_PER_OCTAVE}.0f",
        "CURVE_POINTS": CURVE_POINTS,
    }


class SignificantPixels:
    """Pixels, and maxima, above a background on one detector.

    Parameters
    ----------
    scratch : buffer of uint32 [blocks * BLOCK]
        Room for a list; its content is lost.
    """

    def __init__(self, engine: Engine, rings: RingMap, scratch: Any, *, saturation: float | None = None) -> None:
        self.engine, self.rings, self._saturation, self._scratch = engine, rings, saturation, scratch
        pixels = rings.position.size
        self.blocks = -(-pixels // BLOCK)
        self._local_size = 1 if engine.on_cpu else 128
        self._position, self._weight = engine.send(rings.position.ravel()), engine.send(rings.weight.ravel())
        self._dark = engine.send(np.zeros(1, np.float32) if rings.dark is None else rings.dark.ravel())
        self._table, self._reach = engine.empty(4 * rings.rings, np.float32), engine.empty(rings.rings, np.float32)
        self._heaviest = float(rings.weight.max())
        self._unusable = engine.empty(self.blocks * BLOCK, np.uint32)
        self._length = engine.empty(2 * self.blocks, np.uint32)
        self._curves: dict[float, Any] = {}

    def _curve(self, k: float) -> Any:
        if k not in self._curves:
            self._curves[k] = self.engine.send(excess_curve(k).astype(np.float32))
        return self._curves[k]

    def _kernel(self, name: str, dtype: np.dtype[Any], **defines: object) -> Any:
        defines |= pixel_defines(dtype, dark=self.rings.dark is not None) | curve_defines(self.rings.rings)
        return self.engine.kernel(name, **defines)

    def _send(self, background: Background, snr: float, noise: float) -> None:
        self.engine.write(self._table, ring_table(background))
        self.engine.write(self._reach, reach_of_rings(background, snr, noise, self._heaviest))

    def _fixed(self, frame: Any) -> tuple[Any, ...]:
        return frame, self._position, self._weight, self._dark, self._table

    def _packed(self, scattered: Any, length: NDArray[np.uint32]) -> tuple[Any, int]:
        """Bring the lists of all blocks together; the buffer stays on the device."""
        start = np.concatenate([[0], np.cumsum(length, dtype=np.uint32)]).astype(np.uint32)
        packed = self.engine.empty(int(start[-1]), np.uint32)
        kernel = self.engine.kernel("gather_blocks.cl", BLOCK=BLOCK, LOCAL_SIZE=self._local_size)
        starts = self.engine.send(start)
        self.engine.launch(kernel, self.blocks, self._local_size, scattered, starts, packed)
        return packed, int(start[-1])

    def pick(
        self, frame: Any, dtype: np.dtype[Any], background: Background, snr: float, noise: float
    ) -> tuple[NDArray[np.uint32], NDArray[np.uint32]]:
        """Pixel numbers above `snr`, and those of unmasked pixels that are unusable in this frame; ascending.

        Parameters
        ----------
        frame : buffer of `dtype` [slow * fast]
        """
        self._send(background, snr, noise)
        kernel = self._kernel("pick_pixels.cl", dtype, BLOCK=BLOCK, LOCAL_SIZE=self._local_size)
        self.engine.launch(
            kernel,
            self.blocks,
            self._local_size,
            *self._fixed(frame),
            self._curve(snr),
            np.float32(snr),
            self._reach,
            np.float32(noise * noise),
            largest_valid(dtype, self._saturation),
            np.uint32(self.rings.position.size),
            self._scratch,
            self._unusable,
            self._length,
        )
        length = self.engine.receive(self._length, 2 * self.blocks, np.uint32).reshape(-1, 2)
        picked, n_picked = self._packed(self._scratch, length[:, 0])
        unusable, n_unusable = self._packed(self._unusable, length[:, 1])
        return (
            self.engine.receive(picked, n_picked, np.uint32),
            self.engine.receive(unusable, n_unusable, np.uint32),
        )

    def maxima(
        self,
        frame: Any,
        dtype: np.dtype[Any],
        background: Background,
        *,
        snr: float,
        snr_pick: float,
        noise: float,
        connected: int,
        reach: int,
        valley: float,
        share: float,
    ) -> tuple[NDArray[np.uint32], NDArray[np.uint32]]:
        """Pixel numbers of all maxima, ascending, and for each that of the higher maximum it belongs to, or its own."""
        self._send(background, snr, noise)
        height, width = (np.int32(n) for n in self.rings.shape)
        noise2, saturation = np.float32(noise * noise), largest_valid(dtype, self._saturation)
        kernel = self._kernel("find_maxima.cl", dtype, BLOCK=BLOCK, LOCAL_SIZE=self._local_size, REACH=reach)
        self.engine.launch(
            kernel,
            self.blocks,
            self._local_size,
            *self._fixed(frame),
            self._curve(snr),
            np.float32(snr),
            self._reach,
            self._curve(snr_pick),
            np.float32(snr_pick),
            noise2,
            saturation,
            np.int32(connected),
            height,
            width,
            self._scratch,
            self._length,
        )
        length = self.engine.receive(self._length, self.blocks, np.uint32)
        maxima, n = self._packed(self._scratch, length)
        if n == 0:
            return np.empty(0, np.uint32), np.empty(0, np.uint32)
        parent = self.engine.empty(n, np.uint32)
        self.engine.launch(
            self._kernel("merge_maxima.cl", dtype, REACH=reach),
            n,
            1,
            *self._fixed(frame),
            self._curve(snr_pick),
            np.float32(snr_pick),
            noise2,
            saturation,
            maxima,
            np.float32(valley),
            np.float32(share),
            height,
            width,
            parent,
        )
        return self.engine.receive(maxima, n, np.uint32), self.engine.receive(parent, n, np.uint32)
