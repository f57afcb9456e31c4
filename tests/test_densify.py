"""Back from sparse frames: exact where picked, Poisson elsewhere, nothing invented."""

from __future__ import annotations

import dataclasses
import warnings

import numpy as np
import pyopencl as cl
import pytest
from scipy.stats import chisquare, poisson

from crystint.engine.source import read_kernel
from crystint.errors import DTypeError, SettingError
from crystint.model.geometry import Geometry
from crystint.ops.densify import Densifier, densify
from crystint.ops.separator import Separator
from tests.oracles.densify import philox

SHAPE = (600, 620)


def separator_for(engine, dtype=np.uint16, **more):
    geometry = Geometry(
        shape=SHAPE, pixel_size=(1e-4, 1e-4), distance=0.05, beam_center=(290, 320), wavelength=1.0, polarization=0.9
    )
    return Separator(geometry, rings=more.pop("rings", 40), engine=engine, **more)


def on_device(engine, text, out, *arguments):
    """Run a test kernel over the shared header random.h."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # some compilers always have something to say
        program = cl.Program(engine.context, read_kernel("random.h") + text).build()
    buffer = engine.empty(out.size, out.dtype)
    cl.Kernel(program, "test")(
        engine.queue, (out.size // (4 if out.dtype == np.uint32 else 1),), None, *arguments, buffer
    )
    return engine.receive(buffer, out.size, out.dtype)


def test_philox_is_philox(engine):
    """Known answers of the authors' test file, and many numbers against a plain Python version."""
    assert philox((0, 0, 0, 0), (0, 0)) == (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)
    ones = 0xFFFFFFFF
    assert philox((ones,) * 4, (ones,) * 2) == (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD)
    text = """
    __kernel void test(__global uint *out) {
        const uint i = get_global_id(0);
        vstore4(philox((uint4)(i, 3 * i, 7, ~i), (uint2)(i ^ 5, 11)), i, out);
    }"""
    found = on_device(engine, text, np.empty(4 * 50, np.uint32)).reshape(-1, 4)
    for i in range(50):
        assert tuple(found[i].tolist()) == philox((i, 3 * i, 7, ~i & ones), (i ^ 5, 11))


@pytest.mark.parametrize("mean", [0.02, 0.5, 3.0, 17.0, 39.0, 41.0, 200.0])
def test_poisson_numbers_are_poisson(engine, mean):
    text = """
    __kernel void test(const float mean, __global float *out) {
        const uint i = get_global_id(0);
        out[i] = poisson_number(mean, philox((uint4)(i, 0, 0, 0), (uint2)(1, 2)));
    }"""
    found = on_device(engine, text, np.empty(200_000, np.float32), np.float32(mean))
    counts = np.bincount(found.astype(int))
    k = np.arange(len(counts))
    wanted = poisson.pmf(k, mean) * found.size
    some = wanted > 20
    observed = np.append(counts[some], found.size - counts[some].sum())
    wanted = np.append(wanted[some], found.size - wanted[some].sum())
    if wanted[-1] < 5:
        observed, wanted = observed[:-1], wanted[:-1] * observed[:-1].sum() / wanted[:-1].sum()
    assert chisquare(observed, wanted).pvalue > 1e-5


@pytest.mark.parametrize(
    ("mean", "model", "snr"),
    [(mean, model, 3.0) for mean in (0.03, 0.4, 2.0, 9.0, 35.0, 300.0) for model in ("poisson", "hybrid")]
    + [(35.0, "azimuthal", 3.0), (300.0, "azimuthal", 3.0)]  # its Gaussian rule cuts low counts elsewhere
    + [(35.0, "hybrid", 1.5), (300.0, "hybrid", 1.5)],
)
def test_the_background_comes_back_with_its_statistics(engine, rng, mean, model, snr):
    """Mean, variance and share of zeros within 2 % of the raw background."""
    separator = separator_for(engine, error_model=model)
    frame = rng.poisson(mean * separator.rings.weight).astype(np.uint16)
    frame[::30, ::30] += 50 + int(10 * np.sqrt(mean))
    sparse = separator.sparsify(frame, snr=snr)
    back = densify(sparse, engine=engine)
    rest = np.ones(frame.size, bool)
    rest[sparse.index] = False
    raw, new = frame.ravel()[rest].astype(float), back.ravel()[rest].astype(float)
    assert np.array_equal(back.ravel()[sparse.index], frame.ravel()[sparse.index])
    scale = 0.02 if mean > 0.1 else 0.04  # 11 000 photons: 1 % of statistics
    assert new.mean() == pytest.approx(raw.mean(), rel=scale)
    assert new.var() == pytest.approx(raw.var(), rel=scale)
    assert (new == 0).mean() == pytest.approx((raw == 0).mean(), rel=0.02, abs=2e-4)
    assert not np.array_equal(raw, new)


def test_overdispersed_rings_keep_their_variance(engine, rng):
    separator = separator_for(engine, rings=10)
    mean = 40 * (1 + 0.3 * rng.standard_normal(SHAPE)).clip(0.05)
    frame = rng.poisson(mean * separator.rings.weight).astype(np.uint16)
    sparse = separator.sparsify(frame)
    rest = np.ones(frame.size, bool)
    rest[sparse.index] = False
    raw, new = frame.ravel()[rest].astype(float), densify(sparse, engine=engine).ravel()[rest].astype(float)
    assert new.mean() == pytest.approx(raw.mean(), rel=0.02)
    assert new.var() == pytest.approx(raw.var(), rel=0.08)


@pytest.mark.parametrize("mean", [0.02, 0.4, 2.0, 9.0, 300.0])
@pytest.mark.parametrize("snr", [1.5, 3.0])
def test_nothing_is_invented(engine, rng, mean, snr):
    separator = separator_for(engine, rings=300)
    frame = rng.poisson(mean * separator.rings.weight).astype(np.uint16)
    frame[::30, ::30] += 50
    sparse = separator.sparsify(frame, snr=snr)
    again = separator.sparsify(densify(sparse, engine=engine), snr=snr)
    assert len(np.setdiff1d(again.index, sparse.index)) == 0


def test_without_noise_it_is_the_expected_counts_rounded(engine, rng):
    dark = rng.uniform(0, 3, SHAPE)
    separator = separator_for(engine, dark=dark)
    frame = rng.poisson(dark + 7 * separator.rings.weight).astype(np.uint16)
    frame[100, 100] = 4000
    sparse = separator.sparsify(frame)
    back = densify(sparse, noise=False, engine=engine)
    wanted = sparse.background.image()
    wanted.ravel()[sparse.index] = sparse.value
    off = np.abs(wanted - np.floor(wanted) - 0.5) < 1e-3  # either neighbour is right there
    assert np.array_equal(back[~off], np.round(wanted[~off]).astype(np.uint16))


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.uint32, np.int16, np.int32, np.float32])
def test_unusable_pixels_come_back_as_they_were(engine, rng, dtype):
    mask = rng.random(SHAPE) < 0.05
    separator = separator_for(engine, mask=mask)
    frame = rng.poisson(7, SHAPE).astype(dtype)
    bad = np.nan if frame.dtype.kind == "f" else -2 if frame.dtype.kind == "i" else np.iinfo(dtype).max
    marked = np.nan if frame.dtype.kind == "f" else -1 if frame.dtype.kind == "i" else bad
    lost = rng.random(SHAPE) < 0.05
    frame[lost] = bad
    back = densify(separator.sparsify(frame), engine=engine)
    assert back.dtype == frame.dtype
    np.testing.assert_array_equal(back[lost & ~mask], frame[lost & ~mask])
    np.testing.assert_array_equal(back[mask], np.full(mask.sum(), marked, dtype))
    rest = ~mask & ~lost
    assert np.isfinite(back[rest]).all()
    if frame.dtype.kind != "f":
        assert (back[rest] != bad).all()


def test_the_noise_is_that_of_its_seed_and_frame(engine, rng):
    separator = separator_for(engine)
    frame = rng.poisson(7, SHAPE).astype(np.uint16)
    first = separator.sparsify(frame, number=4)
    same = densify(first, seed=9, engine=engine)
    assert np.array_equal(same, densify(first, seed=9, engine=engine))
    assert not np.array_equal(same, densify(first, seed=10, engine=engine))
    assert not np.array_equal(same, densify(first, seed=9 + 2**32, engine=engine))
    assert not np.array_equal(same, densify(separator.sparsify(frame, number=5), seed=9, engine=engine))


def test_float_frames_get_their_read_out_noise_back(engine, rng):
    separator = separator_for(engine, rings=10)
    frame = (rng.poisson(2.0, SHAPE) + 0.7 * rng.standard_normal(SHAPE)).astype(np.float32)
    sparse = separator.sparsify(frame, snr=4.0)
    back = densify(sparse, engine=engine)
    rest = np.ones(frame.size, bool)
    rest[sparse.index] = False
    assert back.ravel()[rest].mean() == pytest.approx(frame.ravel()[rest].mean(), rel=0.02)
    assert back.ravel()[rest].var() == pytest.approx(frame.ravel()[rest].var(), rel=0.03)


def test_no_ring_of_a_float_frame_turns_into_whole_numbers(engine, rng):
    """Rings of a few pixels, in which the read-out noise does not show."""
    separator = separator_for(engine, rings=2000)
    frame = (rng.poisson(1.3, SHAPE) + 0.3 * rng.standard_normal(SHAPE)).astype(np.float32)
    sparse = separator.sparsify(frame)
    back = densify(sparse, engine=engine).ravel()
    back[sparse.index] = 0.5
    assert np.mean(back == np.rint(back)) < 1e-4


def test_a_ring_without_background_is_marked(engine, rng):
    separator = separator_for(engine, rings=10)
    frame = rng.poisson(7, SHAPE).astype(np.int32)
    ring = np.floor(separator.rings.position + 0.5)
    frame[ring == 3] = -2
    sparse = separator.sparsify(frame)
    back = Densifier(engine, separator.rings).run(sparse)
    assert np.all(back[ring == 3] == -2)
    untold = dataclasses.replace(sparse, unusable_index=None, unusable_value=None)
    back = Densifier(engine, separator.rings).run(untold, noise=False)
    assert np.all(back[ring == 3] == -1)
    assert np.all(back[(ring == 2) | (ring == 4)] >= 0)


def test_bad_seeds_and_dtypes_are_refused(engine, rng):
    separator = separator_for(engine)
    sparse = separator.sparsify(rng.poisson(7, SHAPE).astype(np.uint16))
    for seed in (-1, 2**64, 1.5, True):
        with pytest.raises(SettingError, match="seed"):
            densify(sparse, seed=seed, engine=engine)
    with pytest.raises(DTypeError, match="int64"):
        densify(dataclasses.replace(sparse, dtype=np.dtype(np.int64)), engine=engine)
