"""Which powder rings of ice stand out of the background of a frame."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from crystint.model.peaks import ICE_D

__all__ = ["NO_ICE", "IceRings", "on_ring"]

_HALF_WIDTH = 0.02
"""1/angstrom in q: half the width of a sharp ice ring on a detector"""
_REACH = 8.0
"""half widths: how far the background is looked at on both sides of a ring"""
_RELATIVE = 0.05
"""least excess of a ring over the background about it; a smooth background differs by less than 0.02 from a parabola"""
_SIGMA = 5.0
"""and in units of its standard error"""
_CREST = 2.0 * np.pi / np.asarray(ICE_D)
NO_ICE: NDArray[np.bool_] = np.zeros(len(ICE_D), bool)
"""bool [ICE_D]: none stands out"""


class IceRings:
    """The rings of hexagonal ice on one ring map.

    The mean background over the rings within half a width of each spacing is compared with a parabola through the rings
    on both sides of it that no ring of ice touches. Spots that lie on a spacing of ice by chance are no ice.

    Parameters
    ----------
    q : float64 [rings]
        1/angstrom, of the ring centres; NaN where the wavelength is unknown.
    """

    def __init__(self, q: NDArray[np.float64]) -> None:
        self._q = q
        step = float(np.median(np.diff(q))) if len(q) > 1 and np.isfinite(q).all() else np.nan
        self._half = max(_HALF_WIDTH, 0.5 * step) if np.isfinite(step) else np.nan
        self._weights: tuple[NDArray[np.bool_], NDArray[np.float64], NDArray[np.float64]] | None = None

    def standing_out(self, mean: NDArray[np.floating], variance: NDArray[np.floating]) -> NDArray[np.bool_]:
        """bool [ICE_D]: which rings stand out by 5 % of the background about them, and by 5 standard errors.

        Parameters
        ----------
        mean, variance
            As `scores`.
        """
        return np.asarray(self.scores(mean, variance) > 1.0)

    def scores(self, mean: NDArray[np.floating], variance: NDArray[np.floating]) -> NDArray[np.float64]:
        """float64 [ICE_D]: each ring over the background about it; 1 where it does not stand out, NaN where that is not
        known.

        Parameters
        ----------
        mean : float [rings]
            Background; NaN = none.
        variance : float [rings]
            Of `mean`.
        """
        usable = np.isfinite(mean)
        weights = self._weights
        if weights is None or not np.array_equal(weights[0], usable):
            weights = self._weights = (usable, *self._parabolas(usable))
        _, inside, about = weights
        filled, spread = np.where(usable, mean, 0.0), np.where(usable, variance, 0.0)
        level, excess = about @ filled, (inside - about) @ filled
        error = np.sqrt(np.square(inside - about) @ spread)
        out = (excess > _RELATIVE * level) & (excess > _SIGMA * error)
        score = np.ones(len(ICE_D))
        np.divide(level + excess, level, out=score, where=out & (level > 0))
        score[out & (level <= 0)] = np.inf
        score[~inside.any(axis=1)] = np.nan
        return score

    def _parabolas(self, usable: NDArray[np.bool_]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Two of float64 [ICE_D, rings]: weights of the mean in each ring, and of the parabola about it. Zeros where
        there are not two rings on either side."""
        inside, about = np.zeros((2, len(ICE_D), len(self._q)))
        if not np.isfinite(self._half):
            return inside, about
        off = self._q[:, None] - _CREST
        clear = usable & (np.abs(off).min(axis=1) > 1.5 * self._half)
        for number in range(len(ICE_D)):
            x = off[:, number] / self._half
            near, side = usable & (np.abs(x) <= 1.0), clear & (np.abs(x) <= _REACH)
            if not near.any() or min(np.count_nonzero(side & (x < 0)), np.count_nonzero(side & (x > 0))) < 2:
                continue
            inside[number, near] = 1.0 / np.count_nonzero(near)
            fit = np.linalg.pinv(np.vander(x[side], 3))
            about[number, side] = np.vander(x[near], 3).mean(axis=0) @ fit
        return inside, about


def on_ring(d: NDArray[np.floating], rings: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """bool [d]: whether a spacing, angstrom, is within half a width of one of these rings.

    Parameters
    ----------
    rings : bool [ICE_D]
    """
    with np.errstate(divide="ignore"):
        q = 2.0 * np.pi / d
    return np.asarray(np.any(np.abs(q[:, None] - _CREST[rings]) <= _HALF_WIDTH, axis=1))
