"""Time per frame of the operations on a 4.5 Mpx frame in host memory, on every OpenCL device.

``pytest benchmarks --benchmark-enable`` times them; without the option each runs once, as a test, on a small
frame. ``crystint bench`` gives the same operations as a table in units of copying the frame.
"""

from __future__ import annotations

import numpy as np
import pytest

from crystint import Separator
from crystint.model.rings import ERROR_MODELS
from crystint.ops.densify import Densifier

DTYPES = ("int32", "uint16", "uint32")


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("model", ERROR_MODELS)
@pytest.mark.parametrize("verb", ["background", "sparsify", "peaks"])
def test_separate(benchmark, engine, sample_of, about, verb, model, dtype):
    sample = sample_of(dtype)
    separator = Separator(sample.geometry, sample.mask, error_model=model, engine=engine)
    result = benchmark(getattr(separator, verb), sample.frame)
    about(engine, sample.frame)
    if verb == "background":
        assert np.nanmedian(result.mean) > 0.1
    else:
        assert len(result if verb == "peaks" else result.index) > sample.frame.size / 4e4


@pytest.mark.parametrize("dtype", DTYPES)
def test_pick(benchmark, engine, sample_of, about, dtype):
    """The significant pixels above a background that is known."""
    sample = sample_of(dtype)
    separator = Separator(sample.geometry, sample.mask, engine=engine)
    known = separator.background(sample.frame)
    result = benchmark(separator.sparsify, sample.frame, background=known)
    about(engine, sample.frame)
    np.testing.assert_array_equal(result.index, separator.sparsify(sample.frame).index)


@pytest.mark.parametrize("noise", [False, True], ids=["clean", "noise"])
@pytest.mark.parametrize("dtype", DTYPES)
def test_densify(benchmark, engine, sample_of, about, noise, dtype):
    sample = sample_of(dtype)
    sparse = Separator(sample.geometry, sample.mask, engine=engine).sparsify(sample.frame)
    densifier = Densifier(engine, sparse.background.rings)
    result = benchmark(densifier.run, sparse, noise)
    about(engine, sample.frame)
    good = sample.mask == 0
    assert result[good].mean() == pytest.approx(sample.frame[good].mean(), rel=0.05)


@pytest.mark.parametrize("dtype", DTYPES)
def test_copy(benchmark, sample_of, dtype):
    """The unit."""
    frame = sample_of(dtype).frame
    target = np.empty_like(frame)
    benchmark(np.copyto, target, frame)
    np.testing.assert_array_equal(target, frame)
