"""``crystint compare``: raw frames and their sparse form, frame by frame; what is recorded of a frame adds."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crystint.compare.comparison import Comparison
from crystint.compare.run import bytes_of, compare_frame
from crystint.compare.settings import CompareSettings
from crystint.compare.shells import SHELL_DTYPE, Shells
from crystint.engine import Engine
from crystint.errors import FileError, ShapeError
from crystint.io.frame_record import FrameRecord
from crystint.io.frames.sequence import Frames, open_frames
from crystint.io.linked_files import files_read
from crystint.io.sparse.file import SparseFile
from crystint.io.sparse.open import open_sparse
from crystint.ops.densify import Densifier
from crystint.run.in_progress import in_progress
from crystint.run.outcome import Outcome
from crystint.run.step import Job

__all__ = ["compare"]

_COUNTS = ("wrong_picked", "wrong_unusable", "dense_bytes", "packed_bytes", "payload_bytes")


@dataclass(eq=False)
class _Worker:
    """As `crystint.run.frame_work.FrameWorker`."""

    frames: Frames
    sparse: SparseFile
    densifier: Densifier
    settings: CompareSettings
    rows: NDArray[np.int64]
    """int64 [frames]: of each raw frame in the sparse file"""

    @property
    def total(self) -> int:
        return len(self.frames)

    @property
    def device(self) -> str:
        return self.densifier.engine.device.name

    @cached_property
    def shells(self) -> Shells:
        return Shells.of_rings(self.sparse.rings, self.settings.shells)

    def record(self, number: int, _first: Any) -> FrameRecord:
        """The sums of a pair of frames."""
        try:
            row = int(self.rows[number])
            one = self.sparse[row]
            if one.missing:
                return FrameRecord(number, missing=f"frame {row} is missing in {self.sparse.path}")
            frame = self.frames.read(number)
        except FileError as error:
            return FrameRecord(number, missing=str(error))
        comparison = compare_frame(frame, one, self.densifier, self.shells, self.settings.seed)
        return FrameRecord(
            number,
            facts={name: getattr(comparison, name) for name in _COUNTS},
            arrays={"sums": comparison.sums.view(np.uint8)},
        )


@dataclass(frozen=True, slots=True)
class _Work:
    """As `crystint.run.frame_work.FrameWork`."""

    raw: tuple[str, ...]
    sparse: str
    settings: CompareSettings

    @contextmanager
    def open(self, device: str | None) -> Iterator[_Worker]:
        settings = self.settings
        with (
            open_frames(list(self.raw), dataset=settings.dataset, frames=settings.frames) as frames,
            open_sparse(self.sparse) as sparse,
        ):
            yield _Worker(frames, sparse, Densifier(Engine(device), sparse.rings), settings, _rows(frames, sparse))


def compare(job: Job[CompareSettings]) -> Outcome:
    """What the compression lost. Frames that are missing on either side are left out."""
    settings, how, source = job.settings, job.execution, job.input("sparse")
    if job.finished:
        job = replace(job, overwrite=True)  # a picture does not tell what it was made of: it is made again
    with (
        open_frames(*job.inputs["raw"], dataset=settings.dataset, frames=settings.frames) as frames,
        open_sparse(source) as sparse,
    ):
        total, rows = len(frames), _rows(frames, sparse)
        worker = None
        if how.dask is None:
            worker = _Worker(frames, sparse, Densifier(Engine(how.device), sparse.rings), settings, rows)
        frame_files, sparse_files = frames.all_files(), [str(file) for file in files_read([source])]
        files = (*frame_files, *sparse_files)
        job.reads(files)
        work = _Work(tuple(str(Path(file).resolve()) for file in frames.opened_files), str(source.resolve()), settings)
        shells = Shells.of_rings(sparse.rings, settings.shells)
        comparison = Comparison()
        with in_progress(job, work, worker, total, same={}, files=files) as progress:
            with closing(progress.records()) as records:
                for record in job.progress(records, total, "compare"):
                    if record.missing is None:
                        comparison += _comparison(record, shells)
            progress.check()
            if total == frames.total:  # files of other frames as well are no measure
                comparison = replace(comparison, raw_bytes=bytes_of(frame_files), sparse_bytes=bytes_of(sparse_files))
            job.write(comparison, {})
        broken = comparison.broken(settings.require)
        return Outcome(
            comparison.table(),
            comparison,
            data=comparison.to_dict() | {"require": list(settings.require), "broken": broken},
            broken=tuple(broken),
            frames=progress.done,
            of=total,
            missing=dict(sorted(progress.missing.items())),
            resumable=bool(job.outputs),
        )


def _rows(frames: Frames, sparse: SparseFile) -> NDArray[np.int64]:
    """int64 [frames]: of each raw frame in the sparse file, which holds those alone or all of the sequence.

    Raises
    ------
    ShapeError
        When it holds another number of frames.
    """
    if len(sparse) == len(frames):
        return np.arange(len(frames))
    if len(sparse) == frames.total:
        return frames.numbers
    fewer, number = ("raw", len(frames)) if len(frames) < len(sparse) else ("sparse", len(sparse))
    raise ShapeError(f"the {fewer} frames end after {number}, the others do not: compare the same frames")


def _comparison(record: FrameRecord, shells: Shells) -> Comparison:
    """What a record tells of its frame."""
    sums = record.arrays["sums"].view(SHELL_DTYPE).copy()
    return Comparison(shells.edges, shells.unit, sums, frames=1, **{name: record.facts[name] for name in _COUNTS})
