"""A frame as rings and azimuths."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

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
