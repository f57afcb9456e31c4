"""Time per frame of the operations on a 4.5 Mpx uint16 frame in host memory.

``pytest benchmarks --benchmark-enable`` times them; without the option each runs once, as a test, on a small
frame.
``crystint bench`` gives the same operations as a table in units of copying the frame.
"""

from __future__ import annotations

import numpy as np
import pytest

from crystint import Separator
from crystint.model.rings import ERROR_MODELS
from crystint.ops.densify import Densifier
from crystint.simulate import simulate

SPOTS = 50


@pytest.fixture(scope="module")
def data(request):
    shape = (2162, 2068) if request.config.getoption("benchmark_enable") else (431, 420)
    modules = (512, 1028) if shape[0] > 1000 else (200, 210)
    return simulate(shape, dtype="uint16", background=10.0, falloff=2.0, peaks=SPOTS, intensity=3000.0, modules=modules)


@pytest.fixture(scope="module")
def frame(data):
    return data[0]


def about(benchmark, engine, frame):
    """What the table of pytest-benchmark should say beside the time."""
    benchmark.extra_info |= {"device": engine.device.name, "MB_in": frame.nbytes / 1e6}


@pytest.mark.parametrize("model", ERROR_MODELS)
@pytest.mark.parametrize("verb", ["background", "sparsify", "peaks"])
def test_separate(benchmark, engine, data, frame, verb, model):
    separator = Separator(data.geometry, data.mask, error_model=model, engine=engine)
    result = benchmark(getattr(separator, verb), frame)
    about(benchmark, engine, frame)
    if verb == "background":
        assert np.nanmedian(result.mean) > 1
    else:
        assert len(result if verb == "peaks" else result.index) > SPOTS // 2


@pytest.mark.parametrize("noise", [False, True], ids=["clean", "noise"])
def test_densify(benchmark, engine, data, frame, noise):
    sparse = Separator(data.geometry, data.mask, engine=engine).sparsify(frame)
    densifier = Densifier(engine, sparse.background.rings)
    result = benchmark(densifier.run, sparse, noise)
    about(benchmark, engine, frame)
    good = data.mask == 0
    assert result[good].mean() == pytest.approx(frame[good].mean(), rel=0.05)


def test_copy(benchmark, frame):
    """The unit."""
    target = np.empty_like(frame)
    benchmark(np.copyto, target, frame)
    assert target[0, 0] == frame[0, 0]
