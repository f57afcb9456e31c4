"""The command ``crystint``, for the entry point of the package and ``python -m crystint``."""

from __future__ import annotations

from crystint.commands.main import main

__all__ = ["main"]
