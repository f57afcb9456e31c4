"""Which frames of a sequence are worked on: numbers and ranges as Python has them, as text or as values."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np

from crystint.arrays import Ints
from crystint.errors import SettingError

__all__ = ["FrameSelection", "selected", "selection_text"]

FrameSelection: TypeAlias = str | int | slice | Sequence[int | str | slice]
"""Numbers and ranges from 0, such as "3,7,100:200:10", [3, 7] or slice(100, 200, 10); -1 is the last frame."""
_EXPECTED = "expected numbers and ranges from 0, such as 3,7,100:200:10; -1 is the last frame"
_PART = re.compile(r"([+-]?\d+)|([+-]?\d*):([+-]?\d*)(?::([+-]?\d*))?")


def selection_text(value: Any) -> str:
    """A selection as text, in one way.

    Raises
    ------
    ValueError
        When it is none.
    """
    if isinstance(value, str):
        parts = [part.strip().replace(" ", "") for part in value.split(",")]
    elif isinstance(value, slice):
        ends = ["" if end is None else str(int(end)) for end in (value.start, value.stop, value.step)]
        parts = [":".join(ends).removesuffix(":") if ends[2] == "" else ":".join(ends)]
    elif isinstance(value, int | np.integer) and not isinstance(value, bool):
        parts = [str(int(value))]
    elif isinstance(value, Sequence | np.ndarray):
        parts = [part for each in value for part in selection_text(each).split(",")]
    else:
        parts = [""]
    for part in parts:
        match = _PART.fullmatch(part)
        if match is None or (match[4] and int(match[4]) == 0):
            raise ValueError(f"is {value!r}, {_EXPECTED}")
    if not parts:
        raise ValueError(f"names no frame, {_EXPECTED}")
    return ",".join(parts)


def selected(frames: FrameSelection, total: int) -> Ints:
    """Numbers of the frames of a selection, in its order.

    Parameters
    ----------
    frames : FrameSelection
    total : int
        Frames that there are.

    Returns
    -------
    int64 [n]

    Raises
    ------
    SettingError
        When it is no selection, names a frame that is not there, none at all, or one twice.
    """
    try:
        text = selection_text(frames)
    except ValueError as error:
        raise SettingError(f"frames: {error}") from None
    there = f"there {'are' if total != 1 else 'is'} {total} frame{'s' * (total != 1)}, number 0"
    there += f" to {total - 1}" * (total > 1)
    numbers: list[int] = []
    for part in text.split(","):
        ends = [int(end) if end else None for end in part.split(":")]
        if ":" not in part:
            beyond = not -total <= int(part) < total
            ends = [int(part), int(part) + 1 or None]
        else:
            beyond = any(end is not None and not -total <= end <= total for end in ends[:2])
        numbers += range(*slice(*ends).indices(total))
        if beyond:
            raise SettingError(f"frames is {text}, but {there}: {part} goes beyond")
    if not numbers:
        raise SettingError(f"frames is {text}, which names none; {there}")
    chosen = np.array(numbers, np.int64)
    if len(np.unique(chosen)) < len(chosen):
        values, counts = np.unique(chosen, return_counts=True)
        raise SettingError(f"frames is {text}, which names frame {values[counts > 1][0]} more than once")
    return chosen
