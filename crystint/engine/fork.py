"""OpenCL does not work in a process that was forked from one that uses it: it is refused there, before it hangs."""

from __future__ import annotations

import os

from crystint.errors import DeviceError

__all__ = ["opencl_is_used", "refuse_after_fork"]


class _State:
    used = False
    """whether this process, or one that it was forked from, has asked for OpenCL devices"""
    forked = False
    """whether it was forked from one that had"""


def opencl_is_used() -> None:
    """Note that this process uses OpenCL from here on.

    Raises
    ------
    DeviceError
        As `refuse_after_fork`.
    """
    refuse_after_fork()
    _State.used = True


def refuse_after_fork() -> None:
    """Raise DeviceError in a process that was forked from one that uses OpenCL."""
    if _State.forked:
        raise DeviceError(
            "OpenCL was used before this process was forked, and does not work in it: use the start method 'spawn' "
            "of multiprocessing, multiprocessing.get_context('spawn'), or threads, which may share a Separator"
        )


def _in_child() -> None:
    _State.forked = _State.forked or _State.used


os.register_at_fork(after_in_child=_in_child)
