"""Standard profiles of streaks, f^2 as a function of the distance from the streak's line, and pixels of streaks.

With e = distance in px and w = (width + 1) / 2, all 0 from |e| = w on:

    tophat   clip(w - |e|, 0, 1)
    linear   1 - |e| / w
    quad     1 - (e / w)^2
    gauss    (exp(-4 (e / w)^2) - exp(-4)) / (1 - exp(-4))

Definitions of cbclib 0.7.2, with one difference: there the line runs between end points rounded to whole pixels, here
where it is said to run. The profile of a pixel is therefore other than cbclib's by up to the slope times 0.7 px; the
same streak moved by a part of a pixel moves its profile.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from crystint.arrays import Floats
from crystint.errors import SettingError, ShapeError

__all__ = ["PROFILES", "StreakPixels", "standard_profile", "streak_pixels"]

_EDGE = float(np.exp(-4.0))

PROFILES: dict[str, Callable[[Floats, Floats], Floats]] = {
    "tophat": lambda e, w: np.minimum(w - e, 1.0),
    "linear": lambda e, w: 1.0 - e / w,
    "quad": lambda e, w: 1.0 - (e / w) ** 2,
    "gauss": lambda e, w: (np.exp(-4.0 * (e / w) ** 2) - _EDGE) / (1.0 - _EDGE),
}
"""By name: f^2 at distances e >= 0 for half widths w; below 0 stands for 0."""
_END = 0.5
"""px beyond an end that still belong to the streak: half a pixel is on it there."""
_BLOCK = 4096
"""Streaks that are worked on at a time."""


class StreakPixels(NamedTuple):
    """Pixels with a profile above 0, by streak, y and x; a pixel comes once in a streak. Made by `streak_pixels`."""

    streak: NDArray[np.int64]
    """int64 [n]: number of the streak in what was given"""
    x: NDArray[np.int32]
    """int32 [n], px along the fast axis"""
    y: NDArray[np.int32]
    """int32 [n], px along the slow axis"""
    profile: Floats
    """float64 [n], above 0 to 1: f^2"""


def standard_profile(name: str, distance: ArrayLike, width: ArrayLike) -> Floats:
    """f^2 at `distance` (px) from the line of a streak of `width` (px): float64, shape of the two together.

    Parameters
    ----------
    name : str
        tophat, linear, quad or gauss.
    distance : float
        px.
    width : float
        px.

    Returns
    -------
    float64

    Raises
    ------
    SettingError
        For another name than tophat, linear, quad or gauss, or a width that is negative or no number.

    Examples
    --------
    >>> from crystint import cbc
    >>> cbc.standard_profile("tophat", [0.0, 5.0], 4.0)
    array([1., 0.])
    """
    if name not in PROFILES:
        raise SettingError(f"profile is {name!r}, expected one of {', '.join(PROFILES)}")
    wide = np.asarray(width, np.float64)
    wrong = ~((wide >= 0.0) & (wide < np.inf))
    if wrong.any():
        raise SettingError(f"width is {wide[wrong].flat[0]}, expected pixels, 0 or above")
    return np.asarray(np.maximum(PROFILES[name](np.abs(np.asarray(distance, np.float64)), (wide + 1.0) / 2.0), 0.0))


def streak_pixels(
    x0: ArrayLike,
    y0: ArrayLike,
    x1: ArrayLike,
    y1: ArrayLike,
    width: ArrayLike,
    profile: str,
    shape: tuple[int, int],
) -> StreakPixels:
    """The pixels of streaks from (x0, y0) to (x1, y1) on a detector of `shape` (slow, fast).

    Parameters
    ----------
    x0, y0, x1, y1 : float, or float [streaks]
        Ends in px, x fast and y slow; a whole number is the middle of a pixel.
    width : float, or float [streaks]
        px.
    profile : str
        tophat, linear, quad or gauss.
    shape : (int, int)
        Pixels outside are left out.

    Returns
    -------
    StreakPixels
        Pixels nearer than (width + 1) / 2 to the line whose foot on it lies between the ends, or up to half a pixel
        beyond. The profile does not change along a streak.

    Raises
    ------
    SettingError
        As `standard_profile`; for ends that are not finite or are the same place, which gives no direction.
    ShapeError
        When the arrays do not go together.

    Examples
    --------
    >>> from crystint import cbc
    >>> pixels = cbc.streak_pixels(2.0, 5.0, 12.0, 5.0, 2.0, "gauss", (10, 20))
    >>> int(pixels.x.min()), int(pixels.x.max()), pixels.profile.dtype
    (2, 12, dtype('float64'))
    """
    try:
        ends = np.broadcast_arrays(*(np.atleast_1d(np.asarray(v, np.float64)) for v in (x0, y0, x1, y1, width)))
    except ValueError as error:
        raise ShapeError(f"ends and widths of streaks do not have the same number ({error})") from error
    table = np.stack(ends)
    if table.ndim != 2:
        raise ShapeError(f"ends of streaks are {ends[0].shape}, expected one number each, or [streaks]")
    standard_profile(profile, 0.0, table[4])
    length = np.hypot(table[2] - table[0], table[3] - table[1])
    wrong = ~((length > 0.0) & (length < np.inf))
    if wrong.any():
        number = int(np.argmax(wrong))
        raise SettingError(f"streak {number} has the ends {table[:4, number]}, expected two places that are finite")
    parts = [
        _pixels(table[:, start : start + _BLOCK], start, profile, shape) for start in range(0, table.shape[1], _BLOCK)
    ]
    return StreakPixels(*(np.concatenate(each) for each in zip(*parts))) if parts else _none()


def _pixels(table: Floats, first: int, profile: str, shape: tuple[int, int]) -> StreakPixels:
    """Steps along the axis that a streak is nearer to, and across it as far as the width can reach."""
    steep = np.abs(table[3] - table[1]) > np.abs(table[2] - table[0])
    a0, b0, a1, b1 = (
        np.where(steep, table[first], table[second]) for first, second in ((1, 0), (0, 1), (3, 2), (2, 3))
    )
    half = (table[4] + 1.0) / 2.0
    slope = (b1 - b0) / (a1 - a0)
    reach = half * np.sqrt(1.0 + slope**2)  # across, along the other axis
    size = np.where(steep, shape[0], shape[1])
    low = np.maximum(np.ceil(np.minimum(a0, a1) - half - _END), 0).astype(np.int64)
    high = np.minimum(np.floor(np.maximum(a0, a1) + half + _END), size - 1).astype(np.int64)
    streak, step = _counted(np.maximum(high - low + 1, 0))
    along = low[streak] + step
    line = b0[streak] + slope[streak] * (along - a0[streak])
    bottom = np.ceil(line - reach[streak]).astype(np.int64)
    column, step = _counted(np.floor(line + reach[streak]).astype(np.int64) - bottom + 1)
    streak, along, across = streak[column], along[column], bottom[column] + step
    x, y = np.where(steep[streak], across, along), np.where(steep[streak], along, across)

    direction = np.stack([table[2] - table[0], table[3] - table[1]])
    length = np.hypot(*direction)
    dx, dy = direction[:, streak] / length[streak]
    from_x, from_y = x - table[0, streak], y - table[1, streak]
    foot = from_x * dx + from_y * dy
    value = standard_profile(profile, from_x * dy - from_y * dx, table[4, streak])
    keep = (value > 0.0) & (foot >= -_END) & (foot <= length[streak] + _END)
    keep &= (x >= 0) & (x < shape[1]) & (y >= 0) & (y < shape[0])
    streak, x, y, value = streak[keep], x[keep], y[keep], value[keep]
    order = np.lexsort((x, y, streak))
    return StreakPixels(
        first + streak[order], x[order].astype(np.int32), y[order].astype(np.int32), np.asarray(value[order])
    )


def _counted(number: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Which, and how manieth, for `number` things of each."""
    which = np.repeat(np.arange(len(number)), number)
    return which, np.arange(len(which)) - np.repeat(np.cumsum(number) - number, number)


def _none() -> StreakPixels:
    return StreakPixels(np.zeros(0, np.int64), np.zeros(0, np.int32), np.zeros(0, np.int32), np.zeros(0))
