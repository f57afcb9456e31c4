"""Which pixels a spot is made of."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from crystint.model.mask import unusable
from crystint.model.rings import Background
from crystint.ops.threshold import thresholds

__all__ = ["neighbourhoods", "outskirts", "plateaus", "roots"]

_PLATEAU_REACH = 24
"""pixels from a saturated maximum in which its plateau is looked for"""
_FAR = 4
"""pixels from a maximum in which the outskirts of its spot are looked for"""


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


def _windows(
    members: NDArray[np.uint32], shape: tuple[int, int], reach: int
) -> tuple[NDArray[np.intp], NDArray[np.bool_]]:
    """Pixel number of every place of the square around each member, and whether it is inside the frame."""
    step = np.arange(-reach, reach + 1)
    slow, fast = np.broadcast_arrays(
        (members // shape[1]).astype(np.intp)[:, None, None] + step[None, :, None],
        (members % shape[1]).astype(np.intp)[:, None, None] + step[None, None, :],
    )
    inside = (slow >= 0) & (slow < shape[0]) & (fast >= 0) & (fast < shape[1])
    return np.where(inside, slow * shape[1] + fast, 0), inside


def neighbourhoods(
    members: NDArray[np.uint32], spot: NDArray[np.intp], shape: tuple[int, int], reach: int
) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.bool_]]:
    """Spot and pixel number of every pixel of every neighbourhood, each once per spot; which spots touch the border."""
    window, inside = _windows(members, shape, reach)
    border = np.bincount(spot, weights=~inside.all(axis=(1, 2))) > 0
    owner = np.broadcast_to(spot[:, None, None], window.shape)[inside]
    key = np.unique(owner * (shape[0] * shape[1]) + window[inside])
    return key // (shape[0] * shape[1]), key % (shape[0] * shape[1]), border


def outskirts(
    frame: NDArray[Any],
    background: Background,
    members: NDArray[np.uint32],
    spot: NDArray[np.intp],
    taken: NDArray[np.intp],
    *,
    snr: float,
    noise: float,
    reach: int,
    rim: bool = False,
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Spot and number of the pixels above `snr` that are connected to a neighbourhood without being in one.

    A pixel that several spots reach belongs to the one with the nearest maximum.

    Parameters
    ----------
    taken : pixel numbers of all neighbourhoods
    rim : bool
        Add the pixels that touch one above `snr`, inside or outside the neighbourhood.
    """
    from scipy.ndimage import binary_dilation

    rings = background.rings
    window, inside = _windows(members, rings.shape, _FAR)
    raw, position, weight = (array.ravel()[window] for array in (frame, rings.position, rings.weight))
    counts = raw.astype(np.float64)
    if rings.dark is not None:
        counts = counts - rings.dark.ravel()[window]
    usable = inside & ~unusable(raw.reshape(1, -1)).reshape(raw.shape)
    with np.errstate(invalid="ignore"):
        above = usable & (counts > thresholds(background, position, weight, snr, noise))
    region = np.zeros(window.shape, dtype=bool)
    middle = slice(_FAR - reach, _FAR + reach + 1)
    region[:, middle, middle] = True
    touching = np.ones((1, 3, 3), dtype=bool)
    for _ in range(_FAR - reach):
        region |= binary_dilation(region, touching) & above
    if rim:
        region |= binary_dilation(region & above, touching) & usable
    region[:, middle, middle] = False
    region &= ~np.isin(window, taken)
    step = np.arange(-_FAR, _FAR + 1)
    distance = np.broadcast_to(np.square(step)[:, None] + np.square(step), window.shape)[region]
    owner, pixel = np.broadcast_to(spot[:, None, None], window.shape)[region], window[region]
    order = np.lexsort((owner, distance, pixel))
    owner, pixel = owner[order], pixel[order]
    first = np.ones(len(pixel), dtype=bool)
    first[1:] = pixel[1:] != pixel[:-1]
    return owner[first], pixel[first]


def plateaus(
    frame: NDArray[Any], maxima: NDArray[np.uint32], spot: NDArray[np.intp], saturation: float | None
) -> tuple[NDArray[np.uint32], NDArray[np.intp]]:
    """Add the pixels of the flat top that a maximum is a corner of to its spot, so that all of the spot is measured.

    The top is saturated, or has three more pixels of the maximum's counts beside it.
    """
    from scipy.ndimage import label

    reach, extra, owner = _PLATEAU_REACH, [maxima], [spot]
    value = frame.ravel()[maxima]
    window, inside = _windows(maxima, (frame.shape[0], frame.shape[1]), 1)
    equal = (frame.ravel()[window] == value[:, None, None]) & inside
    flat = equal.sum(axis=(1, 2)) > 3
    if saturation is not None:
        flat |= value >= saturation
    for row in np.flatnonzero(flat):
        level = value[row] if saturation is None else min(value[row], saturation)
        slow, fast = divmod(int(maxima[row]), frame.shape[1])
        top, left = max(slow - reach, 0), max(fast - reach, 0)
        box = frame[top : slow + reach + 1, left : fast + reach + 1]
        parts, _ = label((box >= level) & ~unusable(box), structure=np.ones((3, 3), int))
        here = np.argwhere(parts == parts[slow - top, fast - left])
        extra.append(((here[:, 0] + top) * frame.shape[1] + here[:, 1] + left).astype(np.uint32))
        owner.append(np.full(len(here), spot[row]))
    return np.concatenate(extra), np.concatenate(owner)
