"""Sums over pairs of samples at every lag, by Fourier transforms: what all angular correlations are made of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.fft
from numpy.typing import NDArray

from crystint.arrays import Real
from crystint.errors import DTypeError, ShapeError

__all__ = ["RingSpectra", "lag_sums", "ring_spectra", "rings_of"]

_NO_WEIGHT = 1e-9
"""a sum of products of weights below this part of a ring is taken for 0"""


@dataclass(frozen=True, slots=True, eq=False)
class RingSpectra:
    """Rings in Fourier space, without their means: single precision then serves fluctuations, however small."""

    data: NDArray[np.complexfloating[Any, Any]]
    """complex [rings, n // 2 + 1]: of weight * (value - mean)"""
    weight: NDArray[np.complexfloating[Any, Any]] | None
    """complex [rings, n // 2 + 1]: of the weights; None = every sample has weight 1"""
    mean: NDArray[np.float64]
    """float64 [rings]: weighted mean; 0 in rings without data"""
    samples: NDArray[np.float64]
    """float64 [rings]: sum of weights"""
    n: int
    whole: bool
    """weights are 0 or 1, so that sums of their products are whole numbers"""

    def rows(self, index: Any) -> RingSpectra:
        """The spectra of some of the rings."""
        weight = None if self.weight is None else self.weight[index]
        return RingSpectra(self.data[index], weight, self.mean[index], self.samples[index], self.n, self.whole)

    def weights(self) -> NDArray[np.complexfloating[Any, Any]]:
        """The spectrum of the weights, also where they are all 1."""
        if self.weight is not None:
            return self.weight
        spectrum = np.zeros_like(self.data)
        spectrum[:, 0] = self.n
        return spectrum

    @classmethod
    def joined(cls, parts: Sequence[RingSpectra]) -> RingSpectra:
        """The rings of several, one after the other."""
        first = parts[0]
        weight = None
        if any(part.weight is not None for part in parts):
            weight = np.concatenate([part.weights() for part in parts])
        columns = (np.concatenate([getattr(part, name) for part in parts]) for name in ("data", "mean", "samples"))
        data, mean, samples = columns
        return cls(data, weight, mean, samples, first.n, all(part.whole for part in parts))


def rings_of(values: NDArray[Any], good: NDArray[Any] | None = None, *, what: str = "values") -> tuple[Real, Any]:
    """Values as float [rings, n], in the precision to work in, and good, of the same shape, bool or float, or None.

    Raises
    ------
    ShapeError, DTypeError
        When the values are not real, have no axis or no samples, or when good is of another shape.
    """
    rings = np.asarray(values)
    if rings.dtype.kind not in "biuf":
        raise DTypeError(f"{what} is {rings.dtype}, expected real numbers, NaN where there is no data")
    if rings.ndim < 1 or not rings.shape[-1]:
        raise ShapeError(f"{what} is {rings.shape}, expected (..., n), n samples over 2 pi")
    n = rings.shape[-1]
    if good is not None:
        good = np.asarray(good)
        if good.dtype.kind not in "bf":
            raise DTypeError(f"good is {good.dtype}, expected bool (True = good), or weights as floats")
        if good.shape not in (rings.shape, rings.shape[-1:]):
            raise ShapeError(f"good is {good.shape}, expected {rings.shape} or {rings.shape[-1:]}")
        good = np.broadcast_to(good, rings.shape).reshape(-1, n)
    if rings.dtype not in (np.float32, np.float64):
        rings = rings.astype(np.float64)
    return rings.reshape(-1, n), good


def ring_spectra(values: Real, good: NDArray[Any] | None = None) -> RingSpectra:
    """Transform rings: float32 or float64 [rings, n], of `rings_of`, with NaN and infinities left out."""
    kind, n = values.dtype, values.shape[1]
    use = np.isfinite(values)
    whole = good is None or good.dtype.kind == "b"
    weight: Any = use
    if good is not None and whole:
        weight = use & good
    elif good is not None:
        with np.errstate(invalid="ignore"):
            weight = np.where(use & (good > 0.0) & np.isfinite(good), good, 0.0).astype(np.float64)
        kind = np.dtype(np.float64)  # sums of small weights must not drown in the noise of the transform
    if whole and weight.all():
        mean = values.mean(axis=1, dtype=np.float64)
        samples = np.full(len(values), float(n))
        data = scipy.fft.rfft(values - mean[:, None].astype(kind), axis=1)
        return RingSpectra(data, None, mean, samples, n, whole)
    samples = weight.sum(axis=1, dtype=np.float64)
    weighted = np.where(weight != 0, values, 0.0).astype(kind, copy=False)
    if not whole:
        weighted *= weight
    mean = weighted.sum(axis=1, dtype=np.float64) / np.where(samples > 0.0, samples, 1.0)
    shares = weight.astype(kind)
    weighted -= mean[:, None].astype(kind) * shares
    mean = mean[:, None].astype(kind).astype(np.float64)[:, 0]  # as it was taken off
    return RingSpectra(scipy.fft.rfft(weighted, axis=1), scipy.fft.rfft(shares, axis=1), mean, samples, n, whole)


def lag_sums(
    first: RingSpectra, second: RingSpectra | None = None, *, centered: bool = False
) -> tuple[NDArray[np.float64], Real]:
    """Sums over the samples a of one ring and those a lag D after them in another.

    total(D) = sum_a w1(a) v1(a) w2(a + D) v2(a + D),  pairs(D) = sum_a w1(a) w2(a + D),  with a + D modulo n.

    Parameters
    ----------
    first, second : RingSpectra
        Row i of one with row i of the other; without a second, every ring with itself.
    centered : bool
        Take the rings without their means.

    Returns
    -------
    total : float64 [rings, n]
        Fluctuations in the precision of the rings, the share of the means in double.
    pairs : float [rings, n], or [rings, 1] when all are n
    """
    alone, other = second is None, first if second is None else second
    n = first.n
    if alone:
        power: Any = _square(first.data)
    else:
        power = np.conj(first.data) * other.data
    m1, m2 = first.mean[:, None], other.mean[:, None]
    if first.weight is None and other.weight is None:
        pairs: Any = np.full((len(first.data), 1), float(n), dtype=first.data.real.dtype)
    else:
        w1, w2 = first.weights(), other.weights()
        pairs = scipy.fft.irfft(_square(w1) if alone else np.conj(w1) * w2, n=n, axis=1)
        if first.whole and other.whole:
            np.rint(pairs, out=pairs)
        else:
            pairs[pairs < _NO_WEIGHT * n] = 0.0
        if not centered:
            kind = power.real.dtype
            if alone:
                power += (2.0 * m1).astype(kind) * (first.data * np.conj(w1)).real
            else:
                power += m2.astype(kind) * (np.conj(first.data) * w2) + m1.astype(kind) * (np.conj(w1) * other.data)
    total = scipy.fft.irfft(power, n=n, axis=1) + (0.0 if centered else m1 * m2) * pairs.astype(np.float64)
    total *= pairs != 0.0  # without pairs there is nothing, not even rounding
    return total, pairs


def _square(values: NDArray[Any]) -> Any:
    square = values.real**2
    square += values.imag**2
    return square
