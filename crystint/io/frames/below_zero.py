"""What values below zero mean in a sequence of frames of signed integers, where no file tells it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crystint.errors import FileError, note
from crystint.model.valid_values import has_marks

__all__ = ["negative_measurements"]


def negative_measurements(
    read: Callable[[int], NDArray[Any]], count: int, marks_negative: bool, name: str
) -> bool | None:
    """Whether values below zero are measurements: in the first, the middle or the last frame; None = there are none.

    Parameters
    ----------
    read : callable
        Gives a frame by its number.
    count : int
        Number of frames.
    marks_negative : bool
        Whether the files are of a kind that marks pixels by them.
    name : str
        For the message.
    """
    judged = None
    for number in sorted({0, count // 2, count - 1} if count else ()):
        try:
            frame = read(number)
        except (FileError, OSError):
            continue  # whoever reads it will say so
        marks = has_marks(frame, marks_negative)
        if marks is False:
            share = 100 * np.count_nonzero(frame < 0) / frame.size
            note(
                f"{name}: values below zero ({share:.3g} % of the pixels of frame {number}) are "
                "measurements, as there are many different ones, or they are scattered; if they mark unusable pixels, "
                "give --min-valid 0"
            )
            return True
        judged = judged if marks is None else False
    return judged
