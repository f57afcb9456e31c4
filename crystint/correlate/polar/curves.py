"""Curves of the azimuth by their coefficients: Chebyshev polynomials and Fourier series."""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.polynomial import chebyshev
from numpy.typing import NDArray

from crystint.errors import SettingError

__all__ = ["RingCurves", "harmonic_design", "polynomial_design"]


@dataclass(frozen=True, slots=True, eq=False)
class RingCurves:
    """A curve for each ring, by its coefficients. Made by `fourier_background`."""

    coefficients: NDArray[np.float64]
    """float64 [rings, terms]; NaN where a ring had too few values. Chebyshev: of the axis scaled to -1 .. 1 (`domain`).
    Fourier: the mean, then cosine and sine of each harmonic"""
    samples: int
    """n: samples of a ring"""
    domain: tuple[float, float] | None
    """columns that become -1 and 1; None = a Fourier series"""

    @property
    def values(self) -> NDArray[np.float64]:
        """float64 [rings, n]: the curves at all samples."""
        return self.at(np.arange(self.samples))

    def at(self, column: NDArray[Any]) -> NDArray[np.float64]:
        """float64 [rings, columns]: the curves at any columns, also between samples."""
        terms = self.coefficients.shape[1]
        column = np.asarray(column, dtype=np.float64)
        if self.domain is None:
            design = harmonic_design(column, self.samples, terms // 2)
        else:
            design = polynomial_design(column, self.domain, terms - 1)
        return np.asarray(self.coefficients @ design.T)

    def raw_chebyshev(self) -> NDArray[np.float64]:
        """float64 [rings, degree + 1]: Chebyshev coefficients on the unscaled axis, for ``chebval(column, c)``: LOKI's.

        The conversion is done in fractions and rounded once, at the end. The numbers span 60 powers of ten, and
        evaluating them cancels some 6 digits: for degree 15, curves are kept to 1e-8 of their values.

        Raises
        ------
        SettingError
            For a Fourier series.
        """
        return self._raw(in_chebyshev=True)

    def raw_polynomial(self) -> NDArray[np.float64]:
        """As `raw_chebyshev`, in powers of the column, the lowest first (LOKI has the highest first)."""
        return self._raw(in_chebyshev=False)

    def _raw(self, *, in_chebyshev: bool) -> NDArray[np.float64]:
        if self.domain is None:
            raise SettingError("a Fourier series has no coefficients in powers of the column")
        table = _exact_table(self.coefficients.shape[1], self.domain, in_chebyshev)
        raw = np.full(self.coefficients.shape, np.nan)
        for row, ring in zip(raw, self.coefficients):
            if np.isfinite(ring).all():
                exact = [Fraction(float(c)) for c in ring]
                row[:] = [float(sum(t * c for t, c in zip(column, exact))) for column in table]
        return raw


def polynomial_design(column: NDArray[Any], domain: tuple[float, float], degree: int) -> NDArray[np.float64]:
    """float64 [columns, degree + 1]: Chebyshev polynomials at columns, on the axis scaled to -1 .. 1."""
    scaled = (2.0 * column - (domain[0] + domain[1])) / (domain[1] - domain[0])
    return np.asarray(chebyshev.chebvander(scaled, degree), dtype=np.float64)


def harmonic_design(column: NDArray[np.float64], n: int, harmonics: int) -> NDArray[np.float64]:
    """float64 [columns, 1 + 2 harmonics]: 1, and cosine and sine of each harmonic of n columns."""
    angle = (2.0 * math.pi / n) * column[:, None] * np.arange(1, harmonics + 1)
    waves = np.stack([np.cos(angle), np.sin(angle)], axis=2).reshape(len(column), 2 * harmonics)
    return np.concatenate([np.ones((len(column), 1)), waves], axis=1)


def _exact_table(terms: int, domain: tuple[float, float], in_chebyshev: bool) -> list[list[Fraction]]:
    """Row k: what each scaled Chebyshev polynomial holds of the k-th power, or Chebyshev polynomial, of the column."""
    low, high = Fraction(domain[0]), Fraction(domain[1])
    a, b = 2 / (high - low), -(low + high) / (high - low)

    def powers_of(slope: Fraction, shift: Fraction) -> list[list[Fraction]]:
        """T_0, T_1, ... of slope x + shift in powers of x, the lowest first."""
        polynomials = [[Fraction(1)], [shift, slope]]
        for _ in range(2, terms):
            last, other = polynomials[-1], polynomials[-2]
            grown = [2 * shift * c for c in last] + [Fraction(0)]
            for k, c in enumerate(last):
                grown[k + 1] += 2 * slope * c
            polynomials.append([c - (other[k] if k < len(other) else 0) for k, c in enumerate(grown)])
        return [row + [Fraction(0)] * (terms - len(row)) for row in polynomials[:terms]]

    scaled = powers_of(a, b)
    if in_chebyshev:
        plain = powers_of(Fraction(1), Fraction(0))
        for row in scaled:
            left = list(row)
            for k in range(terms - 1, -1, -1):
                row[k] = left[k] / plain[k][k]
                left = [c - row[k] * p for c, p in zip(left, plain[k])]
    return [[row[k] for row in scaled] for k in range(terms)]
