"""pyFAI: sigma clipping in Cython, and its OpenCL sparsify and peakfinder on the same device.

The launch grid of pyFAI's peakfinder kernel (up to 2026.9) has work-group size / 32 times too many work-groups along
the fast axis, whose work-items find themselves outside the frame. It is timed "as shipped" and, with the grid that its
kernel needs, "grid corrected"; both find the same peaks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any

import numpy as np
from pyFAI.detectors import Detector
from pyFAI.integrator.azimuthal import AzimuthalIntegrator
from pyFAI.opencl.peak_finder import OCL_PeakFinder
from pyFAI.units import to_unit
from silx.opencl.common import ocl

from crystint.bench.frames import Sample
from crystint.bench.operations import CYCLES, RINGS, Wanted
from crystint.bench.timing import Operation
from crystint.engine import Engine
from crystint.model.geometry import Geometry
from crystint.model.rings import ERROR_MODELS

__all__ = ["operations"]

_UNIT = to_unit("r_m")


def operations(
    sample: Sample, engine: Engine, warn: Callable[[str], None], wanted: Wanted, _stack: ExitStack
) -> Iterator[Operation]:
    """Sigma clipping, sparsify and peakfinder with automatic clipping thresholds, for each error model."""
    frame, geometry = sample.frame, sample.geometry
    integrator = _integrator(geometry)
    bad = np.zeros(frame.shape, np.int8) if sample.mask is None else (sample.mask != 0).astype(np.int8)
    for model in ERROR_MODELS:
        run = partial(
            integrator.sigma_clip,
            frame,
            RINGS,
            unit=_UNIT,
            mask=bad,
            error_model=model,
            polarization_factor=geometry.polarization,
            thres=0,
            max_iter=CYCLES,
            method=("no", "csr", "cython"),
        )
        yield Operation(f"pyFAI sigma_clip Cython {model}", run)
    names = [f"pyFAI {verb} OpenCL" for verb in ("sparsify", "peakfinder")]
    if not any(wanted(f"{name} {model}") for name in names for model in ERROR_MODELS):
        return
    try:
        finder = _finder(integrator, sample, bad, engine)
    except Exception as error:  # drivers fail in many ways, and the other operations are worth having
        warn(f"pyFAI's OpenCL does not start on device {engine.device.id}: {type(error).__name__}: {error}")
        return
    yield from _on_device(finder, integrator, frame, geometry)


def _on_device(finder: Any, integrator: Any, frame: Any, geometry: Geometry) -> Iterator[Operation]:
    factor = geometry.polarization
    common = {
        "solidangle": integrator.solidAngleArray(),
        "polarization": None if factor is None else integrator.polarization(factor=factor),
        "cutoff_clip": 0,
        "cycle": CYCLES,
        "noise": 1.0,
        "safe": False,
    }
    for model in ERROR_MODELS:
        run = partial(finder.sparsify, frame, error_model=model, cutoff_pick=3.0, **common)
        yield Operation(f"pyFAI sparsify OpenCL {model}", run)
    peaks = partial(finder.peakfinder, frame, cutoff_peak=5.0, patch_size=3, connected=3, **common)
    grids = finder.kernels, _Corrected(finder.kernels, frame.shape[1])

    def find(kernels: Any, model: str) -> Any:
        finder.kernels = kernels
        try:
            return peaks(error_model=model)
        finally:
            finder.kernels = grids[0]

    for model in ERROR_MODELS:
        yield Operation(f"pyFAI peakfinder OpenCL {model} (grid corrected)", partial(find, grids[1], model))
    # on a CPU tens of seconds per frame, nearly all in idle work-groups: timed once, with one model
    yield Operation(
        "pyFAI peakfinder OpenCL hybrid (as shipped)", partial(find, grids[0], "hybrid"), rounds=1, warm=False
    )


class _Corrected:
    """The kernels of pyFAI, with as many work-groups of the peakfinder as the frame has."""

    def __init__(self, kernels: Any, width: int) -> None:
        self._kernels, self._width = kernels, width

    def __getattr__(self, name: str) -> Any:
        return getattr(self._kernels, name)

    def peakfinder(self, queue: Any, grid: tuple[int, int], group: tuple[int, int], *arguments: Any) -> Any:
        columns = -(-self._width // group[1]) * group[1]
        return self._kernels.peakfinder(queue, (grid[0], columns), group, *arguments)


def _integrator(geometry: Geometry) -> Any:
    slow, fast = geometry.pixel_size
    rot1, rot2, rot3 = geometry.rotation
    return AzimuthalIntegrator(
        dist=geometry.distance,
        poni1=geometry.beam_center[0] * slow,
        poni2=geometry.beam_center[1] * fast,
        rot1=rot1,
        rot2=rot2,
        rot3=rot3,
        detector=Detector(pixel1=slow, pixel2=fast, max_shape=geometry.shape),
        wavelength=None if geometry.wavelength is None else 1e-10 * geometry.wavelength,
    )


def _finder(integrator: Any, sample: Sample, bad: Any, engine: Engine) -> Any:
    shape = sample.frame.shape
    plan = integrator.setup_sparse_integrator(shape, RINGS, mask=bad, unit=_UNIT, split="no", algo="CSR", scale=False)
    with _one_platform(int(engine.device.id.split(":")[0])):
        return OCL_PeakFinder(
            plan.lut,
            image_size=sample.frame.size,
            unit=_UNIT,
            bin_centers=plan.bin_centers,
            radius=integrator.array_from_unit(typ="center", unit=_UNIT, scale=False),
            mask=bad,
            ctx=engine.context,
        )


@contextmanager
def _one_platform(number: int) -> Iterator[None]:
    """silx looks devices up by the name of their platform, and finds the wrong one of two with one name."""
    platforms = ocl.platforms
    ocl.platforms = [platforms[number]]
    try:
        yield
    finally:
        ocl.platforms = platforms
