"""A raster scan: which frame is which point of the sample."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from crystint.errors import SettingError

__all__ = ["BestCell", "Raster"]


@dataclass(frozen=True, slots=True)
class BestCell:
    """Where a quantity is best."""

    fast: int
    slow: int
    frame: int
    value: float
    center: tuple[float, float]
    """(fast, slow) of the centre of mass of the cells about it, 3 x 3, in cells"""


@dataclass(frozen=True, slots=True)
class Raster:
    """Frames that were taken row by row: first along the fast direction, then one step along the slow one.

    Examples
    --------
    >>> import numpy as np
    >>> from crystint.model.raster import Raster
    >>> Raster(3, 2, zigzag=True).map(np.arange(6)).tolist()
    [[0.0, 1.0, 2.0], [5.0, 4.0, 3.0]]
    """

    fast: int
    """cells of a row"""
    slow: int
    """rows"""
    zigzag: bool = False
    """every second row was scanned backwards"""

    @classmethod
    def of(cls, grid: tuple[int, int], frames: int, *, zigzag: bool = False) -> Self:
        """That of a grid "fast x slow" over some frames.

        Raises
        ------
        SettingError
            When the frames do not fill it, or there are more.
        """
        fast, slow = grid
        if fast * slow != frames:
            pairs = [(n, frames // n) for n in range(2, frames) if frames % n == 0]
            near = sorted(pairs, key=lambda pair: abs(pair[0] - fast) + abs(pair[1] - slow))[:3]
            fits = f"; {frames} are {' or '.join(f'{a}x{b}' for a, b in near)}" if near else ""
            raise SettingError(
                f"grid is {fast}x{slow}, which are {fast * slow} cells, but there are {frames} frames, and each is a "
                f"cell, missing ones too{fits}"
            )
        return cls(fast, slow, zigzag)

    def frames(self) -> NDArray[np.int64]:
        """int64 [slow, fast]: the row of the table that is each cell."""
        cells = np.arange(self.fast * self.slow).reshape(self.slow, self.fast)
        if self.zigzag:
            cells[1::2] = cells[1::2, ::-1].copy()
        return cells

    def map(self, values: NDArray[Any]) -> NDArray[np.float64]:
        """float64 [slow, fast]: the values of the frames where they were taken."""
        return np.asarray(values, dtype=np.float64)[self.frames()]

    def best(self, values: NDArray[np.float64], *, lowest: bool = False) -> BestCell | None:
        """The cell of the highest value; None = none is known.

        Parameters
        ----------
        values : float64 [frames]
            NaN = not known.
        lowest : bool
            The lowest is the best.
        """
        cells = self.map(values)
        if not np.isfinite(cells).any():
            return None
        order = -cells if lowest else cells
        slow, fast = np.unravel_index(int(np.nanargmax(np.where(np.isfinite(order), order, np.nan))), cells.shape)
        rows = slice(max(0, int(slow) - 1), int(slow) + 2)
        columns = slice(max(0, int(fast) - 1), int(fast) + 2)
        near = order[rows, columns]
        mass = np.where(np.isfinite(near), near - np.nanmin(order[np.isfinite(order)]), 0.0)
        if not mass.sum() > 0:
            mass = np.isfinite(near).astype(np.float64)
        at_slow, at_fast = np.mgrid[rows, columns][:, : mass.shape[0], : mass.shape[1]]
        center = (float((at_fast * mass).sum() / mass.sum()), float((at_slow * mass).sum() / mass.sum()))
        return BestCell(int(fast), int(slow), int(self.frames()[slow, fast]), float(cells[slow, fast]), center)
