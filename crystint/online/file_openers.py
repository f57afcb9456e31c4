"""How each kind of file becomes a series that is looked at: its frames, its detector, its rows and its spots."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crystint.engine import Engine
from crystint.errors import CrystintError, FileError, GeometryError, RefusedError, note, warn
from crystint.io.frame_table import frame_table_in
from crystint.io.frames.sequence import Frames, open_frames
from crystint.io.kinds import Recognised, kinds_read, opened_kind
from crystint.io.opened_file import OpenedFile
from crystint.io.peaks.by_frame import PeaksByFrame, peaks_by_frame, sources_in
from crystint.io.peaks.files import geometry_told, scan_in, shape_in
from crystint.io.rois import roi_table_in
from crystint.io.series.results_file import read_columns
from crystint.io.sparse.file import SparseFile
from crystint.io.sparse.open import open_sparse
from crystint.model.frame_table import FrameStatus
from crystint.model.rois import ROI_DTYPE
from crystint.online.file_experiments import open_run, open_stream
from crystint.online.file_parts import (
    FileRequest,
    of_frames,
    resolved,
    rows_of_scan,
    series_of,
    shape_of_spots,
    start_of,
)
from crystint.online.file_series import EmptyFrames, FileSeries, SpotOverlay, results_of_table
from crystint.online.result import STREAM_COLUMNS, ResultTable
from crystint.ops.dense_frames import DenseFrames

__all__ = ["PLACED", "open_series", "peaks_recognised", "table_in", "told_instead"]

PLACED: Mapping[str, Any] = {
    "geometry": None, "mask": (), "mask_valid": False, "distance": None, "beam": None, "wavelength": None,
    "pixel_size": None, "beam_outside": True,
}  # fmt: skip
"""Settings of the service that are not those of a file, whose start tells all of its detector"""


class DenseOfFile:
    """Frames that are made of a sparse file where they are looked at."""

    def __init__(self, sparse: SparseFile, engine: Callable[[], Engine]) -> None:
        self.sparse, self._engine = sparse, engine
        self.shape, self.dtype = sparse.shape, sparse.dtype
        self._dense: DenseFrames | None = None

    def __len__(self) -> int:
        return len(self.sparse)

    def read(self, index: int) -> NDArray[Any]:
        """One frame."""
        if self._dense is None:
            self._dense = self.sparse.dense(engine=self._engine())
        frame: NDArray[Any] = self._dense[index]
        return frame

    def close(self) -> None:
        """Close the file."""
        self.sparse.close()


def open_series(request: FileRequest) -> FileSeries:
    """Open files.

    Raises
    ------
    RefusedError
        When they are of a kind that is not looked at here: what they are, and what shows them.
    CrystintError
        When they cannot be read, or what places the detector does not fit.
    """
    path = request.paths[0]
    with OpenedFile(path, request.settings.dataset) as file:
        recognised = opened_kind(file)
    if recognised is None:
        raise FileError(f"{path} is of no kind that crystint knows; it reads {kinds_read()}")
    opener = _OPENERS.get(recognised.name)
    if opener is None:
        raise RefusedError("bad_value", f"{path.name} is {recognised.text}: {told_instead(recognised)}", "path")
    with ExitStack() as stack:
        series = opener(request, stack)
        stack.pop_all()
    series.kind, series.files = recognised.name, request.paths
    return series


def told_instead(recognised: Recognised) -> str:
    """What shows a file that is no series of images."""
    if recognised.kind.draw:
        return f"`crystint plot` draws it; {recognised.kind.advice}"
    return recognised.kind.advice


def peaks_recognised(recognised: Recognised) -> bool:
    """Whether a file can be an overlay of frames: it has spots by frame, or a table of frames, and no image."""
    return recognised.name in ("peak list", "reflections", "table of frames", "regions of interest")


# ---------------------------------------------------------------------------------------------------- frames


def _frames(request: FileRequest, stack: ExitStack) -> FileSeries:
    use = request.settings
    frames = stack.enter_context(open_frames(list(request.paths), dataset=use.dataset, frames=use.frames))
    series = of_frames(request, frames)
    has_rows = False
    if len(request.paths) == 1:
        with OpenedFile(request.paths[0]) as file:
            has_rows = _put_rows(series, file)
    if not has_rows:
        rows = series.arrived.table.copy()
        rows["status"][rows["status"] == FrameStatus.OK] = FrameStatus.SKIPPED
        series.put(rows)
        note(
            "nothing was looked for in these frames yet: the spots of an image are found when it is shown; a list of "
            "crystint peaks beside them, or a job, gives plots and tables of all"
        )
    return series


# ---------------------------------------------------------------------------------------------------- sparse files


def _sparse(request: FileRequest, stack: ExitStack) -> FileSeries:
    sparse = stack.enter_context(open_sparse(request.paths[0]))
    rings = sparse.rings
    instrument = sparse.instrument
    if len(sparse) and instrument.saturation is None:
        instrument = replace(instrument, saturation=sparse[0].background.saturation)
    start = start_of(request, sparse.shape, sparse.dtype, len(sparse), sparse.geometry, rings.mask, sparse.scan)
    series = series_of(
        request, DenseOfFile(sparse, request.engine), replace(start, valid=rings.valid, instrument=instrument)
    )
    note(
        "the images are made of the sparse file: pixels that it has are as they were measured, all others are drawn "
        "from the background, as crystint densify does"
    )
    sources = sparse.sources
    if sources:
        series.sources = lambda image: (sources[image].file, sources[image].index)
    missing = dict.fromkeys(sparse.missing, "")
    series.put(rows_of_scan(len(sparse), sparse.scan, missing))
    with OpenedFile(request.paths[0]) as file:
        _put_rows(series, file)
    if sparse.has_peaks:
        series.add_overlay(_overlay(request, peaks_by_frame(request.paths[0])))
    return series


# ------------------------------------------------------------------------------------------------------ peak lists


def _overlay(request: FileRequest, peaks: PeaksByFrame) -> SpotOverlay:
    return SpotOverlay(request.paths[0].name, str(request.key), peaks)


def _peaks(request: FileRequest, stack: ExitStack) -> FileSeries:
    path = request.paths[0]
    peaks = peaks_by_frame(path)
    series = _named_frames(request, peaks, stack)
    if series is None:
        series = _without_frames(request, peaks)
    with OpenedFile(path) as file:
        if not _put_rows(series, file):
            rows = series.arrived.table.copy()
            counted = min(len(rows), len(peaks))
            rows["n_spots"][:counted] = peaks.counts[:counted]
            series.put(rows)
    series.add_overlay(_overlay(request, peaks))
    return series


def _named_frames(request: FileRequest, peaks: PeaksByFrame, stack: ExitStack) -> FileSeries | None:
    """The frames that a peak list names, where they are there; None = they are not."""
    path = request.paths[0]
    sources = sources_in(path)
    names = list(dict.fromkeys(name for name, _ in sources))
    places = [resolved(Path(name), path.parent, request.allowed) for name in names]
    files = [place for place in places if place is not None]
    try:
        if names and len(files) == len(names):
            frames = stack.enter_context(open_frames(files, dataset=request.settings.dataset))
            chosen = _places_in(frames, dict(zip(names, files)), sources)
            return of_frames(request, frames if chosen is None else stack.enter_context(frames.select(chosen)))
        if path.suffix.lower() == ".cxi" and not names:
            with suppress(FileError):  # of another program, and perhaps with the frames in it
                return of_frames(request, stack.enter_context(open_frames(path, dataset=request.settings.dataset)))
    except (FileError, IndexError) as error:
        warn(f"the frames of {path.name} cannot be read ({error})")
        return None
    if names:
        missing = [name for name, place in zip(names, places, strict=True) if place is None]
        more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        warn(f"the frames of {path.name} are not there, or may not be read: {missing[0]}{more}")
    return None


def _places_in(frames: Frames, places: Mapping[str, Path], sources: Sequence[tuple[str, int]]) -> list[int] | None:
    """Numbers of the frames that the list is of; None = all of them, as they are."""
    if len(places) == 1:
        chosen = [index for _, index in sources]
    else:
        each = map(frames.source, range(len(frames)))
        at = {(source.file, source.index): number for number, source in enumerate(each)}
        try:
            chosen = [at[str(places[name]), index] for name, index in sources]
        except KeyError as error:
            raise FileError(f"there is no frame {error.args[0][1]} in {error.args[0][0]}") from None
    return None if chosen == list(range(len(frames))) else chosen


def _without_frames(request: FileRequest, peaks: PeaksByFrame) -> FileSeries:
    path = request.paths[0]
    with OpenedFile(path) as file:
        shape, geometry, scan = shape_in(file), geometry_told(file), scan_in(file)
    if shape is None and geometry is not None:
        shape = geometry.shape
    if shape is None:
        shape = shape_of_spots(peaks.blocks())
        warn(f"{path.name} does not tell the shape of its frames: {shape[0]} x {shape[1]} px holds all of its spots")
    warn(f"the spots of {path.name} are shown on empty images: their counts are in the frames")
    start = start_of(request, shape, np.dtype(np.uint16), len(peaks), geometry, None, scan)
    series = series_of(request, EmptyFrames(shape, len(peaks)), start)
    series.put(rows_of_scan(len(peaks), scan, {}))
    return series


# --------------------------------------------------------------------------------------------------------- tables


def _table(request: FileRequest, stack: ExitStack) -> FileSeries:
    """A table by itself: plots of its columns, and no images."""
    path = request.paths[0]
    series = FileSeries(request.key, {"shape": None, "geometry": None, "frame_time": None})
    with OpenedFile(path) as file:
        table = table_in(file)
    if table is None:
        raise FileError(f"{path} has no row for each frame: crystint roi writes them as .h5")
    series.put(*table)
    warn(f"{path.name} has the results of images, and not the images: there are plots, and nothing to look at")
    return series


Rows = tuple[ResultTable, NDArray[np.void] | None, tuple[str, ...]]


def table_in(file: OpenedFile) -> Rows | None:
    """Rows of the table of frames in a file, with the stream's columns, and what regions held, and their names.

    None = there is no table.

    Raises
    ------
    FileError
        When it is damaged.
    """
    table = frame_table_in(file)
    if table is None:
        return None
    rows = results_of_table(table)
    if file.hdf5 is None:
        return rows, None, ()
    read_columns(file, STREAM_COLUMNS, rows)
    return rows, *_regions(file, len(rows))


def _put_rows(series: FileSeries, file: OpenedFile) -> bool:
    """Take over the table of frames in a file, where there is one that fits."""
    try:
        table = table_in(file)
    except CrystintError as error:
        warn(f"the table of frames in {file.path.name} cannot be read: {error}")
        return False
    if table is None:
        return False
    rows, regions, names = table
    before = series.arrived.table
    if len(before) != len(rows):
        warn(f"the table of frames in {file.path.name} has {len(rows)} rows for {len(before)} images: it is left out")
        return False
    for name in ("angle", "time"):
        if np.isnan(rows[name]).all():
            rows[name] = before[name]
    series.put(rows, regions, names)
    return True


def _regions(file: OpenedFile, n: int) -> tuple[NDArray[np.void] | None, tuple[str, ...]]:
    """What regions of interest held, [n, regions], and their names."""
    table = None if file.hdf5 is None else roi_table_in(file.hdf5)
    if table is None or not table.values or len(table) != n:
        return None, ()
    values = np.zeros((n, len(table.values)), ROI_DTYPE)
    for place, each in enumerate(table.values.values()):
        values[:, place] = each
    return values, tuple(table.values)


def _reflections(request: FileRequest, stack: ExitStack) -> FileSeries:
    try:
        return _peaks(request, stack)
    except (KeyError, GeometryError) as error:
        raise FileError(f"{request.paths[0]} has no places of spots on the detector ({error})") from None


_OPENERS: Mapping[str, Callable[[FileRequest, ExitStack], FileSeries]] = {
    "frames": _frames,
    "sparse file": _sparse,
    "peak list": _peaks,
    "reflections": _reflections,
    "stills file": open_run,
    "stream of indexed images": open_stream,
    "table of frames": _table,
    "regions of interest": _table,
}
"""By the name of the kind, `crystint.io.kinds`; of other kinds it is said what shows them"""
