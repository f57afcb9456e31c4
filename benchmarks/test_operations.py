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
TOGETHER = 8


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


@pytest.mark.parametrize("verb", ["sparsify", "peaks"])
def test_several_at_once(benchmark, engine, sample_of, about, verb):
    """A batch; the time is that of all its frames."""
    sample = sample_of("uint16")
    run = getattr(Separator(sample.geometry, sample.mask, engine=engine), verb)
    frames = np.stack([sample.frame] * TOGETHER)
    results = benchmark(run, frames)
    about(engine, frames)
    assert len(results) == TOGETHER
    one = run(sample.frame)
    for result in results:
        if verb == "sparsify":
            np.testing.assert_array_equal(result.index, one.index)
        else:
            np.testing.assert_array_equal(result["intensity"], one["intensity"])


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
