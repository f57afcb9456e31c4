"""Peak lists and tables of frames over the frames that they were made of."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from crystint.errors import FileError, note
from crystint.io.frames.readers import FrameSource
from crystint.io.opened_file import OpenedFile
from crystint.io.peaks.by_frame import PeaksByFrame, peaks_by_frame, sources_in
from crystint.io.peaks.files import shape_in
from crystint.io.peaks.image_numbers import image_numbers
from crystint.model.frame_table import FrameStatus
from crystint.online.file_openers import table_in
from crystint.online.file_parts import FileRequest
from crystint.online.file_series import EmptyFrames, FileSeries, SpotOverlay

__all__ = ["lay_over"]


def lay_over(
    request: FileRequest, among: Sequence[FileSeries], *, asked: bool
) -> tuple[FileSeries, SpotOverlay | None] | None:
    """Put the spots and the rows of a file over the images that they belong to.

    Parameters
    ----------
    request : FileRequest
        Of a peak list, or a table of frames.
    among : sequence of FileSeries
        That may be the frames.
    asked : bool
        The user has said that it belongs to one of them: where the file names no frames, their number decides.

    Returns
    -------
    series, overlay : FileSeries, SpotOverlay or None
        None = the file has rows alone. Or None in place of both: it belongs to none of them.

    Raises
    ------
    FileError
        When it is damaged.
    """
    path = request.paths[0]
    with OpenedFile(path) as file:
        table = table_in(file)
        shape = shape_in(file)
    try:
        peaks: PeaksByFrame | None = peaks_by_frame(path)
    except FileError:
        if table is None:
            raise
        peaks = None
    sources = sources_in(path)
    frames = len(table[0]) if peaks is None and table is not None else len(peaks or ())
    numbers: NDArray[np.int64] | None = None
    named = {os.path.basename(name) for name, _ in sources}
    series = next((each for each in among if named and named <= _names(each)), None)
    if series is None and asked:
        alike = [each for each in among if len(each.frames) and not isinstance(each.frames, EmptyFrames)]
        fits = [each for each in alike if shape in (None, each.frames.shape)]
        enough = [each for each in fits if frames <= len(each.frames)]
        exact = [each for each in enough if len(each.frames) == frames] or (enough if peaks is not None else [])
        counted = [each for each in fits if peaks is not None and _numbers(each, peaks) is not None]
        if peaks is not None and counted and not exact:
            series = counted[-1]
            numbers = _numbers(series, peaks)
            text = f"it is taken to be of {series.key}, by the numbers in their names"
            note(f"{path.name} does not name its frames: {text}")
        elif exact:
            series = exact[-1]
            others = f" (and not {', '.join(str(each.key) for each in exact[:-1])})" if len(exact) > 1 else ""
            note(f"{path.name} does not name its frames: it is taken to be of {series.key}{others}, frame by frame")
            sources = []
    if series is None:
        return None
    frame_of = _frame_of(series, sources) if numbers is None else numbers.item
    overlay = None
    if peaks is not None:
        overlay = series.add_overlay(SpotOverlay(path.name, str(request.key), peaks, frame_of))
    if (series.arrived.table["n_spots"] >= 0).any():
        return series, overlay
    if table is None and peaks is not None:
        mine = series.arrived.table.copy()
        places = _places(series, frame_of, len(peaks))
        mine["n_spots"][places >= 0] = peaks.counts[places[places >= 0]]
        mine["status"][(places >= 0) & (mine["status"] == FrameStatus.SKIPPED)] = FrameStatus.OK
        series.put(mine)
    if table is not None:
        places = _places(series, frame_of, len(table[0]))
        rows, regions, names = table
        mine = series.arrived.table.copy()
        there = places >= 0
        before = {name: mine[name].copy() for name in ("frame", "source_frame", "angle", "time")}
        mine[there] = rows[places[there]]
        for name, values in before.items():
            lost = there & (np.isnan(mine[name]) if name in ("angle", "time") else np.ones(len(mine), bool))
            mine[name][lost] = values[lost]
        held = None
        if regions is not None:
            held = np.zeros((len(mine), regions.shape[1]), regions.dtype)
            held[there] = regions[places[there]]
        series.put(mine, held, names)
    return series, overlay


def _names(series: FileSeries) -> set[str]:
    """Names of the files of its frames, without their folders."""
    files = [*map(str, series.files), *getattr(series.frames, "files", ())]
    return set(map(os.path.basename, files))


def _numbers(series: FileSeries, peaks: PeaksByFrame) -> NDArray[np.int64] | None:
    """int64 [images]: numbers of the images as DIALS and XDS count those of files that have one each, by their names.

    None = a list with such numbers is not of these images.
    """
    if series.sources is None or peaks.whole is None:
        return None
    sources = [FrameSource(*series.sources(image)) for image in range(len(series.frames))]
    numbers = image_numbers(len(sources), sources)
    return numbers if np.isin(np.flatnonzero(peaks.counts), numbers).all() else None


def _frame_of(series: FileSeries, sources: Sequence[tuple[str, int]]) -> Callable[[int], int]:
    """The frame of the list that an image of the series is."""
    told = series.sources
    if not sources or told is None:
        return _same
    one_file = len({name for name, _ in sources}) == 1 and len(_names(series)) == 1
    if one_file and [index for _, index in sources] == list(range(len(sources))):
        return _same
    frames = {(os.path.basename(name), index): frame for frame, (name, index) in enumerate(sources)}

    def frame_of(image: int) -> int:
        name, index = told(image)
        return frames.get((os.path.basename(name), index), -1)

    return frame_of


def _same(image: int) -> int:
    return image


def _places(series: FileSeries, frame_of: Callable[[int], int], rows: int) -> NDArray[np.int64]:
    """int64 [images]: the row of the table of each image; -1 = it has none."""
    images = range(len(series.frames))
    places = np.arange(len(images)) if frame_of is _same else np.array([frame_of(image) for image in images], np.int64)
    return np.where(places < rows, places, -1)
