"""The command ``crystint`` as click has it; `crystint.__main__` is the program."""

from __future__ import annotations

from crystint.commands.main import main

__all__ = ["main"]
