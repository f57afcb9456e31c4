"""Projection maps chi_n(u) of the crystal: how strongly each part of it diffracts, a map per frame.

Maps are given on nodes of a rectangular grid in the x and y of the incident unit vector (no unit, about the sine of an
angle) and bilinear between them. A node that no data reached is empty: NaN. It takes no part in an interpolation; the
weights of the others are scaled up to 1. Frames are maps of their own, and nothing is interpolated between them.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from crystint.arrays import Floats
from crystint.errors import SettingError, ShapeError
from crystint.html import html_table

__all__ = ["ProjectionMap", "bilinear"]

_BLOCK = 1 << 16
"""rows interpolated together, so that what is in between stays in the cache"""


@dataclass(frozen=True, eq=False, repr=False)
class ProjectionMap:
    """chi on the nodes of a grid. Its scale is that of |q|^2 inverted; `normalised` makes the mean 1.

    Examples
    --------
    >>> from crystint import cbc
    >>> data = cbc.simulate_cbc(3, d_min=5.0, seed=1)
    >>> scaler, x = cbc.IntensityScaler.of(data.table, data.setup).merge_hkl("mmm").train(bandwidth=2e-3)
    >>> scaler.xtal.values.shape == (3, len(scaler.xtal.y), len(scaler.xtal.x))
    True
    """

    values: Floats
    """float64 [F, ny, nx]; NaN = empty node"""
    x: Floats
    """float64 [nx], ascending"""
    y: Floats
    """float64 [ny], ascending"""
    frames: NDArray[np.int64]
    """int64 [F]: numbers of the frames"""

    def __post_init__(self) -> None:
        for name in ("values", "x", "y"):
            object.__setattr__(self, name, np.ascontiguousarray(getattr(self, name), dtype=np.float64))
        object.__setattr__(self, "frames", np.asarray(self.frames, dtype=np.int64))
        for name in ("x", "y"):
            axis = getattr(self, name)
            if axis.ndim != 1 or len(axis) < 2:
                raise ShapeError(f"axis {name} of the map is {axis.shape}, expected at least 2 nodes")
            if not (np.isfinite(axis).all() and (np.diff(axis) > 0.0).all()):
                raise SettingError(f"axis {name} of the map is not ascending")
        shape = (len(self.frames), len(self.y), len(self.x))
        if self.values.shape != shape:
            raise ShapeError(f"the map is {self.values.shape}, expected {shape}: frames, nodes of y, nodes of x")

    def __repr__(self) -> str:
        frames, ny, nx = self.values.shape
        return (
            f"<ProjectionMap: {frames} frames, {ny} x {nx} nodes (y, x), u_x {self.x[0]:.3g} to {self.x[-1]:.3g},"
            f" u_y {self.y[0]:.3g} to {self.y[-1]:.3g}, mean {self.mean:.4g}>"
        )

    def _repr_html_(self) -> str:
        facts = {
            "frames": len(self.frames),
            "nodes (y, x)": self.values.shape[1:],
            "u_x": (float(self.x[0]), float(self.x[-1])),
            "u_y": (float(self.y[0]), float(self.y[-1])),
            "mean": self.mean,
            "empty nodes": int(self.empty.sum()),
        }
        return html_table("ProjectionMap", facts)

    @classmethod
    def even(cls, frames: ArrayLike, u: ArrayLike, grid: tuple[int | ArrayLike, int | ArrayLike]) -> ProjectionMap:
        """A map of ones over all that `u` reaches.

        Parameters
        ----------
        frames : int [F]
        u : float [n, 2]
            Coordinates of the data.
        grid : (y, x)
            Number of nodes, evenly spaced over the range of u, or the nodes themselves, float [ny] and [nx].

        Raises
        ------
        SettingError
            When given nodes do not reach as far as the data, there are fewer than 2, or grid is not two of these.
        """
        at = np.asarray(u, dtype=np.float64)
        if isinstance(grid, str) or not hasattr(grid, "__len__") or len(grid) != 2:
            raise SettingError(f"grid is {grid!r}, expected (y, x): two numbers of nodes, or the nodes themselves")
        axes = []
        for name, column, nodes in (("y", 1, grid[0]), ("x", 0, grid[1])):
            low, high = float(at[:, column].min()), float(at[:, column].max())
            if np.ndim(nodes) == 0:
                axes.append(_even_axis(name, low, high, nodes))
                continue
            axis = np.asarray(nodes, dtype=np.float64)
            if axis.size < 2 or low < axis.min() or high > axis.max():
                reach = f"{axis.min():g}..{axis.max():g}" if axis.size else "nothing"
                raise SettingError(
                    f"the grid of chi in {name} covers {reach}, but the data reach {low:g}..{high:g};"
                    " give nodes that cover the data, or their number"
                )
            axes.append(axis)
        numbers = np.asarray(frames, dtype=np.int64)
        return cls(np.ones((len(numbers), len(axes[0]), len(axes[1]))), axes[1], axes[0], numbers)

    @property
    def empty(self) -> NDArray[np.bool_]:
        """bool [F, ny, nx]: nodes that no data reached."""
        return np.isnan(self.values)

    @property
    def mean(self) -> float:
        """Mean of chi over the nodes that are not empty; NaN when all are."""
        filled = ~self.empty
        return float(self.values[filled].mean()) if filled.any() else float("nan")

    def normalised(self) -> tuple[ProjectionMap, float]:
        """This map divided by its mean, and the mean, by which |q|^2 is to be multiplied."""
        mean = self.mean
        if not mean > 0.0:
            raise SettingError(f"the mean of chi is {mean:g}, expected above 0; no data are above their background")
        return replace(self, values=self.values / mean), mean

    def interpolate(self, frame: ArrayLike, u: ArrayLike) -> Floats:
        """chi at given places: float64 [n], NaN where all nodes around are empty.

        Parameters
        ----------
        frame : int [n], or one for all
            Place of the frame in `frames`, 0..F-1 (not its number), as in `Layout.frame`.
        u : float [n, 2]
            x and y; what lies beyond the grid has the value of its edge.

        Raises
        ------
        ShapeError, SettingError
            When u is not [n, 2], or there is no such frame.
        """
        at, which = np.asarray(u, dtype=np.float64), np.asarray(frame, dtype=np.intp)
        if at.ndim != 2 or at.shape[1] != 2:
            raise ShapeError(f"u is {at.shape}, expected (n, 2)")
        if len(at) and not 0 <= which.min() <= which.max() < len(self.frames):
            raise SettingError(f"frame {which.min()}..{which.max()} of a map of {len(self.frames)} frames")
        which = np.broadcast_to(which, len(at))
        out = np.empty(len(at))
        for start in range(0, len(at), _BLOCK):
            rows = slice(start, start + _BLOCK)
            out[rows] = bilinear(self.values, self.x, self.y, which[rows], at[rows])
        return out


def bilinear(values: Floats, x: Floats, y: Floats, frame: NDArray[np.intp], u: Floats) -> Floats:
    """Bilinear interpolation with empty nodes left out.

    values float64 [F, ny, nx], x [nx], y [ny], frame intp [n], u float64 [n, 2] -> float64 [n]. With weights w of the
    four nodes around, the result is sum w chi / sum w over those that are not NaN. At a node its weight is 1 and that
    of the others 0, so its value comes back exactly; NaN where no node with a weight above 0 is known.
    """
    column, right = _cell(x, u[:, 0])
    row, low = _cell(y, u[:, 1])
    flat, width = values.reshape(-1), len(x)
    corner = (frame * len(y) + row) * width + column
    left, high = 1.0 - right, 1.0 - low
    corners = ((0, high, left), (1, high, right), (width, low, left), (width + 1, low, right))
    total, weight = np.zeros(len(u)), np.zeros(len(u))
    if not np.isnan(values).any():
        for step, across, along in corners:
            total += flat[corner + step] * (across * along)
        return total
    for step, across, along in corners:
        node = flat[corner + step]
        share = np.where(np.isnan(node), 0.0, across * along)
        total += np.where(share > 0.0, node, 0.0) * share
        weight += share
    with np.errstate(invalid="ignore", divide="ignore"):
        # Shares of 1 - t and t do not always add up to 1 to the last digit: nothing is divided where none is missing.
        return np.where(weight > 1.0 - 1e-12, total, total / weight)


def _cell(axis: Floats, at: Floats) -> tuple[NDArray[np.intp], Floats]:
    """Node below, of which there is always one above, and the distance from it as a part of that to the next."""
    below = np.clip(np.searchsorted(axis, at, side="right") - 1, 0, len(axis) - 2)
    return below, np.clip((at - axis[below]) / (axis[below + 1] - axis[below]), 0.0, 1.0)


def _even_axis(name: str, low: float, high: float, nodes: object) -> Floats:
    if isinstance(nodes, bool) or not isinstance(nodes, int | np.integer) or nodes < 2:
        raise SettingError(f"the grid of chi has {nodes!r} nodes in {name}, expected a whole number, 2 or more")
    number = int(nodes)
    if high <= low:
        half = max(abs(low), 1.0) * 1e-6
        low, high = low - half, high + half
    return np.linspace(low, high, number)
