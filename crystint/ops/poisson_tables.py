"""Tables from which kernels/random.h draws Poisson and normal numbers."""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray

__all__ = ["normal_knots", "poisson_laws", "table_defines"]

_MOST = 35.75
_BITS = 6
_BUCKETS = 64
_KNOTS = 4096
_SHARES = 1 << 16
"""parts that a bucket is divided into"""


def table_defines() -> dict[str, object]:
    """The defines of kernels/random.h."""
    return {
        "POISSON_MOST": f"{_MOST}f",
        "POISSON_BITS": _BITS,
        "KNOTS": _KNOTS,
    }


def _shares(mean: float) -> tuple[int, NDArray[np.int64]]:
    """First count of a window of 64, and the probability of each in units of 2^-22, which add up."""
    from scipy.special import pdtr  # scipy.stats takes a second to import

    first = max(0, int(mean - 4.9 * np.sqrt(mean)))
    counts = first + np.arange(_BUCKETS)
    below = pdtr(counts, mean)
    below[-1] = 1.0
    ends = np.rint(below * (_BUCKETS * _SHARES)).astype(np.int64)
    return first, np.diff(ends, prepend=0)


def _alias(mean: float) -> list[int]:
    """One row of `poisson_laws`."""
    first, left = _shares(mean)
    rest = {number: int(share) for number, share in enumerate(left)}
    row = []
    small = [number for number, share in rest.items() if share < _SHARES]
    large = [number for number, share in rest.items() if share >= _SHARES]
    while small or large:
        own = small.pop() if small else large.pop()
        share = rest[own]
        other = large[-1] if share < _SHARES else own
        row.append((share if share < _SHARES else 0) << 16 | (first + other) << 8 | (first + own))
        if share < _SHARES:
            rest[other] -= _SHARES - share
            if rest[other] < _SHARES:
                small.append(large.pop())
    return row


@cache
def poisson_laws() -> NDArray[np.uint32]:
    """Poisson's law at means up to 36, as buckets of Walker's alias method.

    The means are the floats of 6 bits of mantissa from 1/4 on, less 1/4. A row gives 64 buckets the same probability;
    each holds two counts and the share, of 65536, of the first one.

    Returns
    -------
    uint32 [rows * 64], read-only: share of the first << 16 | second << 8 | first
    """
    first, last = (int(np.float32(x).view(np.uint32)) >> (23 - _BITS) for x in (0.25, _MOST + 0.25))
    bits = np.arange(first, last + 2, dtype=np.uint32) << np.uint32(23 - _BITS)
    rows = [_alias(float(mean)) for mean in bits.view(np.float32) - 0.25]
    laws = np.array(rows, dtype=np.uint32).ravel()
    laws.setflags(write=False)
    return laws


@cache
def normal_knots() -> NDArray[np.float32]:
    """Quantiles of the standard normal law at i / 4096; the first and the last stand for the tails.

    Returns
    -------
    float32 [4097], read-only
    """
    from scipy.special import ndtri

    knots = np.asarray(ndtri(np.arange(_KNOTS + 1) / _KNOTS))
    knots[[0, -1]] = knots[[1, -2]]
    knots = knots.astype(np.float32)
    knots.setflags(write=False)
    return knots
