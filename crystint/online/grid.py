"""Maps of a grid scan: a value of each image at the place where it was taken."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import NDArray

from crystint.errors import RefusedError
from crystint.online.history import SeriesHistory
from crystint.online.quantities import LOW_IS_GOOD, curves_of

__all__ = ["MOST_CELLS", "Grid", "grid_map"]

MOST_CELLS = 250_000


@dataclass(frozen=True, slots=True)
class Grid:
    """Where the images of a scan were taken.

    Examples
    --------
    >>> from crystint.online.grid import Grid
    >>> Grid(n_fast=3, snake=True).cells([0, 1, 2, 3, 4, 5])[1].tolist()
    [0, 1, 2, 2, 1, 0]
    """

    n_fast: int
    """positions along the fast direction"""
    n_slow: int | None = None
    """lines; None = as many as come"""
    step_x_um: float = 1.0
    step_y_um: float = 1.0
    vertical: bool = False
    """the fast direction is that of y"""
    snake: bool = False
    """every second line was measured backwards"""

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> Self:
        """Of what was told at the start; names that a grid has not are left out."""
        names = cls.__dataclass_fields__
        return cls(**{name: value for name, value in values.items() if name in names and value is not None})

    def cells(self, numbers: Any) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Row and column of each image, by its number."""
        line, place = np.divmod(np.asarray(numbers, np.int64), self.n_fast)
        if self.snake:
            place = np.where(line % 2 == 1, self.n_fast - 1 - place, place)
        return (place, line) if self.vertical else (line, place)

    def shape(self, last: int) -> tuple[int, int]:
        """Rows and columns, when images up to number `last` are there."""
        lines = self.n_slow if self.n_slow is not None else last // self.n_fast + 1
        return (self.n_fast, lines) if self.vertical else (lines, self.n_fast)


def grid_map(
    series: SeriesHistory | None, quantity: str, roi: str | None = None, best: Literal["high", "low"] | None = None
) -> dict[str, Any]:
    """A quantity over the positions of the scan.

    Parameters
    ----------
    series : SeriesHistory or None
    quantity : str
        One of `crystint.online.quantities.NAMES`.
    roi : str, optional
        For quantities of regions; None = the first one.
    best : {"high", "low"}, optional
        Which values are good; None = low ones for d_min, ice_score and the like, high ones for all else.

    Returns
    -------
    dict
        As `crystint.online.api_models.GridMapModel`.

    Raises
    ------
    RefusedError
        When the series is no grid scan, or there is no such quantity.
    """
    told = None if series is None else series.info.get("grid")
    if series is None or not isinstance(told, Mapping) or "n_fast" not in told:
        raise RefusedError("not_found", "the series is no grid scan: POST /api/v1/start tells its grid", "quantity")
    grid = Grid.of(told)
    rows = series.ordered()
    curves = curves_of(rows, quantity, roi)
    if not curves:
        raise RefusedError("not_found", "there are no regions", "quantity")
    curve, numbers = curves[0], rows.column("frame")
    shape = grid.shape(int(numbers[-1]) if len(numbers) else 0)
    if shape[0] * shape[1] > MOST_CELLS:
        raise RefusedError("too_large", f"the grid has {shape[0]} x {shape[1]} cells, expected {MOST_CELLS} at most")
    row, column = grid.cells(numbers)
    inside = (row < shape[0]) & (column < shape[1])
    z = np.full(shape, np.nan)
    z[row[inside], column[inside]] = curve.values[inside]
    images = np.full(shape, -1, np.int64)
    images[row[inside], column[inside]] = numbers[inside]
    x, y = np.arange(float(shape[1])) * grid.step_x_um, np.arange(float(shape[0])) * grid.step_y_um
    low = quantity in LOW_IS_GOOD if best is None else best == "low"
    return {
        "title": curve.title,
        "unit": curve.unit,
        "x": x,
        "y": y,
        "z": z,
        "best": _best(z, images, x, y, low),
        "outside": int(np.count_nonzero(~inside)),
        "order": {"n_fast": grid.n_fast, "vertical": grid.vertical, "snake": grid.snake},
    }


def _best(
    z: NDArray[np.float64], images: NDArray[np.int64], x: NDArray[Any], y: NDArray[Any], low: bool
) -> dict[str, Any] | None:
    """The best cell, and the centre of mass of it and its eight neighbours; weights are the values above zero, or
    one over them where low ones are good."""
    if not np.isfinite(z).any():
        return None
    row, column = np.unravel_index(int(np.nanargmin(z) if low else np.nanargmax(z)), z.shape)
    rows, columns = (slice(max(int(at) - 1, 0), int(at) + 2) for at in (row, column))
    part = z[rows, columns]
    good = np.isfinite(part) & (part > 0)
    weights = np.zeros(part.shape)
    weights[good] = 1.0 / part[good] if low else part[good]
    total = weights.sum()
    centre_x = centre_y = np.nan
    if total > 0:
        centre_x, centre_y = (weights.sum(axis=0) @ x[columns]) / total, (weights.sum(axis=1) @ y[rows]) / total
    return {
        "column": int(column),
        "row": int(row),
        "image": int(images[row, column]),
        "value": float(z[row, column]),
        "x": float(centre_x),
        "y": float(centre_y),
    }
