"""``crystint correlate correlate``: angular correlations of frames, averaged, and results of runs added to them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from crystint.arrays import FileName
from crystint.correlate.add_step import add_results
from crystint.correlate.exposures import Exposures, grid_of, grid_used, missing_in, opened, q_of
from crystint.correlate.files import read_correlations, write_correlations
from crystint.correlate.frame_step import PolarWork, PolarWorker
from crystint.correlate.pairs.exposure_pairs import block_ends, correlate_alike, correlate_neighbours
from crystint.correlate.pairs.ring_cleaning import NO_DATA, CleanExposure, Cleaning
from crystint.correlate.settings import AddSettings, CorrelateSettings
from crystint.correlate.sums.correlator import Correlator
from crystint.errors import FileError, SettingError, warn
from crystint.io.hdf5.provenance import read_provenance
from crystint.model.correlation_run import CorrelationRun
from crystint.model.correlation_sums import CorrelationSums
from crystint.model.polar_grid import PolarGrid
from crystint.run.in_progress import RunInProgress, in_progress
from crystint.run.outcome import Outcome, listed
from crystint.run.step import Job

__all__ = ["correlate", "row_pairs"]

_MEMORY = 8e9
"""bytes that sums may take"""


def correlate(job: Job[CorrelateSettings]) -> Outcome:
    """Correlate all frames, and write the mean, its error, and the sums. Memory does not grow with the frames.

    Clean rings of every frame are in the journal while the run lasts: pairs of like exposures are looked up there.
    """
    settings, how, (output,) = job.settings, job.execution, job.outputs
    if not job.inputs["frames"]:
        return add_results(cast(Job[AddSettings], replace(cast(Any, job), settings=settings.of_results())))
    with opened(job.inputs["frames"], settings) as exposures:
        files, total = tuple(exposures.frames.all_files()), len(exposures.frames)
        job.reads(files)
        grid = grid_of(exposures, settings)
        pairs = row_pairs(grid, settings.cross)
        blank = _blank(exposures, grid, pairs, settings)
        if settings.difference is not None and total < 2:
            raise SettingError(f"differences need two exposures, and there is {total}")
        for path in settings.add:
            blank.check_adds(read_correlations(path), grid.azimuths, f"{path} and these frames")
        inputs: list[FileName] = [*exposures.frames.files, *settings.add]
        facts: dict[str, Any] = {
            "grid_used": grid_used(grid),
            "difference": settings.difference,
            "order": settings.order,
            "scale": settings.scaling,
            "norm": blank.norm,
            "by_intensity": blank.by_intensity,
        }
        if settings.add:
            facts["parts"] = [read_provenance(path) for path in settings.add]
        if job.finished:
            return job.nothing_to_do(inputs, **exposures.used(""), **facts, missing=missing_in(output))
        treatment = Cleaning(settings)
        worker = None if how.elsewhere else PolarWorker.of(exposures, grid, settings, treatment, how.device)
        work = PolarWork.of(exposures, settings, treatment)
        correlator = Correlator(pairs=pairs, centered=settings.subtract == "mean")
        with in_progress(job, work, worker, total, same=exposures.same, files=files) as progress:
            _correlate(job, progress, correlator)
            run = replace(blank, sums=correlator.sums)
            for path in settings.add:
                run += read_correlations(path)
            used = exposures.used(progress.device) | facts
            record = job.provenance(inputs, progress.command, **used, missing=[*progress.missing])
            run = replace(run, provenance=progress.at_its_end(record))
            write_correlations(output, run, coefficients=settings.coefficients, overwrite=job.overwrite)
    done = progress.done
    masked = exposures.masked and f"; {exposures.masked}"
    return Outcome(
        f"{done} frame{'' if done == 1 else 's'}; {run.about}{masked}", run, frames=done, of=total,
        missing=progress.missing, resumable=True,
    )  # fmt: skip


def _blank(
    exposures: Exposures, grid: PolarGrid, pairs: NDArray[np.int64] | None, settings: CorrelateSettings
) -> CorrelationRun:
    """The run without any exposure.

    Raises
    ------
    SettingError
        When its sums take too much memory, or coefficients are asked for that there cannot be.
    """
    own = np.repeat(np.arange(len(grid.radii))[:, None], 2, axis=1)
    rows = own if pairs is None else pairs
    _check_memory(len(rows), grid.azimuths)
    if settings.coefficients is not None and settings.coefficients > grid.azimuths // 2:
        raise SettingError(
            f"coefficients is {settings.coefficients}, expected 0 to {grid.azimuths // 2} for {grid.azimuths} lags"
        )
    geometry = exposures.geometry
    return CorrelationRun(
        sums=CorrelationSums(),
        radii=grid.radii,
        pairs=rows.astype(np.int64),
        q=q_of(grid, geometry),
        wavelength=None if geometry is None else geometry.wavelength,
        kind=settings.kind,
        norm=settings.norm or "mask",
        by_intensity=bool(settings.by_intensity),
        of_q=grid.q is not None,
        direction=grid.direction,
    )


def _correlate(job: Job[CorrelateSettings], progress: RunInProgress, correlator: Correlator) -> None:
    """Add all exposures, or differences of them, to the sums.

    Raises
    ------
    FileError, SettingError
        When there is nothing to be written.
    KeyboardInterrupt
        When the run was stopped so early that this is not known.
    """
    settings, total = job.settings, progress.total
    with closing(progress.records()) as records:
        exposures: Iterator[CleanExposure] = (
            CleanExposure.of_record(record)
            for record in job.progress(records, total, "correlate")
            if record.missing is None
        )
        if settings.difference is None:
            for exposure in exposures:
                correlator.add(exposure.values, exposure.weights)
            progress.check()
            return
        if settings.difference == "next":
            left_over = correlate_neighbours(correlator, exposures)
        else:

            def again(number: int) -> CleanExposure:
                return CleanExposure.of_record(progress.again(number))

            ends = block_ends(total, settings.block)
            left_over = correlate_alike(correlator, exposures, again, settings.difference, ends)
    if not correlator.number:
        if progress.stopped:
            raise KeyboardInterrupt
        there = total - len(progress.missing)
        if there < 2:
            empty = any(reason.endswith(NO_DATA) for reason in progress.missing.values())
            what = "could be read" + (" and have data" if empty else "")
            raise FileError(f"differences need two exposures, and {there} of {total} {what}")
        raise SettingError("no two exposures can be paired: their rings have too few values for a curve")
    if left_over:
        count = len(left_over)
        warn(f"{count} exposure{'' if count == 1 else 's'} without a partner: {listed(left_over)}")


def row_pairs(grid: PolarGrid, cross: Sequence[str | tuple[float, float]]) -> NDArray[np.int64] | None:
    """int64 [rows, 2]: the rows of the grid that are to be correlated with one another; None = each with itself.

    Parameters
    ----------
    grid : PolarGrid
    cross
        Two rings, px (1/angstrom in a grid of q), or "all".

    Raises
    ------
    SettingError
        When the grid has no such ring, or sums of all pairs take too much memory.
    """
    if not cross:
        return None
    values = grid.radii if grid.q is None else grid.q
    rows: list[tuple[int, int]] = []
    for rings in cross:
        if isinstance(rings, str):
            rows += [(i, j) for i in range(len(values)) for j in range(i, len(values))]
            _check_memory(len(rows), grid.azimuths)
        else:
            rows.append((_row(values, rings[0]), _row(values, rings[1])))
    return np.array(list(dict.fromkeys(rows)), dtype=np.int64)


def _row(values: NDArray[np.float64], value: float) -> int:
    row = int(np.argmin(np.abs(values - value)))
    step = float(np.diff(values).max()) if len(values) > 1 else 1.0
    if abs(values[row] - value) > 0.5 * step * (1.0 + 1e-9):
        raise SettingError(f"there is no ring at {value:g}: rings are from {values[0]:g} to {values[-1]:g}")
    return row


def _check_memory(rows: int, azimuths: int) -> None:
    size = 40.0 * rows * azimuths
    if size > _MEMORY:
        raise SettingError(
            f"{rows} correlations of {azimuths} lags take {size / 1e9:.0f} GB, more than {_MEMORY / 1e9:.0f}: choose "
            "fewer rings or azimuths, or crystint.correlate.sums.all_pairs, which works in parts"
        )
