"""From sparse frames back to frames."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from crystint.engine import Engine, default_engine
from crystint.errors import DTypeError, SettingError
from crystint.model.mask import marker
from crystint.model.rings import Background, RingMap
from crystint.model.sparse import SparseFrame
from crystint.ops.background import RingStatistics
from crystint.ops.pixels import PIXEL_TYPES, pixel_defines
from crystint.ops.significant import BLOCK, SignificantPixels, curve_defines
from crystint.ops.threshold import excess_curve, reach_of_rings, ring_table, thresholds

__all__ = ["Densifier", "densify"]

_MARGIN = 0.01
"""Noise stays this many sigma below SNR_pick, so that a later rounding of the normalization does not matter."""
_GROUP = 128
"""work-items of a work-group"""
_ROUNDS = 20
"""most rounds in which noise that a new separation would pick is lowered"""


def _below(snr: float) -> float:
    return max(snr - _MARGIN, 0.5 * snr)


class Densifier:
    """Densify one sparse frame after the other of one detector.

    Noise is drawn below the picking threshold of the frame's background. Separating the new frame gives another
    background, from other noise; pixels that stand out of that one are lowered to its threshold, until nothing does.
    """

    def __init__(self, engine: Engine, rings: RingMap) -> None:
        self.engine, self.rings = engine, rings
        position, weight = np.ascontiguousarray(rings.position), np.ascontiguousarray(rings.weight)
        dark = np.zeros(1, np.float32) if rings.dark is None else np.ascontiguousarray(rings.dark)
        self._kept = position, weight, dark  # lent to the device
        self._position, self._weight, self._dark = (engine.lend(one) for one in self._kept)
        self._curves: dict[float, Any] = {}
        self._check: tuple[Any, RingStatistics, SignificantPixels, Any] | None = None

    def _invented(self, frame: NDArray[Any], sparse: SparseFrame) -> tuple[NDArray[np.uint32], Background]:
        """Pixels that a separation of the new frame would pick and that were not picked, and its background."""
        old = sparse.background
        settings = (old.error_model, old.snr_clip, old.cycles, old.saturation)
        if self._check is None or self._check[0] != settings:
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
            self._check = settings, statistics, pixels, scratch
        _, statistics, pixels, scratch = self._check
        lent = self.engine.lend(frame)
        new = statistics.run(lent, frame.dtype, scratch)
        picked, _ = pixels.pick(lent, frame.dtype, new, _below(sparse.snr), sparse.noise)
        return np.setdiff1d(picked, sparse.index, assume_unique=True), new

    def _lower(self, frame: NDArray[Any], sparse: SparseFrame) -> None:
        """Lower noise, in place, until a separation of the frame picks none of it."""
        flat = frame.ravel()
        for _ in range(_ROUNDS):
            pixels, background = self._invented(frame, sparse)
            if not len(pixels):
                return
            position, weight = self.rings.position.ravel()[pixels], self.rings.weight.ravel()[pixels]
            limit = thresholds(background, position, weight, _below(sparse.snr), sparse.noise)
            if self.rings.dark is not None:
                limit = limit + self.rings.dark.ravel()[pixels]
            if frame.dtype.kind == "f":
                flat[pixels] = np.minimum(flat[pixels], 0.999 * limit)
            else:
                lower = np.minimum(np.floor(0.9999 * limit), flat[pixels].astype(np.float64) - 1.0)
                flat[pixels] = np.maximum(lower, 0.0).astype(frame.dtype)

    def run(self, sparse: SparseFrame, noise: bool = True, seed: int = 0) -> NDArray[Any]:
        """The frame that `sparse` was made from, with the background in place of the pixels that were not picked.

        As `densify`.
        """
        dtype = sparse.dtype
        if dtype not in PIXEL_TYPES:
            raise DTypeError(f"the sparse frame holds {dtype}, expected one of {', '.join(map(str, PIXEL_TYPES))}")
        if isinstance(seed, bool) or not isinstance(seed, int | np.integer) or not 0 <= seed < 2**64:
            raise SettingError(f"seed is {seed!r}, expected a whole number from 0 to 2^64 - 1")
        snr = _below(sparse.snr)
        if snr not in self._curves:
            self._curves[snr] = self.engine.send(excess_curve(snr).astype(np.float32))
        kernel = self.engine.kernel(
            "densify.cl",
            **pixel_defines(dtype, dark=self.rings.dark is not None),
            **curve_defines(self.rings.rings),
        )
        empty = dtype.type(marker(dtype))
        largest = dtype.type(0)
        if dtype.kind != "f":  # the all-ones value of unsigned frames is no count
            largest = dtype.type(np.iinfo(dtype).max - (dtype.kind == "u"))
        pixels = self.rings.position.size
        out = self.engine.empty(pixels, dtype)
        self.engine.launch(
            kernel,
            -(-pixels // _GROUP),
            _GROUP,
            self._position,
            self._weight,
            self._dark,
            self.engine.send(ring_table(sparse.background)),
            self._curves[snr],
            self.engine.send(reach_of_rings(sparse.background, snr, sparse.noise, float(self.rings.weight.max()))),
            np.float32(snr),
            np.float32(sparse.noise**2),
            empty,
            largest,
            np.int32(bool(noise)),
            np.uint64(seed),
            np.uint32(sparse.frame % 2**32),
            np.uint32(pixels),
            out,
        )
        frame = self.engine.receive(out, pixels, dtype)
        if sparse.unusable_index is not None and sparse.unusable_value is not None:
            frame[sparse.unusable_index] = sparse.unusable_value
        frame[sparse.index] = sparse.value
        frame = frame.reshape(self.rings.shape)
        if noise:
            self._lower(frame, sparse)
        return frame


def densify(
    sparse: SparseFrame, noise: bool = True, seed: int = 0, *, engine: Engine | str | None = None
) -> NDArray[Any]:
    """The frame that a sparse frame was made from: its picked pixels exactly, and its background elsewhere.

    For many frames keep a `Densifier`.

    Parameters
    ----------
    sparse : SparseFrame
    noise : bool
        Draw the background from Poisson's law (widened to the ring's variance), never above the picking threshold.
        False: the expected counts, rounded in integer frames.
    seed : int
        The noise of a pixel depends on seed, frame number and pixel number alone.

    Returns
    -------
    frame dtype [slow, fast]
        Masked pixels hold the value that marks unusable ones: -1, all ones, or NaN; pixels that were unusable in
        this frame hold what they held.

    Raises
    ------
    DTypeError, SettingError
    """
    if not isinstance(sparse, SparseFrame):
        raise SettingError(f"sparse is {type(sparse).__name__}, expected a SparseFrame")
    if isinstance(engine, str):
        engine = Engine(engine)
    return Densifier(engine if engine is not None else default_engine(), sparse.background.rings).run(
        sparse, noise, seed
    )
