"""Sums over frames, pixel by pixel, against NumPy on the whole stack; they add."""

from __future__ import annotations

import numpy as np
import pytest

from crystint.ops.pixel_sums import PixelSums

SHAPE = (37, 61)


def stack_of(rng, dtype, frames=9):
    """Frames, and which of their pixels hold a measurement."""
    if np.dtype(dtype).kind == "f":
        frames = (rng.normal(3.0, 5.0, (frames, *SHAPE)) * 10.0 ** rng.integers(-3, 4, SHAPE)).astype(dtype)
    else:
        low = -50 if np.dtype(dtype).kind == "i" else 0
        frames = rng.integers(low, min(np.iinfo(dtype).max, 9_000_000), (frames, *SHAPE)).astype(dtype)
    good = rng.random(frames.shape) < 0.9
    good[:, 3, 4] = False
    frames[~good] = np.nan if np.dtype(dtype).kind == "f" else np.iinfo(dtype).max
    return frames, good


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "uint32", "int16", "int32", "float32"])
def test_sums_are_those_of_the_stack(rng, dtype):
    frames, good = stack_of(rng, dtype)
    before = frames.copy()
    sums = PixelSums.zeros(SHAPE, frames.dtype)
    for frame, usable in zip(frames, good, strict=True):
        sums.add(frame, np.flatnonzero(~usable))
    assert np.array_equal(frames, before, equal_nan=True)
    counts = np.where(good, frames, 0).astype(np.float64)
    number = good.sum(axis=0)
    assert sums.frames == len(frames)
    assert np.array_equal(sums.number, number)
    assert np.allclose(sums.total, counts.sum(axis=0), rtol=1e-12)
    if frames.dtype.kind in "iu":
        whole = np.where(good, frames, 0).astype(object).sum(axis=0)
        assert np.array_equal(sums.total.astype(object), whole)
    masked = np.ma.masked_array(frames.astype(np.float64), ~good)
    assert np.allclose(sums.mean, masked.mean(axis=0).filled(np.nan), rtol=1e-6, equal_nan=True)
    assert np.allclose(sums.variance, masked.var(axis=0, ddof=1).filled(np.nan), rtol=1e-6, equal_nan=True)
    there = number > 0
    assert np.array_equal(sums.maximum[there], masked.max(axis=0).filled(0)[there].astype(dtype))


@pytest.mark.parametrize("dtype", ["uint16", "int32", "float32"])
@pytest.mark.parametrize("parts", [(4, 5), (1, 8), (3, 3, 3)])
def test_sums_add_whatever_the_blocks(rng, dtype, parts):
    frames, good = stack_of(rng, dtype)
    whole = PixelSums.zeros(SHAPE, frames.dtype)
    for frame, usable in zip(frames, good, strict=True):
        whole.add(frame, np.flatnonzero(~usable))
    together, start = PixelSums.zeros(SHAPE, frames.dtype), 0
    for length in parts:
        part = PixelSums.zeros(SHAPE, frames.dtype)
        for number in range(start, start + length):
            part.add(frames[number], np.flatnonzero(~good[number]))
        arrays = part.arrays()
        assert all(values.dtype.itemsize <= 8 for values in arrays.values())
        together += PixelSums.of_arrays(arrays)
        start += length
    for name in ("total", "squares", "lost", "maximum"):
        left, right = getattr(together, name), getattr(whole, name)
        assert left.dtype == right.dtype, name
        assert np.allclose(left, right, rtol=1e-12 if frames.dtype.kind == "f" else 0, atol=0), name


def test_narrow_arrays_hold_few_bytes(rng):
    sums = PixelSums.zeros((100, 100), np.dtype(np.int32))
    for _ in range(8):
        sums.add(rng.poisson(0.05, (100, 100)).astype(np.int32))
    arrays = sums.arrays()
    assert arrays["total"].dtype == np.uint8
    assert arrays["squares"].dtype == np.uint8
