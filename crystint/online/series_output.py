"""All files of one series: raw frames, results, peaks. Two threads use it, each its own half."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crystint.errors import CrystintError, FileError
from crystint.io.frames.readers import FrameSource
from crystint.io.hdf5.provenance import plain
from crystint.io.hdf5.provenance import provenance as made_by_program
from crystint.io.outputs import remove_leftovers
from crystint.io.peaks.files import write_peaks
from crystint.io.series.part_file import data_path
from crystint.io.series.results_file import ranges_of, write_series_results
from crystint.model.frame_table import FRAME_DTYPE, FrameStatus, FrameTable, empty_frame_table
from crystint.online.raw_files import RawFiles, Tell
from crystint.online.region_output import put_regions
from crystint.online.result import ONLINE_COLUMNS, Result
from crystint.online.results_journal import ResultsJournal
from crystint.online.series_scan import series_scan
from crystint.online.sink import Event, Run
from crystint.online.sparse_output import SparseOutput
from crystint.stream.messages import Image

__all__ = ["SeriesOutput"]

_BEYOND = 1_000_000
"""images announced and not come that have rows of their own; a series of which more are missing ends with its last"""
_LOG = 10_000
"""events of a series that are stored"""


class SeriesOutput:
    """The files of a series. Methods whose names begin with ``raw`` are for one thread, the others for another.

    Parameters
    ----------
    run : Run
        With a folder.
    raw : bool
        Raw frames are wanted.
    images_per_file : int, optional
        As `RawFiles` has it.
    formats : sequence of str
        Of peak lists: cxi, refl, h5, json.
    sparse : bool
        A sparse file is wanted.
    tell : callable
        Takes events.
    closer : concurrent.futures.Executor
        Waits for the disk when a part is closed.

    Raises
    ------
    FileError
        When its journal cannot be written, or another process writes it.
    """

    def __init__(
        self,
        run: Run,
        *,
        raw: bool,
        images_per_file: int | None,
        formats: Sequence[str],
        sparse: bool = False,
        tell: Tell,
        closer: Executor | None,
    ) -> None:
        assert run.folder is not None
        self.run, self._folder, self._formats, self._tell = run, Path(run.folder), tuple(formats), tell
        self._per_file, self._closer, self._want_raw = images_per_file, closer, raw
        self.raw: RawFiles | None = None
        self.raw_error = ""
        """why raw frames are not written any more"""
        self.error = ""
        """why results are not"""
        self.raw_skipped = 0
        """images that there was no room for in the queue"""
        self.left_out = 0
        """results that there was no room for in theirs"""
        self.journal = ResultsJournal(self._path("_results.h5"), run.key)
        self.sparse: SparseOutput | None = None
        if sparse:
            status = self.journal.status(self.journal.count)
            before = ranges_of(np.flatnonzero(np.isin(status, (FrameStatus.OK, FrameStatus.VETOED)))).tolist()
            provenance = made_by_program({}, [])
            self.sparse = SparseOutput(self._path("_sparse.h5"), run, provenance, tell, before)
        self._pending: list[Result] = []
        self._has_regions = False
        self._events = len(self.journal.events)

    def _path(self, ending: str) -> Path:
        return self._folder / f"{self.run.name}{ending}"

    # ------------------------------------------------------------------------------------------ raw frames

    def raw_begin(self) -> None:
        """Look for what a killed process has left.

        Raises
        ------
        FileError
            When it cannot be gone on with.
        """
        if self._want_raw and self.raw is None and not self.raw_error:
            self.raw = RawFiles(
                self._folder,
                self.run.name,
                self.run.start,
                images_per_file=self._per_file,
                geometry=self.run.geometry,
                mask=self.run.mask,
                provenance=made_by_program({}, []),
                tell=self._tell,
                closer=self._closer,
            )

    def raw_write(self, image: Image) -> int:
        """Write an image; how many bytes that were.

        Raises
        ------
        FileError
            When the disk does not take it; raw frames of this series are not written any more.
        """
        if self.raw_error or not self._want_raw:
            return 0
        self.raw_begin()
        assert self.raw is not None
        before = self.raw.bytes
        try:
            self.raw.write(image)
        except CrystintError as error:
            self.raw_off(str(error))
            raise
        except Exception as error:  # of HDF5, which tells its kinds of errors by their texts
            self.raw_off(f"{type(error).__name__}: {error}")
            raise FileError(self.raw_error) from error
        return self.raw.bytes - before

    def raw_off(self, reason: str) -> None:
        """Write no more raw frames of this series; what is there stays."""
        self.raw_error = reason

    def raw_end(self) -> None:
        """Close the parts.

        Raises
        ------
        FileError
            When the disk does not take it.
        """
        self.raw_begin()
        if self.raw is not None:
            self.raw.close_parts(self._images())

    # --------------------------------------------------------------------------------------------- results

    def add(self, results: Sequence[Result]) -> None:
        """Append results; those that the disk did not take before go with them.

        Raises
        ------
        FileError
            When the disk does not take them. They are kept, up to a limit, for the next time.
        """
        self._pending += results
        if self._pending:
            self.journal.add(self._pending)
            self._pending = []

    def add_event(self, event: Event) -> None:
        """Append what happened."""
        self._events += 1
        if self._events <= _LOG:
            self.journal.add_event(plain(asdict(event)))

    @property
    def waiting(self) -> int:
        """Results that the disk did not take yet."""
        return len(self._pending)

    def _images(self) -> int:
        """Rows of the outputs."""
        books = self.run.books
        present = np.zeros(0, np.int64) if self.raw is None else self.raw.present()
        last = max(self.journal.count, int(present[-1]) + 1 if len(present) else 0)
        expected = books.expected or 0
        return max(last, expected if expected <= last + _BEYOND else 0)

    def finish(self) -> list[str]:
        """Write the results, the lists of peaks and the master as they stay; the journal is removed.

        Returns
        -------
        list of str
            Names of the files.

        Raises
        ------
        FileError
            When the disk does not take one of them. The journal stays then.
        """
        self.add([])
        images = self._images()
        described = dict(self.run.described())
        self.journal.describe(plain(described))
        provenance = made_by_program(plain(described), [])
        self._write_results(images, provenance)
        files = [self._path("_results.h5").name]
        self._tell("file", {"path": str(self._path("_results.h5")), "first_image": 0, "images": images})
        if self.raw is not None:
            links = {name: (files[0], f"/entry/{name}") for name in ("results", "settings", "books", "log")}
            if self._has_regions:
                links |= {name: (files[0], f"/entry/{name}") for name in ("roi", "roi_defs")}
            self.raw.update(self.run.geometry, self.run.mask, provenance)
            self.raw.complete(images, self._began(images), links)
            files += [*self.raw.files, *([self.raw.master.name] if self.raw.master.exists() else [])]
        files += self._write_peaks(images, provenance)
        files += self._finish_sparse(images, provenance)
        self.journal.close(keep=False)
        return files

    def _began(self, images: int) -> NDArray[np.float64]:
        """s since 1970, begin of the exposure of each image."""
        began = np.concatenate(
            [self.journal.rows(at, min(at + 65536, images))["t_start"] for at in range(0, images, 65536)]
            or [np.zeros(0, np.int64)]
        )
        return np.where(began >= 0, began * 1e-9, np.nan)

    def _write_results(self, images: int, provenance: Mapping[str, Any]) -> None:
        status = self.journal.status(images)
        ranges = {
            name: (ranges_of(np.flatnonzero(status == value)), meaning)
            for name, value, meaning in (
                ("missing_images", FrameStatus.MISSING, "images that have no result: they never came, or were lost"),
                ("skipped_images", FrameStatus.SKIPPED, "images that came and were not looked at"),
                ("failed_images", FrameStatus.FAILED, "images that could not be unpacked, or did not fit"),
            )
        }
        books: dict[str, Any] = dict(self.run.books.to_dict())
        books["results_left_out"] = self.left_out + self.journal.left_out
        if self.raw is not None:
            present = self.raw.present()
            came = np.flatnonzero(status != FrameStatus.MISSING)
            lost = np.setdiff1d(came, present)
            ranges["raw_missing_images"] = (ranges_of(lost), "images that came and are not in the raw files")
            unseen = np.setdiff1d(present, came)
            ranges["raw_only_images"] = (ranges_of(unseen), "images that are in the raw files and have no result")
            books["raw_written"], books["raw_skipped"] = len(present), self.raw_skipped
            books["raw_late"], books["raw_unfit"] = self.raw.late, self.raw.unfit
        key = self.run.key
        write_series_results(
            self._path("_results.h5"),
            ONLINE_COLUMNS,
            images,
            self.journal.rows,
            settings=_versions(self.journal.described),
            books=books,
            ranges=ranges,
            log=self.journal.events,
            provenance=provenance,
            attributes={"series_id": key.id, "series_unique_id": key.unique_id},
            more=lambda entry: self._put_regions(entry, images),
        )

    def _put_regions(self, entry: Any, images: int) -> None:
        versions = [one for each in self.journal.described for one in each.get("regions", ())]
        run = self.run
        lost = put_regions(entry, self.journal, versions, images, run.geometry, run.start.shape)
        self._has_regions = lost is not None
        if lost:
            text = f"the regions of {lost} images of series {run.key} are not in the file: others had their version"
            self._tell("warning", {"text": text})

    def _write_peaks(self, images: int, provenance: Mapping[str, Any]) -> list[str]:
        """Lists of peaks."""
        start = self.run.start
        if not self._formats or not images:
            return []
        peaks = self.journal.peaks(images)
        rows = self._frame_rows(images)
        unseen = np.isin(rows["status"], (FrameStatus.MISSING, FrameStatus.SKIPPED, FrameStatus.FAILED))
        sources = self._sources(images)
        made = []
        for suffix in self._formats:
            path = self._path(f"_peaks.{suffix}")
            remove_leftovers(path)
            write_peaks(
                path,
                peaks,
                shape=start.shape,
                n_frames=images,
                geometry=self.run.geometry,
                frames_per_file=sources,
                provenance=provenance,
                missing=np.flatnonzero(unseen).tolist(),
                results=rows,
                overwrite=True,
                scan=series_scan(start, images, self._began(images))[0],
            )
            made.append(path.name)
            self._tell("file", {"path": str(path), "first_image": 0, "images": images})
        return made

    def _frame_rows(self, images: int) -> FrameTable:
        """Table of the first images, without what is of the stream."""
        rows, results = empty_frame_table(images), self.journal.rows(0, images)
        for name in FRAME_DTYPE.names or ():
            rows[name] = results[name]
        return rows

    def _sources(self, images: int) -> list[FrameSource] | None:
        """Where the first images are, when they are written."""
        if self.raw is None or not self.raw.master.exists():
            return None
        master, place = str(self.raw.master), data_path("", True)
        return [FrameSource(master, number, place) for number in range(images)]

    def _finish_sparse(self, images: int, provenance: Mapping[str, Any]) -> list[str]:
        """The sparse file, which the other files do not need."""
        sparse = self.sparse
        if sparse is None:
            return []
        scan = series_scan(self.run.start, images, self._began(images))[0]
        try:
            if not sparse.finish(images, self._frame_rows, self._sources, scan, provenance):
                return []
        except CrystintError as error:
            text = f"the sparse file of series {self.run.key} is not written: {error}"
            self._tell("alarm", {"text": text, "state": "error"})
            return []
        self._tell("file", {"path": str(sparse.path), "first_image": 0, "images": sparse.count})
        return [sparse.path.name]

    def give_up(self) -> None:
        """Leave all as it is, to be gone on with by another process."""
        if self.sparse is not None:
            self.sparse.drop("the service ended before the series did")
        if self.raw is not None:
            self.raw.abandon()
        self.journal.close(keep=True)


def _versions(described: Sequence[Mapping[str, Any]]) -> dict[str, Mapping[str, Any]]:
    """Every version of the settings by its number, of all processes that worked on the series."""
    every = [one for each in described for one in each.get("settings", ())]
    return {str(one.get("version", number)): one for number, one in enumerate(every)}
