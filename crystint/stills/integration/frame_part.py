"""What one frame gives."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crystint.model.observations import Observations
from crystint.stills.integration.spot_moments import SpotMoments

__all__ = ["FramePart", "Seen"]


@dataclass(frozen=True, eq=False)
class FramePart:
    """What one frame gave; rows as in `crystint.stills.integration.integrate.Integrated`."""

    observations: Observations
    moments: SpotMoments
    ring_pixels: NDArray[np.intp]
    captured: NDArray[np.float64]
    guess: float
    """1/angstrom: width that stands in where none was measured"""
    terms: dict[int, int]
    """images whose places were moved, and how many terms that has"""
    both: NDArray[np.float64]
    """float64 [len(moments), 2], counts: amplitudes of the profiles of the strong spots, and sums over their cores"""
    away: NDArray[np.float64]
    """float64 [len(moments), 2, 2], px: how far they are from [predicted, moved] places, [radially, tangentially]"""
    pixel: NDArray[np.float64]
    """float64 [len(moments)], 1/angstrom: a px there"""
    rings: tuple[NDArray[np.float64], NDArray[np.float64]]
    """float64 [len(moments), 5] each: share of the core in rings of 0.5 R, of counts and of the profile"""


@dataclass(frozen=True, eq=False)
class Seen:
    """What is found at some places."""

    columns: dict[str, NDArray[Any]]
    """of numbers, in the order of the places"""
    moments: SpotMoments
    """of the strong spots"""
    rows: NDArray[np.intp]
    """int [len(moments)]: which of the places"""
    both: NDArray[np.float64]
    """float64 [len(moments), 2], counts: amplitudes of their profiles, and sums over their cores"""
    rings: tuple[NDArray[np.float64], NDArray[np.float64]]
    """float64 [len(moments), 5] each"""
