"""From vectors in any laboratory frame to a `Geometry`: the one place where handedness and axes are
settled."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from crystint.errors import GeometryError
from crystint.model.geometry import Geometry, Panel

__all__ = ["MIRRORED", "geometry_in_lab", "lab_axes", "mirrors", "pseudovector"]

_Matrix: TypeAlias = NDArray[np.float64]

_SAME_PLANE = 1e-3
"""px: panels whose corners agree this well with one flat grid are that grid."""


def geometry_in_lab(
    panels: Sequence[Panel],
    shape: tuple[int, int],
    *,
    beam: ArrayLike = (0.0, 0.0, 1.0),
    horizontal: ArrayLike = (1.0, 0.0, 0.0),
    wavelength: float | None,
    polarization: float | None = None,
    beam_outside: bool = False,
    as_panels: bool = False,
) -> Geometry:
    """Geometry of panels that are given in a laboratory frame of one's own.

    Panels that lie on one flat, regular grid and fill the frame become one flat detector with PONI's
    rotations.

    Parameters
    ----------
    panels : Panel
        With origin and vectors in that frame, m, the sample at its origin.
    beam, horizontal : (3,)
        Direction of travel of the X-rays, and a direction that with it spans the plane of polarization.
    beam_outside : bool
        Allow a direct beam that misses the frame.
    as_panels : bool
        Keep the panels of one flat, regular grid as well.

    Raises
    ------
    GeometryError
        When the values make no geometry.
    """
    axes = lab_axes(panels[0], beam, horizontal)
    turned = [_turn(axes, panel) for panel in panels]
    first = turned[0]
    common: dict[str, Any] = {"wavelength": wavelength, "polarization": polarization}
    if not as_panels and _fills(turned, shape) and _one_grid(turned):
        corner = np.array(first.origin) - first.slow[0] * _slow(first) - first.fast[0] * _fast(first)
        return Geometry(shape=shape, **_flat(corner, first), **common, beam_outside=beam_outside)
    return Geometry(shape=shape, **_around_beam(turned), **common, beam_outside=True, panels=tuple(turned))


def lab_axes(panel: Panel, beam: ArrayLike = (0.0, 0.0, 1.0), horizontal: ArrayLike = (1.0, 0.0, 0.0)) -> _Matrix:
    """What turns vectors of a laboratory frame of one's own into that of `Geometry`; float64 [3, 3].

    It mirrors y where slow and fast of the panel, seen from the sample, are not PONI's axes 1 and 2 otherwise.

    Parameters
    ----------
    panel, beam, horizontal
        As `geometry_in_lab`; the first of the panels.

    Raises
    ------
    GeometryError
        When the horizontal is along the beam.
    """
    z = np.asarray(beam, dtype=np.float64)
    z = z / np.linalg.norm(z)
    x = np.asarray(horizontal, dtype=np.float64)
    x = x - z * (x @ z)
    if not np.isfinite(x).all() or np.linalg.norm(x) < 1e-6:
        raise GeometryError("the plane of polarization is not defined: its direction is parallel to the beam")
    x = x / np.linalg.norm(x)
    axes = np.stack([x, np.cross(z, x), z])
    return np.asarray(_signs(_turn(axes, panel))[:, None] * axes)


MIRRORED = (
    "the detector is read out mirrored (its fast and slow directions and the beam are left-handed); its geometry is "
    "mirrored, as does the axis of the scan, and programs that read it find the mirror image of the crystal"
)


def mirrors(axes: _Matrix) -> bool:
    """Whether `lab_axes` turn a right-handed frame into a left-handed one."""
    return bool(np.linalg.det(axes) < 0.0)


def pseudovector(axes: _Matrix, vector: ArrayLike) -> NDArray[np.float64]:
    """A rotation axis after `lab_axes`: where these mirror, it keeps the sense of the turn; float64 [3]."""
    return np.asarray(np.linalg.det(axes) * axes @ np.asarray(vector, dtype=np.float64))


def _slow(panel: Panel) -> NDArray[np.float64]:
    return np.array(panel.slow_vector)


def _fast(panel: Panel) -> NDArray[np.float64]:
    return np.array(panel.fast_vector)


def _turn(axes: NDArray[np.float64], panel: Panel) -> Panel:
    vectors = [tuple(axes @ np.array(v)) for v in (panel.origin, panel.slow_vector, panel.fast_vector)]
    return Panel(panel.slow, panel.fast, *vectors)


def _signs(panel: Panel) -> NDArray[np.float64]:
    """Signs of x, y, z that make slow, fast and the normal away from the sample PONI's axes 1, 2, 3.

    Mirroring y changes no map: neither two-theta nor polarization can see it. Of the two choices left, which
    differ by half a turn about the beam, the one with fast nearer to x is taken.
    """
    # the triple product of slow, fast and origin is wanted positive in PONI's order (y, x, z): negative in
    # (x, y, z)
    normal = np.cross(_slow(panel), _fast(panel))
    mirror = 1.0 if normal @ np.array(panel.origin) < 0.0 else -1.0
    slow, fast = _slow(panel), _fast(panel)
    upright = fast[0] + mirror * slow[1]
    half_turn = -1.0 if upright < 0.0 else 1.0
    return np.array([half_turn, half_turn * mirror, 1.0])


def _fills(panels: Sequence[Panel], shape: tuple[int, int]) -> bool:
    covered = np.zeros(shape, dtype=bool)
    for panel in panels:
        covered[panel.slices] = True
    return bool(covered.all())


def _one_grid(panels: Sequence[Panel]) -> bool:
    """Whether all panels lie on the grid of the first, with orthogonal axes."""
    first = panels[0]
    slow, fast = _slow(first), _fast(first)
    pixel = min(np.linalg.norm(slow), np.linalg.norm(fast))
    extent = max(max(panel.slow[1], panel.fast[1]) for panel in panels)
    if abs(slow @ fast) / np.linalg.norm(slow) / np.linalg.norm(fast) * extent > _SAME_PLANE:
        return False
    corner = np.array(first.origin) - first.slow[0] * slow - first.fast[0] * fast
    for panel in panels:
        for row in panel.slow:
            for column in panel.fast:
                there = panel.lab(np.array(float(row)), np.array(float(column)))
                if np.linalg.norm(there - (corner + row * slow + column * fast)) > _SAME_PLANE * pixel:
                    return False
    return True


def _flat(corner: NDArray[np.float64], panel: Panel) -> dict[str, Any]:
    """Fields of a flat geometry from the corner of pixel (0, 0) and the steps of `panel`."""
    slow, fast = _slow(panel), _fast(panel)
    pixel = float(np.linalg.norm(slow)), float(np.linalg.norm(fast))
    order = [1, 0, 2]
    one = slow[order] / pixel[0]
    two = fast[order] / pixel[1]
    two = two - one * (one @ two)
    two = two / np.linalg.norm(two)
    three = np.cross(one, two)
    corner = corner[order]
    rot2 = math.asin(max(-1.0, min(1.0, one[2])))
    rot1 = math.atan2(-two[2], three[2])
    rot3 = math.atan2(one[1], one[0])
    return {
        "pixel_size": pixel,
        "distance": float(corner @ three),
        "beam_center": (float(-corner @ one / pixel[0]), float(-corner @ two / pixel[1])),
        "rotation": tuple(0.0 if abs(angle) < 1e-12 else angle for angle in (rot1, rot2, rot3)),
    }


def _around_beam(panels: Sequence[Panel]) -> dict[str, Any]:
    """Fields of a geometry of several panels: those of the panel that the beam hits, or comes nearest to."""
    best: tuple[float, dict[str, Any]] | None = None
    for panel in panels:
        pixel = float(np.linalg.norm(_slow(panel))), float(np.linalg.norm(_fast(panel)))
        steps = np.stack([_slow(panel), _fast(panel), [0.0, 0.0, -1.0]], axis=1)
        if abs(np.linalg.det(steps)) < 1e-6 * pixel[0] * pixel[1]:
            continue
        slow, fast, distance = np.linalg.solve(steps, -np.array(panel.origin))
        slow, fast = slow + panel.slow[0], fast + panel.fast[0]
        beside = math.hypot(_beside(slow, panel.slow), _beside(fast, panel.fast))
        if distance > 0.0 and (best is None or beside < best[0]):
            center = float(slow), float(fast)
            best = beside, {"pixel_size": pixel, "distance": float(distance), "beam_center": center}
    if best is None:
        raise GeometryError("no panel faces the beam; check the distance and the axes of the panels")
    return best[1]


def _beside(at: float, span: tuple[int, int]) -> float:
    return max(span[0] - at, 0.0, at - span[1])
