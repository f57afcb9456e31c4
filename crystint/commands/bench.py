"""bench: how fast this machine is."""

from __future__ import annotations

from crystint.bench.steps import BENCH
from crystint.commands.step_command import command_of

__all__ = ["bench"]

bench = command_of(
    BENCH,
    """Time what is done with a frame, in units of copying that frame.

    Without FILE on a simulated one of 4.5 Mpx, uint16. Times are medians; CPU is the time of all threads. Rings are
    1000 and cycles 5, without dark, flat and other corrections.
    """,
    """
    crystint bench
    crystint bench thau_3_2_0003.cbf --peer pyfai --peer fabio --json
    crystint bench --scale pixels --only peaks""",
)
