"""Boxes of reflections from what other programs and crystint itself know of the crystal."""

from __future__ import annotations

from os import PathLike
from pathlib import Path

from crystint.io.frames.sequence import Frames
from crystint.io.kinds import opened_kind, unexpected
from crystint.io.opened_file import OpenedFile
from crystint.io.recognise import is_reflection_table
from crystint.prediction.boxes import ReflectionBoxes
from crystint.prediction.table_boxes import boxes_of_table

__all__ = ["reflection_boxes"]

_MODELS = "a DIALS .refl of predictions"


def reflection_boxes(path: str | PathLike[str], frames: Frames) -> ReflectionBoxes:
    """Which box of pixels each reflection occupies on each frame.

    Parameters
    ----------
    path : path
        A table of predicted or integrated reflections of DIALS (.refl) with their boxes.
    frames : Frames

    Returns
    -------
    ReflectionBoxes

    Raises
    ------
    FileError
        When it is missing, damaged, of another kind, or does not fit the frames.
    """
    path = Path(path)
    with OpenedFile(path) as file:
        recognised = opened_kind(file)
        if is_reflection_table(file):
            return boxes_of_table(path, frames)
        raise unexpected(file, _MODELS, f"{path} is {recognised}; expected {_MODELS}")
