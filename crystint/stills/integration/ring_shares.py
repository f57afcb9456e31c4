"""How counts are shared out within the cores of reflections: what the form of profiles is learnt from."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from crystint.stills.integration.shoeboxes import FORM_RINGS, FORM_WIDTH, Places, Shoeboxes

__all__ = ["ring_shares"]


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
    found = []
    for values in (above, profile):
        shares = np.bincount(place, values.ravel(), FORM_RINGS * len(rows)).reshape(-1, FORM_RINGS)
        with np.errstate(divide="ignore", invalid="ignore"):
            found.append(shares / shares.sum(axis=1, keepdims=True))
    return found[0], found[1]
