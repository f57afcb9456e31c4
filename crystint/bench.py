"""How fast this machine separates signal from background: times of one frame, in units of copying it.

Machines are shared and differ, so every operation is timed in turn, many times over, in one run on one
frame; the median is given, in milliseconds and in `copies`: in times of ``numpy.copyto`` of that frame.
Beside the wall time stands the processor time of all threads.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crystint.engine import Engine
from crystint.errors import SettingError
from crystint.model.geometry import Geometry
from crystint.model.rings import ERROR_MODELS
from crystint.ops.densify import Densifier
from crystint.ops.separator import Separator

__all__ = ["PEERS", "Timing", "measure", "peer_operations", "table"]

PEERS = ("pyfai",)
_RINGS = 1000
_CYCLES = 5


@dataclass(frozen=True, slots=True)
class Timing:
    """One operation on one frame."""

    name: str
    wall_ms: float
    """median of the rounds"""
    cpu_ms: float
    """median processor time of all threads of this process"""
    copies: float
    """`wall_ms` over that of copying the frame"""
    frames_per_s: float

    def to_dict(self) -> dict[str, Any]:
        """JSON-able values."""
        return asdict(self)


def measure(
    frame: NDArray[Any],
    geometry: Geometry,
    mask: NDArray[np.uint32] | None,
    engine: Engine,
    *,
    rounds: int = 7,
    peer: str | None = None,
    progress: Callable[[Iterable[int], int, str], Iterable[int]] | None = None,
    warn: Callable[[str], None] = lambda _text: None,
) -> list[Timing]:
    """Time the operations on a frame: 1000 rings, 5 cycles, default thresholds.

    `warn` is told what of the peer does not run here.

    Raises
    ------
    SettingError
        For an unknown peer, or one that is not installed.
    """
    operations = _operations(frame, geometry, mask, engine)
    if peer is not None:
        operations |= peer_operations(peer, frame, geometry, mask, engine, warn)
    for operation in operations.values():
        operation()  # kernels are built, memory is taken
    wall: dict[str, list[float]] = {name: [] for name in operations}
    cpu: dict[str, list[float]] = {name: [] for name in operations}
    for _ in (progress or (lambda items, _total, _what: items))(range(rounds), rounds, "bench"):
        for name, operation in operations.items():
            at, used = time.perf_counter(), time.process_time()
            operation()
            wall[name].append(1e3 * (time.perf_counter() - at))
            cpu[name].append(1e3 * (time.process_time() - used))
    unit = float(np.median(wall["copy"]))
    return [
        Timing(name, middle := float(np.median(took)), float(np.median(cpu[name])), middle / unit, 1e3 / middle)
        for name, took in wall.items()
    ]


def _operations(
    frame: NDArray[Any], geometry: Geometry, mask: NDArray[np.uint32] | None, engine: Engine
) -> dict[str, Callable[[], Any]]:
    target = np.empty_like(frame)
    found: dict[str, Callable[[], Any]] = {"copy": lambda: np.copyto(target, frame)}
    for model in ERROR_MODELS:
        separator = Separator(geometry, mask, _RINGS, model, None, _CYCLES, engine)
        for verb in ("background", "sparsify", "peaks"):
            method = getattr(separator, verb)
            found[f"{verb} {model}"] = partial(method, frame)
    sparse = separator.sparsify(frame)
    densifier = Densifier(engine, separator.rings)
    found["densify clean"] = lambda: densifier.run(sparse, noise=False)
    found["densify noise"] = lambda: densifier.run(sparse, noise=True)
    return found


def peer_operations(
    peer: str,
    frame: NDArray[Any],
    geometry: Geometry,
    mask: NDArray[np.uint32] | None,
    engine: Engine,
    warn: Callable[[str], None],
) -> dict[str, Callable[[], Any]]:
    """The same work by another program: pyFAI's sigma clipping (Cython), and its sparsify on the same device.

    Raises
    ------
    SettingError
        For an unknown peer, or one that is not installed.
    """
    if peer not in PEERS:
        raise SettingError(f"peer is {peer!r}, expected one of {', '.join(PEERS)}")
    try:
        from pyFAI.detectors import Detector
        from pyFAI.integrator.azimuthal import AzimuthalIntegrator
        from pyFAI.opencl.peak_finder import OCL_PeakFinder
        from pyFAI.units import to_unit
    except ImportError as error:
        raise SettingError(f"peer pyfai is not installed ({error}): pip install 'crystint[pyfai]'") from None
    slow, fast = geometry.pixel_size
    detector = Detector(pixel1=slow, pixel2=fast, max_shape=geometry.shape)
    rot1, rot2, rot3 = geometry.rotation
    integrator = AzimuthalIntegrator(
        dist=geometry.distance,
        poni1=geometry.beam_center[0] * slow,
        poni2=geometry.beam_center[1] * fast,
        rot1=rot1,
        rot2=rot2,
        rot3=rot3,
        detector=detector,
        wavelength=None if geometry.wavelength is None else 1e-10 * geometry.wavelength,
    )
    bad = np.zeros(frame.shape, np.int8) if mask is None else (mask != 0).astype(np.int8)
    factor, unit = geometry.polarization, to_unit("r_m")
    found: dict[str, Callable[[], Any]] = {}
    for model in ERROR_MODELS:
        found[f"pyFAI sigma_clip Cython {model}"] = partial(
            integrator.sigma_clip,
            frame,
            _RINGS,
            unit=unit,
            mask=bad,
            error_model=model,
            polarization_factor=factor,
            thres=0,
            max_iter=_CYCLES,
            method=("no", "csr", "cython"),
        )
    plan = integrator.setup_sparse_integrator(
        frame.shape, _RINGS, mask=bad, unit=unit, split="no", algo="CSR", scale=False
    )
    platform, device = map(int, engine.device.id.split(":"))
    try:
        finder = OCL_PeakFinder(
            plan.lut,
            image_size=frame.size,
            unit=unit,
            bin_centers=plan.bin_centers,
            radius=integrator.array_from_unit(typ="center", unit=unit, scale=False),
            mask=bad,
            platformid=platform,
            deviceid=device,
        )
    except Exception as error:  # it finds platforms by name, and takes the last of equal names
        warn(f"pyFAI's OpenCL does not start on device {engine.device.id}: {error}")
        return found
    solid_angle = integrator.solidAngleArray()
    polarization = None if factor is None else integrator.polarization(factor=factor)
    for model in ERROR_MODELS:
        found[f"pyFAI sparsify OpenCL {model}"] = partial(
            finder.sparsify,
            frame,
            error_model=model,
            solidangle=solid_angle,
            polarization=polarization,
            cutoff_clip=0,
            cycle=_CYCLES,
            noise=1.0,
            cutoff_pick=3.0,
            safe=False,
        )
    return found


def table(timings: list[Timing], frame: NDArray[Any], device: str) -> str:
    """The times as text."""
    megapixels, megabytes = frame.size / 1e6, frame.nbytes / 1e6
    lines = [
        f"frame {frame.shape[0]} x {frame.shape[1]} {frame.dtype} ({megapixels:.2f} Mpx, {megabytes:.1f} MB)",
        f"{_RINGS} rings, {_CYCLES} cycles, on {device}",
        f"{'':34s} {'wall ms':>9s} {'CPU ms':>9s} {'copies':>8s} {'frames/s':>9s}",
    ]
    lines += [
        f"{row.name:34s} {row.wall_ms:9.2f} {row.cpu_ms:9.2f} {row.copies:8.2f} {row.frames_per_s:9.1f}"
        for row in timings
    ]
    return "\n".join(lines)
