"""Pixels that stand out from the background of their frame, and those that hold no measurement."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from crystint.ops.fixed import CURVE_DEFINES
from crystint.ops.pixels import largest_valid
from crystint.ops.work import BLOCK, Work

__all__ = ["Threshold", "start_picking", "start_reach", "unusable_pixels"]


Threshold = tuple[Any, Any, np.float32]
"""reach, curve and k, as kernels take them"""


def start_reach(work: Work, snr: float, noise: float, frames: int = 1, name: str = "reach") -> Threshold:
    """Start to bring about, in the buffer of that name, what counts must reach to be `snr` sigma; empties the list."""
    fixed = work.fixed
    reach, curve, k = (
        work.buffer(name, 2 * work.frames * fixed.rings.rings, np.float32),
        fixed.curve(snr),
        np.float32(snr),
    )
    kernel = work.engine.kernel("ring_reach.cl", LOCAL_SIZE=fixed.local_size, **CURVE_DEFINES)
    work.engine.launch(
        kernel,
        frames,
        fixed.local_size,
        work.table,
        fixed.ring_number,
        fixed.about,
        work.lost,
        curve,
        k,
        np.float32(noise * noise),
        reach,
        work.count,
    )
    return reach, curve, k


def start_picking(
    work: Work, frame: Any, dtype: np.dtype[Any], snr: float, noise: float, saturation: float | None, frames: int = 1
) -> None:
    """Start to list the pixels that are more than `snr` sigma above the table of rings."""
    fixed = work.fixed
    work.engine.launch(
        work.engine.kernel("pick_pixels.cl", **fixed.defines(dtype), **fixed.ring_defines),
        fixed.rings.rings,
        fixed.local_size,
        frame,
        fixed.position,
        fixed.order,
        fixed.segment,
        fixed.ring_weight,
        fixed.dark,
        *work.candidates,
        *start_reach(work, snr, noise, frames),
        np.float32(noise * noise),
        largest_valid(dtype, saturation),
        np.uint32(fixed.pixels),
        work.list,
        work.count,
        frames=frames,
    )


def unusable_pixels(
    work: Work, frame: Any, dtype: np.dtype[Any], number: int = 0
) -> tuple[NDArray[np.uint32], NDArray[Any]]:
    """The pixels of one frame that are not masked and hold no measurement, ascending, and their raw values."""
    fixed, engine = work.fixed, work.engine
    length = work.buffer("block lengths", work.blocks, np.uint32)
    scattered = work.buffer("block lists", work.blocks * BLOCK, np.uint32)
    defines = {"BLOCK": BLOCK, "LOCAL_SIZE": fixed.local_size, **fixed.pixel_defines(dtype)}
    which = np.uint32(fixed.pixels), np.uint32(number)
    engine.launch(
        engine.kernel("list_unusable.cl", **defines),
        work.blocks,
        fixed.local_size,
        frame,
        fixed.masked,
        *which,
        scattered,
        length,
    )
    start = np.zeros(work.blocks + 1, np.uint32)
    np.cumsum(engine.receive(length, work.blocks, np.uint32), out=start[1:])
    n = int(start[-1])
    packed, value = work.buffer("packed list", n or 1, np.uint32), work.buffer("packed values", n or 1, dtype)
    engine.launch(
        engine.kernel("gather_blocks.cl", **defines),
        work.blocks,
        fixed.local_size,
        scattered,
        work.sent("block starts", start),
        frame,
        *which,
        packed,
        value,
    )
    return engine.receive(packed, n, np.uint32), engine.receive(value, n, dtype)
