"""``crystint mask``: the bad pixels of a detector, from the statistics of many frames."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from crystint.io.mask_file import write_mask
from crystint.model.spot_rows import SPOT_DTYPE
from crystint.ops.bad_pixels import BadPixels, MaskBit, Search, find_bad_pixels
from crystint.ops.places import Verdict, limit_of, motion_of, places_of
from crystint.ops.run_statistics import RunStatistics
from crystint.run.in_progress import RunInProgress, blocks, in_progress
from crystint.run.outcome import Outcome, rate_text
from crystint.run.step import Job
from crystint.separation.mask_work import MaskWork, MaskWorker, block_of, spots_of, third_of
from crystint.separation.prepared import PreparedRun, opened
from crystint.separation.settings import MaskSettings

__all__ = ["FoundMask", "mask"]

_OFTEN = 0.5
"""share of the frames on which spots come back to a place that is named"""
_SPOT_PIXELS = 9
_NAMED = 5
_TOLD = ("slow", "fast", "frames", "first", "last", "intensity", "steadiness")
_WORDS = {
    Verdict.UNKNOWN: "may be a reflection of a crystal that does not move",
    Verdict.FADES: "rises or fades as a reflection does",
    Verdict.LASTS: "a reflection may last as long there",
    Verdict.PERSISTS: "the detector's",
}


@dataclass(frozen=True, slots=True, eq=False)
class FoundMask:
    """The bad pixels of a detector."""

    mask: NDArray[np.uint32]
    """uint32 [slow, fast]: NXmx pixel mask, 0 = good, together with the masks of the files and of the settings"""
    counts: Mapping[str, int]
    """pixels of each class that were found, without those masked before"""
    places: NDArray[np.void]
    """where spots come back on half of the frames or more, with a verdict (`crystint.ops.places.PLACE_DTYPE`)"""
    motion: str
    """whether the crystal moves, in words"""
    notes: tuple[str, ...] = field(default=())
    """what could not be told"""


def mask(job: Job[MaskSettings]) -> Outcome:
    """Find bad pixels. A journal beside the first output keeps the sums over blocks of frames while the run lasts."""
    settings, how = job.settings, job.execution
    remote = how.elsewhere or job.finished
    with opened(job.inputs["frames"], settings, how.device, remote=remote) as run:
        files = tuple(run.frames.all_files())
        job.reads(files)
        if job.finished:
            return job.nothing_to_do(run.frames.files, **run.used(""))
        total = len(run.frames)
        worker = None if remote else MaskWorker(run)
        same = {"shape": list(run.frames.shape), "dtype": str(run.frames.dtype)}
        statistics = RunStatistics.zeros(run.frames.shape, run.frames.dtype, run.rings.rings)
        spots = [np.zeros(0, SPOT_DTYPE)]
        with in_progress(
            job, MaskWork.of(run, settings), worker, total, same=same, files=files, block=block_of(total)
        ) as progress:
            with closing(progress.records()) as records:
                for record in job.progress(records, blocks(total, progress.block), "mask"):
                    statistics.add(third_of(record.number, total), record.arrays)
                    spots.append(spots_of(record))
            progress.check()
            result = _judged(run, statistics, np.concatenate(spots), progress.done)
            _write(job, run, progress, result)
    return _outcome(progress, result, run)


def _judged(run: PreparedRun, statistics: RunStatistics, spots: NDArray[np.void], frames: int) -> FoundMask:
    settings: MaskSettings = run.settings  # type: ignore[assignment]
    scan = run.scan
    motion = motion_of(spots, frames, None if scan is None or len(scan) < frames else scan, settings.motion)
    rings = run.rings
    usable = max(int(np.count_nonzero(rings.mask == 0)), 1)
    visits = float(np.maximum(spots["npix"], _SPOT_PIXELS).sum()) / usable
    bad = find_bad_pixels(
        statistics,
        rings,
        run.geometry,
        motion,
        limit_of(spots, motion, frames),
        visits,
        Search(settings.false_pixels, settings.beam_stop, settings.margin),
    )
    places = places_of(spots, frames, motion, run.geometry, least=_OFTEN)
    pixels = bad.mask
    if settings.mask_places:
        pixels = _with_places(bad, places)
    free = _unmasked(places, pixels | rings.mask)
    return FoundMask(rings.mask | pixels, bad.counts, places[free], motion.text, bad.notes)


def _with_places(bad: BadPixels, places: NDArray[np.void]) -> NDArray[np.uint32]:
    """The mask, with the places to which spots come back, and what is bright about them."""
    at = np.zeros(bad.mask.shape, bool)
    at[places["slow"].astype(int), places["fast"].astype(int)] = True
    at = ndimage.binary_dilation(at, np.ones((3, 3)))
    numbers = np.unique(bad.bright[at])
    at |= np.isin(bad.bright, numbers[numbers > 0])
    return np.asarray(np.where(at, bad.mask | np.uint32(MaskBit.OVER | MaskBit.CLUSTER), bad.mask))


def _unmasked(places: NDArray[np.void], pixels: NDArray[np.uint32]) -> NDArray[np.bool_]:
    """Which of the places are not masked."""
    return np.asarray(pixels[places["slow"].astype(int), places["fast"].astype(int)] == 0)


def _write(job: Job[MaskSettings], run: PreparedRun, progress: RunInProgress, result: FoundMask) -> None:
    """All of the outputs, or none."""
    record = job.provenance(run.frames.files, progress.command, **run.used(progress.device))
    record = progress.at_its_end(record)

    def write(path: Path) -> None:
        write_mask(
            path,
            result.mask,
            counts=result.counts,
            places=result.places,
            notes=(result.motion, *result.notes),
            provenance=record,
            overwrite=job.overwrite,
        )

    job.write(result, write)


def _outcome(progress: RunInProgress, result: FoundMask, run: PreparedRun) -> Outcome:
    counts = {name: number for name, number in result.counts.items() if number}
    parts = [f"{progress.done} frame{'s' if progress.done != 1 else ''}"]
    parts.append(", ".join(f"{number} {name}" for name, number in counts.items()) or "no bad pixel")
    masked = np.count_nonzero(result.mask)
    parts.append(
        f"{100 * masked / result.mask.size:.3g} % of the detector is masked" + f" ({run.masked})" * bool(run.masked)
    )
    parts.append(result.motion)
    if len(result.places):
        parts.append(f"{_places_text(result.places)}, not masked (see --mask-places)")
    if progress.rate:
        parts.append(rate_text(progress.rate))
    data = {
        "counts": dict(result.counts),
        "motion": result.motion,
        "notes": list(result.notes),
        "places": [
            {name: place[name].item() for name in _TOLD} | {"verdict": _WORDS[Verdict(int(place["verdict"]))]}
            for place in result.places
        ],
    }
    return Outcome(
        "\n".join(["; ".join(parts), *result.notes]), result, data, frames=progress.done, of=progress.total,
        missing=dict(sorted(progress.missing.items())), resumable=True, rate=progress.rate,
    )  # fmt: skip


def _places_text(places: NDArray[np.void]) -> str:
    """How many places there are, and where."""
    often = places[np.argsort(-places["frames"], kind="stable")]
    named = [
        f"({place['slow']:.0f}, {place['fast']:.0f}) on {place['frames']}: {_WORDS[Verdict(int(place['verdict']))]}"
        for place in often[:_NAMED]
    ]
    more = f" and {len(often) - _NAMED} more" if len(often) > _NAMED else ""
    one = len(often) == 1
    return (
        f"spots come back to {len(often)} place{'' if one else 's'} on half of the frames or more, px (slow, fast): "
        + "; ".join(named)
        + more
    )
