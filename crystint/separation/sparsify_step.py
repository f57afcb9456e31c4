"""``crystint sparsify``: signal and background of all frames, streamed to a sparse file."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace
from functools import partial
from typing import Any

from crystint.errors import SettingError
from crystint.io.frames.frame_sources import FrameSources
from crystint.io.sparse.maps import maps_state, refuse_maps
from crystint.io.sparse.row import SparseRow
from crystint.io.sparse.writer import SparseWriter
from crystint.model.appended_rows import AppendedRows
from crystint.model.frame_table import FRAME_DTYPE, FrameStatus, put_scan
from crystint.model.spot_rows import SPOT_DTYPE, spots_in
from crystint.run.in_progress import in_progress
from crystint.run.outcome import Outcome
from crystint.run.step import Job
from crystint.separation.audit import reflection_sums
from crystint.separation.estimate import estimate
from crystint.separation.frame_step import SeparationWork, SeparationWorker, Sparsification, peaks_of, row_of, warm_up
from crystint.separation.input_sums import input_sums
from crystint.separation.loss import Choice, choose, cost
from crystint.separation.persistent import persistent_peaks
from crystint.separation.prepared import opened
from crystint.separation.ratio import Ratio
from crystint.separation.results import Separated, outcome_of
from crystint.separation.settings import SparsifySettings
from crystint.separation.sparsify_parts import JoinedParts, PartNotes
from crystint.summation.frame_audit import FrameAudit
from crystint.summation.report import audit_dict

__all__ = ["sparsify"]

_SNR = 3.0
_LOSS, _LOSS_ABOVE = 0.01, 10.0
"""of intensities above so many sigma, of snr auto"""


def sparsify(job: Job[SparsifySettings]) -> Outcome:
    """Signal and background of all frames; with their peaks on request.

    A journal beside the output keeps what was done while the run lasts.
    """
    if job.settings.estimate:
        return estimate(job, _sparsify)
    if not job.outputs:
        raise SettingError("no output: name the file to write with -o (--estimate alone does without)")
    outcome = _sparsify(job)
    if outcome.unchanged or job.execution.virtual:
        return outcome
    ratio = Ratio.of(job.outputs[0], outcome.data["raw_bytes"], job.settings.maps)
    first, *rest = outcome.text.split("\n")
    text = "\n".join([f"{first}, {ratio.text}", *rest])
    return replace(outcome, text=text, data={**outcome.data, **ratio.to_dict()})


def _sparsify(job: Job[SparsifySettings]) -> Outcome:
    """The run, and the file that it makes."""
    settings, how, (output,) = job.settings, job.execution, job.outputs
    every = settings.audited
    chosen = Choice.made(output) if settings.snr == "auto" and job.finished else None
    work = Sparsification(
        _SNR if settings.snr is None or settings.snr == "auto" else settings.snr,
        settings.peaks,
        settings.spots,
        settings.hits_only,
        every,
        settings.grow or 0,
    )
    elsewhere = how.elsewhere or job.finished
    remote = elsewhere and (job.finished or settings.snr != "auto")  # the threshold is found here
    rows, spots, persistent = AppendedRows(FRAME_DTYPE), AppendedRows(SPOT_DTYPE), ""
    ahead = partial(warm_up, treatment=work)
    with opened(job.inputs["frames"], settings, how.device, remote=remote, warm_up=ahead) as run:
        files = tuple(run.frames.all_files())
        if run.boxes is not None:
            files += tuple(map(str, run.boxes.files))
        job.reads(files, () if settings.maps is None else settings.maps)
        refuse_maps(output)
        raw_bytes = run.frames.stored_bytes
        used: dict[str, Any] = {"snr": work.snr, "grow": work.grow}
        if settings.snr == "auto":
            chosen = chosen or choose(run, settings.loss or _LOSS, settings.loss_above or _LOSS_ABOVE, settings.grow)
            work = replace(work, snr=chosen.snr, grow=chosen.grow)
            used = {"snr": chosen.snr, "grow": chosen.grow, "chosen": chosen.plain()}
        if job.finished:
            return job.nothing_to_do(run.frames.files, **used, **run.used(""))
        worker = None if elsewhere else SeparationWorker(run, work)
        same = {"snr": work.snr, "grow": work.grow, "shape": list(run.frames.shape), "dtype": str(run.frames.dtype)}
        same |= maps_state(settings.maps, output)
        with (
            input_sums(files, settings.checksum_inputs) as sums,
            in_progress(job, SeparationWork.of(run, work), worker, len(run.frames), same=same, files=files) as progress,
        ):
            numbers, scan = progress.numbers, run.scan
            notes = None if how.part is None else PartNotes(numbers)
            joined = None if how.parts is None else JoinedParts(how.parts)
            writer = SparseWriter(
                output,
                run.rings,
                run.frames.dtype,
                geometry=run.geometry,
                provenance=job.provenance(run.frames.files, progress.command, **used, **run.used(progress.device)),
                sources=FrameSources.of(map(run.frames.source, numbers)),
                compact=settings.compact,
                peaks=settings.peaks,
                overwrite=job.overwrite,
                pool=progress.pool,
                scan=scan if scan is None or notes is None else scan.select(numbers),
                instrument=run.instrument,
                metadata=run.frames.metadata(),
                compression=settings.compression,
                maps=settings.maps,
            )
            reflections = reflection_sums(run.rings, settings, run.boxes)
            with writer, closing(progress.records(lambda: writer.first)) as records:
                if joined is not None:
                    progress.joined(joined.missing, joined.unusable)
                    rows.add(joined.results)
                    if settings.peaks:
                        spots.add(joined.spots)
                    for each in joined.audits:
                        reflections.add(each)
                    records.close()
                for record in job.progress(records, len(numbers), "sparsify"):
                    if notes is not None:
                        notes.add(record)
                    if record.number not in numbers:
                        if record.missing is None:
                            writer.begin(SparseRow.of_record(record))
                        continue
                    peaks = peaks_of(record)
                    rows.add(row_of(record))
                    if peaks is not None and settings.peaks:
                        spots.add(spots_in(peaks))
                    if record.missing is not None:
                        writer.put_missing(record.number)
                        continue
                    writer.put(SparseRow.of_record(record), peaks)
                    reflections.add(FrameAudit.of_record(record))
                if notes is None:
                    progress.check()
                elif progress.stopped:
                    raise progress.finished
                raw_bytes = round(raw_bytes * progress.done / progress.total)
                writer.note(raw_bytes=raw_bytes)
                if settings.peaks and notes is None:
                    stays = persistent_peaks(run, spots.end(), progress.done)
                    writer.flag_persistent(stays.peaks)
                    persistent = stays.text(dropped=False)
                if joined is not None:
                    for kept_pixels in joined.pixels:
                        writer.pixels.update(kept_pixels)
                    writer.join(
                        joined.lists, joined.first, missing=sorted(progress.missing), virtual=how.virtual,
                        persistent=stays.peaks if settings.peaks else None,
                    )  # fmt: skip
                if progress.stopped:
                    writer.end_early(progress.total)
                elif sums is not None:
                    writer.note(input_files=sums.rows())
                audit = reflections.audit() if every and notes is None else None
                if audit is not None:
                    writer.audit = audit_dict(audit) | {"every": every}
                results = rows.end()
                put_scan(results, run.scan)
                results["source_frame"] = run.frames.numbers[results["frame"]]
                writer.put_results(results)
                if notes is not None:
                    told = notes.records(progress.unusable, dict(writer.pixels))
                    writer.put_part(progress.header, told)
            if notes is not None:
                raise progress.finished
        price = f"{chosen}" if chosen else ""
        if not chosen and not elsewhere and audit is None and run.boxes is None:
            vetoed = results["frame"][results["status"] == FrameStatus.VETOED].tolist()
            price = cost(run, work.snr, work.grow, vetoed if work.hits_only else None)
    separated = Separated(
        results,
        writer.pixels.total(),
        tuple(progress.unusable),
        run.masked,
        cost=price,
        audit=audit,
        reasons=dict(writer.pixels),
        hit_peaks=settings.hit_peaks,
        persistent=persistent,
    )
    data: dict[str, Any] = {"frames": progress.done, "missing": sorted(progress.missing)}
    data |= {"pixels": separated.pixels, "raw_bytes": raw_bytes}
    return replace(outcome_of(progress, separated), data=data)
