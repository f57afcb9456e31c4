"""What a scaling or a simulation does unless told otherwise: for settings and for functions, written once."""

from __future__ import annotations

__all__ = [
    "FRAMES",
    "GRID",
    "ITERATIONS",
    "KIND",
    "LENGTH",
    "LOSS",
    "METHOD",
    "OVERLAP",
    "REFLECTIONS",
    "STEPS",
]

GRID = (40, 40)
"""nodes of chi, (y, x)"""
ITERATIONS = 30
"""of chi and |q|^2 in turn, at most"""
STEPS = 10
"""of |q|^2 in each iteration"""
KIND = "poisson"
LOSS = "l2"
METHOD = "auto"

FRAMES = 8
"""simulated"""
REFLECTIONS = 150
"""of random streaks"""
OVERLAP = 0.1
"""share of rows of random streaks that are on the pixel of another one too"""
LENGTH = 30
"""px of a random streak along its steeper axis"""
