"""The maxima of a frame, and the sums over the spots that they make."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from crystint.engine import Buffer
from crystint.ops.detector_buffers import DetectorBuffers
from crystint.ops.pixels import largest_valid
from crystint.ops.significant import Threshold, start_reach, start_stream
from crystint.ops.spots import plateaus, roots
from crystint.ops.workspace import BLOCK, Workspace

if TYPE_CHECKING:
    from crystint.model.geometry import Geometry

__all__ = ["PeakSettings", "panel_buffer", "spot_sums", "start_maxima"]

_VALLEY = 0.8
"""Two maxima are two spots when the counts between them fall by this many standard deviations ..."""
_SHARE = 0.25
"""... and by this share of the lower maximum above its background (docs/peaks.md)."""
_SURE = 3.0
"""sigma of the pixels by which a spot is wider than its neighbourhood"""
_SIDE = 9
"""rows of the window of kernels/spot_window.h"""
_SUMS = 23
"""sums per spot of kernels/spot_sums.cl"""
_GAP = 0x8000
_NO_PANEL = 0x7FFF


@dataclass(frozen=True, slots=True)
class PeakSettings:
    """What makes a peak; as `Separator.peaks`."""

    snr: float
    snr_pick: float
    connected: int
    reach: int
    """half the side of the neighbourhood, px"""
    noise: float
    saturation: float | None


def panel_buffer(detector: DetectorBuffers, geometry: Geometry) -> Buffer:
    """uint16 [pixels] on the device: the panel of each pixel, and a bit for the gaps between panels."""
    panels = np.where(detector.ring_map.mask & 1, _GAP, 0).astype(np.uint16)
    if geometry.panels is not None:
        number = np.full(panels.shape, _NO_PANEL, np.uint16)
        for i, panel in enumerate(geometry.panels):
            number[panel.slices] = i
        panels |= number
    return detector.engine.send(panels)


def start_maxima(
    workspace: Workspace, frame_buffer: Buffer, dtype: np.dtype[Any], use: PeakSettings, frames: int = 1
) -> tuple[Threshold, Threshold]:
    """Start to list the maxima of the frames in a buffer; the thresholds that `spot_sums` needs."""
    detector, sure = workspace.detector, max(use.snr_pick, _SURE)
    peak, pick, wide = (
        start_reach(workspace, snr, use.noise, frames, f"reach {i}")
        for i, snr in enumerate((use.snr, use.snr_pick, sure))
    )
    engine, defines = workspace.engine, {"REACH": use.reach, **detector.defines(dtype)}
    common: dict[str, Any] = {
        "frame": frame_buffer,
        **pick.arguments("pick"),
        "noise2": use.noise * use.noise,
        "saturation": largest_valid(dtype, use.saturation),
        "connected": use.connected,
    }
    if workspace.storage_order is not None:
        start_stream(workspace, frame_buffer, dtype, peak, use.noise, use.saturation)
        kernel = engine.kernel("find_listed_maxima.cl", BLOCK=BLOCK, **defines)
        engine.launch(kernel, workspace.blocks, 1, workspace, detector, list=workspace.pixel_list, **common)
        return pick, wide
    engine.launch(
        engine.kernel("find_maxima.cl", GROUP=detector.group, LOCAL_SIZE=detector.local_size, **defines),
        detector.rings,
        detector.local_size,
        peak,
        workspace,
        workspace.ring_tails,
        detector.ring_order,
        detector,
        maxima=workspace.pixel_list,
        frames=frames,
        **common,
    )
    return pick, wide


def spot_sums(
    workspace: Workspace,
    frame_buffer: Buffer,
    frame: NDArray[Any],
    number: int,
    maxima: NDArray[np.uint32],
    panels: Buffer,
    use: PeakSettings,
    limits: tuple[Threshold, Threshold],
) -> tuple[NDArray[np.uint32], NDArray[np.float64]]:
    """The spots of one frame: pixel number of the strongest maximum, ascending, and what the spot holds.

    Parameters
    ----------
    frame_buffer : Buffer
        Holds the frame, as number `number` of several.
    frame : dtype [slow, fast]
        The same on the host.
    maxima : uint32 [n]
        Ascending.
    panels : Buffer
        Of `panel_buffer`.
    limits : (Threshold, Threshold)
        Of `start_maxima`.

    Returns
    -------
    head : uint32 [spots]
    sums : float64 [spots, 23], see kernels/spot_sums.cl
    """
    detector, engine, n = workspace.detector, workspace.engine, len(maxima)
    defines = {"REACH": use.reach, **detector.defines(frame.dtype)}
    pick, sure = limits
    common = {"frame": frame_buffer, "number": number, "noise2": use.noise * use.noise, **pick.arguments("pick")}
    saturation = largest_valid(frame.dtype, use.saturation)

    parent, flat = workspace.buffer("parent", n, np.uint32), workspace.buffer("flat", n, np.uint8)
    engine.launch(
        engine.kernel("merge_maxima.cl", **defines),
        n,
        1,
        workspace,
        detector,
        **common,
        saturation=saturation,
        maxima=workspace.filled("maxima", maxima),
        valley=_VALLEY,
        share=_SHARE,
        parent=parent,
        flat=flat,
    )
    heads, spot = np.unique(roots(maxima, engine.receive(parent, n)), return_inverse=True)
    head = maxima[heads]
    members, owners = plateaus(frame, maxima, spot, engine.receive(flat, n), use.saturation, detector.ring_map.valid)
    m, spots = len(members), len(head)

    member = workspace.filled("members", members)
    skirt, wide = (workspace.buffer(name, _SIDE * m, np.uint16) for name in ("skirt", "wide"))
    engine.launch(
        engine.kernel("spot_regions.cl", **defines),
        m,
        1,
        workspace,
        detector,
        **common,
        **sure.arguments("sure"),
        member=member,
        skirt=skirt,
        wide=wide,
    )
    order = np.argsort(owners, kind="stable").astype(np.int32)
    start = np.searchsorted(owners[order], np.arange(spots + 1)).astype(np.int32)
    real = "double" if engine.doubles else "float"
    sums = workspace.buffer("spot sums", _SUMS * spots, np.float64 if engine.doubles else np.float32)
    engine.launch(
        engine.kernel("spot_sums.cl", REAL=real, SUMS=_SUMS, **defines),
        spots,
        1,
        workspace,
        detector,
        **common,
        saturation=saturation,
        panels=panels,
        member=member,
        members=m,
        spot=workspace.filled("spot of member", owners.astype(np.int32)),
        skirt=skirt,
        wide=wide,
        list=workspace.filled("members by spot", order),
        start=workspace.filled("first members", start),
        head=workspace.filled("heads", head),
        spots=sums,
    )
    return head, engine.receive(sums, _SUMS * spots).reshape(spots, _SUMS).astype(np.float64)
