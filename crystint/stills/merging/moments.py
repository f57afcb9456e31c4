"""Means, spreads and correlations of pairs of numbers, as sums that add without cancelling."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

__all__ = ["PairMoments"]


def _zero() -> NDArray[np.float64]:
    return np.zeros(())


@dataclass(frozen=True, eq=False)
class PairMoments:
    """Second moments about the mean of pairs (x, y), per shell.

    ``a + b`` is what one pass over both would have given; ``PairMoments()`` is zero. Moments are about the mean of
    each part, so that nothing cancels where the mean is far above the spread.

    Source: Chan, Golub & LeVeque (1983), Am. Stat. 37, 242.
    """

    n: NDArray[np.float64] = field(default_factory=_zero)
    """float64 [shells]: pairs"""
    x: NDArray[np.float64] = field(default_factory=_zero)
    """float64 [shells]: mean of x; 0 where there are none"""
    y: NDArray[np.float64] = field(default_factory=_zero)
    xx: NDArray[np.float64] = field(default_factory=_zero)
    """float64 [shells]: sum of (x - mean)^2"""
    yy: NDArray[np.float64] = field(default_factory=_zero)
    xy: NDArray[np.float64] = field(default_factory=_zero)

    @classmethod
    def of(cls, x: NDArray[Any], y: NDArray[Any], shell: NDArray[Any], count: int) -> Self:
        """Collect the pairs of each shell; pairs with a NaN and those of shell -1 are left out.

        Parameters
        ----------
        x, y : float [n]
        shell : int [n]
            From 0 to count - 1.
        """
        use = np.isfinite(x) & np.isfinite(y) & (shell >= 0)
        x, y, shell = np.asarray(x[use], np.float64), np.asarray(y[use], np.float64), shell[use]

        def add(values: NDArray[Any] | None = None) -> NDArray[np.float64]:
            return np.bincount(shell, values, minlength=count).astype(np.float64)

        n = add()
        whole = np.maximum(n, 1.0)
        mean_x, mean_y = add(x) / whole, add(y) / whole
        off_x, off_y = x - mean_x[shell], y - mean_y[shell]
        return cls(n, mean_x, mean_y, add(off_x * off_x), add(off_y * off_y), add(off_x * off_y))

    def __add__(self, other: Self) -> Self:
        n = self.n + other.n
        whole = np.where(n > 0.0, n, 1.0)
        share = self.n * other.n / whole
        step_x, step_y = other.x - self.x, other.y - self.y
        return type(self)(
            n,
            self.x + step_x * other.n / whole,
            self.y + step_y * other.n / whole,
            self.xx + other.xx + share * step_x * step_x,
            self.yy + other.yy + share * step_y * step_y,
            self.xy + other.xy + share * step_x * step_y,
        )

    @property
    def total(self) -> Self:
        """All shells in one: shape ()."""
        n = self.n.sum()
        whole = max(float(n), 1.0)
        x, y = (self.n * self.x).sum() / whole, (self.n * self.y).sum() / whole
        off_x, off_y = self.x - x, self.y - y
        parts = (
            n,
            x,
            y,
            (self.xx + self.n * off_x**2).sum(),
            (self.yy + self.n * off_y**2).sum(),
            (self.xy + self.n * off_x * off_y).sum(),
        )
        return type(self)(*(np.asarray(part, dtype=np.float64) for part in parts))

    def row(self, shell: int) -> Self:
        """One shell: shape ()."""
        return type(self)(*(np.asarray(getattr(self, part.name)[shell]) for part in fields(self)))

    @property
    def cc(self) -> NDArray[np.float64]:
        """float64 [shells]: Pearson's correlation; NaN below three pairs or without spread."""
        with np.errstate(invalid="ignore", divide="ignore"):
            correlation = self.xy / np.sqrt(self.xx * self.yy)
        return np.where((self.n > 2) & (self.xx > 0.0) & (self.yy > 0.0), correlation, np.nan)
