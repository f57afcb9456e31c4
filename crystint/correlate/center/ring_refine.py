"""Rings of a frame, from a first idea to the fit: lines, points, shape, and again with the better shape."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Generic

import numpy as np
from numpy.typing import NDArray

from crystint.arrays import Floats
from crystint.correlate.center.ring_points import RingLine, RingPoints, measure_line, ring_points
from crystint.correlate.center.ring_search import annuli
from crystint.correlate.center.shape_fit import FittedShape, Shape, fit_shape
from crystint.errors import SettingError

__all__ = ["NO_RING", "Refined", "refine_rings"]


NO_RING = (
    "no ring stands out of the frame; give start= or radius= nearer to one, width= for a broad ring, or check the mask "
    "(0 = good)"
)
_SIGNIFICANT = 4.0
"""height of a line over its standard error, below which it does not take part"""
_ASKED = 3.0
"""the same of a ring that was asked for: where one place is looked at, chance finds less"""
_ARC = 8.0
"""px of arc per sector, as far as `_SECTORS` lets it"""
_SECTORS = (16, 90)
_MARGIN, _MARGIN_SHARE = 6.0, 0.05
"""px, and share of the radius, by which a ring may move while it is fitted"""


@dataclass(frozen=True, slots=True, eq=False)
class Refined(Generic[Shape]):
    """The last cycle of a refinement."""

    fitted: FittedShape[Shape]
    lines: tuple[RingLine, ...]
    points: tuple[RingPoints, ...]
    shift: float
    """px that the centre moved in the last cycle"""


def refine_rings(
    rest: Floats,
    level: Floats,
    good: NDArray[np.bool_],
    shape: Shape,
    lines: Sequence[RingLine],
    *,
    expected: Callable[[Shape, Sequence[RingLine]], Floats] | None = None,
    cycles: int = 15,
) -> Refined[Shape]:
    """Measure points on the rings and fit the shape to them until the centre stays within 3 % of its error.

    Parameters
    ----------
    rest, level : float64 [slow, fast]
        Counts minus the local level, and that level.
    good : bool [slow, fast]
    shape : RingShape
        Where to start; its family is kept.
    lines : RingLine per ring
    expected : function of a shape and of lines giving float64 [lines], px
        Radii of a calibrant; None = radii are fitted.

    Raises
    ------
    SettingError
        When no ring is left, or the points do not fix the shape.
    """
    rows, columns = _near(shape, good, lines)
    slow, fast, counts = rows + 0.5, columns + 0.5, (rest + level)[rows, columns]
    below, of_sector = level[rows, columns], np.full(len(rows), np.nan)
    refined: Refined[Shape] | None = None
    for cycle in range(cycles):
        radius = shape.radius(slow, fast)
        measured: list[RingLine] = []
        lost: list[RingLine] = []
        points: list[RingPoints] = []
        for line in annuli(lines):
            here = np.flatnonzero((radius >= line.low) & (radius < line.high))
            # above the background of the sectors as soon as it is known: that of the frame contains part of the ring;
            # but a ring that was asked for may be too weak to be told from a sector's background
            with_level = here[np.isfinite(of_sector[here])]
            own = not line.asked and len(with_level) > 0.7 * len(here)
            seen, under = (with_level, of_sector) if own else (here, below)
            better = measure_line(radius[seen], counts[seen] - under[seen], line)
            if better is None or not better.significance > (_ASKED if line.asked else _SIGNIFICANT):
                lost.append(line)
                continue
            better = replace(better, background=better.background + float(np.median(under[seen])))
            azimuth = np.arctan2(slow[here] - shape.center[0], fast[here] - shape.center[1])
            sectors = int(np.clip(2 * np.pi * better.radius / _ARC, *_SECTORS))
            on_ring, of_sector[here] = ring_points(shape, better, radius[here], azimuth, counts[here], sectors)
            if len(on_ring.slow) >= 5:
                measured.append(better)
                points.append(on_ring)
        if not measured:
            raise SettingError(NO_RING)
        want = None if expected is None else (lambda at, among=tuple(measured): expected(at, among))
        fitted = fit_shape(shape, points, np.array([line.radius for line in measured]), expected=want)
        shift = float(np.hypot(*np.subtract(fitted.shape.center, shape.center)))
        refined = Refined(fitted, tuple(measured), tuple(points), shift)
        shape = fitted.shape
        # the profile knows best where a weak ring is to be looked for: the mean of its sectors may lie far off
        lines = measured + lost
        error = float(np.sqrt(fitted.covariance[0, 0] + fitted.covariance[1, 1]))
        if cycle > 1 and shift < max(1e-3, 0.03 * error):
            break
    if refined is None:
        raise SettingError(f"cycles is {cycles!r}, expected at least 1")
    return refined


def _near(
    shape: Shape, good: NDArray[np.bool_], lines: Sequence[RingLine]
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Good pixels that a ring may come to lie on during the fit: rows and columns."""
    rows, columns = np.nonzero(good)
    radius = shape.radius(rows + 0.5, columns + 0.5)
    near = np.zeros(len(rows), bool)
    for line in annuli(lines):
        margin = _MARGIN + _MARGIN_SHARE * line.radius
        near |= (radius > line.low - margin) & (radius < line.high + margin)
    return rows[near], columns[near]
