"""Whole frames from a sparse file, one after the other, and by a command: crystint against FabIO in one run.

    python benchmarks/densify_loop.py SPARSE [--frames 20] [--rounds 3] [--commands]

Loops: ``for frame in crystint.open_sparse(SPARSE): crystint.densify(frame)`` against
``fabio.open(SPARSE).getframe(i).data``. Commands, from start to end of the process: ``crystint densify`` with each
compression against FabIO's ``densify_Bragg``. Of several rounds, the one with the least processor time counts.
"""

from __future__ import annotations

import argparse
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import fabio

import crystint


def cost(work: Callable[[], int], rounds: int) -> tuple[int, float, float]:
    """(frames, core-ms per frame, wall ms per frame) of the round with the least processor time."""

    def processor() -> float:
        used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
        return sum(each.ru_utime + each.ru_stime for each in used)

    found = []
    for _ in range(rounds):
        began, core = time.perf_counter(), processor()
        frames = work()
        found.append((1e3 * (processor() - core) / frames, 1e3 * (time.perf_counter() - began) / frames, frames))
    core, wall, frames = min(found)
    return frames, core, wall


def loops(path: Path, most: int) -> Iterator[tuple[str, Callable[[], int]]]:
    """Frames of an open file; what is made for the first one is not counted."""
    for noise in (False, True):
        with crystint.open_sparse(path) as sparse, fabio.open(str(path)) as image:
            frames = min(most, len(sparse))
            image.noisy = noise

            def ours(noise: bool = noise, sparse: crystint.SparseFile = sparse, frames: int = frames) -> int:
                for number in range(frames):
                    crystint.densify(sparse[number], noise)
                return frames

            def peer(image: fabio.fabioimage.FabioImage = image, frames: int = frames) -> int:
                for number in range(frames):
                    image.getframe(number).data  # noqa: B018
                return frames

            kind = "noise" if noise else "clean"
            for name, work in (("crystint", ours), ("FabIO", peer)):
                work()
                yield f"loop, {kind}, {name}", work


def commands(path: Path, folder: Path) -> Iterator[tuple[str, Callable[[], int]]]:
    """Whole processes."""
    with crystint.open_sparse(path) as sparse:
        frames = len(sparse)
    ours = [sys.executable, "-m", "crystint", "densify", str(path), "--overwrite", "-o", str(folder / "o.h5")]
    lines = {
        f"command, {kind}, crystint {packing}": [*ours, flag, "--compression", packing]
        for kind, flag in (("clean", "--no-noise"), ("noise", "--noise"))
        for packing in ("bslz4", "gzip")
    }
    peer = shutil.which("densify_Bragg")
    if peer is None:
        print("FabIO's densify_Bragg is not on the path: no peer of the command", file=sys.stderr)
    else:
        line = [peer, str(path), "-O", "eiger", "-o", str(folder / "p.h5")]
        lines["command, clean, FabIO densify_Bragg"] = [*line, "-N", "0"]
        lines["command, noise, FabIO densify_Bragg"] = [*line, "-N", "1"]
    for name, line in lines.items():

        def run(line: Sequence[str] = line) -> int:
            Path(line[line.index("-o") + 1]).unlink(missing_ok=True)
            subprocess.run(line, check="crystint" in line, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            return frames

        yield name, run


def main(arguments: Sequence[str] | None = None) -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sparse", type=Path)
    parser.add_argument("--frames", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--commands", action="store_true", help="time whole commands as well")
    chosen = parser.parse_args(arguments)
    print(f"{'':42}{'frames/s':>10}{'core-ms':>10}{'wall ms':>10}")
    with tempfile.TemporaryDirectory() as folder:
        todo = [(loops(chosen.sparse, chosen.frames), chosen.rounds)]
        todo += [(commands(chosen.sparse, Path(folder)), chosen.rounds)] if chosen.commands else []
        for works, rounds in todo:
            for name, work in works:
                _, core, wall = cost(work, rounds)
                print(f"{name:42}{1e3 / wall:10.1f}{core:10.1f}{wall:10.1f}", flush=True)


if __name__ == "__main__":
    main()
