"""The names of LOKI over this package: for scripts that were written for it.

LOKI (D. Mendez, github.com/dermen/loki) is what tutorials of difference correlations use. Its arguments, their order
and what comes back are kept here; the work is done by the rest of `crystint.correlate`, which new scripts use itself.

LOKI's conventions, in this module alone: x is the fast and y the slow axis, counted from the centre of the first pixel
(crystint counts from its outer corner: 0.5 more); masks are True where a pixel is valid; 0 in a ring is no data.
Each class and function says in what it differs from LOKI: where that was wrong.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.polynomial import chebyshev
from numpy.typing import ArrayLike, NDArray

from crystint.correlate.loki_frames import InterpSimple, RadialProfile, RingFit
from crystint.correlate.pairs.pairing import pair_exposures
from crystint.correlate.polar import background, outliers
from crystint.correlate.sums.correlation import Norm, autocorrelation, cross_correlation, difference
from crystint.errors import SettingError, ShapeError

__all__ = [
    "DiffCorr",
    "InterpSimple",
    "RadialProfile",
    "RingFit",
    "fit_periodic",
    "is_outlier",
    "pair_fits",
    "remove_peaks",
]

Array = NDArray[np.float64]


class DiffCorr:
    """Correlations of exposures, or of differences of exposures.

    Parameters
    ----------
    shots : real [shots, q, phi] or [shots, phi], or a list of such
        Differences when `pre_dif`. NaN is no data, in the norm "sum" as good as 0. LOKI could not take a list.
    delta_shot : int, optional
        Without `pre_dif`: take the difference of each exposure and that so many after it.
    pre_dif : bool
    """

    def __init__(self, shots: ArrayLike, delta_shot: int | None = None, pre_dif: bool = True) -> None:
        values = np.asarray(shots)
        if values.dtype != np.float64:
            values = values.astype(np.float64)
        if values.ndim not in (2, 3):
            raise ShapeError(f"shots is {values.shape}, expected (shots, phi) or (shots, q, phi)")
        if not pre_dif:
            if delta_shot is None or not 1 <= delta_shot < len(values):
                raise SettingError(
                    f"delta_shot is {delta_shot}, expected 1 to {len(values) - 1}, below the number of shots"
                )
            values = difference(values[:-delta_shot], values[delta_shot:])
        self.shotsAB: Any = values

    @property
    def phi_values(self) -> Array:
        """float64 [phi]: lags, rad: 2 pi k / phi. LOKI's had both 0 and 2 pi, which is the same lag twice."""
        n = self.shotsAB.shape[-1]
        return np.asarray(2.0 * np.pi * np.arange(n) / n)

    def autocorr(self, norm: Norm = "sum") -> Array:
        """Every ring with itself, of the shape of the shots: sum over phi of I(phi) I(phi + D).

        With norm "mask" each lag is divided by its own number of pairs of valid samples, in NaN where there are none;
        put NaN where data are missing. `crystint.correlate.sums.correlation.CorrelationSums` defines the norms.
        """
        return np.asarray(autocorrelation(self.shotsAB, norm=norm), dtype=np.float64)

    def crosscorr(self, qindex: int, norm: Norm = "sum") -> Array:
        """All rings with one of them, of the shape of the shots: of ring j, sum over phi of I_j(phi) I_q(phi + D)."""
        if self.shotsAB.ndim != 3:
            raise ShapeError("crosscorr needs shots of several rings, (shots, q, phi)")
        rings = self.shotsAB.shape[1]
        if not -rings <= qindex < rings:
            raise SettingError(f"qindex is {qindex}, expected 0 to {rings - 1}")
        one = self.shotsAB[:, qindex][:, None]
        return np.asarray(cross_correlation(self.shotsAB, one, norm=norm), dtype=np.float64)


def is_outlier(points: ArrayLike, thresh: float = 3.5) -> NDArray[np.bool_]:
    """bool [n]: points, [n] or [n, dimensions], farther from the median than `thresh` robust standard deviations.

    Masked points of masked arrays, and NaN, are left out of the median and are no outliers; LOKI counted them. Where
    more than half are equal their spread is taken from the mean deviation; LOKI divided by 0.
    """
    mask = None
    if isinstance(points, np.ma.MaskedArray):
        valid = ~np.ma.getmaskarray(points)
        mask = valid.all(axis=1) if valid.ndim == 2 else valid
    return outliers.is_outlier(np.asarray(points), thresh, mask)


def fit_periodic(data: ArrayLike, mask: ArrayLike, deg: int, overlap: float = 0.2) -> tuple[Array, Array, Array]:
    """A polynomial along a ring, a part of which is repeated at either end. Fitted in a basis that keeps its digits.

    Parameters
    ----------
    data : real [n]
        0 is no data.
    mask : bool [n]
        True = valid.
    deg : int
    overlap : float
        Part that is repeated.

    Returns
    -------
    cheby : float64 [deg + 1]
        ``numpy.polynomial.chebyshev.chebval(index, cheby)`` is the curve. NaN with `deg` values or fewer.
    poly : float64 [deg + 1]
        So is ``numpy.polyval(poly, index)``.
    fit : float64 [n]
        The curve; 0 where masked.
    """
    ring, valid = np.asarray(data, dtype=np.float64), np.asarray(mask, dtype=np.bool_)
    if ring.ndim != 1 or valid.shape != ring.shape:
        raise ShapeError(f"data is {ring.shape} and mask {valid.shape}, expected (n,) both")
    curves = background.chebyshev_background(ring[None], (valid & (ring != 0.0))[None], degree=deg, overlap=overlap)
    return curves.raw_chebyshev()[0], curves.raw_polynomial()[0][::-1], np.where(valid, curves.values[0], 0.0)


def pair_fits(fits: ArrayLike) -> tuple[list[list[int]], Array]:
    """Pairs of exposures with like curves, and their Euclidean distances: LOKI's pairs, nearest first come.

    Parameters
    ----------
    fits : float [exposures, n]

    Returns
    -------
    pairs : list of [i, j]
        i < j, ascending. Of an odd number of exposures one is left over.
    distances : float64 [pairs]

    `crystint.correlate.pairs.pairing.pair_exposures` finds pairs of the least total distance, too.
    """
    found = pair_exposures(np.asarray(fits))
    return [[int(i), int(j)] for i, j in found.pairs], found.distance


def remove_peaks(
    ring: ArrayLike,
    mask: ArrayLike,
    thick: int | None = None,
    peak_thresh: float = 3.0,
    coef: ArrayLike | None = None,
) -> tuple[NDArray[Any], NDArray[np.bool_], NDArray[Any]]:
    """Take away samples far from a curve, and their neighbours, beyond the ends of the ring as well.

    Parameters
    ----------
    ring : real [n]
    mask : bool [n]
        True = valid.
    thick : int, optional
        Neighbours on either side that go; None = none.
    peak_thresh : float
        Of `is_outlier`.
    coef : float [deg + 1], optional
        Chebyshev coefficients of the curve (`fit_periodic`); None = the median.

    Returns
    -------
    ring : [n]
        0 where masked or removed.
    mask : bool [n]
        What is left.
    removed : [n]
        What was taken away; 0 elsewhere.
    """
    values, valid = np.asarray(ring), np.asarray(mask, dtype=np.bool_)
    if values.ndim != 1 or valid.shape != values.shape:
        raise ShapeError(f"ring is {values.shape} and mask {valid.shape}, expected (n,) both")
    line = np.zeros(len(values))
    if coef is not None:
        line = np.asarray(chebyshev.chebval(np.arange(len(values)), np.asarray(coef)), dtype=np.float64)
    found = background.remove_peaks(values[None], line[None], valid[None], thick=thick or 0, threshold=peak_thresh)
    removed, left = found.removed[0], valid & ~found.removed[0] & np.isfinite(values)
    return np.where(left, values, 0), left, np.where(removed, values, 0)
