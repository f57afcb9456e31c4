"""``crystint frames``: the results of each frame, printed, drawn, and written as a table."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np

from crystint.arrays import FileName
from crystint.errors import FileError, warn
from crystint.io.frame_table import csv_text, frame_table_in, write_frame_table
from crystint.io.kinds import unexpected
from crystint.io.names import expand
from crystint.io.opened_file import OpenedFile
from crystint.io.peaks.files import peaks_in, rows_in
from crystint.io.recognise import peak_list
from crystint.model.frame_table import FrameStatus, FrameTable, count_spots, empty_frame_table
from crystint.model.peaks import HIT
from crystint.model.raster import Raster
from crystint.run.outcome import Outcome
from crystint.run.step import HDF5, Job
from crystint.series.settings import SHOWN, FramesSettings
from crystint.series.summary import Series, rows_text, summary_of, summary_text

__all__ = ["frames", "rows_of"]


def frames(job: Job[FramesSettings]) -> Outcome:
    """Say what is in a table of frames, draw it, or write it in another format."""
    settings, paths = job.settings, [path for name in job.inputs["files"] for path in expand(name)]
    job.reads(paths)
    rows = rows_of(paths, settings.hit_peaks)
    raster = None if settings.grid is None else Raster.of(settings.grid, len(rows), zigzag=settings.zigzag)
    columns = settings.show or (SHOWN[:1] if raster is not None else SHOWN)
    series = Series(rows, columns, settings.x, raster, paths[0].name + " ..." * (len(paths) > 1))
    about = summary_of(series, settings.hit_peaks)
    if job.outputs:
        record = job.provenance(paths)
        write = partial(write_frame_table, rows=rows, provenance=record, overwrite=job.overwrite)
        job.write(series, dict.fromkeys((".csv", *HDF5), write))
    text = csv_text(rows).rstrip() if settings.csv else f"{summary_text(about, series)}\n\n{rows_text(rows)}"
    return Outcome(text, rows, data=about)


def rows_of(paths: Sequence[FileName], hit_peaks: int | None = None) -> FrameTable:
    """The tables of files, one after the other; the frames of several are numbered through.

    Of peak lists without a table there is what the peaks tell by themselves.

    Parameters
    ----------
    paths : sequence of path
    hit_peaks : int, optional
        Spots without ice that make a frame a hit; None = as the table has it.
    """
    tables = []
    for path in paths:
        with OpenedFile(path) as file:
            rows = frame_table_in(file)
            tables.append(_of_peaks(file, hit_peaks or HIT) if rows is None else rows)
    rows = np.concatenate(tables)
    if not len(rows):
        raise FileError(f"{', '.join(map(str, paths))}: no frames in it")
    if len(tables) > 1:
        rows["frame"] = np.arange(len(rows))
    if hit_peaks is not None:
        rows["hit"] = np.where(rows["n_no_ice"] >= 0, rows["n_no_ice"] >= hit_peaks, -1)
    return rows


def _of_peaks(file: OpenedFile, hit_peaks: int) -> FrameTable:
    """The table of a peak list that has none."""
    if not peak_list(file):
        lacking = "crystint peaks and crystint sparsify write one with every file; this one is older, or of others"
        raise unexpected(file, "table of frames", f"{Path(file.path)} holds no table of frames: {lacking}")
    peaks = peaks_in(file)
    number, missing = rows_in(file)
    if number is None:
        number = int(peaks["frame"].max(initial=-1)) + 1
        warn(
            f"{file.path} does not tell how many frames there were: frames behind the last with a peak are not counted"
        )
    rows = empty_frame_table(number)
    rows["status"][missing] = FrameStatus.MISSING
    first = np.searchsorted(peaks["frame"], np.arange(number + 1))
    for place in np.flatnonzero(rows["status"] != FrameStatus.MISSING):
        count_spots(rows[place], peaks[first[place] : first[place + 1]], hit_peaks)
    return rows
