"""OpenCL devices and kernels: the package that talks to pyopencl. Knows no crystallography."""

from crystint.engine.device import Device, devices, find_device, left_out
from crystint.engine.engine import Engine, default_engine
from crystint.engine.intel import add_intel

__all__ = ["Device", "Engine", "add_intel", "default_engine", "devices", "find_device", "left_out"]
