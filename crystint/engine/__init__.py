"""OpenCL devices and kernels. Knows no crystallography; the only package that imports pyopencl."""

from crystint.engine.caches import import_pyopencl

import_pyopencl()

from crystint.engine.buffer import Buffer  # noqa: E402
from crystint.engine.device import Device, devices, find_device, left_out  # noqa: E402
from crystint.engine.engine import Engine, default_engine, engine_named, engine_on  # noqa: E402
from crystint.engine.fork import refuse_after_fork  # noqa: E402
from crystint.engine.intel import add_intel  # noqa: E402
from crystint.engine.kernel import Kernel  # noqa: E402

__all__ = [
    "Buffer",
    "Device",
    "Engine",
    "Kernel",
    "add_intel",
    "default_engine",
    "devices",
    "engine_named",
    "engine_on",
    "find_device",
    "left_out",
    "refuse_after_fork",
]
