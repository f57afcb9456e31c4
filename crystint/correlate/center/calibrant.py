"""Geometry of a detector from the rings of a calibrant whose q are known."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from crystint.arrays import Floats
from crystint.correlate.center.circles import Tilt, tilted
from crystint.correlate.center.contrast import good_pixels
from crystint.correlate.center.ring_fit import Rings, check_guesses, find_rings, rings_of
from crystint.correlate.center.ring_points import RingLine, RingPoints
from crystint.correlate.center.ring_refine import refine_rings
from crystint.correlate.center.ring_search import GUESSED, local_rest
from crystint.correlate.defaults import REACH
from crystint.errors import GeometryError, SettingError
from crystint.model.geometry import Geometry

__all__ = ["Calibrated", "fit_calibrant"]


_NEAR = 0.004
"""relative distance within which a ring is one of the calibrant's, besides its width"""
_LEAST = 16
"""good pixels within 1 px of a ring that can be looked for"""


@dataclass(frozen=True, slots=True, eq=False)
class Calibrated:
    """A refined geometry, and how well it is known. Made by `fit_calibrant`."""

    geometry: Geometry
    """the refined geometry"""
    beam_error: tuple[float, float]
    """standard errors of `geometry.direct_beam` (slow, fast), px"""
    rotation_error: tuple[float, float]
    """standard errors of rot1 and rot2, rad; 0 where not refined"""
    distance_error: float
    """standard error of the distance along the beam, m; 0 where not refined"""
    q: Floats
    """float64 [rings]: those of the calibrant's rings that were used, 1/angstrom"""
    residual: Floats
    """float64 [rings]: mean radius of the ring on a plane across the beam, minus the calibrant's, px"""
    missing: Floats
    """float64 [m]: q that were asked for and not found, 1/angstrom"""
    missing_radius: Floats
    """float64 [m]: where these should be, px on a plane across the beam; NaN where no good pixels are"""
    disagreement: float
    """by how much the errors were enlarged because rings, or arcs of a ring, disagree; at least 1"""
    rings: Rings
    """the same as rings: of the shape `Tilt`, with the radii of the calibrant"""


def fit_calibrant(
    frame: NDArray[Any],
    geometry: Geometry,
    q: ArrayLike,
    mask: ArrayLike | None = None,
    *,
    tilt: bool = True,
    distance: bool = True,
    scale: float = 0.1,
    reach: float = REACH,
    radius: float | Sequence[float] | None = None,
    width: float | None = None,
    most: int = 20,
) -> Calibrated:
    """Refine beam centre, tilt and distance together on the rings of a calibrant.

    Rings are found as `fit_rings` finds them, told apart by the distance that explains most of them, and all points of
    all rings fitted at once: distance_along_beam * tan(2 theta) of each point is that of its q. Rings of the calibrant
    that do not stand out are looked for where the others, or the start, say that they are.

    Parameters
    ----------
    frame : int, uint or float [slow, fast], counts
    geometry : Geometry
        Start: one plane, with a wavelength. rot3 is kept, as rings do not see it.
    q : float [n]
        Momentum transfers of the calibrant's rings, 1/angstrom (2 pi / d).
    mask : bool, int [slow, fast] or None
        0 = good.
    tilt, distance : bool
        Whether to refine rot1 and rot2, and the distance.
    scale : float
        How far the distance may be off, relative; a fixed distance may be off by 1 %.
    reach, radius, width, most
        As in `fit_rings`; a radius is on a plane across the beam.

    Returns
    -------
    Calibrated
        The refined `geometry`, and standard errors of what was refined.

    Raises
    ------
    GeometryError
        When the geometry has no wavelength, or panels, or another shape than the frame.
    SettingError
        When no q is usable, or fewer of its rings are found than the parameters need (one; two for a tilt).
    ShapeError, DTypeError
        When frame or mask are no such arrays.

    Examples
    --------
    >>> import numpy as np
    >>> import crystint
    >>> from crystint import correlate
    >>> geometry = crystint.Geometry((300, 320), (1e-4, 1e-4), 0.05, (150.3, 161.8), wavelength=1.0)
    >>> q = geometry.q_at(150.3, 161.8 + np.array([60.0, 100.0, 130.0]))  # of rings at these radii
    >>> data = correlate.simulate_frame((300, 320), geometry.beam_center, (60.0, 100.0, 130.0), seed=1)
    >>> fit = correlate.fit_calibrant(data.frame, geometry, q, tilt=False)
    >>> bool(abs(fit.geometry.distance / 0.05 - 1) < 2e-3)
    True
    """
    if geometry.panels is not None:
        raise GeometryError("this geometry has panels; a calibrant is fitted on one plane")
    if geometry.wavelength is None:
        raise GeometryError("a calibrant needs a wavelength, and this geometry has none: give wavelength= in angstrom")
    if geometry.shape != frame.shape:
        raise GeometryError(f"the frame is {frame.shape}, the geometry is of {geometry.shape}")
    momenta = np.unique(np.asarray(q, dtype=np.float64))
    sine = momenta * geometry.wavelength / (4 * np.pi)
    if not len(momenta) or not np.all((sine > 0) & (sine < np.sqrt(0.5))):
        raise SettingError(f"q is {q!r}, expected numbers above 0 below {np.sqrt(8) * np.pi / geometry.wavelength:.3f}")
    tangent = np.tan(2 * np.arcsin(sine))
    good = good_pixels(frame, mask)
    values = np.where(good, frame, 0).astype(np.float64)
    begin = Tilt(geometry, fit_tilt=False)
    hints = np.atleast_1d(np.asarray([] if radius is None else radius, dtype=np.float64))
    check_guesses(hints, good, begin, reach)
    allowed = scale if distance else 0.01
    plane = tangent / geometry.pixel_size[0]

    def told_apart(rings: Rings) -> tuple[Tilt, Floats, float, NDArray[np.intp]]:
        shape = rings.shape
        assert isinstance(shape, Tilt)
        places = _on_plane(shape, rings.points)
        return shape, places, *_tell_apart(places, rings.width, shape.geometry.distance_along_beam * plane, allowed)

    try:
        first = find_rings(values, good, begin, tilt, reach=reach, width=width, guesses=hints, most=most)
        shape, first_radius, factor, owner = told_apart(first)
        unknown = not np.any(owner >= 0)
    except SettingError:
        unknown = True
    if unknown:  # none stands out by itself: look where they should be
        guesses = np.append(hints, _seen(begin, geometry.distance_along_beam * plane, good))
        first = find_rings(values, good, begin, False, reach=reach, width=width, guesses=guesses, most=most)
        shape, first_radius, factor, owner = told_apart(first)
    used = np.flatnonzero(owner >= 0)
    none = (
        f"of the rings found at {np.round(first_radius, 1).tolist()} px fit the calibrant's; are wavelength and "
        f"distance right within {100 * allowed:g} %?" + " A tilt needs two rings." * tilt
    )
    if not len(used):
        raise SettingError(f"0 {none}")
    rest, level = local_rest(values, good, width)
    rot1, rot2, _ = shape.geometry.rotation
    far = shape.geometry.distance_along_beam * (factor if distance else 1.0)
    trial = Tilt(tilted(shape.geometry, shape.center, rot1, rot2, far), fit_distance=distance, fit_tilt=tilt)
    # the ring coordinate is a length on the detector: another distance hardly changes it
    asked = np.any(np.abs(first_radius[:, None] - hints[None]) <= GUESSED, axis=1)
    lines = [
        RingLine(float(first_radius[i]), float(first.width[i]), 0.0, 0.0, asked=bool(asked[i]), index=int(owner[i]))
        for i in used
    ]
    # weak rings of the calibrant are looked for where the others say that they are
    typical = max(1.5, float(np.median(first.width[used])))
    weak = np.isin(far * plane, _seen(trial, far * plane, good)) & ~np.isin(np.arange(len(momenta)), owner[used])
    lines += [RingLine(float(far * plane[i]), typical, 0.0, 0.0, index=int(i)) for i in np.flatnonzero(weak)]

    def expected(at: Tilt, among: Sequence[RingLine]) -> Floats:
        return np.asarray(at.geometry.distance_along_beam * plane[[line.index for line in among]])

    while True:
        try:
            refined = refine_rings(rest, level, good, trial, lines, expected=expected)
        except SettingError as failed:
            raise SettingError(f"{len(used)} {none} Their fit fails: {failed}") from failed
        final = refined.fitted.shape
        residual = _on_plane(final, refined.points) - expected(final, refined.lines)
        near = np.array([_allowed(line.radius, line.sigma) for line in refined.lines])
        wrong = [line.index for line, away in zip(refined.lines, np.abs(residual) - near, strict=True) if away > 0]
        wrong = [index for index in wrong if weak[index]]
        if not wrong:
            break
        weak[wrong] = False
        lines = [line for line in lines if line.index not in wrong]
    if len(refined.lines) < (2 if tilt else 1):
        raise SettingError(f"{len(refined.lines)} {none}")
    error = np.sqrt(np.diag(refined.fitted.covariance))
    turns = (float(error[2]), float(error[3])) if tilt else (0.0, 0.0)
    refined_geometry = replace(final.geometry, beam_outside=geometry.beam_outside, polarization=geometry.polarization)
    at = np.array([line.index for line in refined.lines])
    missing = np.setdiff1d(np.arange(len(momenta)), at)
    want = final.geometry.distance_along_beam * plane[missing]
    return Calibrated(
        refined_geometry,
        (float(error[0]), float(error[1])),
        turns,
        float(error[-1] * final.geometry.distance_along_beam) if distance else 0.0,
        momenta[at],
        residual,
        momenta[missing],
        np.where(np.isin(want, _seen(final, want, good)), want, np.nan),
        refined.fitted.disagreement,
        rings_of(refined),
    )


def _seen(shape: Tilt, radius: Floats, good: NDArray[np.bool_]) -> Floats:
    """Those of some radii (px) on which there are good pixels."""
    rows, columns = np.nonzero(good)
    pixel_radius = shape.radius(rows + 0.5, columns + 0.5)
    number = np.bincount(np.clip(pixel_radius, 0, radius.max(initial=0.0) + 1).astype(np.intp))
    number = np.append(number[:-1], 0)
    return radius[number[np.minimum(radius, len(number) - 1).astype(np.intp)] >= _LEAST]


def _on_plane(shape: Tilt, points: Sequence[RingPoints]) -> Floats:
    """Weighted mean of the ring coordinate of the points of each ring, px; outliers weigh little."""
    means = []
    for on_ring in points:
        radius = shape.radius(on_ring.slow, on_ring.fast)
        away = np.abs(radius - np.median(radius)) / on_ring.sigma
        means.append(float(np.average(radius, weights=np.where(away < 5, on_ring.sigma**-2.0, 0.0))))
    return np.array(means)


def _allowed(radius: Any, width: Any) -> Any:
    """px by which a ring may lie off the calibrant's."""
    return np.maximum(_NEAR * radius, np.minimum(width, 0.02 * radius))


def _tell_apart(radius: Floats, width: Floats, expected: Floats, scale: float) -> tuple[float, NDArray[np.intp]]:
    """The factor on the distance that explains most rings, nearest to 1 among equals, and each ring's number or -1."""
    allowed = _allowed(radius, width)
    best: tuple[float, float, NDArray[np.intp]] = (-1.0, 1.0, np.full(len(radius), -1))
    ratios = (radius[:, None] / expected[None, :]).ravel()
    for factor in ratios[np.abs(ratios - 1.0) <= scale]:
        away = np.abs(radius[:, None] - factor * expected[None, :])
        owner = np.argmin(away, axis=1)
        nearest = away[np.arange(len(radius)), owner]
        taken = nearest <= allowed
        # a calibrant's line belongs to one ring, the nearest
        for number in np.unique(owner[taken]):
            same = np.flatnonzero(taken & (owner == number))
            taken[same[np.argsort(nearest[same])[1:]]] = False
        score = taken.sum() - 0.3 * float(np.mean((nearest / allowed)[taken])) - 0.5 * abs(factor - 1.0) / scale
        if score > best[0]:
            best = (score, float(factor), np.where(taken, owner, -1))
    return best[1], best[2]
