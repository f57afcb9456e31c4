"""A frame as rings and azimuths."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crystint.html import html_table
from crystint.model.labelled_arrays import imported_xarray
from crystint.model.polar_grid import PolarGrid

__all__ = ["PolarImage"]


@dataclass(frozen=True, slots=True, eq=False)
class PolarImage:
    """A frame as rings (rows) and azimuths (columns).

    Examples
    --------
    >>> import numpy as np
    >>> from crystint import correlate
    >>> data = correlate.simulate_frame((150, 160), center=(75.3, 81.8), radii=(30.0, 50.0), seed=1)
    >>> grid = correlate.PolarGrid(data.center, np.arange(20.0, 60.0))
    >>> image = correlate.polar_image(data.frame, grid)
    >>> image.values.shape, image.values.dtype
    ((40, 375), dtype('float32'))
    """

    values: NDArray[np.float32]
    """float32 [rows, azimuths]: counts per pixel, over the normalization where there is one; NaN = no data"""
    grid: PolarGrid
    """where the rings and azimuths are"""
    _weights: NDArray[np.float32] | None = field(default=None, repr=False)

    def __repr__(self) -> str:
        return f"<PolarImage: {self._size}, {self._covered:.1%} with data>"

    def _repr_html_(self) -> str:
        grid = self.grid
        rows = grid.radii if grid.q is None else grid.q
        facts = {
            "size": self._size,
            "with data": f"{self._covered:.1%}",
            "centre (slow, fast)": f"{grid.center[0]:.2f}, {grid.center[1]:.2f} px",
            "rings": f"{rows[0]:g} to {rows[-1]:g} {'px' if grid.q is None else '1/angstrom'}",
        }
        return html_table("PolarImage", facts)

    @property
    def _size(self) -> str:
        return f"{self.grid.shape[0]} rings x {self.grid.azimuths} azimuths"

    @property
    def _covered(self) -> float:
        return float(np.isfinite(self.values).mean())

    def to_xarray(self) -> Any:
        """Values and weights with their axes, for xarray, which has to be installed.

        Returns
        -------
        xarray.Dataset
            Of the dimensions ``radius`` (px; ``q``, 1/angstrom, of a grid in q) and ``azimuth`` (rad).

        Raises
        ------
        ImportError
            Without xarray.
        """
        xarray = imported_xarray()
        grid = self.grid
        rows = "radius" if grid.q is None else "q"
        axes = {"radius": (rows, grid.radii, {"units": "pixel"}), "azimuth": ("azimuth", grid.angles, {"units": "rad"})}
        if grid.q is not None:
            axes["q"] = (rows, grid.q, {"units": "1/angstrom"})
        data = {
            "values": ((rows, "azimuth"), self.values, {"units": "count"}),
            "weights": ((rows, "azimuth"), self.weights),
        }
        return xarray.Dataset(data, axes, {"center": grid.center})

    @property
    def weights(self) -> NDArray[np.float32]:
        """float32 [rows, azimuths]: the share of each cell that rests on data, 0 to 1."""
        if self._weights is not None:
            return self._weights
        return np.isfinite(self.values).astype(np.float32)

    @property
    def good(self) -> NDArray[np.bool_]:
        """bool [rows, azimuths]: cells with data."""
        return np.isfinite(self.values)
