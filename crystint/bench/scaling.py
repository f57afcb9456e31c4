"""How the times change with the number of pixels, of rings, of cores, and of threads that share a separator."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crystint.bench.frames import Sample, simulated
from crystint.bench.operations import CYCLES, RINGS, Wanted, copy, densification, separation
from crystint.bench.peers import peer_operations
from crystint.bench.timing import Operation, Timing, Watch, time_operations
from crystint.engine import Engine
from crystint.errors import DeviceError, SettingError
from crystint.ops.separator import Separator

__all__ = ["CORES", "HYBRID", "SCALES", "Point", "over_cores", "over_pixels", "over_rings", "over_threads"]

SCALES = ("pixels", "rings", "cores", "threads")
_MEGAPIXELS = (0.5, 1.0, 2.0, 4.0, 8.0, 16.0)
_RING_COUNTS = (100, 200, 500, 1000, 2000, 4000)
_THREADS = (1, 2, 4, 8)
_FRAMES_PER_THREAD = 8

HYBRID = (
    *(f"{verb} hybrid" for verb in ("background", "pick", "sparsify", "peaks", "separate")),
    "densify",
    *(f"pyFAI {what} hybrid" for what in ("sigma_clip Cython", "sparsify OpenCL")),
    "pyFAI peakfinder OpenCL hybrid (grid corrected)",
    "FabIO",
    "peakfinder8",
)
"""What is scaled when nothing is asked for: one error model, and nothing that takes minutes."""

CORES = ("POCL_MAX_PTHREAD_COUNT", "POCL_CPU_MAX_CU_COUNT", "CL_CONFIG_CPU_TBB_NUM_WORKERS", "OMP_NUM_THREADS")
"""Variables that tell PoCL until 3, PoCL since 4, Intel's runtime and OpenMP how many threads to use."""


@dataclass(frozen=True, slots=True)
class Point:
    """The times at one number of pixels, rings, cores or threads."""

    at: float
    megapixels: float
    times: list[Timing]

    def to_dict(self) -> dict[str, Any]:
        """JSON-able values."""
        return {"at": self.at, "megapixels": self.megapixels, "times": [row.to_dict() for row in self.times]}


def over_pixels(
    engine: Engine,
    dtype: str,
    rounds: int,
    watch: Watch,
    wanted: Wanted,
    peers: Sequence[str] = (),
    warn: Callable[[str], None] = lambda _text: None,
) -> Iterator[Point]:
    """Simulated square frames from 0.5 to 16 megapixels; what does not fit the device ends it."""
    for megapixels in _MEGAPIXELS:
        side = round(1000.0 * megapixels**0.5)
        sample = simulated((side, side), dtype)
        with ExitStack() as stack:
            try:
                operations = [
                    copy(sample.frame),
                    *separation(sample, engine, wanted),
                    *densification(sample, engine, wanted),
                ]
                for peer in peers:
                    operations += peer_operations(peer, sample, engine, stack, warn, wanted)
            except DeviceError as error:
                warn(str(error))
                return
            times = time_operations(operations, rounds, watch)
        yield Point(megapixels, sample.frame.size / 1e6, times)


def over_rings(sample: Sample, engine: Engine, rounds: int, watch: Watch, wanted: Wanted) -> Iterator[Point]:
    """The frame on 100 to 4000 rings; the numbers of rings take turns."""
    operations = [copy(sample.frame)]
    for rings in _RING_COUNTS:
        for one in separation(sample, engine, wanted, rings=rings):
            beyond = one.beyond and f"{one.beyond}, {rings}"
            operations.append(replace(one, name=f"{one.name}, {rings}", beyond=beyond))
    times = time_operations(operations, rounds, watch)
    for rings in _RING_COUNTS:
        mine = [row for row in times if row.name.endswith(f", {rings}")]
        yield Point(rings, sample.frame.size / 1e6, times[:1] + [_renamed(row, f", {rings}") for row in mine])


def over_threads(sample: Sample, engine: Engine, rounds: int, watch: Watch) -> Iterator[Point]:
    """Peaks of frames in host memory by 1 to 8 threads that share one separator."""
    separator = Separator(sample.geometry, sample.mask, RINGS, "hybrid", None, CYCLES, engine)
    frames = [sample.frame.copy() for _ in range(max(_THREADS))]
    operations = [copy(sample.frame)]
    for threads in _THREADS:
        count = _FRAMES_PER_THREAD * threads
        run = partial(_together, separator.peaks, frames, threads, count)
        operations.append(Operation(f"peaks hybrid, {threads}", run, None, count))
    times = time_operations(operations, rounds, watch)
    for threads, row in zip(_THREADS, times[1:]):
        yield Point(threads, sample.frame.size / 1e6, [times[0], _renamed(row, f", {threads}")])


def _together(work: Callable[[NDArray[Any]], Any], frames: list[NDArray[Any]], threads: int, count: int) -> None:
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(work, (frames[i % len(frames)] for i in range(count))))


def _renamed(row: Timing, suffix: str) -> Timing:
    return replace(row, name=row.name.removesuffix(suffix))


def over_cores(sample: Sample, engine: Engine, rounds: int, watch: Watch, only: Sequence[str]) -> Iterator[Point]:
    """``crystint bench`` in processes that may use 1, 2, 4, ... of the cores that this one may use.

    A process inherits the cores of the thread that starts it, and the OpenCL runtimes are told of their number by
    environment variables (`CORES`): they start a thread per core of the machine otherwise.

    Raises
    ------
    SettingError
        Where the system cannot bind a process to cores.
    DeviceError
        When a process fails, with what it said.
    """
    if not hasattr(os, "sched_setaffinity"):
        raise SettingError("the times over cores need a system that binds processes to cores (Linux)")
    mine = sorted(os.sched_getaffinity(0))
    counts = sorted({2**k for k in range(len(mine).bit_length()) if 2**k <= len(mine)} | {len(mine)})
    with TemporaryDirectory(prefix="crystint-bench-") as name:
        command = [*_saved(sample, Path(name)), "--rounds", str(rounds), "--device", engine.device.id, "--json", "-q"]
        command += [word for prefix in only for word in ("--only", prefix)]
        for count in watch(counts, len(counts), "cores"):
            environment = os.environ | {variable: str(count) for variable in CORES}
            with _bound(mine[:count]):
                done = subprocess.run(
                    [sys.executable, "-m", "crystint", "bench", *command],
                    env=environment,
                    capture_output=True,
                    text=True,
                    check=False,
                )
            if done.returncode:
                raise DeviceError(f"crystint bench on {count} cores: {done.stderr.strip()}")
            rows = json.loads(done.stdout)["times"]
            times = [Timing.from_dict(row) for row in rows]
            yield Point(count, sample.frame.size / 1e6, times)


def _saved(sample: Sample, folder: Path) -> list[str]:
    """Arguments that make ``crystint bench`` measure this very frame."""
    frame, geometry, mask = (str(folder / name) for name in ("frame.npy", "geometry.json", "mask.npy"))
    np.save(frame, sample.frame)
    sample.geometry.write(geometry)
    np.save(mask, np.zeros(sample.frame.shape, np.uint32) if sample.mask is None else sample.mask)
    return [frame, "-g", geometry, "-m", mask, *(["--beam-outside"] if sample.geometry.beam_outside else [])]


@contextmanager
def _bound(cores: Sequence[int]) -> Iterator[None]:
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)
