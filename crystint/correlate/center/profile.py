"""The mean of a frame per radius, of good pixels only."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from crystint.arrays import Floats
from crystint.errors import SettingError, ShapeError
from crystint.html import html_table
from crystint.model.mask import combine_masks, unusable

__all__ = ["Profile", "RadialProfile"]


@dataclass(frozen=True, slots=True, eq=False)
class Profile:
    """Sums per radius bin. ``a + b`` is what one pass over both frames would have given."""

    total: Floats
    """float64 [bins]: sum of the counts"""
    squares: Floats
    """float64 [bins]: sum of the squared counts"""
    count: NDArray[np.int64]
    """int64 [bins]: good pixels"""
    step: float
    """width of a bin, px"""

    def __add__(self, other: Self) -> Self:
        if self.step != other.step or self.count.shape != other.count.shape:
            raise ShapeError(
                f"profiles of {len(self.count)} bins of {self.step} px and {len(other.count)} of {other.step} px "
                "cannot be added"
            )
        return type(self)(self.total + other.total, self.squares + other.squares, self.count + other.count, self.step)

    @property
    def radius(self) -> Floats:
        """Middle of each bin, px; float64 [bins]."""
        return np.asarray((np.arange(len(self.count)) + 0.5) * self.step, np.float64)

    @property
    def mean(self) -> Floats:
        """Mean counts per pixel; float64 [bins], NaN without a good pixel."""
        with np.errstate(invalid="ignore"):
            return np.asarray(self.total / self.count)

    @property
    def std(self) -> Floats:
        """Standard deviation of a pixel about its bin's mean; float64 [bins], NaN below two good pixels."""
        with np.errstate(invalid="ignore", divide="ignore"):
            variance = (self.squares - self.total * self.total / self.count) / (self.count - 1)
        return np.sqrt(np.where(self.count > 1, np.maximum(variance, 0.0), np.nan))

    @property
    def sem(self) -> Floats:
        """Standard error of the mean; float64 [bins], NaN below two good pixels."""
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.asarray(self.std / np.sqrt(self.count))


class RadialProfile:
    """Radial profiles about one centre; the bins of all pixels are kept, frames come one by one.

    A pixel belongs to bin floor(radius / step) by the distance of its centre; with steps of 1 px that is LOKI's int(r).

    Parameters
    ----------
    shape : (slow, fast)
    center : (slow, fast), px from the outer corner; it may lie outside the frame
    mask : bool, int [slow, fast] or None
        0 = good.
    step : float
        Width of a bin, px.
    bins : int or None
        Number of bins; None = up to the farthest pixel. Pixels beyond the last are left out.

    Raises
    ------
    ShapeError
        When the mask does not fit.
    SettingError
        When centre, step or bins are impossible.

    Examples
    --------
    >>> import numpy as np
    >>> from crystint import correlate
    >>> data = correlate.simulate_frame((150, 160), center=(75.3, 81.8), radii=(30.0, 50.0), seed=1)
    >>> profile = correlate.RadialProfile((150, 160), data.center, data.mask)
    >>> abs(int(np.argmax(profile.run(data.frame).mean[20:60])) + 20 - 30) <= 1
    True
    """

    def __init__(
        self,
        shape: tuple[int, int],
        center: tuple[float, float],
        mask: ArrayLike | None = None,
        *,
        step: float = 1.0,
        bins: int | None = None,
    ) -> None:
        if not np.isfinite(np.asarray(center, dtype=np.float64)).all():
            raise SettingError(f"center is {center!r}, expected two finite numbers, (slow, fast) px")
        slow = np.arange(shape[0])[:, None] - (center[0] - 0.5)
        fast = np.arange(shape[1])[None, :] - (center[1] - 0.5)
        self._set(np.sqrt(slow * slow + fast * fast), mask, step, bins)

    def __repr__(self) -> str:
        return f"<RadialProfile: {self.bins} bins of {self.step:g}, {len(self._pixel)} of {self._size} pixels>"

    def _repr_html_(self) -> str:
        facts = {"bins": self.bins, "step": self.step, "pixels": len(self._pixel), "shape (slow, fast)": self.shape}
        return html_table("RadialProfile", facts)

    @property
    def _size(self) -> int:
        return int(self.shape[0]) * int(self.shape[1])

    @classmethod
    def of_radius(
        cls, radius: NDArray[np.floating[Any]], mask: ArrayLike | None = None, *, step: float, bins: int | None = None
    ) -> Self:
        """Profiles over any map, in its unit: `Geometry.ring_radius()`, q, or the radius of a tilted ring.

        Parameters
        ----------
        radius : float [slow, fast]
            NaN = in no bin; not below 0.
        mask, step, bins
            As above; `step` in the unit of `radius`.
        """
        self = cls.__new__(cls)
        self._set(np.asarray(radius, dtype=np.float64), mask, step, bins)
        return self

    def _set(self, radius: Floats, mask: ArrayLike | None, step: float, bins: int | None) -> None:
        if not (np.isfinite(step) and step > 0):
            raise SettingError(f"step is {step!r}, expected a number above 0")
        if bins is not None and bins < 1:
            raise SettingError(f"bins is {bins!r}, expected at least 1")
        finite = np.isfinite(radius)
        if not finite.any() or np.any(radius[finite] < 0):
            raise SettingError("the radius map has no finite value, or values below 0")
        bin_of = np.floor(np.where(finite, radius, 0.0) / step)
        self.shape = (radius.shape[0], radius.shape[1])
        self.step = float(step)
        self.bins = int(bin_of[finite].max()) + 1 if bins is None else int(bins)
        good = finite & (combine_masks(mask, shape=self.shape) == 0) & (bin_of < self.bins)
        self._pixel = np.flatnonzero(good)
        self._place = bin_of.ravel()[self._pixel].astype(np.intp)

    def run(self, frame: NDArray[Any]) -> Profile:
        """Sum one frame.

        Parameters
        ----------
        frame : int, uint or float [slow, fast]
            Counts. Pixels that the frame marks as unusable (NaN, negative integers, all ones) are left out.

        Raises
        ------
        ShapeError, DTypeError
            When the frame has another shape, or holds no counts.
        """
        if frame.shape != self.shape:
            hint = "; it looks transposed" if frame.shape == self.shape[::-1] else ""
            raise ShapeError(f"frame is {frame.shape}, expected {self.shape} (slow, fast){hint}")
        values = frame.ravel()[self._pixel]
        lost = unusable(values)
        bin_of = self._place
        if lost.any():
            values, bin_of = values[~lost], bin_of[~lost]
        values = values.astype(np.float64)
        return Profile(
            np.bincount(bin_of, values, self.bins).astype(np.float64, copy=False),
            np.bincount(bin_of, values * values, self.bins).astype(np.float64, copy=False),
            np.bincount(bin_of, minlength=self.bins).astype(np.int64, copy=False),
            self.step,
        )
