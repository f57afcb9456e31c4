"""Correlations of a stream of exposures, ring by ring in threads."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from crystint.arrays import Floats
from crystint.correlate.sums.harmonics import lag_spectrum
from crystint.correlate.sums.lag_sums import RingSpectra, lag_sums, ring_spectra, rings_of
from crystint.errors import SettingError, ShapeError
from crystint.model.correlation_sums import MOST, CorrelationSums, Norm

__all__ = ["Correlator", "correlate_rings", "difference", "joined_spectra", "threads_of"]

_BLOCK = 16
"""rings that a thread takes at a time: they stay in its cache"""


class Correlator:
    """Correlations of a stream of exposures, in constant memory.

    Transforms are SciPy's, a few rings at a time in each thread, so that they stay in its cache. Rings of float32 are
    transformed in single precision, others in double; sums are kept in double. Choose numbers of samples without prime
    factors above 5 (`crystint.correlate.polar.polar.smooth_size`); a large prime factor costs a factor of 3 to 5.

    Memory: 16 bytes per row and lag, 40 from the first masked exposure on, and 1.6 kB per row for the errors of C_n. Of
    several threads or workers, give each its own, and add their `sums`.

    Parameters
    ----------
    pairs : int [rows, 2], optional
        Rings to correlate with one another; None = each with itself. C of (i, j) at a lag D is the mean of
        I_i(phi) I_j(phi + D). For all pairs of many rings see `crystint.correlate.sums.all_pairs`.
    centered : bool
        Subtract the mean over the valid samples from each ring of each exposure first. What the mean takes away makes
        C too small, by 1/n of the sum of C over all lags.
    workers : int, optional
        Threads; None = one per processor.

    Raises
    ------
    ShapeError, SettingError
        For pairs of another shape, and impossible settings.

    Examples
    --------
    >>> import numpy as np
    >>> from crystint import correlate
    >>> data = correlate.simulate_rings(20, 360, seed=1)
    >>> correlator = correlate.Correlator()
    >>> for exposure in data.values:  # [rings, n]
    ...     correlator.add(exposure)
    >>> sums = correlator.sums
    >>> sums.number, sums.mean("mask").shape, sums.error("mask").shape
    (20, (1, 360), (1, 360))
    """

    def __init__(self, *, pairs: ArrayLike | None = None, centered: bool = False, workers: int | None = None) -> None:
        self.pairs: NDArray[np.int64] | None = None
        if pairs is not None:
            rings = np.asarray(pairs)
            if rings.ndim != 2 or rings.shape[1] != 2 or rings.dtype.kind not in "iu":
                raise ShapeError(f"pairs is {rings.dtype} {rings.shape}, expected whole numbers (rows, 2)")
            if rings.size and rings.min() < 0:
                raise SettingError(f"pairs holds {rings.min()}, expected numbers of rings, 0 or more")
            self.pairs = rings.astype(np.int64)
        self.centered, self._workers = centered, threads_of(workers)
        self._shape: tuple[int, ...] | None = None
        self._parts: dict[str, Floats] = {}
        self._spectrum: dict[str, Floats] = {}
        self._number = 0

    def add(
        self, values: NDArray[Any], good: NDArray[Any] | None = None, *, intensity: NDArray[Any] | None = None
    ) -> None:
        """Correlate one exposure and add it.

        Parameters
        ----------
        values : real [rings, n]
            NaN and infinities are no data.
        good : bool or float [rings, n] or [n], optional
            False = no data; floats are weights, 0 = no data (`PolarImage.weights`).
        intensity : float [rings, 2], optional
            Sum and number of the values by whose mean to normalize, where these are not `values` themselves.

        Raises
        ------
        ShapeError, DTypeError
            When rings differ in number or samples from those before, or are no real numbers.
        """
        if np.ndim(values) != 2:
            raise ShapeError(f"values is {np.shape(values)}, expected (rings, n)")
        rings, use = rings_of(values, good)
        index = self._prepare(rings, masked=not (np.isfinite(rings).all() and (use is None or bool((use == 1).all()))))
        about = np.empty((len(rings), 2))
        if self.pairs is None:

            def block(part: slice) -> None:
                spectra = _spectra(rings, use, part)
                about[part] = _about(spectra)
                self._add_rows(part, spectra, None)

            _in_threads(block, len(rings), self._workers)
        else:
            spectra = joined_spectra(rings, use, self._workers)
            about = _about(spectra)
            _in_threads(
                lambda part: self._add_rows(part, spectra.rows(index[part, 0]), spectra.rows(index[part, 1])),
                len(index),
                self._workers,
            )
        if intensity is not None:
            about = np.asarray(intensity, dtype=np.float64)
            if about.shape != (len(rings), 2):
                raise ShapeError(f"intensity is {about.shape}, expected {(len(rings), 2)}")
        self._parts["intensity"] += about[index, 0]
        self._parts["samples"] += about[index, 1]
        self._number += 1

    def add_difference(self, first: NDArray[Any], second: NDArray[Any], good: NDArray[Any] | None = None) -> None:
        """Correlate the difference of two paired exposures where both have data, and add it.

        Intensities are those of the exposures: the mean over both. For independent exposures the correlation of the
        difference, as LOKI has it, is twice that of the fluctuations of a single one about what the two have in common.

        Parameters
        ----------
        first, second : real [rings, n]
        good : bool or float [rings, n] or [n], optional
            Of both; where masks differ, put NaN in the values.
        """
        left = difference(first, second)
        rings, use = rings_of(left, good)
        weight = np.where(np.isfinite(rings), 1.0 if use is None else use, 0.0)
        both = np.where(weight > 0.0, 0.5 * (np.asarray(first, np.float64) + second), 0.0)
        self.add(left, good, intensity=np.stack([(both * weight).sum(axis=1), weight.sum(axis=1)], axis=1))

    @property
    def number(self) -> int:
        """Exposures, or differences, so far."""
        return self._number

    @property
    def sums(self) -> CorrelationSums:
        """A copy of the sums so far."""
        if self._shape is None:
            return CorrelationSums()
        parts: dict[str, Any] = {name: part.copy() for name, part in self._parts.items()}
        if "product" not in parts:
            parts["product"] = parts["total"] * self._shape[1]
        spectrum: dict[str, Any] = {name: part.copy() for name, part in self._spectrum.items()}
        parts["spectrum"] = CorrelationSums(**spectrum, number=self._number)
        return CorrelationSums(**parts, number=self._number)

    def _prepare(self, rings: NDArray[Any], *, masked: bool) -> NDArray[np.int64]:
        """Check the shape, make room for the sums; int64 [rows, 2]: the rings of each row."""
        if self._shape is None:
            if self.pairs is not None and self.pairs.size and self.pairs.max() >= len(rings):
                raise ShapeError(f"pairs names ring {self.pairs.max()}, but there are {len(rings)}")
            rows, n = len(rings) if self.pairs is None else len(self.pairs), rings.shape[1]
            widths = {"total": n, "square": n, "pairs": 1, "pairs_square": 1, "intensity": 2, "samples": 2}
            self._parts = {name: np.zeros((rows, width)) for name, width in widths.items()}
            wide = 2 * (self._most(n) + 1)
            widths = {"total": wide, "square": wide, "product": wide, "pairs": 1, "pairs_square": 1}
            self._spectrum = {name: np.zeros((rows, width)) for name, width in widths.items()}
            self._shape = rings.shape
        if rings.shape != self._shape:
            raise ShapeError(f"values is {rings.shape}, expected {self._shape} as the exposures before")
        parts, n = self._parts, rings.shape[1]
        if masked and "product" not in parts:
            parts["product"] = parts["total"] * n
            for name in ("pairs", "pairs_square"):
                parts[name] = np.repeat(parts[name], n, axis=1)
        if self.pairs is not None:
            return self.pairs
        return np.repeat(np.arange(len(rings))[:, None], 2, axis=1)

    def _add_rows(self, part: slice, first: RingSpectra, second: RingSpectra | None) -> None:
        """Add some rows of an exposure; threads have different rows."""
        total, pairs = lag_sums(first, second, centered=self.centered)
        _add(self._parts, part, total, pairs.astype(np.float64))
        coefficients, weight = lag_spectrum(total, pairs, self._most(total.shape[1]))
        _add(self._spectrum, part, weight * coefficients, weight.astype(np.float64))

    @staticmethod
    def _most(n: int) -> int:
        """Highest harmonic whose spread is summed up."""
        return min(MOST, (n - 1) // 2)


def _add(sums: dict[str, Floats], part: slice, total: Floats, pairs: Floats) -> None:
    """Add an exposure to the sums of some rows."""
    sums["total"][part] += total
    sums["square"][part] += total * total
    sums["pairs"][part] += pairs
    sums["pairs_square"][part] += pairs**2
    if "product" in sums:
        sums["product"][part] += total * pairs


def correlate_rings(
    first: NDArray[Any],
    good: Any,
    second: NDArray[Any] | None,
    second_good: Any,
    *,
    norm: Norm,
    centered: bool,
    workers: int | None,
) -> NDArray[np.floating[Any]]:
    """Correlations [rings, n] of rings that `rings_of` checked, in their precision."""
    kind = first.dtype if second is None else np.result_type(first, second)
    correlations = np.empty(first.shape, kind)

    def block(part: slice) -> None:
        other = None if second is None else _spectra(second, second_good, part)
        total, pairs = lag_sums(_spectra(first, good, part), other, centered=centered)
        divisor = pairs if norm == "mask" else float(first.shape[1]) if norm == "mean" else 1.0
        with np.errstate(invalid="ignore", divide="ignore"):
            correlations[part] = np.divide(total, divisor, out=total)

    _in_threads(block, len(first), threads_of(workers))
    return correlations


def difference(first: ArrayLike, second: ArrayLike) -> NDArray[np.floating[Any]]:
    """First minus second, float [..., n]: NaN where either is no data; float32 only when both are.

    Raises
    ------
    ShapeError
        When the shapes differ.
    """
    one, other = np.asarray(first), np.asarray(second)
    if one.shape != other.shape:
        raise ShapeError(f"second is {other.shape}, expected {one.shape} as first")
    kind = np.result_type(one, other, np.float32)
    with np.errstate(invalid="ignore"):
        values = np.asarray(np.subtract(one, other, dtype=kind))
    return np.where(np.isfinite(values), values, kind.type(np.nan))


def _about(spectra: RingSpectra) -> Floats:
    """float64 [rings, 2]: sum of the values, and of the weights."""
    return np.stack([spectra.mean * spectra.samples, spectra.samples], axis=1)


def _spectra(rings: NDArray[Any], good: Any, part: slice) -> RingSpectra:
    return ring_spectra(rings[part], None if good is None else good[part])


def joined_spectra(rings: NDArray[Any], good: Any, workers: int) -> RingSpectra:
    """The spectra of all rings."""
    parts: dict[int, RingSpectra] = {}

    def block(part: slice) -> None:
        parts[part.start] = _spectra(rings, good, part)

    _in_threads(block, len(rings), workers)
    return RingSpectra.joined([parts[start] for start in sorted(parts)])


def _in_threads(block: Callable[[slice], None], count: int, workers: int) -> None:
    parts = [slice(begin, min(begin + _BLOCK, count)) for begin in range(0, count, _BLOCK)]
    if workers == 1 or len(parts) < 2:
        for part in parts:
            block(part)
        return
    with ThreadPoolExecutor(workers) as pool:
        for _ in pool.map(block, parts):
            pass


def threads_of(workers: int | None) -> int:
    if workers is None:
        return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if workers < 1:
        raise SettingError(f"workers is {workers}, expected 1 or more")
    return workers
