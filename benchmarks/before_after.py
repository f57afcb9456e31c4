"""Background, sparsify, peaks and densify of one frame by two checkouts, in turn: times in copies of the frame.

    python benchmarks/before_after.py FRAME BEFORE [AFTER] [--device 0:0] [--rounds 15] [--models hybrid] [--snr 1 2 3]

BEFORE and AFTER are folders with a checkout. Each has a process of its own, and both do one operation after the other,
so that what else the machine does meets both. The least times count.
Wall times are worth little on a machine with other work.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]


def work(frame_path: str, device: str, dtype: str, masked: bool) -> None:
    """What a process does: reads "model what snr" from its input, and answers with ms: wall, processor."""
    import numpy as np

    import crystint

    frames = crystint.open_frames(frame_path)
    raw, geometry, engine = frames[0], frames.geometry, crystint.Engine(device)
    gaps = raw < 0
    if dtype == "uint16":
        raw = np.where(gaps, 65535, np.minimum(raw, 65534)).astype(np.uint16)
    frame, other = engine.new_array(raw.shape, raw.dtype), np.empty_like(raw)
    frame[...] = raw
    separators: dict[str, Any] = {}
    sparse: dict[str, Any] = {}
    for line in sys.stdin:
        model, what, snr = line.split()
        if model not in separators:
            separators[model] = crystint.Separator(geometry, gaps if masked else None, error_model=model, engine=engine)
            sparse[model] = separators[model].sparsify(frame)
        one, made = separators[model], sparse[model]
        run = {
            "copy": lambda: np.copyto(other, frame),
            "background": lambda one=one: one.background(frame),
            "sparsify": lambda one=one, snr=snr: one.sparsify(frame, float(snr)),
            "peaks": lambda one=one: one.peaks(frame),
            "densify": lambda made=made, noise=snr: crystint.densify(made, noise == "noise", engine=engine),
        }[what]
        began, core = time.perf_counter(), time.process_time()
        run()
        print(json.dumps([1e3 * (time.perf_counter() - began), 1e3 * (time.process_time() - core)]), flush=True)


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("frame")
    parser.add_argument("before", type=Path)
    parser.add_argument("after", type=Path, nargs="?", default=ROOT)
    parser.add_argument("--device", default="0:0")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--models", nargs="+", default=["hybrid"])
    parser.add_argument("--dtypes", nargs="+", default=["int32", "uint16"])
    parser.add_argument("--snr", nargs="+", default=["1", "2", "3"])
    parser.add_argument("--gaps", action="store_true", help="without a mask for them")
    parser.add_argument("--work", action="store_true", help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.work:
        work(chosen.frame, chosen.device, chosen.dtypes[0], not chosen.gaps)
        return
    print(
        "| | wall, copies | | core-ms | | core-ms, copies | |\n|---|---:|---:|---:|---:|---:|---:|\n| | before | after"
        * 1,
        end="",
    )
    print(" | before | after | before | after |")
    for dtype in chosen.dtypes:
        workers = []
        for folder in (chosen.before, chosen.after):
            line = [sys.executable, __file__, chosen.frame, ".", "--work", "--device", chosen.device, "--dtypes", dtype]
            environment = os.environ | {"PYTHONPATH": str(folder)}
            workers.append(
                subprocess.Popen(
                    line + ["--gaps"] * chosen.gaps,
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    text=True,
                    env=environment,
                )
            )
        for model in chosen.models:
            jobs = ["copy 0", "background 0", *(f"sparsify {snr}" for snr in chosen.snr), "peaks 0"]
            jobs += ["densify clean", "densify noise"]
            least = {(job, i): [float("inf")] * 2 for job in jobs for i in (0, 1)}
            for number in range(chosen.rounds + 2):
                for job in jobs:
                    for i, worker in enumerate(workers):
                        assert worker.stdin is not None
                        assert worker.stdout is not None
                        worker.stdin.write(f"{model} {job}\n")
                        worker.stdin.flush()
                        times = json.loads(worker.stdout.readline())
                        if number >= 2:  # kernels are built, buffers are there
                            least[job, i] = [min(pair) for pair in zip(least[job, i], times)]
            copy = [min(least["copy 0", i][part] for i in (0, 1)) for part in (0, 1)]
            print(f"| **{dtype}, {model}**, copy {copy[0]:.2f} ms | | | | | | |")
            for job in jobs[1:]:
                walls, cores = ([least[job, i][part] for i in (0, 1)] for part in (0, 1))
                cells = [*(w / copy[0] for w in walls), *cores, *(c / copy[1] for c in cores)]
                print(f"| {job.removesuffix(' 0')} | " + " | ".join(f"{cell:.1f}" for cell in cells) + " |", flush=True)
        for worker in workers:
            worker.communicate()


if __name__ == "__main__":
    main()
