"""index: from peaks to orientations."""

from __future__ import annotations

from crystint.commands.step_command import command_of
from crystint.index.steps import INDEX

__all__ = ["index"]

index = command_of(
    INDEX,
    """Find the orientations of the crystals in the peaks of PEAKS, with a cell that is known.

    PEAKS is a peak list of any format; it tells the geometry, or -g does. Frames are indexed one by one; the spots of a
    rotation scan together. The suffix of an output is its format: .expt with .refl for DIALS, .stream for CrystFEL, .h5
    for crystint stills integrate.
    """,
    """
    crystint index peaks.cxi --cell 79.1,79.1,38.3,90,90,90 --space-group P43212 -o indexed.expt -o indexed.refl
    crystint index peaks.h5 --cell 60,70,80,90,90,90 --lattices 2 -o indexed.stream""",
)
