"""Frames of powder rings whose centre and counts are known."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from crystint.arrays import Floats
from crystint.errors import SettingError

__all__ = ["SimulatedFrame", "simulate_frame"]

_NOISE, _HOT = 6, 7


@dataclass(frozen=True, eq=False)
class SimulatedFrame:
    """A frame of powder rings. Made by `simulate_frame`."""

    frame: NDArray[np.int32]
    """int32 [slow, fast]: counts; 0 in gaps"""
    mask: NDArray[np.uint32]
    """uint32 [slow, fast]: 0 = good; hot pixels are not in it"""
    expected: Floats
    """float64 [slow, fast]: counts expected, without hot pixels"""
    hot: NDArray[np.bool_]
    """bool [slow, fast]"""
    center: tuple[float, float]
    """(slow, fast), px from the outer corner"""


def simulate_frame(
    shape: tuple[int, int] = (300, 320),
    center: tuple[float, float] = (150.3, 161.8),
    radii: ArrayLike = (60.0, 100.0),
    *,
    height: float | ArrayLike = 50.0,
    width: float = 2.0,
    background: float = 100.0,
    curves: ArrayLike | None = None,
    gap: int = 0,
    hot: int = 0,
    seed: int = 0,
) -> SimulatedFrame:
    """Poisson counts of powder rings on a background that falls off with the radius.

    Parameters
    ----------
    shape : (slow, fast)
    center : (slow, fast)
        px from the outer corner.
    radii : float [rings]
        px.
    height : float or float [rings]
        Counts of each ring at its top.
    width : float
        Standard deviation across the ring, px.
    background : float
        Counts at the centre; half of that at the radius of the largest ring.
    curves : float [rings, n], optional
        What each ring is multiplied by around itself, from the fast axis towards the slow one (`PolarGrid`), linear
        between samples.
    gap : int
        Width of a cross of masked pixels, px, and of a beam stop six times that; 0 = none.
    hot : int
        So many pixels, anywhere, with counts up to 10^6.
    seed : int

    Returns
    -------
    SimulatedFrame
        The `frame`, its `mask` (nonzero = masked) and the truth.

    Raises
    ------
    ShapeError, SettingError
        When a setting is impossible.

    Examples
    --------
    >>> import numpy as np
    >>> from crystint import correlate
    >>> data = correlate.simulate_frame((150, 160), center=(75.3, 81.8), radii=(30.0, 50.0), seed=1)
    >>> data.frame.shape, data.frame.dtype, bool(data.mask.any())
    ((150, 160), dtype('int32'), False)
    """
    radius = np.atleast_1d(np.asarray(radii, dtype=np.float64))
    top = np.broadcast_to(np.asarray(height, dtype=np.float64), radius.shape)
    if not radius.size or not (radius > 0.0).all() or width <= 0.0 or background < 0.0 or gap < 0 or hot < 0:
        raise SettingError("radii and width must be above 0; background, gap and hot must be 0 or more")
    slow, fast = np.indices(shape)
    ds, df = slow + 0.5 - center[0], fast + 0.5 - center[1]
    distance, phi = np.hypot(ds, df), np.mod(np.arctan2(ds, df), 2.0 * np.pi)
    expected = background / (1.0 + (distance / radius.max()) ** 2)
    for i, (r, counts) in enumerate(zip(radius, top)):
        ring = counts * np.exp(-0.5 * ((distance - r) / width) ** 2)
        if curves is not None:
            line = np.asarray(curves, dtype=np.float64)[i]
            around = 2.0 * np.pi * np.arange(len(line) + 1) / len(line)
            ring *= np.interp(phi, around, np.append(line, line[0]))
        expected += ring
    counts = np.random.default_rng([seed, _NOISE]).poisson(np.maximum(expected, 0.0))
    masked = np.zeros(shape, np.bool_)
    if gap:
        masked[shape[0] // 3 : shape[0] // 3 + gap] = True
        masked[:, shape[1] // 3 : shape[1] // 3 + gap] = True
        masked |= distance < 6 * gap
    bad = np.zeros(shape, np.bool_)
    random = np.random.default_rng([seed, _HOT])
    where = random.choice(bad.size, size=min(hot, bad.size), replace=False)
    bad.flat[where] = True
    counts.flat[where] = random.integers(1000, 1_000_000, len(where))
    bad &= ~masked
    counts[masked] = 0
    return SimulatedFrame(counts.astype(np.int32), masked.astype(np.uint32), expected, bad, center)
