"""``crystint bench``: how fast this machine is."""

from __future__ import annotations

from typing import Any

from crystint.bench.frames import Sample, as_dtype, simulated
from crystint.bench.kernels import kernel_times
from crystint.bench.machine import OthersWatch
from crystint.bench.peers import peer_versions
from crystint.bench.report import Report, about
from crystint.bench.scaling import HYBRID, over_cores, over_pixels, over_rings, over_threads
from crystint.bench.settings import BenchSettings
from crystint.bench.table import measure
from crystint.engine import Engine
from crystint.errors import SettingError, warn
from crystint.io.frames.sequence import open_frames
from crystint.run.frames import frame_number, mask_of
from crystint.run.geometry import geometry_of
from crystint.run.outcome import Outcome
from crystint.run.step import Job

__all__ = ["bench"]


def bench(job: Job[BenchSettings]) -> Outcome:
    """Time what is done with a frame, in units of copying that frame."""
    settings, files = job.settings, job.inputs["files"]
    if settings.scale == "pixels" and files:
        raise SettingError("--scale pixels simulates its frames: leave FILE out")
    only = HYBRID if settings.scale and not settings.only else settings.only

    def wanted(name: str) -> bool:
        return not only or name.startswith(only)

    engine, watch = Engine(job.execution.device), OthersWatch()
    how: Any = {"rounds": settings.rounds, "watch": job.progress}
    times, per_kernel, points = [], [], []
    if settings.scale == "pixels":
        shape, dtype = (), settings.dtype or "uint16"
        points = list(over_pixels(engine, dtype, **how, wanted=wanted, peers=settings.peer, warn=warn))
    else:
        sample = _sample(job)
        shape, dtype = sample.frame.shape, str(sample.frame.dtype)
        if settings.scale == "rings":
            points = list(over_rings(sample, engine, **how, wanted=wanted))
        elif settings.scale == "cores":
            points = list(over_cores(sample, engine, **how, only=only))
        elif settings.scale == "threads":
            points = list(over_threads(sample, engine, **how))
        else:
            times = measure(sample, engine, **how, peers=settings.peer, wanted=wanted, warn=warn)
            if settings.only and not any(wanted(time.name) for time in times):
                raise SettingError(f"only is {', '.join(settings.only)}: nothing that is timed begins so")
            if settings.kernels:
                per_kernel = kernel_times(sample, engine, times[0], **how, wanted=wanted)
    others = watch.others()
    facts = about(engine, peer_versions(settings.peer))
    report = Report(facts, shape, dtype, times, per_kernel, settings.scale, points, others)
    return Outcome(report.text(), report, data=report.to_dict())


def _sample(job: Job[BenchSettings]) -> Sample:
    """The frame asked for, and what belongs to it; without files a simulated one."""
    settings, files = job.settings, job.inputs["files"]
    if not files:
        return simulated(dtype=settings.dtype or "uint16")
    with open_frames(*files, dataset=settings.dataset, frames=settings.frames) as frames:
        frame = frames[frame_number(settings.frame, len(frames))]
        dtype = settings.dtype or str(frame.dtype)
        return Sample(
            as_dtype(frame, dtype), geometry_of(frames, settings), mask_of(frames, settings, settings.geometry).pixels
        )
