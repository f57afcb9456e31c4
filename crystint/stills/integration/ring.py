"""The background of a reflection: the mean of the ring of pixels about it.

The mean, never the median: the median of a Poisson law is below its mean by up to ln 2 (all of it, where the mean is
below 0.69), which a sum over a hundred pixels turns into false signal. What does not belong there (a cosmic ray, a
spot that nobody predicted) is cut off above a level that background alone reaches less than once in 10^6 pixels,
so that cutting costs the mean of 100 pixels less than 0.001 counts.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from crystint.stills.integration.shoeboxes import FORM_RINGS, FORM_WIDTH, Places, Shoeboxes

__all__ = [
    "expected_background",
    "ring_means",
    "ring_shares",
]

_SIGMA = 5.0
_SKEW = 4.5
"""counts: (z^2 - 1) / 6 of the Cornish-Fisher expansion for the quantile of a Poisson law, and half a count"""
_ROUNDS = 8
_SHRINK = 10.0
"""counts of the ring, as much as the neighbours are believed when background is expected"""
_TOGETHER = 40
"""reflections whose rings are taken together for that, neighbours in resolution"""


def _level(mean: NDArray[np.float64], noise: float) -> NDArray[np.float64]:
    """Counts that background alone does not reach."""
    expected = np.maximum(mean, 0.0)
    return np.asarray(mean + _SIGMA * np.sqrt(expected + noise * noise) + _SKEW)


def ring_means(
    counts: NDArray[Any], ring: NDArray[np.bool_], *, noise: float = 0.0
) -> tuple[NDArray[np.float64], NDArray[np.intp]]:
    """Mean of the ring of every reflection, without outliers.

    Pixels above mean + 5 sqrt(mean + noise^2) + 4.5 counts are left out, again and again until nothing changes.

    Parameters
    ----------
    counts : number [n, pixels]
    ring : bool [n, pixels]
    noise : float
        RMS of the detector's own noise, counts.

    Returns
    -------
    mean : float64 [n]
        Counts per pixel; NaN without a pixel.
    pixels : int [n]
        How many it is the mean of.
    """
    pixels = ring.sum(axis=1)
    total = np.einsum("ij,ij->i", counts, ring, dtype=np.float64)
    highest = np.where(ring, counts, 0).max(axis=1, initial=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = total / pixels
    rows = np.flatnonzero(highest > _level(mean, noise))
    for _ in range(_ROUNDS):
        if not rows.size:
            break
        here = counts[rows]
        keep = ring[rows] & (here <= _level(mean[rows], noise)[:, None])
        left = keep.sum(axis=1)
        changed = (left < pixels[rows]) & (left > 0)
        rows, keep, here, left = rows[changed], keep[changed], here[changed], left[changed]
        mean[rows], pixels[rows] = np.einsum("ij,ij->i", here, keep, dtype=np.float64) / left, left
    return mean, pixels


def expected_background(
    mean: NDArray[np.float64], pixels: NDArray[np.intp], d: NDArray[np.float64]
) -> NDArray[np.float64]:
    """What a pixel is expected to hold, for weights: the ring, drawn towards rings at about the same resolution.

    Where a ring holds few counts its own mean is uncertain, and weights made of it depend on the noise that is also
    subtracted. A prior worth 10 counts (a Gamma law about the mean of 40 neighbours in resolution) stops that:

        (sum of the ring + 10) / (its pixels + 10 / mean of the neighbours)

    Parameters
    ----------
    mean, pixels : [n]
        As from `ring_means`.
    d : float64 [n]
        angstrom.

    Returns
    -------
    float64 [n]
        Counts per pixel; NaN where `mean` is.
    """
    result = mean.copy()
    good = np.flatnonzero((pixels > 0) & np.isfinite(mean))
    if not good.size:
        return result
    order = good[np.argsort(d[good], kind="stable")]
    starts = np.arange(max(1, len(order) // _TOGETHER)) * _TOGETHER
    sizes = np.diff(starts, append=len(order))
    counts = np.add.reduceat(mean[order] * pixels[order], starts)
    pooled = np.repeat(counts / np.add.reduceat(pixels[order], starts), sizes)
    pooled_any = pooled > 0.0
    order, pooled = order[pooled_any], pooled[pooled_any]
    result[order] = (mean[order] * pixels[order] + _SHRINK) / (pixels[order] + _SHRINK / pooled)
    return result


def ring_shares(
    boxes: Shoeboxes, places: Places, background: NDArray[np.float64], rows: NDArray[np.intp]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """How the counts of reflections, and their profiles, are shared out among rings of 0.5 R in their cores.

    Parameters
    ----------
    boxes : Shoeboxes
    places : Places
        Of the frame.
    background : float64 [len(boxes)]
        counts per pixel
    rows : int [m]
        Which of the boxes.

    Returns
    -------
    seen, expected : float64 [m, 5]
        Each row adds up to 1.
    """
    turned = places.axes[boxes.row[rows]] / places.width[boxes.row[rows], :, None]
    slow, fast = (offset[rows] for offset in boxes.offset)
    square = np.zeros((len(rows), boxes.side, boxes.side))
    for axis in range(2):
        one, other = slow * turned[:, axis, 0, None], fast * turned[:, axis, 1, None]
        square += (one[:, :, None] + other[:, None, :]) ** 2
    ring = np.minimum((np.sqrt(square) / FORM_WIDTH).astype(np.intp), FORM_RINGS - 1).reshape(len(rows), boxes.side**2)
    place = (FORM_RINGS * np.arange(len(rows))[:, None] + ring).ravel()
    profile = boxes.profile[rows]
    above = np.where(profile > 0.0, boxes.counts[rows] - background[rows, None], 0.0)
    rings_of = []
    for values in (above, profile):
        shares = np.bincount(place, values.ravel(), FORM_RINGS * len(rows)).reshape(-1, FORM_RINGS)
        with np.errstate(divide="ignore", invalid="ignore"):
            rings_of.append(shares / shares.sum(axis=1, keepdims=True))
    return rings_of[0], rings_of[1]
