"""``crystint sparsify --estimate``: how large the sparse file of a run will be, from some of its frames."""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crystint.errors import FileError, warn
from crystint.io.frames.sequence import Frames, open_frames
from crystint.io.hdf5.packing import packed_size
from crystint.io.sparse.parts import FileParts, file_parts
from crystint.run.outcome import Outcome, rate_text
from crystint.run.step import Job
from crystint.separation.ratio import SMALL
from crystint.separation.settings import SparsifySettings
from crystint.summation.report import audit_dict, audit_table
from crystint.units import readable_size

__all__ = ["Estimate", "estimate", "spread_sample"]

_CLOSER = 10
"""Frames that are packed with bitshuffle-LZ4, to compare with it, and of which reflections are summed."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """What a run of sparsify will make. Bytes."""

    frames: int
    """of the run"""
    sample: int
    """of them that were worked on"""
    fixed: int
    """of the file, however many frames it has; without maps that it shares with other files"""
    maps: int
    """of the detector maps in it, or in the file that it shares"""
    shared: bool
    per_frame: float
    """in the sparse file"""
    total: int
    """size of the sparse file"""
    error: int
    """standard error of that, as the frames of the sample differ"""
    raw: int
    """of the files that hold the frames, or the share of these frames in them"""
    packed: float
    """of the frames under bitshuffle-LZ4"""
    seconds: float
    """that work on the frames will take here; 0 = not known"""

    @property
    def break_even(self) -> int | None:
        """Frames from which on the sparse file is the smaller one; None = never."""
        gain = self.raw / self.frames - self.per_frame
        return int(self.fixed / gain) + 1 if gain > 0 else None

    def to_dict(self) -> dict[str, Any]:
        """As JSON can hold it."""
        names = (
            "frames",
            "sample",
            "fixed",
            "maps",
            "shared",
            "per_frame",
            "total",
            "error",
            "raw",
            "packed",
            "seconds",
        )
        ratios = {"ratio": self.raw / self.total, "ratio_bslz4": self.packed / self.total}
        return {name: getattr(self, name) for name in names} | ratios | {"break_even": self.break_even}

    def _error(self) -> str:
        """The standard error; nothing where every frame was worked on."""
        return f" +- {readable_size(self.error)}" if self.error else ""

    def lines(self) -> list[str]:
        """The estimate in words."""
        even = self.break_even
        place = "in a file of their own, once" if self.shared else "in it"
        of_raw, of_packed = self.raw / self.total, self.packed / self.total
        return [
            f"estimate for {self.frames} frames, from {self.sample} of them",
            f"  sparse file    {readable_size(self.total)}{self._error()}: {readable_size(round(self.per_frame))} per "
            f"frame, {readable_size(self.fixed)} once (detector maps {readable_size(self.maps)}, {place})",
            f"  raw files      {readable_size(self.raw)}: {of_raw:.3g} times the sparse file",
            f"  bitshuffle-LZ4 {readable_size(round(self.packed))}: {of_packed:.3g} times the sparse file",
            f"  smaller than the raw files from {even} frame{'s' * (even != 1)} on"
            if even is not None
            else "  never smaller than the raw files",
            *([f"  time           {_duration(self.seconds)} here ({rate_text(self.frames / self.seconds)})"]
              if self.seconds else []),
        ]  # fmt: skip


def estimate(job: Job[SparsifySettings], sparsify: Callable[[Job[SparsifySettings]], Outcome]) -> Outcome:
    """Sparsify frames spread over the run into a file that is thrown away, and tell what all of them will take."""
    settings = job.settings
    with open_frames(*job.inputs["frames"], dataset=settings.dataset, frames=settings.frames) as frames:
        job.reads(frames.all_files())
        total, raw = len(frames), frames.stored_bytes
        chosen = spread_sample(total, settings.sample)
        names = [frames.files[frames.place(int(number))[0]] for number in (*chosen, 0, total - 1)]
        packed = _packed(frames, chosen)
        numbers = frames.numbers[chosen]
        texts = len(set(frames.files)) - len(set(names[: len(chosen)]))
        more_text = texts * 2 * int(np.mean([len(name) + 24 for name in names]))
    with TemporaryDirectory(prefix="crystint-estimate-") as folder:
        output = Path(folder, "sample.h5")
        changes: dict[str, Any] = {
            "estimate": False, "checksum_inputs": False, "frames": ",".join(map(str, numbers.tolist())),
        }  # fmt: skip
        if settings.maps is not None and not settings.maps.exists():
            changes["maps"] = Path(folder, "maps.h5")
        inner = replace(
            job,
            settings=settings.model_copy(update=changes),
            outputs=(output,),
            execution=replace(job.execution, resume=False),
            overwrite=True,
        )
        outcome = sparsify(inner)
        if outcome.stopped:
            raise KeyboardInterrupt
        parts = file_parts(output)
        audit = outcome.result.audit
        if audit is None:
            some = ",".join(map(str, numbers[:: max(1, len(numbers) // _CLOSER)].tolist()))
            closer = inner.settings.model_copy(update={"audit": True, "frames": some})
            audit = sparsify(replace(inner, settings=closer)).result.audit
    done = Estimate(
        frames=total,
        sample=len(chosen),
        fixed=parts.fixed + more_text,
        maps=parts.maps,
        shared=parts.shared,
        per_frame=parts.growing / len(chosen),
        total=parts.at(total / len(chosen)) + more_text,
        error=_error(parts, len(chosen), total),
        raw=raw,
        packed=packed * total,
        seconds=total / outcome.rate if outcome.rate else 0.0,
    )
    if done.total > max(done.raw, SMALL):
        warn(
            f"the sparse file will be larger than the raw files ({readable_size(done.total)} against "
            f"{readable_size(done.raw)}): put the frames of a run into one file, or let files share their maps (--maps)"
        )
    lost = [] if audit is None else ["", "what becomes of reflections", audit_table(audit)]
    data = done.to_dict() | {"audit": None if audit is None else audit_dict(audit)}
    text = "\n".join([*done.lines(), *lost])
    return replace(outcome, text=text, result=done, data=data, outputs=(), unchanged=True, resumable=False)


def spread_sample(total: int, sample: int) -> NDArray[np.int64]:
    """int64 [n]: numbers of frames spread over a run, one at random of each of n parts of it; the same in each call.

    Frames at equal distances would meet the same place of every row of a raster scan.
    """
    count = min(sample, total)
    edges = np.linspace(0, total, count + 1)
    places = edges[:-1] + np.random.default_rng(0).random(count) * np.diff(edges)
    return np.unique(np.minimum(places.astype(np.int64), total - 1))


def _error(parts: FileParts, sample: int, total: int) -> int:
    """Standard error of the size of a file of `total` frames: what a frame takes is taken to go with its pixels."""
    if sample < 2 or sample == total or not sum(parts.pixels):
        return 0
    spread = float(np.std(parts.pixels, ddof=1) / np.mean(parts.pixels))
    return round(parts.growing * total / sample * spread * math.sqrt((1.0 - sample / total) / sample))


def _packed(frames: Frames, numbers: NDArray[np.int64]) -> float:
    """Bytes of a frame under bitshuffle-LZ4, the mean of some that can be read."""
    sizes = []
    for number in numbers[:: max(1, len(numbers) // _CLOSER)]:
        with suppress(FileError):  # the run will say so
            sizes.append(packed_size(frames.read(int(number))))
    return float(np.mean(sizes)) if sizes else 0.0


def _duration(seconds: float) -> str:
    """ "50 s", "12 min", "3.4 h"."""
    if seconds < 120:
        return f"{seconds:.2g} s"
    return f"{seconds / 60:.3g} min" if seconds < 7200 else f"{seconds / 3600:.3g} h"
