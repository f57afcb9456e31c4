"""A device, its queue, and the kernels built for it."""

from __future__ import annotations

import threading
import warnings
from collections.abc import Callable
from functools import cache, cached_property, wraps
from typing import Any, Concatenate, ParamSpec, TypeVar

import numpy as np
import pyopencl as cl
from numpy.typing import NDArray

from crystint.engine.binaries import build
from crystint.engine.buffer import Buffer
from crystint.engine.caches import cache_notes
from crystint.engine.device import Device, devices, find_device
from crystint.engine.fork import refuse_after_fork
from crystint.engine.kernel import Kernel, parameters_of
from crystint.engine.memory import Account, Share
from crystint.engine.source import read_kernel
from crystint.errors import DeviceError, DeviceMemoryError, warn

__all__ = ["Engine", "default_engine", "engine_named", "engine_on"]

_P = ParamSpec("_P")
_T = TypeVar("_T")

_FLAGS = cl.mem_flags
_PAGE = 4096
"""bytes"""
_ONE_BUILD = threading.Lock()
"""Threads that want the same kernel get one that was built once."""


def _errors_told(method: Callable[Concatenate[Engine, _P], _T]) -> Callable[Concatenate[Engine, _P], _T]:
    """A method of an engine that raises DeviceError where the driver complains."""

    @wraps(method)
    def told(engine: Engine, /, *arguments: _P.args, **named: _P.kwargs) -> _T:
        try:
            return method(engine, *arguments, **named)
        except cl.Error as error:
            raise engine.memory.complaint(error) from None

    return told


class Engine:
    """A device with a queue of its own and the kernels built for it.

    Operations take it as an argument; one may serve several of them, and several threads. A thread that launches
    kernels itself takes a `sibling`.
    It belongs to its process, and is not pickled.

    Parameters
    ----------
    device : str, Device or None
        As `crystint.engine.find_device`; None = CRYSTINT_DEVICE, or the best device.
    profile : bool
        Record the device time of every kernel, see `milliseconds`.

    Raises
    ------
    DeviceError
        If there is no such device, it does not start, or the process was forked from one that uses OpenCL.

    Examples
    --------
    >>> import crystint
    >>> engine = crystint.Engine()
    >>> engine.device.id == crystint.Engine(engine.device.id).device.id
    True
    """

    def __init__(self, device: str | Device | None = None, *, profile: bool = False) -> None:
        refuse_after_fork()
        self.device = device if isinstance(device, Device) else find_device(device)
        properties = cl.command_queue_properties.PROFILING_ENABLE if profile else 0
        try:
            self.context = cl.Context([self.device.handle])
            self.queue = cl.CommandQueue(self.context, properties=properties)
        except cl.Error as error:
            raise DeviceError(f"OpenCL device {self.device.id} {self.device.name} did not start: {error}") from None
        for text in cache_notes(self.device.platform):
            warn(text)
        self.memory = Account(self.device)
        """what the buffers of this engine and its siblings take"""
        self._events: list[tuple[str, Any]] | None = [] if profile else None
        self._programs: dict[tuple[Any, ...], Any] = {}
        self._kernels: dict[tuple[Any, ...], Kernel] = {}
        self._launching = threading.Lock()

    def __repr__(self) -> str:
        return f"<Engine: {self.device!r}>"

    def __reduce__(self) -> tuple[Any, ...]:
        raise DeviceError(
            "an Engine belongs to its process and is not pickled: make one in the other process; a Separator is "
            "pickled, and makes an engine there"
        )

    @_errors_told
    def sibling(self) -> Engine:
        """An engine for another thread: same device, buffers and programs, its own queue and kernel arguments."""
        refuse_after_fork()
        twin = object.__new__(Engine)
        twin.device, twin.context, twin.memory = self.device, self.context, self.memory
        twin.queue = cl.CommandQueue(self.context, properties=self.queue.properties)
        twin._events, twin._programs, twin._kernels = self._events, self._programs, {}
        twin._launching = threading.Lock()
        return twin

    @cached_property
    def doubles(self) -> bool:
        """Whether the device has double precision."""
        return "cl_khr_fp64" in self.device.handle.extensions.split()

    @property
    def on_cpu(self) -> bool:
        """Whether the device shares its memory with the host."""
        return self.device.kind == "cpu"

    def works_in(self, array: NDArray[Any]) -> bool:
        """Whether kernels can work in an array where it is: of CPU runtimes, PoCL can; others if it is aligned."""
        if not self.on_cpu:
            return False
        aligned = array.ctypes.data % (self.device.handle.mem_base_addr_align // 8) == 0
        return aligned or self.device.platform.startswith("Portable Computing Language")

    def new_array(self, shape: tuple[int, ...], dtype: Any) -> NDArray[Any]:
        """An uninitialised array of the host that starts with a page: kernels of CPUs can work in it (`works_in`)."""
        dtype = np.dtype(dtype)
        nbytes = int(np.prod(shape)) * dtype.itemsize
        room = np.empty(nbytes + _PAGE, np.uint8)
        start = -room.ctypes.data % _PAGE
        return np.asarray(room[start : start + nbytes].view(dtype).reshape(shape))

    def new_input(self, shape: tuple[int, ...], dtype: Any) -> NDArray[Any]:
        """As `new_array`, for what the device is to read again and again: pinned for GPUs, which fetch from it.

        Pinned memory takes long to make and is taken from all other programs: it is for few arrays that live long.
        Where there is none left, it is an array as of `new_array`, which is copied on the way.
        """
        dtype = np.dtype(dtype)
        nbytes = int(np.prod(shape)) * dtype.itemsize
        if self.on_cpu or not nbytes:
            return self.new_array(shape, dtype)
        try:
            return np.asarray(self.pinned(nbytes).view(dtype).reshape(shape))
        except DeviceMemoryError:
            return self.new_array(shape, dtype)

    @staticmethod
    def fetches_from(array: NDArray[Any]) -> bool:
        """Whether an array is, or is part of, one of `pinned`."""
        base: Any = array
        while base is not None and not isinstance(base, cl.MemoryMap):
            base = getattr(base, "base", None)
        return base is not None and array.flags.c_contiguous

    def kernel(self, file: str, **defines: object) -> Kernel:
        """Build the kernel that is named like its file, once per set of `defines`.

        Raises
        ------
        DeviceError
            With the compiler's messages, if the kernel does not build.
        """
        refuse_after_fork()
        key = (file, *sorted(defines.items()))
        if key not in self._kernels:
            with _ONE_BUILD:
                if key not in self._programs:
                    self._programs[key] = self._build(file, defines)
                name = file.removesuffix(".cl")
                handle = cl.Kernel(self._programs[key], name)
                self._kernels[key] = Kernel(handle, parameters_of(read_kernel(file), name, defines))
        return self._kernels[key]

    def _build(self, file: str, defines: dict[str, object]) -> Any:
        options = [f"-D{name}={value}" for name, value in sorted(defines.items())]
        if self.on_cpu:
            options.append("-DON_CPU=1")
        # Some compilers always have something to say. Nothing is restored: in threads that would undo what others set.
        warnings.filterwarnings("ignore", category=cl.CompilerWarning)
        # Kernels of one name, of two engines: PyOpenCL makes the function that sets their arguments twice.
        warnings.filterwarnings("ignore", message="Overwriting existing generated code")
        try:
            return build(self.context, read_kernel(file), options)
        except cl.Error as error:
            raise DeviceError(f"{file} did not build on {self.device.name}:\n{error}") from None

    @_errors_told
    def launch(
        self, kernel: Kernel, groups: int, local_size: int, /, *sources: object, frames: int = 1, **arguments: Any
    ) -> None:
        """Start `groups` work-groups of `local_size` work-items for each of some frames, the second dimension.

        Arguments go to the parameters of their names: a `Buffer` to a pointer to elements of its dtype, a number to a
        parameter that can hold it, in the type of the parameter. Parameters that are not among them are attributes of
        the first of `sources` that has one of that name.

        Raises
        ------
        KernelArgumentError
            Before anything is started, if an argument is missing, unknown, or of another type.
        DeviceError
            If the device allows no such work-groups, or fails.
        """
        refuse_after_fork()
        if local_size > self.device.max_group:
            raise DeviceError(
                f"kernel {kernel.name} works in groups of {local_size}, and {self.device.name} allows "
                f"{self.device.max_group}: take another device; crystint devices lists them"
            )
        with self._launching:  # a kernel holds the arguments of one launch
            kernel.set_arguments(sources, arguments)
            size = groups * local_size, frames
            event = cl.enqueue_nd_range_kernel(self.queue, kernel.handle, size, (local_size, 1))
        if self._events is not None:
            self._events.append((kernel.name, event))

    @_errors_told
    def empty(self, size: int, dtype: Any) -> Buffer:
        """A buffer of `size` elements on the device.

        Raises
        ------
        DeviceMemoryError
            Before anything is allocated, if the device cannot hold it.
        """
        nbytes = max(1, size) * np.dtype(dtype).itemsize
        share = self._share(nbytes)
        return Buffer(cl.Buffer(self.context, _FLAGS.READ_WRITE, nbytes), np.dtype(dtype), share)

    @_errors_told
    def send(self, array: NDArray[Any], *, writable: bool = False) -> Buffer:
        """Copy an array to a new buffer on the device, which kernels read; and change, if it is `writable`."""
        array = np.ascontiguousarray(array)
        if not array.size:
            return self.empty(1, array.dtype)
        share, access = self._share(array.nbytes), _FLAGS.READ_WRITE if writable else _FLAGS.READ_ONLY
        return Buffer(cl.Buffer(self.context, access | _FLAGS.COPY_HOST_PTR, hostbuf=array), array.dtype, share)

    @_errors_told
    def lend(self, array: NDArray[Any]) -> Buffer:
        """A read-only buffer of a C-contiguous array: in place where the device can work in it, else a copy.

        The array must live, unchanged, until the results of the kernels that read it have been received.
        """
        if not self.works_in(array):
            return self.send(array)
        self._check(array.nbytes)
        where = _FLAGS.READ_ONLY | _FLAGS.USE_HOST_PTR
        return Buffer(cl.Buffer(self.context, where, hostbuf=array), array.dtype)

    @_errors_told
    def pinned(self, nbytes: int) -> NDArray[np.uint8]:
        """Memory of the host from which the device copies without the processor's help."""
        self._check(nbytes)
        buffer = cl.Buffer(self.context, _FLAGS.READ_WRITE | _FLAGS.ALLOC_HOST_PTR, nbytes)
        array, _ = cl.enqueue_map_buffer(self.queue, buffer, cl.map_flags.WRITE, 0, nbytes, np.uint8)
        return self.memory.pin(np.asarray(array))

    @_errors_told
    def start_writing(self, buffer: Buffer, array: NDArray[Any]) -> Any:
        """Start to copy an array, which must not change meanwhile, to the beginning of a buffer.

        Keep what is returned until later results have been received: dropping it waits for the copy.
        """
        refuse_after_fork()
        return cl.enqueue_copy(self.queue, buffer.handle, array, is_blocking=False)

    @_errors_told
    def borrow(self, array: NDArray[Any]) -> Buffer:
        """A buffer for what kernels write: a C-contiguous array itself where the device can work in it.

        `give_back` brings the result into the array.
        """
        if not self.works_in(array):
            return self.empty(array.size, array.dtype)
        self._check(array.nbytes)
        where = _FLAGS.READ_WRITE | _FLAGS.USE_HOST_PTR
        return Buffer(cl.Buffer(self.context, where, hostbuf=array), array.dtype)

    @_errors_told
    def give_back(self, buffer: Buffer, array: NDArray[Any]) -> None:
        """Fill an array from the buffer that it was borrowed for. Waits for all kernels started before."""
        refuse_after_fork()
        if self.works_in(array):
            mapped, _ = cl.enqueue_map_buffer(self.queue, buffer.handle, cl.map_flags.READ, 0, array.size, array.dtype)
            mapped.base.release(self.queue)
            self.queue.finish()
        else:
            cl.enqueue_copy(self.queue, array, buffer.handle, is_blocking=True)

    @_errors_told
    def write(self, buffer: Buffer, array: NDArray[Any]) -> None:
        """Copy an array into a buffer."""
        refuse_after_fork()
        cl.enqueue_copy(self.queue, buffer.handle, np.ascontiguousarray(array), is_blocking=True)

    @_errors_told
    def receive(self, buffer: Buffer, size: int, start: int = 0) -> NDArray[Any]:
        """`size` elements of a buffer from `start` on, as a new array. Waits for all kernels started before."""
        refuse_after_fork()
        array = np.empty(size, buffer.dtype)
        if size:
            cl.enqueue_copy(self.queue, array, buffer.handle, src_offset=start * array.itemsize, is_blocking=True)
        return array

    @_errors_told
    def receive_all(self, *parts: tuple[Buffer, int]) -> list[NDArray[Any]]:
        """The first elements of several buffers, as many as asked for, as new arrays. Waits once, for all of them."""
        refuse_after_fork()
        arrays = [np.empty(size, buffer.dtype) for buffer, size in parts]
        copies = [(array, buffer) for array, (buffer, _) in zip(arrays, parts) if array.size]
        for i, (array, buffer) in enumerate(copies, 1):
            cl.enqueue_copy(self.queue, array, buffer.handle, is_blocking=i == len(copies))
        return arrays

    @_errors_told
    def finish(self) -> None:
        """Wait until all that was started is done."""
        refuse_after_fork()
        self.queue.finish()

    def milliseconds(self) -> dict[str, float]:
        """Device time of each kernel since the last call, ms, summed over its launches.

        Raises
        ------
        DeviceError
            If the engine was made without ``profile=True``.
        """
        if self._events is None:
            raise DeviceError("this engine records no times; make it with Engine(..., profile=True)")
        times: dict[str, float] = {}
        for name, event in self._events:
            event.wait()
            times[name] = times.get(name, 0.0) + 1e-6 * (event.profile.end - event.profile.start)
        self._events.clear()
        return times

    def _share(self, nbytes: int) -> Share:
        """Bytes for a buffer on the device."""
        refuse_after_fork()
        return self.memory.share(nbytes)

    def _check(self, nbytes: int) -> None:
        """Refuse what is too much for a buffer at once."""
        refuse_after_fork()
        if nbytes > self.device.max_allocation:
            self.memory.share(nbytes)


@cache
def default_engine() -> Engine:
    """The engine that functions use when none is given: on CRYSTINT_DEVICE, or the best device."""
    return Engine()


@cache
def engine_named(device: str) -> Engine:
    """The engine that functions use when a device is named to them, as `find_device` takes it: one for each name."""
    return Engine(device)


@cache
def engine_on(name: str, platform: str) -> Engine:
    """The engine of this process on the device of that name, or on the default one where there is none.

    Raises
    ------
    DeviceError
        When there is no device at all, or the process was forked from one that uses OpenCL.
    """
    alike = next((one for one in devices() if (one.name, one.platform) == (name, platform)), None)
    if alike is not None:
        return Engine(alike)
    engine = default_engine()
    warn(f"there is no OpenCL device {name} ({platform}) here: {engine.device.name} is used; last digits may differ")
    return engine
