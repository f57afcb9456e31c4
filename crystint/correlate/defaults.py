"""Numbers that settings of steps and library functions have in common."""

from __future__ import annotations

__all__ = ["DEGREE", "HARMONICS", "REACH"]

REACH = 20.0
"""px by which the first idea of a centre may be off"""
HARMONICS = 3
"""of the curve around a ring"""
DEGREE = 15
"""of the polynomial around a ring"""
