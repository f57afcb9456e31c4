"""From maxima to peaks: spots, their intensity and their centroid.

Runs on the host in float64: a frame has thousands of peaks, not millions.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from crystint.model.mask import unusable
from crystint.model.peaks import ICE_D, PeakFlag, PeakList, empty_peaks
from crystint.model.rings import Background, interpolate
from crystint.ops.threshold import thresholds

if TYPE_CHECKING:
    from crystint.model.geometry import Geometry

__all__ = ["measure_peaks", "roots"]

_ICE_HALF_WIDTH = 0.02
"""1/angstrom in q: half the width of a sharp ice ring on a detector"""


def roots(maxima: NDArray[np.uint32], parent: NDArray[np.uint32]) -> NDArray[np.intp]:
    """For each maximum the row of the one that its chain of parents ends at; a parent that is no maximum ends it."""
    place = np.searchsorted(maxima, parent)
    place = np.minimum(place, len(maxima) - 1)
    above = np.where(maxima[place] == parent, place, np.arange(len(maxima)))
    while True:
        further = above[above]
        if np.array_equal(further, above):
            return above
        above = further


def _neighbourhoods(
    maxima: NDArray[np.uint32], spot: NDArray[np.intp], shape: tuple[int, int], reach: int
) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.bool_]]:
    """Spot and pixel number of every pixel of every spot, each once, and which spots touch the border."""
    step = np.arange(-reach, reach + 1)
    slow = (maxima // shape[1]).astype(np.intp)[:, None, None] + step[None, :, None]
    fast = (maxima % shape[1]).astype(np.intp)[:, None, None] + step[None, None, :]
    slow, fast = np.broadcast_arrays(slow, fast)
    inside = (slow >= 0) & (slow < shape[0]) & (fast >= 0) & (fast < shape[1])
    border = np.bincount(spot, weights=~inside.all(axis=(1, 2))) > 0
    owner = np.broadcast_to(spot[:, None, None], slow.shape)[inside]
    pixel = slow[inside] * shape[1] + fast[inside]
    key = np.unique(owner * (shape[0] * shape[1]) + pixel)
    return key // (shape[0] * shape[1]), key % (shape[0] * shape[1]), border


def _plateaus(
    frame: NDArray[Any], maxima: NDArray[np.uint32], spot: NDArray[np.intp], saturation: float
) -> tuple[NDArray[np.uint32], NDArray[np.intp]]:
    """Add the saturated pixels connected to a saturated maximum to its spot, so that all of the spot is measured."""
    from scipy.ndimage import label

    reach, extra, owner = 24, [maxima], [spot]
    for row in np.flatnonzero(frame.ravel()[maxima] >= saturation):
        slow, fast = divmod(int(maxima[row]), frame.shape[1])
        top, left = max(slow - reach, 0), max(fast - reach, 0)
        box = frame[top : slow + reach + 1, left : fast + reach + 1]
        parts, _ = label((box >= saturation) & ~unusable(box), structure=np.ones((3, 3), int))
        here = np.argwhere(parts == parts[slow - top, fast - left])
        extra.append(((here[:, 0] + top) * frame.shape[1] + here[:, 1] + left).astype(np.uint32))
        owner.append(np.full(len(here), spot[row]))
    return np.concatenate(extra), np.concatenate(owner)


def measure_peaks(
    frame: NDArray[Any],
    background: Background,
    maxima: NDArray[np.uint32],
    parent: NDArray[np.uint32],
    *,
    geometry: Geometry,
    snr_pick: float,
    noise: float,
    reach: int,
    saturation: float | None,
    number: int,
) -> PeakList:
    """Measure the spots that the maxima make.

    A spot is the union of the neighbourhoods of its maxima (and of its saturated pixels). Intensity is the sum of
    v - bg over it; its variance is that of the background in it, that of its counts above the background by Poisson's
    law, and that of the ring's mean; the centroid is weighted by v - bg.

    Returns
    -------
    PeakList, sorted by the pixel number of the strongest maximum
    """
    if len(maxima) == 0:
        return empty_peaks()
    rings, shape = background.rings, background.rings.shape
    top = roots(maxima, parent)
    heads, spot = np.unique(top, return_inverse=True)
    members, owners = maxima, spot
    if saturation is not None:
        members, owners = _plateaus(frame, maxima, spot, saturation)
    owner, pixel, border = _neighbourhoods(members, owners, shape, reach)
    raw = frame.ravel()[pixel]
    position, weight = rings.position.ravel()[pixel], rings.weight.ravel()[pixel].astype(np.float64)
    good = np.isfinite(position) & ~unusable(raw[None])[0]
    n = len(heads)

    def per_spot(values: NDArray[Any]) -> NDArray[np.float64]:
        return np.bincount(owner, weights=np.where(good, values, 0.0), minlength=n).astype(np.float64)

    mean = interpolate(background.mean, position)
    counts = np.where(good, raw, 0).astype(np.float64)
    if rings.dark is not None:
        counts = counts - rings.dark.ravel()[pixel]
    above = counts / weight - mean
    if background.error_model == "azimuthal":
        spread = np.square(interpolate(background.std, position))
    else:
        spread = interpolate(background.excess, position) * np.maximum(mean, 0.0) / weight
        spread = spread + interpolate(background.additive, position)
    spread = spread + np.square(noise / weight)
    size = per_spot(np.ones(len(pixel)))
    intensity = per_spot(above)
    of_mean = size * interpolate(background.sem, rings.position.ravel()[maxima[heads]])
    variance = per_spot(spread) + np.maximum(per_spot(above / weight), 0.0) + np.square(of_mean)

    slow, fast = np.divmod(pixel, shape[1])
    positive = per_spot(np.maximum(above, 0.0))
    steady = intensity > 0.5 * positive  # a sum that noise cancels has no centre
    share = np.where(steady[owner], above, np.maximum(above, 0.0))
    total = np.where(steady, intensity, positive)

    peaks = empty_peaks(n)
    head = maxima[heads]
    peaks["frame"] = number
    for name, place in (("slow", slow), ("fast", fast)):
        centre = np.divmod(head, shape[1])[0 if name == "slow" else 1].astype(np.float64)
        shift = per_spot(share * (place - centre[owner])) / np.where(total > 0, total, 1.0)
        peaks[name] = centre + 0.5 + shift
    peaks["intensity"] = intensity
    peaks["sigma"] = np.sqrt(variance)
    peaks["snr"] = np.divide(intensity, peaks["sigma"], out=np.zeros(n), where=variance > 0)
    limit = thresholds(background, position, weight.astype(np.float32), snr_pick, noise)
    peaks["npix"] = np.round(per_spot(counts > limit)).astype(np.int32)
    peaks["maximum"] = frame.ravel()[head]
    expected = interpolate(background.mean, rings.position.ravel()[head]) * rings.weight.ravel()[head]
    peaks["background"] = expected + (0.0 if rings.dark is None else rings.dark.ravel()[head])
    peaks["d"] = geometry.d_at(peaks["slow"], peaks["fast"])
    peaks["flags"] = _flags(peaks, owner, pixel, good, border, raw, geometry, rings.mask, saturation)
    return peaks


def _flags(
    peaks: PeakList,
    owner: NDArray[np.intp],
    pixel: NDArray[np.intp],
    good: NDArray[np.bool_],
    border: NDArray[np.bool_],
    raw: NDArray[Any],
    geometry: Geometry,
    mask: NDArray[np.uint32],
    saturation: float | None,
) -> NDArray[np.uint32]:
    """The column ``flags``."""

    def any_of(pixels: NDArray[np.bool_]) -> NDArray[np.bool_]:
        return np.bincount(owner[pixels], minlength=len(peaks)) > 0

    flags = np.where(any_of(~good), PeakFlag.MASKED, 0)
    gap = (mask.ravel()[pixel] & 1) != 0
    flags |= np.where(border | any_of(gap) | _several_panels(owner, pixel, geometry, len(peaks)), PeakFlag.EDGE, 0)
    if saturation is not None:
        flags |= np.where(any_of(good & (raw >= saturation)), PeakFlag.SATURATED, 0)
    with np.errstate(divide="ignore"):
        q = 2.0 * np.pi / peaks["d"]
    ice = np.any(np.abs(q[:, None] - 2.0 * np.pi / np.asarray(ICE_D)) <= _ICE_HALF_WIDTH, axis=1)
    return np.asarray(flags | np.where(ice, PeakFlag.ICE, 0), dtype=np.uint32)


def _several_panels(owner: NDArray[np.intp], pixel: NDArray[np.intp], geometry: Geometry, n: int) -> NDArray[np.bool_]:
    """Which spots have pixels on more than one panel."""
    if geometry.panels is None:
        return np.zeros(n, dtype=bool)
    slow, fast = np.divmod(pixel, geometry.shape[1])
    panel = np.full(len(pixel), -1)
    for i, one in enumerate(geometry.panels):
        inside = (slow >= one.slow[0]) & (slow < one.slow[1]) & (fast >= one.fast[0]) & (fast < one.fast[1])
        panel[inside] = i
    least, most = np.full(n, len(geometry.panels)), np.full(n, -1)
    np.minimum.at(least, owner, panel)
    np.maximum.at(most, owner, panel)
    return np.asarray(least != most)
