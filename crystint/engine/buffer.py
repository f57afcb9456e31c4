"""Memory of a device and the type of what lies in it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from crystint.engine.memory import Share

__all__ = ["Buffer"]


@dataclass(frozen=True, slots=True, eq=False)
class Buffer:
    """A buffer on a device."""

    handle: Any
    """the pyopencl.Buffer"""
    dtype: np.dtype[Any]
    """of its elements"""
    share: Share | None = None
    """what it takes of the device's memory; None = it is memory of the host"""

    def viewed(self, dtype: Any) -> Buffer:
        """The same memory with elements of another type."""
        return Buffer(self.handle, np.dtype(dtype), self.share)
