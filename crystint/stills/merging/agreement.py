"""Whether merged intensities and those of a reference are of the same crystal."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from crystint.arrays import Floats
from crystint.model.reference import Reference
from crystint.stills.merging.merged import Merged

__all__ = ["Agreement"]

_PER_SHELL = 50
_LEAST = 10
"""common reflections, to say anything"""
_LIMIT = 3.0
"""standard errors"""
_DOUBTFUL, _REFUSED = 0.5, 0.25
"""of the correlation that the data allow: a model before refinement may be below the first, none below the second"""


@dataclass(frozen=True)
class Agreement:
    """Correlation of intensities relative to the means of their resolution: that both fall off counts nothing."""

    name: str
    """of the reference, and of its column"""
    cc: float
    """NaN with fewer than 10 common reflections"""
    error: float
    """standard error of `cc`: (1 - cc^2) / sqrt(n - 1)"""
    slope: float
    """of the data over the reference, both relative: 1 where they agree, 0 where they have nothing in common"""
    possible: float
    """the correlation to the truth that halves of the data allow, CC* = sqrt(2 CC1/2 / (1 + CC1/2)); NaN = unknown"""
    common: int
    """reflections"""

    @classmethod
    def of(cls, merged: Merged, reference: Reference, file: Path | None) -> Agreement:
        """Of merged intensities and a reference; `file` for messages, None = that which scaling had."""
        target = reference.match(merged.hkl, merged.space_group)
        both = np.isfinite(target) & np.isfinite(merged.intensity)
        count = int(both.sum())
        cc, slope = _correlation(merged.intensity[both], target[both], merged.d[both])
        halves = np.isfinite(merged.half_images).all(axis=1)
        one, other = merged.half_images[halves].T
        cc_half, _ = _correlation(one, other, merged.d[halves])
        sure = cc_half > _LIMIT / np.sqrt(max(int(halves.sum()) - 1, 1))
        possible = float(np.sqrt(2.0 * cc_half / (1.0 + cc_half))) if sure else float("nan")
        column = f" ({reference.label})" if reference.label else ""
        name = f"reference {'of scaling' if file is None else file}{column}"
        return cls(name, cc, (1.0 - cc**2) / np.sqrt(max(count - 1, 1)), slope, possible, count)

    @property
    def verdict(self) -> Literal["", "doubtful", "none"]:
        """ "none", "doubtful", or "" where they agree, or where nobody can say, the data being few or weak.

        "none": the correlation is three standard errors below a quarter of what the data allow, or below half of it
        while it is not three above 0. "doubtful": it is below half of that, or not three standard errors above 0.
        """
        if not (np.isfinite(self.cc) and np.isfinite(self.possible)):
            return ""
        by_chance = _LIMIT / np.sqrt(self.common - 1)
        above = float(np.tanh(np.arctanh(min(self.cc, 1.0 - 1e-12)) + _LIMIT / np.sqrt(self.common - 3)))
        share = _DOUBTFUL if self.cc < by_chance else _REFUSED
        if above < share * self.possible:
            return "none"
        return "doubtful" if self.cc < max(by_chance, _DOUBTFUL * self.possible) else ""

    @property
    def doubt(self) -> str:
        """What to warn of; empty where nothing is."""
        how = {"": "", "doubtful": "hardly agrees", "none": "does not agree"}[self.verdict]
        return how and f"the {self.name} {how} with the data: {self._figures}"

    def __str__(self) -> str:
        return f"{self.name}: {self._figures}"

    @property
    def _figures(self) -> str:
        if not np.isfinite(self.cc):
            return f"{self.common or 'no'} common reflections, too few to say whether they agree"
        allowed = f"; the data allow {self.possible:.3f}" if np.isfinite(self.possible) else ""
        return (
            f"CC {self.cc:.3f} +- {self.error:.3f} and slope {self.slope:.2f} of {self.common} common reflections, "
            f"relative to their resolution{allowed}"
        )


def _correlation(data: Floats, target: Floats, d: Floats) -> tuple[float, float]:
    """Correlation and slope of intensities relative to the means of shells of about 50."""
    n = len(data)
    if n < _LEAST:
        return float("nan"), float("nan")
    shells = np.array_split(np.argsort(d, kind="stable"), max(1, n // _PER_SHELL))
    x, y = [], []
    for rows in shells:
        mean_x, mean_y = float(target[rows].mean()), float(data[rows].mean())
        error = float(data[rows].std()) / np.sqrt(len(rows))
        if mean_x > 0.0 and mean_y > 2.0 * error:  # else there is no level to be relative to
            x.append(target[rows] / mean_x - 1.0)
            y.append(data[rows] / mean_y - 1.0)
    if not x:
        return float("nan"), float("nan")
    left, right = np.concatenate(x), np.concatenate(y)
    xx, yy, xy = float(left @ left), float(right @ right), float(left @ right)
    if not (xx > 0.0 and yy > 0.0):
        return float("nan"), float("nan")
    return xy / np.sqrt(xx * yy), xy / xx
