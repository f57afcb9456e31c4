"""compare: what compression lost."""

from __future__ import annotations

from crystint.commands.step_command import command_of
from crystint.compare.steps import COMPARE

__all__ = ["compare"]

compare = command_of(
    COMPARE,
    """Say what the compression of the frames RAW into the file SPARSE lost: bias, variance, missed signal.

    It judges as well: exit status 4 when a pixel that must be exact is WRONG, or a limit of --require is broken; each
    is a line on stderr. Limits are on frames, signal and picked (%), missed, missed_counts, highest (sigma), bias and
    bias_clean (counts), variance and ratio (raw / sparse files), zeros (%).
    """,
    """
    crystint compare run_master.h5 sparse.h5 -o compare.png
    crystint compare run_master.h5 sparse.h5 --require 'exact,signal>=95,missed==0' && echo may be deleted
    crystint compare 'frame_*.cbf' sparse.h5 --json > compare.json""",
)
