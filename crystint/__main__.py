"""The program ``crystint``, also as ``python -m crystint``."""

from __future__ import annotations

from crystint.commands.signals import leave_at_ctrl_c

__all__ = ["run"]


def run() -> None:
    """Run the command line. Ctrl-C is heeded from the first moment: importing everything takes a third of a second."""
    leave_at_ctrl_c()
    from crystint.cli import main

    main()


if __name__ == "__main__":
    run()
