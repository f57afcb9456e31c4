"""Device time of each kernel beside the bytes that it moves, and the bytes that its work cannot do without."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

import numpy as np

from crystint.bench.frames import Sample
from crystint.bench.operations import CYCLES, RINGS, Wanted, everything
from crystint.bench.timing import Timing, Watch
from crystint.engine import Engine
from crystint.ops.densify import Densifier
from crystint.ops.separator import Separator

__all__ = ["TRAFFIC", "KernelTime", "Traffic", "kernel_times"]


@dataclass(frozen=True, slots=True)
class Traffic:
    """Bytes per pixel of one launch, beside a pixel of the frame itself, which is read or written once."""

    floor: float
    """what the operation needs: the ring of a pixel, its normalization"""
    moved: float
    """what the kernel reads and writes"""


TRAFFIC = {
    "ring_histogram": Traffic(2, 2),  # cell 2; its counters stay in cache
    "pick_stream": Traffic(
        0.1, 0.5
    ),  # rings and normalization of a strip 0.1; cell, position, weight 10 for some 5 % of pixels
    "ring_statistics": Traffic(8, 8.6),  # order 4, weight 4; 12 for each pixel in the tails of its ring, some 5 %
    "list_unusable": Traffic(0.125, 0.125),  # masked, a bit
    "densify_clean": Traffic(8, 8),  # position 4, weight 4
    "densify_noisy": Traffic(8, 8),
}
"""Kernels that work on whole frames. The others work on lists, and are shown with their time only."""


@dataclass(frozen=True, slots=True)
class KernelTime:
    """A kernel in one operation."""

    operation: str
    kernel: str
    """its name, or "all" for the sum"""
    ms: float
    """median device time, all launches of one run together"""
    floor_mb: float | None = None
    """MB that must move; None = not known"""
    moved_mb: float | None = None
    """MB that move"""
    share: float | None = None
    """`moved_mb` per time, over the bandwidth of the copy"""

    def to_dict(self) -> dict[str, Any]:
        """JSON-able values."""
        return asdict(self)


def kernel_times(
    sample: Sample,
    engine: Engine,
    copy: Timing,
    rounds: int,
    watch: Watch,
    wanted: Wanted = everything,
    models: Sequence[str] = ("hybrid",),
) -> list[KernelTime]:
    """Time the kernels of each operation on the device of `engine`.

    Parameters
    ----------
    copy : Timing
        Of copying the frame, which reads it once and writes it once.
    """
    frame, bandwidth = sample.frame, 2 * sample.frame.nbytes / copy.wall_ms
    profiled = Engine(engine.device, profile=True)
    runs = {name: run for name, run in _runs(sample, profiled, models).items() if wanted(name)}
    measured: dict[str, list[dict[str, float]]] = {name: [] for name in runs}
    for number in watch(range(-1, rounds), rounds + 1, "kernels"):
        for name, run in runs.items():
            run()
            times = profiled.milliseconds()
            if number >= 0:
                measured[name].append(times)
    of_kernels: list[KernelTime] = []
    for name, rows in measured.items():
        for kernel in rows[0]:
            ms = float(np.median([row.get(kernel, 0.0) for row in rows]))
            traffic = TRAFFIC.get(kernel)
            if traffic is None:
                of_kernels.append(KernelTime(name, kernel, ms))
                continue
            floor, moved = (frame.nbytes + each * frame.size for each in (traffic.floor, traffic.moved))
            of_kernels.append(KernelTime(name, kernel, ms, 1e-6 * floor, 1e-6 * moved, moved / ms / bandwidth))
        of_kernels.append(KernelTime(name, "all", float(np.median([sum(row.values()) for row in rows]))))
    return of_kernels


def _runs(sample: Sample, engine: Engine, models: Sequence[str]) -> dict[str, Callable[[], Any]]:
    """The operations by name."""
    operations: dict[str, Callable[[], Any]] = {}
    for model in models:
        separator = Separator(sample.geometry, sample.mask, RINGS, model, None, CYCLES, engine)
        for verb in ("background", "sparsify", "peaks"):
            operations[f"{verb} {model}"] = partial(getattr(separator, verb), sample.frame)
    sparse, densifier = separator.sparsify(sample.frame), Densifier(engine, separator.rings)
    operations["densify clean"] = partial(densifier.run, sparse, False)
    operations["densify noise"] = partial(densifier.run, sparse, True)
    engine.milliseconds()  # what it took to get here is forgotten
    return operations
