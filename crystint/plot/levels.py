"""Which resolution rings to draw, and where their labels go."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from crystint.model.geometry import Geometry

__all__ = ["label_place", "ring_levels"]

_SPACINGS = np.array(
    [
        0.4,
        0.5,
        0.6,
        0.7,
        0.8,
        0.9,
        1,
        1.1,
        1.2,
        1.3,
        1.4,
        1.5,
        1.6,
        1.8,
        2,
        2.2,
        2.5,
        3,
        3.5,
        4,
        5,
        6,
        8,
        10,
        12,
    ]
    + [factor * power for power in (10, 100, 1000) for factor in (1.5, 2, 3, 5, 8, 10)]
)
_ANGLES = np.array([factor * power for power in (0.01, 0.1, 1, 10) for factor in (1, 2, 3, 4, 5, 6, 8, 10)])


def ring_levels(geometry: Geometry, count: int = 5) -> tuple[NDArray[np.float64], NDArray[np.float64], list[str]]:
    """A map of the detector, the values of it at which to draw rings, and what to write on them.

    Returns
    -------
    map : float64 [slow, fast]
        q in 1/angstrom, or 2 theta in degrees when the wavelength is unknown.
    levels : float64 [n], ascending, at most `count`
    labels : list of str
        Spacings in angstrom, or angles.
    """
    if geometry.wavelength is not None:
        values, nice = geometry.q(), 2 * np.pi / _SPACINGS
        names = [f"{spacing:g} Å" for spacing in _SPACINGS]
    else:
        values, nice = np.degrees(geometry.two_theta()), _ANGLES
        names = [f"{angle:g}°" for angle in _ANGLES]
    low, high = float(np.nanmin(values)), float(np.nanmax(values))
    wanted = low + (high - low) * (np.arange(count) + 0.8) / (count + 0.4)
    chosen = {int(np.argmin(abs(nice - value))) for value in wanted}
    inside = sorted((i for i in chosen if low < nice[i] < high), key=lambda i: nice[i])
    return values, nice[inside], [names[i] for i in inside]


def label_place(points: NDArray[Any], shape: tuple[int, int], beam: tuple[float, float]) -> tuple[float, float] | None:
    """(fast, slow) of the point of a ring [n, 2] most to the upper right of the beam, not near a border."""
    margin = 0.03 * min(shape)
    inside = (points[:, 0] > margin) & (points[:, 0] < shape[1] - 2 * margin)
    inside &= (points[:, 1] > margin) & (points[:, 1] < shape[0] - margin)
    points = points[inside]
    if not len(points):
        return None
    away = points - (beam[1], beam[0])
    cosine = (away[:, 0] - away[:, 1]) / np.maximum(np.hypot(*away.T), 1e-9)
    best = points[np.argmax(cosine)]
    return float(best[0]), float(best[1])
