"""Time operations in turn, so that what else the machine does hits all of them alike."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

__all__ = ["Operation", "Timing", "Watch", "processor_time", "time_operations"]

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
    least_wall_ms: float
    """of all rounds: what is left when nothing else runs"""
    least_cpu_ms: float
    """core-ms: least processor time of all threads, and of processes that it started"""
    least_copies: float
    """`least_wall_ms` over the least of the copy"""
    core_copies: float
    """`least_cpu_ms` over that of the copy"""
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
        times = [name for name in cls.__slots__ if name not in ("name", "target")]
        measured = {name: np.nan if values[name] is None else float(values[name]) for name in times}
        return cls(str(values["name"]), **measured, target=values["target"])


def processor_time() -> float:
    """s of all threads of this process, and of the processes that it started and that have ended."""
    spent = time.process_time()
    with suppress(ImportError):  # not on Windows
        import resource

        children = resource.getrusage(resource.RUSAGE_CHILDREN)
        spent += children.ru_utime + children.ru_stime
    return spent


def time_operations(operations: Sequence[Operation], rounds: int, watch: Watch) -> list[Timing]:
    """Run every operation once, then all in turn, round after round; medians and least times per frame.

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
            at, used = time.perf_counter(), processor_time()
            operation.run()
            took[operation.name].append((time.perf_counter() - at, processor_time() - used))
    frames = {operation.name: operation.frames for operation in operations}
    unit = float(np.median(took[operations[0].name], axis=0)[0])
    least_unit = np.min(took[operations[0].name], axis=0)
    timings = []
    for operation in operations:
        spent, count = np.array(took[operation.name]), operation.frames
        least = spent.min(axis=0)
        if operation.beyond is not None:
            before = np.array(took[operation.beyond])[: len(spent)]
            spent, least = spent - before, least - before.min(axis=0)
            count = (count - frames[operation.beyond]) or count
        wall, cpu = _per_frame(np.median(spent, axis=0), count)
        least_wall, least_cpu = _per_frame(least, count)
        timings.append(
            Timing(
                operation.name,
                wall_ms=1e3 * wall,
                cpu_ms=1e3 * cpu,
                copies=wall / unit,
                frames_per_s=1 / wall,
                least_wall_ms=1e3 * least_wall,
                least_cpu_ms=1e3 * least_cpu,
                least_copies=least_wall / least_unit[0],
                core_copies=least_cpu / least_unit[1] if least_unit[1] > 0 else np.nan,
                target=operation.target,
            )
        )
    return timings


def _per_frame(seconds: NDArray[np.float64], frames: int) -> tuple[float, float]:
    """Wall and processor time of a frame; NaN where noise hides it."""
    wall, cpu = (float(each) / frames if each > 0 else np.nan for each in seconds)
    return wall, cpu
