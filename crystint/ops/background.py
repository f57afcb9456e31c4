"""Background of every ring by iterative sigma clipping."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crystint.model.rings import Background, RingMap
from crystint.ops.pixels import largest_valid
from crystint.ops.threshold import ring_table
from crystint.ops.work import Work

__all__ = ["Clipping", "read_background", "start_statistics", "start_table"]


@dataclass(frozen=True, slots=True)
class Clipping:
    """How rings are clipped; as `Separator`."""

    error_model: str
    snr_clip: float | None = None
    """None = Chauvenet's"""
    cycles: int = 5
    saturation: float | None = None


def start_statistics(work: Work, frame: Any, dtype: np.dtype[Any], clip: Clipping, frames: int = 1) -> None:
    """Start to sum up every ring of the frames in a buffer, and to list their tails."""
    fixed = work.fixed
    kernel = work.engine.kernel(
        "ring_statistics.cl",
        POISSON_CLIP=int(clip.error_model == "poisson"),
        LANES=fixed.lanes,
        TOUCH=int(fixed.group > 1),
        **fixed.defines(dtype),
        **fixed.ring_defines,
    )
    work.engine.launch(
        kernel,
        fixed.groups,
        fixed.local_size,
        frame,
        fixed.order,
        fixed.segment,
        fixed.ring_weight,
        fixed.ring_dark,
        fixed.sample_pixel,
        fixed.sample_value,
        fixed.about,
        fixed.room_of,
        fixed.run,
        fixed.line,
        fixed.ring_number,
        fixed.bands,
        np.uint32(fixed.pixels),
        largest_valid(dtype, clip.saturation),
        np.float32(clip.snr_clip or 0.0),
        np.int32(clip.cycles),
        work.tail_pixel,
        work.tail_above,
        work.tail_weight,
        work.tails,
        work.cover,
        work.lost,
        work.sums,
        frames=frames,
    )


def read_background(work: Work, clip: Clipping, frame: int = 0) -> Background:
    """The background of a frame whose statistics were started; waits for them."""
    rings = work.fixed.rings
    sums = work.engine.receive(work.sums, 8 * rings.rings, np.float32, start=frame * 8 * rings.rings)
    return _background(sums.reshape(-1, 8), rings, clip)


def start_table(work: Work, clip: Clipping, given: Background | None = None, frames: int = 1) -> None:
    """Bring the table of rings about, from which pixels are judged: from the statistics, or from a given background."""
    if given is None and work.engine.doubles:
        kernel = work.engine.kernel(
            "ring_table.cl",
            AZIMUTHAL=int(clip.error_model == "azimuthal"),
            LOCAL_SIZE=work.fixed.local_size,
        )
        size = work.fixed.local_size
        work.engine.launch(kernel, frames, size, work.sums, work.fixed.ring_number, work.table, work.sem)
        return
    found = [read_background(work, clip, i) if given is None else given for i in range(frames)]
    work.engine.write(work.table, np.concatenate([ring_table(one) for one in found]))
    work.engine.write(work.sem, np.concatenate([one.sem for one in found]).astype(np.float32))


def _background(sums: NDArray[np.float32], rings: RingMap, clip: Clipping) -> Background:
    """Mean, spread and excess variance from the sums of kernels/ring_statistics.cl.

    A frame that holds fractional counts, or has a dark frame, comes from an integrating detector: its variance beyond
    Poisson is read-out noise, which adds. In a frame of whole counts it is a modulation of the expected counts, which
    multiplies.
    """
    n, shift, omega, omega2, azimuthal, origin, fractions, ratio = sums.astype(np.float64).T
    with np.errstate(divide="ignore", invalid="ignore"):
        mean = np.where(n > 0, origin + shift, np.nan)
        poisson = np.maximum(mean * omega, 0.0)
        variance = azimuthal if clip.error_model == "azimuthal" else poisson
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
            error_model=clip.error_model,
            snr_clip=clip.snr_clip,
            cycles=clip.cycles,
            saturation=clip.saturation,
        )
