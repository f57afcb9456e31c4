"""`crystint.stills.integration.amplitude.amplitudes` on an OpenCL device: one work-group per reflection."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from crystint.engine.engine import Engine, default_engine
from crystint.errors import SettingError, ShapeError
from crystint.stills.integration.amplitude import BACKGROUND_FLOOR, ITERATIONS, Amplitudes

__all__ = ["ProfileAmplitude", "profile_amplitude"]

_GROUP = 32
"""work-items per reflection on a device that is no CPU"""


class ProfileAmplitude:
    """Amplitudes of any number of reflections at a time.

    Parameters
    ----------
    engine : Engine
    background_floor, noise, iterations
        As `crystint.stills.integration.amplitude.amplitudes`.
    local_size : int, optional
        Work-items per reflection, a power of two; None = what suits the device.

    Raises
    ------
    SettingError
        When a setting is impossible.
    """

    def __init__(
        self,
        engine: Engine,
        *,
        background_floor: float = BACKGROUND_FLOOR,
        noise: float = 0.0,
        iterations: int = ITERATIONS,
        local_size: int | None = None,
    ) -> None:
        if not (background_floor > 0.0 and noise >= 0.0):
            raise SettingError(
                f"background_floor is {background_floor!r} and noise {noise!r}; expected above 0, and 0 or more"
            )
        if iterations < 0:
            raise SettingError(f"iterations is {iterations}, expected 0 or more")
        size = local_size or (1 if engine.on_cpu else _GROUP)
        if size < 1 or size & (size - 1):
            raise SettingError(f"local_size is {size}, expected a power of two")
        self.engine, self.iterations, self.local_size = engine, iterations, size
        self.background_floor, self.noise = background_floor, noise

    def run(
        self,
        counts: NDArray[Any],
        profile: NDArray[np.floating],
        background: NDArray[np.floating],
        ring_pixels: NDArray[Any],
        *,
        start: NDArray[np.integer] | None = None,
        model: NDArray[np.floating] | None = None,
        expected_background: NDArray[np.floating] | None = None,
    ) -> Amplitudes:
        """Amplitudes and variances, in single precision.

        Parameters
        ----------
        counts, profile : number [n, pixels], or [pixels of all]
            As `crystint.stills.integration.amplitude.amplitudes`; boxes of different sizes lie one after the other.
        background, ring_pixels, model, expected_background : [n]
            As there.
        start : int [n + 1], optional
            First pixel of each reflection, and the end of the last; for one-dimensional `counts` only.

        Raises
        ------
        ShapeError
            When the arrays do not belong together.
        DeviceError
            When the device cannot hold them.
        """
        counts, profile = np.asarray(counts, dtype=np.float32), np.asarray(profile, dtype=np.float32)
        if profile.shape != counts.shape:
            raise ShapeError(f"profile is {profile.shape}, expected {counts.shape}, as counts")
        if counts.ndim == 2 and start is None:
            start = np.arange(len(counts) + 1) * counts.shape[1]
        elif counts.ndim != 1 or start is None:
            raise ShapeError(f"counts is {counts.shape}; expected two axes, or one and `start`")
        first = np.asarray(start, dtype=np.int64)
        if first.ndim != 1 or not len(first) or first[0] < 0 or first[-1] > counts.size or np.any(np.diff(first) < 0):
            raise ShapeError(f"start is not an ascending list of pixels from 0 to {counts.size}")
        if counts.size >= 2**31:
            raise ShapeError(f"{counts.size} pixels at once, expected fewer than 2^31; give fewer reflections")
        n = len(first) - 1
        expected = background if expected_background is None else expected_background
        dark = np.maximum(np.asarray(expected, dtype=np.float64), self.background_floor) + self.noise**2
        columns = {
            "background": background,
            "expected_background": dark,
            "ring_pixels": ring_pixels,
            "model": np.full(n, np.nan) if model is None else model,
        }
        for name, values in columns.items():
            if np.shape(values) != (n,):
                raise ShapeError(f"{name} is {np.shape(values)}, expected {(n,)}, one per reflection")
        if not n:
            return Amplitudes(*np.zeros((3, 0)))
        engine, lanes = self.engine, 8 if self.engine.on_cpu else 1
        buffers: dict[str, Any] = {
            name: engine.send(np.asarray(values, dtype=np.float32)) for name, values in columns.items()
        }
        result = engine.empty(3 * n, np.float32)
        engine.launch(
            engine.kernel("profile_amplitude.cl", LOCAL_SIZE=self.local_size, LANES=lanes),
            n,
            self.local_size,
            counts=engine.send(counts.reshape(-1)),
            profile=engine.send(profile.reshape(-1)),
            start=engine.send(first.astype(np.int32)),
            **buffers,
            iterations=self.iterations,
            n=n,
            result=result,
        )
        return Amplitudes(*engine.receive(result, 3 * n).reshape(3, n).astype(np.float64))


def profile_amplitude(
    counts: NDArray[Any],
    profile: NDArray[np.floating],
    background: NDArray[np.floating],
    ring_pixels: NDArray[Any],
    **options: Any,
) -> Amplitudes:
    """Amplitudes on the default device. For many frames, keep a `ProfileAmplitude`."""
    return ProfileAmplitude(default_engine()).run(counts, profile, background, ring_pixels, **options)
