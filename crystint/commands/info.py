"""info: what a file is."""

from __future__ import annotations

from crystint.commands.step_command import command_of
from crystint.information.steps import INFO

__all__ = ["info"]

info = command_of(
    INFO,
    """Say what each FILE is: frames with their geometry and mask, a sparse file, a peak list, reflections, a table.

    The content tells it, whatever the name. It knows every kind of file that crystint writes, and those that it reads;
    for others it names what they can be converted to.
    """,
    "crystint info run_master.h5 detector.poni sparse.h5 merged.mtz",
)
