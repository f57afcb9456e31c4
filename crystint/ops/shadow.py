"""The shadow of a beam stop and of what holds it, from the sum of many frames."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from crystint.ops.local_level import tile_sums, upsampled

__all__ = ["Shadow", "find_shadow"]

_COUNTS = 40.0
"""expected counts of a tile: a shadow of half the level stands out by 4 standard deviations"""
_LARGEST = 32
"""px: tiles are no larger; with fewer counts than that takes, no shadow is looked for"""
_DARK, _DIM, _BLACK = 0.5, 0.75, 0.25
"""share of the level of a ring and of the surroundings: of a shadow, and of what it goes on in; of the level of the
ring alone, of a shadow wider than its surroundings"""
_SURROUNDINGS = 15
"""tiles across, of which the brighter ones are the level of the surroundings"""
_UPPER = 80
"""percentile of the tiles of a ring that is its level: a shadow may cover most of it"""
_FALL = 2.0
"""largest power of the radius by which the level may fall towards the beam"""
_RINGS = 64
"""coarse rings"""
_SMALLEST = 6
"""tiles of a shadow"""


@dataclass(frozen=True, slots=True, eq=False)
class Shadow:
    """What is dark."""

    pixels: NDArray[np.bool_]
    """bool [slow, fast]: connected to the beam centre or to the border of the frame, with its edges"""
    apart: NDArray[np.bool_]
    """bool [slow, fast]: dark regions that are not"""
    tile: int
    """px: how fine it could be looked at; 0 = too few counts"""


def find_shadow(
    total: NDArray[Any],
    exposure: NDArray[np.float64],
    expected: NDArray[np.float64],
    variance: NDArray[np.float64],
    radius: NDArray[Any],
    usable: NDArray[np.bool_],
    beam: tuple[float, float],
    margin: int,
) -> Shadow:
    """Look for connected regions far below the level of their rings.

    The level of a ring is that of its brighter tiles, smoothed over rings, and falls towards the beam by no more than
    the radius squared: a ring that is dark all around is known by those outside it. A shadow is dark in its ring and
    among its surroundings: a background may be twice as bright on one side as on the other.

    Parameters
    ----------
    total : [slow, fast]
        Counts of all frames.
    exposure : float64 [slow, fast]
        What a level is multiplied with to give counts: frames times normalization.
    expected : float64 [slow, fast]
        Counts that rings have pixels expect.
    variance : float64 [slow, fast]
        Of the sum of the counts of good pixels.
    radius : float [slow, fast]
        Of the rings, in any unit; NaN in none.
    usable : bool [slow, fast]
    beam : (slow, fast)
        Of the direct beam, px.
    margin : int
        px by which a shadow is grown.
    """
    nothing = np.zeros(usable.shape, bool)
    typical, noise = (float(np.median(part[usable])) if usable.any() else 0.0 for part in (expected, variance))
    counts_of = typical**2 / max(typical, noise, 1e-300)  # of a pixel, if noise were that of counting
    tile = next((size for size in (1, 2, 4, 8, 16, _LARGEST) if counts_of * size**2 >= _COUNTS), 0)
    tile = tile and max(tile, 2)
    if not tile or min(usable.shape) < 8 * tile:
        return Shadow(nothing, nothing, 0)
    cap = 3.0 * expected + 10.0 * np.sqrt(np.maximum(variance, 0.0)) + 3.0
    sums = [
        tile_sums(np.where(usable, part, 0.0), tile)
        for part in (
            np.minimum(total, cap), exposure, np.nan_to_num(radius), usable, np.maximum(variance - expected, 0.0)
        )
    ]  # fmt: skip
    counts, weight, place, number, more = sums
    there = number >= tile * tile / 4
    with np.errstate(invalid="ignore", divide="ignore"):
        level, place = counts / weight, place / number
    reference = _reference(level, place, there)
    ratio = np.where(there, level / np.maximum(reference, 1e-300), np.nan)
    expect = np.where(there, reference * weight, 0.0)
    local = ratio / _surroundings(ratio, there)
    with np.errstate(invalid="ignore"):
        expect = np.minimum(expect, expect * _surroundings(ratio, there))
        low = there & (expect > 0) & (counts < expect - 3.0 * np.sqrt(expect + more))
        sure = counts < expect - 5.0 * np.sqrt(expect + more)
        dark = low & sure & (((ratio < _DARK) & (local < _DARK)) | (ratio < _BLACK))
        dim = low & (local < _DIM)
    dark = ndimage.binary_propagation(dark, np.ones((3, 3)), dim | dark)
    dark |= (
        ndimage.binary_fill_holes(dark | ~there) & ~there & ndimage.binary_dilation(dark, np.ones((3, 3)), iterations=2)
    )
    bridged = dark | (
        ~there & ndimage.binary_dilation(dark, np.ones((3, 3)), iterations=2)
    )  # a shadow goes on behind a gap
    labels, count = ndimage.label(bridged, np.ones((3, 3)))
    labels[~dark] = 0
    connected, apart = _connected(labels, count, there, beam, tile)
    return Shadow(_pixels(connected, usable.shape, tile, margin), _pixels(apart, usable.shape, tile, margin), tile)


def _surroundings(ratio: NDArray[np.float64], there: NDArray[np.bool_]) -> NDArray[np.float64]:
    """The upper level of the tiles about each; that of the nearest stands where there is none."""
    nearest = ndimage.distance_transform_edt(~there, return_distances=False, return_indices=True)
    filled = ratio[tuple(nearest)]
    return np.asarray(np.maximum(ndimage.percentile_filter(filled, _UPPER, _SURROUNDINGS, mode="nearest"), 1e-300))


def _reference(level: NDArray[np.float64], place: NDArray[np.float64], there: NDArray[np.bool_]) -> NDArray[Any]:
    """The level that a tile would have out of the shadow."""
    edges = np.linspace(place[there].min(), place[there].max(), _RINGS + 1)
    ring = np.clip(np.searchsorted(edges, place, side="right") - 1, 0, _RINGS - 1)
    upper = np.full(_RINGS, np.nan)
    for number in range(_RINGS):
        values = level[there & (ring == number)]
        if len(values):
            upper[number] = np.percentile(values, _UPPER)
    filled = np.flatnonzero(np.isfinite(upper))
    upper = np.interp(np.arange(_RINGS), filled, upper[filled])
    smooth = ndimage.median_filter(upper, 5, mode="nearest")
    middle = 0.5 * (edges[1:] + edges[:-1])
    for number in range(_RINGS - 2, -1, -1):
        smooth[number] = max(smooth[number], smooth[number + 1] * (middle[number] / middle[number + 1]) ** _FALL)
    return np.asarray(np.interp(np.nan_to_num(place), middle, smooth))


def _connected(
    labels: NDArray[np.int32], count: int, there: NDArray[np.bool_], beam: tuple[float, float], tile: int
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Dark regions of the beam or of the border, and others."""
    sizes = np.bincount(labels.ravel(), minlength=count + 1)
    distance = np.full(count + 1, np.inf)
    slow, fast = np.nonzero(labels)
    np.minimum.at(distance, labels[slow, fast], np.hypot((slow + 0.5) * tile - beam[0], (fast + 0.5) * tile - beam[1]))
    border = np.zeros(count + 1, bool)
    for edge in (labels[0], labels[-1], labels[:, 0], labels[:, -1]):
        border[edge] = True
    large = (sizes >= _SMALLEST) & (np.arange(count + 1) > 0)
    near = distance <= max(4.0 * tile, 20.0)
    belongs = large & (near | border)
    return belongs[labels], (large & ~belongs)[labels]


def _pixels(region: NDArray[np.bool_], shape: tuple[int, int], tile: int, margin: int) -> NDArray[np.bool_]:
    if not region.any():
        return np.zeros(shape, bool)
    pixels = upsampled(region.astype(np.float64), shape, tile) >= 0.5
    return ndimage.binary_dilation(pixels, iterations=margin) if margin else pixels
