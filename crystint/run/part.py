"""Which part of a run: its frames, its file, and its end."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from crystint.errors import SettingError

__all__ = ["Part", "PartFinished"]


@dataclass(frozen=True, slots=True)
class Part:
    """Which part of a run.

    Parts count from 0. The last number is another name for the first part, so that both ``--array=0-99`` and
    ``--array=1-100`` of Slurm are all hundred of them, each once.

    Examples
    --------
    >>> from crystint.separation import Part
    >>> Part.of_text("3/4").numbers(10), Part.of_text("4/4") == Part.of_text("0/4")
    (range(7, 10), True)
    """

    number: int
    """from 0"""
    of: int
    """how many there are"""

    @classmethod
    def of_text(cls, text: str) -> Self:
        """Of "3/100".

        Raises
        ------
        SettingError
            When it is no part, or there is none of this number.
        """
        match = re.fullmatch(r"\s*(\d+)\s*/\s*(\d+)\s*", text)
        if match is None:
            raise SettingError(f"part is {text!r}, expected NUMBER/OF, such as 3/100")
        number, of = int(match[1]), int(match[2])
        if not 0 <= number <= of or not of:
            raise SettingError(
                f"part is {text!r}, expected a number from 0 to {max(of - 1, 0)} (or {of}, which is 0 again): is this "
                "an array of some of the tasks, whose count is not that of all? Write how many parts there are"
            )
        return cls(number % of, of)

    def numbers(self, total: int) -> range:
        """Which of `total` things are in it: from number/of of them on."""
        return range(self.number * total // self.of, (self.number + 1) * total // self.of)

    def path(self, output: Path, suffix: str | None = None) -> Path:
        """Of its file, or of one like it with another suffix: beside an output, in the order of the parts."""
        digits = max(3, len(str(self.of - 1)))
        name = f"{output.stem}.part-{self.number:0{digits}d}-of-{self.of:0{digits}d}"
        return output.with_name(name + (".h5" if suffix is None else suffix))

    def __str__(self) -> str:
        return f"part {self.number} of {self.of}"


class PartFinished(BaseException):
    """All frames of a part are done, or the run was stopped."""

    def __init__(self, done: int, of: int, missing: Mapping[int, str]) -> None:
        super().__init__()
        self.done, self.of, self.missing = done, of, dict(sorted(missing.items()))
