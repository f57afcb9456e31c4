"""Memory of a device and the type of what lies in it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

__all__ = ["Buffer"]


@dataclass(frozen=True, slots=True, eq=False)
class Buffer:
    """A buffer on a device."""

    handle: Any
    """the pyopencl.Buffer"""
    dtype: np.dtype[Any]
    """of its elements"""

    def viewed(self, dtype: Any) -> Buffer:
        """The same memory with elements of another type."""
        return Buffer(self.handle, np.dtype(dtype))
