"""Settings of the steps that look at a whole series of frames: frames, sum."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, model_validator

from crystint.model.frame_table import COLUMNS
from crystint.run.settings import DetectorSettings, StepSettings, Whole, setting

__all__ = ["SHOWN", "WHAT", "FramesSettings", "MergePartsSettings", "SumSettings"]

SHOWN = ("n_no_ice", "d_min", "background", "total_intensity")
"""Columns that are drawn where none are named."""
WHAT = ("mean", "sum", "maximum", "variance")
_DRAWN = tuple(column.name for column in COLUMNS if not column.parts and column.name not in ("frame", "status"))


def _grid(value: Any) -> Any:
    """Text "20x10" to its two numbers."""
    if not isinstance(value, str):
        return value
    match = re.fullmatch(r"\s*(\d+)\s*[x×,]\s*(\d+)\s*", value)
    if match is None or not (int(match[1]) and int(match[2])):
        raise ValueError("FASTxSLOW, two whole numbers from 1 on such as 20x10")
    return int(match[1]), int(match[2])


def _words(value: Any) -> Any:
    """Text "mean,sum", or several of them, to the words."""
    texts = [value] if isinstance(value, str) else value
    if not isinstance(texts, list | tuple):
        return value
    return tuple(word.strip() for text in texts for word in str(text).split(",") if word.strip())


class FramesSettings(StepSettings):
    """How results of frames are shown."""

    show: Annotated[tuple[str, ...], BeforeValidator(_words)] = setting(
        (), f"columns to draw (default: {', '.join(SHOWN)}; with --grid the first)", metavar="COLUMN[,COLUMN]"
    )
    x: Literal["frame", "angle", "time"] = setting("frame", "what they are drawn over")
    grid: Annotated[tuple[int, int] | None, BeforeValidator(_grid)] = setting(
        None, "cells of a raster scan: as many frames in a row as FAST, in SLOW rows", metavar="FASTxSLOW"
    )
    zigzag: bool = setting(False, "every second row of the raster was scanned backwards")
    hit_peaks: Whole | None = setting(
        None, "judge again which frames are hits: those with so many peaks without ice", ge=1
    )
    csv: bool = setting(False, "print the whole table as CSV, and nothing else")

    @model_validator(mode="after")
    def _columns_there(self) -> Self:
        unknown = [name for name in self.show if name not in _DRAWN]
        if unknown:
            raise ValueError(f"show has {', '.join(unknown)}, expected {', '.join(_DRAWN)}")
        if self.zigzag and self.grid is None:
            raise ValueError("zigzag needs a grid")
        return self


class SumSettings(DetectorSettings):
    """What is summed up over frames."""

    what: Annotated[tuple[str, ...], BeforeValidator(_words)] = setting(
        (), "images to write: mean, sum, maximum, variance (default: all in .h5, the mean elsewhere)",
        metavar="IMAGE[,IMAGE]",
    )  # fmt: skip

    @model_validator(mode="after")
    def _images_there(self) -> Self:
        unknown = [name for name in self.what if name not in WHAT]
        if unknown:
            raise ValueError(f"what has {', '.join(unknown)}, expected {', '.join(WHAT)}")
        return self


class MergePartsSettings(StepSettings):
    """How parts are put together."""

    virtual: bool = setting(
        False, "of sparse files: show the parts, which must stay where they are, instead of copying what is in them"
    )
