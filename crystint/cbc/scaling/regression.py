"""chi on the nodes of a grid by kernel regression of what the rows say, a frame at a time.

    chi(k) = sum_i n_i K(k - u_i) / sum_i d_i K(k - u_i)
    K = exp(-(dx^2 + dy^2) / 2 h^2), 0 where |dx| or |dy| > 4 h

with n_i = f^2 times the counts of row i above background and d_i = |q|^2 f^4 (Nadaraya 1964, Theor. Probab. Appl. 9,
141, with weights). Both sums have the same K, so nothing is lost at the edges of the grid or of the data. A node that
no row reaches is empty, NaN. chi below 0 becomes 0.

K is a product of one factor in x and one in y: the sums of a block of rows are a product of two matrices, [ny, rows]
and [rows, nx], whose factors need an exponential per row and node of an axis only. Time is linear in rows, memory that
of one block.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from crystint.arrays import Floats
from crystint.errors import SettingError

__all__ = ["REACH", "checked_bandwidth", "kernel_regression"]


REACH = 4.0
"""bandwidths beyond which the kernel is 0"""
_BLOCK = 2048
"""rows whose factors are made at a time: they stay in the cache"""
_PRODUCT = 128
"""rows per product of matrices: so few that libraries of linear algebra do not start threads for each"""


def checked_bandwidth(bandwidth: float) -> float:
    """The bandwidth as a float.

    Raises
    ------
    SettingError
        Unless it is a finite number above 0.
    """
    try:
        value = float(bandwidth)
    except (TypeError, ValueError):
        value = float("nan")
    if not (np.isfinite(value) and value > 0.0):
        raise SettingError(
            f"bandwidth is {bandwidth!r}, expected a number above 0 in units of the incident unit vector"
            " (a pixel is about pixel size / distance)"
        )
    return value


def kernel_regression(
    u: Floats, frame_start: NDArray[np.intp], numerator: Floats, denominator: Floats, x: Floats, y: Floats, h: float
) -> Floats:
    """Kernel regression on the nodes (x, y) of each frame.

    Parameters
    ----------
    u : float64 [n, 2]
        x and y of each row.
    frame_start : intp [F + 1]
        Frame f has the rows frame_start[f] .. frame_start[f + 1] - 1.
    numerator, denominator : float64 [n]
        n_i and d_i of each row; d_i is 0 or more, and rows where it is 0 have n_i = 0.
    x, y : float64 [nx], float64 [ny]
        Nodes.
    h : float
        Bandwidth, in units of u.

    Returns
    -------
    float64 [F, ny, nx]
        0 or more; NaN = empty.

    Raises
    ------
    SettingError
        When the bandwidth is not above 0.
    """
    width = checked_bandwidth(h)
    out = np.empty((len(frame_start) - 1, len(y), len(x)))
    for frame, (first, last) in enumerate(pairwise(frame_start)):
        above, below = np.zeros(out.shape[1:]), np.zeros(out.shape[1:])
        for start in range(first, last, _BLOCK):
            rows = slice(start, min(start + _BLOCK, last))
            along_x = _kernel(u[rows, 0], x, width)
            along_y = _kernel(u[rows, 1], y, width)
            above += _product(along_y * numerator[rows], along_x)
            below += _product(np.multiply(along_y, denominator[rows], out=along_y), along_x)
        with np.errstate(invalid="ignore", divide="ignore"):
            out[frame] = np.where(below > 0.0, np.maximum(above / below, 0.0), np.nan)
    return out


def _product(left: Floats, right: Floats) -> Floats:
    """left @ right.T in parts: float64 [ny, rows], float64 [nx, rows] -> float64 [ny, nx]."""
    rows = left.shape[1]
    whole = rows - rows % _PRODUCT
    total = left[:, whole:] @ right[:, whole:].T
    if whole:
        parts = (side[:, :whole].reshape(len(side), -1, _PRODUCT) for side in (left, right))
        of_y, of_x = next(parts), next(parts)
        total += np.matmul(of_y.transpose(1, 0, 2), of_x.transpose(1, 2, 0)).sum(axis=0)
    return np.asarray(total)


def _kernel(at: Floats, nodes: Floats, h: float) -> Floats:
    """Factor of K along one axis: float64 [nodes, rows]."""
    distance = np.subtract.outer(nodes / h, at / h)
    distance *= distance
    near = distance <= REACH * REACH
    distance *= -0.5
    np.exp(distance, out=distance)
    distance *= near
    return distance
