"""Pixels that stand out from the background of their frame, and those that hold no measurement."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crystint.engine import Buffer
from crystint.ops.cells import STRIP
from crystint.ops.detector_buffers import CURVE_DEFINES, Gaps
from crystint.ops.gaps import keep_gaps, known_gaps
from crystint.ops.pixels import largest_valid
from crystint.ops.workspace import BLOCK, Workspace

__all__ = [
    "Threshold",
    "picked_pixels",
    "start_picking",
    "start_reach",
    "start_stream",
    "unusable_count",
    "unusable_pixels",
]


@dataclass(frozen=True, slots=True)
class Threshold:
    """A threshold, as kernels take it; see kernels/significance.h."""

    reach: Buffer
    curve: Buffer
    k: float


def start_reach(workspace: Workspace, snr: float, noise: float, frames: int = 1) -> Threshold:
    """Start to bring about what counts must reach to be `snr` sigma; empties the list."""
    detector = workspace.detector
    reach = workspace.buffer("reach", 2 * workspace.frames * detector.rings, np.float32)
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
    if workspace.storage_order is not None:
        start_stream(workspace, frame_buffer, dtype, threshold, noise, saturation)
        return
    workspace.engine.launch(
        workspace.engine.kernel("pick_pixels.cl", **detector.defines(dtype), **detector.ring_defines),
        detector.rings,
        detector.local_size,
        threshold,
        workspace,
        workspace.ring_tails,
        detector.ring_order,
        detector,
        frame=frame_buffer,
        noise2=noise * noise,
        saturation=largest_valid(dtype, saturation),
        picked=workspace.pixel_list,
        frames=frames,
    )


def start_stream(
    workspace: Workspace,
    frame_buffer: Buffer,
    dtype: np.dtype[Any],
    threshold: Threshold,
    noise: float,
    saturation: float | None,
) -> None:
    """Start to list the pixels of one frame that are above a threshold, block by block, in ascending order."""
    detector, engine, cells = workspace.detector, workspace.engine, workspace.storage_order
    assert cells is not None
    largest, defines = largest_valid(dtype, saturation), detector.defines(dtype)
    limit = workspace.buffer("limit", 2 * (cells.cells + 1), np.uint16)
    least = workspace.buffer("least", detector.rings.bit_length() * detector.rings, np.float32)
    engine.launch(
        engine.kernel("cell_limits.cl", **defines),
        1,
        1,
        threshold,
        cells,
        detector,
        saturation=largest,
        limit=limit,
        least=least,
    )
    engine.launch(
        engine.kernel("pick_stream.cl", BLOCK=BLOCK, STRIP=STRIP, LANES=16, LOCAL_SIZE=1, **defines),
        workspace.blocks,
        1,
        threshold,
        workspace,
        cells,
        detector,
        frame=frame_buffer,
        limit=limit,
        least=least,
        noise2=noise * noise,
        saturation=largest,
        list=workspace.pixel_list,
    )


def picked_pixels(
    workspace: Workspace, frame_buffer: Buffer, frames: NDArray[Any], number: int, count: int
) -> tuple[NDArray[np.uint32], NDArray[Any]]:
    """The pixels of one of some frames, [n, slow, fast], that `start_picking` listed, ascending, and their raw values.

    `count`: how many, where the list has no order.
    """
    if workspace.storage_order is not None:
        return _gathered(workspace, frame_buffer, frames.dtype, number, workspace.pixel_list)
    pixels = workspace.listed_pixels(number, count)
    return pixels, frames[number].reshape(-1).take(pixels)


def unusable_pixels(workspace: Workspace, frame_buffer: Buffer, dtype: np.dtype[Any], number: int = 0) -> Gaps:
    """The pixels of one frame, whose statistics were started, that are not masked and hold no measurement.

    Those of the frame before, if they are the same.
    """
    if workspace.gaps is not None:
        return workspace.gaps
    gaps = known_gaps(workspace, frame_buffer, dtype, unusable_count(workspace, number))
    return gaps or keep_gaps(workspace, *_listed_unusable(workspace, frame_buffer, dtype, number))


def unusable_count(workspace: Workspace, number: int = 0) -> int:
    """How many there are in a frame whose statistics were started; waits for them."""
    rings = workspace.detector.rings
    totals = workspace.engine.receive(workspace.totals, 8 * rings, start=8 * rings * number).reshape(rings, 8)
    return int(workspace.detector.ring_pixels.sum()) - int(totals[:, 5].sum(dtype=np.int64))


def _listed_unusable(
    workspace: Workspace, frame_buffer: Buffer, dtype: np.dtype[Any], number: int
) -> tuple[NDArray[np.uint32], NDArray[Any]]:
    """Pixel numbers, ascending, and raw values."""
    detector, engine, blocks = workspace.detector, workspace.engine, workspace.blocks
    block_lists = workspace.buffer("block lists", blocks * BLOCK, np.uint32)
    engine.launch(
        engine.kernel("list_unusable.cl", BLOCK=BLOCK, LOCAL_SIZE=detector.local_size, **detector.pixel_defines(dtype)),
        blocks,
        detector.local_size,
        workspace,
        detector,
        frame=frame_buffer,
        number=number,
        list=block_lists,
    )
    return _gathered(workspace, frame_buffer, dtype, number, block_lists)


def _gathered(
    workspace: Workspace, frame_buffer: Buffer, dtype: np.dtype[Any], number: int, block_lists: Buffer
) -> tuple[NDArray[np.uint32], NDArray[Any]]:
    """What blocks have listed, of the numbers in `workspace.length`, and the raw values of these pixels."""
    detector, engine, blocks = workspace.detector, workspace.engine, workspace.blocks
    start = np.zeros(blocks + 1, np.uint32)
    np.cumsum(engine.receive(workspace.length, blocks), out=start[1:])
    n = int(start[-1])
    packed, value = workspace.buffer("packed list", n or 1, np.uint32), workspace.buffer("packed values", n or 1, dtype)
    engine.launch(
        engine.kernel("gather_blocks.cl", BLOCK=BLOCK, LOCAL_SIZE=detector.local_size, **detector.pixel_defines(dtype)),
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
