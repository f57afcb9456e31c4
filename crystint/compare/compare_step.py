"""``crystint compare``: raw frames and their sparse form, frame by frame; what is recorded of a frame adds."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from crystint.compare.audit_file import AuditRecord, write_json
from crystint.compare.comparison import Comparison
from crystint.compare.run import auditor_of, bytes_of, compare_frame
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
from crystint.prediction.boxes import ReflectionBoxes
from crystint.prediction.reflection_boxes import reflection_boxes
from crystint.references import resolve
from crystint.run.in_progress import in_progress
from crystint.run.outcome import Outcome
from crystint.run.step import Job
from crystint.summation.frame_audit import FrameAudit, FrameAuditor, PeakRules, ReflectionSums, empty_audit

__all__ = ["compare"]

_COUNTS = ("wrong_picked", "wrong_unusable", "dense_bytes", "packed_bytes", "payload_bytes", "vetoed")

_ENOUGH = 60_000
"""pixels of the background that are looked at in a frame of a sample"""


@dataclass(eq=False)
class _Pairs:
    """Raw frames and their rows in the sparse file: those that are compared."""

    frames: Frames
    sparse: SparseFile
    rows: NDArray[np.int64]
    """int64 [frames]: of each raw frame in the sparse file"""
    chosen: NDArray[np.int64]
    """int64 [frames]: number of each among the raw frames that were named"""
    whole: Frames
    """all that were named"""
    boxes: ReflectionBoxes | None
    """of the reflections that were named"""

    @classmethod
    @contextmanager
    def opened(cls, raw: Any, sparse: Path | str, settings: CompareSettings) -> Iterator[Self]:
        """Open both; of a sample only the files that hold its frames are read."""
        with (
            open_frames(*raw, dataset=settings.dataset, frames=settings.frames) as frames,
            open_sparse(sparse) as file,
        ):
            rows, chosen = _rows(frames, file), settings.chosen(len(frames))
            with nullcontext(frames) if len(chosen) == len(frames) else frames.select(chosen.tolist()) as some:
                boxes = (
                    None
                    if settings.reflections is None
                    else reflection_boxes(settings.reflections, some, geometry=file.geometry)
                )
                yield cls(some, file, rows[chosen], chosen, frames, boxes)

    @property
    def sampled(self) -> bool:
        """Whether they are some of those that were named."""
        return len(self.chosen) < len(self.whole)

    def shells(self, number: int) -> Shells:
        """Resolution shells; of the background of a sample some pixels tell enough, and all take most of the time."""
        rings = self.sparse.rings
        return Shells.of_rings(rings, number, thin=max(1, rings.position.size // _ENOUGH) if self.sampled else 1)

    @property
    def rules(self) -> PeakRules:
        """By which peaks are found: those of the sparse file."""
        return PeakRules.of_settings((self.sparse.provenance or {}).get("settings", {}))


@dataclass(eq=False)
class _Worker:
    """As `crystint.run.frame_work.FrameWorker`."""

    pairs: _Pairs
    densifier: Densifier
    auditor: FrameAuditor | None
    settings: CompareSettings
    _own: threading.local = field(default_factory=threading.local, init=False)

    def _room(self, name: str) -> NDArray[Any]:
        """Memory of this thread for a frame, which is used again for its next one."""
        if not hasattr(self._own, name):
            setattr(self._own, name, np.empty(self.pairs.frames.shape, self.pairs.frames.dtype))
        room: NDArray[Any] = getattr(self._own, name)
        return room

    @classmethod
    def of(cls, pairs: _Pairs, settings: CompareSettings, device: str | None) -> Self:
        """On this machine."""
        engine, sparse = Engine(device), pairs.sparse
        row = next((row for row in pairs.rows.tolist() if row not in sparse.missing), None)
        auditor = None
        if row is not None:
            auditor = auditor_of(sparse[row], sparse.geometry, pairs.rules, pairs.boxes, engine)
        return cls(pairs, Densifier(engine, sparse.rings), auditor, settings)

    @property
    def total(self) -> int:
        return len(self.pairs.frames)

    @property
    def device(self) -> str:
        return self.densifier.engine.device.name

    @cached_property
    def shells(self) -> Shells:
        return self.pairs.shells(self.settings.shells)

    def record(self, number: int, _first: Any) -> FrameRecord:
        """The sums of a pair of frames."""
        try:
            row = int(self.pairs.rows[number])
            one = self.pairs.sparse[row]
            if one.missing:
                return FrameRecord(number, missing=f"frame {row} is missing in {self.pairs.sparse.path}")
            frame = self.pairs.frames.read(number, self._room("raw"))
        except FileError as error:
            return FrameRecord(number, missing=str(error))
        room = self._room("clean"), self._room("noisy")
        comparison, reflections = compare_frame(
            number,
            frame,
            one,
            self.densifier,
            self.shells,
            self.settings.seed,
            self.auditor,
            room,
            both=not self.pairs.sampled,  # of a sample, what is quick
        )
        facts = {name: getattr(comparison, name) for name in _COUNTS}
        arrays = {"sums": comparison.sums.view(np.uint8)}
        if reflections is not None:
            facts |= reflections.facts()
            arrays |= reflections.arrays()
        return FrameRecord(number, facts=facts, arrays=arrays)


@dataclass(frozen=True, slots=True)
class _Work:
    """As `crystint.run.frame_work.FrameWork`."""

    raw: tuple[str, ...]
    sparse: str
    settings: CompareSettings

    @contextmanager
    def open(self, device: str | None) -> Iterator[_Worker]:
        with _Pairs.opened(self.raw, self.sparse, self.settings) as pairs:
            yield _Worker.of(pairs, self.settings, device)


def compare(job: Job[CompareSettings]) -> Outcome:
    """What the compression lost. Frames that are missing on either side are left out."""
    settings, how, source = job.settings, job.execution, job.input("sparse")
    if job.finished:
        job = replace(job, overwrite=True)  # a picture does not tell what it was made of: it is made again
    with _Pairs.opened(job.inputs["raw"], source, settings) as pairs:
        frames, sparse, total = pairs.frames, pairs.sparse, len(pairs.frames)
        worker = None if how.elsewhere else _Worker.of(pairs, settings, how.device)
        frame_files, sparse_files = pairs.whole.all_files(), [str(file) for file in files_read([source])]
        files = (*frame_files, *sparse_files)
        job.reads(files)
        raw = tuple(str(Path(file).resolve()) for file in pairs.whole.opened_files)
        work = _Work(raw, str(source.resolve()), settings.absolute())
        shells = pairs.shells(settings.shells) if worker is None else worker.shells
        comparison = Comparison()
        gathered = ReflectionSums(empty_audit(sparse.rings, pairs.rules, pairs.boxes), pairs.boxes)
        with in_progress(job, work, worker, total, same={}, files=files) as progress:
            with closing(progress.records()) as records:
                for record in job.progress(records, total, "compare"):
                    if record.missing is None:
                        comparison += _comparison(record, shells)
                        gathered.add(FrameAudit.of_record(record))
            progress.check()
            if len(pairs.whole) == frames.total:  # files of other frames as well are no measure
                comparison = replace(comparison, raw_bytes=bytes_of(frame_files), sparse_bytes=bytes_of(sparse_files))
            elif len(pairs.whole) == len(sparse):  # the sparse file is of these alone; of raw files, their share
                comparison = replace(
                    comparison, raw_bytes=pairs.whole.stored_bytes, sparse_bytes=bytes_of(sparse_files)
                )
            comparison = replace(
                comparison,
                of=len(pairs.whole) if pairs.sampled else 0,
                reflections=gathered.audit(),
            )
            broken = comparison.broken(settings.require)
            missing = {int(pairs.chosen[number]): why for number, why in sorted(progress.missing.items())}
            record_of = AuditRecord(
                job.provenance([*frame_files, *sparse_files], progress.command, device=progress.device),
                frame_files, sparse_files, settings.hashes, comparison, broken, missing,
            )  # fmt: skip
            job.write(comparison, _writers(record_of, overwrite=job.overwrite))
        return Outcome(
            comparison.table(pixels=settings.pixels),
            comparison,
            data=comparison.to_dict() | {"require": list(settings.require), "broken": broken},
            broken=tuple(broken),
            frames=progress.done,
            of=total,
            missing=missing,
            resumable=bool(job.outputs),
        )


def _writers(record: AuditRecord, *, overwrite: bool) -> Mapping[str, Any]:
    """What writes an output, by its suffix; other pictures are drawn by the step."""
    pdf = resolve("crystint.plot.audit:write_audit")
    return {
        ".json": partial(write_json, record, overwrite=overwrite),
        ".pdf": partial(pdf, record, overwrite=overwrite),
    }


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
    return Comparison(
        shells.edges, shells.unit, sums, frames=1, thin=shells.thin, **{name: record.facts[name] for name in _COUNTS}
    )
