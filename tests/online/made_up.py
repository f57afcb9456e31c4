"""Series and results that no detector sent, for tests of what takes them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from crystint.model.geometry import Geometry
from crystint.model.peaks import empty_peaks
from crystint.model.rois import empty_roi_values
from crystint.online.books import Books
from crystint.online.result import Result, empty_results
from crystint.stream.messages import Image, SeriesKey, Start
from crystint.stream.packed_frame import PackedFrame

GEOMETRY = Geometry((40, 30), (75e-6, 75e-6), 0.1, (20.5, 15.25), wavelength=1.0)


@dataclass
class MadeUpRun:
    """As `crystint.online.sink.Run`."""

    start: Start
    name: str = "run"
    folder: Path | None = None
    geometry: Geometry | None = GEOMETRY
    user: Mapping[str, Any] = field(default_factory=dict)
    books: Books = field(default_factory=lambda: Books(expected=3, received=3, analysed=3, ended=True))

    @property
    def key(self) -> SeriesKey:
        return self.start.series

    def described(self) -> Mapping[str, Any]:
        return {"settings": {"1": {"first_image": 0, "snr": 5.0}}, "rois": {"version": 1, "rois": []}, "device": "none"}


def made_up_run(number: int = 7, unique: str = "abc", **start: Any) -> MadeUpRun:
    values = {"images": 3, "geometry": GEOMETRY, "dtype": np.dtype(np.uint16), "channels": ("threshold_1",)} | start
    return MadeUpRun(Start(SeriesKey(number, unique), (40, 30), "stream2", **values))


def result(run: MadeUpRun, number: int, n: int = 0, **columns: Any) -> Result:
    """Result of an image with `n` peaks; a hit where there are any."""
    row = empty_results(1)
    row["frame"], row["n_spots"], row["n_no_ice"], row["hit"] = number, n, n, n > 0
    row["settings_version"] = row["roi_version"] = 1
    for name, value in columns.items():
        row[name] = value
    peaks = empty_peaks(n)
    peaks["frame"] = number
    for index in range(n):
        peaks["slow"][index], peaks["fast"][index] = 3.25 + index, 7.5 + number
        peaks["intensity"][index], peaks["sigma"][index] = 100.5 + index, 10.0
        peaks["npix"][index], peaks["maximum"][index], peaks["d"][index], peaks["flags"][index] = 4, 2**40, 2.5, 8
    peaks["snr"] = 10.0
    rois = empty_roi_values(1)
    rois["sum"], rois["npixel"], rois["mean"] = 5 * number, 12, 1.5
    return Result(run.key, row, peaks, rois, ("beam",))


def frame(number: int) -> np.ndarray[Any, Any]:
    """uint16 [40, 30], with a value that is no measurement."""
    values = (np.arange(1200) % 50 + number).astype(np.uint16).reshape(40, 30)
    values[0, 0] = 0xFFFF
    return values


def image(run: MadeUpRun, number: int) -> Image:
    values = frame(number)
    packed = PackedFrame(values.reshape(-1).view(np.uint8), values.shape, values.dtype, "none")
    return Image(run.key, number, {"threshold_1": packed}, started=10**18 + number, size=values.nbytes)
