"""The work-group form of each kernel, which GPUs run, gives on any device what the CPU form gives."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from crystint.engine import Engine
from crystint.model.geometry import Geometry
from crystint.ops.densify import densify
from crystint.ops.separator import Separator


def results(engine, frame, model):
    geometry = Geometry(
        shape=(211, 307),
        pixel_size=(1e-4, 1e-4),
        distance=0.05,
        beam_center=(100, 150),
        wavelength=1.0,
        polarization=0.9,
    )
    mask = np.zeros(geometry.shape, np.uint8)
    mask[40:60, 90:140] = 1
    separator = Separator(geometry, mask, rings=60, error_model=model, engine=engine)
    sparse = separator.sparsify(frame)
    return separator.background(frame), sparse, separator.peaks(frame), densify(sparse, engine=engine)


@pytest.mark.parametrize("model", ["poisson", "azimuthal", "hybrid"])
@pytest.mark.parametrize("mean", [0.05, 4.0, 90.0])
def test_work_groups_agree_with_single_work_items(engine, rng, monkeypatch, mean, model):
    frame = rng.poisson(mean, (211, 307)).astype(np.int32)
    frame[rng.random(frame.shape) < 0.03] = -1
    slow, fast = np.mgrid[10:200:17, 10:300:19]
    for i, j in ((0, 0), (1, 0), (0, 1), (-1, 0), (0, -1)):
        frame[slow + i, fast + j] += int(20 + 9 * np.sqrt(mean))
    background, sparse, peaks, back = results(engine, frame, model)
    monkeypatch.setattr(Engine, "on_cpu", property(lambda self: False))
    groups = results(Engine(engine.device), frame, model)
    assert np.array_equal(groups[0].count, background.count)
    for name in ("mean", "std", "sem", "excess"):
        np.testing.assert_allclose(getattr(groups[0], name), getattr(background, name), rtol=1e-5)
    assert np.array_equal(groups[1].index, sparse.index)
    assert np.array_equal(groups[1].unusable_index, sparse.unusable_index)
    assert np.array_equal(groups[1].unusable_value, sparse.unusable_value)
    assert len(groups[2]) == len(peaks) > 100
    for name in peaks.dtype.names:
        np.testing.assert_allclose(groups[2][name], peaks[name], rtol=1e-4, atol=1e-4)
    assert np.mean(groups[3] != back) < 1e-3


@pytest.mark.parametrize("dtype", [np.uint16, np.float32])
@pytest.mark.parametrize("every", [3, 7, 40])
def test_rings_that_are_mostly_unusable(engine, rng, monkeypatch, every, dtype):
    """Measurements are rare, and more frequent in the last rows: the sample is made of the first of each ring."""
    geometry = Geometry((211, 307), (1e-4, 1e-4), 0.05, (100.0, 150.0), 1.0, polarization=0.9)
    counts = rng.poisson(4.0, geometry.shape).astype(dtype)
    frame = np.full(geometry.shape, 65535 if dtype == np.uint16 else np.nan, dtype)
    frame[:, ::every] = counts[:, ::every]
    frame[::3, 200:] = np.where(np.arange(0, 211, 3)[:, None] > 150, counts[::3, 200:], frame[::3, 200:])
    flat = rng.choice([0.2, 1.0, 5.0], geometry.shape)
    alone = Separator(geometry, rings=20, engine=engine, flat=flat).background(frame)
    monkeypatch.setattr(Engine, "on_cpu", property(lambda self: False))
    groups = Separator(geometry, rings=20, engine=Engine(engine.device), flat=flat).background(frame)
    assert np.sum(alone.count > 10) >= 19
    assert np.array_equal(groups.count, alone.count)
    for name in ("mean", "std", "sem", "excess"):
        np.testing.assert_allclose(getattr(groups, name), getattr(alone, name), rtol=1e-5)


@pytest.mark.parametrize("shares_memory", [True, False])
@pytest.mark.parametrize("dtype", [np.uint16, np.int32])
def test_several_frames_at_once_are_the_frames_one_by_one(engine, rng, monkeypatch, dtype, shares_memory):
    """Ten frames: more than one launch holds; one of them has nothing usable, one no signal, one is all signal."""
    geometry = Geometry(shape=(97, 121), pixel_size=(1e-4, 1e-4), distance=0.05, beam_center=(50, 60), wavelength=1.0)
    frames = rng.poisson(3.0, (10, 97, 121)).astype(dtype)
    frames[:, 20:23, 30:33] += np.arange(10, dtype=dtype)[:, None, None] * 20
    frames[2] = np.iinfo(dtype).max if dtype == np.uint16 else -1
    frames[3] = 0
    frames[4, ::3, ::3] += 500
    frames[5, 40:44] = frames[2, 0, 0]
    monkeypatch.setattr(Engine, "on_cpu", property(lambda self: shares_memory))
    separator = Separator(geometry, rings=30, engine=Engine(engine.device))
    pairs = separator.separate(frames, number=7)
    backgrounds, alone, peaks = separator.background(frames), separator.sparsify(frames), separator.peaks(frames)
    assert len(pairs) == len(backgrounds) == len(alone) == len(peaks) == 10
    for i, (sparse, spots) in enumerate(pairs):
        one, background = separator.sparsify(frames[i], number=7 + i), separator.background(frames[i])
        for other in (sparse, alone[i]):
            assert np.array_equal(other.index, one.index)
            assert np.array_equal(other.value, one.value)
            assert (other.unusable_index is None) == (one.unusable_index is None)
            if one.unusable_index is not None:
                assert np.array_equal(other.unusable_index, one.unusable_index)
                assert np.array_equal(other.unusable_value, one.unusable_value)
        assert sparse.frame == 7 + i
        assert spots.tobytes() == separator.peaks(frames[i], number=7 + i).tobytes()
        for name in ("slow", "fast", "intensity", "flags"):
            assert np.array_equal(peaks[i][name], spots[name])
        for name in ("mean", "std", "count", "sem", "excess"):
            for other in (sparse.background, backgrounds[i]):
                assert np.array_equal(getattr(other, name), getattr(background, name), equal_nan=True)


@pytest.mark.parametrize("shares_memory", [True, False])
def test_threads_with_one_separator_agree_with_one_thread(engine, rng, monkeypatch, shares_memory):
    geometry = Geometry(shape=(97, 121), pixel_size=(1e-4, 1e-4), distance=0.05, beam_center=(50, 60), wavelength=1.0)
    frames = rng.poisson(3.0, (12, 97, 121)).astype(np.uint16)
    frames[:, 20:23, 30:33] += np.arange(12, dtype=np.uint16)[:, None, None] * 20
    monkeypatch.setattr(Engine, "on_cpu", property(lambda self: shares_memory))
    separator = Separator(geometry, rings=30, engine=Engine(engine.device))
    alone = [separator.peaks(frame).tobytes() for frame in frames]
    with ThreadPoolExecutor(6) as pool:
        assert list(pool.map(lambda frame: separator.peaks(frame).tobytes(), frames)) == alone
