"""How many messages the receiver takes, and what each costs.

A process sends ready-made images; another pulls, reads and counts them as `crystint online serve` does, and throws them
away.

    python benchmarks/online_receiver.py [--seconds 10] [--megabytes 1.6] [--sockets 1]
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import resource
import tempfile
import threading
import time
from typing import Any

import numpy as np

from crystint.online.inlet import Inlet
from crystint.online.intake import Intake
from crystint.online.receiver import ReceiverThread
from crystint.online.work_queue import WorkQueue
from crystint.stream.messages import Image, SeriesKey, Start
from crystint.stream.packed_frame import PackedFrame
from crystint.stream.read import read_message
from crystint.stream.write import encode_image, encode_start

KEY = SeriesKey(1, "benchmark")
SHAPE = (2167, 2070)
PLACE = 0xDEADBEEF


def detector(addresses: list[str], size: int) -> None:
    """Send a start and images without end; only the number differs from one to the next."""
    import zmq

    dtype = np.dtype(np.uint16)
    payload = np.random.default_rng(1).integers(0, 256, size, np.uint8)
    payload[:12] = np.frombuffer((SHAPE[0] * SHAPE[1] * 2).to_bytes(8, "big") + (8192).to_bytes(4, "big"), np.uint8)
    frame = PackedFrame(payload, SHAPE, dtype, "bslz4")
    message = bytearray(encode_image(Image(KEY, PLACE, {"threshold_1": frame}))[0])
    place = bytes(message).index(PLACE.to_bytes(4, "big"))
    context = zmq.Context()
    pushes = [context.socket(zmq.PUSH) for _ in addresses]
    for push, address in zip(pushes, addresses, strict=True):
        push.setsockopt(zmq.SNDHWM, 20)
        push.bind(address)
    pushes[0].send(encode_start(Start(KEY, SHAPE, "stream2", images=2**31, channels=("threshold_1",), dtype=dtype))[0])
    number = 0
    while True:
        for push in pushes:
            message[place : place + 4] = number.to_bytes(4, "big")
            push.send(bytes(message), copy=False)
            number += 1


class Nobody:
    """A service that does nothing with what comes."""

    def begun(self, series: Any) -> None:
        pass

    def image(self, series: Any, image: Any, received: int) -> None:
        pass

    def result(self, series: Any, result: Any) -> None:
        pass

    def final(self, series: Any) -> None:
        pass

    def warning(self, text: str) -> None:
        print(text)

    def assumed_start(self, image: Any) -> None:
        return None


def measure(seconds: float = 10.0, size: int = 1_600_000, sockets: int = 1, tcp: bool = True) -> dict[str, float]:
    """What the receiver takes.

    Parameters
    ----------
    seconds : float
    size : int
        Bytes of the packed frame in each message.
    sockets : int
    tcp : bool
        Over TCP on this machine; otherwise ipc.

    Returns
    -------
    dict
        `rate` in messages per s; `thread_ms` and `process_ms`: ms of processor time of the receiver's thread, and of
        all threads of its process, for each message; `gap_ms`: the longest time that it was not at its sockets;
        `memory_mb`.
    """
    first = 20_000 + os.getpid() % 20_000
    name = f"ipc://{tempfile.gettempdir()}/crystint-receiver-{os.getpid()}"
    addresses = [f"tcp://127.0.0.1:{first + n}" if tcp else f"{name}-{n}" for n in range(sockets)]
    sender = multiprocessing.get_context("spawn").Process(target=detector, args=(addresses, size), daemon=True)
    sender.start()
    queue = WorkQueue(1 << 30)
    intake = Intake(read_message, queue, Nobody())
    receiver = ReceiverThread(Inlet(addresses), intake)

    def work() -> None:
        while (item := queue.get()) is not None:
            queue.done(item)

    worker = threading.Thread(target=work)
    worker.start()
    with receiver:
        while not intake.live or not next(iter(intake.live.values())).numbers:
            time.sleep(0.1)
        receiver.ask(lambda: setattr(receiver, "gap", 0.0))
        before = (intake.counts.messages, time.perf_counter(), receiver.ask(time.thread_time), time.process_time())
        time.sleep(seconds)
        after = (intake.counts.messages, time.perf_counter(), receiver.ask(time.thread_time), time.process_time())
        gap = receiver.gap
    queue.close()
    worker.join()
    sender.kill()
    sender.join()
    series = (*intake.live.values(), *intake.closed)[0]
    if series.books.received != intake.counts.messages - 1 - series.books.duplicate:
        raise SystemExit(f"the books are wrong: {series.books}")
    messages = after[0] - before[0]
    return {
        "rate": messages / (after[1] - before[1]),
        "thread_ms": 1e3 * (after[2] - before[2]) / messages,
        "process_ms": 1e3 * (after[3] - before[3]) / messages,
        "gap_ms": 1e3 * gap,
        "memory_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3,
    }


def main() -> None:
    """Measure, and print a line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--megabytes", type=float, default=1.6)
    parser.add_argument("--sockets", type=int, default=1)
    parser.add_argument("--ipc", action="store_true")
    options = parser.parse_args()
    figures = measure(options.seconds, int(options.megabytes * 1e6), options.sockets, not options.ipc)
    print(
        f"{figures['rate']:.0f} messages/s of {options.megabytes:g} MB; processor time of each: "
        f"{figures['thread_ms']:.3f} ms of the receiver's thread, {figures['process_ms']:.3f} ms of its process; "
        f"longest absence {figures['gap_ms']:.1f} ms; at most {figures['memory_mb']:.0f} MB"
    )


if __name__ == "__main__":
    main()
