"""The maxima of frames, and the sums over the spots that they make."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from crystint.engine import Buffer
from crystint.ops.detector_buffers import CURVE_DEFINES, DetectorBuffers
from crystint.ops.pixels import largest_valid
from crystint.ops.significant import Threshold, start_stream
from crystint.ops.spots import EXTRAS, MAXIMA, NO_SPOTS, RECORD, SPOTS, STATE, SpotBuffers, SpotRecords
from crystint.ops.workspace import BLOCK, Workspace

if TYPE_CHECKING:
    from crystint.model.geometry import Geometry

__all__ = ["PeakSettings", "panel_buffer", "spot_records"]

_VALLEY = 0.8
"""Two maxima are two spots when the counts between them fall by this many standard deviations ..."""
_SHARE = 0.25
"""... and by this share of the lower maximum above its background (docs/peaks.md)."""
_SURE = 3.0
"""sigma of the pixels by which a spot is wider than its neighbourhood"""
_GAP = 0x8000
_NO_PANEL = 0x7FFF
_CAPACITY = 1024
"""members of spots that a frame has room for, until one has more"""
_USUAL = 256
"""spots of a frame that are received before their number is known, until one has more"""


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


def spot_records(
    workspace: Workspace,
    frame_buffer: Buffer,
    dtype: np.dtype[Any],
    panels: Buffer,
    use: PeakSettings,
    frames: int = 1,
    *also: tuple[Buffer, int],
) -> tuple[list[SpotRecords], list[NDArray[Any]]]:
    """The spots of each of the frames in a buffer whose table of rings is there; waits for them.

    All kernels are started one after the other, and what they found is received at once. Frames with more members of
    spots than there was room for are looked at again with more of it, which stays.

    Parameters
    ----------
    panels : Buffer
        Of `panel_buffer`.
    also : (Buffer, int)
        Buffers, and how many of their elements are received together with the spots.

    Returns
    -------
    spots, also
        Nothing of `also` where there are no spots.
    """
    engine, capacity = workspace.engine, _CAPACITY
    while True:
        spots = workspace.spots
        if spots is None or spots.capacity < capacity:
            workspace.spots = None  # let go of the old ones first
            spots = workspace.spots = SpotBuffers(engine, workspace.detector, workspace.frames, capacity)
        if not _start(workspace, spots, frame_buffer, dtype, panels, use, frames):
            return [NO_SPOTS] * frames, []
        expected = min(max(_USUAL, spots.usual + spots.usual // 4), spots.capacity)
        state, head, record, *more = engine.receive_all(
            (spots.state, STATE * frames), *_first_spots(spots, expected, frames), *also
        )
        state = state.reshape(frames, STATE)
        capacity = int((state[:, MAXIMA].astype(np.int64) + state[:, EXTRAS]).max())
        if capacity <= spots.capacity:
            break
        capacity += capacity // 4
    counts = state[:, SPOTS]
    spots.usual = int(counts.max())
    if spots.usual > expected:
        head, record = engine.receive_all(*_first_spots(spots, spots.usual, frames))
    heads, sums = head.reshape(-1, frames), record.reshape(-1, frames, RECORD)
    return [SpotRecords(heads[:n, i], sums[:n, i]) for i, n in enumerate(counts)], more


def _first_spots(spots: SpotBuffers, n: int, frames: int) -> tuple[tuple[Buffer, int], tuple[Buffer, int]]:
    """Heads and records of the first `n` spots of each of some frames, as `Engine.receive_all` takes them."""
    return (spots.head, n * frames), (spots.record, RECORD * n * frames)


def _start(
    workspace: Workspace,
    spots: SpotBuffers,
    frame_buffer: Buffer,
    dtype: np.dtype[Any],
    panels: Buffer,
    use: PeakSettings,
    frames: int,
) -> bool:
    """Start all kernels that find the spots and measure them; False = there are none.

    That is only looked at on CPUs, which wait at little cost.
    """
    detector, engine, size = workspace.detector, workspace.engine, workspace.detector.local_size
    groups, spot_size = (64, 1) if size == 1 else (512, 32)
    defines: dict[str, object] = {"REACH": use.reach, **detector.defines(dtype)}
    levels = (use.snr, use.snr_pick, max(use.snr_pick, _SURE))
    curve, pick_curve, sure_curve = (detector.significance_curve(k) for k in levels)
    curves = {"curve": curve, "pick_curve": pick_curve, "sure_curve": sure_curve}
    every: dict[str, Any] = {
        "frame": frame_buffer,
        "panels": panels,
        "noise2": use.noise * use.noise,
        "saturation": largest_valid(dtype, use.saturation),
        "connected": use.connected,
        "valley": _VALLEY,
        "share": _SHARE,
        **dict(zip(("k", "pick_k", "sure_k"), levels)),
        **curves,
    }

    streams = workspace.storage_order is not None
    every["maxima"] = spots.listed if streams else workspace.pixel_list

    def start(
        file: str, groups: int, local_size: int, defines: dict[str, object], *sources: object, over: int = frames
    ) -> None:
        kernel = engine.kernel(file, **defines)
        named = {name: every[name] for name in kernel.names if name in every}
        engine.launch(kernel, groups, local_size, spots, workspace, *sources, detector, frames=over, **named)

    start("spot_reach.cl", -(-detector.rings // 64), size, {"LOCAL_SIZE": size, **CURVE_DEFINES})
    if streams:
        peak = Threshold(spots.reach, curve, use.snr)
        start_stream(workspace, frame_buffer, dtype, peak, use.noise, use.saturation)
        every["list"] = workspace.pixel_list
        start("find_listed_maxima.cl", workspace.blocks, 1, {"BLOCK": BLOCK, **defines})
        del every["list"]
    else:
        sources = workspace.ring_tails, detector.ring_order
        ring_defines = {"GROUP": detector.group, "LOCAL_SIZE": size, **defines}
        start("find_maxima.cl", detector.rings, size, ring_defines, *sources)
    if engine.on_cpu and not engine.receive(spots.state, STATE)[MAXIMA]:
        return False
    by_group = {"LOCAL_SIZE": spot_size, **defines}
    measuring = {"REAL": "double" if engine.doubles else "float", **by_group}
    start("merge_maxima.cl", groups, spot_size, by_group)
    start("order_members.cl", frames, size, {"LOCAL_SIZE": size}, over=1)
    start("spot_regions.cl", groups, spot_size, measuring)
    start("spot_sums.cl", groups, spot_size, measuring)
    return True
