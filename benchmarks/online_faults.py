"""Series with random faults through the service: its books must be the truth of the detector that sent them.

    python benchmarks/online_faults.py --seeds 200

A simulated detector sends a series for each seed, with faults that the seed draws; a second process asks for the status
20 times a second, and adds up. Ends with 1 where a book differs, a sum is wrong, a thread ends with a traceback, or the
service does not come back to idle; the seed is told, and ``--only SEED`` runs it alone.
"""

from __future__ import annotations

import argparse
import multiprocessing
import sys
import tempfile
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from crystint.online import Service, Simulator
from crystint.online.control_server import ControlServer
from crystint.online.outlet import Outlet
from crystint.online.proxy import ControlProxy
from crystint.online.settings import ServeSettings
from crystint.online.truth import SeriesTruth

__all__ = ["Polled", "drawn", "run"]

IMAGES = 500
GRACE = 0.5
_PATIENCE = 60.0
_SHARES = ("drop", "duplicate", "differing", "corrupt_cbor", "truncated", "wrong_shape", "corrupt_lz4", "huge_total",
           "unknown_algorithm", "lz4", "raw", "late")  # fmt: skip


def drawn(seed: int, images: int = IMAGES) -> dict[str, Any]:
    """Settings of the detector of a seed."""
    random = np.random.default_rng(seed)

    def maybe(share: float) -> bool:
        return bool(random.random() < share)

    dialect = "jungfraujoch" if maybe(0.25) else "stream2"
    faults: dict[str, Any]
    settings: dict[str, Any] = {
        "fps": 2500.0, "images": images, "seed": seed, "dialect": dialect,
        "channels": ["threshold_1", "threshold_2", "difference"][: int(random.integers(1, 4))],
        "header_detail": str(random.choice(["all", "basic", "none"])),
    }  # fmt: skip
    if seed % 10 == 9:  # one image that is given up, and then comes
        late = int(random.integers(0, images // 5))
        faults = {"late": [late], "late_by": int(0.6 * images), "duplicate": 0.02}
        return settings | {"fps": images / 2.5, "faults": faults}
    faults = {name: float(random.uniform(0, 0.05)) for name in _SHARES if maybe(0.4)}
    if maybe(0.5):
        faults["reorder"] = int(random.choice([2, 5, 20, 100]))
    if maybe(0.3):
        faults["late_by"] = int(random.integers(1, images))
    for name in ("burst", "silence"):
        if maybe(0.2):
            faults |= {f"{name}_at": [int(random.integers(0, images))], f"{name}_s": 0.1}
    faults["start"] = str(random.choice(["once", "twice", "none"], p=[0.75, 0.15, 0.1]))
    faults["end"] = str(random.choice(["once", "twice", "none"], p=[0.6, 0.2, 0.2]))
    if maybe(0.15):
        faults["restart_at"] = int(random.integers(0, images))
    if maybe(0.15):
        faults["abort_at"] = int(random.integers(1, images))
    if maybe(0.2):
        faults["announced"] = int(random.choice([0, images // 2, images + 10, 10**6]))
    faults["same_id"] = maybe(0.2)
    return settings | {"faults": faults}


@dataclass
class Polled:
    """What the process that asks for the status came to."""

    polls: int = 0
    wrong: list[str] = field(default_factory=list)


def _poll(address: str, began: Any, ended: Any, told: Any) -> None:
    """20 times a second."""
    proxy = ControlProxy(address)
    polled, before = Polled(), {}
    while not ended.wait(0.05):
        status = proxy.status()
        polled.polls += 1
        began.set()
        series = status["series"]
        if series is None:
            continue
        books = series["books"]
        became = books["analysed"] + books["skipped"] + books["failed"] + books["in_flight"]
        if books["received"] != became or books["in_flight"] < 0:
            polled.wrong.append(f"{series['series']}: {books}")
        if books["received"] < before.get(series["series"], 0):
            polled.wrong.append(f"{series['series']}: received went back to {books['received']}")
        before[series["series"]] = books["received"]
    proxy.close()
    told.put(polled)


@contextmanager
def _polling(address: str) -> Any:
    """A list that takes what was polled, when the block has ended."""
    context = multiprocessing.get_context("spawn")
    began, ended, told, polled = context.Event(), context.Event(), context.Queue(), []
    process = context.Process(target=_poll, args=(address, began, ended, told))
    process.start()
    try:
        began.wait(_PATIENCE)  # a busy machine takes long to start a process
        yield polled
        ended.set()
        polled.append(told.get(timeout=_PATIENCE))
    finally:
        ended.set()
        process.join(10)
        process.kill()
        process.join()


def _differences(series: SeriesTruth, described: dict[str, Any] | None, seconds: float) -> list[str]:
    """What of the books is not the truth."""
    if described is None:
        return [f"series {series.id}-{series.unique_id} is not there"]
    books, truth = described["books"], series.books.to_dict()
    names = sorted(set(truth) - {"late", "dropped"})
    wrong = [f"{name} is {books[name]}, the truth {truth[name]}" for name in names if books[name] != truth[name]]
    sent = set(series.sent.values.tolist())
    if books["expected"] < 10**5:
        missing = [n for n in range(books["expected"]) if n not in sent]
        told = [n for first, stop in described["missing"] for n in range(first, stop)]
        if told != missing and len(described["missing"]) < 100:
            wrong.append(f"missing are {told[:10]}..., the truth {missing[:10]}...")
    given_up = sum(1 for _ in series.late) if seconds > 2.0 else 0
    if books["late"] != given_up and (seconds < 0.8 or seconds > 2.0):
        wrong.append(f"late is {books['late']}, the truth {given_up}")
    return wrong


def _orphans(series: SeriesTruth) -> int:
    """Images that nobody can know the start of; of those without a frame only the number is there to be warned of."""
    if series.starts:
        return 0
    unreadable = sum(len(series.failed.get(kind, ())) for kind in ("huge_total", "unknown_algorithm"))
    return len(series.sent) + len(series.repeated) - unreadable


def _seed(service: Service, stream: str, seed: int, images: int) -> list[str]:
    """Problems of a seed."""
    dtype = ("uint8", "uint16", "uint32", "int16", "int32")[seed % 5]
    frames = np.random.default_rng(seed).poisson(2.0, (3, 48, 56)).astype(dtype)
    frames[1, 20:23, 30:33] += 60
    orphans = service.status()["messages"]["orphans"]
    with Simulator(frames, stream=stream, wait=_PATIENCE, **drawn(seed, images)) as detector:
        began = time.monotonic()
        truth = detector.wait(_PATIENCE)
        seconds = time.monotonic() - began
    heard = [series for series in truth.series if series.starts]
    if any(not series.ends for series in heard):
        service.stop()
    wrong = []
    until = time.monotonic() + _PATIENCE
    wanted = orphans + sum(map(_orphans, truth.series))
    while True:
        every = {(each["id"], each["unique_id"]): each for each in service.series()}
        final = all(every.get((s.id, s.unique_id), {"books": {"ended": False}})["books"]["ended"] for s in heard)
        if final and service.status()["messages"]["orphans"] >= wanted and service.wait("idle", 0.1):
            break
        if time.monotonic() > until:
            wrong.append(f"not idle: {service.status()['state']}, orphans {service.status()['messages']['orphans']}")
            break
        time.sleep(0.1)
    every = {(each["id"], each["unique_id"]): each for each in service.series()}
    for series in heard:
        wrong += _differences(series, every.get((series.id, series.unique_id)), seconds)
    if service.status()["messages"]["orphans"] != wanted:
        wrong.append(f"orphans are {service.status()['messages']['orphans'] - orphans}, the truth {wanted - orphans}")
    return wrong


def run(seeds: list[int], images: int = IMAGES, told: Any = None) -> tuple[dict[int, list[str]], Polled]:
    """Series of some seeds.

    Parameters
    ----------
    seeds : list of int
    images : int
        Of each series.
    told : callable, optional
        Called with each seed and what was wrong with it.

    Returns
    -------
    wrong : dict of seed to list of str
        -1 = of no seed.
    polled : Polled
    """
    wrong: dict[int, list[str]] = {}
    tracebacks: list[str] = []
    before, threading.excepthook = threading.excepthook, lambda args: tracebacks.append(repr(args.exc_value))
    try:
        with tempfile.TemporaryDirectory() as folder:
            control = f"ipc://{Path(folder) / 'control'}"
            with Outlet(["tcp://127.0.0.1:*"]) as outlet:  # a free port; TCP, since libzmq loses what it has not read
                (stream,) = outlet.addresses  # of a local socket that is closed
            settings = ServeSettings(stream=(stream,), threads=1, grace=GRACE, memory=10**9, rings=20)
            with Service(settings=settings) as service:
                server = ControlServer(service, control)
                try:
                    with _polling(control) as polled:
                        for seed in seeds:
                            problems = _seed(service, stream, seed, images)
                            if problems:
                                wrong[seed] = problems
                            if told is not None:
                                told(seed, problems)
                finally:
                    server.close()
    finally:
        threading.excepthook = before
    if tracebacks:
        wrong[-1] = tracebacks
    return wrong, polled[0]


def main() -> int:
    """All seeds."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=200)
    parser.add_argument("--images", type=int, default=IMAGES)
    parser.add_argument("--only", type=int)
    options = parser.parse_args()
    seeds = list(range(options.seeds)) if options.only is None else [options.only]
    began = time.monotonic()

    def told(seed: int, problems: list[str]) -> None:
        for text in problems:
            print(f"seed {seed}: {text}\n    {drawn(seed, options.images)}", flush=True)

    wrong, polled = run(seeds, options.images, told)
    for text in (*wrong.get(-1, ()), *polled.wrong[:20]):
        print(text)
    print(
        f"{len(seeds)} seeds x {options.images} images in {time.monotonic() - began:.0f} s: "
        f"{len(wrong)} with wrong books; {polled.polls} polls, {len(polled.wrong)} wrong sums"
    )
    return int(bool(wrong or polled.wrong))


if __name__ == "__main__":
    sys.exit(main())
