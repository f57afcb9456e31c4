"""Figures of an OpenCL device in some three minutes, each written when it is there: scripts/bench-gpu runs this.

    python benchmarks/gpu_figures.py FOLDER             transfers, kernels, frames per second: FOLDER/figures.json
    python benchmarks/gpu_figures.py FOLDER --peers     crystint and pyFAI in turn on one frame: FOLDER/peers.json
    ... --small                                         a sixteenth of the pixels and short runs, for a dry run

CRYSTINT_DEVICE chooses the device. Frames are simulated, uint16, of an Eiger 4M.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np

from crystint import Separator
from crystint.engine import Engine
from crystint.ops.densify import Densifier
from crystint.simulate import simulate

RINGS = 1000
AT_ONCE = 8
"""frames that a GPU works on in one launch"""


class Figures:
    """Names and values, printed and written to a file as they come.

    Parameters
    ----------
    file : path
    small : bool
        Short runs on small frames.
    """

    def __init__(self, file: Path, small: bool) -> None:
        self.file, self.small = file, small
        self.seconds = 0.3 if small else 2.0
        self.shape = (541, 517) if small else (2162, 2068)
        self.values: dict[str, float | str] = {}

    def add(self, name: str, value: float | str) -> None:
        """A figure."""
        self.values[name] = value
        print(f"{name:<66s} {value if isinstance(value, str) else format(value, '.4g')}", flush=True)
        self.file.write_text(json.dumps(self.values, indent=1))

    def frames(self, spots: int) -> tuple[Any, np.ndarray[Any, Any]]:
        """What simulates frames with so many spots, and the frames."""
        data = simulate(
            self.shape, frames=AT_ONCE, dtype="uint16", background=10.0, falloff=2.0, peaks=spots, modules=(512, 1028)
        )
        return data, np.stack([data[i] for i in range(AT_ONCE)])


def median(run: Callable[[], object], repeats: int = 15, inner: int = 1) -> float:
    """Seconds of a call, after a first one."""
    run()
    times = []
    for _ in range(repeats):
        begin = time.perf_counter()
        for _ in range(inner):
            run()
        times.append((time.perf_counter() - begin) / inner)
    return float(np.median(times))


def rate(run: Callable[[Any], object], stack: Any, threads: int, seconds: float) -> float:
    """Frames per second of threads that work on the same frames again and again."""
    begin = time.perf_counter()

    def work(_: int) -> int:
        done = 0
        while time.perf_counter() < begin + seconds:
            run(stack)
            done += len(stack)
        return done

    with ThreadPoolExecutor(threads) as pool:
        done = sum(pool.map(work, range(threads)))
    return done / (time.perf_counter() - begin)


def transfers(figures: Figures, engine: Engine) -> None:
    """The bus, and what a call costs."""
    device, size = engine.device, AT_ONCE * figures.shape[0] * figures.shape[1] * 2
    figures.add("device", f"{device.name} | {device.driver} | {device.version}")
    figures.add(
        "compute units, GiB, double precision", f"{device.compute_units}, {device.memory / 2**30:.1f}, {engine.doubles}"
    )
    there, pageable, pinned = engine.empty(size, np.uint8), np.ones(size, np.uint8), engine.pinned(size)
    figures.add("copy to pinned memory, one thread, GB/s", 1e-9 * size / median(lambda: np.copyto(pinned, pageable)))

    def upload(array: Any) -> None:
        writing = engine.start_writing(there, array)
        engine.finish()
        del writing

    for name, array in (("pageable", pageable), ("pinned", pinned)):
        figures.add(f"upload from {name} memory, GB/s", 1e-9 * size / median(lambda array=array: upload(array)))
    figures.add("download, GB/s", 1e-9 * size / median(lambda: engine.receive(there, size)))
    few = np.zeros(16, np.uint8)
    figures.add("read of 16 bytes, waited for, us", 1e6 * median(lambda: engine.receive(there, 16), inner=50))
    figures.add("write of 16 bytes, waited for, us", 1e6 * median(lambda: engine.write(there, few), inner=50))
    figures.add(
        "buffer of a frame made and let go, us", 1e6 * median(lambda: engine.empty(size // AT_ONCE, np.uint8), inner=5)
    )


def kernels(figures: Figures, data: Any, stack: Any, spots: int) -> None:
    """Time of each kernel on the device."""
    engine = Engine(profile=True)
    separator = Separator(data.geometry, data.mask, RINGS, engine=engine)
    for verb in ("peaks", "sparsify"):
        run = getattr(separator, verb)
        for n in (AT_ONCE, 1):
            run(stack[:n])
            engine.milliseconds()
            rows = []
            for _ in range(3 if figures.small else 7):
                run(stack[:n])
                rows.append(engine.milliseconds())
            times = {name: 1e3 * float(np.median([row.get(name, 0.0) for row in rows])) / n for name in rows[0]}
            for name, us in (times | {"ALL": sum(times.values())}).items():
                figures.add(f"kernels, us/frame: {verb}, {spots} spots, {n} at once: {name}", us)


def frames_per_second(figures: Figures, engine: Engine, spots: int) -> Separator:
    """All operations from host memory, in one process."""
    data, stack = figures.frames(spots)
    begin = time.perf_counter()
    separator = Separator(data.geometry, data.mask, RINGS, engine=engine)
    figures.add("a Separator made, s", time.perf_counter() - begin)
    begin = time.perf_counter()
    together = separator.peaks(stack)
    figures.add("first peaks, with builds, s", time.perf_counter() - begin)
    alone = [separator.peaks(frame) for frame in stack]
    same = all(
        np.array_equal(one[name], other[name]) for one, other in zip(together, alone) for name in ("slow", "intensity")
    )
    figures.add(f"peaks of the frames with {spots} spots", ", ".join(str(len(one)) for one in together))
    figures.add(f"{AT_ONCE} at once are as one by one, {spots} spots", str(same))
    for verb in ("peaks", "sparsify", "background", "separate"):
        for threads in (1, 2, 4, 8) if verb in ("peaks", "sparsify") else (4,):
            name = f"frames/s: {verb}, {spots} spots, {AT_ONCE} at once, {threads} threads"
            figures.add(name, rate(getattr(separator, verb), stack, threads, figures.seconds))
    single = median(lambda: separator.peaks(stack[0]), 9, 3)
    figures.add(f"frames/s: peaks, {spots} spots, single frames, 1 thread", 1.0 / single)
    sparse, densifier = separator.sparsify(stack[0]), Densifier(engine, separator.rings)
    out = np.empty(figures.shape, np.uint16)
    for noise in (True, False):
        seconds = median(lambda noise=noise: densifier.run(sparse, noise, out=out), 9, 3)
        figures.add(f"frames/s: densify, noise={noise}, 1 thread", 1.0 / seconds)
    kernels(figures, data, stack, spots)
    unusable = stack.copy()
    unusable[:, figures.shape[0] // 10 :] = 65535
    unusable[:, ::7, ::11] = 3
    name = f"frames/s: peaks, nine tenths of the pixels unusable, {spots} spots"
    figures.add(name, rate(separator.peaks, unusable, 1, figures.seconds))
    figures.add(
        "memory in use, MiB on the device, pinned",
        f"{engine.memory.used / 2**20:.0f}, {engine.memory.pinned / 2**20:.0f}",
    )
    return separator


def worker(figures: Figures, spots: int) -> None:
    """A process of its own: prints a line when it is ready, waits for one, prints its frames per second."""
    data, stack = figures.frames(spots)
    separator = Separator(data.geometry, data.mask, RINGS)
    separator.peaks(stack)
    print("ready", flush=True)
    sys.stdin.readline()
    print(rate(separator.peaks, stack, 2, 2 * figures.seconds), flush=True)


def processes(figures: Figures, folder: Path, spots: int, n: int) -> None:
    """Several processes on one device."""
    command = [sys.executable, __file__, str(folder), "--worker", str(spots), *(["--small"] * figures.small)]
    workers = [subprocess.Popen(command, stdin=-1, stdout=-1, text=True) for _ in range(n)]
    ready = all(one.stdout is not None and one.stdout.readline() == "ready\n" for one in workers)
    lines = [one.communicate("\n" if ready else None)[0].split() for one in workers]
    name = f"frames/s: peaks, {spots} spots, {n} processes of 2 threads"
    figures.add(name, sum(float(line[-1]) for line in lines) if ready and all(lines) else "failed")


def peers(figures: Figures) -> None:
    """crystint beside pyFAI's OpenCL, in turn on one frame from host memory."""
    from crystint.bench.frames import simulated
    from crystint.bench.operations import copy, densification, separation
    from crystint.bench.timing import time_operations

    names = (
        "copy",
        "background hybrid",
        "sparsify hybrid",
        "peaks hybrid",
        "densify",
        "pyFAI sparsify OpenCL hybrid",
        "pyFAI peakfinder OpenCL hybrid",
    )

    def wanted(name: str) -> bool:
        return name.startswith(names)

    engine, sample = Engine(), simulated(figures.shape)
    operations = [copy(sample.frame), *separation(sample, engine, wanted), *densification(sample, engine, wanted)]
    with ExitStack() as stack:
        try:
            from crystint.bench.peer_pyfai import operations as of_pyfai

            operations += [one for one in of_pyfai(sample, engine, print, wanted, stack) if wanted(one.name)]
        except Exception as error:  # the figures of crystint are worth having without
            print(f"pyFAI: {type(error).__name__}: {error}")
        for row in time_operations(operations, 3 if figures.small else 7, lambda rounds, *_: rounds):
            figures.add(f"ms/frame, in turn: {row.name}", row.wall_ms)


def main() -> None:
    """As the head of this file says."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--small", action="store_true")
    parser.add_argument("--peers", action="store_true")
    parser.add_argument("--worker", type=int, metavar="SPOTS", help=argparse.SUPPRESS)
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    figures = Figures(options.folder / ("peers.json" if options.peers else "figures.json"), options.small)
    if options.worker is not None:
        worker(figures, options.worker)
    elif options.peers:
        peers(figures)
    else:
        engine, few, many = Engine(), *((5, 30) if options.small else (50, 450))
        transfers(figures, engine)
        for spots in (many, few):
            frames_per_second(figures, engine, spots)
        for n in (1, 2) if options.small else (1, 2, 4, 8):
            processes(figures, options.folder, few, n)


if __name__ == "__main__":
    main()
