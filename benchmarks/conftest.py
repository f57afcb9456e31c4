"""Benchmarks run on every OpenCL device, as the tests do."""

from __future__ import annotations

from functools import cache

import pytest

from crystint.bench import simulated
from tests.conftest import engine as engine


@pytest.fixture(scope="session")
def sample_of(request):
    """dtype -> a simulated frame and what belongs to it; small where nothing is timed."""
    shape = (2162, 2068) if request.config.getoption("benchmark_enable") else (431, 420)
    return cache(lambda dtype: simulated(shape, dtype))


@pytest.fixture
def about(benchmark):
    """Notes what the table of pytest-benchmark should say beside the time."""

    def note(engine, frame):
        benchmark.extra_info |= {"device": engine.device.name, "MB_in": frame.nbytes / 1e6, "dtype": str(frame.dtype)}

    return note
