"""How much better one model explains what it has not seen than another, and whether that is certain."""

from __future__ import annotations

from math import sqrt
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from crystint.arrays import Floats

__all__ = ["Gain", "gain_of"]

_CERTAIN = 2.0
"""standard errors, between images"""
_LEAST_GAIN = 0.01
"""per observation: less is not worth another model"""


class Gain(NamedTuple):
    """How much better one model explains observations left out than another."""

    mean: float
    """per observation, of minus twice the log likelihood; above 0 = better"""
    error: float
    """standard deviation of the mean, from the sums of the images; infinite where nothing can be compared"""
    used: int
    """observations"""

    @property
    def certain(self) -> bool:
        """By two standard errors, and worth it."""
        return self.mean > _CERTAIN * self.error and self.mean > _LEAST_GAIN

    @property
    def harms(self) -> bool:
        """It is a loss, by two standard errors, and not negligible."""
        return -self.mean > _CERTAIN * self.error and -self.mean > _LEAST_GAIN


def gain_of(before: Floats, after: Floats, image: NDArray[np.integer]) -> Gain:
    """What `after` gains over `before`, losses of the same observations, over those that both have."""
    gain = before - after
    both = np.isfinite(gain)
    used = int(np.count_nonzero(both))
    if not used:
        return Gain(0.0, float("inf"), 0)
    per_image = np.bincount(image[both], gain[both])
    return Gain(float(per_image.sum()) / used, sqrt(float(per_image @ per_image)) / used, used)
