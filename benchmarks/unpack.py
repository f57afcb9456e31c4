"""Unpacking a bitshuffle-LZ4 frame on the host and in the kernel, in copies: ``python benchmarks/unpack.py``.

Least processor time of all threads, of `REPEATS` in turn, over the least time of a copy of the frame in the same run.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np

import crystint
from crystint.engine import Buffer
from crystint.io.hdf5.filters import BITSHUFFLE, Filter, decode, raw_chunk
from crystint.io.hdf5.packing import BSLZ4
from crystint.ops.unpack import start_unpacking

REPEATS = 30
FILTERS = (Filter(BITSHUFFLE, (0, 4, 2, 0, 2)),)


def main() -> None:
    """Print the table."""
    shape = (2167, 2070)
    frame = crystint.simulate.simulate(shape, background=1.0, peaks=400, intensity=900.0, dtype="uint16", seed=1)[0]
    chunk = raw_chunk(BSLZ4.pack(frame), frame.shape, frame.dtype)
    engine, out, buffers = crystint.Engine(), np.empty_like(frame), dict[str, Buffer]()
    stage = np.empty(len(chunk.data), np.uint8)

    def buffer(name: str, size: int, dtype: type) -> Buffer:
        return buffers.setdefault(name, engine.empty(size, dtype))

    def on_the_device() -> None:
        work = start_unpacking(engine, [chunk], stage, buffer)
        engine.finish()
        del work

    def on_the_host() -> None:
        decode(FILTERS, 0, chunk.data, out.reshape(-1).view(np.uint8))

    ways: dict[str, Callable[[], object]] = {
        "copy": lambda: np.copyto(out, frame),
        "host": on_the_host,
        "kernel": on_the_device,
    }
    least = dict.fromkeys(ways, np.inf)
    for _ in range(REPEATS):
        for name, work in ways.items():
            begin = time.process_time()
            work()
            least[name] = min(least[name], time.process_time() - begin)
    print(f"{frame.nbytes / len(chunk.data):.1f} times smaller packed; {engine.device.name}, {engine.device.platform}")
    for name, seconds in least.items():
        print(f"{name:8s} {1e3 * seconds:6.2f} ms {seconds / least['copy']:6.2f} copies")


if __name__ == "__main__":
    main()
