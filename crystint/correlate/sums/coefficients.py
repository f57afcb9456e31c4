"""Fourier coefficients C_n of correlations, what they scatter, and their noise floor.

The noise of a pixel correlates with itself. It stands at the lags at which two samples share a pixel, near 0, and from
there it goes into every C_n alike: n counts of pure Poisson noise give positive C_n without any correlation. So C is
fitted once with all lags and once without those; the difference is what noise adds.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from crystint.arrays import Floats, Indices
from crystint.correlate.sums.harmonics import fourier_coefficients
from crystint.errors import SettingError
from crystint.model.correlation_run import CorrelationRun
from crystint.model.fourier_coefficients import FourierCoefficients

__all__ = ["FourierCoefficients", "coefficients_of"]

_SHARED = 2.5
"""px between samples that share no pixel, however they are interpolated"""
_HARMONICS = 128
"""that are fitted to the lags away from 0, at most"""
_GAP = 0.8
"""of the shortest period that is fitted: the lags near 0 that are left out take no more"""


def coefficients_of(run: CorrelationRun, most: int = 16, rows: Sequence[int] | None = None) -> FourierCoefficients:
    """Fourier coefficients of the correlations of a run.

    Parameters
    ----------
    run : CorrelationRun
        Normalised as its `norm` and `by_intensity` say.
    most : int
        Highest harmonic, up to half the number of lags.
    rows : sequence of int, optional
        Rows to take; None = all.

    Returns
    -------
    FourierCoefficients
        ``values - noise`` is what is left for the signal.

    Raises
    ------
    SettingError
        When there are not so many harmonics.

    Examples
    --------
    >>> import numpy as np
    >>> from crystint import correlate
    >>> rng, correlator = np.random.default_rng(0), correlate.Correlator()
    >>> for _ in range(100):
    ...     correlator.add(rng.poisson(50.0, (1, 360)))                 # noise, and nothing else
    >>> run = correlate.CorrelationRun(correlator.sums, radii=np.array([100.0]), pairs=np.array([[0, 0]]))
    >>> c = correlate.coefficients_of(run, 8)
    >>> bool((np.abs(c.values.real - c.noise) < 4 * c.error)[0, 1:].all())
    True
    """
    take = np.arange(len(run.pairs)) if rows is None else np.asarray(rows, dtype=np.intp)
    if not 0 <= most <= run.sums.n // 2:
        raise SettingError(f"most is {most}, expected 0 to {run.sums.n // 2} for {run.sums.n} lags")
    correlation = run.correlation[take]
    values = fourier_coefficients(correlation, most)
    error = run.sums.coefficient_error(most, run.norm, by_intensity=run.by_intensity)[take]
    return FourierCoefficients(values, error, _noise(correlation, values.real, _shared(run, take)))


def _shared(run: CorrelationRun, rows: Indices) -> Indices:
    """intp [rows]: lags on either side of 0 at which samples may share a pixel; -1 = the two rings share none."""
    first, second = run.radii[run.pairs[rows]].T
    spacing = 2.0 * math.pi * np.maximum(np.minimum(first, second), 1e-9) / run.sums.n
    lags = np.minimum(np.ceil(_SHARED / spacing), run.sums.n)
    return np.where(np.abs(first - second) < _SHARED, lags, -1).astype(np.intp)


def _noise(correlation: Floats, values: Floats, shared: Indices) -> Floats:
    """float64 [rows, most + 1]: C_n with all lags less C_n without those near 0."""
    n, most = correlation.shape[1], values.shape[1] - 1
    noise = np.zeros(values.shape)
    lag = np.minimum(np.arange(n), n - np.arange(n))
    for reach in np.unique(shared[shared >= 0]):
        rows = np.flatnonzero(shared == reach)
        count = min(_HARMONICS, int(_GAP * n / (2 * reach + 1)), (n - 1) // 2)
        noise[rows] = np.nan
        complete = rows[np.isfinite(correlation[rows][:, lag > reach]).all(axis=1)]
        if count < most or not len(complete):
            continue
        away = np.flatnonzero(lag > reach)
        angle = 2.0 * math.pi * away[:, None] * np.arange(1, count + 1) / n
        design = np.concatenate([np.ones((len(away), 1)), 2.0 * np.cos(angle), -2.0 * np.sin(angle)], axis=1)
        fitted = np.linalg.lstsq(design, correlation[complete][:, away].T, rcond=None)[0].T
        noise[complete] = values[complete] - fitted[:, : most + 1]
    return noise
