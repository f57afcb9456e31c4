"""Background of every ring by iterative sigma clipping."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from crystint.engine import Engine
from crystint.model.rings import Background, RingMap
from crystint.ops.layout import ring_order
from crystint.ops.pixels import largest_valid, pixel_defines

__all__ = ["RingStatistics"]


def _background(sums: NDArray[np.float32], rings: RingMap, error_model: str, **settings: Any) -> Background:
    """Mean, spread and excess variance from the sums of kernels/ring_statistics.cl.

    A frame that holds fractional counts, or has a dark frame, comes from an integrating detector: its variance beyond
    Poisson is read-out noise, which adds. In a frame of whole counts it is a modulation of the expected counts, which
    multiplies.
    """
    n, shift, omega, omega2, azimuthal, origin, fractions, ratio = sums.astype(np.float64).T
    with np.errstate(divide="ignore", invalid="ignore"):
        mean = np.where(n > 0, origin + shift, np.nan)
        poisson = np.maximum(mean * omega, 0.0)
        variance = azimuthal if error_model == "azimuthal" else poisson
        integrating = bool(np.any(fractions > 0))
        excess = np.ones_like(mean) if integrating else np.maximum(ratio, 1.0)
        more = np.maximum(azimuthal - poisson, 0.0) / omega2
        additive = more if integrating else np.zeros_like(mean)
        return Background(
            mean=mean,
            std=np.sqrt(variance / omega2),
            count=n,
            sem=np.sqrt(variance) / omega,
            excess=np.where(n > 0, excess, np.nan),
            additive=np.where(n > 0, additive, np.nan),
            rings=rings,
            error_model=error_model,
            **settings,
        )


class RingStatistics:
    """Sigma clipping of one frame after the other on the rings of one detector.

    Parameters
    ----------
    error_model : {"poisson", "azimuthal", "hybrid"}
    snr_clip : float or None
        Clipping threshold; None = Chauvenet's.
    cycles : int
        Most cycles of clipping; 0 = none.
    """

    def __init__(
        self,
        engine: Engine,
        rings: RingMap,
        *,
        error_model: str = "hybrid",
        snr_clip: float | None = None,
        cycles: int = 5,
        saturation: float | None = None,
    ) -> None:
        self.engine, self.rings, self.error_model = engine, rings, error_model
        self._snr_clip, self._cycles, self._saturation = snr_clip, cycles, saturation
        self._lanes, self._local_size = (16, 1) if engine.on_cpu else (1, 128)
        order, start = ring_order(rings, self._lanes)
        self.padded = len(order)
        used = order >= 0
        weight = np.ones(len(order), dtype=np.float32)
        weight[used] = rings.weight.ravel()[order[used]]
        dark = np.zeros(1, dtype=np.float32)
        if rings.dark is not None:
            dark = np.zeros(len(order), dtype=np.float32)
            dark[used] = rings.dark.ravel()[order[used]]
        self._order, self._start = engine.send(order), engine.send(start)
        self._weight, self._dark = engine.send(weight), engine.send(dark)
        self._sums = engine.empty(8 * rings.rings, np.float32)

    def run(self, frame: Any, dtype: np.dtype[Any], scratch: Any) -> Background:
        """Background of a frame that is on the device.

        Parameters
        ----------
        frame : buffer of `dtype` [slow * fast]
        scratch : buffer of float32 [padded]
        """
        kernel = self.engine.kernel(
            "ring_statistics.cl",
            **pixel_defines(dtype, dark=self.rings.dark is not None),
            POISSON_CLIP=int(self.error_model == "poisson"),
            LANES=self._lanes,
            LOCAL_SIZE=self._local_size,
        )
        self.engine.launch(
            kernel,
            self.rings.rings,
            self._local_size,
            frame,
            self._order,
            self._start,
            self._weight,
            self._dark,
            largest_valid(dtype, self._saturation),
            np.float32(self._snr_clip or 0.0),
            np.int32(self._cycles),
            scratch,
            self._sums,
        )
        sums = self.engine.receive(self._sums, 8 * self.rings.rings, np.float32)
        return _background(
            sums.reshape(-1, 8),
            self.rings,
            self.error_model,
            snr_clip=self._snr_clip,
            cycles=self._cycles,
            saturation=self._saturation,
        )
