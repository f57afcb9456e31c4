"""Products of tall matrices in tiles.

Libraries of linear algebra start threads for each product that is not small, and where other work keeps the cores busy
these wait for one another: four times the time, and more, for the middling matrices of the uncertainties. Tiles of 64
are below the size at which they do.
"""

from __future__ import annotations

import numpy as np

from crystint.arrays import Floats

__all__ = ["inner"]

_TILE = 64


def inner(left: Floats, right: Floats) -> Floats:
    """left.T @ right: float64 [n, a], float64 [n, b] -> float64 [a, b]. Of `left` by itself, half is computed."""
    same = left is right
    out = np.empty((left.shape[1], right.shape[1]))
    for row in range(0, left.shape[1], _TILE):
        rows = slice(row, row + _TILE)
        for column in range(row if same else 0, right.shape[1], _TILE):
            columns = slice(column, column + _TILE)
            out[rows, columns] = _tile(left[:, rows], right[:, columns])
            if same and column > row:
                out[columns, rows] = out[rows, columns].T
    return out


def _tile(left: Floats, right: Floats) -> Floats:
    whole = len(left) - len(left) % _TILE
    total = left[whole:].T @ right[whole:]
    if whole:
        first, second = (np.ascontiguousarray(side[:whole]).reshape(-1, _TILE, side.shape[1]) for side in (left, right))
        total += np.matmul(first.transpose(0, 2, 1), second).sum(axis=0)
    return np.asarray(total)
