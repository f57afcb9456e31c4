"""How a step ended: what it says, which frames are missing, and the exit code."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from pathlib import Path
from types import MappingProxyType
from typing import Any

__all__ = ["NAMED", "ExitCode", "Outcome", "listed", "rate_text"]

NAMED = 10
"""Frames, images or warnings of one kind that are named; of more there is the number."""


class ExitCode(IntEnum):
    """How a command tells a shell how it ended. One stopped by a signal: 128 + its number."""

    DONE = 0
    FAILED = 1
    WRONG_ARGUMENT = 2
    FRAMES_MISSING = 3
    REQUIREMENT_BROKEN = 4


@dataclass(frozen=True, slots=True, eq=False)
class Outcome:
    """What a step did. Steps make it; `carry_out` adds the outputs and the time. Made by `find_peaks`, for instance."""

    text: str
    """closing lines"""
    result: Any = None
    """what was found, in the step's own type; None where everything is in the outputs"""
    data: Any = None
    """JSON-able: what ``--json`` prints; None = the step has nothing of the kind"""
    frames: int = 0
    """frames dealt with"""
    of: int = 0
    """frames of the input: more than `frames` when the run was stopped early"""
    missing: Mapping[int, str] = field(default_factory=lambda: MappingProxyType({}))
    """number of each frame that could not be read, or has no data, and why; ascending"""
    notes: Mapping[int, str] = field(default_factory=lambda: MappingProxyType({}))
    """number of each image that gave nothing, and why"""
    outputs: tuple[Path, ...] = ()
    """files that were written"""
    unchanged: bool = False
    """the outputs were there already: nothing was left to do"""
    resumable: bool = False
    """a journal beside the output keeps what is done of a run that was stopped"""
    failed: str = ""
    """what could not be done of several things, though the rest was: exit code 1"""
    broken: tuple[str, ...] = ()
    """a line for each requirement that the result does not meet, though it is written: exit code 4"""
    seconds: float = 0.0
    """wall time"""
    rate: float = 0.0
    """frames per second while frames were worked on, without the start of the program and the frames of a journal;
    0 = not known"""

    @property
    def stopped(self) -> bool:
        """Whether the run was stopped before its last frame."""
        return self.frames < self.of

    @property
    def size(self) -> int:
        """Bytes of all outputs."""
        return sum(path.stat().st_size for path in self.outputs)

    @property
    def lacking(self) -> str:
        """A sentence about the frames that are missing; empty when none is."""
        if not self.missing:
            return ""
        one = len(self.missing) == 1 and not self.frames
        count = (
            f"{len(self.missing)} of {self.frames} frames"
            if self.frames
            else f"{len(self.missing)} frame{'s' * (not one)}"
        )
        return f"{count} could not be read and {'is' if one else 'are'} recorded as missing: {listed(self.missing)}"

    @property
    def interrupted(self) -> str:
        """A sentence about where the run was stopped; empty when it was not."""
        if not self.stopped:
            return ""
        more = "; --resume goes on with the rest" if self.resumable else ""
        written = ", which are written" if self.outputs else ""
        return f"interrupted after {self.frames} of {self.of} frames{written}{more}"

    def exit_code(self, signal: int = 0) -> int:
        """Of the command; `signal` is the number of the one that stopped it."""
        if self.stopped:
            return 128 + signal
        if self.failed:
            return ExitCode.FAILED
        if self.broken:
            return ExitCode.REQUIREMENT_BROKEN
        return ExitCode.FRAMES_MISSING if self.missing else ExitCode.DONE


def listed(numbers: Iterable[int]) -> str:
    """The first ten of some numbers."""
    shown = list(numbers)
    return ", ".join(map(str, shown[:NAMED])) + (", ..." if len(shown) > NAMED else "")


def rate_text(rate: float, what: str = "frame") -> str:
    """ "27.4 frames/s"; of less than one per second "3.2 s per frame"."""
    if rate >= 100.0:
        return f"{rate:.0f} {what}s/s"
    return f"{rate:.3g} {what}s/s" if rate >= 1.0 else f"{1.0 / rate:.3g} s per {what}"
