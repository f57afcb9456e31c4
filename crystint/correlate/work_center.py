"""The centre of the powder rings of frames, and the geometry that follows from it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crystint.correlate.center.calibrant import Calibrated, fit_calibrant
from crystint.correlate.center.circles import Ellipse
from crystint.correlate.center.ring_fit import Rings, fit_rings
from crystint.correlate.center.ring_search import GUESSED
from crystint.correlate.exposures import Done, Exposures, Progress, silent
from crystint.errors import FileError, GeometryError, SettingError
from crystint.model.geometry import Geometry
from crystint.model.mask import unusable

__all__ = ["Centered", "center_frames", "sum_frames"]


@dataclass(frozen=True, eq=False)
class Centered:
    """What was found."""

    done: Done
    image: NDArray[np.float64]
    """float64 [slow, fast]: the frames added up; NaN = no data"""
    rings: Rings
    """of a calibrant: its own"""
    geometry: Geometry | None
    """None without a geometry to begin with"""
    calibrated: Calibrated | None = None


def sum_frames(exposures: Exposures, *, progress: Progress = silent) -> NDArray[np.float64]:
    """All frames added up; float64 [slow, fast], NaN where no frame has data, or the mask is not 0.

    A pixel that some frames mark as unusable is brought to the scale of the others.

    Raises
    ------
    FileError
        When no frame can be read.
    """
    total = np.zeros(exposures.frames.shape)
    count = np.zeros(exposures.frames.shape, np.int64)
    read = 0
    for _, frame in exposures.each(progress(range(len(exposures.frames)), len(exposures.frames), "frames")):
        bad = unusable(frame)
        if exposures.frames.saturation is not None:
            bad |= frame > exposures.frames.saturation
        total += np.where(bad, 0, frame)
        count += ~bad
        read += 1
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where((count > 0) & (exposures.mask == 0), total * (read / count), np.nan)


def center_frames(
    exposures: Exposures,
    *,
    shape: str = "circle",
    radius: Sequence[float] = (),
    ring_q: Sequence[float] = (),
    reach: float = 20.0,
    width: float | None = None,
    progress: Progress = silent,
) -> Centered:
    """Fit the powder rings of the sum of all frames.

    Parameters
    ----------
    exposures
        Its centre, or that of its geometry, is the start; with neither it is the middle of the frame.
    shape, radius, reach, width
        As `crystint.correlate.center.ring_fit.fit_rings`.
    ring_q
        1/angstrom: those of a calibrant, to refine tilt (with the shape "tilt") and distance as well.

    Raises
    ------
    CrystintError
        As `fit_rings` and `fit_calibrant`.
    """
    geometry = exposures.geometry
    if ring_q and geometry is None:
        raise GeometryError("rings of known q need a geometry to begin with: give -g FILE, or --distance and so on")
    if ring_q and shape == "ellipse":
        raise SettingError("an ellipse is no geometry; rings of known q are fitted with the shape circle or tilt")
    if shape == "tilt" and geometry is None:
        raise GeometryError("a tilt needs a geometry to begin with: give -g FILE, or --distance and --pixel-size")
    if not len(exposures.frames):
        raise FileError("there are no frames")
    image = sum_frames(exposures, progress=progress)
    start: Any = geometry if geometry is not None else exposures.center
    how: Any = shape
    search: Any = {"radius": radius or None, "reach": reach, "width": width}
    if ring_q:
        assert geometry is not None
        calibrated = fit_calibrant(image, geometry, ring_q, exposures.mask, tilt=shape == "tilt", **search)
        done = exposures.done(_calibrated(calibrated), _not_found(radius, calibrated.rings, "of the calibrant "))
        return Centered(done, image, calibrated.rings, calibrated.geometry, calibrated)
    found = fit_rings(image, exposures.mask, start=start, shape=how, **search)
    made = found.geometry(geometry) if geometry is not None and shape != "ellipse" else None
    return Centered(exposures.done(_text(found), _not_found(radius, found, "")), image, found, made)


def _not_found(radius: Sequence[float], found: Rings, which: str) -> list[str]:
    """Warnings of rings that were asked for and are not there."""
    return [
        f"no ring {which}was found within {GUESSED:g} px of the radius {one:g} px"
        for one in radius
        if abs(found.radius[found.nearest(one)] - one) > GUESSED
    ]


def _text(found: Rings) -> str:
    (slow, fast), (slow_error, fast_error) = found.center, found.center_error
    lines = [f"centre (slow, fast)  {slow:.3f} ± {slow_error:.3f}, {fast:.3f} ± {fast_error:.3f} px"]
    if isinstance(found.shape, Ellipse):
        if found.shape.strain is not None:
            angle = np.degrees(found.shape.angle)
            lines.append(f"axis ratio           {found.shape.axis_ratio:.5f}, long axis {angle:.1f} deg from fast")
    else:
        rot1, rot2 = found.shape.values[2:4]
        errors = np.degrees(np.sqrt(np.diag(found.covariance)))[2:4]
        lines.append(
            f"tilt (rot1, rot2)    {np.degrees(rot1):.4f} ± {errors[0]:.4f}, {np.degrees(rot2):.4f} ± "
            f"{errors[1]:.4f} deg"
        )
    lines += _disagreement(found.disagreement)
    lines.append("ring  radius (px)           width (px)  contrast")
    lines += [
        f"{number:4d}  {radius:9.3f} ± {error:.3f}  {width:12.2f}  {contrast:8.3g}"
        for number, (radius, error, width, contrast) in enumerate(
            zip(found.radius, found.radius_error, found.width, found.contrast, strict=True)
        )
    ]
    return "\n".join(lines)


def _calibrated(found: Calibrated) -> str:
    (slow, fast), (slow_error, fast_error) = found.geometry.direct_beam, found.beam_error
    lines = [f"centre (slow, fast)  {slow:.3f} ± {slow_error:.3f}, {fast:.3f} ± {fast_error:.3f} px"]
    if any(found.rotation_error):
        rot1, rot2, _ = np.degrees(found.geometry.rotation)
        errors = np.degrees(found.rotation_error)
        lines.append(f"tilt (rot1, rot2)    {rot1:.4f} ± {errors[0]:.4f}, {rot2:.4f} ± {errors[1]:.4f} deg")
    along = found.geometry.distance_along_beam
    lines.append(f"distance along beam  {1e3 * along:.4f} ± {1e3 * found.distance_error:.4f} mm")
    lines += _disagreement(found.disagreement)
    lines.append("q (1/angstrom)  radius less the calibrant's (px)")
    lines += [f"{q:14.4f}  {residual:+.3f}" for q, residual in zip(found.q, found.residual, strict=True)]
    for q, radius in zip(found.missing, found.missing_radius, strict=True):
        where = f"not found at {radius:.1f} px" if np.isfinite(radius) else "outside the frame, or masked"
        lines.append(f"{q:14.4f}  {where}")
    return "\n".join(lines)


def _disagreement(factor: float) -> list[str]:
    if factor < 1.05:
        return []
    return [f"errors are enlarged {factor:.1f} times: rings, or arcs of a ring, disagree by more than their own"]
