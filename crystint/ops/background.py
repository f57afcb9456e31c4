"""Background of every ring by iterative sigma clipping."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crystint.engine import Buffer
from crystint.model.mask import unusable
from crystint.model.rings import Background
from crystint.model.valid_values import ValidValues
from crystint.ops.pixels import largest_valid
from crystint.ops.significant import unusable_pixels
from crystint.ops.threshold import ring_table
from crystint.ops.workspace import Workspace

__all__ = ["Clipping", "read_background", "read_table", "start_statistics", "start_table", "variance_of_mean"]

BINS = 64
"""of a cell, as in kernels/histogram.h: 0 to 61 counts, more, no measurement"""
_ROWS = 16
_FEW = 1 / 16
"""share of such rows that may hold more counts than there are bins"""
_MANY = 1e-4
"""share of unusable pixels that makes a difference to the mean normalization of cells"""


@dataclass(frozen=True, slots=True)
class Clipping:
    """How rings are clipped; as `Separator`."""

    error_model: str
    snr_clip: float | None = None
    """None = Chauvenet's"""
    cycles: int = 5
    saturation: float | None = None


def start_statistics(workspace: Workspace, frame_buffer: Buffer, frames: NDArray[Any], clip: Clipping) -> None:
    """Start to sum up every ring of some frames, [n, slow, fast], which are in a buffer."""
    detector, engine, dtype = workspace.detector, workspace.engine, frames.dtype
    cells = detector.cells_for(dtype)
    workspace.storage_order, workspace.gaps = cells, None
    if cells is None or not _mostly_few_counts(frames, detector.ring_map.valid):
        _start_in_ring_order(workspace, frame_buffer, dtype, clip, len(frames), detector.every_ring)
        return
    rows = cells.cells + 1
    table = workspace.buffer("table", cells.parts * rows * BINS, np.uint16)
    high = workspace.buffer("high", cells.parts * detector.rings * 4, np.uint32)
    beyond = workspace.buffer("beyond", detector.rings, np.uint32)
    engine.launch(
        engine.kernel("ring_histogram.cl", **detector.defines(dtype)),
        cells.parts,
        1,
        cells,
        detector,
        frame=frame_buffer,
        saturation=largest_valid(dtype, clip.saturation),
        table=table,
        high=high,
    )
    defines = {"LANES": detector.lanes, "LOCAL_SIZE": 1, **detector.defines(dtype)}

    def clip_rings(parts: int, cell_weight: Buffer) -> int:
        """Clip the rings from so many tables; the number of unusable pixels."""
        engine.launch(
            engine.kernel("clip_histogram.cl", POISSON_CLIP=int(clip.error_model == "poisson"), **defines),
            detector.rings,
            1,
            workspace,
            cells,
            detector,
            parts=parts,
            cell_weight=cell_weight,
            frame=frame_buffer,
            saturation=largest_valid(dtype, clip.saturation),
            table=table,
            high=high,
            clip=clip.snr_clip or 0.0,
            cycles=clip.cycles,
            inside=workspace.buffer("inside", 4 * rows, np.uint32),
            beyond=beyond,
        )
        return int(engine.receive(workspace.lost, detector.rings).sum(dtype=np.int64))

    gaps = detector.gaps.get(dtype)
    weight = cells.cell_weight if gaps is None or gaps.cell_weight is None else gaps.cell_weight
    lost = clip_rings(cells.parts, weight)
    right = cells.cell_weight
    if lost > _MANY * detector.pixels:  # those of the measurements
        workspace.gaps = unusable_pixels(workspace, frame_buffer, dtype)
        right = workspace.gaps.cell_weight or right
    if weight is not right:
        clip_rings(1, right)
    if engine.receive(beyond, detector.rings).any():
        _start_in_ring_order(workspace, frame_buffer, dtype, clip, 1, beyond)


def _start_in_ring_order(
    workspace: Workspace, frame_buffer: Buffer, dtype: np.dtype[Any], clip: Clipping, frames: int, beyond: Buffer
) -> None:
    """Start to sum up the rings that are not 0 in `beyond`, and to list their tails."""
    detector = workspace.detector
    kernel = workspace.engine.kernel(
        "ring_statistics.cl",
        POISSON_CLIP=int(clip.error_model == "poisson"),
        LANES=detector.lanes,
        TOUCH=int(detector.group > 1),
        **detector.defines(dtype),
        **detector.ring_defines,
    )
    workspace.engine.launch(
        kernel,
        detector.ring_order.groups,
        detector.local_size,
        workspace,
        workspace.ring_tails,
        detector.ring_order,
        detector,
        frame=frame_buffer,
        beyond=beyond,
        saturation=largest_valid(dtype, clip.saturation),
        clip=clip.snr_clip or 0.0,
        cycles=clip.cycles,
        frames=frames,
    )


def _mostly_few_counts(frames: NDArray[Any], valid: ValidValues | None) -> bool:
    """Whether the bins hold nearly all measurements of a frame, judged by some of its rows.

    What they do not hold is added up pixel by pixel, and rings that have much of it are summed up in another way.
    """
    rows = frames[:, :: max(frames.shape[1] // _ROWS, 1)]
    high = rows >= BINS - 2
    high &= ~unusable(rows, valid)
    return bool(np.count_nonzero(high) <= _FEW * rows.size)


def read_background(workspace: Workspace, clip: Clipping, frame: int = 0) -> Background:
    """The background of a frame whose statistics were started; waits for them."""
    ring_map = workspace.detector.ring_map
    sums = workspace.engine.receive(workspace.sums, 8 * ring_map.rings, start=frame * 8 * ring_map.rings)
    return Background.later(
        partial(_columns, sums.reshape(-1, 8), clip.error_model),
        rings=ring_map,
        error_model=clip.error_model,
        snr_clip=clip.snr_clip,
        cycles=clip.cycles,
        saturation=clip.saturation,
    )


def read_table(workspace: Workspace, frame: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """The table of rings of a frame, where it is there, float32 [rings, 4] as `crystint.ops.threshold.ring_table`, and
    the variance of each ring's mean, float32 [rings]. NaN = no background."""
    rings = workspace.detector.rings
    table = workspace.engine.receive(workspace.table, 4 * rings, start=frame * 4 * rings).reshape(rings, 4)
    sem = workspace.engine.receive(workspace.sem, rings, start=frame * rings)
    return table, variance_of_mean(table, sem)


def variance_of_mean(table: NDArray[np.float32], sem: NDArray[np.float32]) -> NDArray[np.float32]:
    """float32 [rings], from the table of rings and the standard error of the mean."""
    return np.asarray(sem * sem * np.maximum(table[:, 1], 1.0), np.float32)


def start_table(workspace: Workspace, clip: Clipping, background: Background | None = None, frames: int = 1) -> None:
    """Bring the table of rings about, from which pixels are judged.

    From the statistics; from a background that the caller has, where there is one.
    """
    if background is None and workspace.engine.doubles:
        size = workspace.detector.local_size
        kernel = workspace.engine.kernel(
            "ring_table.cl", AZIMUTHAL=int(clip.error_model == "azimuthal"), LOCAL_SIZE=size
        )
        workspace.engine.launch(kernel, frames, size, workspace, workspace.detector)
        return
    backgrounds = [background or read_background(workspace, clip, i) for i in range(frames)]
    workspace.engine.write(workspace.table, np.concatenate([ring_table(one) for one in backgrounds]))
    workspace.engine.write(workspace.sem, np.concatenate([one.sem for one in backgrounds]).astype(np.float32))


def _columns(sums: NDArray[np.float32], error_model: str) -> dict[str, NDArray[np.float64]]:
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
        return {
            "mean": mean,
            "std": np.sqrt(variance / omega2),
            "count": n,
            "sem": np.sqrt(variance) / omega,
            "excess": np.where(n > 0, excess, np.nan),
            "additive": np.where(n > 0, additive, np.nan),
        }
