"""Peak lists frame by frame: of HDF5 files the peaks of a frame are read when they are asked for."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from crystint.io.guard import reads_file
from crystint.io.opened_file import OpenedFile
from crystint.io.peaks.cxi import cxi_peaks
from crystint.io.peaks.files import notes_of, peaks_in, rows_in
from crystint.io.peaks.nxdata import hdf5_peaks
from crystint.io.recognise import peak_list as form_of
from crystint.io.recognise import sparse
from crystint.io.sparse.open import sparse_in
from crystint.model.peaks import PeakList

__all__ = ["PeaksByFrame", "peaks_by_frame", "sources_in"]

_AT_ONCE = 256
"""frames that are read together where all are wanted"""


@dataclass(frozen=True, eq=False)
class PeaksByFrame:
    """The peaks of a file, a frame at a time. Made by `peaks_by_frame`; threads may share it.

    Examples
    --------
    >>> import crystint
    >>> from crystint.io.peaks.by_frame import peaks_by_frame
    >>> data = crystint.simulate.simulate((100, 110), background=5.0, peaks=8, intensity=900.0, dtype="uint16", seed=1)
    >>> peaks = crystint.Separator(data.geometry, data.mask, rings=30).peaks(data[0])
    >>> crystint.write_peaks("p.cxi", peaks, shape=(100, 110), n_frames=1, provenance={})
    >>> by_frame = peaks_by_frame("p.cxi")
    >>> len(by_frame), by_frame.counts.tolist(), len(by_frame.of(0))
    (1, [8], 8)
    """

    path: Path
    counts: NDArray[np.int64]
    """int64 [frames]"""
    form: str
    """ "CXI", "HDF5", "sparse", or another, whose peaks are in memory"""
    whole: PeakList | None = None
    """of all frames, sorted by them; None = they are read when they are asked for"""
    _first: list[NDArray[np.int64]] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.counts)

    def of(self, frame: int) -> PeakList:
        """Peaks of a frame; none where it is not of the list.

        Raises
        ------
        FileError
            When the file is damaged, or is not there any more.
        """
        return self._some(frame, frame + 1) if 0 <= frame < len(self) else self._some(0, 0)

    def blocks(self) -> Iterator[PeakList]:
        """All peaks, those of some frames at a time."""
        for first in range(0, len(self), _AT_ONCE):
            yield self._some(first, min(first + _AT_ONCE, len(self)))

    @reads_file
    def _some(self, first: int, last: int) -> PeakList:
        if not self._first:
            self._first.append(np.concatenate([[0], np.cumsum(self.counts)]))
        rows = slice(*(int(at) for at in self._first[0][[first, last]]))
        if self.whole is not None:
            return self.whole[rows]
        with OpenedFile(self.path) as file:
            assert file.hdf5 is not None
            if self.form == "CXI":
                return cxi_peaks(file.hdf5, self.path, slice(first, last))
            if self.form == "HDF5":
                return hdf5_peaks(file.hdf5, self.path, rows)
            with sparse_in(file) as opened:
                return opened.peaks_of(slice(first, last))


@reads_file
def peaks_by_frame(path: str | Path) -> PeaksByFrame:
    """Open a peak list, or the one of a sparse file.

    Of .refl, JSON lines and SPOT.XDS, which have no index, all peaks are read at once.

    Raises
    ------
    FileError
        As `crystint.read_peaks`.
    """
    with OpenedFile(path) as file:
        form, counts = form_of(file) or "", None
        if file.hdf5 is not None:
            if form == "CXI" and _is_table(file.hdf5.get("entry_1/result_1/nPeaks")):
                counts = file.hdf5["entry_1/result_1/nPeaks"][()]
                width = file.hdf5["entry_1/result_1/peakXPosRaw"].shape[-1]
                counts = np.minimum(counts, width)
            elif form == "HDF5" and "frame_ptr" in file.hdf5["entry/peaks"]:
                counts = np.diff(file.hdf5["entry/peaks/frame_ptr"][()].astype(np.int64))
            elif sparse(file):
                with sparse_in(file) as opened:
                    if opened.has_peaks:
                        form, counts = "sparse", opened.peak_counts
        if counts is not None:
            return PeaksByFrame(Path(path), np.asarray(counts, np.int64), form)
        peaks = peaks_in(file)
        peaks = peaks[np.argsort(peaks["frame"], kind="stable")]
        frames = max(rows_in(file)[0] or 0, int(peaks["frame"].max(initial=-1)) + 1)
        return PeaksByFrame(Path(path), np.bincount(peaks["frame"], minlength=frames), form, peaks)


def _is_table(item: Any) -> bool:
    return isinstance(item, h5py.Dataset) and item.ndim == 1


@reads_file
def sources_in(path: str | Path) -> list[tuple[str, int]]:
    """File and number in it of each frame that a peak list or a sparse file was made of; empty where it does not tell.

    The names are those that the program was given, which may be relative to a folder that nobody remembers.
    """
    with OpenedFile(path) as file:
        if file.hdf5 is not None:
            if sparse(file):
                with sparse_in(file) as opened:
                    return [(source.file, source.index) for source in opened.sources]
            for place in ("entry_1/data_1", "entry"):
                group = file.hdf5.get(place)
                if isinstance(group, h5py.Group) and {"source_file", "source_index"} <= set(group):
                    names, numbers = group["source_file"].asstr()[()], group["source_index"][()]
                    return [(str(name), int(number)) for name, number in zip(names, numbers, strict=True)]
            return []
        with suppress(KeyError, TypeError, ValueError):
            if form_of(file) == "JSON lines":
                with file.path.open(encoding="utf-8") as text:
                    lines = [json.loads(line) for line in text if '"n_peaks":' in line[:64]]
                return [(str(line["file"]), int(line["index"])) for line in lines]
            return [(str(name), int(number)) for name, number in notes_of(file)["frames"]]
        return []
