"""What a beam monitor says of images, to which their scales are tied."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from crystint.arrays import Floats
from crystint.errors import SettingError, ShapeError

__all__ = ["values_of_monitor"]


def values_of_monitor(monitor: ArrayLike, images: int) -> Floats:
    """float64 [n_images], above 0, NaN where not known.

    Raises
    ------
    ShapeError
        When there is not one value per image.
    SettingError
        When a value is none that a logarithm can be taken of.
    """
    values = np.asarray(monitor, dtype=np.float64)
    if values.shape != (images,):
        raise ShapeError(f"monitor is {values.shape}, expected one value for each of the {images} images")
    bad = np.flatnonzero(~np.isnan(values) & ~((values > 0.0) & (values < np.inf)))
    if bad.size:
        raise SettingError(
            f"monitor is {values[bad[0]]} for image {bad[0]}, expected numbers above 0, and NaN where none is known"
        )
    return values
