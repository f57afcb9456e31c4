"""What ``crystint plot`` can be told."""

from __future__ import annotations

from pathlib import Path
from typing import Self

from pydantic import model_validator

from crystint.run.settings import NotNegative, Whole, setting
from crystint.separation.settings import Settings

__all__ = ["PlotSettings"]


class PlotSettings(Settings):
    """What to show of a file; the rest is for frames alone, of which the background and the peaks are computed."""

    frame: Whole = setting(
        0, "number of the frame, polar image or frame of a table, from 0; -1 = the last", metavar="NUMBER"
    )
    peaks: Path | None = setting(None, "draw the peaks of this file", metavar="FILE")
    find: bool = setting(False, "find peaks and draw them")
    ring: tuple[NotNegative, ...] = setting(
        (), "a ring of polar images or correlations to show as a curve, px or 1/angstrom", metavar="R"
    )
    title: str | None = setting(None, "title of the picture", metavar="TEXT")

    @model_validator(mode="after")
    def _one_kind_of_peaks(self) -> Self:
        if self.peaks is not None and self.find:
            raise ValueError("--peaks and --find exclude each other")
        return self
