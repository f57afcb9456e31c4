"""What is done with each frame of a run: from its number to the record of its result."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crystint.errors import FileError
from crystint.io.frame_record import Record
from crystint.io.sparse.mask import FirstMask
from crystint.io.sparse.row import SparseRow
from crystint.model.peaks import PEAK_DTYPE, PeakList
from crystint.separation.prepared import PreparedRun

__all__ = ["Step", "peaks_of"]


@dataclass(frozen=True, slots=True)
class Step:
    """What is to be done with a frame."""

    what: str
    """ "peaks" or "sparsify" """
    snr: float
    peaks: bool = False
    """sparsify: find the peaks, too"""

    def run(self, run: PreparedRun, number: int, first: FirstMask | None) -> bytes:
        """Do it; any thread may. A frame that cannot be read gives a record that says why.

        Parameters
        ----------
        run : PreparedRun
        number : int
            Of the frame.
        first : FirstMask or None
            Sparsify: of the first frame of the file; None = this is the one.
        """
        try:
            frame = run.read(number)
        except FileError as error:
            return Record(number, missing=str(error)).pack()
        return (self._sparse if self.what == "sparsify" else self._peaks)(run, number, frame, first).pack()

    def rehearse(self, run: PreparedRun) -> None:
        """Do it with a frame of few pixels, so that kernels are built and modules loaded when the first frame comes."""
        small, frame = run.in_small()
        (self._sparse if self.what == "sparsify" else self._peaks)(small, 0, frame, None)

    def _peaks(self, run: PreparedRun, number: int, frame: NDArray[Any], _first: FirstMask | None) -> Record:
        found = run.peaks(frame, number, self.snr)
        return Record(
            number,
            facts={"dead": not len(found) and run.nothing_in(frame)},
            arrays={"peaks": found.view(np.uint8)},
        )

    def _sparse(self, run: PreparedRun, number: int, frame: NDArray[Any], first: FirstMask | None) -> Record:
        if self.peaks:
            sparse, found = run.separate(frame, number, self.snr)
        else:
            sparse = run.sparsify(frame, number, self.snr)
        row = SparseRow.of(sparse, frame, first)
        arrays = row.arrays()
        if self.peaks:
            arrays["peaks"] = found.view(np.uint8)
        facts = row.facts() | {
            "dead": bool(np.isnan(sparse.background.mean).all()),
            "picked": len(sparse.index),
        }
        return Record(number, facts=facts, arrays=arrays)


def peaks_of(record: Record) -> PeakList | None:
    """The peaks in a record, in memory of their own; None when none were looked for."""
    return record.arrays["peaks"].view(PEAK_DTYPE).copy() if "peaks" in record.arrays else None
