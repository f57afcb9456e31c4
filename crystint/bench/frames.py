"""The frame that is measured: a simulated one, or a given one as another dtype."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crystint.errors import SettingError
from crystint.model.geometry import Geometry
from crystint.model.mask import marker, unusable
from crystint.simulate import simulate

__all__ = ["DTYPES", "Sample", "as_dtype", "simulated"]

DTYPES = ("int32", "uint16", "uint32", "int16", "uint8", "float32")
_EIGER_4M = (2162, 2068)


@dataclass(frozen=True, slots=True, eq=False)
class Sample:
    """A frame and what belongs to it."""

    frame: NDArray[Any]
    geometry: Geometry
    mask: NDArray[np.uint32] | None


def simulated(shape: tuple[int, int] = _EIGER_4M, dtype: str = "uint16") -> Sample:
    """A frame of some 10 counts per pixel and 100 spots per megapixel, on modules of 512 x 1028 pixels."""
    peaks = max(1, round(shape[0] * shape[1] / 1e4))
    data = simulate(shape, dtype=dtype, background=10.0, falloff=2.0, peaks=peaks, modules=(512, 1028))
    return Sample(data[0], data.geometry, data.mask)


def as_dtype(frame: NDArray[Any], dtype: str) -> NDArray[Any]:
    """The same counts as another dtype; what is unusable stays so, and counts beyond its range become its largest.

    Raises
    ------
    SettingError
        For a dtype that no kernel is written for.
    """
    if dtype not in DTYPES:
        raise SettingError(f"dtype is {dtype!r}, expected one of {', '.join(DTYPES)}")
    new = np.dtype(dtype)
    if new == frame.dtype:
        return frame
    if new.kind == "f":
        converted = frame.astype(new)
    else:
        largest = np.iinfo(new).max - (new.kind == "u")  # the all-ones value is no count
        converted = np.clip(np.nan_to_num(frame), 0, largest).astype(new)
    converted[unusable(frame)] = marker(new)
    return converted
