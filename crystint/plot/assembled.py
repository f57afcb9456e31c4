"""A detector of several panels as the sample sees it: its pixels on one plane across the beam."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crystint.model.geometry import Geometry, Panel

__all__ = ["Assembled", "assembled", "corners"]

_LARGEST = 6.0
"""Pixels of the plane per pixel of the frame: panels that reach farther are drawn as they are stored."""


@dataclass(frozen=True, eq=False)
class Assembled:
    """Panels projected along the rays from the sample on the plane that stands across the beam at `distance`."""

    panels: Geometry
    """the detector"""
    plane: Geometry
    """the plane, of the same pixel size: its pixel (0, 0) is the first that a panel covers"""

    def image(self, frame: NDArray[Any], outside: Any = 0) -> NDArray[Any]:
        """The frame on the plane, each place with the nearest pixel; `outside` where there is none."""
        image = np.full(self.plane.shape, outside, dtype=frame.dtype)
        for panel in self.panels.panels or ():
            ends = self.place(*corners(panel))
            low = np.maximum(np.floor(ends.min(axis=1)).astype(int), 0)
            high = np.minimum(np.ceil(ends.max(axis=1)).astype(int) + 1, self.plane.shape)
            slow, fast = np.mgrid[low[0] : high[0], low[1] : high[1]] + 0.5
            rays = np.stack(self.plane._on_plane(slow, fast))
            steps = np.stack([panel.slow_vector, panel.fast_vector, -np.array(panel.origin)], axis=1)
            # ray * t = origin + slow * slow_vector + fast * fast_vector, in units of 1 / t
            solved = np.tensordot(np.linalg.inv(steps), rays, axes=1)
            with np.errstate(divide="ignore", invalid="ignore"):
                row, column = np.floor(solved[:2] / -solved[2])
            height, width = panel.slow[1] - panel.slow[0], panel.fast[1] - panel.fast[0]
            inside = (row >= 0) & (row < height) & (column >= 0) & (column < width) & (solved[2] < 0)
            there = frame[panel.slices][row[inside].astype(int), column[inside].astype(int)]
            image[low[0] : high[0], low[1] : high[1]][inside] = there
        return image

    def place(self, slow: NDArray[np.float64], fast: NDArray[np.float64]) -> NDArray[np.float64]:
        """float64 [2, ...]: where positions of the frame, px, are on the plane, (slow, fast) px; NaN in no panel."""
        x, y, z = self.panels._lab(np.asarray(slow, dtype=np.float64), np.asarray(fast, dtype=np.float64))
        with np.errstate(divide="ignore", invalid="ignore"):
            return _on_plane(np.stack([x, y, z]), self.plane)


def corners(panel: Panel) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The outer corners of a panel, px, just within it."""
    inner = 1e-6
    slow, fast = ([low + inner, high - inner] for low, high in (panel.slow, panel.fast))
    return np.repeat(slow, 2), np.tile(fast, 2)


def _on_plane(lab: NDArray[np.float64], plane: Geometry) -> NDArray[np.float64]:
    """(slow, fast) px at which rays to points of the laboratory cross a plane without tilt."""
    scale = plane.distance / lab[2]
    center = np.reshape(plane.beam_center, (2,) + (1,) * (lab.ndim - 1))
    pixel = np.reshape(plane.pixel_size, center.shape)
    return np.asarray(center + np.stack([lab[1], lab[0]]) * scale / pixel)


def assembled(geometry: Geometry) -> Assembled | None:
    """The panels on one plane; None for one flat panel, and where they look away from the plane or reach too far."""
    if geometry.panels is None:
        return None
    places = [panel.lab(*corners(panel)) for panel in geometry.panels]
    if min(float(place[2].min()) for place in places) <= 0.0:
        return None
    plain = Geometry(
        shape=geometry.shape,
        pixel_size=geometry.pixel_size,
        distance=geometry.distance,
        beam_center=(0.0, 0.0),
        wavelength=geometry.wavelength,
        beam_outside=True,
    )
    ends = np.concatenate([_on_plane(place, plain) for place in places], axis=1)
    low, high = np.floor(ends.min(axis=1)), np.ceil(ends.max(axis=1))
    shape = tuple(int(length) for length in high - low)
    if shape[0] * shape[1] > _LARGEST * geometry.shape[0] * geometry.shape[1]:
        return None
    values = plain.to_dict() | {"shape": shape, "beam_center": tuple(float(-edge) for edge in low)}
    return Assembled(geometry, Geometry.from_dict(values))
