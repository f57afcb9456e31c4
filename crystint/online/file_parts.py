"""What the openers of all kinds of files share: the request, frames with their detector, empty rows."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crystint.engine import Engine
from crystint.errors import warn
from crystint.io.frames.masks import read_mask
from crystint.io.frames.sequence import Frames
from crystint.model.frame_table import FrameStatus, put_scan
from crystint.model.geometry import Geometry
from crystint.model.instrument import Instrument
from crystint.model.mask import combine_masks
from crystint.model.partial_geometry import PartialGeometry
from crystint.model.peaks import PeakList
from crystint.model.scan import Scan
from crystint.online.file_series import CHANNEL, FileFrames, FileKey, FileSeries
from crystint.online.result import ResultTable, empty_results
from crystint.run.frames import mask_of, masks_in, saturation_in
from crystint.run.geometry import NoGeometryError, geometry_of, geometry_over
from crystint.run.settings import DetectorSettings
from crystint.stream.messages import Start

__all__ = ["FileRequest", "of_frames", "resolved", "rows_of_scan", "series_of", "shape_of_spots", "start_of"]


@dataclass(frozen=True, eq=False)
class FileRequest:
    """What is to be opened."""

    paths: tuple[Path, ...]
    """one file, or those of a series of frames"""
    name: str
    """that the series is called by"""
    settings: DetectorSettings = field(default_factory=DetectorSettings)
    """what places the detector, masks, the data set and which of the frames"""
    allowed: Callable[[Path], bool] = Path.is_file
    """whether another file, which a peak list names, is there and may be read"""
    engine: Callable[[], Engine] = Engine

    @property
    def key(self) -> FileKey:
        """Of the series."""
        return FileKey(0, self.name)


def of_frames(request: FileRequest, frames: Frames, told: Geometry | None = None) -> FileSeries:
    """Frames as they are, with what their files tell of the detector, or with where the file that names them has it."""
    use = request.settings
    try:
        geometry = geometry_of(frames, use) if told is None else _over(request, told, frames.shape)
    except NoGeometryError as error:
        geometry = None
        warn(f"{error}: there are no resolutions, no background and no spots without it")
    scan = frames.scan
    start = Start(
        request.key,
        frames.shape,
        "stream2",
        images=len(frames),
        channels=(CHANNEL,),
        dtype=frames.dtype,
        geometry=geometry,
        masks={CHANNEL: mask_of(frames, use, use.geometry).pixels},
        valid=frames.valid_from(use.lowest),
        instrument=replace(frames.instrument, saturation=saturation_in(frames, use)),
        frame_time=_frame_time(scan),
    )
    series = series_of(request, frames, start)
    series.sources = lambda image: (frames.source(image).file, frames.source(image).index)
    series.put(rows_of_scan(len(frames), scan, frames.missing))
    return series


def series_of(request: FileRequest, frames: FileFrames, start: Start) -> FileSeries:
    """A series with what `start` tells, and no rows."""
    info: dict[str, Any] = {"shape": start.shape, "frame_time": start.frame_time}
    info["geometry"] = None if start.geometry is None else start.geometry.to_dict()
    return FileSeries(request.key, info, frames=frames, start=start)


def _frame_time(scan: Scan | None) -> float | None:
    if scan is None or not np.isfinite(scan.frame_time).any():
        return None
    return float(np.nanmedian(scan.frame_time))


def rows_of_scan(n: int, scan: Scan | None, missing: Mapping[int, str]) -> ResultTable:
    """Rows of which angle and time alone are known."""
    rows = empty_results(n)
    rows["source_frame"] = rows["frame"]
    if scan is not None and len(scan) >= n:
        put_scan(rows, scan)
    rows["status"][list(missing)] = FrameStatus.MISSING
    return rows


def start_of(
    request: FileRequest,
    shape: tuple[int, int],
    dtype: np.dtype[Any],
    images: int,
    told: Geometry | None,
    mask: NDArray[np.uint32] | None,
    scan: Scan | None,
) -> Start:
    """Of a detector that a file tells whole, under what the request says of it."""
    use = request.settings
    geometry = _over(request, told, shape)
    bad_regions = None
    if use.geometry is not None and use.geometry.suffix.lower() == ".geom":
        bad_regions = read_mask(use.geometry, shape=shape)
    return Start(
        request.key,
        shape,
        "stream2",
        images=images,
        channels=(CHANNEL,),
        dtype=dtype,
        geometry=geometry,
        masks={CHANNEL: combine_masks(mask, bad_regions, *masks_in(use, shape), shape=shape)},
        instrument=Instrument(),
        frame_time=_frame_time(scan),
    )


def _over(request: FileRequest, told: Geometry | None, shape: tuple[int, int]) -> Geometry | None:
    own = PartialGeometry() if told is None else PartialGeometry.of(told, str(request.paths[0]))
    return geometry_over(request.settings, PartialGeometry(), own, shape)


def resolved(name: Path, folder: Path, allowed: Callable[[Path], bool]) -> Path | None:
    """The file of a name that was written down in another folder, perhaps on another machine."""
    for place in (folder / name, folder / name.name):
        with suppress(OSError):
            if place.is_file() and allowed(place):
                return place
    return None


def shape_of_spots(blocks: Iterable[PeakList]) -> tuple[int, int]:
    """(slow, fast), px, that hold all spots."""
    slow = fast = 1
    for some in blocks:
        if len(some):
            slow, fast = max(slow, int(np.ceil(some["slow"].max()))), max(fast, int(np.ceil(some["fast"].max())))
    return slow, fast
