"""The program ``crystint``, also as ``python -m crystint``."""

from __future__ import annotations

import os
import sys
from io import TextIOWrapper

from crystint.commands.signals import leave_at_ctrl_c

__all__ = ["run"]


def run() -> None:
    """Run the command line. Ctrl-C is heeded from the first moment: importing everything takes a third of a second."""
    leave_at_ctrl_c()
    _complete_streams()
    from crystint.cli import main

    main()


def _complete_streams() -> None:
    """Standard streams that are there, and print whatever a file is called.

    Where a shell has closed one (``>&-``) the next file that is opened would get its number, and what libraries print.
    """
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # it gets the lowest free number: this one
    sys.stdout = sys.stdout or os.fdopen(1, "w", closefd=False)
    sys.stderr = sys.stderr or os.fdopen(2, "w", closefd=False)
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")


if __name__ == "__main__":
    run()
