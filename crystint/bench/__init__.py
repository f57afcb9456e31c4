"""How fast this machine separates signal from background: times of one frame, in units of copying it.

Machines are shared and differ, so every operation is timed in turn, many times over, in one run on one
frame; the median is given, in milliseconds and in `copies`: in times of ``numpy.copyto`` of that frame.
Beside the wall time stands the processor time of all threads. docs/speed.md says how to read it.
"""

from __future__ import annotations

from crystint.bench.frames import DTYPES, Sample, as_dtype, simulated
from crystint.bench.kernels import KernelTime, kernel_times
from crystint.bench.measure import measure
from crystint.bench.operations import TARGETS
from crystint.bench.peers import PEERS, peer_operations, peer_versions
from crystint.bench.report import Report, about
from crystint.bench.scaling import HYBRID, SCALES, Point, over_cores, over_pixels, over_rings, over_threads
from crystint.bench.timing import Operation, Timing

__all__ = [
    "DTYPES",
    "HYBRID",
    "PEERS",
    "SCALES",
    "TARGETS",
    "KernelTime",
    "Operation",
    "Point",
    "Report",
    "Sample",
    "Timing",
    "about",
    "as_dtype",
    "kernel_times",
    "measure",
    "over_cores",
    "over_pixels",
    "over_rings",
    "over_threads",
    "peer_operations",
    "peer_versions",
    "simulated",
]
