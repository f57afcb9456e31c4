"""What separation does with each frame of a run: from its number to the record of its result."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from crystint.io.frame_record import FrameRecord
from crystint.io.frames.sequence import Frames
from crystint.io.sparse.mask import FirstMask
from crystint.io.sparse.row import SparseRow
from crystint.model.frame_table import FRAME_DTYPE, FrameStatus, FrameTable, empty_frame_table
from crystint.model.peaks import PEAK_DTYPE, PeakList, empty_peaks
from crystint.model.sparse import SparseFrame
from crystint.separation.frame_search import listed_peaks, vetoed
from crystint.separation.prepared import PreparedRun, opened
from crystint.separation.settings import Settings

__all__ = ["PeakSearch", "SeparationWork", "SeparationWorker", "Sparsification", "peaks_of", "row_of", "warm_up"]


class Treatment(Protocol):
    """What is done with a frame that could be read. Plain values only: it is pickled for the workers of a cluster."""

    def records(
        self, run: PreparedRun, numbers: Sequence[int], frames: NDArray[Any], first: FirstMask | None
    ) -> list[FrameRecord]:
        """The results of frames [n, slow, fast]."""


@dataclass(eq=False)
class SeparationWorker:
    """As `crystint.run.frame_work.FrameWorker`: frames that are open, and a separator."""

    run: PreparedRun
    treatment: Treatment

    @property
    def total(self) -> int:
        """Number of frames."""
        return len(self.run.frames)

    @property
    def device(self) -> str:
        """Name of the device."""
        return self.run.separator.engine.device.name

    @property
    def batch(self) -> int:
        """As `crystint.run.frame_work.BatchWorker`."""
        return self.run.batch

    def record(self, number: int, first: FirstMask | None) -> FrameRecord:
        """What a frame gives; one that cannot be read gives a record that says why."""
        return self.records((number,), first)[0]

    def records(self, numbers: Sequence[int], first: FirstMask | None) -> list[FrameRecord]:
        """As `record`, of several frames."""
        there, frames, missing = self.run.read_several(numbers)
        records = {number: FrameRecord(number, missing=reason) for number, reason in missing.items()}
        if there:
            records |= zip(there, self.treatment.records(self.run, there, frames, first))
        return [records[number] for number in numbers]


@dataclass(frozen=True, slots=True)
class SeparationWork:
    """As `crystint.run.frame_work.FrameWork`: which frames, and what is done with each."""

    frames: Frames
    """with what was noted of their files, which workers need not open for it"""
    settings: Settings
    treatment: Treatment

    @classmethod
    def of(cls, run: PreparedRun, treatment: Treatment) -> Self:
        """For the frames of a run that is open here."""
        return cls(run.frames, run.settings.absolute(), treatment)

    @contextmanager
    def open(self, device: str | None) -> Iterator[SeparationWorker]:
        """On the machine that works on them."""
        apart = isinstance(self.treatment, PeakSearch)
        self.frames.check_files()
        with self.frames, opened(self.frames, self.settings, device, apart=apart) as run:
            yield SeparationWorker(run, self.treatment)


def warm_up(run: PreparedRun, treatment: Treatment) -> None:
    """Warm up with a frame of few pixels: kernels are built and modules loaded when the first frame comes."""
    small, frame = run.small_run()
    treatment.records(small, [0], frame[None], None)


@dataclass(frozen=True, slots=True)
class PeakSearch:
    """Find the peaks of a frame."""

    snr: float
    hits_only: bool = False
    """peaks of hits alone"""

    def records(
        self, run: PreparedRun, numbers: Sequence[int], frames: NDArray[Any], _first: FirstMask | None
    ) -> list[FrameRecord]:
        """Peaks, the row of the table of frames, and whether the frame had a usable pixel at all."""
        examined = run.examine(frames, numbers, None, self.snr)
        return [self._record(number, peaks, row) for number, (_, peaks, row) in zip(numbers, examined)]

    def _record(self, number: int, peaks: PeakList | None, row: FrameTable) -> FrameRecord:
        listed, dead = listed_peaks(peaks, row, self.hits_only)
        return FrameRecord(
            number,
            facts={"dead": dead},
            arrays={"peaks": listed.view(np.uint8), "row": row.view(np.uint8)},
        )


@dataclass(frozen=True, slots=True)
class Sparsification:
    """Sparsify a frame, and find its peaks as well on request."""

    snr: float
    peaks: bool
    """keep their list"""
    spots: bool = True
    """look for them, for the row of the frame"""
    hits_only: bool = False
    """pixels and peaks of hits alone"""
    audit_every: int = 0
    """reflections of every n-th frame are audited; 0 = of none"""
    grow: int = 0

    def records(
        self, run: PreparedRun, numbers: Sequence[int], frames: NDArray[Any], first: FirstMask | None
    ) -> list[FrameRecord]:
        """The rows of the frames in a sparse file.

        Parameters
        ----------
        first : FirstMask or None
            Of the first frame of the file; None = this is the one.
        """
        looked_for = self.peaks or self.spots or self.hits_only
        examined = run.examine(frames, numbers, self.snr, run.settings.snr_peak if looked_for else None)
        return [
            self._record(run, number, frame, first, *each) for number, frame, each in zip(numbers, frames, examined)
        ]

    def _record(
        self,
        run: PreparedRun,
        number: int,
        frame: NDArray[Any],
        first: FirstMask | None,
        sparse: SparseFrame | None,
        peaks: PeakList | None,
        row: FrameTable,
    ) -> FrameRecord:
        assert sparse is not None  # it was asked for
        dead = bool(np.isnan(sparse.background.mean).all())
        if self.hits_only and not dead and vetoed(row):
            sparse, peaks = sparse.vetoed_form(), empty_peaks()
            row["picked"] = 0
        sparse = run.keep(sparse, frame, number, self.grow)
        stored = SparseRow.of(sparse, frame, first)
        arrays = stored.arrays() | {"row": row.view(np.uint8)}
        if self.peaks and peaks is not None:
            arrays["peaks"] = peaks.view(np.uint8)
        facts = stored.facts() | {
            "dead": dead,
            "picked": len(sparse.index),
        }
        if self.audit_every and number % self.audit_every == 0:
            audit = run.audit(frame, number, sparse)
            facts, arrays = facts | audit.facts(), arrays | audit.arrays()
        return FrameRecord(number, facts=facts, arrays=arrays)


def peaks_of(record: FrameRecord) -> PeakList | None:
    """The peaks in a record, in memory of their own; None when none were looked for."""
    return record.arrays["peaks"].view(PEAK_DTYPE).copy() if "peaks" in record.arrays else None


def row_of(record: FrameRecord) -> FrameTable:
    """The row of the table of frames in a record, in memory of its own: an array of one."""
    if "row" in record.arrays:
        return record.arrays["row"].view(FRAME_DTYPE).copy()
    row = empty_frame_table(1)
    row["frame"], row["status"] = record.number, FrameStatus.MISSING
    return row
