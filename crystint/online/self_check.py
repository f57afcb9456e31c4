"""What the online system reaches on this machine: the work of each step, the rate that is sustained, what limits it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from crystint.engine import Engine
from crystint.errors import StreamError
from crystint.online.analysis import Analyses
from crystint.online.inlet import Inlet
from crystint.online.service import Service
from crystint.online.settings import AnalysisSettings, ServeSettings
from crystint.stream import Image, Start, read_message
from crystint.text_table import text_table

__all__ = ["AtRate", "Budget", "CheckReport", "at_rate", "budget", "check", "source_process", "sustained"]

_MESSAGES = 12
"""that the steps are measured with"""
_PATIENCE = 60.0
_LOOK_S = 0.25
_STEADY_S = 2.0
"""until the queue is full and the kernels are built"""


@dataclass(frozen=True, slots=True)
class Budget:
    """Processor time of each step of an image, ms, of all threads of this process; each step by itself."""

    receive: float
    walk: float
    decode: float
    separate: float
    message_bytes: int
    messages_per_s: float
    """that the receiver alone takes: from the socket, and read"""

    @property
    def total(self) -> float:
        """ms"""
        return self.receive + self.walk + self.decode + self.separate


@dataclass(frozen=True, slots=True)
class AtRate:
    """What became of a stream."""

    sent: float | None
    """images per second that were sent; None = as many as were fetched"""
    analysed: float
    """images per second"""
    seconds: float
    skipped: int
    missing: int
    latency: tuple[float | None, float | None]
    """s from when an image came to when its result was out: half of all, and 99 of 100"""
    queued: float
    """images that wait, on average"""
    most_bytes: int
    """that waited"""
    own: float
    """ms of processor time of this process per image"""
    source: float
    """ms of processor time of the simulated detector per image"""
    books: dict[str, Any] = field(default_factory=dict)
    memory: tuple[int, int] = (0, 0)
    """bytes of this process when images came, and at the end"""


@dataclass(frozen=True, slots=True)
class CheckReport:
    """The whole."""

    budget: Budget
    sustained: AtRate
    steady: AtRate | None
    """at the rate that was asked for, or half of that which is sustained"""
    cores: int
    device: str
    threads: int

    @property
    def possible(self) -> float:
        """Images per second that the steps alone would allow."""
        return 1000.0 * self.cores / self.budget.total

    @property
    def share(self) -> float:
        """Of that, which is reached."""
        return self.sustained.analysed / self.possible

    @property
    def limit(self) -> str:
        """What limits."""
        use, steps = self.sustained, self.budget
        if use.queued < 1.0:
            return "the simulated detector: nothing waited to be looked at"
        name, most = max(
            (("finding peaks", steps.separate), ("unpacking", steps.decode), ("receiving", steps.receive + steps.walk)),
            key=lambda each: each[1],
        )
        return f"{name}: {most:.3g} of {steps.total:.3g} ms"

    @property
    def text(self) -> str:
        """For people."""
        use, steps = self.sustained, self.budget
        rows = [
            (name, f"{value:.3f}", f"{1000.0 / value:.0f}" if value > 0 else "")
            for name, value in (
                ("receive", steps.receive), ("walk the message", steps.walk), ("unpack", steps.decode),
                ("find peaks", steps.separate), ("all", steps.total),
            )
        ]  # fmt: skip
        lines = text_table([("step", "CPU ms per image", "images/s of a core"), *rows], right=(1, 2))
        size = steps.message_bytes / 1e6
        lines += [
            f"{self.device}, {self.threads} threads, {self.cores} cores; messages of {size:.2f} MB",
            f"receiver alone: {steps.messages_per_s:.0f} messages/s",
            f"sustained: {use.analysed:.1f} images/s, {self.share:.2f} of the {self.possible:.0f} that the steps allow",
            f"per image {use.own:.1f} ms here, and {use.source:.1f} ms in the simulated detector on the same cores",
            f"limited by {self.limit}",
        ]
        if self.steady is not None:
            lines.append(_steady_text(self.steady))
        return "\n".join(lines)


def _steady_text(steady: AtRate) -> str:
    half, most = ("?" if value is None else f"{1000 * value:.0f} ms" for value in steady.latency)
    return (
        f"at {steady.sent or 0:.0f} images/s: {steady.analysed:.1f} looked at, {steady.skipped} skipped, "
        f"{steady.missing} missing; latency {half} (half), {most} (99 of 100)"
    )


@contextmanager
def source_process(fps: float | None, options: Sequence[str]) -> Iterator[tuple[str, int]]:
    """``crystint online simulate`` in a process of its own.

    Parameters
    ----------
    fps : float or None
        None = as fast as images are fetched.
    options : sequence of str
        More of its options.

    Yields
    ------
    str, int
        Where it is bound, and the number of the process.

    Raises
    ------
    StreamError
        When it does not begin.
    """
    words = ["simulate", "--fps", "max" if fps is None else f"{fps:.6g}", "--stream", "tcp://127.0.0.1:*", *options]
    process = subprocess.Popen(
        [sys.executable, "-m", "crystint", "online", *words],
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        assert process.stderr is not None
        told = []
        for line in process.stderr:
            told.append(line.strip())
            place = re.search(r"tcp://[\d.]+:\d+", line)
            if place:
                yield place[0], process.pid
                return
        raise StreamError(f"the simulated detector did not begin: {' '.join(told[-1:])}")
    finally:
        process.kill()
        process.wait()
        if process.stderr is not None:
            process.stderr.close()


def _cpu_of(process: int) -> float:
    """s of processor time of a process; 0 where the system does not tell."""
    try:
        with open(f"/proc/{process}/stat", encoding="ascii") as file:
            parts = file.read().rpartition(")")[2].split()
        return (int(parts[11]) + int(parts[12])) / os.sysconf("SC_CLK_TCK")
    except (OSError, ValueError, IndexError):
        return 0.0


def memory_in_use() -> int:
    """Bytes of this process in memory; 0 where the system does not tell."""
    try:
        with open("/proc/self/statm", encoding="ascii") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, IndexError):
        return 0


def budget(engine: Engine, seconds: float, options: Sequence[str], settings: AnalysisSettings) -> Budget:
    """Measure each step by itself.

    Parameters
    ----------
    engine : Engine
    seconds : float
        Of each step.
    options : sequence of str
        Of the simulated detector.
    settings : AnalysisSettings
    """
    start: Start | None = None
    messages: list[Sequence[Any]] = []
    with source_process(None, options) as (address, _), Inlet([address]) as inlet:
        until = time.monotonic() + _PATIENCE
        while len(messages) < _MESSAGES:
            for parts, _ in inlet.receive(_LOOK_S):
                message = read_message(parts)
                if isinstance(message, Start):
                    start = message
                elif isinstance(message, Image) and len(messages) < _MESSAGES:
                    messages.append([bytes(part) for part in parts])
            if time.monotonic() > until:
                raise StreamError(f"the simulated detector sent nothing within {_PATIENCE:g} s")
        count, alone = _received(inlet, seconds, read_message)
        received, taken = _received(inlet, seconds, lambda parts: parts)
    if start is None:
        raise StreamError("the simulated detector sent no start message")
    images = [read_message(parts) for parts in messages]
    frames = [image.frames for image in images if isinstance(image, Image)]
    packed = [next(iter(each.values())) for each in frames]
    analysis = Analyses(engine).make(start, settings, dtype=packed[0].dtype)
    memory = engine.new_input(packed[0].shape, packed[0].dtype.newbyteorder("="))
    pixels = [frame.decode() for frame in packed]
    analysis.examine(pixels[0], 0)
    return Budget(
        receive=1000.0 * taken[1] / max(received, 1),
        walk=_step(seconds, read_message, messages),
        decode=_step(seconds, lambda frame: frame.decode(memory), packed),
        separate=_step(seconds, lambda frame: analysis.examine(frame, 0), pixels),
        message_bytes=int(np.mean([sum(map(len, parts)) for parts in messages])),
        messages_per_s=count / alone[0],
    )


def _received(inlet: Inlet, seconds: float, use: Callable[[Any], Any]) -> tuple[int, tuple[float, float]]:
    """Messages of so many seconds, and the wall and processor time that they took."""
    count, began, busy = 0, time.monotonic(), time.process_time()
    while time.monotonic() < began + seconds:
        for parts, _ in inlet.receive(_LOOK_S):
            use(parts)
            count += 1
    return count, (time.monotonic() - began, time.process_time() - busy)


def _step(seconds: float, call: Callable[[Any], Any], items: Sequence[Any]) -> float:
    """ms of processor time of a call."""
    count, until, busy = 0, time.monotonic() + seconds, time.process_time()
    while count < len(items) or time.monotonic() < until:
        call(items[count % len(items)])
        count += 1
    return 1000.0 * (time.process_time() - busy) / count


def at_rate(
    fps: float | None, seconds: float, options: Sequence[str], settings: ServeSettings, engine: Engine,
    watch: Callable[[Service], None] = lambda service: None,
) -> AtRate:  # fmt: skip
    """Let the service of this process look at a stream.

    Parameters
    ----------
    fps : float or None
        Images per second; None = as many as are fetched.
    seconds : float
        That are measured, after the first ones.
    options : sequence of str
        Of the simulated detector.
    settings : ServeSettings
        Its streams are not looked at.
    engine : Engine
    watch : callable
        Called now and then.
    """
    with (
        source_process(fps, options) as (address, process),
        Service((address,), settings=settings, engine=engine) as service,
    ):
        _until(lambda: service.emitter.analysed.total > 0)
        _wait(min(_STEADY_S, 0.3 * seconds), service, watch)
        first, busy, theirs, began = (
            service.emitter.analysed.total, time.process_time(), _cpu_of(process), time.monotonic()
        )  # fmt: skip
        came, memory = service.reception.received.total, memory_in_use()
        waiting = _wait(seconds, service, watch)
        took = time.monotonic() - began
        count = service.emitter.analysed.total - first
        came = service.reception.received.total - came
        own, source = time.process_time() - busy, _cpu_of(process) - theirs
        status = service.status()
        later = memory_in_use()
        service.abort()
        service.wait("idle", _PATIENCE)
        books = service.series()[0]["books"]
    return AtRate(
        sent=fps,
        analysed=count / took,
        seconds=took,
        skipped=status["series"]["books"]["skipped"],
        missing=books["missing"] or 0,
        latency=(status["latency"]["p50"], status["latency"]["p99"]),
        queued=float(np.mean([images for images, _ in waiting])) if waiting else 0.0,
        most_bytes=max((size for _, size in waiting), default=0),
        own=1000.0 * own / max(count, 1),
        source=1000.0 * source / max(came, 1),
        books=books,
        memory=(memory, later),
    )


def _until(reached: Callable[[], bool]) -> None:
    until = time.monotonic() + _PATIENCE
    while not reached():
        if time.monotonic() > until:
            raise StreamError(f"no image was looked at within {_PATIENCE:g} s")
        time.sleep(_LOOK_S)


def _wait(seconds: float, service: Service, watch: Callable[[Service], None]) -> list[tuple[int, int]]:
    """Images and bytes that wait, looked at now and then."""
    waiting, until = [], time.monotonic() + seconds
    while (left := until - time.monotonic()) > 0:
        time.sleep(min(_LOOK_S, left))
        waiting.append((service.queue.images, service.queue.bytes))
        watch(service)
    return waiting


def sustained(seconds: float, options: Sequence[str], settings: ServeSettings, engine: Engine) -> AtRate:
    """As `at_rate`, of a detector that sends as fast as images are looked at."""
    values = {name: getattr(settings, name) for name in settings.model_fields_set}
    waiting = ServeSettings(**{**values, "when_full": "wait", "memory": 2**28})
    return at_rate(None, seconds, options, waiting, engine)


def check(
    *,
    size: str = "4M",
    dtype: str = "uint16",
    seconds: float = 20.0,
    fps: float | None = None,
    device: str | None = None,
    threads: int | None = None,
    ring: int = 6,
    say: Callable[[str], None] = lambda text: None,
) -> CheckReport:
    """Measure all.

    Parameters
    ----------
    size, dtype : str
        Of the images.
    seconds : float
        In all, about.
    fps : float, optional
        Rate to try; None = half of what is sustained.
    device : str, optional
    threads : int, optional
        Images looked at at a time; None = one for each core.
    ring : int
        Different images.
    say : callable
        Told what is being measured.
    """
    engine, cores = Engine(device), len(os.sched_getaffinity(0))
    options = ["--size", size, "--dtype", dtype, "--ring", str(ring), "--frames", str(10**7)]
    settings = ServeSettings(threads=threads or cores)
    say("measuring the steps")
    steps = budget(engine, seconds / 20, options, settings)
    say("measuring what is sustained")
    reached = sustained(0.5 * seconds, options, settings, engine)
    rate = fps if fps is not None else 0.5 * reached.analysed
    say(f"measuring at {rate:.0f} images/s")
    steady = at_rate(rate, 0.3 * seconds, options, settings, engine)
    return CheckReport(steps, reached, steady, cores, engine.device.name, threads or cores)
