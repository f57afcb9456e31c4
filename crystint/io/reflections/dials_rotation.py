"""Goniometers and scans of DIALS: the rotation of the crystal at any moment of a scan."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crystint.errors import ShapeError
from crystint.model.turns import turns

__all__ = ["Rotation", "between", "rotation_of"]

_STILL = 1e-7
"""degrees: images that turn by less are stills, as in dxtbx"""


@dataclass(frozen=True, eq=False)
class Rotation:
    """S R(axis, angle) F, with the angle going from `start` by `step` per image, rad."""

    axis: NDArray[np.float64]
    start: float
    step: float
    fixed: NDArray[np.float64]
    """[3, 3]: between crystal and axis"""
    outer: NDArray[np.float64]
    """[3, 3] or [images + 1, 3, 3]: of the axis itself"""

    def at(self, image: NDArray[Any]) -> NDArray[np.float64]:
        """float64 [n, 3, 3] at positions along the scan, in images from its start."""
        image = np.asarray(image, dtype=np.float64)
        return np.asarray(self.outer_at(image) @ turns(self.axis, self.start + self.step * image) @ self.fixed)

    def outer_at(self, image: NDArray[np.float64]) -> NDArray[np.float64]:
        """`outer` at positions along the scan, float64 [n, 3, 3], or [3, 3] where it stays."""
        return self.outer if self.outer.ndim == 2 else between(self.outer, image)


def between(points: NDArray[np.float64], image: NDArray[np.float64]) -> NDArray[np.float64]:
    """Values [n, ...] between those at the ends of images [images + 1, ...]; beyond the scan those at its end."""
    low = np.clip(np.floor(image).astype(np.intp), 0, len(points) - 2)
    share = np.clip(image - low, 0.0, 1.0).reshape(-1, *[1] * (points.ndim - 1))
    return np.asarray((1.0 - share) * points[low] + share * points[low + 1])


def rotation_of(scan: dict[str, Any] | None, goniometer: dict[str, Any] | None) -> Rotation | None:
    """None for stills: no scan, no goniometer, or images that do not turn."""
    if scan is None or goniometer is None:
        return None
    start, step = oscillation_of(scan)
    if abs(step) < _STILL:
        return None
    if "axes" in goniometer:
        axes = np.array(goniometer["axes"], dtype=np.float64)
        angles, turning = np.radians(goniometer["angles"]), int(goniometer["scan_axis"])
        axis, fixed = axes[turning], np.eye(3)
        outer: NDArray[np.float64] = np.eye(3)
        # the first axis is the one that carries the crystal
        for number in range(turning):
            fixed = turns(axes[number], angles[number : number + 1])[0] @ fixed
        for number in range(turning + 1, len(axes)):
            outer = turns(axes[number], angles[number : number + 1])[0] @ outer
    else:
        axis = np.array(goniometer["rotation_axis"], dtype=np.float64)
        fixed, outer = _matrix(goniometer, "fixed_rotation"), _matrix(goniometer, "setting_rotation")
    points = goniometer.get("setting_rotation_at_scan_points")
    if points:
        outer = np.array(points, dtype=np.float64).reshape(-1, 3, 3)
        first, last = scan["image_range"]
        if len(outer) != last - first + 2:
            raise ShapeError(f"a goniometer has {len(outer)} scan points, expected {last - first + 2}")
    return Rotation(axis, np.radians(start), np.radians(step), fixed, outer)


def _matrix(goniometer: dict[str, Any], name: str) -> NDArray[np.float64]:
    return np.array(goniometer.get(name, np.eye(3)), dtype=np.float64).reshape(3, 3)


def oscillation_of(scan: dict[str, Any]) -> tuple[float, float]:
    """Start and width, degrees; newer files list the start of every image among the properties of a scan."""
    if "oscillation" in scan:
        start, width = scan["oscillation"]
        return float(start), float(width)
    properties = scan.get("properties", {})
    starts = properties.get("oscillation")
    if not starts:
        return 0.0, 0.0
    width = properties.get("oscillation_width") or (np.diff(starts[:2]).tolist() if len(starts) > 1 else [0.0])
    return float(starts[0]), float(width[0])
