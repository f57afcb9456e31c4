"""Rates, latency, overload and memory of the online system, on simulated 4.5 Mpx uint16 images of bitshuffle-LZ4.

    python benchmarks/online_rates.py [PART ...] [--seconds 20] [--size 4M] [--device cpu] [--threads 2]

PART is one of steps, overload, many, regions; without it all are run. The simulated detector is another process on the
same cores, and other work of the machine counts, too: the cores that both processes got are told beside each rate.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from crystint.engine import Engine
from crystint.model.rois import Roi, Rois
from crystint.online import Service
from crystint.online.analysis import Analyses
from crystint.online.exposures import detector_shape, synthetic
from crystint.online.self_check import AtRate, at_rate, budget, memory_in_use, source_process, sustained
from crystint.online.settings import ServeSettings
from crystint.stream import SeriesKey, Start

_PATIENCE = 300.0


def _row(name: str, value: str, target: str = "") -> None:
    print(f"| {name} | {value} | {target} |", flush=True)


def _got(use: AtRate) -> float:
    """Cores that both processes got."""
    return use.analysed * (use.own + use.source) / 1000.0


def steps(options: argparse.Namespace, engine: Engine) -> float:
    """The steps, the sustained rate and the latency at half of it; returns that rate."""
    words = ["--size", options.size, "--dtype", "uint16", "--ring", "6", "--frames", str(10**7)]
    settings = ServeSettings(threads=options.threads)
    each = budget(engine, 2.0, words, settings)
    use = sustained(options.seconds, words, settings, engine)
    cores = len(os.sched_getaffinity(0))
    possible, got = 1000.0 * cores / each.total, _got(use)
    _row("receive + walk, CPU ms", f"{each.receive:.2f} + {each.walk:.3f}", "<= 0.5")
    _row("unpack, find peaks, CPU ms", f"{each.decode:.2f}, {each.separate:.2f}")
    _row("receiver alone, messages/s", f"{each.messages_per_s:.0f} of {each.message_bytes / 1e6:.2f} MB", ">= 1500")
    _row(f"sustained, images/s on {cores} cores", f"{use.analysed:.1f}", ">= 100")
    _row("of what the steps allow", f"{use.analysed / possible:.2f} of {possible:.0f}", ">= 0.75")
    _row("cores that both processes got", f"{got:.2f}; {use.own:.1f} + {use.source:.1f} ms per image")
    _row("of what the steps allow on these", f"{use.analysed * each.total / 1000.0 / got:.2f}")
    half = at_rate(0.5 * use.analysed, options.seconds, words, settings, engine)
    p50, p99 = (1000.0 * (value or 0.0) for value in half.latency)
    _row(
        f"latency at {half.sent:.0f} images/s, ms", f"p50 {p50:.0f}, p99 {p99:.0f}", f"<= {3 * each.total:.0f}, <= 100"
    )
    _row("skipped, missing there", f"{half.skipped}, {half.missing}", "0, 0")
    return use.analysed


def overload(options: argparse.Namespace, engine: Engine, rate: float) -> None:
    """Four times what is sustained."""
    fps, memory = 4.0 * rate, 256 * 2**20
    with tempfile.TemporaryDirectory() as folder:
        truth = Path(folder) / "truth.json"
        words = [
            "--size",
            options.size,
            "--ring",
            "6",
            "--frames",
            str(int(fps * options.seconds)),
            "--truth",
            str(truth),
        ]
        with source_process(fps, words) as (address, _):
            settings = ServeSettings(threads=options.threads, memory=memory)
            with Service((address,), settings=settings, engine=engine) as service:
                before, most, latest = memory_in_use(), 0, 0.0
                until = time.monotonic() + _PATIENCE
                began = None
                while time.monotonic() < until:
                    time.sleep(0.25)
                    most = max(most, service.queue.bytes)
                    status = service.status()
                    if status["series"] is not None and began is None:
                        began = time.monotonic()
                    if status["series"] is not None and not status["series"]["books"]["ended"]:
                        latest = max(latest, status["latency"]["p99"] or 0.0)
                        last = time.monotonic()
                    if truth.exists() and service.wait("idle", 0.1):
                        break
                books = service.series()[0]["books"]
                grown = memory_in_use() - before
        told = json.loads(truth.read_text())
    sent = sum(stop - first + 1 for first, stop in told["series"][0]["sent"])
    lost = sum(stop - first + 1 for first, stop in told["series"][0]["not_taken"])
    seconds = last - (began or last)
    _row("overload: asked for, sent, images/s", f"{fps:.0f}, {told['rate']:.0f}")
    _row("thrown away by the detector", f"{lost} of {sent + lost}", "0")
    names = ("received", "analysed", "skipped", "failed", "in_flight", "missing")
    _row("books", ", ".join(f"{books[name]} {name}" for name in names))
    closed = books["received"] == sent == books["analysed"] + books["skipped"] + books["failed"]
    _row("books are the truth", "yes" if closed and books["missing"] == lost else "NO", "yes")
    _row("analysed, images/s", f"{books['analysed'] / max(seconds, 1e-9):.1f}", f">= {0.9 * rate:.0f}")
    _row("memory of what waits, of the budget", f"{most / memory:.2f}", "<= 1.1")
    _row("process grew by, MB", f"{grown / 1e6:.0f}")
    _row("latency, worst p99, s", f"{latest:.2f}", "< 2")


def many(options: argparse.Namespace, engine: Engine) -> None:
    """Small images as fast as they are looked at: does memory stay?"""
    words = ["--size", "64x64", "--ring", "16", "--frames", str(options.many)]
    sizes: list[tuple[int, int]] = []
    with source_process(None, words) as (address, _):
        settings = ServeSettings(threads=options.threads, rings=20, when_full="wait", memory=2**21)
        with Service((address,), settings=settings, engine=engine) as service:
            began = time.monotonic()
            while time.monotonic() - began < options.many_seconds:
                time.sleep(1.0)
                sizes.append((service.emitter.analysed.total, memory_in_use()))
                if service.series() and service.series()[0]["books"]["ended"]:
                    break
            service.abort()
            service.wait("idle", 60.0)
            books = service.series()[0]["books"]
    took = time.monotonic() - began
    counts, bytes_ = np.array(sizes).T
    later = counts > 0.2 * counts[-1]
    slope = np.polyfit(counts[later], bytes_[later], 1)[0] if later.sum() > 2 else 0.0
    _row("images of 64 x 64", f"{books['analysed']} in {took:.0f} s, {books['analysed'] / took:.0f}/s")
    low, high = bytes_[later].min() / 1e6, bytes_[later].max() / 1e6
    _row("memory after the first fifth, MB", f"{low:.1f} to {high:.1f} ({100 * (high / low - 1):.1f} %)", "<= 2 %")
    _row("bytes per image", f"{slope:.1f}")
    _row("failed, missing, skipped", f"{books['failed']}, {books['missing']}, {books['skipped']}")


def regions(options: argparse.Namespace, engine: Engine) -> None:
    """Twelve regions of 50 000 px each."""
    shape = detector_shape(options.size)
    made = synthetic(shape, frames=2, seed=1)
    start = Start(SeriesKey(1), shape, "stream2", dtype=made.dtype, geometry=made.geometry)
    frame = made.images[1]["threshold_1"].decode()
    side = 224
    places = np.random.default_rng(0).integers(0, np.array(shape) - side, (12, 2))
    boxes = [
        Roi.box(f"r{n}", slow=(int(s), int(s) + side - 1), fast=(int(f), int(f) + side - 1))
        for n, (s, f) in enumerate(places)
    ]
    analyses = Analyses(engine)
    plain = analyses.make(start, ServeSettings())
    with_regions = analyses.with_rois(plain, Rois(tuple(boxes)), 1)
    times: dict[str, list[float]] = {"plain": [], "regions": []}
    for number in range(options.rounds):
        for name, analysis in (("plain", plain), ("regions", with_regions)):
            began = time.process_time()
            analysis.examine(frame, number)
            times[name].append(1000.0 * (time.process_time() - began))
    before, after = (float(np.median(times[name])) for name in ("plain", "regions"))
    _row(
        "12 regions of 50 176 px, CPU ms",
        f"{after - before:.2f} of {before:.2f} ({100 * (after / before - 1):.0f} %)",
        "<= 10 %",
    )


def main() -> int:
    """All parts that were asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("parts", nargs="*", choices=[[], "steps", "overload", "many", "regions"], default=[])
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--size", default="4M")
    parser.add_argument("--device")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rate", type=float, help="that is sustained, where steps is left out")
    parser.add_argument("--many", type=int, default=10**6, help="images of 64 x 64")
    parser.add_argument("--many-seconds", type=float, default=1800.0, help="after which they are left at that")
    parser.add_argument("--rounds", type=int, default=30)
    options = parser.parse_args()
    engine = Engine(options.device)
    parts: Any = options.parts or ["steps", "overload", "many", "regions"]
    print(f"{engine.device.name}, {options.size}, {options.threads} threads\n")
    print("| | measured | target |\n| --- | ---: | ---: |")
    rate = options.rate or 100.0
    if "steps" in parts:
        rate = steps(options, engine)
    if "overload" in parts:
        overload(options, engine, rate)
    if "many" in parts:
        many(options, engine)
    if "regions" in parts:
        regions(options, engine)
    return 0


if __name__ == "__main__":
    sys.exit(main())
