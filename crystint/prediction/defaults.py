"""Numbers that settings of steps and library functions have in common."""

from __future__ import annotations

__all__ = ["BAND", "MARGIN", "MOSAICITY", "RADIUS", "SIGMA_B"]

BAND = 1.7
"""reflections within this many widths of the rocking curve of the Ewald sphere are predicted"""
MARGIN = 1
"""px around the box of a reflection"""
MOSAICITY = 0.1
"""degrees, RMS: of crystals whose model does not say"""
SIGMA_B = 0.05
"""degrees, RMS: spread of the beam, as spots of a rotation show it, where the model does not say"""
RADIUS = 6.0
"""px: half the width of the box of a reflection of a still, where the model does not say"""
