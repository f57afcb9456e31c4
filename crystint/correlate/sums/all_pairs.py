"""All rings against all rings: a matrix product in Fourier space, some rows at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import scipy.fft
from numpy.typing import NDArray

from crystint.correlate.sums.correlator import joined_spectra, threads_of
from crystint.correlate.sums.harmonics import fourier_coefficients
from crystint.correlate.sums.lag_sums import RingSpectra, rings_of
from crystint.errors import SettingError, ShapeError
from crystint.model.correlation_sums import NORMS, Norm

__all__ = ["AllPairs", "PairSums", "all_pairs", "bytes_of_pairs", "row_blocks"]

_BATCH = 16
"""exposures whose spectra are multiplied together"""
_HARMONICS = 32
"""harmonics multiplied at a time"""
_TALL, _TILE = 32, 32768
"""rows of a tile of a product, and multiplications in it"""


@dataclass(frozen=True, slots=True, eq=False)
class PairSums:
    """Sums over exposures of the products of rings in Fourier space: some rings, the rows, with others, the columns.

    ``a + b`` is what one pass over all exposures would have given; ``PairSums()`` is nothing. The other half is known:
    C of (j, i) at D is that of (i, j) at -D.
    """

    spectrum: Any = None
    """complex [n // 2 + 1, rows, columns]: sum of conj(F_i) F_j"""
    weight: Any = None
    """complex [n // 2 + 1, rows, columns]: that of the masks; None = nothing was masked"""
    intensity: Any = None
    """float64 [2, rings]: sum and number of the values of every ring"""
    rows: range = range(0)
    columns: range = range(0)
    n: int = 0
    number: int = 0
    """exposures"""
    whole: bool = True
    """weights are 0 or 1"""

    def __add__(self, other: Self) -> Self:
        if not self.number or not other.number:
            return self if self.number else other
        if (self.rows, self.columns, self.n) != (other.rows, other.columns, other.n):
            raise ShapeError("sums of other rings, or of rings of another number of samples, do not add")
        weight = None
        if self.weight is not None or other.weight is not None:
            weight = _full(self) + _full(other)
        return type(self)(
            self.spectrum + other.spectrum,
            weight,
            self.intensity + other.intensity,
            self.rows,
            self.columns,
            self.n,
            self.number + other.number,
            self.whole and other.whole,
        )

    def correlation(self, row: int, norm: Norm = "mask", *, by_intensity: bool = False) -> NDArray[np.float64]:
        """float64 [columns, n]: C of one of the rows with all columns; `CorrelationSums.mean` defines the norms."""
        if norm not in NORMS:
            raise SettingError(f"norm is {norm!r}, expected one of {', '.join(NORMS)}")
        values = self._lags(self.spectrum, row)
        divisor: Any = float(self.number) * (1 if norm == "sum" else self.n)
        if norm == "mask" and self.weight is not None:
            divisor = self._lags(self.weight, row)
            if self.whole:  # in single precision large ones may be off by more
                np.rint(divisor, out=divisor, where=divisor < 1e5)
            else:
                divisor[divisor < 1e-9 * self.n] = 0.0
        with np.errstate(invalid="ignore", divide="ignore"):
            values = np.where(divisor != 0.0, values / divisor, np.nan)
            if by_intensity:
                mean = self.intensity[0] / np.where(self.intensity[1] > 0.0, self.intensity[1], np.nan)
                values = values / (mean[self.rows[row]] * mean[_slice(self.columns)])[:, None]
        return np.asarray(values)

    def harmonics(
        self, most: int | None = None, norm: Norm = "mask", *, by_intensity: bool = False
    ) -> NDArray[np.complex128]:
        """complex128 [rows, columns, most + 1]: Fourier coefficients C_k of all these correlations."""
        rows = (
            fourier_coefficients(self.correlation(i, norm, by_intensity=by_intensity), most)
            for i in range(len(self.rows))
        )
        return np.stack(list(rows))

    def _lags(self, spectrum: Any, row: int) -> NDArray[np.float64]:
        part = np.ascontiguousarray(spectrum[:, row].T).astype(np.complex128)
        return np.asarray(scipy.fft.irfft(part, n=self.n, axis=1))


class AllPairs:
    """Correlations of some rings with others over a stream of exposures, in constant memory.

    Sixteen exposures at a time are multiplied as matrices, one per harmonic. Memory: `bytes_of_pairs`. Of float32 rings
    everything is kept in single precision: where the fluctuations sought are below 1e-4 of the mean and there are
    masks, give float64, or `centered`.

    Parameters
    ----------
    rows, columns : slice, optional
        Rings to correlate, and with which; None = all. For many rings take the blocks of `row_blocks` one by one.
    centered : bool
        Subtract the mean over the valid samples from each ring of each exposure first.
    workers : int, optional
        Threads; None = one per processor.
    """

    def __init__(
        self,
        rows: slice | None = None,
        columns: slice | None = None,
        *,
        centered: bool = False,
        workers: int | None = None,
    ) -> None:
        self.rows, self.columns, self.centered = rows or slice(None), columns or slice(None), centered
        self._workers = threads_of(workers)
        self._waiting: list[RingSpectra] = []
        self._sums = PairSums()

    def add(self, values: NDArray[Any], good: NDArray[Any] | None = None) -> None:
        """Add an exposure: real [rings, n], NaN = no data; good as `Correlator.add`.

        Raises
        ------
        ShapeError, DTypeError, SettingError
            When rings differ from those before, are no real numbers, or rows or columns name none of them.
        """
        if np.ndim(values) != 2:
            raise ShapeError(f"values is {np.shape(values)}, expected (rings, n)")
        rings, use = rings_of(values, good)
        if self._sums.intensity is None:
            self._start(*rings.shape)
        sums = self._sums
        if rings.shape != (sums.intensity.shape[1], sums.n):
            raise ShapeError(f"values is {rings.shape}, expected {(sums.intensity.shape[1], sums.n)} as before")
        self._waiting.append(joined_spectra(rings, use, self._workers))
        if len(self._waiting) == _BATCH:
            self._multiply()

    @property
    def sums(self) -> PairSums:
        """The sums so far, good until the next exposure is added."""
        self._multiply()
        return self._sums if self._sums.number else PairSums()

    def _start(self, rings: int, n: int) -> None:
        parts = [range(*part.indices(rings)) for part in (self.rows, self.columns)]
        for part in parts:
            if part.step != 1 or not part:
                raise SettingError(f"rows or columns are {part}, expected a part of {rings} rings, without steps")
        self._sums = PairSums(None, None, np.zeros((2, rings)), parts[0], parts[1], n)

    def _multiply(self) -> None:
        """Add the exposures that wait."""
        waiting, self._waiting = self._waiting, []
        if not waiting:
            return
        old = self._sums
        intensity = sum((np.stack([part.mean * part.samples, part.samples]) for part in waiting), old.intensity)
        masked = any(part.weight is not None for part in waiting)
        weight = old.weight
        if masked and weight is None and old.number:
            weight = _full(old)
        data = [_spectrum(part, centered=self.centered) for part in waiting]
        spectrum = _products(data, old.rows, old.columns, old.spectrum, self._workers)
        if masked or weight is not None:
            masks = [part.weights() for part in waiting]
            weight = _products(masks, old.rows, old.columns, weight, self._workers)
        whole = old.whole and all(part.whole for part in waiting)
        number = old.number + len(waiting)
        self._sums = PairSums(spectrum, weight, intensity, old.rows, old.columns, old.n, number, whole)


def all_pairs(
    exposures: NDArray[Any] | Callable[[], Iterable[NDArray[Any]]],
    *,
    memory: float = 2.0**30,
    centered: bool = False,
    workers: int | None = None,
) -> Iterator[PairSums]:
    """All rings with all, in blocks of rows, each with the columns from its first row on.

    Parameters
    ----------
    exposures : real [exposures, rings, n], or a function
        A function is called once per block and gives the exposures, real [rings, n], one after the other: passes over
        the data are what memory costs.
    memory : float
        Bytes that the sums of a block may take; a block has one row at least.

    Yields
    ------
    PairSums
    """
    source: Callable[[], Iterable[NDArray[Any]]] = exposures if callable(exposures) else lambda: iter(exposures)
    first = next(iter(source()), None)
    if first is None:
        return
    rings, n = rings_of(first)[0].shape
    for rows in row_blocks(rings, n, memory, double=np.asarray(first).dtype != np.float32):
        block = AllPairs(rows, slice(rows.start, None), centered=centered, workers=workers)
        for values in source():
            block.add(values)
        yield block.sums


def bytes_of_pairs(rows: int, columns: int, n: int, *, masked: bool = True, double: bool = False) -> int:
    """Memory of the sums of rows x columns rings of n samples: 8 bytes per harmonic, twice that with masks or doubles.

    1000 x 1000 rings of 6300 samples take 50 GB with masks; 20 rows of them 1 GB. To this come the spectra of sixteen
    exposures, 8 bytes (16) per ring and harmonic and exposure.
    """
    return rows * columns * (n // 2 + 1) * 8 * (1 + masked) * (1 + double)


def row_blocks(rings: int, n: int, memory: float, *, masked: bool = True, double: bool = False) -> list[slice]:
    """Blocks of rows, each with the columns from its first row on, whose sums fit into some memory, bytes."""
    blocks, begin = [], 0
    while begin < rings:
        per_row = bytes_of_pairs(1, rings - begin, n, masked=masked, double=double)
        end = min(rings, begin + max(1, int(memory // per_row)))
        blocks.append(slice(begin, end))
        begin = end
    return blocks


def _spectrum(part: RingSpectra, *, centered: bool) -> Any:
    """The spectrum of a ring, with its mean unless centered."""
    if centered:
        return part.data
    kind = part.data.real.dtype
    return part.data + part.mean[:, None].astype(kind) * part.weights()


def _products(parts: list[Any], rows: range, columns: range, into: Any, workers: int) -> Any:
    """Add conj(F_i) F_j, summed over exposures; into may be None, and is changed.

    The matrix of a harmonic is made of tiles so small that BLAS does each in the thread that asks for it: its own
    threads wait for one another at every tile, and where processors are busy take seven times as long.
    """
    harmonics = parts[0].shape[1]
    if into is None:
        into = np.zeros((harmonics, len(rows), len(columns)), parts[0].dtype)
    tall = min(len(rows), _TALL)
    wide = _TILE // (tall * _BATCH)

    def some_harmonics(begin: int) -> None:
        some = slice(begin, begin + _HARMONICS)
        left = np.stack([np.conj(part[_slice(rows), some]).T for part in parts], axis=2)
        right = np.stack([part[_slice(columns), some].T for part in parts], axis=1)
        for row in range(0, len(rows), tall):
            for column in range(0, len(columns), wide):
                tile = some, slice(row, row + tall), slice(column, column + wide)
                into[tile] += left[:, tile[1]] @ right[:, :, tile[2]]

    with ThreadPoolExecutor(workers) as pool:
        list(pool.map(some_harmonics, range(0, harmonics, _HARMONICS)))
    return into


def _slice(part: range) -> slice:
    return slice(part.start, part.stop)


def _full(sums: PairSums) -> Any:
    """The weights, also where nothing was masked."""
    if sums.weight is not None:
        return sums.weight
    weights = np.zeros_like(sums.spectrum)
    weights[0] = float(sums.n) ** 2 * sums.number
    return weights
