"""``crystint stills integrate``: the observations of all frames that have images."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from crystint.arrays import FileName
from crystint.errors import FileError, warn
from crystint.io.frames.sequence import open_frames
from crystint.io.hdf5.provenance import read_provenance
from crystint.io.reflections.mtz_out import history_of, write_unmerged_mtz
from crystint.model.cells import symmetric_cell
from crystint.model.reference import Reference
from crystint.prediction.pair_frames import pair_frames
from crystint.prediction.resolution import edge_resolution
from crystint.run.frames import mask_of
from crystint.run.in_progress import RunInProgress, in_progress
from crystint.run.outcome import Outcome
from crystint.run.step import HDF5, Job
from crystint.stills.files import StillsRun, write_stills
from crystint.stills.inputs import read_indexed
from crystint.stills.integration.fit_check import typical_offset
from crystint.stills.integration.frame_record import result_of
from crystint.stills.integration.frame_stream import FrameResult
from crystint.stills.integration_work import IntegrationWork, IntegrationWorker, images_on, plan_of
from crystint.stills.settings import IntegrateSettings
from crystint.stills.start_width import bandwidth_of, check_images, given_width, measured_width
from crystint.stills.step_inputs import read_known

__all__ = ["integrate_frames"]

_COVERED = 0.1
"""of the reflections, that a reference should hold"""


def integrate_frames(job: Job[IntegrateSettings]) -> Outcome:
    """Integrate frames and write the observations: .h5 with everything, or .mtz, not scaled.

    The rocking width and the profiles are measured on some of the frames first; a run that is resumed measures them
    again, with the same result. A journal beside the first output keeps what was integrated while the run lasts. The
    result is a `StillsRun`.
    """
    source, settings, how = job.input("experiment"), job.settings, job.execution
    indexed = read_indexed(source, geometry=settings.geometry)
    images = indexed.images
    reference = read_known(settings.reference, images, settings.reference_column)
    with open_frames(*job.inputs["frames"], dataset=settings.dataset) as frames:
        if not len(frames):
            raise FileError(f"{', '.join(map(str, job.inputs['frames']))}: no frames in it")
        files = tuple(frames.all_files())
        job.reads(files)
        inputs: tuple[FileName, ...] = (
            source,
            *frames.files,
            *settings.files(),
            *([] if job.config is None else [job.config]),
        )
        if job.finished:
            return _finished(job, inputs)
        pairing = pair_frames(images, frames)
        chosen = images_on(frames, pairing, settings)
        if chosen is not None:
            images, pairing = images.select(chosen), pairing.select(chosen)
        check_images(source, images, pairing)
        symmetric_cell(images.cell, images.space_group)
        masked = mask_of(frames, settings, settings.geometry)
        mask = masked.pixels
        d_min = edge_resolution(images) if settings.d_min is None else settings.d_min
        width, origin = given_width(indexed, settings), "given"
        if width is None:
            width, origin = measured_width(
                source, frames, images, bandwidth_of(images, settings),
                d_min=d_min, mask=mask, noise=settings.noise, threads=how.workers, pairing=pairing,
            )  # fmt: skip
        plan = plan_of(frames, images, settings, mask, pairing, d_min, width, reference)
        profile, doubts = plan.widths(threads=how.workers)
        work = IntegrationWork.of(source, plan, settings, pairing, profile, chosen)
        worker = None if how.elsewhere else IntegrationWorker(plan, profile)
        same = {"d_min": d_min, "width": vars(width), "shape": list(frames.shape), "dtype": str(frames.dtype)}
        with in_progress(job, work, worker, len(plan.units), same=same, files=(str(source), *files)) as progress:
            results: list[FrameResult] = []
            with closing(progress.records()) as records:
                for record in job.progress(records, progress.total, "integrate"):
                    results.append(result_of(record))
            progress.check()
            integrated, more = plan.collect(results, profile)
            for doubt in (*doubts, *more):
                warn(doubt)
            if not len(integrated.observations) and integrated.notes:
                raise FileError(f"{source}: no image can be integrated: {next(iter(integrated.notes.values()))}")
            _check_reference(settings, reference, integrated.observations.hkl, images.space_group)
            record = job.provenance(inputs, progress.command, d_min=d_min, width=vars(width))
            record = progress.at_its_end(record)
            run = StillsRun(
                experiment=images,
                observations=integrated.observations,
                profile=integrated.profile,
                fit=integrated.fit,
                moments=integrated.moments,
                width=width,
                notes=integrated.notes,
                provenance=record,
            )
            write_mtz = partial(
                write_unmerged_mtz, observations=integrated.observations, experiment=images,
                history=history_of(record["inputs"]), overwrite=job.overwrite,
            )  # fmt: skip
            write_h5 = partial(write_stills, run=run, overwrite=job.overwrite)
            writers: dict[str, Callable[[Path], None]] = {".mtz": write_mtz, **dict.fromkeys(HDF5, write_h5)}
            job.write(run, writers)
    return _outcome(run, progress, results, origin, masked.about)


def _finished(job: Job[IntegrateSettings], inputs: tuple[FileName, ...]) -> Outcome:
    """The outcome of a run that has nothing left to do.

    What was measured depends on the inputs and the settings, which are compared; an .mtz does not say what it is of.
    """
    made = tuple(path for path in job.outputs if path.suffix.lower() in HDF5)
    if not made:
        raise FileError(f"{job.outputs[0]} does not say what it was made of; --overwrite replaces it")
    measured = read_provenance(made[0]).get("settings", {})
    used = {name: measured[name] for name in ("d_min", "width") if name in measured}
    return replace(job, outputs=made).nothing_to_do(inputs, **used)


def _check_reference(settings: IntegrateSettings, reference: Reference | None, hkl: Any, space_group: Any) -> None:
    """Warn of a reference that has hardly any of the reflections."""
    if reference is None:
        return
    count = int(np.isfinite(reference.match(hkl, space_group)).sum())
    if count < _COVERED * len(hkl):
        warn(
            f"the reference {settings.reference} holds {count or 'none'} of the {len(hkl)} reflections: it is "
            "hardly of use; is it of this crystal, and to this resolution?"
        )


def _outcome(run: StillsRun, progress: RunInProgress, results: list[FrameResult], origin: str, masked: str) -> Outcome:
    """Closing lines, frames that are missing, and images that gave nothing."""
    observations, width = run.observations, run.width
    assert observations is not None
    assert width is not None
    assert run.profile is not None
    usable = observations.usable
    strong = usable & (observations.intensity > 5.0 * observations.sigma)
    text = (
        f"{usable.sum()} of {len(usable)} reflections integrated on {len(np.unique(observations.image))} of "
        f"{len(run.images)} images, {strong.sum()} above 5 sigma; rocking width {width.domain:.3g} 1/angstrom"
        f"{f' and {1e3 * width.mosaicity:.3g} mrad' if width.mosaicity else ''} ({origin}){_offsets(run)}"
        f"{masked and f'; {masked}'}"
    )
    told = {image for result in results if result.missing is not None for image in result.notes}
    return Outcome(
        text,
        run,
        frames=progress.done,
        of=progress.total,
        missing=dict(sorted(progress.missing.items())),
        notes={image: note for image, note in run.notes.items() if image not in told},
        resumable=True,
    )


def _offsets(run: StillsRun) -> str:
    """How far spots are from where they are predicted, and from their profiles."""
    assert run.profile is not None
    assert run.fit is not None
    before, after = typical_offset(run.profile)
    text = (
        ""
        if not np.isfinite(before)
        else (f"; spots {before:.2f} px from predicted places, {after:.2f} px from their profiles")
    )
    chi2 = run.fit.chi2[np.isfinite(run.fit.chi2)]
    return f"{text}, with chi^2 {np.median(chi2):.2f} per pixel" if text and len(chi2) else text
