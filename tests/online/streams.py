"""Series of simulated frames, as messages."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from crystint.model.geometry import Geometry
from crystint.simulate import simulate
from crystint.stream import End, Image, SeriesKey, Start, encode_end, encode_frame, encode_image, encode_start

KEY = SeriesKey(1, "a")
GEOMETRY = Geometry((150, 170), (75e-6, 75e-6), 0.06, (71.3, 90.2), 1.0)


def frames_of(dtype: str = "u2", count: int = 4, shape: tuple[int, int] = (150, 170), seed: int = 1) -> Any:
    """Integer [n, slow, fast] with peaks."""
    size = np.dtype(dtype).itemsize
    bright = 90.0 if size == 1 else 900.0
    data = simulate(shape, frames=count, background=3.0, peaks=12, intensity=bright, dtype="int32", seed=seed)
    most = np.iinfo(dtype).max - 1
    return np.clip(np.stack(list(data)), 0, most).astype(dtype)


def start_of(
    frames: Any, series: SeriesKey, channels: Sequence[str] = ("threshold_1",), geometry: Geometry | None = GEOMETRY,
    images: int | None = None, **more: Any,
) -> Start:  # fmt: skip
    return Start(
        series,
        frames[0].shape,
        "stream2",
        images=len(frames) if images is None else images,
        channels=tuple(channels),
        dtype=frames.dtype,
        geometry=geometry,
        frame_time=0.01,
        **more,
    )


def image_of(frame: Any, series: SeriesKey, number: int, algorithm: str = "bslz4", channel: str = "threshold_1") -> Any:
    return encode_image(Image(series, number, {channel: encode_frame(frame, algorithm)}, started=10**18 + number))


def messages_of(frames: Any, series: SeriesKey = KEY, algorithm: str = "bslz4", **more: Any) -> Iterator[Any]:
    """Start, images, end."""
    yield encode_start(start_of(frames, series, **more))
    for number, frame in enumerate(frames):
        yield image_of(frame, series, number, algorithm)
    yield encode_end(End(series))
