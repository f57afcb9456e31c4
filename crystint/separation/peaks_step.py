"""``crystint peaks``: the peaks of all frames, in every requested format."""

from __future__ import annotations

from contextlib import closing
from functools import partial
from pathlib import Path

from crystint.io.frame_table import write_frame_table
from crystint.io.frames.frame_sources import FrameSources
from crystint.io.peaks.files import write_peaks
from crystint.model.appended_rows import AppendedRows
from crystint.model.frame_table import FRAME_DTYPE, FrameTable, put_scan
from crystint.model.peaks import PEAK_DTYPE, PeakList
from crystint.model.spots import SpotList
from crystint.run.in_progress import RunInProgress, in_progress
from crystint.run.outcome import Outcome
from crystint.run.step import Job
from crystint.separation.frame_step import PeakSearch, SeparationWork, SeparationWorker, peaks_of, row_of, warm_up
from crystint.separation.join_frames import joined_frames
from crystint.separation.persistent import persistent_peaks
from crystint.separation.prepared import PreparedRun, opened
from crystint.separation.results import Separated, outcome_of
from crystint.separation.settings import PeaksSettings

__all__ = ["find"]


def find(job: Job[PeaksSettings]) -> Outcome:
    """Peaks of all frames. A journal beside the first output keeps what was all_peaks while the run lasts."""
    settings, how = job.settings, job.execution
    search = PeakSearch(settings.snr if settings.snr is not None else 5.0, settings.hits_only)
    remote = how.elsewhere or job.finished
    lists, rows = AppendedRows(PEAK_DTYPE), AppendedRows(FRAME_DTYPE)
    ahead = partial(warm_up, treatment=search)
    with opened(job.inputs["frames"], settings, how.device, remote=remote, apart=True, warm_up=ahead) as run:
        files = tuple(run.frames.all_files())
        job.reads(files)
        joined = joined_frames(run.frames.numbers, run.scan, settings, search.snr)
        if job.finished:
            return job.nothing_to_do(run.frames.files, snr=search.snr, join=joined is not None, **run.used(""))
        worker = None if remote else SeparationWorker(run, search)
        same = {"snr": search.snr, "shape": list(run.frames.shape), "dtype": str(run.frames.dtype)}
        with in_progress(
            job, SeparationWork.of(run, search), worker, len(run.frames), same=same, files=files
        ) as progress:
            with closing(progress.records()) as records:
                for record in job.progress(records, progress.total, "peaks"):
                    peaks = peaks_of(record)
                    if peaks is not None:
                        lists.add(peaks)
                    rows.add(row_of(record))
                    if joined is not None:
                        joined.add(record, peaks)
            progress.check()
            results, all_peaks = rows.end(), lists.end()
            put_scan(results, run.scan)
            results["source_frame"] = run.frames.numbers[results["frame"]]
            spots = None if joined is None else joined.spots()
            persistent = persistent_peaks(run, all_peaks, progress.done)
            persistent.flag(all_peaks)
            if spots is not None:
                spots = persistent.judged(spots, keep=settings.persistent)
            if not settings.persistent:
                all_peaks = persistent.dropped(all_peaks, results, settings.hit_peaks)
            _write(job, run, progress, all_peaks, results, spots, search.snr)
    separated = Separated(
        results,
        unusable=tuple(progress.unusable),
        masked=run.masked,
        hit_peaks=settings.hit_peaks,
        spots=spots,
        persistent=persistent.text(dropped=not settings.persistent),
    )
    return outcome_of(progress, separated)


def _write(
    job: Job[PeaksSettings],
    run: PreparedRun,
    progress: RunInProgress,
    peaks: PeakList,
    results: FrameTable,
    spots: SpotList | None,
    snr: float,
) -> None:
    """All of the outputs, or none."""
    used = run.used(progress.device) | {"join": spots is not None}
    record = job.provenance(run.frames.files, progress.command, snr=snr, **used)
    record = progress.at_its_end(record)

    def write(path: Path) -> None:
        if path.suffix.lower() == ".csv":
            write_frame_table(path, results, provenance=record, overwrite=job.overwrite)
            return
        write_peaks(
            path,
            peaks,
            shape=run.frames.shape,
            n_frames=progress.done,
            geometry=None if run.apart else run.geometry,  # that of each file is in the provenance
            frames_per_file=FrameSources.of(map(run.frames.source, range(progress.done))),
            provenance=record,
            missing=list(progress.missing),
            results=results,
            overwrite=job.overwrite,
            scan=run.scan,
            spots=spots,
            numbers=run.frames.numbers[: progress.done],
        )

    job.write(peaks, write)
