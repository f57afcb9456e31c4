"""List the OpenCL devices of this machine and choose one of them."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import Any

from crystint.errors import DeviceError

__all__ = ["Device", "devices", "find_device"]

_NO_DEVICE = (
    "no usable OpenCL device found; install the driver of your GPU, or run the kernels on the CPU with "
    "PoCL: pip install 'crystint[cpu]'"
)
_KINDS = ("gpu", "accelerator", "cpu")


@dataclass(frozen=True, slots=True)
class Device:
    """One OpenCL device. `id` is "platform:device", both counted from 0 in the order the OpenCL loader gives."""

    id: str
    name: str
    platform: str
    kind: str
    """"gpu", "cpu" or "accelerator" """
    memory: int
    """bytes of global memory"""
    max_allocation: int
    """bytes of the largest single buffer"""
    compute_units: int
    max_group: int
    """largest work-group"""
    driver: str
    version: str
    """what the device says of its OpenCL version"""
    handle: Any = field(repr=False, compare=False)
    """the pyopencl.Device"""


def _kind(handle: Any) -> str:
    import pyopencl as cl

    if handle.type & cl.device_type.GPU:
        return "gpu"
    return "cpu" if handle.type & cl.device_type.CPU else "accelerator"


def devices() -> list[Device]:
    """Every usable OpenCL device, the best first; an empty list when there is none.

    GPUs come before accelerators and CPUs; within a kind, more compute units and more memory come first and the
    loader's order decides between equals. A device is usable when it is available and has a compiler. Platforms of
    one name are kept apart by their number.
    """
    try:
        import pyopencl as cl

        platforms = cl.get_platforms()
    except Exception:  # ImportError of a missing loader, or cl.LogicError PLATFORM_NOT_FOUND_KHR
        return []
    found = []
    for p, platform in enumerate(platforms):
        try:
            handles = platform.get_devices()
        except cl.Error:
            continue  # a registered driver without its hardware
        for d, handle in enumerate(handles):
            if handle.available and handle.compiler_available and handle.endian_little:
                found.append(
                    Device(
                        f"{p}:{d}",
                        handle.name.strip(),
                        platform.name.strip(),
                        _kind(handle),
                        handle.global_mem_size,
                        handle.max_mem_alloc_size,
                        handle.max_compute_units,
                        handle.max_work_group_size,
                        handle.driver_version.strip(),
                        handle.version.strip(),
                        handle,
                    )
                )
    return sorted(found, key=lambda one: (_KINDS.index(one.kind), -one.compute_units, -one.memory))


def find_device(wanted: str | None = None) -> Device:
    """Choose a device.

    Parameters
    ----------
    wanted : str or None
        "gpu", "cpu" or "accelerator", optionally with a number ("gpu:1": the second best GPU); "0:1": platform 0,
        device 1; or a part of the device's or the platform's name. None: the environment variable
        CRYSTINT_DEVICE, and the best device where that is not set.

    Raises
    ------
    DeviceError
        If there is no device at all, or none is meant by `wanted`; the message lists those there are.
    """
    if wanted is not None and not isinstance(wanted, str):
        raise DeviceError(f"device is {wanted!r}, expected a text such as 'gpu', 'cpu' or '0:1'")
    text = wanted if wanted is not None else os.environ.get("CRYSTINT_DEVICE", "")
    text = text.strip()
    found = devices()
    if not found:
        raise DeviceError(_NO_DEVICE)
    if not text:
        return found[0]
    kind, _, number = text.lower().partition(":")
    if kind in _KINDS:
        matching = [one for one in found if one.kind == kind]
        if number:
            matching = matching[int(number) :][:1] if number.isdecimal() else []
    else:
        matching = [one for one in found if one.id == text]
        matching = matching or [one for one in found if text.lower() in one.name.lower()]
        matching = matching or [one for one in found if text.lower() in one.platform.lower()]
    if not matching:
        asked = "" if wanted is not None else " (from CRYSTINT_DEVICE)"
        there = ", ".join(f"{one.id} {one.kind} {one.name}" for one in found)
        raise DeviceError(f"no OpenCL device {text!r}{asked}; there are: {there}")
    return matching[0]
