"""What the buffers of a context hold, and what a driver's complaint means."""

from __future__ import annotations

import threading
import weakref

import numpy as np
import pyopencl as cl
from numpy.typing import NDArray

from crystint.engine.device import Device
from crystint.errors import DeviceError, DeviceMemoryError

__all__ = ["Account", "Share"]

_NO_MEMORY = {
    cl.status_code.MEM_OBJECT_ALLOCATION_FAILURE,
    cl.status_code.OUT_OF_RESOURCES,
    cl.status_code.OUT_OF_HOST_MEMORY,
    cl.status_code.INVALID_BUFFER_SIZE,
}
"""Drivers take memory when it is first used: launches and copies say this, too."""
_LESS = "use fewer threads or processes on it, frames of fewer pixels, or another device"


class Share:
    """Bytes of an account, in use until nobody refers to this any more."""

    __slots__ = ("_account", "nbytes")

    def __init__(self, account: Account, nbytes: int) -> None:
        self._account, self.nbytes = account, nbytes

    def __del__(self) -> None:
        self._account.add(-self.nbytes)


class Account:
    """What the buffers of a context take, and what of the host's memory is pinned for it. Threads share it.

    Parameters
    ----------
    device : Device
    """

    def __init__(self, device: Device) -> None:
        self.device, self.used, self.pinned = device, 0, 0
        self._lock = threading.RLock()  # a buffer may go while the thread makes another one

    def add(self, nbytes: int) -> None:
        """Count bytes on the device, or count them off."""
        with self._lock:
            self.used += nbytes

    def share(self, nbytes: int) -> Share:
        """Bytes for a buffer, to be kept with it.

        Raises
        ------
        DeviceMemoryError
            Before anything is allocated, if the device does not have them.
        """
        device = self.device
        if nbytes > device.max_allocation:
            raise DeviceMemoryError(
                f"a buffer of {_mib(nbytes)} does not fit on {device.name}, which allows {_mib(device.max_allocation)} "
                "at once; use smaller frames or another device"
            )
        with self._lock:
            if self.used + nbytes > device.memory:
                raise DeviceMemoryError(
                    f"{device.name} has {_mib(device.memory)} of memory, of which {_mib(self.used)} are in use here: "
                    f"there is no room for {_mib(nbytes)}; {_LESS}"
                )
            self.used += nbytes
        return Share(self, nbytes)

    def pin(self, array: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Count an array of pinned memory until it goes."""
        with self._lock:
            self.pinned += array.nbytes
        weakref.finalize(array, self._unpin, array.nbytes).atexit = False
        return array

    def _unpin(self, nbytes: int) -> None:
        with self._lock:
            self.pinned -= nbytes

    def complaint(self, error: cl.Error) -> DeviceError:
        """What an error of the driver is to the user."""
        name = cl.status_code.to_string(error.code, "error %d")
        if error.code in _NO_MEMORY:
            return DeviceMemoryError(
                f"{self.device.name} has no memory left ({name}; {_mib(self.used)} are in use here, of "
                f"{_mib(self.device.memory)} that others may share); {_LESS}"
            )
        return DeviceError(
            f"{self.device.name} failed ({error}): start again, or take another device; crystint devices lists them"
        )


def _mib(nbytes: int) -> str:
    return f"{nbytes / 2**20:.0f} MiB"
