"""What a function that draws a kind of file is told, and what it gives."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from crystint.plot.settings import PlotSettings

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["Drawing", "View"]


@dataclass(frozen=True)
class View:
    """What is to be shown of a file."""

    settings: PlotSettings
    files: tuple[Path, ...]
    """all files that were named; the first is the one that was opened. More than one only of frames"""
    device: str | None = None
    """OpenCL device, as `crystint.Engine` takes it"""

    def title(self, what: str = "") -> str:
        """The title that was asked for, or the name of the file and what of it is shown."""
        return self.settings.title or self.files[0].name + (f", {what}" if what else "")


@dataclass(frozen=True, eq=False)
class Drawing:
    """A picture, and what is said about it in a line. A function that draws may give a figure alone."""

    figure: Figure
    text: str = ""
