"""Parts of ``crystint sparsify``: sparse files of some of the frames, and the sparse file of all that is made of them.

A part holds, beside its frames, what one result of all frames is made of and a sparse file does not tell: the row of
the first frame, why frames are missing, and the reflections of an audit, as records without pixels.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, fields
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crystint.errors import FileError
from crystint.io.frame_record import FrameRecord
from crystint.io.frame_table import read_frame_table
from crystint.io.sparse.joined import JoinedLists
from crystint.io.sparse.open import open_sparse
from crystint.io.sparse.row import SparseRow
from crystint.model.frame_table import FrameTable, empty_frame_table
from crystint.model.spot_rows import SPOT_DTYPE, spots_in
from crystint.run.parts import Parts
from crystint.summation.frame_audit import FrameAudit

__all__ = ["JoinedParts", "PartNotes"]

_ARRAYS = tuple(each.name for each in fields(SparseRow))
_LOST = ("lost", "lost_value")
_ENDS = "end"
"""Fact by which the last record of a part is known."""


@dataclass(eq=False)
class PartNotes:
    """What a part tells beside its frames."""

    numbers: range
    """of its frames"""
    first: bytes | None = None
    audits: list[bytes] = field(default_factory=list)

    def add(self, record: FrameRecord) -> None:
        """The next frame: of the part, or one of those before it that tell the mask of the first."""
        if record.missing is not None:
            return
        if self.first is None:
            arrays = {name: record.arrays[name][slice(None if name in _LOST else 0)] for name in record.arrays
                      if name in _ARRAYS}  # fmt: skip
            self.first = FrameRecord(record.number, facts=record.facts, arrays=arrays).pack()
        if record.number in self.numbers and FrameAudit.of_record(record) is not None:
            arrays = {name: values for name, values in record.arrays.items() if name not in (*_ARRAYS, "row", "peaks")}
            self.audits.append(FrameRecord(record.number, facts=record.facts, arrays=arrays).pack())

    def records(self, unusable: list[int], pixels: dict[str, int]) -> Iterator[bytes]:
        """They, as records."""
        if self.first is not None:
            yield self.first
        yield from self.audits
        yield FrameRecord(-1, facts={_ENDS: {"dead": unusable, "pixels": pixels}}).pack()


@dataclass(frozen=True, eq=False)
class JoinedParts:
    """The parts of a run of sparsify, and what they tell together."""

    parts: Parts

    @property
    def paths(self) -> list[Path]:
        """Their files."""
        return [file.path for file in self.parts.files]

    @cached_property
    def lists(self) -> JoinedLists:
        """The lists of their frames."""
        return JoinedLists.of(self.paths)

    @cached_property
    def _told(self) -> tuple[SparseRow | None, list[FrameAudit], list[dict[str, Any]]]:
        first, audits, ends = None, [], []
        for file in self.parts.files:
            for record in map(FrameRecord.unpack, file.records(0, len(file))):
                if _ENDS in record.facts:
                    ends.append(record.facts[_ENDS])
                    continue
                if "lost" in record.arrays:
                    first = SparseRow.of_record(record) if first is None else first
                audit = FrameAudit.of_record(record)
                if audit is not None:
                    audits.append(audit)
        if len(ends) < len(self.parts.files):
            raise FileError(f"{self.paths[0]} or another part is damaged: its records do not come to an end")
        return first, audits, ends

    @property
    def first(self) -> SparseRow | None:
        """The row of the first frame that is there, without pixels; None = none is."""
        return self._told[0]

    @property
    def audits(self) -> list[FrameAudit]:
        """Those of the frames that were audited, in order."""
        return self._told[1]

    @property
    def missing(self) -> dict[int, str]:
        """Frames that could not be read, and why."""
        return self.parts.missing

    @property
    def unusable(self) -> list[int]:
        """Frames without a usable pixel."""
        return [number for end in self._told[2] for number in end["dead"]]

    @property
    def pixels(self) -> list[dict[str, int]]:
        """How many were kept for which reason, of each part."""
        return [end["pixels"] for end in self._told[2]]

    @property
    def results(self) -> FrameTable:
        """The rows of the frames in the table of frames."""
        return np.concatenate([empty_frame_table(), *map(read_frame_table, self.paths)])

    @property
    def spots(self) -> NDArray[np.void]:
        """SPOT_DTYPE [peaks]: those that were stored."""
        lists = [np.zeros(0, SPOT_DTYPE)]
        for path in self.paths:
            with open_sparse(path) as file:
                lists.append(spots_in(file.peaks))
        return np.concatenate(lists)
