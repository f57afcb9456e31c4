"""Pixels that stand out from the background of their frame, and those that hold no measurement."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crystint.engine import Buffer
from crystint.ops.detector_buffers import CURVE_DEFINES
from crystint.ops.pixels import largest_valid
from crystint.ops.workspace import BLOCK, Workspace

__all__ = ["Threshold", "start_picking", "start_reach", "unusable_pixels"]


@dataclass(frozen=True, slots=True)
class Threshold:
    """A threshold, as kernels take it; see kernels/significance.h."""

    reach: Buffer
    curve: Buffer
    k: float

    def arguments(self, prefix: str) -> dict[str, Any]:
        """Arguments of a kernel that takes several thresholds."""
        return {f"{prefix}_reach": self.reach, f"{prefix}_curve": self.curve, f"{prefix}_k": self.k}


def start_reach(workspace: Workspace, snr: float, noise: float, frames: int = 1, name: str = "reach") -> Threshold:
    """Start to bring about, in the buffer of that name, what counts must reach to be `snr` sigma; empties the list."""
    detector = workspace.detector
    reach = workspace.buffer(name, 2 * workspace.frames * detector.rings, np.float32)
    threshold = Threshold(reach, detector.significance_curve(snr), snr)
    kernel = workspace.engine.kernel("ring_reach.cl", LOCAL_SIZE=detector.local_size, **CURVE_DEFINES)
    workspace.engine.launch(kernel, frames, detector.local_size, threshold, workspace, detector, noise2=noise * noise)
    return threshold


def start_picking(
    workspace: Workspace,
    frame_buffer: Buffer,
    dtype: np.dtype[Any],
    snr: float,
    noise: float,
    saturation: float | None,
    frames: int = 1,
) -> None:
    """Start to list the pixels that are more than `snr` sigma above the table of rings."""
    detector = workspace.detector
    threshold = start_reach(workspace, snr, noise, frames)
    workspace.engine.launch(
        workspace.engine.kernel("pick_pixels.cl", **detector.defines(dtype), **detector.ring_defines),
        detector.rings,
        detector.local_size,
        threshold,
        workspace,
        detector,
        frame=frame_buffer,
        noise2=noise * noise,
        saturation=largest_valid(dtype, saturation),
        picked=workspace.pixel_list,
        frames=frames,
    )


def unusable_pixels(
    workspace: Workspace, frame_buffer: Buffer, dtype: np.dtype[Any], number: int = 0
) -> tuple[NDArray[np.uint32], NDArray[Any]]:
    """The pixels of one frame that are not masked and hold no measurement, ascending, and their raw values."""
    detector, engine, blocks = workspace.detector, workspace.engine, workspace.blocks
    length = workspace.buffer("block lengths", blocks, np.uint32)
    block_lists = workspace.buffer("block lists", blocks * BLOCK, np.uint32)
    defines = {"BLOCK": BLOCK, "LOCAL_SIZE": detector.local_size, **detector.pixel_defines(dtype)}
    engine.launch(
        engine.kernel("list_unusable.cl", **defines),
        blocks,
        detector.local_size,
        detector,
        frame=frame_buffer,
        number=number,
        list=block_lists,
        length=length,
    )
    start = np.zeros(blocks + 1, np.uint32)
    np.cumsum(engine.receive(length, blocks), out=start[1:])
    n = int(start[-1])
    packed, value = workspace.buffer("packed list", n or 1, np.uint32), workspace.buffer("packed values", n or 1, dtype)
    engine.launch(
        engine.kernel("gather_blocks.cl", **defines),
        blocks,
        detector.local_size,
        detector,
        list=block_lists,
        start=workspace.filled("block starts", start),
        frame=frame_buffer,
        number=number,
        packed=packed,
        value=value,
    )
    return engine.receive(packed, n), engine.receive(value, n)
