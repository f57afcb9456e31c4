"""Angular correlations of any number of exposures as sums, which workers and nights add."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import Any, Literal, Self

import numpy as np

from crystint.arrays import Floats
from crystint.errors import SettingError, ShapeError
from crystint.html import html_table

__all__ = ["NORMS", "CorrelationSums", "Norm"]

MOST = 32
"""highest harmonic of which the spread between exposures is known"""

Norm = Literal["mask", "mean", "sum"]
NORMS: tuple[Norm, ...] = ("mask", "mean", "sum")
"""of all the normalisations, the default first; `CorrelationSums.mean` defines them"""


def _none() -> Floats:
    return np.zeros((0, 0))


@dataclass(frozen=True, slots=True, eq=False)
class CorrelationSums:
    """Sums over exposures, per correlated pair of rings (row) and lag.

    ``a + b`` is what one pass over all exposures would have given; ``CorrelationSums()`` is nothing. With s the sum of
    products of one exposure at a lag and p its number of pairs (or sum of products of weights), 40 bytes per lag, 16
    when nothing is masked.

    Examples
    --------
    >>> import numpy as np
    >>> from crystint import correlate
    >>> data = correlate.simulate_rings(20, 360, seed=1)
    >>> correlator = correlate.Correlator()
    >>> for exposure in data.values:
    ...     correlator.add(exposure)
    >>> sums = correlator.sums
    >>> sums.number, sums.mean("mask").shape, (sums + correlate.CorrelationSums()).number
    (20, (1, 360), 20)
    """

    total: Floats = field(default_factory=_none)
    """float64 [rows, n]: sum of s, at lags 2 pi k / n"""
    square: Floats = field(default_factory=_none)
    """float64 [rows, n]: sum of s^2"""
    pairs: Floats = field(default_factory=_none)
    """float64 [rows, n]: sum of p; one column when all lags have the same, as the next two"""
    pairs_square: Floats = field(default_factory=_none)
    """float64 [rows, n] or [rows, 1]: sum of p^2"""
    product: Floats = field(default_factory=_none)
    """float64 [rows, n]: sum of s p"""
    intensity: Floats = field(default_factory=_none)
    """float64 [rows, 2]: sum of the values of the first and the second ring"""
    samples: Floats = field(default_factory=_none)
    """float64 [rows, 2]: number (sum of weights) of these values"""
    spectrum: CorrelationSums | None = None
    """the same sums of the Fourier coefficients C_0 .. C_32 of the correlation of each exposure, real parts and then
    imaginary parts in the place of lags: their `error` is that of C_n. None = not known"""
    number: int = 0
    """exposures; of difference correlations, pairs of them"""

    @property
    def n(self) -> int:
        """Number of lags, and of samples of a ring."""
        return int(self.total.shape[1])

    @property
    def lags(self) -> Floats:
        """float64 [n]: lags, rad: 2 pi k / n."""
        return 2.0 * np.pi * np.arange(self.n) / max(self.n, 1)

    def __repr__(self) -> str:
        return f"<CorrelationSums: {self.number} exposures, {len(self.total)} rows x {self.n} lags>"

    def _repr_html_(self) -> str:
        masked = self.pairs.shape[1] > 1
        facts = {"exposures": self.number, "rows": len(self.total), "lags": self.n, "masked": masked}
        return html_table("CorrelationSums", facts)

    def __add__(self, other: Self) -> Self:
        if not self.total.size:
            return other
        if not other.total.size:
            return self
        if self.total.shape != other.total.shape:
            raise ShapeError(f"sums of {self.total.shape} (rows, lags) do not add to sums of {other.total.shape}")
        spectrum = None if self.spectrum is None or other.spectrum is None else self.spectrum + other.spectrum
        sums = {f.name: getattr(self, f.name) + getattr(other, f.name) for f in fields(self) if f.name != "spectrum"}
        return type(self)(**sums, spectrum=spectrum)

    def __radd__(self, other: int) -> Self:
        if other != 0:
            return NotImplemented
        return self

    def mean(self, norm: Norm = "mask", *, by_intensity: bool = False) -> Floats:
        """The correlation C(lag), averaged over exposures.

        Parameters
        ----------
        norm : "mask", "mean" or "sum"
            "mask": sum of s / sum of p: every lag is divided by its own number of pairs of valid samples, so that gaps
            do not bias it; NaN where there are none. "sum": sum of s / number of exposures: LOKI's, a sum over the
            samples of the ring in which masked ones count as 0. "mean": that over n, per sample; without masks the
            same as "mask".
        by_intensity : bool
            Divide by <I1><I2>, the means of the two rings over all valid samples of all exposures; NaN when that is 0.
            "mask" becomes a pure number then, 1 for uniform rings.

        Returns
        -------
        float64 [rows, n]

        Raises
        ------
        SettingError
            For another norm.
        """
        correlation = _over(self.total, self._divisor(norm))
        return _over(correlation, self._intensity()) if by_intensity else correlation

    def error(self, norm: Norm = "mask", *, by_intensity: bool = False) -> Floats:
        """float64 [rows, n]: standard error of `mean`, from the spread between exposures; NaN for a single one.

        For "mask" that of a ratio of two sums, with residuals s - C p, which needs no model of how the noise of an
        exposure depends on its mask: W. G. Cochran (1977), Sampling Techniques, 2.11. Effective number of exposures:
        (sum of p)^2 / sum of p^2. The error of the intensities is not in it. A spread below
        1e-8 of C is lost in rounding.
        """
        divisor = self._divisor(norm)
        if norm == "mask":
            ratio = _over(self.total, divisor)
            left = self.square - 2.0 * ratio * self.product + ratio**2 * self.pairs_square
            count = _over(self.pairs**2, self.pairs_square)
        else:
            left = self.square - self.total**2 / max(self.number, 1)
            count = np.full((1, 1), float(self.number))
        many = np.where(count > 1.0 + 1e-9, count, np.nan)
        error = _over(np.sqrt(np.maximum(left, 0.0) * many / (many - 1.0)), divisor)
        return _over(error, self._intensity()) if by_intensity else error

    def variance(self, norm: Norm = "mask", *, by_intensity: bool = False) -> Floats:
        """float64 [rows, n]: variance of the correlation of a single exposure (with a mask: of the usual number of
        pairs); NaN for a single one."""
        count: Any = float(self.number)
        if norm == "mask":
            count = _over(self.pairs**2, self.pairs_square)
        return np.asarray(count * self.error(norm, by_intensity=by_intensity) ** 2)

    def coefficient_error(self, most: int, norm: Norm = "mask", *, by_intensity: bool = False) -> Floats:
        """float64 [rows, most + 1]: standard errors of the real parts of the coefficients C_0 .. C_most of `mean`.

        From the spread between exposures, whose correlations at different lags are not independent: the errors of
        `error` do not give them. NaN for a single exposure, and beyond C_32.
        """
        error = np.full((len(self.total), most + 1), np.nan)
        if self.spectrum is not None:
            count = min(most + 1, self.spectrum.n // 2)
            with np.errstate(invalid="ignore", divide="ignore"):
                scale = self.pairs.mean(axis=1, keepdims=True) / self._divisor(norm).mean(axis=1, keepdims=True)
            error[:, :count] = (self.spectrum.error("mask") * scale)[:, :count]
        return _over(error, self._intensity()) if by_intensity else error

    def _divisor(self, norm: Norm) -> Floats:
        if norm == "mask":
            return self.pairs
        if norm not in NORMS:
            raise SettingError(f"norm is {norm!r}, expected one of {', '.join(NORMS)}")
        return np.full((1, 1), float(self.number) * (self.n if norm == "mean" else 1))

    def _intensity(self) -> Floats:
        """float64 [rows, 1]: <I1><I2>."""
        mean = _over(self.intensity, self.samples)
        return np.asarray(mean[:, :1] * mean[:, 1:])


def _over(top: Floats, bottom: Floats) -> Floats:
    """The quotient; NaN where the divisor is 0."""
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(np.where(bottom != 0.0, top / bottom, np.nan))
