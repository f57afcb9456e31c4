"""What separation does with each frame of a run: from its number to the record of its result."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from crystint.errors import FileError
from crystint.io.frame_record import FrameRecord
from crystint.io.sparse.mask import FirstMask
from crystint.io.sparse.row import SparseRow
from crystint.model.peaks import PEAK_DTYPE, PeakList
from crystint.separation.prepared import PreparedRun, opened
from crystint.separation.settings import Settings

__all__ = ["PeakSearch", "SeparationWork", "SeparationWorker", "Sparsification", "peaks_of", "warm_up"]


class Treatment(Protocol):
    """What is done with a frame that could be read. Plain values only: it is pickled for the workers of a cluster."""

    def record(self, run: PreparedRun, number: int, frame: NDArray[Any], first: FirstMask | None) -> FrameRecord:
        """The result."""


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

    def record(self, number: int, first: FirstMask | None) -> FrameRecord:
        """What a frame gives; one that cannot be read gives a record that says why."""
        try:
            frame = self.run.read(number)
        except FileError as error:
            return FrameRecord(number, missing=str(error))
        return self.treatment.record(self.run, number, frame, first)


@dataclass(frozen=True, slots=True)
class SeparationWork:
    """As `crystint.run.frame_work.FrameWork`: which frames, and what is done with each."""

    files: tuple[str, ...]
    settings: Settings
    treatment: Treatment

    @classmethod
    def of(cls, run: PreparedRun, treatment: Treatment) -> Self:
        """For the frames of a run that is open here."""
        return cls(
            tuple(str(Path(file).resolve()) for file in run.frames.opened_files), run.settings.absolute(), treatment
        )

    @contextmanager
    def open(self, device: str | None) -> Iterator[SeparationWorker]:
        """On the machine that works on them."""
        apart = isinstance(self.treatment, PeakSearch)
        with opened(self.files, self.settings, device, apart=apart) as run:
            yield SeparationWorker(run, self.treatment)


def warm_up(run: PreparedRun, treatment: Treatment) -> None:
    """Warm up with a frame of few pixels: kernels are built and modules loaded when the first frame comes."""
    small, frame = run.small_run()
    treatment.record(small, 0, frame, None)


@dataclass(frozen=True, slots=True)
class PeakSearch:
    """Find the peaks of a frame."""

    snr: float

    def record(self, run: PreparedRun, number: int, frame: NDArray[Any], _first: FirstMask | None) -> FrameRecord:
        """Peaks, and whether the frame had a usable pixel at all."""
        peaks = run.peaks(frame, number, self.snr)
        return FrameRecord(
            number,
            facts={"dead": not len(peaks) and run.nothing_in(frame)},
            arrays={"peaks": peaks.view(np.uint8)},
        )


@dataclass(frozen=True, slots=True)
class Sparsification:
    """Sparsify a frame, and find its peaks as well on request."""

    snr: float
    peaks: bool

    def record(self, run: PreparedRun, number: int, frame: NDArray[Any], first: FirstMask | None) -> FrameRecord:
        """The row of the frame in a sparse file.

        Parameters
        ----------
        first : FirstMask or None
            Of the first frame of the file; None = this is the one.
        """
        if self.peaks:
            sparse, peaks = run.separate(frame, number, self.snr)
        else:
            sparse = run.sparsify(frame, number, self.snr)
        row = SparseRow.of(sparse, frame, first)
        arrays = row.arrays()
        if self.peaks:
            arrays["peaks"] = peaks.view(np.uint8)
        facts = row.facts() | {
            "dead": bool(np.isnan(sparse.background.mean).all()),
            "picked": len(sparse.index),
        }
        return FrameRecord(number, facts=facts, arrays=arrays)


def peaks_of(record: FrameRecord) -> PeakList | None:
    """The peaks in a record, in memory of their own; None when none were looked for."""
    return record.arrays["peaks"].view(PEAK_DTYPE).copy() if "peaks" in record.arrays else None
