"""``crystint correlate polar``: polar images of all frames, streamed to a file."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass
from typing import Any

from crystint.correlate.exposures import grid_of, grid_used, missing_in, opened, q_of
from crystint.correlate.frame_step import PolarWork, PolarWorker, Treat
from crystint.correlate.settings import PolarSettings
from crystint.engine import Engine
from crystint.io.correlations.polar_file import pack_image, polar_writer
from crystint.io.frame_record import FrameRecord
from crystint.model.polar_image import PolarImage
from crystint.run.in_progress import in_progress
from crystint.run.outcome import Outcome
from crystint.run.step import Job

__all__ = ["polar"]


@dataclass(frozen=True, slots=True)
class ImagePacking:
    """As `crystint.correlate.frame_step.Treatment`: polar images, packed as they will stand in the file."""

    def on(self, _engine: Engine) -> Treat:
        """Packing needs no device."""
        return _packed


def _packed(number: int, image: PolarImage) -> FrameRecord:
    packed = pack_image(image)
    if packed is None:
        return FrameRecord(number, arrays={"values": image.values, "weights": image.weights})
    return FrameRecord(number, arrays={"packed_values": packed[0], "packed_weights": packed[1]})


def polar(job: Job[PolarSettings]) -> Outcome:
    """Polar images of all frames; that of a frame that cannot be read is left NaN."""
    settings, how, (output,) = job.settings, job.execution, job.outputs
    with opened(job.inputs["frames"], settings) as exposures:
        files = tuple(exposures.frames.all_files())
        job.reads(files)
        grid = grid_of(exposures, settings)
        grid_facts = grid_used(grid)
        if job.finished:
            return job.nothing_to_do(
                exposures.frames.files, **exposures.used(""), grid_used=grid_facts, missing=missing_in(output)
            )
        treatment = ImagePacking()
        worker = None if how.elsewhere else PolarWorker.of(exposures, grid, settings, treatment, how.device)
        work, total = PolarWork.of(exposures, settings, treatment), len(exposures.frames)
        with in_progress(job, work, worker, total, same=exposures.same, files=files) as progress:

            def provenance() -> dict[str, Any]:
                used = exposures.used(progress.device)
                record = job.provenance(
                    exposures.frames.files, progress.command, **used, grid_used=grid_facts, missing=[*progress.missing]
                )
                return progress.at_its_end(record)

            q = q_of(grid, exposures.geometry)
            writer = polar_writer(output, grid, total, q=q, provenance=provenance, overwrite=job.overwrite)
            with writer as file, closing(progress.records()) as records:
                for record in job.progress(records, total, "polar"):
                    if record.missing is not None:
                        continue
                    arrays = record.arrays
                    if "packed_values" in arrays:
                        file.write_packed(record.number, arrays["packed_values"], arrays["packed_weights"])
                    else:
                        file.write_arrays(record.number, arrays["values"], arrays["weights"])
                progress.check()
                if progress.stopped:
                    file.end_early(progress.done)
    rows, columns = grid.shape
    return Outcome(
        f"{progress.done} frame{'' if progress.done == 1 else 's'}, {rows} rings x {columns} azimuths"
        f"{exposures.masked and f', {exposures.masked}'}",
        frames=progress.done,
        of=total,
        missing=progress.missing,
        resumable=True,
    )
