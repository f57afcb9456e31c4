"""Background of every ring by iterative sigma clipping."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crystint.engine import Buffer
from crystint.model.rings import Background, RingMap
from crystint.ops.pixels import largest_valid
from crystint.ops.threshold import ring_table
from crystint.ops.workspace import Workspace

__all__ = ["Clipping", "read_background", "read_table", "start_statistics", "start_table"]


@dataclass(frozen=True, slots=True)
class Clipping:
    """How rings are clipped; as `Separator`."""

    error_model: str
    snr_clip: float | None = None
    """None = Chauvenet's"""
    cycles: int = 5
    saturation: float | None = None


def start_statistics(
    workspace: Workspace, frame_buffer: Buffer, dtype: np.dtype[Any], clip: Clipping, frames: int = 1
) -> None:
    """Start to sum up every ring of the frames in a buffer, and to list their tails."""
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
        detector.groups,
        detector.local_size,
        workspace,
        detector,
        frame=frame_buffer,
        saturation=largest_valid(dtype, clip.saturation),
        clip=clip.snr_clip or 0.0,
        cycles=clip.cycles,
        frames=frames,
    )


def read_background(workspace: Workspace, clip: Clipping, frame: int = 0) -> Background:
    """The background of a frame whose statistics were started; waits for them."""
    ring_map = workspace.detector.ring_map
    sums = workspace.engine.receive(workspace.sums, 8 * ring_map.rings, start=frame * 8 * ring_map.rings)
    return _background(sums.reshape(-1, 8), ring_map, clip)


def read_table(workspace: Workspace, frame: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """The table of rings of a frame, where it is there, float32 [rings, 4] as `crystint.ops.threshold.ring_table`, and
    the variance of each ring's mean, float32 [rings]. NaN = no background."""
    rings = workspace.detector.rings
    table = workspace.engine.receive(workspace.table, 4 * rings, start=frame * 4 * rings).reshape(rings, 4)
    sem = workspace.engine.receive(workspace.sem, rings, start=frame * rings)
    return table, sem * sem * np.maximum(table[:, 1], 1.0)


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
