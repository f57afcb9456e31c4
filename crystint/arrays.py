"""Names of the array types and file names that signatures speak of; the shape and the unit stand in the docstring."""

from __future__ import annotations

from os import PathLike
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "AnyArray",
    "Bools",
    "Bytes",
    "FileName",
    "Floats",
    "Frame",
    "FrameStack",
    "Indices",
    "Ints",
    "Ints32",
    "Real",
]

AnyArray: TypeAlias = NDArray[Any]
Frame: TypeAlias = np.ndarray[tuple[int, int], np.dtype[Any]]
"""[slow, fast], in any dtype: one frame, and known to be one"""
FrameStack: TypeAlias = np.ndarray[tuple[int, int, int], np.dtype[Any]]
"""[n, slow, fast], in any dtype: frames one behind the other.

Of functions that take either, a type checker that does not know the number of axes (NDArray[np.uint16]) takes one
frame; where it knows nothing at all (NDArray[Any]), the rules of typing make the result Any.
"""
Floats: TypeAlias = NDArray[np.float64]
Real: TypeAlias = NDArray[np.floating[Any]]
"""float32 or float64"""
Ints: TypeAlias = NDArray[np.int64]
Ints32: TypeAlias = NDArray[np.int32]
Indices: TypeAlias = NDArray[np.intp]
"""numbers of elements of other arrays"""
Bools: TypeAlias = NDArray[np.bool_]
Bytes: TypeAlias = NDArray[np.uint8]
FileName: TypeAlias = str | PathLike[str]
