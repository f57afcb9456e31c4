"""Two constants from squared deviates: mean(square) = a mean(variance) + b^2 mean(level^2), robustly."""

from __future__ import annotations

from math import sqrt
from typing import NamedTuple

import numpy as np

from crystint.arrays import Floats

__all__ = ["BINS", "LIMIT", "VarianceFit", "fit_variance"]

BINS = 15
LIMIT = 8.0
"""deviates beyond this many sigma' are outliers and left out of the fit"""
_LEAST_A = 0.25
"""a is not let below this: with a = 0 reflections whose mean is near 0 would have no error at all"""
_CHI2_MEDIAN = 0.4549364
"""median of the square of a standard Gaussian"""


class VarianceFit(NamedTuple):
    """Result of `fit_variance`."""

    a: float
    b: float
    limited: bool
    """a is at its lower limit"""
    note: str
    used: int
    rejected: int


def fit_variance(
    square: Floats,
    variance: Floats,
    mean: Floats,
    *,
    bins: int = BINS,
    limit: float = LIMIT,
    start: tuple[float, float] | None = None,
    even: bool = False,
    cycles: int = 20,
) -> VarianceFit:
    """Fit a and b to squared deviates, mean(square) = a mean(variance) + b^2 mean(mean^2) in bins of `mean`.

    Parameters
    ----------
    square, variance, mean : float64 [n]
        Squared deviate (corrected for what follows it), variance before the model, and intensity expected.
    start : optional
        a and b to judge outliers by at first; None = the medians of the bins, which outliers hardly move.
    even
        In the means each row has the weight 1 / (what a and b expect of its square), so that rows of enormous variance
        do not decide alone. Without it the rows that the model describes worst count most.
    """
    bins = max(2, min(bins, len(square) // 10))
    level = np.square(np.maximum(mean, 0.0))
    # equal means fall into one bin, so that the order of the rows does not matter
    cuts = np.quantile(mean, np.arange(1, bins) / bins, method="lower") if len(mean) else np.zeros(bins - 1)
    number = np.searchsorted(cuts, mean, side="right")
    a, b = start if start is not None else (1.0, 0.0)
    if start is None and len(mean):
        size = np.bincount(number, minlength=bins).astype(np.float64)
        order = np.argsort(number, kind="stable")
        parts = np.split(square[order], np.cumsum(size)[:-1].astype(np.intp))
        middle = np.array([np.median(part) if len(part) else 0.0 for part in parts]) / _CHI2_MEDIAN
        per = np.maximum(size, 1.0)
        a, b = _solve(middle, np.bincount(number, variance, bins) / per, np.bincount(number, level, bins) / per, size)
    used = np.ones(len(square), dtype=bool)
    for _ in range(cycles):
        expected = a * variance + b * b * level
        used = square <= limit**2 * expected
        size = np.bincount(number, used, bins).astype(np.float64)
        per = np.maximum(size, 1.0)
        share = used / expected if even else used.astype(np.float64)
        sums = [np.bincount(number, share * column, bins) / per for column in (square, variance, level)]
        now = _solve(sums[0], sums[1], sums[2], size)
        change = max(abs(now[0] - a) / max(a, 1e-12), abs(now[1] - b) / max(now[1], 0.01))
        a, b = now
        if change < 1e-4:
            break
    note = ""
    if a <= _LEAST_A:
        note = f"the spread hardly depends on sigma: a is at its lower limit of {_LEAST_A}"
    elif b <= 0.0:
        note = "no spread beyond a sigma^2 is seen: b = 0, ISa has no bound"
    return VarianceFit(a, b, a <= _LEAST_A, note, int(np.count_nonzero(used)), int(np.count_nonzero(~used)))


def _solve(square: Floats, variance: Floats, level: Floats, size: Floats) -> tuple[float, float]:
    """a >= its limit and b >= 0 of square = a variance + b^2 level, weights size / (fitted square)^2."""
    full = (size > 0.5) & (variance > 0.0)
    square, variance, level, size = square[full], variance[full], level[full], size[full]
    if not square.any():
        return _LEAST_A, 0.0
    expected = np.maximum(square, 1e-3 * variance)
    best = now = (1.0, 0.0)
    for _ in range(50):
        root = np.sqrt(size) / expected
        x, y, z = variance * root, level * root, square * root
        xx, xy, yy, xz, yz = x @ x, x @ y, y @ y, x @ z, y @ z
        tests: list[tuple[float, float]] = [(max(float(xz / xx), _LEAST_A), 0.0)]
        if yy > 0.0:
            tests.append((_LEAST_A, max(float((yz - _LEAST_A * xy) / yy), 0.0)))
            det = xx * yy - xy * xy
            if det > 1e-12 * xx * yy:
                tests.append((float((xz * yy - yz * xy) / det), float((yz * xx - xz * xy) / det)))
        tests = [test for test in tests if test[0] >= _LEAST_A and test[1] >= 0.0]
        now = tests[int(np.argmin([np.sum((z - first * x - second * y) ** 2) for first, second in tests]))]
        expected = np.maximum(now[0] * variance + now[1] * level, 1e-6 * variance)
        if np.allclose(now, best, rtol=1e-6, atol=0.0):
            break
        best = now
    return now[0], sqrt(now[1])
