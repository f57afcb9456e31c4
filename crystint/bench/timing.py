"""Time operations in turn, so that what else the machine does hits all of them alike."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Self

import numpy as np

__all__ = ["Operation", "Timing", "Watch", "time_operations"]

Watch = Callable[[Iterable[int], int, str], Iterable[int]]
"""(rounds, how many, what is being done) -> the rounds"""


@dataclass(frozen=True, slots=True)
class Operation:
    """Something to time."""

    name: str
    run: Callable[[], Any]
    target: float | None = None
    """most copies that it should take (design of the program); None = no target"""
    frames: int = 1
    """frames that one run works on"""
    beyond: str | None = None
    """name of an operation whose time in the same round is taken off; if it works on fewer frames, what is left belongs
    to the other frames"""
    rounds: int | None = None
    """most rounds in which it is timed; None = all"""
    warm: bool = True
    """whether it runs once before the first round; False for what takes minutes"""


@dataclass(frozen=True, slots=True)
class Timing:
    """One operation on one frame."""

    name: str
    wall_ms: float
    """median of the rounds"""
    cpu_ms: float
    """median processor time of all threads of this process"""
    copies: float
    """`wall_ms` over that of copying the frame"""
    frames_per_s: float
    target: float | None = None
    """copies"""

    @property
    def met(self) -> bool | None:
        """Whether the target is met; None = there is none."""
        return None if self.target is None else self.copies <= self.target

    def to_dict(self) -> dict[str, Any]:
        """JSON-able values."""
        plain = {name: None if value != value else value for name, value in asdict(self).items()}  # NaN is no JSON
        return plain | {"met": self.met}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """What `to_dict` gave."""
        times = ("wall_ms", "cpu_ms", "copies", "frames_per_s")
        measured = {name: np.nan if values[name] is None else float(values[name]) for name in times}
        return cls(str(values["name"]), **measured, target=values["target"])


def time_operations(operations: Sequence[Operation], rounds: int, watch: Watch) -> list[Timing]:
    """Run every operation once, then all in turn, round after round; medians per frame.

    The first operation is the unit: one copy. What the noise of the machine hides is NaN.
    """
    for operation in operations:
        if operation.warm:
            operation.run()  # kernels are built, memory is taken
    took: dict[str, list[tuple[float, float]]] = {operation.name: [] for operation in operations}
    for number in watch(range(rounds), rounds, "bench"):
        for operation in operations:
            if operation.rounds is not None and number >= operation.rounds:
                continue
            at, used = time.perf_counter(), time.process_time()
            operation.run()
            took[operation.name].append((time.perf_counter() - at, time.process_time() - used))
    frames = {operation.name: operation.frames for operation in operations}
    unit = float(np.median(took[operations[0].name], axis=0)[0])
    timings = []
    for operation in operations:
        spent, count = np.array(took[operation.name]), operation.frames
        if operation.beyond is not None:
            spent, count = spent - took[operation.beyond], (count - frames[operation.beyond]) or count
        wall, cpu = (float(seconds) / count if seconds > 0 else np.nan for seconds in np.median(spent, axis=0))
        timings.append(Timing(operation.name, 1e3 * wall, 1e3 * cpu, wall / unit, 1 / wall, operation.target))
    return timings
