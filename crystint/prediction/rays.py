"""Between rays and pixels: where a ray is counted, and which ray a place on the frame belongs to.

A ray that enters a thick sensor at a slant is counted, on average, deeper and thus further out (parallax). The
mean depth along the ray is 1/mu - (L + 1/mu) exp(-mu L), with L = thickness / cos the length of its way.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from crystint.model.experiment import Detector
from crystint.model.panels import Panel

__all__ = ["pixel_rays", "project", "project_on", "sensor_efficiency"]

_STEPS = 10
_CLOSE = 1e-9
"""px: fixed-point steps end when nothing moves by more"""


@dataclass(frozen=True, eq=False)
class _Plane:
    """A panel with what both ways need."""

    panel: Panel
    to_panel: NDArray[np.float64]
    """[3, 3]: times a ray it gives (fast px, slow px, 1) / length"""
    in_plane: NDArray[np.float64]
    """[2, 3]: times a vector in m it gives its steps along fast and slow, px"""
    normal: NDArray[np.float64]

    @classmethod
    def of(cls, panel: Panel) -> _Plane | None:
        """None for a panel whose plane holds the sample: no ray meets it at one place."""
        fast, slow, origin = (np.array(v) for v in (panel.fast_vector, panel.slow_vector, panel.origin))
        normal = np.cross(fast, slow)
        normal /= np.linalg.norm(normal)
        if abs(float(origin @ normal)) <= 1e-9 * float(np.linalg.norm(origin)):
            return None
        return cls(
            panel=panel,
            to_panel=np.linalg.inv(np.stack([fast, slow, origin], axis=1)),
            in_plane=np.linalg.pinv(np.stack([fast, slow], axis=1)),
            normal=normal,
        )


def _depth(detector: Detector, cosine: NDArray[np.float64]) -> NDArray[np.float64]:
    """Mean way into the sensor of the photons it counts, m."""
    way = detector.attenuation * detector.thickness / cosine
    return np.asarray((1.0 - (1.0 + way) * np.exp(-way)) / detector.attenuation)


def _thick(detector: Detector) -> bool:
    return detector.thickness > 0.0 and detector.attenuation > 0.0


def project(
    detector: Detector, ray: NDArray[np.float64]
) -> tuple[NDArray[np.intp], NDArray[np.float64], NDArray[np.float64]]:
    """Where rays from the sample are counted.

    Parameters
    ----------
    ray : float64 [n, 3]
        Unit vectors.

    Returns
    -------
    panel : int [n]
        Number of the panel, the nearest where several lie behind one another; -1 where there is none.
    slow, fast : float64 [n]
        px of the frame from the outer corner, parallax in; NaN where there is no panel.
    """
    n = len(ray)
    panel_of, nearest = np.full(n, -1, dtype=np.intp), np.full(n, np.inf)
    slow, fast = np.full(n, np.nan), np.full(n, np.nan)
    for number, panel in enumerate(detector.panels):
        plane = _Plane.of(panel)
        if plane is None:
            continue
        step = np.array([np.linalg.norm(panel.fast_vector), np.linalg.norm(panel.slow_vector)])
        margin = min(1.0 / detector.attenuation, 1e3 * detector.thickness) / step if _thick(detector) else np.zeros(2)
        x, y, inverse = plane.to_panel @ ray.T
        with np.errstate(divide="ignore", invalid="ignore"):
            distance = 1.0 / inverse
            x, y = x * distance, y * distance
        width, height = panel.fast[1] - panel.fast[0], panel.slow[1] - panel.slow[0]
        here = (inverse > 0.0) & (distance < nearest) & (np.abs(x - 0.5 * width) <= 0.5 * width + margin[0])
        rows = np.flatnonzero(here & (np.abs(y - 0.5 * height) <= 0.5 * height + margin[1]))
        y, x = _counted(detector, plane, ray[rows], x[rows], y[rows])
        inside = panel.holds(y, x)
        rows = rows[inside]
        panel_of[rows], nearest[rows], slow[rows], fast[rows] = number, distance[rows], y[inside], x[inside]
    return panel_of, slow, fast


def _counted(
    detector: Detector, plane: _Plane, ray: NDArray[np.float64], x: NDArray[np.float64], y: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Slow and fast, px of the frame, at which rays are counted that enter a panel at x and y, px from its corner."""
    if _thick(detector):
        depth = _depth(detector, np.abs(ray @ plane.normal))
        shift = plane.in_plane @ ray.T
        x, y = x + depth * shift[0], y + depth * shift[1]
    return y + plane.panel.slow[0], x + plane.panel.fast[0]


def project_on(
    detector: Detector, panel: NDArray[np.integer], ray: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Where rays are counted on the planes of these panels, which go on beyond their edges.

    Parameters
    ----------
    panel : int [n]
    ray : float64 [n, 3]
        Unit vectors.

    Returns
    -------
    slow, fast : float64 [n]
        px of the frame from the outer corner, parallax in; NaN where a ray does not meet the plane.
    """
    slow, fast = np.full(len(ray), np.nan), np.full(len(ray), np.nan)
    for number in np.unique(panel):
        plane = _Plane.of(detector.panels[number])
        if plane is None:
            continue
        x, y, inverse = plane.to_panel @ ray.T
        rows = np.flatnonzero((panel == number) & (inverse > 0.0))
        slow[rows], fast[rows] = _counted(detector, plane, ray[rows], x[rows] / inverse[rows], y[rows] / inverse[rows])
    return slow, fast


def pixel_rays(
    detector: Detector, panel: NDArray[np.integer], slow: NDArray[np.floating], fast: NDArray[np.floating]
) -> NDArray[np.float64]:
    """Unit vectors of the rays that are counted, on average, at these places; the inverse of `project`.

    Parameters
    ----------
    panel : int [...]
        Number of the panel; -1 gives NaN.
    slow, fast : float [...]
        px of the frame from the outer corner, in the panel or near it (its plane goes on).

    Returns
    -------
    float64 [..., 3]
    """
    panel, slow, fast = np.broadcast_arrays(panel, slow, fast)
    result = np.full((*panel.shape, 3), np.nan)
    numbers = np.unique(panel)
    for number in numbers[numbers >= 0]:
        part = detector.panels[number]
        plane = _Plane.of(part)
        if plane is None:
            continue
        where = panel == number if len(numbers) > 1 else np.ones(panel.shape, dtype=bool)
        x = np.asarray(fast[where], dtype=np.float64) - part.fast[0]
        y = np.asarray(slow[where], dtype=np.float64) - part.slow[0]
        result[where] = _back(detector, plane, x, y)
    return result


def _back(detector: Detector, plane: _Plane, x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.float64]:
    fast, slow, origin = (np.array(v) for v in (plane.panel.fast_vector, plane.panel.slow_vector, plane.panel.origin))

    def ray(x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.float64]:
        u: NDArray[np.float64] = x[:, None] * fast + y[:, None] * slow
        u += origin
        u /= np.sqrt(np.einsum("ij,ij->i", u, u))[:, None]
        return u

    u = ray(x, y)
    if not _thick(detector) or not len(x):
        return u
    entered = np.stack([x, y])
    for _ in range(_STEPS):
        shift = plane.in_plane @ u.T
        shift *= _depth(detector, np.abs(u @ plane.normal))
        moved = np.stack([x, y]) - shift
        change = float(np.abs(moved - entered).max())
        entered = moved
        u = ray(*entered)
        if not change > _CLOSE:
            break
    return u


def sensor_efficiency(detector: Detector, panel: NDArray[np.integer], ray: NDArray[np.float64]) -> NDArray[np.float64]:
    """Share of the photons of each ray that the sensor stops: 1 - exp(-mu thickness / cos); 1 when not known.

    Parameters
    ----------
    panel : int [n]
    ray : float64 [n, 3]
        Unit vectors.
    """
    if not _thick(detector):
        return np.ones(len(ray))
    normals = np.array([np.cross(part.fast_vector, part.slow_vector) for part in detector.panels])
    normals /= np.linalg.norm(normals, axis=1)[:, None]
    cosine = np.abs(np.einsum("ij,ij->i", ray, normals[panel]))
    with np.errstate(divide="ignore"):
        return np.asarray(-np.expm1(-detector.attenuation * detector.thickness / cosine))
