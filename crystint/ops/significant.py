"""Pixels that stand out from the background of their frame, and those that hold no measurement."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from crystint.ops.fixed import CURVE_DEFINES
from crystint.ops.pixels import largest_valid
from crystint.ops.work import BLOCK, Work

__all__ = ["start_picking", "start_reach", "unusable_pixels"]


def start_reach(work: Work, snr: float, noise: float, frames: int = 1) -> None:
    """From the table of rings to what their counts must reach; empties the list."""
    fixed = work.fixed
    kernel = work.engine.kernel("ring_reach.cl", LOCAL_SIZE=fixed.local_size, **CURVE_DEFINES)
    work.engine.launch(
        kernel,
        frames,
        fixed.local_size,
        work.table,
        fixed.ring_number,
        fixed.about,
        work.lost,
        fixed.curve(snr),
        np.float32(snr),
        np.float32(noise * noise),
        work.reach,
        work.count,
    )


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
        fixed.curve(snr),
        np.float32(snr),
        np.float32(noise * noise),
        largest_valid(dtype, saturation),
        np.uint32(fixed.pixels),
        work.list,
        work.count,
        frames=frames,
    )


def unusable_pixels(work: Work, frame: Any, dtype: np.dtype[Any], number: int = 0) -> NDArray[np.uint32]:
    """uint32 [n]: the pixels of one frame that are not masked and hold no measurement, ascending."""
    fixed, engine = work.fixed, work.engine
    length = work.buffer("block lengths", work.blocks, np.uint32)
    scattered = work.buffer("block lists", work.blocks * BLOCK, np.uint32)
    kernel = engine.kernel("list_unusable.cl", BLOCK=BLOCK, LOCAL_SIZE=fixed.local_size, **fixed.pixel_defines(dtype))
    engine.launch(
        kernel,
        work.blocks,
        fixed.local_size,
        frame,
        fixed.position,
        np.uint32(fixed.pixels),
        np.uint32(number),
        scattered,
        length,
    )
    start = np.zeros(work.blocks + 1, np.uint32)
    np.cumsum(engine.receive(length, work.blocks, np.uint32), out=start[1:])
    packed = work.buffer("packed list", int(start[-1]) or 1, np.uint32)
    kernel = engine.kernel("gather_blocks.cl", BLOCK=BLOCK, LOCAL_SIZE=fixed.local_size)
    engine.launch(kernel, work.blocks, fixed.local_size, scattered, work.sent("block starts", start), packed)
    return engine.receive(packed, int(start[-1]), np.uint32)
