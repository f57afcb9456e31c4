"""A detector of several panels as the sample sees it: which pixel of the image each place on one plane shows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from crystint.model.geometry import Geometry, Panel
from crystint.online.layers import Shown
from crystint.online.usable_pixels import UsablePixels
from crystint.plot.assembled import Assembled, assembled, corners

__all__ = ["Laboratory"]


@dataclass(frozen=True, eq=False)
class Laboratory:
    """Places of the plane of `crystint.plot.assembled`, px of the laboratory. Made by `of`.

    Examples
    --------
    >>> from crystint import Geometry, Panel
    >>> from crystint.online.laboratory import Laboratory
    >>> panel = Panel((0, 4), (0, 6), (-3e-4, -2e-4, 0.1), (0.0, 1e-4, 0.0), (1e-4, 0.0, 0.0))
    >>> upper = Panel((4, 8), (0, 6), (-3e-4, 4e-4, 0.1), (0.0, 1e-4, 0.0), (1e-4, 0.0, 0.0))
    >>> laboratory = Laboratory.of(Geometry((8, 6), (1e-4, 1e-4), 0.1, (2.0, 3.0), panels=(panel, upper)))
    >>> laboratory.shape, laboratory.index[:, 0].tolist()
    ((10, 6), [0, 6, 12, 18, -1, -1, 24, 30, 36, 42])
    """

    assembled: Assembled
    index: NDArray[np.int32]
    """int32 [slow, fast] of the plane: number of the pixel of the image, slow * width + fast; -1 = in no panel"""

    @classmethod
    def of(cls, geometry: Geometry | None) -> Self | None:
        """Of a detector; None = it is one flat rectangle, or panels look away from the plane or reach too far."""
        made = None if geometry is None else assembled(geometry)
        if geometry is None or made is None:
            return None
        numbers = np.arange(geometry.shape[0] * geometry.shape[1], dtype=np.int32).reshape(geometry.shape)
        return cls(made, made.image(numbers, outside=-1))

    @property
    def shape(self) -> tuple[int, int]:
        """(slow, fast) px of the plane."""
        return self.index.shape[0], self.index.shape[1]

    def usable(self, usable: UsablePixels) -> UsablePixels:
        """Which places show a usable pixel: those in no panel are as masked."""
        masked = usable.masked.ravel().take(self.index, mode="clip")
        masked |= self.index < 0
        return UsablePixels(masked, usable.valid)

    def part(self, values: NDArray[Any], region: tuple[int, int, int, int]) -> NDArray[Any]:
        """[slow, fast] of a region of the plane; in no panel, anything."""
        slow0, slow1, fast0, fast1 = region
        return np.asarray(values.ravel().take(self.index[slow0:slow1, fast0:fast1], mode="clip"))

    def shown(self, shown: Shown) -> Shown:
        """A layer on the plane."""
        return Shown(self.part(shown.values, (0, self.shape[0], 0, self.shape[1])), self.usable(shown.usable))

    def to_dict(self) -> dict[str, Any]:
        """JSON-able: where the plane is.

        ``origin``: (x, y) of the outer corner of its first pixel, m across the beam; ``beam_center``: (slow, fast) px.
        """
        plane = self.assembled.plane
        slow, fast = plane.beam_center
        return {
            "shape": list(self.shape),
            "origin": [-fast * plane.pixel_size[1], -slow * plane.pixel_size[0]],
            "pixel_size": list(plane.pixel_size),
            "beam_center": [slow, fast],
            "distance": plane.distance,
        }

    def panels(self) -> list[dict[str, Any]]:
        """JSON-able: each panel, and the affine map of its positions, px of the image, to px of the plane.

        (slow', fast') = matrix [2][3] of (slow, fast, 1). ``off``: how far off it is at a corner, px; panels that are
        tilted to the plane are no parallelograms on it.
        """
        return [self._panel(panel) for panel in self.assembled.panels.panels or ()]

    def _panel(self, panel: Panel) -> dict[str, Any]:
        slow, fast = corners(panel)
        places = self.assembled.place(slow, fast)
        sides = np.stack([slow, fast, np.ones_like(slow)])
        matrix = np.linalg.lstsq(sides.T, places.T, rcond=None)[0].T
        return {
            "slow": list(panel.slow),
            "fast": list(panel.fast),
            "matrix": matrix.tolist(),
            "off": float(np.hypot(*(matrix @ sides - places)).max()),
        }
