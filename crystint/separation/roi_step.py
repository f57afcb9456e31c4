"""``crystint roi``: what regions of interest hold in each frame."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from crystint.errors import warn
from crystint.io.frame_record import FrameRecord
from crystint.io.frames.sequence import Frames
from crystint.io.roi_files import read_roi_document, write_rois
from crystint.model.frame_table import FrameTable, empty_frame_table, put_scan
from crystint.model.roi_members import RoiMembers
from crystint.model.rois import ROI_DTYPE, Rois, empty_roi_values
from crystint.ops.roi_sums import RoiSums
from crystint.run.in_progress import RunInProgress, in_progress
from crystint.run.outcome import Outcome, rate_text
from crystint.run.step import Job
from crystint.separation.frame_step import row_of
from crystint.separation.prepared import PreparedRun, opened
from crystint.separation.settings import RoiSettings

__all__ = ["RoiWorker", "sum_regions"]


@dataclass(eq=False)
class RoiWorker:
    """As `crystint.run.frame_work.FrameWorker`: frames that are open, and the regions on their detector."""

    run: PreparedRun
    members: RoiMembers
    snr: float

    @property
    def total(self) -> int:
        return len(self.run.frames)

    @property
    def device(self) -> str:
        return self.run.separator.engine.device.name

    @cached_property
    def sums(self) -> RoiSums:
        """On the device."""
        return self.run.search.region_sums(self.members)

    @property
    def batch(self) -> int:
        """As `crystint.run.frame_work.BatchWorker`."""
        return self.run.batch

    def record(self, number: int, first: Any) -> FrameRecord:
        """What the regions of a frame hold, and its row in the table of frames."""
        return self.records((number,), first)[0]

    def records(self, numbers: Sequence[int], _first: Any) -> list[FrameRecord]:
        """As `record`, of several frames."""
        run = self.run
        there, frames, missing = run.read_several(numbers)
        records = {number: FrameRecord(number, missing=reason) for number, reason in missing.items()}
        ratios = [run.wavelength_ratio(number) for number in there]
        examined = run.search.examine_several(frames, there, None, self.snr, self.sums, ratios)
        for number, (_, _, row, values) in zip(there, examined):
            assert values is not None  # they were asked for
            records[number] = FrameRecord(
                number,
                facts={"dead": bool(np.isnan(row["frame_sum"][0]))},
                arrays={"row": row.view(np.uint8), "regions": values.view(np.uint8)},
            )
        return [records[number] for number in numbers]


@dataclass(frozen=True, slots=True)
class _Work:
    """As `crystint.run.frame_work.FrameWork`."""

    frames: Frames
    settings: RoiSettings
    document: dict[str, Any]
    snr: float

    @classmethod
    def of(cls, run: PreparedRun, settings: RoiSettings, rois: Rois, snr: float) -> Self:
        """For the frames of a run that is open here."""
        return cls(run.frames, settings.absolute(), rois.to_dict(), snr)

    @contextmanager
    def open(self, device: str | None) -> Iterator[RoiWorker]:
        self.frames.check_files()
        with self.frames, opened(self.frames, self.settings, device) as run:
            yield RoiWorker(run, Rois.from_dict(self.document).members(run.geometry, run.frames.shape), self.snr)


def sum_regions(job: Job[RoiSettings]) -> Outcome:
    """Sums over regions of all frames. A journal beside the first output keeps them while the run lasts."""
    settings, how = job.settings, job.execution
    rois = _rois(settings)
    snr = settings.snr if settings.snr is not None else 5.0
    remote = how.elsewhere or job.finished
    with opened(job.inputs["frames"], settings, how.device, remote=remote) as run:
        files = tuple(run.frames.all_files())
        job.reads(files)
        document = rois.to_dict()
        if job.finished:
            return job.nothing_to_do(run.frames.files, snr=snr, rois_used=document, **run.used(""))
        members = rois.members(run.geometry, run.frames.shape)
        _tell(rois, members, run)
        worker = None if remote else RoiWorker(run, members, snr)
        same = {"snr": snr, "shape": list(run.frames.shape), "dtype": str(run.frames.dtype), "rois": document}
        rows: list[FrameTable] = [empty_frame_table()]
        values = [np.zeros((0, len(rois)), ROI_DTYPE)]
        with in_progress(
            job, _Work.of(run, settings, rois, snr), worker, len(run.frames), same=same, files=files
        ) as progress:
            with closing(progress.records()) as records:
                for record in job.progress(records, progress.total, "roi"):
                    rows.append(row_of(record))
                    values.append(_values_of(record, len(rois))[None])
            progress.check()
            results = np.concatenate(rows)
            put_scan(results, run.scan)
            results["source_frame"] = run.frames.numbers[results["frame"]]
            table = np.concatenate(values)
            used = run.used(progress.device) | {"rois_used": document}
            made = progress.at_its_end(job.provenance(run.frames.files, progress.command, snr=snr, **used))

            def write(path: Path) -> None:
                write_rois(
                    path, table, rois, members, results=results, geometry=run.geometry, provenance=made,
                    overwrite=job.overwrite,
                )  # fmt: skip

            job.write(table, write)
        return _outcome(progress, rois, members, table, run)


def _rois(settings: RoiSettings) -> Rois:
    """The regions that the settings name, or are."""
    if isinstance(settings.rois, dict):
        return Rois.from_dict(settings.rois)
    assert settings.rois is not None  # the settings see to that
    return read_roi_document(settings.rois)


def _tell(rois: Rois, members: RoiMembers, run: PreparedRun) -> None:
    """What the user must know of the regions on this detector."""
    for name, detail in members.details.items():
        if "problem" in detail:
            warn(f"region {name}: {detail['problem']}")
    clipped = [roi.name for roi in rois if roi.type != "azimuthal" and members.details[roi.name]["clipped"]]
    if clipped:
        warn(f"regions that lie partly off the detector are clipped: {', '.join(clipped)}")
    if run.wavelengths is not None and any(roi.type == "azimuthal" for roi in rois):
        ratio = run.wavelengths / run.geometry.wavelength if run.geometry.wavelength else np.ones(1)
        if not np.allclose(ratio, 1.0, rtol=1e-6):
            warn(
                f"frames have other wavelengths, {run.wavelengths.min():.5g} to {run.wavelengths.max():.5g} angstrom: "
                f"regions of q or d have the pixels of {run.geometry.wavelength:.5g} angstrom in all frames"
            )


def _values_of(record: FrameRecord, regions: int) -> NDArray[np.void]:
    """ROI_DTYPE [regions], in memory of its own; without pixels where the frame is missing."""
    if "regions" not in record.arrays:
        return empty_roi_values(regions)
    return record.arrays["regions"].view(ROI_DTYPE).copy()


def _outcome(
    progress: RunInProgress, rois: Rois, members: RoiMembers, table: NDArray[np.void], run: PreparedRun
) -> Outcome:
    """A line for each region."""
    parts = [
        f"{progress.done} frame{'s' if progress.done != 1 else ''}, {len(rois)} region{'s' if len(rois) != 1 else ''}"
    ]
    if run.masked:
        parts.append(run.masked)
    if progress.rate:
        parts.append(rate_text(progress.rate))
    lines, data = ["; ".join(parts)], []
    for number, name in enumerate(rois.names):
        mine = table[:, number]
        seen = mine[mine["npixel"] > 0]
        about: dict[str, Any] = {"name": name, **members.details[name], "frames": len(seen)}
        line = f"{name}: {about['pixels']} pixels"
        if len(seen):
            about |= {"mean": float(seen["mean"].mean()), "max": int(seen["max"].max())}
            line += f", {about['mean']:.4g} counts per pixel, largest {about['max']}"
            sure = seen["snr"][np.isfinite(seen["snr"])]
            if len(sure):
                about["snr"] = float(np.median(sure))
                line += f", signal / sigma {about['snr']:.3g} (median)"
        lines.append(line)
        data.append(about)
    return Outcome(
        "\n".join(lines), table, {"regions": data}, frames=progress.done, of=progress.total,
        missing=dict(sorted(progress.missing.items())), resumable=True, rate=progress.rate,
    )  # fmt: skip
