"""compare: what compression lost."""

from __future__ import annotations

from crystint.commands.step_command import command_of
from crystint.compare.steps import COMPARE

__all__ = ["compare"]

compare = command_of(
    COMPARE,
    "Say what the compression of the frames RAW into the file SPARSE lost: bias, variance, missed signal.",
    """
    crystint compare run_master.h5 sparse.h5 -o compare.png
    crystint compare 'frame_*.cbf' sparse.h5 --json > compare.json""",
)
