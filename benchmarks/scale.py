"""How the cost of a run grows with its frames, and what parts and merging them cost: time, memory, files opened.

    python benchmarks/scale.py FOLDER --frames 1000,10000 [--parts 10] [--loop]

Frames are 64 x 64 uint16 with five spots, bitshuffle-LZ4. Each command is a process of its own, of which the system
tells CPU seconds and peak memory; `strace`, where it is installed, counts the files that a run over single files opens.
--loop runs the parts in one process, which leaves 1.5 to 2 s of start out for each: for many parts, where only
merging them is measured.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import time
from math import log10
from pathlib import Path

import numpy as np

import crystint

CRYSTINT = [sys.executable, "-m", "crystint"]
OPTIONS = ["--rings", "50", "-q", "--overwrite", "--threads", "2"]
SHAPE, DIFFERENT = (64, 64), 500


def frames_of(folder: Path, number: int) -> Path:
    """A file of tiny frames."""
    path = folder / f"s{number}.h5"
    if path.exists():
        return path
    if os.fork():  # this process stays small: what it starts is told to have had its memory at least
        os.wait()
        return path
    data = crystint.simulate.simulate(
        SHAPE, min(number, DIFFERENT), dtype=np.uint16, background=2.0, peaks=5, intensity=900.0, seed=1
    )
    stack = [np.asarray(data.frames[i]) for i in range(min(number, DIFFERENT))]
    writer = crystint.DenseWriter(
        path, data.shape, data.dtype, geometry=data.geometry, mask=None, saturation=None, provenance={}
    )
    with writer:
        for i in range(number):
            writer.write(stack[i % len(stack)])
    os._exit(0)


def measured(what: str, words: list[str]) -> tuple[float, float, float]:
    """Wall and CPU seconds, and peak memory in MB, of a process."""
    start = time.perf_counter()
    process = subprocess.Popen(words, stdout=subprocess.DEVNULL)
    _, status, used = os.wait4(process.pid, 0)
    wall = time.perf_counter() - start
    if status:
        sys.exit(f"{what} failed: {' '.join(words)}")
    cpu, memory = used.ru_utime + used.ru_stime, used.ru_maxrss / 1024
    print(f"{what:44} {wall:8.2f} s wall {cpu:8.2f} s CPU {memory:7.0f} MB", flush=True)
    return wall, cpu, memory


def opened_files(what: str, words: list[str], files: int) -> None:
    """How many files a process opens for each of the data files."""
    if shutil.which("strace") is None:
        print(f"{what:44} not counted: strace is not installed")
        return
    log = Path("opens.log")
    subprocess.run(
        ["strace", "-f", "-qq", "-e", "trace=openat,open", "-o", log, *words], check=True, capture_output=True
    )
    count = sum("many_" in line for line in log.read_text(errors="replace").splitlines())
    log.unlink()
    print(f"{what:44} {count / files:8.2f} opens for each of {files} files")


def parts_in_one_process(step: str, path: Path, output: str, count: int) -> None:
    """All parts, one after the other."""
    name, target = ("sparsify", repr(output)) if step == "sparsify" else ("find_peaks", repr([output]))
    program = f"""
from crystint.separation import Execution, Part, {name} as step
for number in range({count}):
    execution = Execution(part=Part(number, {count}), threads=2)
    step([{str(path)!r}], {target}, {{"rings": 50}}, execution=execution, overwrite=True)
"""
    measured(f"{step}, {count} parts in one process", [sys.executable, "-c", program])


def main() -> None:
    """Measure, and print lines."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--frames", default="1000,10000")
    parser.add_argument("--parts", type=int, default=10)
    parser.add_argument("--loop", action="store_true", help="parts in one process, and no run of the whole")
    parser.add_argument("--steps", default="sparsify,peaks")
    parser.add_argument("--files", type=int, default=0, help="count opens of so many files of ten frames")
    arguments = parser.parse_args()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    os.chdir(arguments.folder)
    before: dict[str, tuple[int, float]] = {}
    for number in map(int, filter(None, arguments.frames.split(","))):
        path, count = frames_of(Path(), number), arguments.parts
        print(f"--- {number} frames")
        for step in arguments.steps.split(","):
            output = f"{step}{number}.h5"
            if arguments.loop:
                parts_in_one_process(step, path, output, count)
            else:
                _, whole, _ = measured(step, [*CRYSTINT, step, str(path), "-o", f"one-{output}", *OPTIONS])
                if step in before:
                    frames, cpu = before[step]
                    print(f"{'':44} exponent of CPU {log10(whole / cpu) / log10(number / frames):.2f}")
                before[step] = number, whole
                together = 0.0
                for part in range(count):
                    words = [*CRYSTINT, step, str(path), "-o", output, "--part", f"{part}/{count}", *OPTIONS]
                    together += measured(f"{step} --part {part}/{count}", words)[1]
                print(f"{'all parts':44} {'':15} {together:8.2f} s CPU, one run {whole:.2f}")
            stem = output.removesuffix(".h5")
            parts = [str(name) for name in sorted(Path().glob(f"{stem}.part-*-of-{count:03d}.h5"))]
            size = sum(os.stat(name).st_size for name in parts) / 1e6
            merge = [*CRYSTINT, "merge-parts", *parts, "-q", "--overwrite"]
            wall, _, _ = measured(f"merge-parts, {size:.1f} MB", [*merge, "-o", f"merged-{output}"])
            print(f"{'':44} {size / wall:.0f} MB/s, start included")
            if step == "sparsify":
                measured("merge-parts --virtual", [*merge, "-o", f"virtual-{output}", "--virtual"])
    if arguments.files:
        opens(arguments.files)


def opens(count: int) -> None:
    """Files opened by a run over many, and by one part."""
    source = frames_of(Path(), 10)
    Path("many").mkdir(exist_ok=True)
    for number in range(count):
        shutil.copyfile(source, f"many/many_{number:05d}.h5")
    words = [*CRYSTINT, "peaks", "many/many_*.h5", "-o", "opens.cxi", *OPTIONS]
    opened_files("peaks", words, count)
    opened_files("peaks --part 0/10", [*words, "--part", "0/10"], count)


if __name__ == "__main__":
    main()
