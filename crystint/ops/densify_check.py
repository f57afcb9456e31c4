"""Noise that a separation of a densified frame would pick, lowered until there is none."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crystint.engine import Engine
from crystint.model.rings import Background, RingMap
from crystint.model.sparse import SparseFrame
from crystint.model.valid_values import fewest_counts
from crystint.ops.background import Clipping, read_background, start_statistics, start_table
from crystint.ops.detector_buffers import DetectorBuffers
from crystint.ops.significant import picked_pixels, start_picking
from crystint.ops.threshold import thresholds
from crystint.ops.workspace import Workspace

__all__ = ["InventedPixels"]

_ROUNDS = 20
"""most rounds in which noise that a new separation would pick is lowered"""


class InventedPixels:
    """Separates densified frames anew. Threads may share one, and wait for one another."""

    def __init__(self, engine: Engine, rings: RingMap) -> None:
        self.engine, self.rings = engine, rings
        self._lock = threading.Lock()
        self._workspace: Workspace | None = None

    def _invented(self, frame: NDArray[Any], sparse: SparseFrame, snr: float) -> tuple[NDArray[np.uint32], Background]:
        """Pixels that a separation of the new frame would pick and that were not picked, and its background."""
        old = sparse.background
        clip = Clipping(old.error_model, old.snr_clip, old.cycles, old.saturation)
        with self._lock:
            if self._workspace is None:
                self._workspace = Workspace(DetectorBuffers(self.engine, self.rings))
            workspace, frame_buffer = self._workspace, self.engine.lend(frame)
            start_statistics(workspace, frame_buffer, frame[None], clip)
            start_table(workspace, clip)
            start_picking(workspace, frame_buffer, frame.dtype, snr, sparse.noise, old.saturation)
            count = int(workspace.engine.receive(workspace.count, 1)[0])
            picked, _ = picked_pixels(workspace, frame_buffer, frame[None], 0, count)
            new = read_background(workspace, clip)
        if not len(sparse.index):
            return picked, new
        place = np.minimum(np.searchsorted(sparse.index, picked), len(sparse.index) - 1)
        return picked[sparse.index[place] != picked], new

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
            pixels, background = self._invented(frame, sparse, snr)
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
                flat[pixels] = np.maximum(lower, fewest_counts(frame.dtype, self.rings.valid)).astype(frame.dtype)
