"""Values far from the median of their ring: hot pixels, zingers, single-crystal peaks."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from crystint.engine import Engine, default_engine
from crystint.errors import DTypeError, SettingError, ShapeError
from crystint.html import html_table

__all__ = ["MAD_TO_SIGMA", "MEAN_TO_SIGMA", "Outliers", "RingOutliers", "is_outlier", "ring_outliers"]

MAD_TO_SIGMA = 1.0 / 0.6745
"""sigma of a Gaussian over its median absolute deviation, as Iglewicz and Hoaglin round it"""
MEAN_TO_SIGMA = 1.253314
"""sigma of a Gaussian over its mean absolute deviation"""
_GROUP = 256
"""work-items per ring on a device that is no CPU"""


@dataclass(frozen=True, slots=True, eq=False)
class Outliers:
    """What was found in the rings of one image. Made by `ring_outliers`."""

    flags: NDArray[np.bool_]
    """bool [rings, n]: outliers; values without data are none"""
    median: NDArray[np.float32]
    """float32 [rings]; NaN in rings without data, as the next two"""
    mad: NDArray[np.float32]
    """float32 [rings]: median absolute deviation"""
    sigma: NDArray[np.float32]
    """float32 [rings]: the spread that was used"""
    good: NDArray[np.int64]
    """int64 [rings]: finite values"""
    clean: NDArray[np.float32] | None = None
    """float32 [rings, n]: the values with NaN in place of outliers, when asked for"""


class RingOutliers:
    """Outliers by median and MAD per ring, on the device.

    z = 0.6745 |x - median| / MAD > threshold, over the finite values of the ring (B. Iglewicz and D. Hoaglin (1993),
    How to Detect and Handle Outliers). Of an even number the median is the mean of the middle two, to the bit that
    of `numpy.nanmedian` in float32.

    Where more than half of a ring is equal, MAD = 0; its spread is then the mean absolute deviation times 1.2533, so
    that one odd value among equal ones is found, and a constant ring has no outliers. In rings of few photons, mostly
    zeros, that would take away honest counts: give `least_sigma`, for counts 1 or so.

    Parameters
    ----------
    engine : Engine
    threshold : float
    least_sigma : float
        The spread is taken to be this at least, in units of the values.
    local_size : int, optional
        Work-items per ring, a power of two; None = what suits the device.

    Raises
    ------
    SettingError
        When a setting is impossible.

    Examples
    --------
    >>> import numpy as np
    >>> import crystint
    >>> from crystint import correlate
    >>> values = np.random.default_rng(1).normal(10.0, 1.0, (3, 200)).astype(np.float32)
    >>> values[1, 7] = 60.0
    >>> found = correlate.RingOutliers(crystint.Engine(), 6.0).run(values)
    >>> np.argwhere(found.flags).tolist()
    [[1, 7]]
    """

    def __init__(
        self, engine: Engine, threshold: float = 3.5, *, least_sigma: float = 0.0, local_size: int | None = None
    ) -> None:
        _threshold(threshold)
        if not 0.0 <= least_sigma < math.inf:
            raise SettingError(f"least_sigma is {least_sigma!r}, expected a finite number, 0 or more")
        size = local_size or (1 if engine.on_cpu else _GROUP)
        if size < 1 or size & (size - 1):
            raise SettingError(f"local_size is {size}, expected a power of two")
        self.engine, self.threshold, self.least_sigma, self.local_size = engine, threshold, least_sigma, size

    def __repr__(self) -> str:
        least = f", spread at least {self.least_sigma:g}" if self.least_sigma else ""
        return f"<RingOutliers: beyond {self.threshold:g} standard deviations{least}, on {self.engine.device.name}>"

    def _repr_html_(self) -> str:
        facts = {"threshold": self.threshold, "least spread": self.least_sigma, "device": self.engine.device.name}
        return html_table("RingOutliers", facts)

    def run(self, values: NDArray[np.floating], *, clean: bool = False) -> Outliers:
        """Find the outliers of every ring.

        Parameters
        ----------
        values : float [rings, n]
            NaN = no data; taken in single precision.
        clean : bool
            Return a copy without them, too.

        Raises
        ------
        ShapeError, DTypeError
            When there are not two axes, or 2^24 values in a ring, or no floats.
        DeviceError
            When the device cannot hold them.
        """
        values = np.asarray(values)
        if values.ndim != 2 or values.shape[1] >= 2**24:
            raise ShapeError(f"values is {values.shape}, expected (rings, n) with n below 2^24")
        if values.dtype.kind != "f":
            raise DTypeError(f"values is {values.dtype}, expected floats, with NaN where there is no data")
        values = np.ascontiguousarray(values, dtype=np.float32)
        rings = len(values)
        flags = np.zeros(values.shape, np.uint8)
        about = np.full((rings, 4), np.nan, np.float32)
        cleaned = np.empty(values.shape if clean else (1,), np.float32)
        if values.size:
            self._launch(values, flags, about, cleaned, clean)
            if clean:
                flags = (np.isnan(cleaned) & np.isfinite(values)).view(np.uint8)
        median, mad, sigma, good = about.T
        good = np.where(np.isnan(good), 0.0, good)
        result = cleaned.reshape(values.shape) if clean else None
        return Outliers(flags.view(np.bool_), median, mad, sigma, good.astype(np.int64), result)

    def _launch(self, values: Any, flags: Any, about: Any, cleaned: Any, clean: bool) -> None:
        engine, wanted = self.engine, cleaned if clean else flags
        unused = engine.empty(1, np.uint8 if clean else np.float32)
        result, sums = engine.borrow(wanted), engine.borrow(about)
        kernel = engine.kernel(
            "ring_outliers.cl", LOCAL_SIZE=self.local_size, LANES=16 if engine.on_cpu else 1, CLEAN=int(clean)
        )
        engine.launch(
            kernel,
            len(values),
            self.local_size,
            values=engine.lend(values),
            n=values.shape[1],
            threshold=self.threshold,
            least=self.least_sigma,
            flags=unused if clean else result,
            clean=result if clean else unused,
            about=sums,
        )
        engine.give_back(result, wanted)
        engine.give_back(sums, about)


def ring_outliers(values: NDArray[np.floating], threshold: float = 3.5, **options: Any) -> Outliers:
    """Outliers on the default device. For many images, keep a `RingOutliers`.

    Parameters
    ----------
    values : real [rings, n]
        NaN = no data.
    threshold : float
        In robust standard deviations.
    **options
        least_sigma, local_size: as `RingOutliers`; clean: as `RingOutliers.run`.

    Returns
    -------
    Outliers

    Raises
    ------
    SettingError, ShapeError, DeviceError
        As `RingOutliers`.

    Examples
    --------
    >>> import numpy as np
    >>> from crystint import correlate
    >>> values = np.random.default_rng(1).normal(10.0, 1.0, (3, 200)).astype(np.float32)
    >>> values[2, 5] = -40.0
    >>> np.argwhere(correlate.ring_outliers(values, 6.0).flags).tolist()
    [[2, 5]]
    """
    return RingOutliers(default_engine(), threshold, **options).run(values)


def is_outlier(points: ArrayLike, thresh: float = 3.5, mask: ArrayLike | None = None) -> NDArray[np.bool_]:
    """Outliers among points of any dimension, in double precision: LOKI's `is_outlier`, and what it lacks.

    Points that are masked or not finite are left out of the medians and are no outliers; LOKI counted them. MAD = 0 as
    in `RingOutliers`; LOKI divided by 0.

    Parameters
    ----------
    points : real [n] or [n, dimensions]
        The distance is Euclidean, from the median of each coordinate. Of a masked array, points with a masked
        coordinate are masked.
    thresh : float
    mask : bool [n], optional
        LOKI's kind: True = valid.

    Returns
    -------
    bool [n]

    Raises
    ------
    ShapeError, SettingError
        For other shapes, and a threshold that is not positive.

    Examples
    --------
    >>> import numpy as np
    >>> from crystint import correlate
    >>> correlate.is_outlier(np.array([1.0, 2.0, 1.5, 90.0, 1.2]))
    array([False, False, False,  True, False])
    """
    _threshold(thresh)
    if isinstance(points, np.ma.MaskedArray):
        unmasked = ~np.ma.getmaskarray(points)
        own = unmasked.all(axis=1) if unmasked.ndim == 2 else unmasked
        mask = own if mask is None else own & np.asarray(mask, dtype=np.bool_)
    values = np.asarray(points, dtype=np.float64)
    if values.ndim not in (1, 2):
        raise ShapeError(f"points is {values.shape}, expected (n,) or (n, dimensions)")
    values = values[:, None] if values.ndim == 1 else values
    good = np.isfinite(values).all(axis=1)
    if mask is not None:
        valid = np.asarray(mask, dtype=np.bool_)
        if valid.shape != good.shape:
            raise ShapeError(f"mask is {valid.shape}, expected {good.shape}, one per point")
        good &= valid
    flags = np.zeros(len(values), np.bool_)
    if not good.any():
        return flags
    used = values[good]
    distance = np.sqrt(((used - np.median(used, axis=0)) ** 2).sum(axis=1))
    middle = float(np.median(distance))
    if middle > 0.0:
        flags[good] = 0.6745 * distance / middle > thresh
    elif distance.any():
        flags[good] = distance > thresh * MEAN_TO_SIGMA * distance.mean()
    return flags


def _threshold(value: float) -> None:
    if not 0.0 < value < math.inf:
        raise SettingError(f"the threshold is {value!r}, expected a finite number above 0")
