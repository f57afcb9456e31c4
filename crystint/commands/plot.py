"""plot: a picture of a file of any kind."""

from __future__ import annotations

from crystint.commands.step_command import command_of
from crystint.plot.steps import PLOT

__all__ = ["plot"]

plot = command_of(
    PLOT,
    """Draw a FILE of any kind that crystint writes, and those that it reads; `crystint info` says what kind it is.

    Of frames it is one frame with rings, masked pixels, peaks, and the background profile; without a geometry
    only the frame and its counts. Several FILEs of frames make one sequence.
    """,
    """
    crystint plot run_master.h5 --frame 3 --find -o frame.png
    crystint plot frame.cbf --peaks peaks.cxi -o frame.pdf
    crystint plot merged.mtz -o merged.svg""",
)
