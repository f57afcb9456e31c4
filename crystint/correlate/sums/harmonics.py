"""What correlations are made of: Fourier coefficients of the lag, Legendre coefficients of the angle in space."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.fft
from numpy.polynomial import legendre
from numpy.typing import ArrayLike, NDArray

from crystint.arrays import Floats
from crystint.errors import SettingError, ShapeError
from crystint.model.scattering_angle import cos_psi, half_scattering_angle

__all__ = [
    "LegendreFit",
    "cos_psi",
    "fourier_coefficients",
    "half_scattering_angle",
    "lag_spectrum",
    "legendre_coefficients",
]


def fourier_coefficients(
    correlation: ArrayLike, most: int | None = None, *, weights: ArrayLike | None = None
) -> NDArray[np.complex128]:
    """C_k of C(D) = sum over all whole k of C_k exp(i k D), for k = 0 .. most; C_-k is the conjugate.

    For a ring with itself C_k is real: the mean power |I_k|^2 of its Fourier coefficients.

    Parameters
    ----------
    correlation : real [..., n]
        At the lags 2 pi j / n; NaN = unknown. Where all are known, a Fourier transform; rows with NaN are fitted by
        least squares over the lags that are known, with harmonics up to `most` alone.
    most : int, optional
        Highest harmonic; None = n // 2, which NaN do not allow.
    weights : real [..., n] or [n], optional
        Of the lags in the fit, as the number of pairs; without them all known lags count the same. Given, all rows are
        fitted.

    Returns
    -------
    complex128 [..., most + 1]
        NaN in rows with fewer known lags than 2 most + 1.

    Raises
    ------
    ShapeError, SettingError
        When there are no lags, or too many harmonics.

    Examples
    --------
    >>> import numpy as np
    >>> from crystint import correlate
    >>> lags = 2 * np.pi * np.arange(36) / 36
    >>> c = correlate.fourier_coefficients(1 + 2 * 0.3 * np.cos(4 * lags), 5).real
    >>> bool(np.allclose(c, [1, 0, 0, 0, 0.3, 0]))
    True
    """
    values = np.asarray(correlation, dtype=np.float64)
    if values.ndim < 1 or not values.shape[-1]:
        raise ShapeError(f"correlation is {values.shape}, expected (..., n)")
    n = values.shape[-1]
    count = n // 2 if most is None else most
    if not 0 <= count <= n // 2:
        raise SettingError(f"most is {most}, expected 0 to {n // 2} for {n} lags")
    rows = values.reshape(-1, n)
    coefficients = scipy.fft.rfft(rows, axis=1)[:, : count + 1] / n
    if n % 2 == 0 and count == n // 2:
        coefficients[:, -1] *= 0.5  # shared with -n/2
    weight = _weights(weights, values.shape)
    finite = np.isfinite(rows)
    fitted = np.arange(len(rows)) if weight is not None else np.flatnonzero(~finite.all(axis=1))
    angle = 2.0 * np.pi * np.arange(n)[:, None] * np.arange(1, count + 1) / n
    design = (
        np.concatenate([np.ones((n, 1)), 2.0 * np.cos(angle), -2.0 * np.sin(angle)], axis=1) if len(fitted) else angle
    )
    for i in fitted:
        coefficients[i] = np.nan
        use = finite[i] if weight is None else finite[i] & (weight[i] > 0.0)
        if use.sum() >= design.shape[1]:
            root = np.ones(use.sum()) if weight is None else np.sqrt(weight[i, use])
            solved = np.linalg.lstsq(design[use] * root[:, None], rows[i, use] * root, rcond=None)[0]
            coefficients[i] = solved[: count + 1] + 1j * np.concatenate([[0.0], solved[count + 1 :]])
    return np.asarray(coefficients.reshape((*values.shape[:-1], count + 1)), dtype=np.complex128)


def lag_spectrum(total: Floats, pairs: NDArray[Any], most: int) -> tuple[Floats, Floats]:
    """Fourier coefficients of the correlation of one exposure, for the spread between exposures.

    Parameters
    ----------
    total, pairs
        As `lag_sums` returns them. A lag without pairs counts as the mean of the others.
    most : int
        Highest harmonic.

    Returns
    -------
    float64 [rows, 2 (most + 1)]
        Real parts, then imaginary parts, of C_0 .. C_most.
    float64 [rows, 1]
        Weight of the exposure: its mean number of pairs.
    """
    n, counted = total.shape[1], np.broadcast_to(pairs > 0.0, total.shape)
    correlation = np.divide(total, pairs, out=np.zeros_like(total), where=counted)
    if not counted.all():
        mean = correlation.sum(axis=1, keepdims=True) / np.maximum(counted.sum(axis=1, keepdims=True), 1)
        correlation = np.where(counted, correlation, mean)
    coefficients = scipy.fft.rfft(correlation, axis=1)[:, : most + 1] / n
    return np.concatenate([coefficients.real, coefficients.imag], axis=1), pairs.mean(axis=1, keepdims=True)


@dataclass(frozen=True, slots=True, eq=False)
class LegendreFit:
    """C(cos psi) = 1 / (4 pi) sum over l of B_l P_l(cos psi). Made by `legendre_coefficients`."""

    orders: NDArray[np.int64]
    """int64 [terms]: l, ascending"""
    coefficients: Floats
    """float64 [..., terms]: B_l; NaN in rows with too few lags"""
    error: Floats
    """float64 [..., terms]: standard errors, from the scatter between parts of the exposures; NaN without parts.
    Scatter about the fit would not do: an exposure changes C at all lags together, along the fit"""

    def at(self, cosine: ArrayLike) -> Floats:
        """float64 [..., m]: the fitted C at m values of cos psi."""
        top = int(self.orders[-1])
        table = legendre.legvander(np.asarray(cosine, dtype=np.float64), top)[..., self.orders] / (4.0 * np.pi)
        return np.asarray(self.coefficients @ table.T)


def legendre_coefficients(
    correlation: ArrayLike,
    cosine: ArrayLike,
    most: int,
    *,
    even: bool = True,
    weights: ArrayLike | None = None,
    parts: ArrayLike | None = None,
) -> LegendreFit:
    """Legendre coefficients B_l by weighted least squares over the available cos psi.

    For particles turned at random, with intensities I(q) = sum I_lm(|q|) Y_lm(q/|q|), it is
    B_l(q1, q2) = sum over m of I_lm(q1) I_lm(q2)*: Z. Kam (1977), Macromolecules 10, 927. The rings reach cos psi
    between -cos(theta1 + theta2) and cos(theta1 - theta2) only; the longer the wavelength, the less the coefficients of
    high order are told apart.

    Parameters
    ----------
    correlation : real [..., n]
        NaN = unknown, left out.
    cosine : real [..., n] or [n]
        cos psi of each lag (`cos_psi`).
    most : int
        Highest l.
    even : bool
        Only even l: right when Friedel's law holds, I(q) = I(-q).
    weights : real [..., n] or [n], optional
        1 / variance of each lag, or its number of pairs; None = all the same.
    parts : real [parts, ..., n], optional
        The same correlations of parts of the exposures, equal in number and two or more: ten `CorrelationSums` whose
        sum is that of all. Errors come from how their B_l differ. The errors of C do not give them, as those of
        different lags are not independent: they are 100 times too small so for 6000 single particles.

    Returns
    -------
    LegendreFit
        The `orders` l, their `coefficients` B_l, and the `error` of these.

    Raises
    ------
    ShapeError, SettingError
        When the shapes do not fit, or there are more orders than lags.

    Examples
    --------
    >>> import numpy as np
    >>> from crystint import correlate
    >>> cosine = np.cos(2 * np.pi * np.arange(90) / 90)
    >>> fit = correlate.legendre_coefficients(1 + 0.5 * (3 * cosine**2 - 1) / 2, cosine, 4)
    >>> fit.orders, bool(np.allclose(fit.coefficients / (4 * np.pi), [1, 0.5, 0]))
    (array([0, 2, 4]), True)
    """
    values, x = np.asarray(correlation, dtype=np.float64), np.asarray(cosine, dtype=np.float64)
    if values.ndim < 1 or x.shape not in (values.shape, values.shape[-1:]):
        raise ShapeError(f"correlation is {values.shape} and cosine {x.shape}, expected (..., n) and the same, or (n,)")
    n = values.shape[-1]
    orders = np.arange(0, most + 1, 2 if even else 1)
    if most < 0 or len(orders) > n:
        raise SettingError(f"most is {most}, expected 0 or more, and no more orders than {n} lags")
    if not (np.abs(x) <= 1.0 + 1e-12).all():
        raise SettingError("cosine must lie between -1 and 1")
    places = np.broadcast_to(x, values.shape).reshape(-1, n)
    weight = _weights(weights, values.shape)
    shape = (*values.shape[:-1], len(orders))
    coefficients = _least_squares(values.reshape(-1, n), places, orders, weight)
    error = np.full_like(coefficients, np.nan)
    if parts is not None:
        several = np.asarray(parts, dtype=np.float64)
        if several.shape[1:] != values.shape or len(several) < 2:
            raise ShapeError(f"parts is {several.shape}, expected {('2 or more', *values.shape)}")
        each = np.stack([_least_squares(part.reshape(-1, n), places, orders, weight) for part in several])
        error = each.std(axis=0, ddof=1) / np.sqrt(len(each))
    return LegendreFit(orders, coefficients.reshape(shape), error.reshape(shape))


def _least_squares(rows: Floats, places: Floats, orders: NDArray[np.int64], weight: Any) -> Floats:
    """float64 [rows, terms]: B_l of each row over its known lags; NaN with too few of them."""
    coefficients = np.full((len(rows), len(orders)), np.nan)
    for i, row in enumerate(rows):
        use = np.isfinite(row) if weight is None else np.isfinite(row) & (weight[i] > 0.0)
        if use.sum() < len(orders):
            continue
        root = np.ones(use.sum()) if weight is None else np.sqrt(weight[i, use])
        design = legendre.legvander(places[i, use], int(orders[-1]))[:, orders] / (4.0 * np.pi) * root[:, None]
        left, size, right = np.linalg.svd(design, full_matrices=False)
        inverse = np.where(size > size[0] * len(row) * np.finfo(float).eps, 1.0 / np.maximum(size, 1e-300), 0.0)
        coefficients[i] = (right.T * inverse) @ (left.T @ (row[use] * root))
    return coefficients


def _weights(weights: ArrayLike | None, shape: tuple[int, ...]) -> Any:
    """float64 [rows, n], NaN as 0; None = none."""
    if weights is None:
        return None
    values = np.asarray(weights, dtype=np.float64)
    if values.shape not in (shape, shape[-1:]):
        raise ShapeError(f"weights is {values.shape}, expected {shape} or {shape[-1:]}")
    return np.nan_to_num(np.broadcast_to(values, shape).reshape(-1, shape[-1]))
