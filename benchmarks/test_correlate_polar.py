"""Polar images of 1000 radii x 6300 azimuths from a frame of 2400 x 2400 pixels, and the outliers of their rings.

Beside the kernels, in the same run: the nearest pixel and the outliers in plain NumPy, and pyFAI's integrate2d on the
same grid. ``pytest benchmarks/test_correlate_polar.py --benchmark-enable``; figures are medians. The NumPy outliers are
those of some of the rows; ``seconds_of_all_rows`` says what all would take.
"""

from __future__ import annotations

import numpy as np
import pytest

from crystint.correlate.polar.background import chebyshev_background, fourier_background
from crystint.correlate.polar.outliers import RingOutliers, is_outlier
from crystint.correlate.polar.polar import METHODS, PolarGrid, PolarTransform

ROWS = 50
"""rows that NumPy looks at for outliers"""


@pytest.fixture(scope="session")
def scene(request):
    """A frame with rings, gaps and hot pixels, its mask, and a grid; small where nothing is timed."""
    full = request.config.getoption("benchmark_enable")
    side, rows, azimuths = (2400, 1000, 6300) if full else (240, 100, 630)
    rng = np.random.default_rng(0)
    center = (0.5014 * side, 0.4986 * side)
    slow, fast = np.mgrid[:side, :side]
    radius = np.hypot(slow + 0.5 - center[0], fast + 0.5 - center[1])
    frame = rng.poisson(200.0 * np.exp(-3.0 * radius / side) + 40.0 * (np.cos(radius / 9.0) > 0.9)).astype(np.uint16)
    frame[rng.random(frame.shape) < 1e-4] = 60000
    mask = (slow % (side // 4) < side // 200) | (fast % (side // 2) < side // 200)
    return frame, mask, PolarGrid(center, np.arange(rows) + 0.1 * rows, azimuths)


def _note(benchmark, device, **more):
    benchmark.extra_info |= {"device": device, **more}


@pytest.mark.parametrize("method", METHODS)
def test_polar(benchmark, engine, scene, method):
    frame, mask, grid = scene
    operation = PolarTransform(engine, grid, frame.shape, method=method, mask=mask)
    found = benchmark(operation.run, frame)
    _note(benchmark, engine.device.name, MB_in=frame.nbytes / 1e6)
    assert 0.8 < found.weights.mean() < 1.0


def test_polar_in_numpy(benchmark, engine, scene):
    frame, mask, grid = scene
    slow, fast = grid.positions(grid.radii, grid.angles)
    slow, fast = (np.ceil(x - 0.5).astype(np.int64) for x in (slow, fast))
    inside = (slow >= 0) & (slow < frame.shape[0]) & (fast >= 0) & (fast < frame.shape[1])
    index = np.where(inside, slow * frame.shape[1] + fast, 0)
    index[~inside | mask.ravel()[index]] = -1

    def nearest():
        image = np.append(np.where(mask, np.nan, frame).astype(np.float32).ravel(), np.float32(np.nan))
        return image[index]

    found = benchmark(nearest)
    _note(benchmark, "NumPy, one thread")
    wanted = PolarTransform(engine, grid, frame.shape, mask=mask).run(frame).values
    assert np.mean((found != wanted) & ~np.isnan(wanted)) < 1e-6  # ties


@pytest.mark.parametrize("split", ["no", "full"])
def test_polar_of_pyfai(benchmark, scene, split):
    integrator = pytest.importorskip("pyFAI.integrator.azimuthal").AzimuthalIntegrator
    frame, mask, grid = scene
    rows, azimuths = grid.shape
    pixel = 1e-4
    peer = integrator(0.2, grid.center[0] * pixel, grid.center[1] * pixel, pixel1=pixel, pixel2=pixel)
    peer.detector.shape = peer.detector.max_shape = frame.shape
    ends = grid.borders()[[0, -1]] * pixel * 1e3
    settings = {
        "unit": "r_mm",
        "radial_range": tuple(ends),
        "azimuth_range": (-180, 180),
        "mask": mask,
        "correctSolidAngle": False,
        "method": (split, "csr", "cython"),
        "dummy": np.nan,
    }

    def run():
        return peer.integrate2d(frame, rows, azimuths, **settings)

    run()
    found = benchmark(run)
    _note(benchmark, f"pyFAI {pytest.importorskip('pyFAI').version}, CSR, {split} splitting")
    assert found.intensity.shape == (azimuths, rows)


def test_outliers(benchmark, engine, scene):
    frame, mask, grid = scene
    image = PolarTransform(engine, grid, frame.shape, mask=mask).run(frame).values
    operation = RingOutliers(engine, 5.0)
    found = benchmark(operation.run, image)
    _note(benchmark, engine.device.name)
    assert 0 < found.flags.mean() < 0.01


def test_outliers_in_numpy(benchmark, engine, scene):
    frame, mask, grid = scene
    image = PolarTransform(engine, grid, frame.shape, mask=mask).run(frame).values
    some = image[:: max(1, len(image) // ROWS)]
    found = benchmark(lambda: [is_outlier(row, 5.0) for row in some])
    _note(benchmark, "NumPy, one thread")
    if benchmark.stats is not None:
        benchmark.extra_info["seconds_of_all_rows"] = benchmark.stats.stats.median * len(image) / len(some)
    assert np.array_equal(RingOutliers(engine, 5.0).run(some).flags, found)


@pytest.mark.parametrize("fit", [chebyshev_background, fourier_background])
def test_background(benchmark, engine, scene, fit):
    frame, mask, grid = scene
    image = PolarTransform(engine, grid, frame.shape, mask=mask).run(frame).values
    image = np.where(RingOutliers(engine, 5.0).run(image).flags, np.nan, image)
    found = benchmark(fit, image)
    _note(benchmark, "NumPy")
    assert found.coefficients.shape[0] == len(image)
