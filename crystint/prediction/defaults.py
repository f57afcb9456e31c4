"""Numbers that settings of steps and library functions have in common."""

from __future__ import annotations

__all__ = ["BAND"]

BAND = 1.7
"""reflections within this many widths of the rocking curve of the Ewald sphere are predicted"""
