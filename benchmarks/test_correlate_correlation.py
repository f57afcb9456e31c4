"""Angular correlations of 1000 rings of 6300 samples, beside SciPy and NumPy written plainly.

``pytest benchmarks/test_correlate_correlation.py --benchmark-enable``; figures are medians, all in one run.
"""

from __future__ import annotations

import numpy as np
import pytest
import scipy.fft

from crystint.correlate.sums.all_pairs import AllPairs
from crystint.correlate.sums.correlation import Correlator, autocorrelation


@pytest.fixture(scope="module")
def rings(request):
    """Rings, and the same with 30 % masked; small where nothing is timed."""
    shape = (1000, 6300) if request.config.getoption("benchmark_enable") else (40, 180)
    rng = np.random.default_rng(0)
    values = rng.normal(1.0, 0.1, shape).astype(np.float32)
    return values, np.where(rng.random(shape) < 0.3, np.float32(np.nan), values)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("masked", [False, True], ids=["whole", "masked"])
def test_autocorrelation(benchmark, rings, masked, dtype):
    found = benchmark(autocorrelation, rings[masked].astype(dtype))
    assert np.isfinite(found[:, 0]).all()


@pytest.mark.parametrize("masked", [False, True], ids=["whole", "masked"])
def test_sums_over_exposures(benchmark, rings, masked):
    correlator = Correlator()
    correlator.add(rings[masked])
    benchmark(correlator.add, rings[masked])
    assert correlator.sums.number > 1


def test_plain_scipy(benchmark, rings):
    def plain(values):
        spectrum = scipy.fft.rfft(values, axis=1, workers=-1)
        power = spectrum.real**2 + spectrum.imag**2
        return scipy.fft.irfft(power, n=values.shape[1], axis=1, workers=-1) / values.shape[1]

    np.testing.assert_allclose(benchmark(plain, rings[0]), autocorrelation(rings[0]), rtol=1e-4)


def test_plain_numpy(benchmark, rings):
    def plain(values):
        return np.fft.irfft(np.abs(np.fft.rfft(values)) ** 2, n=values.shape[1]) / values.shape[1]

    np.testing.assert_allclose(benchmark(plain, rings[0]), autocorrelation(rings[0]), rtol=1e-4)


def test_all_pairs_of_ten_rows(benchmark, rings):
    """Ten rows with all rings, masked, sixteen exposures: a hundredth of all pairs."""

    def work():
        pairs = AllPairs(slice(0, 10))
        for _ in range(16):
            pairs.add(rings[1])
        return pairs.sums

    sums = benchmark.pedantic(work, rounds=3)
    benchmark.extra_info["bytes"] = sums.spectrum.nbytes + sums.weight.nbytes
    assert sums.number == 16
