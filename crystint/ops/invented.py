"""Noise that a separation of a densified frame would pick, lowered until there is none."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crystint.engine import Engine
from crystint.model.rings import Background, RingMap
from crystint.model.sparse import SparseFrame
from crystint.ops.background import RingStatistics
from crystint.ops.significant import BLOCK, SignificantPixels
from crystint.ops.threshold import thresholds

__all__ = ["InventedPixels"]

_ROUNDS = 20
"""most rounds in which noise that a new separation would pick is lowered"""


class InventedPixels:
    """Separates densified frames anew. Threads may share one, and wait for one another."""

    def __init__(self, engine: Engine, rings: RingMap) -> None:
        self.engine, self.rings = engine, rings
        self._lock = threading.Lock()
        self._kept: tuple[Any, RingStatistics, SignificantPixels, Any] | None = None

    def _separation(self, old: Background) -> tuple[RingStatistics, SignificantPixels, Any]:
        settings = (old.error_model, old.snr_clip, old.cycles, old.saturation)
        if self._kept is None or self._kept[0] != settings:
            statistics = RingStatistics(
                self.engine,
                self.rings,
                error_model=old.error_model,
                snr_clip=old.snr_clip,
                cycles=old.cycles,
                saturation=old.saturation,
            )
            blocks = -(-self.rings.position.size // BLOCK)
            scratch = self.engine.empty(max(statistics.padded, blocks * BLOCK), np.uint32)
            pixels = SignificantPixels(self.engine, self.rings, scratch, saturation=old.saturation)
            self._kept = settings, statistics, pixels, scratch
        return self._kept[1:]

    def _found(self, frame: NDArray[Any], sparse: SparseFrame, snr: float) -> tuple[NDArray[np.uint32], Background]:
        """Pixels that a separation of the new frame would pick and that were not picked, and its background."""
        statistics, pixels, scratch = self._separation(sparse.background)
        lent = self.engine.lend(frame)
        new = statistics.run(lent, frame.dtype, scratch)
        picked, _ = pixels.pick(lent, frame.dtype, new, snr, sparse.noise)
        return np.setdiff1d(picked, sparse.index, assume_unique=True), new

    def lower(self, frame: NDArray[Any], sparse: SparseFrame, snr: float) -> None:
        """Lower noise, in place, until a separation of the frame picks none of it.

        Parameters
        ----------
        frame : array [slow, fast]
        snr : float
            SNR_pick, or a little less.
        """
        flat = frame.ravel()
        for _ in range(_ROUNDS):
            with self._lock:
                pixels, background = self._found(frame, sparse, snr)
            if not len(pixels):
                return
            position, weight = self.rings.position.ravel()[pixels], self.rings.weight.ravel()[pixels]
            limit = thresholds(background, position, weight, snr, sparse.noise)
            if self.rings.dark is not None:
                limit = limit + self.rings.dark.ravel()[pixels]
            if frame.dtype.kind == "f":
                flat[pixels] = np.minimum(flat[pixels], 0.999 * limit)
            else:
                lower = np.minimum(np.floor(0.9999 * limit), flat[pixels].astype(np.float64) - 1.0)
                flat[pixels] = np.maximum(lower, 0.0).astype(frame.dtype)
