"""Sums over frames, pixel by pixel: what the mean, the variance and the maximum of many frames are made of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

__all__ = ["PixelSums"]

_STRIP = 16384
"""Pixels worked on at a time: what they need stays in the cache."""


@dataclass(slots=True, eq=False)
class PixelSums:
    """Sums over frames, which add: `a` += `b` equals one pass over the frames of both. Memory: 28 bytes per pixel.

    Whole counts are summed exactly: their total always, their squares up to 2^53.

    Examples
    --------
    >>> import numpy as np
    >>> from crystint.ops.pixel_sums import PixelSums
    >>> sums = PixelSums.zeros((2, 2), np.dtype(np.uint16))
    >>> sums.add(np.array([[1, 2], [3, 65535]], np.uint16), unusable=np.array([3]))
    >>> sums.add(np.array([[3, 2], [3, 7]], np.uint16))
    >>> sums.number.tolist(), sums.mean.tolist(), sums.variance[0, 0].tolist()
    ([[2, 2], [2, 1]], [[2.0, 2.0], [3.0, 7.0]], 2.0)
    """

    frames: int
    """how many were added"""
    total: NDArray[Any]
    """int64 (of float frames float64) [slow, fast]: sum of the counts"""
    squares: NDArray[np.float64]
    """float64 [slow, fast]: sum of their squares"""
    maximum: NDArray[Any]
    """frame dtype [slow, fast]: the largest; the smallest value of the dtype where no frame was usable"""
    lost: NDArray[np.uint32]
    """uint32 [slow, fast]: frames in which the pixel held no measurement; they count nowhere else"""

    @classmethod
    def zeros(cls, shape: tuple[int, int], dtype: np.dtype[Any]) -> Self:
        """Of no frame.

        Parameters
        ----------
        shape : (slow, fast)
        dtype : numpy dtype
            Of the frames.
        """
        whole = dtype.kind in "iu"
        lowest = np.iinfo(dtype).min if whole else -np.inf
        return cls(
            0,
            np.zeros(shape, np.int64 if whole else np.float64),
            np.zeros(shape),
            np.full(shape, lowest, dtype),
            np.zeros(shape, np.uint32),
        )

    @property
    def number(self) -> NDArray[np.int64]:
        """int64 [slow, fast]: frames in which the pixel held a measurement."""
        return np.asarray(self.frames - self.lost.astype(np.int64))

    @property
    def mean(self) -> NDArray[np.float64]:
        """float64 [slow, fast]: mean of the counts; NaN where no frame was usable."""
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.asarray(self.total / self.number)

    @property
    def variance(self) -> NDArray[np.float64]:
        """float64 [slow, fast]: variance of the counts from frame to frame; NaN where fewer than two were usable."""
        number = self.number
        with np.errstate(invalid="ignore", divide="ignore"):
            spread = np.maximum(self.squares - self.total.astype(np.float64) ** 2 / number, 0.0) / (number - 1)
        return np.where(number > 1, spread, np.nan)

    def add(self, frame: NDArray[Any], unusable: NDArray[np.integer[Any]] | None = None) -> None:
        """Add a frame.

        Parameters
        ----------
        frame : dtype [slow, fast]
        unusable : int [n], optional
            Numbers (slow * width + fast) of the pixels that hold no measurement in it, such as
            ``numpy.flatnonzero(frames.valid.unusable(frame))``; each once.
        """
        flat = frame.reshape(-1)
        at = np.zeros(0, np.intp) if unusable is None else unusable
        if len(at):
            flat = flat.copy()
            flat[at] = 0
            largest = self.maximum.reshape(-1)[at]
        total, squares, maximum = (part.reshape(-1) for part in (self.total, self.squares, self.maximum))
        room = np.empty((2, min(_STRIP, len(flat))))
        for start in range(0, len(flat), _STRIP):
            strip = slice(start, start + _STRIP)
            counts = flat[strip]
            exact, square = room[:, : len(counts)]
            exact[:] = counts
            np.multiply(exact, exact, out=square)
            squares[strip] += square
            total[strip] += counts
            np.maximum(maximum[strip], counts, out=maximum[strip])
        if len(at):
            maximum[at] = largest
            self.lost.reshape(-1)[at] += np.uint32(1)
        self.frames += 1

    def __iadd__(self, other: PixelSums) -> Self:
        self.frames += other.frames
        self.total += other.total
        self.squares += other.squares
        np.maximum(self.maximum, other.maximum, out=self.maximum)
        self.lost += other.lost
        return self

    def arrays(self) -> dict[str, NDArray[Any]]:
        """As arrays of a record, each as narrow as its values allow; `of_arrays` makes the sums of them."""
        narrow = {"total": _narrow(self.total), "squares": _narrow(self.squares), "lost": _narrow(self.lost)}
        return {"frames": np.array([self.frames]), "maximum": self.maximum, **narrow}

    @classmethod
    def of_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> Self:
        """The inverse of `arrays`; what need not be widened is a view."""
        whole = arrays["maximum"].dtype.kind in "iu"
        return cls(
            int(arrays["frames"][0]),
            arrays["total"].astype(np.int64 if whole else np.float64, copy=False),
            arrays["squares"].astype(np.float64, copy=False),
            arrays["maximum"],
            arrays["lost"].astype(np.uint32, copy=False),
        )


def _narrow(values: NDArray[Any]) -> NDArray[Any]:
    """The same values in the narrowest dtype that holds them exactly."""
    low, high = (values.min(), values.max()) if values.size else (0, 0)
    if not np.isfinite(high) or not np.isfinite(low) or max(-low, high) > 2**53:
        return values
    dtype = np.result_type(np.min_scalar_type(int(low)), np.min_scalar_type(int(high)))
    if dtype.kind == "f" or dtype.itemsize >= values.dtype.itemsize:
        return values
    narrow = values.astype(dtype)
    return narrow if values.dtype.kind in "iu" or np.array_equal(narrow, values) else values
