"""The smooth periodic background of rings, and the peaks that stand on it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crystint.correlate.defaults import DEGREE, HARMONICS
from crystint.correlate.polar.curves import RingCurves, harmonic_design, polynomial_design
from crystint.correlate.polar.outliers import RingOutliers, is_outlier
from crystint.engine import Engine
from crystint.errors import SettingError, ShapeError

__all__ = ["PeakRemoval", "RingCurves", "chebyshev_background", "fourier_background", "remove_peaks"]

_ROWS = 128
"""rings fitted at a time"""
_SMALLEST = 1e-12
"""eigenvalues below this part of the largest are taken for 0"""


@dataclass(frozen=True, slots=True, eq=False)
class PeakRemoval:
    """Rings without their peaks. Made by `remove_peaks`."""

    values: NDArray[np.floating[Any]]
    """float [rings, n]: NaN in place of peaks, and of what was no data before"""
    removed: NDArray[np.bool_]
    """bool [rings, n]: values that were data and were taken away"""


def chebyshev_background(
    values: NDArray[Any], good: NDArray[np.bool_] | None = None, *, degree: int = DEGREE, overlap: float = 0.2
) -> RingCurves:
    """Least-squares polynomials of the azimuth, with a part of each end repeated beyond the other one.

    The curves of LOKI's fit_periodic, in a basis that keeps their digits. They are nearly, not exactly, periodic.

    Parameters
    ----------
    values : real [rings, n]
        NaN and infinities are no data.
    good : bool [rings, n] or [n], optional
        False = no data.
    degree : int
    overlap : float
        Part of the ring that is repeated, 0 to 1; floor(overlap n) samples.

    Returns
    -------
    RingCurves
        NaN for rings with `degree` values or fewer. Over gaps that the values do not determine, the smallest
        coefficients that fit.

    Raises
    ------
    ShapeError, SettingError
        For other shapes and impossible settings.

    Examples
    --------
    >>> import numpy as np
    >>> from crystint import correlate
    >>> angle = 2 * np.pi * np.arange(360) / 360
    >>> rings = (100 + 5 * np.cos(angle))[None]
    >>> curves = correlate.chebyshev_background(rings, degree=9)
    >>> bool(np.abs(curves.values - rings).max() < 0.01)
    True
    """
    values, use = _data(values, good)
    n = values.shape[1]
    if not 0 <= degree < n:
        raise SettingError(f"degree is {degree}, expected 0 to {n - 1} for rings of {n} samples")
    if not 0.0 <= overlap <= 1.0:
        raise SettingError(f"overlap is {overlap!r}, expected 0 to 1")
    wrap, column = int(overlap * n), np.arange(n)
    domain = (-float(wrap), float(max(n - 1 + wrap, 1)))
    designs = [(slice(None), polynomial_design(column, domain, degree))]
    if wrap:
        designs.append((slice(n - wrap, n), polynomial_design(column[n - wrap :] - n, domain, degree)))
        designs.append((slice(0, wrap), polynomial_design(column[:wrap] + n, domain, degree)))
    return RingCurves(_fit(values, use, designs, 0.0), n, domain)


def fourier_background(
    values: NDArray[Any], good: NDArray[np.bool_] | None = None, *, harmonics: int = HARMONICS, ridge: float = 1e-4
) -> RingCurves:
    """Least-squares Fourier series of the azimuth, held down by a ridge where the mask leaves it undetermined.

    Minimizes ``sum (y - curve)^2 + ridge * good * (sum of squared coefficients but the mean)``; without gaps the ridge
    makes amplitudes smaller by 2 * ridge of themselves.

    Parameters
    ----------
    values, good
        As `chebyshev_background`.
    harmonics : int
        Highest harmonic. Higher ones leak into the curve through gaps: to pair exposures, compare them by
        `crystint.correlate.likeness`.
    ridge : float
        0 = none.

    Returns
    -------
    RingCurves
        NaN for rings without data.

    Raises
    ------
    ShapeError, SettingError
        For other shapes and impossible settings.

    Examples
    --------
    >>> import numpy as np
    >>> from crystint import correlate
    >>> angle = 2 * np.pi * np.arange(360) / 360
    >>> rings = (100 + 5 * np.cos(angle))[None]
    >>> curves = correlate.fourier_background(rings, harmonics=3)
    >>> bool(np.abs(curves.values - rings).max() < 0.01)
    True
    """
    values, use = _data(values, good)
    n = values.shape[1]
    if not 0 <= harmonics < (n + 1) / 2:
        raise SettingError(f"harmonics is {harmonics}, expected 0 or more, and fewer than half of {n} samples")
    if not 0.0 <= ridge < math.inf:
        raise SettingError(f"ridge is {ridge!r}, expected a finite number, 0 or more")
    design = harmonic_design(np.arange(n, dtype=np.float64), n, harmonics)
    return RingCurves(_fit(values, use, [(slice(None), design)], ridge), n, None)


def remove_peaks(
    values: NDArray[Any],
    curves: RingCurves | NDArray[np.floating[Any]],
    good: NDArray[np.bool_] | None = None,
    *,
    thick: int = 2,
    threshold: float = 2.5,
    wrap: bool = True,
    engine: Engine | None = None,
) -> PeakRemoval:
    """Take away values that are far from their curve, on either side of it, and their neighbours.

    `crystint.correlate.remove_peaks` takes a single ring, real [n], with LOKI's arguments as well:
    `crystint.correlate.loki.remove_peaks_of_ring`.

    Parameters
    ----------
    values : real [rings, n]
    curves : RingCurves or float [rings, n]
    good : bool [rings, n] or [n], optional
        False = no data, as NaN.
    thick : int
        Neighbours on each side that go, too.
    threshold : float
        Of the distances from the curve, as `crystint.correlate.polar.outliers.is_outlier`.
    wrap : bool
        The ring is closed: the last sample has the first as neighbour. LOKI's was open: False.
    engine : Engine, optional
        Look for outliers on this device, in single precision; None = with NumPy, in double precision.

    Returns
    -------
    PeakRemoval
        Where there is no curve, nothing is removed.

    Raises
    ------
    ShapeError, SettingError
        For other shapes and impossible settings.

    Examples
    --------
    >>> import numpy as np
    >>> from crystint import correlate
    >>> angle = 2 * np.pi * np.arange(360) / 360
    >>> rings = (100 + 5 * np.cos(angle))[None]
    >>> rings += np.random.default_rng(1).normal(0, 1, rings.shape)
    >>> rings[0, 90] = 200
    >>> removal = correlate.remove_peaks(rings, correlate.fourier_background(rings), threshold=6.0)
    >>> bool(np.isnan(removal.values[0, 88:93]).all())
    True
    """
    original = np.asarray(values)
    values, use = _data(original, good)
    line = curves.values if isinstance(curves, RingCurves) else np.asarray(curves, dtype=np.float64)
    if line.shape != values.shape:
        raise ShapeError(f"curves is {line.shape}, expected {values.shape}, as values")
    if thick < 0:
        raise SettingError(f"thick is {thick}, expected 0 or more")
    residual = np.where(use, values - line, np.nan)
    if engine is not None:
        peak = RingOutliers(engine, threshold).run(residual).flags
    else:
        peak = np.array([is_outlier(row, threshold) for row in residual], dtype=np.bool_).reshape(residual.shape)
    wide = peak.copy()
    for shift in range(1, min(thick, values.shape[1] - 1) + 1):
        wide[:, shift:] |= peak[:, :-shift]
        wide[:, :-shift] |= peak[:, shift:]
        if wrap:
            wide[:, :shift] |= peak[:, -shift:]
            wide[:, -shift:] |= peak[:, :shift]
    removed = wide & use
    kind = original.dtype if original.dtype.kind == "f" else np.dtype(np.float64)
    return PeakRemoval(np.where(use & ~wide, original, np.nan).astype(kind), removed)


def _data(values: NDArray[Any], good: NDArray[np.bool_] | None) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    rings = np.asarray(values, dtype=np.float64)
    if rings.ndim != 2 or not rings.shape[1]:
        raise ShapeError(f"values is {rings.shape}, expected (rings, n); of a single ring, give ring[None]")
    use = np.isfinite(rings)
    if good is not None:
        good = np.asarray(good, dtype=np.bool_)
        if good.shape not in (rings.shape, rings.shape[1:]):
            raise ShapeError(f"good is {good.shape}, expected {rings.shape} or {rings.shape[1:]}")
        use &= good
    return rings, use


def _fit(
    values: NDArray[np.float64], use: NDArray[np.bool_], designs: list[tuple[slice, NDArray[np.float64]]], ridge: float
) -> NDArray[np.float64]:
    """float64 [rings, terms]: least squares; a sample counts once for each design that has a row for it.

    Normal equations about the mean of the ring, for many rings as matrix products, and one round of refinement.
    """
    n, terms = values.shape[1], designs[0][1].shape[1]
    i, j = np.triu_indices(terms)
    pairs, total = np.zeros((n, len(i))), np.zeros((n, terms))
    for there, design in designs:
        pairs[there] += design[:, i] * design[:, j]
        total[there] += design
    coefficients = np.full((len(values), terms), np.nan)
    for begin in range(0, len(values), _ROWS):
        part = slice(begin, begin + _ROWS)
        weight, count = use[part].astype(np.float64), use[part].sum(axis=1)
        y = np.where(use[part], values[part], 0.0)
        mean = y.sum(axis=1) / np.maximum(count, 1)
        y -= mean[:, None] * weight
        normal = np.empty((len(y), terms, terms))
        normal[:, i, j] = normal[:, j, i] = weight @ pairs
        penalty = np.full(terms, ridge) * count[:, None]
        penalty[:, 0] = 0.0
        normal[:, np.arange(terms), np.arange(terms)] += penalty
        size, vector = np.linalg.eigh(normal)
        determined = size > _SMALLEST * size[:, -1:]
        inverse = np.where(determined, 1.0 / np.where(determined, size, 1.0), 0.0)
        solved = _solve(vector, inverse, y @ total)
        slope = -penalty * solved
        for there, design in designs:
            slope += (y[:, there] - weight[:, there] * (solved @ design.T)) @ design
        solved += _solve(vector, inverse, slope)
        solved[:, 0] += mean
        enough = count > (0 if ridge > 0.0 else terms - 1)
        coefficients[part] = np.where(enough[:, None], solved, np.nan)
    return coefficients


def _solve(
    vector: NDArray[np.float64], inverse: NDArray[np.float64], right: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Solutions [rings, terms] from the eigenvectors and inverse eigenvalues of the normal equations."""
    along = inverse * (right[:, None, :] @ vector)[:, 0]
    return np.asarray((vector @ along[:, :, None])[:, :, 0])
