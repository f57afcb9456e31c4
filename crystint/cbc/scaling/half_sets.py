"""How well |q|^2 from one half of the data agree with those from the other.

Each half is fitted by itself, maps included, so that nothing is common to both but the crystal. Halves of frames share
no pixel. Halves of streaks share those on which streaks of both lie: these are left out of both.

CC1/2 is the correlation of |q|^2 over reflections that are in both halves (Karplus & Diederichs 2012, Science 336,
1030), CC* = sqrt(2 CC1/2 / (1 + CC1/2)) that which all data would have with the truth, R_split =
sum |a - k b| / (sqrt 2 / 2 sum (a + k b)) with k for equal sums (White et al. 2012, J. Appl. Cryst. 45, 335). A bias
that both halves have, from smoothing or a wrong background, is in none of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crystint.arrays import Floats
from crystint.cbc.scaling.subsets import Trainable, subset
from crystint.errors import SettingError

__all__ = ["HalfSets", "half_sets"]


@dataclass(frozen=True, eq=False)
class HalfSets:
    """|q|^2 from two halves of the data; H reflections, merged as in the scaler."""

    q2: Floats
    """float64 [2, H], counts, each half on its own scale; NaN = not in that half"""
    by: str
    """"streaks" or "frames\""""

    @property
    def both(self) -> NDArray[np.bool_]:
        """bool [H]: reflections in both halves."""
        return np.asarray(np.isfinite(self.q2).all(axis=0))

    @property
    def cc_half(self) -> float:
        """CC1/2; NaN for fewer than 3 reflections in both."""
        first, second = self.q2[:, self.both]
        if len(first) < 3 or not (np.ptp(first) > 0.0 and np.ptp(second) > 0.0):
            return float("nan")
        return float(np.corrcoef(first, second)[0, 1])

    @property
    def cc_star(self) -> float:
        """CC*; NaN where CC1/2 is not above 0."""
        half = self.cc_half
        return float(np.sqrt(2.0 * half / (1.0 + half))) if half > 0.0 else float("nan")

    @property
    def r_split(self) -> float:
        """R_split of reflections in both; NaN where there are none."""
        first, second = self.q2[:, self.both]
        if not (first.sum() > 0.0 and second.sum() > 0.0):
            return float("nan")
        scaled = second * (first.sum() / second.sum())
        return float(np.sqrt(2.0) * np.abs(first - scaled).sum() / (first + scaled).sum())


def half_sets(
    scaler: Trainable, bandwidth: float | None = None, *, by: str = "streaks", seed: int = 0, **train: Any
) -> HalfSets:
    """Fit both halves of the data.

    Parameters
    ----------
    scaler : IntensityScaler
        With equal indices (`merge_hkl()`: agreement of unmerged data) or symmetry (of merged data) merged.
    bandwidth : float, optional
        None = that of the scaler's maps.
    by : "streaks" or "frames"
        What is divided at random: the streaks of each reflection, as evenly as can be, or frames.
    seed : int
        Of the division.
    **train
        For `IntensityScaler.train`.

    Raises
    ------
    SettingError
        When there is no bandwidth, no reflection has two streaks, there is but one frame to divide, or a half cannot be
        fitted.
    """
    layout = scaler.layout
    width = scaler.bandwidth if bandwidth is None else bandwidth
    if width is None:
        raise SettingError("the maps are from no regression: give the bandwidth of the half sets, or train first")
    rng = np.random.default_rng(seed)
    if by == "streaks":
        side = _dealt(layout.streak_reflection, rng)
    elif by == "frames":
        if layout.n_frames < 2:
            raise SettingError("there is one frame, which cannot be divided: make half sets of streaks")
        side = (rng.permutation(layout.n_frames) % 2)[layout.streak_frame]
    else:
        raise SettingError(f"by is {by!r}, expected 'streaks' or 'frames'")
    present = [np.bincount(layout.streak_reflection[side == half], minlength=layout.n_reflections) for half in (0, 1)]
    if not ((present[0] > 0) & (present[1] > 0)).any():
        raise SettingError(
            f"no reflection is in both halves of {by}: merge first (`merge_hkl`), or in a higher symmetry"
        )
    of_row = np.repeat(side, np.diff(layout.streak_start))
    ones = np.bincount(layout.pixel, of_row, layout.n_pixels)
    alone = ((ones == 0) | (ones == layout.multiplicity))[layout.pixel]
    q2 = np.full((2, layout.n_reflections), np.nan)
    for half in (0, 1):
        keep = alone & (of_row == half)
        if not keep.any():
            raise SettingError("streaks of both halves lie on every pixel: make half sets of frames")
        part, _ = subset(scaler, keep)
        trained, x = part.train(width, **train)
        q2[half] = trained.q2(x)
    return HalfSets(q2, by)


def _dealt(reflection: NDArray[np.intp], rng: np.random.Generator) -> NDArray[np.intp]:
    """0 or 1 for each streak, by turns through the streaks of each reflection in random order."""
    side = np.empty(len(reflection), dtype=np.intp)
    side[np.lexsort((rng.random(len(reflection)), reflection))] = np.arange(len(reflection)) % 2
    return side
