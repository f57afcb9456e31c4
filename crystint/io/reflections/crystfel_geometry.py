"""The geometry of a CrystFEL stream: panels by name, and a detector for each camera length and shift."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crystint.errors import GeometryError
from crystint.io.geometry.crystfel_text import parse_geom
from crystint.model.experiment import Detector
from crystint.model.panels import Panel

__all__ = ["StreamGeometry"]


@dataclass(frozen=True, eq=False)
class StreamGeometry:
    """Panels of a .geom in CrystFEL's laboratory: right-handed, z along the beam, y up.

    A panel's part of the frame is that of the data file, unless panels are planes of a stack: then they lie one
    below the other.
    """

    path: Path
    names: dict[str, int]
    """number of each panel"""
    ranges: tuple[tuple[tuple[int, int], tuple[int, int]], ...]
    """(slow, fast) of each in the frame"""
    origin: NDArray[np.float64]
    """[panels, 2]: min ss, min fs in the data file, px"""
    corner: NDArray[np.float64]
    """[panels, 3]: m; z without the camera length where that is in the data files"""
    steps: NDArray[np.float64]
    """[panels, 2, 3]: slow and fast vectors, m per px"""
    moving: NDArray[np.bool_]
    """[panels]: the camera length is in the data files"""
    wavelength: float | None = None
    """angstrom; None = it is not in the geometry"""

    @classmethod
    def parse(cls, text: str, path: Path) -> StreamGeometry:
        """From the text of a geometry file; `path` is for messages.

        Raises
        ------
        GeometryError
            When it is no geometry.
        """
        parsed = parse_geom(text, path)
        panels = parsed.panels
        if not panels:
            raise GeometryError(f"{path}: the geometry has no panels")
        placed = [_range(panel) for panel in panels.values()]
        stacked = any(_stacked(panel) for panel in panels.values())
        ranges = []
        end = 0
        for slow, fast in placed:
            height, width = slow[1] - slow[0], fast[1] - fast[0]
            ranges.append(((end, end + height), (0, width)) if stacked else (slow, fast))
            end += height
        corner, steps = [], []
        for panel in panels.values():
            pixel = 1.0 / panel["res"]
            z = panel["coffset"] + (0.0 if panel["clen_from"] else panel["clen"])
            corner.append([panel["cnx"] * pixel, panel["cny"] * pixel, z])
            steps.append([[pixel * panel[f"{axis}{way}"] for way in "xyz"] for axis in ("ss", "fs")])
        return cls(
            path=path,
            names={name: number for number, name in enumerate(panels)},
            ranges=tuple(ranges),
            origin=np.array([[slow[0], fast[0]] for slow, fast in placed], dtype=np.float64),
            corner=np.array(corner),
            steps=np.array(steps),
            moving=np.array([bool(panel["clen_from"]) for panel in panels.values()]),
            wavelength=parsed.wavelength,
        )

    def detector(self, length: float, shift: tuple[float, float]) -> Detector:
        """At an average camera length, m (used where the geometry has none), with a shift in x and y, m.

        Raises
        ------
        GeometryError
            When the length is needed and is not a number above 0.
        """
        corner = self.corner + np.array([shift[0], shift[1], 0.0])
        if self.moving.any():
            if not (np.isfinite(length) and length > 0.0):
                raise GeometryError(f"{self.path}: the camera length is neither in the geometry nor with the image")
            corner[self.moving, 2] += length - float(self.corner[:, 2].mean())
        panels = [
            Panel(slow, fast, _vector(corner[number]), _vector(step[0]), _vector(step[1]))
            for number, ((slow, fast), step) in enumerate(zip(self.ranges, self.steps, strict=True))
        ]
        shape = max(slow[1] for slow, _ in self.ranges), max(fast[1] for _, fast in self.ranges)
        return Detector(shape, tuple(panels))

    def to_frame(
        self, panel: NDArray[np.intp], slow: NDArray[np.float64], fast: NDArray[np.float64]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """ss and fs of the data file as px of the frame."""
        corner = np.array([[slow[0], fast[0]] for slow, fast in self.ranges], dtype=np.float64) - self.origin
        return slow + corner[panel, 0], fast + corner[panel, 1]

    def panel_at(self, slow: NDArray[np.float64], fast: NDArray[np.float64]) -> NDArray[np.intp]:
        """Numbers of the panels at places of the data file, where no name is given; -1 = none."""
        panel_of = np.full(len(slow), -1, dtype=np.intp)
        for number, (low, (rows, columns)) in enumerate(zip(self.origin, self.ranges, strict=True)):
            inside = (slow >= low[0]) & (slow < low[0] + rows[1] - rows[0])
            inside &= (fast >= low[1]) & (fast < low[1] + columns[1] - columns[0])
            panel_of[inside] = number
        return panel_of


def _range(panel: Any) -> tuple[tuple[int, int], tuple[int, int]]:
    return (
        (int(panel["orig_min_ss"]), int(panel["orig_max_ss"]) + 1),
        (int(panel["orig_min_fs"]), int(panel["orig_max_fs"]) + 1),
    )


def _stacked(panel: Any) -> bool:
    return any(isinstance(entry, int) for entry in panel["dim_structure"] or ()) and any(
        isinstance(entry, int) and entry != 0 for entry in panel["dim_structure"]
    )


def _vector(values: NDArray[np.float64]) -> tuple[float, float, float]:
    x, y, z = values.tolist()
    return x, y, z
