"""Centre, radii, ellipse or tilt from the powder rings of a frame."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from crystint.arrays import Floats
from crystint.correlate.center.circles import Ellipse, RingShape, Tilt, place_on_ring
from crystint.correlate.center.coarse_center import RingProfileScan, sharper_elsewhere
from crystint.correlate.center.contrast import good_pixels
from crystint.correlate.center.ring_points import RingLine, RingPoints
from crystint.correlate.center.ring_refine import NO_RING, Refined, refine_rings
from crystint.correlate.center.ring_search import GUESSED, RingCandidates, find_lines, search_rings
from crystint.correlate.defaults import REACH
from crystint.errors import GeometryError, SettingError
from crystint.html import html_table
from crystint.model.geometry import Geometry

__all__ = ["Rings", "check_guesses", "find_rings", "fit_rings", "rings_of"]


_SLACK = 2.0
"""px by which a centre may lie farther away than was asked for: the step of the search"""


@dataclass(frozen=True, slots=True, eq=False)
class Rings:
    """Powder rings of one frame.

    Examples
    --------
    >>> import numpy as np
    >>> from crystint import correlate
    >>> data = correlate.simulate_frame((150, 160), center=(75.3, 81.8), radii=(30.0, 50.0), seed=1)
    >>> rings = correlate.fit_rings(data.frame, data.mask)
    >>> bool(np.abs(np.subtract(rings.center, data.center)).max() < 0.1), len(rings.radius)
    (True, 2)
    """

    shape: RingShape
    """`Ellipse` (a circle without strain) or `Tilt`"""
    radius: Floats
    """float64 [rings]: px, ascending"""
    radius_error: Floats
    """float64 [rings]: standard error, px"""
    width: Floats
    """float64 [rings]: standard deviation across the ring, px"""
    contrast: Floats
    """float64 [rings]: height of the ring over the background below it"""
    covariance: Floats
    """float64 [p, p]: of `shape.values` (centre slow, centre fast, ...)"""
    scatter: Floats
    """float64 [rings]: how much farther points lie from the ring than their errors say, at least 1"""
    disagreement: float
    """by how much the errors were enlarged because rings, or arcs of a ring, disagree; at least 1"""
    points: tuple[RingPoints, ...]
    """the points that were fitted, per ring"""

    def __repr__(self) -> str:
        (slow, fast), (slow_error, fast_error) = self.center, self.center_error
        count = len(self.radius)
        return (
            f"<Rings: {count} ring{'' if count == 1 else 's'}, centre {slow:.3f} ± {slow_error:.3f}, "
            f"{fast:.3f} ± {fast_error:.3f} px (slow, fast)>"
        )

    def _repr_html_(self) -> str:
        (slow, fast), (slow_error, fast_error) = self.center, self.center_error
        facts = {
            "shape": type(self.shape).__name__,
            "centre, slow (px)": f"{slow:.3f} ± {slow_error:.3f}",
            "centre, fast (px)": f"{fast:.3f} ± {fast_error:.3f}",
        }
        for number, (radius, error) in enumerate(zip(self.radius, self.radius_error, strict=True)):
            facts[f"radius {number} (px)"] = f"{radius:.3f} ± {error:.3f}"
        return html_table("Rings", facts)

    @property
    def center(self) -> tuple[float, float]:
        """(slow, fast), px from the outer corner: the centre of the first pixel is (0.5, 0.5)."""
        return self.shape.center

    @property
    def center_error(self) -> tuple[float, float]:
        """Standard errors of the centre (slow, fast), px."""
        return float(np.sqrt(self.covariance[0, 0])), float(np.sqrt(self.covariance[1, 1]))

    def nearest(self, radius: float) -> int:
        """Number of the ring nearest to a radius in px."""
        return int(np.argmin(np.abs(self.radius - radius)))

    def outline(self, ring: int, points: int = 361) -> tuple[Floats, Floats]:
        """A closed line along a ring: slow, fast, px; float64 [points] each."""
        return place_on_ring(self.shape, self.radius[ring], np.linspace(0.0, 2 * np.pi, points))

    def geometry(self, template: Geometry) -> Geometry:
        """The template with this centre (and tilt): its shape, pixel size, distance and wavelength are kept.

        Raises
        ------
        GeometryError
            When an ellipse was fitted, which is no geometry, or circles on pixels that are not square.
        """
        return self.shape.to_geometry(template)


def fit_rings(
    frame: NDArray[Any],
    mask: ArrayLike | None = None,
    *,
    start: tuple[float, float] | Geometry | None = None,
    radius: float | Sequence[float] | None = None,
    shape: Literal["circle", "ellipse", "tilt"] = "circle",
    reach: float = REACH,
    width: float | None = None,
    most: int = 12,
) -> Rings:
    """Find the powder rings of a frame, and their common centre.

    First the centre about which the radial profile is sharpest, anywhere within `reach` of the start, along circles or
    along the cones of the tilt that the start has; the contrast is taken against the local median and clipped, so
    neither background nor hot pixels decide. Then the position of each ring in sectors of azimuth, each with its own
    strength and above its own background, and a robust fit of the shape to these. The second step is repeated with the
    better shape. All rings that stand out take part in the centre, each by its error; the errors grow where rings
    disagree.

    Parameters
    ----------
    frame : int, uint or float [slow, fast]
        Counts, at least about one per pixel (medians are zero below: add frames up first). Pixels that the frame marks
        as unusable (NaN, negative, all ones) take no part.
    mask : bool, int [slow, fast] or None
        0 = good.
    start : (slow, fast) or Geometry
        First idea of the centre, px from the outer corner; None = the middle of the frame. A geometry gives its direct
        beam, and is needed for the shape "tilt", which starts from its tilt and keeps its distance along the beam.
    radius : float or floats, px
        Rings that must be looked for (within 10 px), besides those that stand out by themselves.
    shape : "circle", "ellipse" or "tilt"
    reach : float
        How far the start may be off, px.
    width : float
        Full width at half height of the broadest rings, px; None = up to about 8 px, more when nothing is found.
    most : int
        Rings that take part at most.

    Returns
    -------
    Rings

    Raises
    ------
    ShapeError, DTypeError
        When frame or mask are no such arrays.
    SettingError
        When a setting is impossible, no pixel is good, no ring stands out, or those that do lie about a place farther
        than `reach` from the start.
    GeometryError
        When a tilt is asked for without a geometry.

    Examples
    --------
    >>> import numpy as np
    >>> from crystint import correlate
    >>> data = correlate.simulate_frame((150, 160), center=(75.3, 81.8), radii=(30.0, 50.0), seed=1)
    >>> rings = correlate.fit_rings(data.frame, data.mask)
    >>> [round(float(radius)) for radius in rings.radius]
    [30, 50]
    """
    good = good_pixels(frame, mask)
    if not reach > 0:
        raise SettingError(f"reach is {reach!r}, expected px above 0")
    if shape not in ("circle", "ellipse", "tilt"):
        raise SettingError(f"shape is {shape!r}, expected 'circle', 'ellipse' or 'tilt'")
    if shape == "tilt" and (not isinstance(start, Geometry) or start.panels is not None):
        raise GeometryError("a tilt needs start= with a Geometry without panels: pixel size and distance set its scale")
    values = np.where(good, frame, 0).astype(np.float64)
    middle = _start(start, frame.shape)
    guesses = np.atleast_1d(np.asarray([] if radius is None else radius, dtype=np.float64))
    begin = Tilt(start, fit_tilt=False) if isinstance(start, Geometry) and shape == "tilt" else Ellipse(middle)
    check_guesses(guesses, good, begin, reach)
    return find_rings(values, good, begin, shape != "circle", reach=reach, width=width, guesses=guesses, most=most)


def check_guesses(guesses: Floats, good: NDArray[np.bool_], begin: Ellipse | Tilt, reach: float) -> None:
    """SettingError where a ring is to be looked for that no good pixel can be on."""
    if not np.all((guesses > 0) & (guesses < np.inf)):
        raise SettingError(f"radius is {guesses.tolist()}, expected px above 0")
    rows, columns = np.nonzero(good)
    farthest = float(np.max(begin.radius(rows + 0.5, columns + 0.5), initial=0.0)) + np.sqrt(2.0) * reach + GUESSED
    if np.any(guesses > farthest):
        raise SettingError(
            f"there can be no ring of radius {float(guesses.max()):g} px: no good pixel lies farther than "
            f"{farthest:.0f} px from a centre within reach of ({begin.center[0]:.1f}, {begin.center[1]:.1f})"
        )


def find_rings(
    values: Floats,
    good: NDArray[np.bool_],
    begin: Ellipse | Tilt,
    bend: bool,
    *,
    reach: float,
    width: float | None,
    guesses: Floats,
    most: int,
) -> Rings:
    """As `fit_rings`: about circles, or the cones of a tilt that is kept, and with `bend` a strain or tilt is fitted.

    Raises
    ------
    SettingError
        When no ring stands out, or the rings lie about a place farther than `reach` from the start.
    """
    if most < 1:
        raise SettingError(f"most is {most!r}, expected at least 1")
    failed: SettingError | None = None
    for candidates in search_rings(values, good, begin, reach, width, guesses):
        # what stands out of the profile may be no ring after all: then the next candidates have their turn
        for first in range(0, max(len(candidates.lines), 1), most):
            lines = candidates.lines[first : first + most] + candidates.asked
            try:
                refined = _refine(values, good, candidates, lines, bend)
            except SettingError as error:
                failed = failed or error
                continue
            _check_reach(refined.fitted.shape.center, begin.center, reach)
            _check_elsewhere(candidates, refined, good, reach)
            return rings_of(refined)
    raise failed or SettingError(NO_RING)


def _refine(
    values: Floats, good: NDArray[np.bool_], candidates: RingCandidates, lines: Sequence[RingLine], bend: bool
) -> Refined[Any]:
    refined: Refined[Any] = refine_rings(values - candidates.level, candidates.level, good, candidates.shape, lines)
    if bend:
        first: Ellipse | Tilt = refined.fitted.shape
        free = replace(first, fit_tilt=True) if isinstance(first, Tilt) else replace(first, strain=(0.0, 0.0))
        refined = refine_rings(values - candidates.level, candidates.level, good, free, refined.lines)
    return refined


def _check_reach(center: tuple[float, float], start: tuple[float, float], reach: float) -> None:
    away = float(np.max(np.abs(np.subtract(center, start))))
    if not away <= reach + _SLACK:
        raise SettingError(
            f"the rings that stand out lie about ({center[0]:.1f}, {center[1]:.1f}), {away:.0f} px from the start, "
            f"which may be {reach:g} px off: give a better start (its tilt as well), radius=, or a larger reach="
        )


def _check_elsewhere(candidates: RingCandidates, refined: Refined[Any], good: NDArray[np.bool_], reach: float) -> None:
    """SettingError where the rings of the frame as a whole lie about another place: more rings, or by far better."""
    shape, smooth = refined.fitted.shape, candidates.smooth
    other = sharper_elsewhere(candidates.contrast, good, shape, reach, smooth=smooth)
    if other is None:
        return
    place, by_far = other
    fine = RingProfileScan.of(candidates.contrast, good, good.size, shape)
    if by_far or len(find_lines(fine, place, smooth=smooth)) > len(refined.lines):
        raise SettingError(
            f"what looks like rings about ({shape.center[0]:.1f}, {shape.center[1]:.1f}) is contradicted by the rest "
            f"of the frame, whose rings lie about ({place[0]:.0f}, {place[1]:.0f}): give a start nearer to that"
        )


def _start(start: tuple[float, float] | Geometry | None, shape: tuple[int, ...]) -> tuple[float, float]:
    if start is None:
        return 0.5 * shape[0], 0.5 * shape[1]
    slow, fast = start.direct_beam if isinstance(start, Geometry) else start
    if not (np.isfinite(slow) and np.isfinite(fast)):
        raise SettingError(f"start is ({slow}, {fast}), expected two finite numbers, (slow, fast) px")
    return float(slow), float(fast)


def rings_of(refined: Refined[Any]) -> Rings:
    """The rings of the last cycle of a refinement, by radius."""
    fitted = refined.fitted
    count = len(fitted.shape.values)
    order = np.argsort(fitted.radius)
    error = np.sqrt(np.diag(fitted.covariance))[count:]
    if not len(error):  # the radii of a calibrant are as sure as its distance
        along = isinstance(fitted.shape, Tilt) and fitted.shape.fit_distance
        error = fitted.radius * float(np.sqrt(fitted.covariance[-1, -1])) if along else np.zeros(len(fitted.radius))
    points = tuple(replace(refined.points[i], sigma=refined.points[i].sigma * fitted.scatter[i]) for i in order)
    return Rings(
        fitted.shape,
        fitted.radius[order],
        error[order],
        np.array([refined.lines[i].sigma for i in order]),
        np.array([refined.lines[i].contrast for i in order]),
        fitted.covariance[:count, :count],
        fitted.scatter[order],
        fitted.disagreement,
        points,
    )
