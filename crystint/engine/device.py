"""List the OpenCL devices of this machine and choose one of them."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from crystint.engine.caches import cache_notes, redirect_pocl
from crystint.engine.fork import opencl_is_used
from crystint.errors import DeviceError

__all__ = ["Device", "devices", "find_device", "left_out"]

_CPU_RUNTIME = "install the driver of your GPU, or run the kernels on the CPU with PoCL: pip install 'crystint[cpu]'"
_NEWER_RUNTIME = (
    "this PoCL is older than the processor and builds no kernel for it; take Intel's CPU runtime "
    "(it runs on AMD, too): pip install 'crystint[intel]', then crystint devices --add-intel; or install a newer PoCL"
)
_NO_TARGET = re.compile(r"PoCL HSTR: \w+-x86_64-\w+-\w+-\w+-generic$")
"""The version of a device whose PoCL does not know the processor. LLVM has an aarch64 of that name, but no x86-64."""
_ZEN_3 = re.compile(r"PoCL HSTR: \w+-x86_64-\w+-\w+-\w+-znver[123]$")
"""What PoCL 3.0 with LLVM 14 takes Zen 4 for, too. It compiles kernels without AVX-512 then, but links its library with
AVX-512, by what the processor has, and LLVM ends the process ("Cannot emit physreg copy instruction"). PoCL 3.1 names
the processor by its library."""
_KINDS = ("gpu", "accelerator", "cpu")


@dataclass(frozen=True, slots=True)
class Device:
    """One OpenCL device. `id` is "platform:device", both counted from 0 in the order the OpenCL loader gives.

    Examples
    --------
    >>> import crystint
    >>> for device in crystint.devices():
    ...     assert device.kind in ("gpu", "cpu", "accelerator") and device.memory > 0
    """

    id: str
    """"platform:device", both counted from 0 in the order that the OpenCL loader gives"""
    name: str
    """what the device calls itself"""
    platform: str
    """name of its OpenCL platform"""
    kind: str
    """"gpu", "cpu" or "accelerator" """
    memory: int
    """bytes of global memory"""
    max_allocation: int
    """bytes of the largest single buffer"""
    compute_units: int
    """cores of a CPU, multiprocessors of a GPU"""
    max_group: int
    """largest work-group"""
    driver: str
    """version of the driver"""
    version: str
    """what the device says of its OpenCL version"""
    handle: Any = field(repr=False, compare=False)
    """the pyopencl.Device"""

    def __repr__(self) -> str:
        return f"<Device {self.id}: {self.kind}, {self.name} ({self.platform}), {self.memory / 2**30:.1f} GiB>"


def _kind(handle: Any) -> str:
    import pyopencl as cl

    if handle.type & cl.device_type.GPU:
        return "gpu"
    return "cpu" if handle.type & cl.device_type.CPU else "accelerator"


@cache
def _has_avx512() -> bool:
    """Whether the processor has AVX-512, as far as Linux says it."""
    try:
        with open("/proc/cpuinfo") as lines:
            flags = next((line for line in lines if line.startswith("flags")), "")
    except OSError:
        return False
    return "avx512f" in flags.split()


def _older_than_the_processor(device: Device) -> bool:
    """Whether a device is a PoCL that does not know the processor, and builds no kernels or ends the process."""
    if _NO_TARGET.search(device.version):
        return True
    return device.driver.startswith("3.0") and bool(_ZEN_3.search(device.version)) and _has_avx512()


def _platforms() -> list[Any]:
    """What the OpenCL loader knows; an empty list where there is no loader, or nothing to load."""
    opencl_is_used()
    redirect_pocl()
    try:
        import pyopencl as cl

        return list(cl.get_platforms())
    except Exception:  # ImportError of a missing loader, or cl.LogicError PLATFORM_NOT_FOUND_KHR
        return []


def _all_devices() -> list[Device]:
    """Every device that is available and says that it has a compiler, in the loader's order."""
    all_devices = []
    for p, platform in enumerate(_platforms()):
        try:
            handles = platform.get_devices()
        except Exception:  # cl.Error: a registered driver without its hardware
            continue
        for d, handle in enumerate(handles):
            if handle.available and handle.compiler_available and handle.endian_little:
                all_devices.append(
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
    return all_devices


def devices() -> list[Device]:
    """Every usable OpenCL device, the best first; an empty list when there is none.

    GPUs come before accelerators and CPUs; within a kind, more compute units and more memory come first and the
    loader's order decides between equals. A device is usable when it is available and has a compiler that knows it,
    see `left_out`. Platforms of one name are kept apart by their number.

    Returns
    -------
    list of Device

    Raises
    ------
    DeviceError
        In a process that was forked from one that uses OpenCL.

    Examples
    --------
    >>> import crystint
    >>> all(device.compute_units >= 1 for device in crystint.devices())
    True
    """
    usable = [one for one in _all_devices() if not _older_than_the_processor(one)]
    return sorted(usable, key=lambda one: (_KINDS.index(one.kind), -one.compute_units, -one.memory))


def left_out() -> list[str]:
    """Devices that are there, but that no kernel can be built for: which, why, and the way out."""
    return [
        f"{one.id} {one.name} (PoCL {one.driver}) is left out: {_NEWER_RUNTIME}"
        for one in _all_devices()
        if _older_than_the_processor(one)
    ]


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
    usable = devices()
    if not usable:
        reasons = left_out() or [*cache_notes("Portable Computing Language"), _CPU_RUNTIME]
        raise DeviceError(f"no usable OpenCL device found; {reasons[0]}")
    if not text:
        return usable[0]
    kind, _, number = text.lower().partition(":")
    if kind in _KINDS:
        matching = [one for one in usable if one.kind == kind]
        if number:
            matching = matching[int(number) :][:1] if number.isdecimal() else []
    else:
        matching = [one for one in usable if one.id == text]
        matching = matching or [one for one in usable if text.lower() in one.name.lower()]
        matching = matching or [one for one in usable if text.lower() in one.platform.lower()]
    if not matching:
        asked = "" if wanted is not None else " (from CRYSTINT_DEVICE)"
        listing = ", ".join(f"{one.id} {one.kind} {one.name}" for one in usable)
        why = [line for line in left_out() if text.lower() in line.lower()]
        raise DeviceError("; ".join([f"no OpenCL device {text!r}{asked}; there are: {listing}", *why]))
    return matching[0]
