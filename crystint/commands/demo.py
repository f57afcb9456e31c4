"""demo: everything on simulated frames."""

from __future__ import annotations

from crystint.commands.step_command import command_of
from crystint.demo.steps import DEMO

__all__ = ["demo"]

demo = command_of(
    DEMO,
    """Simulate frames and run peaks, sparsify, densify, compare and plot on them.

    What an earlier demo left in FOLDER is replaced; other files there stop it, unless --overwrite is given,
    and are never touched.
    """,
    """
    crystint demo -o demo
    crystint info demo/frames.h5 demo/sparse.h5""",
)
