"""The spots of a batch: as many launches and waits for eight frames as for one, the same spots in every form."""

from __future__ import annotations

import numpy as np
import pyopencl as cl
import pytest

from crystint.engine import Engine
from crystint.model.geometry import Geometry
from crystint.model.peaks import PeakFlag
from crystint.ops import maxima
from crystint.ops.separator import Separator

SHAPE = (97, 121)
GEOMETRY = Geometry(shape=SHAPE, pixel_size=(1e-4, 1e-4), distance=0.05, beam_center=(50, 60), wavelength=1.0)


def spotty(rng, n, dtype=np.uint16):
    """Frames with spots of one pixel to a wide flat top, near one another and at the borders."""
    frames = rng.poisson(3.0, (n, *SHAPE)).astype(dtype)
    for frame in frames:
        for slow, fast in rng.integers(0, SHAPE, (60, 2)):
            height, width = rng.integers(1, 7, 2)
            frame[slow : slow + height, fast : fast + width] += dtype(rng.integers(8, 90))
    frames[0, 10:40, 20:60] = 700
    return frames


def same(some, others):
    """Lists of peaks that are equal, the numbers among them to rounding."""
    assert len(some) == len(others) > 0
    for name in others.dtype.names:
        np.testing.assert_allclose(some[name], others[name], rtol=1e-4, atol=1e-4, err_msg=name)


@pytest.fixture
def as_gpu(engine, monkeypatch):
    monkeypatch.setattr(Engine, "on_cpu", property(lambda self: False))
    return Engine(engine.device)


def test_launches_and_waits_per_batch(as_gpu, rng, monkeypatch):
    frames = spotty(rng, 8)
    separator = Separator(GEOMETRY, rings=30, engine=as_gpu)
    for _ in range(2):  # the first time makes room for all spots
        peaks = separator.peaks(frames)
    assert min(map(len, peaks)) > 10
    started, waits = [], []
    launch, copy, finish = cl.enqueue_nd_range_kernel, cl.enqueue_copy, Engine.finish

    def counted_copy(*args, is_blocking=True, **more):
        if is_blocking:
            waits.append(args)
        return copy(*args, is_blocking=is_blocking, **more)

    monkeypatch.setattr(cl, "enqueue_nd_range_kernel", lambda *args: started.append(args[1]) or launch(*args))
    monkeypatch.setattr(cl, "enqueue_copy", counted_copy)
    monkeypatch.setattr(Engine, "finish", lambda self: waits.append(self) or finish(self))
    again = separator.peaks(frames)
    assert [one.tobytes() for one in again] == [one.tobytes() for one in peaks]
    assert len(started) <= 8
    assert len(waits) <= 2


@pytest.mark.parametrize("saturation", [None, 400])
@pytest.mark.parametrize("patch", [3, 5])
@pytest.mark.parametrize("dtype", [np.uint16, np.float32])
def test_groups_of_work_items_measure_what_one_does(engine, rng, monkeypatch, dtype, patch, saturation):
    frames = spotty(rng, 3, dtype)
    alone = Separator(GEOMETRY, rings=30, engine=engine, saturation=saturation).peaks(frames, patch=patch, noise=0.5)
    monkeypatch.setattr(Engine, "on_cpu", property(lambda self: False))
    separator = Separator(GEOMETRY, rings=30, engine=Engine(engine.device), saturation=saturation)
    groups = separator.peaks(frames, patch=patch, noise=0.5)
    for some, others in zip(groups, alone):
        same(some, others)


@pytest.mark.parametrize("shares_memory", [True, False])
def test_more_spots_than_there_is_room_for(engine, rng, monkeypatch, shares_memory):
    frames = spotty(rng, 2)
    monkeypatch.setattr(Engine, "on_cpu", property(lambda self: shares_memory))
    wanted = Separator(GEOMETRY, rings=30, engine=Engine(engine.device)).peaks(frames)
    for room in (1, 20):
        monkeypatch.setattr(maxima, "_CAPACITY", room)
        separator = Separator(GEOMETRY, rings=30, engine=Engine(engine.device))
        for _ in range(2):
            assert [one.tobytes() for one in separator.peaks(frames)] == [one.tobytes() for one in wanted]


@pytest.mark.parametrize("shares_memory", [True, False])
def test_members_of_a_spot_far_from_each_other(engine, monkeypatch, shares_memory):
    """A ridge with a top near each end: their windows do not meet, and the spot is both."""
    monkeypatch.setattr(Engine, "on_cpu", property(lambda self: shares_memory))
    separator = Separator(GEOMETRY, rings=5, engine=Engine(engine.device), solid_angle=False)
    frame = np.full(SHAPE, 4, np.int32)
    ridge = np.array([700, 1000, 990, 985, 980, 978, 977, 978, 980, 985, 990, 1001, 700])
    frame[40, 30:43] = ridge
    (peak,) = separator.peaks(frame)
    assert peak["intensity"] == pytest.approx((np.delete(ridge, 6) - 4.0).sum(), rel=1e-3)  # it is 5 px from both
    assert (peak["fast0"], peak["fast1"]) == (29, 44)
    assert peak["fast"] == pytest.approx(36.5, abs=0.02)


@pytest.mark.parametrize("shares_memory", [True, False])
@pytest.mark.parametrize("saturation", [None, 600])
@pytest.mark.parametrize("patch", [3, 5])
def test_flat_tops_wider_than_a_window(engine, monkeypatch, shares_memory, saturation, patch):
    """Two of them, with a bridge of two pixels between: each counts what its neighbourhoods hold, once."""
    monkeypatch.setattr(Engine, "on_cpu", property(lambda self: shares_memory))
    separator = Separator(GEOMETRY, rings=5, engine=Engine(engine.device), solid_angle=False, saturation=saturation)
    frame = np.full(SHAPE, 4, np.int32)
    frame[20:34, 30:52] = 700
    frame[20:34, 54:70] = 650
    frame[20:34, 52:54] = 20
    peaks = separator.peaks(np.stack([frame, frame[::-1], frame]), patch=patch)
    bridge = 16 * (patch // 2)
    for i, some in enumerate(peaks):
        assert list(some["frame"]) == [i, i]
        left, right = np.sort(some, order="fast")
        assert left["intensity"] == pytest.approx(14 * (22 * 696 + bridge), rel=1e-3)
        assert right["intensity"] == pytest.approx(14 * (16 * 646 + bridge), rel=1e-3)
        assert (left["fast0"], right["fast1"]) == (30 - patch // 2, 70 + patch // 2)
        assert left["slow1"] - left["slow0"] == 14 + 2 * (patch // 2)
        assert bool(left["flags"] & PeakFlag.SATURATED) == (saturation is not None)


@pytest.mark.parametrize("shares_memory", [True, False])
def test_crowded_flat_tops_are_the_same_in_any_number_of_frames(engine, rng, monkeypatch, shares_memory):
    """Members of many spots in each row, more than there is room for at first."""
    monkeypatch.setattr(Engine, "on_cpu", property(lambda self: shares_memory))
    separator = Separator(GEOMETRY, rings=5, engine=Engine(engine.device), solid_angle=False)
    frame = rng.poisson(4.0, SHAPE).astype(np.int32)
    for slow in range(4, 90, 12):
        for fast in range(4, 112, 11):
            frame[slow : slow + 6, fast : fast + 5] = 300 + slow + fast
    (alone,) = separator.peaks(frame[None])
    assert len(alone) == 8 * 10
    both = separator.peaks(np.stack([frame, np.full_like(frame, 4), frame]))
    assert [len(some) for some in both] == [80, 0, 80]
    both[2]["frame"] = 0
    assert both[0].tobytes() == both[2].tobytes() == alone.tobytes()
    np.testing.assert_allclose(alone["intensity"], 30 * (alone["maximum"] - 4.0), rtol=0.01)
    tops = alone["maximum"].reshape(8, 10)
    assert np.all(np.diff(tops) == 11)
    assert np.all(np.diff(tops, axis=0) == 12)
