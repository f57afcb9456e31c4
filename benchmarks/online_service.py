"""How much of what unpacking and separation allow is left when a service does them: frames/s, and CPU time per frame.

``python benchmarks/online_service.py [--threads 2] [--seconds 10]`` on a quiet machine; both are measured by turns in
one run, so their ratio holds on a loaded one as well.
"""

from __future__ import annotations

import argparse
import threading
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from crystint.engine import Engine
from crystint.online.analysis import Analyses
from crystint.online.service import Service
from crystint.online.settings import ServeSettings
from crystint.simulate import simulate
from crystint.stream import (
    End,
    Image,
    SeriesKey,
    Start,
    encode_end,
    encode_frame,
    encode_image,
    encode_start,
    read_message,
)

SIZES = {"500 x 500": (500, 500), "4.5 Mpx": (2167, 2070)}
DIFFERENT = 6


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=8.0)
    parser.add_argument("--device", default=None)
    parser.add_argument("--changes", action="store_true", help="time changes of settings, too")
    parser.add_argument("--rounds", type=int, default=2)
    options = parser.parse_args()
    engine = Engine(options.device)
    print(f"{engine.device.name}, {options.threads} threads; frames/s and ms of CPU per frame")
    for name, shape in SIZES.items():
        spots = max(20, 300 * shape[0] * shape[1] // 4_500_000)
        data = simulate(shape, frames=DIFFERENT, background=3.0, peaks=spots, intensity=900.0, dtype="uint16", seed=1)
        start = Start(
            SeriesKey(1, "a"), shape, "stream2", channels=("one",), dtype=np.dtype("u2"), geometry=data.geometry
        )
        packed = [encode_frame(frame, "bslz4") for frame in data]
        alone, served = [], []
        for _ in range(options.rounds):
            alone.append(measured_alone(engine, start, packed, options.threads, options.seconds))
            served.append(measured_service(engine, start, packed, options.threads, options.seconds))
        (rate, cpu), (service_rate, service_cpu) = (np.mean(each, axis=0) for each in (alone, served))
        print(f"{name}: unpack and separate alone {rate:.1f} frames/s, {cpu:.2f} ms")
        print(f"{name}: service {service_rate:.1f} frames/s, {service_cpu:.2f} ms")
        if options.changes:
            changes(engine, start, packed, options.threads)
        print(f"{name}: ratio of rates {service_rate / rate:.3f}, of CPU {cpu / service_cpu:.3f}")


def measured_alone(
    engine: Engine, start: Start, packed: list[Any], threads: int, seconds: float
) -> tuple[float, float]:
    """Threads that do nothing else."""
    analysis = Analyses(engine).make(start, ServeSettings())
    counts = [0] * threads

    def work(thread: int, stop: Callable[[], bool]) -> None:
        memory = engine.new_array(start.shape, np.dtype("u2"))
        while not stop():
            analysis.examine(packed[counts[thread] % len(packed)].decode(memory), counts[thread])
            counts[thread] += 1

    def run(stop: Callable[[], bool]) -> None:
        workers = [threading.Thread(target=work, args=(n, stop)) for n in range(threads)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()

    until = time.monotonic() + 1.0
    run(lambda: time.monotonic() > until)
    counts[:] = [0] * threads
    begun, cpu = time.monotonic(), time.process_time()
    until = begun + seconds
    run(lambda: time.monotonic() > until)
    elapsed, cpu = time.monotonic() - begun, time.process_time() - cpu
    return sum(counts) / elapsed, 1e3 * cpu / sum(counts)


def measured_service(
    engine: Engine, start: Start, packed: list[Any], threads: int, seconds: float
) -> tuple[float, float]:
    """A service, fed as fast as it works."""
    with Service(settings=ServeSettings(threads=threads), engine=engine) as service:
        results = 0

        def count(_result: Any) -> None:
            nonlocal results
            results += 1

        service.on_result(count)
        service.take(encode_start(start))
        bodies = [encode_image(Image(start.series, n, {"one": frame})) for n, frame in enumerate(packed)]
        first = read_message(bodies[0])
        assert isinstance(first, Image)
        number = 0

        def feed(until: float) -> None:
            nonlocal number
            while time.monotonic() < until:
                if service.queue.images >= 4 * threads:
                    time.sleep(0.002)
                    continue
                service.take(encode_image(Image(start.series, number, {"one": packed[number % len(packed)]})))
                number += 1

        feed(time.monotonic() + 2.0)
        begun, cpu, before = time.monotonic(), time.process_time(), results
        feed(begun + seconds)
        elapsed, cpu, done = time.monotonic() - begun, time.process_time() - cpu, results - before
        service.take(encode_end(End(start.series)))
        assert service.wait("idle", 60)
        assert service.series()[0]["books"]["analysed"] == number
    return done / elapsed, 1e3 * cpu / done


CHANGES: tuple[dict[str, Any], ...] = ({"snr": 6.0}, {"rings": 800}, {"snr": 7.0}, {"rings": 1000})


def changes(engine: Engine, start: Start, packed: list[Any], threads: int) -> None:
    """How long a change takes while images come as fast as they can be looked at: its answer, its first result."""
    first: dict[int, tuple[float, int]] = {}
    number, ended = 0, threading.Event()
    with Service(settings=ServeSettings(threads=threads), engine=engine) as service:

        def seen(result: Any) -> None:
            first.setdefault(int(result.row["settings_version"][0]), (time.monotonic(), result.number))

        def feed() -> None:
            nonlocal number
            while not ended.is_set():
                if service.queue.images >= 4 * threads:
                    time.sleep(0.002)
                    continue
                service.take(encode_image(Image(start.series, number, {"one": packed[number % len(packed)]})))
                number += 1

        service.on_result(seen)
        service.take(encode_start(start))
        feeder = threading.Thread(target=feed)
        feeder.start()
        time.sleep(3.0)
        for change in CHANGES:
            begun = time.monotonic()
            applied = service.set(**change)
            answered = time.monotonic() - begun
            time.sleep(2.5)
            came, image = first[applied.version]
            assert image == applied.first_image
            print(f"{change}: answer after {answered:.3f} s, first result with it after {came - begun:.3f} s")
        ended.set()
        feeder.join()
        service.take(encode_end(End(start.series)))
        assert service.wait("idle", 60)
        assert service.series()[0]["books"]["analysed"] == number


if __name__ == "__main__":
    main()
