"""OpenCL devices and kernels. Knows no crystallography; the only package, with `ops`, that imports pyopencl."""

from crystint.engine.device import Device, devices, find_device
from crystint.engine.engine import Engine, default_engine

__all__ = ["Device", "Engine", "default_engine", "devices", "find_device"]
