"""Clean rings of an exposure: what is done to its polar image before it is correlated."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from crystint.correlate.frame_step import Treat
from crystint.correlate.pairs.curve_likeness import Likeness, likeness
from crystint.correlate.polar.background import chebyshev_background, fourier_background, remove_peaks
from crystint.correlate.polar.curves import RingCurves
from crystint.correlate.polar.outliers import RingOutliers
from crystint.correlate.settings import CorrelateSettings
from crystint.engine import Engine
from crystint.io.frame_record import FrameRecord
from crystint.model.polar_image import PolarImage

__all__ = ["NO_DATA", "CleanExposure", "Cleaning", "RingCleaner"]

NO_DATA = "no data in any of the rings"
"""why a frame is missing that could be read"""
_SAMPLES = 720
"""of a polynomial by which exposures are compared"""


@dataclass(frozen=True, slots=True, eq=False)
class CleanExposure:
    """An exposure as it is correlated."""

    number: int
    """of the frame"""
    values: NDArray[np.float32]
    """float32 [rings, n]; NaN = no data"""
    weights: NDArray[np.float32] | None
    """float32 [rings, n]; None = 1 where there are data"""
    likeness: Likeness | None = None
    """by which it finds its partner, where it is to have one"""

    def record(self) -> FrameRecord:
        """As a record."""
        arrays: dict[str, NDArray[Any]] = {"values": self.values}
        if self.weights is not None:
            arrays["weights"] = self.weights
        if self.likeness is not None:
            arrays |= {"points": self.likeness.points, "errors": self.likeness.errors}
        return FrameRecord(self.number, arrays=arrays)

    @classmethod
    def of_record(cls, record: FrameRecord) -> Self:
        """The inverse; arrays are those of the record."""
        arrays = record.arrays
        like = Likeness(arrays["points"], arrays["errors"]) if "points" in arrays else None
        return cls(record.number, arrays["values"], arrays.get("weights"), like)


@dataclass(frozen=True, slots=True)
class Cleaning:
    """As `crystint.correlate.frame_step.Treatment`: clean rings, as the settings ask for them."""

    settings: CorrelateSettings

    def on(self, engine: Engine) -> Treat:
        """On a device."""
        return RingCleaner(engine, self.settings).record


class RingCleaner:
    """Takes outliers and peaks from rings, and brings them to scale, in the order of `run`. Threads may share it.

    Parameters
    ----------
    engine : Engine
    settings : CorrelateSettings
    """

    def __init__(self, engine: Engine, settings: CorrelateSettings) -> None:
        self.settings, self._engine = settings, engine
        self._outliers = RingOutliers(engine, settings.outliers) if settings.outliers > 0.0 else None

    def record(self, number: int, image: PolarImage) -> FrameRecord:
        """The clean rings of a frame; without any data it is missing, as if it could not be read."""
        exposure = self.run(number, image)
        if not np.isfinite(exposure.values).any():
            return FrameRecord(number, missing=f"frame {number}: {NO_DATA}")
        return exposure.record()

    def run(self, number: int, image: PolarImage) -> CleanExposure:
        """Clean the rings of a polar image."""
        settings = self.settings
        values: NDArray[Any] = image.values
        if self._outliers is not None:
            clean = self._outliers.run(values, clean=True).clean
            assert clean is not None
            values = clean
        if settings.peaks > 0.0:
            values = remove_peaks(values, self._curves(values), threshold=settings.peaks, engine=self._engine).values
        if settings.scaling != "none":
            level = _mean(values, axis=1)[:, None] if settings.scaling == "ring" else _mean(values)
            with np.errstate(invalid="ignore", divide="ignore"):
                values = values / np.where(level > 0.0, level, np.nan).astype(np.float32)
        weights = None
        if settings.method != "nearest":
            weights = np.where(np.isfinite(values), image.weights, np.float32(0.0))
        if settings.difference in ("optimal", "greedy"):
            return CleanExposure(number, values, weights, self._likeness(values))
        if settings.subtract == "curve":
            values = values - self._curves(values).values.astype(np.float32)
        return CleanExposure(number, values, weights)

    def _curves(self, values: NDArray[Any]) -> RingCurves:
        """The curve of each ring."""
        order = self.settings.order
        if self.settings.curve == "chebyshev":
            return chebyshev_background(values) if order is None else chebyshev_background(values, degree=order)
        return fourier_background(values) if order is None else fourier_background(values, harmonics=order)

    def _likeness(self, values: NDArray[np.float32]) -> Likeness:
        """The smooth anisotropy of an exposure, by which it finds its partner.

        Of one ring it is its curve; of several, that of the mean of the rings, each over its own mean.
        """
        line = values.astype(np.float64)
        if len(values) > 1:
            level = _mean(line, axis=1)[:, None]
            with np.errstate(invalid="ignore", divide="ignore"):
                line = _mean(line / np.where(level > 0.0, level, np.nan), axis=0)[None]
        if self.settings.curve == "fourier":
            order = self.settings.order
            return likeness(line) if order is None else likeness(line, harmonics=order)
        curve = self._curves(line).values
        return Likeness(curve[:, :: max(1, curve.shape[1] // _SAMPLES)] if len(values) > 1 else curve, np.zeros(1))


def _mean(values: NDArray[Any], axis: int | None = None) -> Any:
    """Mean of finite values; NaN where there are none."""
    good = np.isfinite(values)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(good, values, 0.0).sum(axis=axis, dtype=np.float64) / good.sum(axis=axis)
