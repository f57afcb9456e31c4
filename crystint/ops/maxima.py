"""The maxima of a frame, and the sums over the spots that they make."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from crystint.ops.fixed import Fixed
from crystint.ops.pixels import largest_valid
from crystint.ops.significant import Threshold, start_reach
from crystint.ops.spots import plateaus, roots
from crystint.ops.work import Work

if TYPE_CHECKING:
    from crystint.model.geometry import Geometry

__all__ = ["PeakSettings", "panel_places", "spot_sums", "start_maxima"]

_VALLEY = 0.8
"""Two maxima are two spots when the counts between them fall by this many standard deviations ..."""
_SHARE = 0.25
"""... and by this share of the lower maximum above its background (docs/peaks.md)."""
_SURE = 3.0
"""sigma of the pixels by which a spot is wider than its neighbourhood"""
_SIDE = 9
"""rows of the window of kernels/spot_window.h"""
_SUMS = 16
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


def panel_places(fixed: Fixed, geometry: Geometry) -> Any:
    """uint16 [pixels] on the device: the panel of each pixel, and a bit for the gaps between panels."""
    place = np.where(fixed.rings.mask & 1, _GAP, 0).astype(np.uint16)
    if geometry.panels is not None:
        panel = np.full(place.shape, _NO_PANEL, np.uint16)
        for number, one in enumerate(geometry.panels):
            panel[one.slices] = number
        place |= panel
    return fixed.engine.send(place)


def start_maxima(
    work: Work, frame: Any, dtype: np.dtype[Any], use: PeakSettings, frames: int = 1
) -> tuple[Threshold, Threshold]:
    """Start to list the maxima of the frames in a buffer; the thresholds that `spot_sums` needs."""
    fixed, sure = work.fixed, max(use.snr_pick, _SURE)
    peak, pick, more = (
        start_reach(work, snr, use.noise, frames, f"reach {i}") for i, snr in enumerate((use.snr, use.snr_pick, sure))
    )
    height, width = (np.int32(n) for n in fixed.rings.shape)
    work.engine.launch(
        work.engine.kernel("find_maxima.cl", REACH=use.reach, **fixed.defines(dtype), **fixed.ring_defines),
        fixed.rings.rings,
        fixed.local_size,
        frame,
        fixed.position,
        fixed.order,
        fixed.segment,
        fixed.ring_weight,
        fixed.weight,
        fixed.dark,
        *work.candidates,
        *peak,
        *pick,
        np.float32(use.noise * use.noise),
        largest_valid(dtype, use.saturation),
        np.int32(use.connected),
        height,
        width,
        work.list,
        work.count,
        frames=frames,
    )
    return pick, more


def spot_sums(
    work: Work,
    lent: Any,
    frame: NDArray[Any],
    number: int,
    maxima: NDArray[np.uint32],
    places: Any,
    use: PeakSettings,
    limits: tuple[Threshold, Threshold],
) -> tuple[NDArray[np.uint32], NDArray[np.float64]]:
    """The spots of one frame: pixel number of the strongest maximum, ascending, and what the spot holds.

    Parameters
    ----------
    lent : buffer that holds the frame, as number `number` of several
    frame : dtype [slow, fast], the same on the host
    maxima : uint32 [n], ascending
    places : buffer of `panel_places`
    limits : of `start_maxima`

    Returns
    -------
    head : uint32 [spots]
    sums : float64 [spots, 16], see kernels/spot_sums.cl
    """
    fixed, engine, n = work.fixed, work.engine, len(maxima)
    dtype, reach = frame.dtype, {"REACH": use.reach}
    height, width = (np.int32(size) for size in frame.shape)
    noise2, saturation = np.float32(use.noise * use.noise), largest_valid(dtype, use.saturation)
    at = np.uint32(number)
    pixels = (lent, fixed.position, fixed.weight, fixed.dark)
    picking, sure = limits

    parent, flat = work.buffer("parent", n, np.uint32), work.buffer("flat", n, np.uint8)
    engine.launch(
        engine.kernel("merge_maxima.cl", **reach, **fixed.defines(dtype)),
        n,
        1,
        *pixels,
        work.table,
        fixed.ring_number,
        *picking,
        noise2,
        saturation,
        work.sent("maxima", maxima),
        np.float32(_VALLEY),
        np.float32(_SHARE),
        at,
        height,
        width,
        parent,
        flat,
    )
    heads, spot = np.unique(roots(maxima, engine.receive(parent, n, np.uint32)), return_inverse=True)
    head = maxima[heads]
    members, owners = plateaus(frame, maxima, spot, engine.receive(flat, n, np.uint8), use.saturation)
    m, spots = len(members), len(head)

    member = work.sent("members", members)
    skirt, wide = (work.buffer(name, _SIDE * m, np.uint16) for name in ("skirt", "wide"))
    engine.launch(
        engine.kernel("spot_regions.cl", **reach, **fixed.defines(dtype)),
        m,
        1,
        *pixels,
        work.table,
        fixed.ring_number,
        *picking,
        *sure,
        noise2,
        member,
        at,
        height,
        width,
        skirt,
        wide,
    )
    order = np.argsort(owners, kind="stable").astype(np.int32)
    start = np.searchsorted(owners[order], np.arange(spots + 1)).astype(np.int32)
    real = np.float64 if engine.doubles else np.float32
    sums = work.buffer("spot sums", _SUMS * spots, np.float64)
    engine.launch(
        engine.kernel("spot_sums.cl", REAL_IS_DOUBLE=int(engine.doubles), **reach, **fixed.defines(dtype)),
        spots,
        1,
        *pixels,
        places,
        work.table,
        fixed.ring_number,
        work.sem,
        *picking,
        noise2,
        saturation,
        member,
        work.sent("spot of member", owners.astype(np.int32)),
        skirt,
        wide,
        work.sent("members by spot", order),
        work.sent("first members", start),
        work.sent("heads", head),
        np.int32(m),
        at,
        height,
        width,
        sums,
    )
    return head, engine.receive(sums, _SUMS * spots, real).reshape(spots, _SUMS).astype(np.float64)
