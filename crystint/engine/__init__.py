"""OpenCL devices and kernels. Knows no crystallography; the only package that imports pyopencl."""

from crystint.engine.buffer import Buffer
from crystint.engine.device import Device, devices, find_device, left_out
from crystint.engine.engine import Engine, default_engine
from crystint.engine.intel import add_intel
from crystint.engine.kernel import Kernel

__all__ = ["Buffer", "Device", "Engine", "Kernel", "add_intel", "default_engine", "devices", "find_device", "left_out"]
