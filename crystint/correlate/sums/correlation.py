"""Angular auto- and cross-correlations of rings: raw, masked, and of differences of exposures."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from crystint.arrays import Real
from crystint.correlate.sums.correlator import Correlator, correlate_rings, difference
from crystint.correlate.sums.lag_sums import rings_of
from crystint.errors import SettingError, ShapeError
from crystint.model.correlation_sums import NORMS, CorrelationSums, Norm

__all__ = [
    "NORMS",
    "CorrelationSums",
    "Correlator",
    "Norm",
    "autocorrelation",
    "cross_correlation",
    "difference",
    "paired_differences",
]


def autocorrelation(
    values: NDArray[Any],
    good: NDArray[Any] | None = None,
    *,
    norm: Norm = "mask",
    centered: bool = False,
    workers: int | None = None,
) -> Real:
    """Every ring with itself. For averages over exposures see `Correlator`.

    Parameters
    ----------
    values : real [..., n]
        n samples over 2 pi; float32 is transformed in single precision. NaN and infinities are no data.
    good : bool or float [..., n] or [n], optional
        False = no data; floats are weights.
    norm : "mask", "mean" or "sum"
        As `CorrelationSums.mean`: divided by the pairs of each lag, by n, or by nothing.
    centered : bool
        Subtract the mean of each ring first.
    workers : int, optional
        Threads; None = one per processor.

    Returns
    -------
    float [..., n]
        C at the lags 2 pi k / n; float32 for float32. With "mask", NaN where a lag has no pair, so everywhere in a
        ring without data, for which the others give 0.

    Raises
    ------
    ShapeError, DTypeError, SettingError
        For values that are not real numbers, other shapes, and impossible settings.

    Examples
    --------
    >>> import numpy as np
    >>> from crystint import correlate
    >>> ring = 3 + np.cos(2 * np.pi * np.arange(90) / 90)
    >>> correlate.autocorrelation(ring)[[0, 45]].round(6)  # lags 0 and pi
    array([9.5, 8.5])
    """
    return _correlation(values, None, good, None, norm, centered, workers)


def cross_correlation(
    first: NDArray[Any],
    second: NDArray[Any],
    good: NDArray[Any] | None = None,
    second_good: NDArray[Any] | None = None,
    *,
    norm: Norm = "mask",
    centered: bool = False,
    workers: int | None = None,
) -> Real:
    """Each ring of one array with that of another: C(D) = mean of first(phi) second(phi + D), with phi + D modulo 2 pi.

    Parameters
    ----------
    first, second : real [..., n]
        The shapes broadcast: one ring with many, too.
    good, second_good : bool or float, optional
        Of the two. The others as `autocorrelation`, as are the errors.
    norm, centered, workers
        As `autocorrelation`.

    Returns
    -------
    float [..., n]
        As `autocorrelation`.

    Examples
    --------
    >>> import numpy as np
    >>> from crystint import correlate
    >>> first = np.array([1.0, 0.0, 0.0, 0.0])
    >>> correlate.cross_correlation(first, np.roll(first, 1)).round(6)  # the second is one sample later
    array([0.  , 0.25, 0.  , 0.  ])
    """
    return _correlation(first, second, good, second_good, norm, centered, workers)


def paired_differences(exposures: ArrayLike, pairs: ArrayLike) -> Real:
    """Differences of paired exposures; NaN where either has no data.

    Parameters
    ----------
    exposures : real [exposures, ..., n]
    pairs : int [pairs, 2]
        Numbers of exposures, as pairing gives them. Of an odd number of exposures one is in no pair.

    Returns
    -------
    float [pairs, ..., n]

    Raises
    ------
    ShapeError, SettingError
        When pairs are not pairs, or name an exposure that is not there, or the same one twice.

    Examples
    --------
    >>> import numpy as np
    >>> from crystint import correlate
    >>> correlate.paired_differences(np.array([[5.0, 1.0], [2.0, 2.0]]), [[0, 1]])
    array([[ 3., -1.]])
    """
    values, index = np.asarray(exposures), np.asarray(pairs)
    if index.ndim != 2 or index.shape[1] != 2 or index.dtype.kind not in "iu":
        raise ShapeError(f"pairs is {index.dtype} {index.shape}, expected whole numbers (pairs, 2)")
    if index.size and not (index.min() >= 0 and index.max() < len(values)):
        raise SettingError(f"pairs holds exposures {index.min()} to {index.max()}, expected 0 to {len(values) - 1}")
    if (index[:, 0] == index[:, 1]).any():
        raise SettingError("pairs holds an exposure with itself, whose difference is 0")
    return difference(values[index[:, 0]], values[index[:, 1]])


def _correlation(
    first: NDArray[Any],
    second: NDArray[Any] | None,
    good: NDArray[Any] | None,
    second_good: NDArray[Any] | None,
    norm: Norm,
    centered: bool,
    workers: int | None,
) -> Real:
    if norm not in NORMS:
        raise SettingError(f"norm is {norm!r}, expected one of {', '.join(NORMS)}")
    one, use = rings_of(first, good, what="values" if second is None else "first")
    shape: tuple[int, ...] = np.shape(first)
    other, other_use = None, None
    if second is not None:
        other, other_use = rings_of(second, second_good, what="second")
        try:
            shape = np.broadcast_shapes(shape, np.shape(second))
        except ValueError:
            shape = ()
        if not shape or one.shape[1] != other.shape[1]:
            raise ShapeError(
                f"first is {np.shape(first)} and second {np.shape(second)}, expected shapes that broadcast"
            )
        one, use = _spread(one, use, np.shape(first), shape)
        other, other_use = _spread(other, other_use, np.shape(second), shape)
    correlations = correlate_rings(one, use, other, other_use, norm=norm, centered=centered, workers=workers)
    return correlations.reshape(shape)


def _spread(rings: Any, good: Any, old: tuple[int, ...], new: tuple[int, ...]) -> tuple[Any, Any]:
    """Rings, and good, of an array that is broadcast."""
    if old == new:
        return rings, good
    number = np.broadcast_to(np.arange(len(rings)).reshape(old[:-1]), new[:-1]).ravel()
    return rings[number], None if good is None else good[number]
