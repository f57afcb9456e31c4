"""The sparse file of a series, written while images come."""

from __future__ import annotations

import shutil
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from crystint.errors import FileError
from crystint.io.frames.readers import FrameSource
from crystint.io.outputs import remove_leftovers
from crystint.io.sparse.writer import SparseWriter
from crystint.model.frame_table import FrameStatus, FrameTable
from crystint.model.scan import Scan
from crystint.online.raw_files import Tell, reserve_on
from crystint.online.sink import Run
from crystint.online.sparse_images import SparseForm, SparseImage

__all__ = ["SparseOutput", "SparseResult"]

_FARTHEST = 100_000
"""images that may be missing between two"""
_LOOK_S = 1.0
"""s between two looks at the disk"""


class SparseResult(NamedTuple):
    """What the file is to have of an image."""

    number: int
    status: FrameStatus
    image: SparseImage | None


class SparseOutput:
    """``{name}_sparse.h5`` of a series: its images in the order of their numbers, those that are not there as missing.

    The file has a temporary name until it is whole. A process that goes on with a series after another one was killed
    begins it anew: images that were looked at before are missing in it, which is told.

    Parameters
    ----------
    path : path
    run : Run
    provenance : mapping
    tell : callable
    before : sequence of (int, int)
        Images that another process has looked at, first and last.
    """

    def __init__(
        self, path: Path, run: Run, provenance: Mapping[str, Any], tell: Tell, before: Sequence[tuple[int, int]] = ()
    ) -> None:
        self.path, self._run, self._provenance, self._tell = path, run, provenance, tell
        self.error = ""
        """why it is not written any more"""
        self.left_out: Counter[str] = Counter()
        """images that were looked at and are missing in it, by why"""
        self._before = [(int(first), int(last)) for first, last in before]
        self._writer: SparseWriter | None = None
        self.count = 0
        """images that it has, missing ones too"""
        self._looked = 0.0
        self._reserve = reserve_on(path.parent)
        remove_leftovers(path)
        if self._before:
            count = sum(last + 1 - first for first, last in self._before)
            ranges = ", ".join(f"{first}-{last}" if last > first else f"{first}" for first, last in self._before[:10])
            more = ", ..." if len(self._before) > 10 else ""
            self.left_out["the process that had looked at them was killed"] = count
            self._say(f"{count} images are missing in {path.name}, {ranges}{more}: their process was killed")

    def _say(self, text: str) -> None:
        self._tell("warning", {"text": text})

    def add(self, results: Sequence[SparseResult]) -> None:
        """Append images.

        Raises
        ------
        FileError
            When the disk does not take them, or they do not fit. There will be no file then.
        """
        if self.error:
            return
        try:
            for each in results:
                self._add(each)
            self._look()
        except Exception as error:  # of HDF5, which tells its kinds of errors by their texts
            self.drop(str(error) or type(error).__name__)
            raise FileError(self.error) from error

    def _add(self, result: SparseResult) -> None:
        number, image = result.number, result.image
        looked_at = result.status in (FrameStatus.OK, FrameStatus.VETOED)
        if number < self.count:
            if looked_at:
                self._leave_out(number, "it came late")
            return
        if number > self.count + _FARTHEST:
            raise FileError(f"image {number} comes after image {self.count - 1}: too many are missing between them")
        if image is None or image.row is None or image.form is None:
            if looked_at:
                self._leave_out(number, "the disk is too slow" if image is None else image.reason)
            self._miss(number + 1)
            return
        row = image.row
        if self._writer is None:
            self._writer = self._open(image.form)
            row = image.form.with_mask(row)
        self._miss(number)
        self._writer.put(row)
        self.count += 1

    def _miss(self, until: int) -> None:
        """All images before one are missing, as far as the file does not have them."""
        if self._writer is not None:
            for number in range(self.count, until):
                self._writer.put_missing(number)
        self.count = max(self.count, until)

    def _leave_out(self, number: int, reason: str) -> None:
        self.left_out[reason] += 1
        if self.left_out[reason] == 1:
            self._say(f"image {number} is missing in {self.path.name}: {reason}")

    def _open(self, form: SparseForm) -> SparseWriter:
        instrument = self._run.start.instrument
        writer = SparseWriter(
            self.path,
            form.rings,
            form.dtype,
            geometry=form.geometry,
            provenance=self._provenance,
            overwrite=True,
            instrument=instrument,
        ).__enter__()
        for number in range(self.count):
            writer.put_missing(number)
        return writer

    def _look(self) -> None:
        """Leave room for results on the disk."""
        now = time.monotonic()
        if self._writer is None or now - self._looked < _LOOK_S:
            return
        self._looked = now
        free = shutil.disk_usage(self.path.parent).free
        if free < self._reserve:
            raise FileError(f"{free / 1e6:.3g} MB are free, and {self._reserve / 1e6:.3g} MB are for results")

    def finish(
        self,
        images: int,
        rows: Callable[[int], FrameTable],
        sources: Callable[[int], Sequence[FrameSource] | None],
        scan: Scan,
        provenance: Mapping[str, Any],
    ) -> bool:
        """Write what is known at the end, and give the file its name; whether there is one.

        Parameters
        ----------
        images : int
            Of the series.
        rows : callable
            Table of the first frames.
        sources : callable
            Where the first frames are; None = that is not known.
        scan : Scan
        provenance : mapping

        Raises
        ------
        FileError
            When the disk does not take it.
        """
        writer = self._writer
        if writer is None:
            if not self.error and images:
                self._say(f"{self.path.name} is not written: no image of the series could be sparsified")
            return False
        try:
            self._miss(min(images, self.count + _FARTHEST))
            if self.count < images:
                writer.end_early(images)
                self._say(f"{self.path.name} ends with image {self.count - 1} of {images}: no later one came")
            left_out = dict(self.left_out)
            writer.note(**provenance, **({"images_left_out": left_out} if left_out else {}))
            writer.put_inputs(sources(self.count), scan)
            writer.put_results(rows(self.count))
            self._writer = None
            writer.__exit__(None, None, None)
        except Exception as error:  # of HDF5, too
            self.drop(str(error) or type(error).__name__)
            raise FileError(self.error) from error
        for reason, count in self.left_out.items():
            if count > 1:
                self._say(f"{count} images are missing in {self.path.name}: {reason}")
        return True

    def drop(self, reason: str) -> None:
        """Write no more of it; what there is of it is removed."""
        self.error = reason
        writer, self._writer = self._writer, None
        if writer is not None:
            stopped = FileError(reason)
            try:
                writer.__exit__(FileError, stopped, None)
            except Exception as error:  # what was the matter before is what is told
                self.error = reason or str(error)
