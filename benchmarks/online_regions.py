"""What regions of interest cost beside separation: CPU time per frame with and without them, by turns in one run.

``python benchmarks/online_regions.py [--rounds 60] [--device cpu]``: twelve regions of 50 000 pixels (rings, boxes,
circles) on 4.5 Mpx. The least time of each counts; on a loaded machine the difference of two large numbers is coarse:
the parts are measured by themselves as well, with the frame in the cache, as after separation on a quiet machine.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import numpy as np

import crystint
from crystint.model.roi_members import RoiMembers
from crystint.model.rois import Roi, Rois
from crystint.ops.roi_sums import RoiSums

SHAPE = (2167, 2070)


def regions(geometry: crystint.Geometry) -> Rois:
    """Twelve of 50 000 pixels."""
    edges = np.sort(geometry.q().ravel())[np.arange(5) * 50_000 + 600_000]
    rings = [Roi.azimuthal(f"ring{i}", q_min=edges[i], q_max=edges[i + 1]) for i in range(4)]
    boxes = [Roi.box(f"box{i}", slow=(100, 322), fast=(50 + 300 * i, 273 + 300 * i)) for i in range(4)]
    circles = [Roi.circle(f"circle{i}", center=(1500.0, 300.0 + 400 * i), radius=126.2) for i in range(4)]
    return Rois((*rings, *boxes, *circles))


def least_ms(rounds: int, *functions: Callable[[], object]) -> list[float]:
    """Of the processor time of all threads, by turns."""
    least = [np.inf] * len(functions)
    for _ in range(rounds):
        for place, function in enumerate(functions):
            start = time.process_time()
            function()
            least[place] = min(least[place], 1e3 * (time.process_time() - start))
    return least


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=60)
    parser.add_argument("--device")
    options = parser.parse_args()
    engine = crystint.Engine(options.device)
    geometry = crystint.Geometry(SHAPE, (75e-6, 75e-6), 0.2, (1083.2, 1035.4), wavelength=1.0)
    members = regions(geometry).members(geometry, SHAPE)
    print(f"{engine.device.name}; regions of {min(map(len, members.pixels))} to {max(map(len, members.pixels))} pixels")
    print("dtype    separation ms  with regions ms    more  kernel ms  host ms   share")
    for dtype in (np.uint8, np.uint16, np.uint32):
        measure(engine, geometry, members, np.dtype(dtype), options.rounds)


def measure(
    engine: crystint.Engine, geometry: crystint.Geometry, members: RoiMembers, dtype: np.dtype, rounds: int
) -> None:
    """Print the line of a dtype."""
    frame = np.random.default_rng(1).poisson(5.0, SHAPE).astype(dtype)
    separator = crystint.Separator(geometry, engine=engine)
    sums = RoiSums(members, engine, rings=separator.rings)
    buffer, partial = engine.lend(frame), engine.empty(sums.size, np.int64)
    table = separator.examine(frame, None, 5.0)[2].table
    variance = np.ones(len(table), np.float32)

    def kernel() -> np.ndarray:
        sums.start(engine, buffer, frame.dtype, partial)
        return engine.receive(partial, sums.size)

    made = kernel()
    plain, both = least_ms(
        rounds,
        lambda: separator.examine(frame, None, 5.0),
        lambda: separator.examine(frame, None, 5.0, regions=sums),
    )
    (device,), (host,) = (
        least_ms(rounds, each) for each in (kernel, lambda: sums.values(made, frame, table, variance))
    )
    share, whole = (device + host) / plain, both / plain - 1
    print(f"{dtype.name:8} {plain:13.2f} {both:16.2f} {whole:7.1%} {device:10.2f} {host:8.2f} {share:7.1%}")


if __name__ == "__main__":
    main()
