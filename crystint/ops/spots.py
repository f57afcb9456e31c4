"""Which pixels a spot is made of."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from crystint.model.mask import unusable
from crystint.model.valid_values import ValidValues

__all__ = ["plateaus", "roots"]

_PLATEAU_REACH = 24
"""pixels from a saturated maximum in which its plateau is looked for"""


def roots(maxima: NDArray[np.uint32], parent: NDArray[np.uint32]) -> NDArray[np.intp]:
    """For each maximum the row of the one that its chain of parents ends at; a parent that is no maximum ends it."""
    position = np.searchsorted(maxima, parent)
    position = np.minimum(position, len(maxima) - 1)
    above = np.where(maxima[position] == parent, position, np.arange(len(maxima)))
    while True:
        further = above[above]
        if np.array_equal(further, above):
            return above
        above = further


def plateaus(
    frame: NDArray[Any],
    maxima: NDArray[np.uint32],
    spot: NDArray[np.intp],
    flat: NDArray[np.uint8],
    saturation: float | None,
    valid: ValidValues | None = None,
) -> tuple[NDArray[np.uint32], NDArray[np.intp]]:
    """Add the pixels of the flat top that a maximum is a corner of to its spot, so that all of the spot is measured.

    The top is saturated, or has three more pixels of the maximum's counts beside it: where `flat` is not 0.

    Returns
    -------
    member : uint32 [m], ascending
    spot : intp [m]
    """
    if not flat.any():
        return maxima, spot
    from scipy.ndimage import label

    reach, extra, owner = _PLATEAU_REACH, [maxima], [spot]
    value = frame.ravel()[maxima]
    for row in np.flatnonzero(flat):
        level = value[row] if saturation is None else min(value[row], saturation)
        slow, fast = divmod(int(maxima[row]), frame.shape[1])
        top, left = max(slow - reach, 0), max(fast - reach, 0)
        box = frame[top : slow + reach + 1, left : fast + reach + 1]
        parts, _ = label((box >= level) & ~unusable(box, valid), structure=np.ones((3, 3), int))
        here = np.argwhere(parts == parts[slow - top, fast - left])
        extra.append(((here[:, 0] + top) * frame.shape[1] + here[:, 1] + left).astype(np.uint32))
        owner.append(np.full(len(here), spot[row]))
    members, owners = np.concatenate(extra), np.concatenate(owner)
    both = np.unique(members.astype(np.int64) << 32 | owners)
    return (both >> 32).astype(np.uint32), (both & 0xFFFFFFFF).astype(np.intp)
