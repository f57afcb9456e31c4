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
from crystint.ops.spots import neighbourhoods, outskirts, plateaus, roots
from crystint.ops.threshold import thresholds

if TYPE_CHECKING:
    from crystint.model.geometry import Geometry

__all__ = ["measure_peaks"]

_SURE = 3.0
"""sigma of the pixels by which a spot is wider than its neighbourhood"""
_ICE_HALF_WIDTH = 0.02
"""1/angstrom in q: half the width of a sharp ice ring on a detector"""


class _Pixels:
    """Some pixels of a frame, each owned by a spot, and what they hold."""

    def __init__(
        self,
        frame: NDArray[Any],
        background: Background,
        owner: NDArray[np.intp],
        pixel: NDArray[np.intp],
        spots: int,
    ) -> None:
        rings = background.rings
        self.frame, self.background = frame, background
        self.owner, self.pixel, self.spots = owner, pixel, spots
        self.raw = frame.ravel()[pixel]
        self.position, self.weight = rings.position.ravel()[pixel], rings.weight.ravel()[pixel].astype(np.float64)
        self.good = np.isfinite(self.position) & ~unusable(self.raw[None])[0]
        self.mean = interpolate(background.mean, self.position)
        self.counts = np.where(self.good, self.raw, 0).astype(np.float64)
        if rings.dark is not None:
            self.counts -= rings.dark.ravel()[pixel]
        self.above = self.counts / self.weight - self.mean
        """v - bg, normalised counts"""

    def joined(self, more: tuple[NDArray[np.intp], NDArray[np.intp]]) -> _Pixels:
        """These pixels and more of them: (owner, pixel)."""
        owner, pixel = np.concatenate([self.owner, more[0]]), np.concatenate([self.pixel, more[1]])
        return _Pixels(self.frame, self.background, owner, pixel, self.spots)

    def sums(self, values: NDArray[Any]) -> NDArray[np.float64]:
        """Sum of a value over the usable pixels of each spot."""
        values = np.where(self.good, values, 0.0)
        return np.bincount(self.owner, weights=values, minlength=self.spots).astype(np.float64)

    def touch(self, which: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Which spots have one of these pixels."""
        return np.bincount(self.owner[which], minlength=self.spots) > 0


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

    A spot is the union of the neighbourhoods of its maxima (and of the flat top of one). Where it is wider than that,
    the pixels above 3 sigma that are connected to it, and those that touch one, belong to its intensity: the sum of
    v - bg. The variance of the intensity is that of the background in these pixels, that of their counts above it by
    Poisson's law, and that of the ring's mean. The centroid is weighted by v - bg, over the neighbourhoods and the
    pixels above SNR_pick that are connected to them: a neighbourhood alone would pull it to its middle.

    Returns
    -------
    PeakList, sorted by the pixel number of the strongest maximum
    """
    if len(maxima) == 0:
        return empty_peaks()
    rings, shape = background.rings, background.rings.shape
    heads, spot = np.unique(roots(maxima, parent), return_inverse=True)
    head, n = maxima[heads], len(heads)
    members, owners = plateaus(frame, maxima, spot, saturation)
    owner, pixel, border = neighbourhoods(members, owners, shape, reach)
    core = _Pixels(frame, background, owner, pixel, n)
    taken = pixel
    skirt = outskirts(frame, background, members, owners, taken, snr=snr_pick, noise=noise, reach=reach)
    sure = max(snr_pick, _SURE)
    wide = outskirts(frame, background, members, owners, taken, snr=sure, noise=noise, reach=reach, rim=True)
    centre = core.joined(skirt)
    whole = core.joined(wide)

    peaks = empty_peaks(n)
    peaks["frame"] = number
    peaks["intensity"] = whole.sums(whole.above)
    peaks["sigma"] = np.sqrt(_variance(whole, background, noise, head))
    peaks["snr"] = np.divide(peaks["intensity"], peaks["sigma"], out=np.zeros(n), where=peaks["sigma"] > 0)
    peaks["slow"], peaks["fast"] = _centroids(centre, head, shape[1])
    limit = thresholds(background, core.position, core.weight.astype(np.float32), snr_pick, noise)
    peaks["npix"] = np.round(core.sums(core.counts > limit)).astype(np.int32)
    peaks["maximum"] = frame.ravel()[head]
    expected = interpolate(background.mean, rings.position.ravel()[head]) * rings.weight.ravel()[head]
    peaks["background"] = expected + (0.0 if rings.dark is None else rings.dark.ravel()[head])
    peaks["d"] = geometry.d_at(peaks["slow"], peaks["fast"])
    flags = np.where(core.touch(~core.good), PeakFlag.MASKED, 0)
    gap = (rings.mask.ravel()[core.pixel] & 1) != 0
    flags |= np.where(border | core.touch(gap) | _on_several_panels(core, geometry), PeakFlag.EDGE, 0)
    if saturation is not None:
        flags |= np.where(core.touch(core.good & (core.raw >= saturation)), PeakFlag.SATURATED, 0)
    peaks["flags"] = flags | np.where(_on_ice(peaks["d"]), PeakFlag.ICE, 0)
    return peaks


def _variance(core: _Pixels, background: Background, noise: float, head: NDArray[np.uint32]) -> NDArray[np.float64]:
    """Variance of the intensity of each spot."""
    if background.error_model == "azimuthal":
        spread = np.square(interpolate(background.std, core.position))
    else:
        spread = interpolate(background.excess, core.position) * np.maximum(core.mean, 0.0) / core.weight
        spread = spread + np.square(interpolate(np.sqrt(background.additive), core.position))
    spread = spread + np.square(noise / core.weight)
    sem = interpolate(background.sem, background.rings.position.ravel()[head])
    of_mean = core.sums(np.ones(len(core.pixel))) * sem
    signal = np.maximum(core.sums(core.above / core.weight), 0.0)
    return np.asarray(core.sums(spread) + signal + np.square(of_mean))


def _centroids(
    pixels: _Pixels, head: NDArray[np.uint32], width: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(slow, fast) of each spot, px from the outer corner of the first pixel."""
    positive = np.maximum(pixels.above, 0.0)
    total, most = pixels.sums(pixels.above), pixels.sums(positive)
    steady = total > 0.5 * most  # a sum that noise cancels has no centre
    share = np.where(steady[pixels.owner], pixels.above, positive)
    total = np.where(steady, total, most)
    total[total <= 0] = 1.0
    found = []
    for place, centre in zip(np.divmod(pixels.pixel, width), np.divmod(head.astype(np.int64), width)):
        found.append(centre + 0.5 + pixels.sums(share * (place - centre[pixels.owner])) / total)
    return found[0], found[1]


def _on_ice(d: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Whether a spacing is that of a powder ring of ice."""
    with np.errstate(divide="ignore"):
        q = 2.0 * np.pi / d
    return np.asarray(np.any(np.abs(q[:, None] - 2.0 * np.pi / np.asarray(ICE_D)) <= _ICE_HALF_WIDTH, axis=1))


def _on_several_panels(core: _Pixels, geometry: Geometry) -> NDArray[np.bool_]:
    """Which spots have pixels on more than one panel."""
    if geometry.panels is None:
        return np.zeros(core.spots, dtype=bool)
    slow, fast = np.divmod(core.pixel, geometry.shape[1])
    panel = np.full(len(core.pixel), -1)
    for i, one in enumerate(geometry.panels):
        inside = (slow >= one.slow[0]) & (slow < one.slow[1]) & (fast >= one.fast[0]) & (fast < one.fast[1])
        panel[inside] = i
    least, most = np.full(core.spots, len(geometry.panels)), np.full(core.spots, -1)
    np.minimum.at(least, core.owner, panel)
    np.maximum.at(most, core.owner, panel)
    return np.asarray(least != most)
