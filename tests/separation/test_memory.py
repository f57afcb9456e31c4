"""What is in a device's memory is counted; where it does not suffice, fewer frames are in flight."""

from __future__ import annotations

import gc
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pyopencl as cl
import pytest

from crystint.engine import Engine
from crystint.engine import engine as engine_module
from crystint.errors import DeviceError, DeviceMemoryError
from crystint.model.geometry import Geometry
from crystint.ops.separator import Separator

GEOMETRY = Geometry(shape=(97, 121), pixel_size=(1e-4, 1e-4), distance=0.05, beam_center=(50, 60), wavelength=1.0)


@pytest.fixture
def frames(rng):
    frames = rng.poisson(3.0, (8, 97, 121)).astype(np.uint16)
    frames[:, 20:23, 30:33] += np.arange(20, 28, dtype=np.uint16)[:, None, None] * 3
    frames[5, 40:44] = 65535
    return frames


@pytest.fixture
def gpu(engine, monkeypatch):
    """The device of `engine`, taken for a GPU."""
    monkeypatch.setattr(Engine, "on_cpu", property(lambda self: False))
    return engine.device


def separator_on(device):
    return Separator(GEOMETRY, rings=30, engine=Engine(device))


def test_what_is_counted_is_what_the_buffers_take(gpu, frames, monkeypatch):
    made, pinned, buffer = [], [], cl.Buffer

    def making(context, flags, *arguments, **named):
        handle = buffer(context, flags, *arguments, **named)
        (pinned if flags & cl.mem_flags.ALLOC_HOST_PTR else made).append(handle)
        return handle

    monkeypatch.setattr(engine_module.cl, "Buffer", making)
    separator = separator_on(gpu)
    memory = separator.engine.memory
    for some in (frames, frames.astype(np.int32), frames[:3]):
        separator.separate(some)
        separator.background(some)
        alive = [handle.size for handle in made if sys.getrefcount(handle) > 3]
        assert memory.used == sum(alive) > 16 * frames.size
    assert memory.pinned in [handle.size for handle in pinned]
    del separator
    gc.collect()
    assert (memory.used, memory.pinned) == (0, 0)


def test_fewer_frames_at_a_time_where_memory_ends(gpu, frames):
    usual = separator_on(gpu)
    fixed = usual.engine.memory.used
    wanted = usual.peaks(frames)
    more = usual.engine.memory.used - fixed
    separator = separator_on(replace(gpu, memory=fixed + int(0.7 * more)))
    with pytest.warns(UserWarning, match=r"there is no room for .* MiB; use fewer .* From here on 4 frames are worked"):
        results = separator.peaks(frames)
    assert [one.tobytes() for one in results] == [one.tobytes() for one in wanted]
    assert separator.engine.memory.used <= fixed + int(0.7 * more)
    assert [one.tobytes() for one in separator.peaks(frames)] == [one.tobytes() for one in wanted]  # and says no more
    with pytest.raises(DeviceMemoryError, match=r"need .* MiB on the device"):
        separator_on(replace(gpu, memory=39 * frames[0].size))


@pytest.mark.filterwarnings("ignore:.*From here on")
def test_fewer_threads_at_a_time_where_memory_ends(gpu, frames):
    usual = separator_on(gpu)
    fixed = usual.engine.memory.used
    wanted = [usual.peaks(frame).tobytes() for frame in frames]
    more = usual.engine.memory.used - fixed
    separator = separator_on(replace(gpu, memory=fixed + int(1.5 * more)))
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(lambda frame: separator.peaks(frame).tobytes(), [*frames, *frames])) == wanted * 2
    with pytest.raises(DeviceMemoryError, match="no room"):
        separator_on(replace(gpu, memory=fixed + int(0.9 * more))).peaks(frames)


class _Failure(cl.RuntimeError):
    """As drivers raise it."""

    code = cl.status_code.OUT_OF_RESOURCES


@pytest.mark.filterwarnings("ignore:.*From here on")
def test_what_a_driver_complains_of_is_told(gpu, frames, monkeypatch):
    """Drivers take memory when it is first used: launches and copies fail, too."""
    separator, launch, failures = separator_on(gpu), cl.enqueue_nd_range_kernel, [0]
    wanted = separator.peaks(frames)

    def failing(queue, kernel, size, *others):
        if failures[0] and kernel.function_name == "find_maxima":
            failures[0] -= 1
            raise _Failure("clEnqueueNDRangeKernel failed: OUT_OF_RESOURCES")
        return launch(queue, kernel, size, *others)

    monkeypatch.setattr(engine_module.cl, "enqueue_nd_range_kernel", failing)
    failures[0] = 3
    assert [one.tobytes() for one in separator.peaks(frames)] == [one.tobytes() for one in wanted]
    failures[0] = 1000
    with pytest.raises(DeviceMemoryError, match=r"no memory left \(OUT_OF_RESOURCES; .*use fewer threads"):
        separator_on(gpu).peaks(frames)
    monkeypatch.setattr(_Failure, "code", cl.status_code.INVALID_COMMAND_QUEUE)
    with pytest.raises(DeviceError, match=r"failed \(clEnqueue.*\): start again, or take another device"):
        separator_on(gpu).peaks(frames)


def test_work_groups_that_a_device_does_not_allow(gpu, frames):
    with pytest.raises(DeviceError, match=r"kernel ring_statistics works in groups of 128, and .* allows 64: take"):
        separator_on(replace(gpu, max_group=64)).background(frames)
