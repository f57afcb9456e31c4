"""Pixels that hold no measurement in frame after frame, such as the gaps between modules where no mask has them.

They are listed once. Of later frames only these pixels are looked at: if there are as many unusable ones, and these
hold what they held, the list is the same.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from crystint.engine import Buffer
from crystint.ops.detector_buffers import DetectorBuffers, Gaps
from crystint.ops.workspace import Workspace

__all__ = ["cell_weights", "keep_gaps", "known_gaps"]

_GROUPS = 64


def keep_gaps(workspace: Workspace, index: NDArray[np.uint32], value: NDArray[Any]) -> Gaps:
    """Remember the unusable pixels of a frame: read-only arrays, which all frames that have the same share."""
    detector, send = workspace.detector, workspace.engine.send
    index.setflags(write=False)
    value.setflags(write=False)
    if not detector.engine.on_cpu:
        return Gaps(index, value, None, None, None)
    cells = detector.cells_for(value.dtype)
    weight = None if cells is None else send(cell_weights(detector, index))
    gaps = Gaps(index, value, send(index), send(value), weight)
    detector.gaps[value.dtype] = gaps
    return gaps


def known_gaps(workspace: Workspace, frame_buffer: Buffer, dtype: np.dtype[Any], count: int) -> Gaps | None:
    """What is remembered, if the `count` unusable pixels of a frame are these; waits for the frame."""
    gaps, engine = workspace.detector.gaps.get(dtype), workspace.engine
    if gaps is None or len(gaps.index) != count or not count:
        return None
    differ = workspace.buffer("differ", _GROUPS, np.uint32)
    engine.launch(
        engine.kernel("compare_pixels.cl", **workspace.detector.pixel_defines(dtype)),
        _GROUPS,
        1,
        frame=frame_buffer,
        index=gaps.index_buffer,
        value=gaps.value_buffer,
        n=count,
        differ=differ,
    )
    return None if engine.receive(differ, _GROUPS).any() else gaps


def cell_weights(detector: DetectorBuffers, lost: NDArray[np.uint32]) -> NDArray[np.float32]:
    """Mean normalization of the pixels of each cell without some of them, float32 [cells]."""
    assert detector.cells is not None
    layout, weight = detector.cells.layout, detector.ring_map.weight.reshape(-1)
    cell, n = layout.cell.reshape(-1)[lost], len(layout.cell_weight)
    pixels = np.diff(layout.cell_pixel)
    gone, weight_gone = np.bincount(cell, minlength=n), np.bincount(cell, weight[lost], n)
    left = pixels - gone
    rest = layout.cell_weight.astype(np.float64) * pixels - weight_gone
    return np.where(left > 0, rest / np.maximum(left, 1), layout.cell_weight).astype(np.float32)
