"""Time per shoebox of 13 x 13 pixels: amplitude and variance with three rounds of expected variances.

One thread of NumPy on the processor (arrays of counts, profiles and backgrounds are there), and the kernel on every
OpenCL device (arrays go there and back). ``pytest benchmarks/test_stills_amplitude.py --benchmark-enable``; the
column ``us_per_shoebox`` of the JSON is the shortest time over the number of shoeboxes.
"""

from __future__ import annotations

import numpy as np
import pytest

from crystint.stills.integration.amplitude import amplitudes
from crystint.stills.integration.amplitude_device import ProfileAmplitude
from crystint.stills.integration.ring import ring_means

SIDE = 13


@pytest.fixture(scope="session")
def shoeboxes(request):
    """Counts [n, 169], profiles, backgrounds and pixels of their rings."""
    n = 100_000 if request.config.getoption("benchmark_enable") else 2000
    rng = np.random.default_rng(0)
    y, x = np.mgrid[-(SIDE // 2) : SIDE // 2 + 1, -(SIDE // 2) : SIDE // 2 + 1]
    square = ((y**2 + x**2).ravel()[None, :]) / rng.uniform(1.5, 2.2, n)[:, None] ** 2
    profile = np.exp(-square)
    profile /= profile.sum(axis=1)[:, None]
    signal = rng.exponential(300.0, n)
    counts = rng.poisson(1.0 + signal[:, None] * profile).astype(np.int32)
    mean, pixels = ring_means(counts, square > 9.0)
    return counts, np.where(square < 6.25, profile, 0.0), mean, pixels, signal


def _note(benchmark, n, device):
    stats = benchmark.stats
    benchmark.extra_info |= {"device": device}
    if stats is not None:
        benchmark.extra_info["us_per_shoebox"] = 1e6 * stats.stats.min / n


@pytest.mark.parametrize("known", [False, True], ids=["iterated", "model"])
def test_processor(benchmark, shoeboxes, known):
    *arrays, signal = shoeboxes
    found = benchmark(amplitudes, *arrays, model=signal if known else None)
    _note(benchmark, len(signal), "NumPy, one thread")
    assert np.mean((found.intensity - signal) ** 2 / found.variance) == pytest.approx(1.0, abs=0.15)


def test_processor_with_the_background(benchmark, shoeboxes):
    counts, profile, _, _, signal = shoeboxes
    ring = profile == 0.0

    def both():
        return amplitudes(counts, profile, *ring_means(counts, ring))

    assert len(benchmark(both)) == len(signal)
    _note(benchmark, len(signal), "NumPy, one thread")


def test_kernel(benchmark, engine, shoeboxes):
    counts, profile, *rest, signal = shoeboxes
    arrays = (counts.astype(np.float32), profile.astype(np.float32), *rest)
    operation = ProfileAmplitude(engine)
    found = benchmark(operation.run, *arrays)
    _note(benchmark, len(signal), engine.device.name)
    wanted = amplitudes(counts, profile, *rest)
    np.testing.assert_allclose(found.variance, wanted.variance, rtol=1e-5)
    np.testing.assert_allclose(found.intensity, wanted.intensity, rtol=1e-5, atol=1e-3)
