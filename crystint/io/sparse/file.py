"""Sparse files of crystint, as a sequence of frames."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from os import PathLike
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import h5py
import numpy as np
from numpy.typing import NDArray

from crystint.errors import FileError
from crystint.io.frame_table import results_in
from crystint.io.guard import guarded, reads_file
from crystint.io.hdf5.checked import stored_bytes
from crystint.io.hdf5.files import open_hdf5
from crystint.io.hdf5.scan_group import read_scan
from crystint.io.hdf5.source_metadata import stored_metadata
from crystint.io.limits import check_claim
from crystint.io.peaks.nxdata import LATER
from crystint.io.sparse.codec import decode_index, to_position
from crystint.io.sparse.layout import ENTRY, FORMAT, INSTRUMENT, PEAK_GROUP
from crystint.io.sparse.maps import check_shared
from crystint.io.sparse.mask import PICKED, FirstMask
from crystint.model.frame_table import FrameStatus, FrameTable
from crystint.model.geometry import Geometry
from crystint.model.instrument import Instrument
from crystint.model.peaks import PEAK_DTYPE, PeakList, empty_peaks, unknown_peaks
from crystint.model.rings import Background, RingMap
from crystint.model.scan import Scan
from crystint.model.source_metadata import SourceMetadata
from crystint.model.sparse import SparseFrame
from crystint.model.valid_values import ValidValues

if TYPE_CHECKING:
    from crystint.engine import Engine
    from crystint.io.frames.sequence import FrameSource
    from crystint.ops.dense_frames import DenseFrames

__all__ = ["RingsInFile", "SparseFile"]


@dataclass(frozen=True, slots=True)
class RingsInFile:
    """Where another process finds a ring map: a `crystint.model.ring_pickle.RingRecipe`."""

    path: Path
    size: int
    changed: int
    """ns"""
    kind: type[SparseFile]
    """what reads it"""

    @classmethod
    def of(cls, path: Path, kind: type[SparseFile]) -> RingsInFile:
        """The map of a file as it is now."""
        status = path.stat()
        return cls(path.resolve(), status.st_size, status.st_mtime_ns, kind)

    @property
    def parts(self) -> tuple[str, ...]:
        """None: the file has all."""
        return ()

    def __call__(self, parts: Mapping[str, NDArray[Any]]) -> RingMap:
        """Read the map."""
        try:
            if RingsInFile.of(self.path, self.kind) == self:
                with self.kind(self.path, open_hdf5(self.path)) as file:
                    return file.rings
            what = "has changed"
        except OSError as error:
            what = f"cannot be read ({error})"
        raise FileError(
            "this sparse frame, or background, was sent without its ring map, which is in the file that it was read "
            f"from; {self.path} {what} here: put the file where this process finds it under that name"
        )


_BACKGROUND = ("background_avg", "background_std")
_STATISTICS = ("background_count", "background_sem", "background_excess", "background_additive")
"""Of the background of all frames, without which none can be read."""


class SparseFile:
    """An open sparse file: a sequence of `SparseFrame`, each read lazily, when it is indexed.

    ``len(file)``, ``file[i]``, iteration; a context manager. Made by `open_sparse`.

    Examples
    --------
    >>> import crystint
    >>> data = crystint.simulate.simulate((100, 110), background=5.0, peaks=8, intensity=900.0, dtype="uint16", seed=1)
    >>> separator = crystint.Separator(data.geometry, data.mask, rings=30)
    >>> with crystint.SparseWriter(
    ...     "sparse.h5", separator.rings, data.dtype, geometry=data.geometry, provenance={}
    ... ) as writer:
    ...     writer.write(separator.sparsify(data[0]))
    >>> with crystint.open_sparse("sparse.h5") as file:
    ...     len(file), file[0].shape
    (1, (100, 110))
    """

    def __init__(self, path: str | PathLike[str], file: h5py.File) -> None:
        self.path = Path(path)
        self.shared_maps = ""
        """name of the file with the detector maps, where several files share them; empty = they are in this one"""
        self._file = file
        self._members: dict[tuple[bool, str], h5py.Dataset] = {}
        self._data, self._own = self._groups()
        lacking = [name for name in _BACKGROUND if name not in self._data] + [
            name for name in _STATISTICS if type(self) is SparseFile and name not in self._own
        ]
        if lacking:
            raise FileError(f"{path} is a damaged sparse file: it has no {', '.join(lacking)}")
        self._ptr = self._pointer(self._data, "frame_ptr")
        if "reason" in self._own and (
            self._own["reason"].dtype != np.uint8 or len(self._own["reason"]) < self._ptr[-1]
        ):
            raise FileError(f"{path} is damaged: its list of reasons, reason, has no byte for each pixel")
        if self._data["intensity"].dtype.kind not in "iuf":
            raise FileError(f"{path} is damaged: its intensities are {self.dtype}, expected numbers")
        if self._ptr[-1] > len(self._data["intensity"]):
            raise FileError(f"{path} is damaged: frame_ptr reaches beyond the pixels that are there")

    def _groups(self) -> tuple[h5py.Group, h5py.Group]:
        data, own = self._file[ENTRY]["sparse_frames"], self._file[ENTRY]["crystint"]
        if own.attrs["format"] > FORMAT:
            raise FileError(
                f"{self.path} has the format {own.attrs['format']}, this crystint knows up to {FORMAT}: update crystint"
            )
        self.shared_maps = check_shared(self.path, data, own)
        self._role_ptr = self._pointer(own, "role_ptr")
        if "index_delta" in data:
            self._escape_ptr = self._pointer(data, "escape_ptr")
        return data, own

    def _opened(self, group: h5py.Group, name: str) -> h5py.Dataset:
        """A data set that each frame is read from, opened once."""
        key = group is self._own, name
        if key not in self._members:
            self._members[key] = group[name]
        return self._members[key]

    @cached_property
    def _numbers(self) -> dict[str, NDArray[Any]]:
        """Of each frame: its number, SNR_pick and noise."""
        return {name: self._own[name][()] for name in ("frame", "snr", "noise")}

    def _pointer(self, group: h5py.Group, name: str) -> NDArray[np.int64]:
        """A list of where frames begin, checked."""
        pointer: NDArray[np.int64] = group[name][()].astype(np.int64)
        if pointer.ndim != 1 or not len(pointer) or pointer[0] != 0 or (np.diff(pointer) < 0).any():
            raise FileError(f"{self.path} is damaged: {name} does not ascend from 0")
        return pointer

    def __len__(self) -> int:
        return len(self._ptr) - 1

    @cached_property
    @reads_file
    def rings(self) -> RingMap:
        """The ring map, as exact as the file holds it: position to 1/128 ring, weight to 1.3e-4."""
        data, own = self._data, self._own
        radius, first, step = data["mask"][()], float(own["ring_radius"][0]), float(own.attrs["ring_step"])
        radius.ravel()[own["unusable_index"][()]] = own["unusable_radius"][()]
        for each in (data["normalization"], own["pixel_mask"], *([own["dark"]] if "dark" in own else [])):
            if each.shape != radius.shape or each.dtype.kind not in "iuf":
                what = f"{each.name} is {each.dtype} of {each.shape}, expected numbers of {radius.shape}"
                raise FileError(f"{self.path} is damaged: {what}")
        return RingMap(
            to_position(radius, first, step),
            data["normalization"][()],
            own["pixel_mask"][()],
            own["ring_radius"][()],
            own["ring_q"][()],
            own["dark"][()] if "dark" in own else None,
            RingsInFile.of(self.path, type(self)),
            ValidValues.from_dict(json.loads(own.attrs.get("valid_values", "null"))),
        )

    @cached_property
    @reads_file
    def shape(self) -> tuple[int, int]:
        """(slow, fast) of the frames."""
        slow, fast = self._data["mask"].shape
        return int(slow), int(fast)

    @cached_property
    @reads_file
    def dtype(self) -> np.dtype[Any]:
        """dtype of the frames."""
        dtype: np.dtype[Any] = self._data["intensity"].dtype
        return dtype

    @cached_property
    @reads_file
    def compact(self) -> bool:
        """Whether pixel numbers are stored as differences, which FabIO cannot read."""
        return "index_delta" in self._data

    @cached_property
    @reads_file
    def gzipped(self) -> bool:
        """Whether it is packed with gzip, which every HDF5 library reads without plug-ins."""
        return bool(self._data["intensity"].compression == "gzip")

    @cached_property
    @reads_file
    def error_model(self) -> str:
        """ "poisson", "azimuthal" or "hybrid"."""
        return str(self._own.attrs["error_model"]) or "hybrid"

    @property
    @reads_file
    def geometry(self) -> Geometry | None:
        """The geometry of the run; None when the file does not say."""
        values = json.loads(self._own["geometry"].asstr()[()])
        return None if values is None else Geometry.from_dict(values)

    @cached_property
    @reads_file
    def scan(self) -> Scan | None:
        """How the crystal was turned and exposed, for each frame, missing ones too; None = not known."""
        return read_scan(self._own)

    @reads_file
    def metadata(self) -> SourceMetadata:
        """What the first source file held beside the pixels, as it was."""
        return stored_metadata(self._own)

    @property
    @reads_file
    def instrument(self) -> Instrument:
        """What the source files told of sensor, detector, source and sample."""
        stored = self._own.get(INSTRUMENT)
        return Instrument() if stored is None else Instrument.from_dict(json.loads(stored.asstr()[()]))

    @property
    @reads_file
    def provenance(self) -> dict[str, Any]:
        """How the file was made."""
        return dict(json.loads(self._own["provenance"].asstr()[()]))

    @property
    @reads_file
    def audit(self) -> dict[str, Any] | None:
        """What became of reflections, as ``crystint sparsify --audit`` found; None = it was not asked for.

        The figures are those of `crystint.compare.ReflectionAudit`, over frames 0, `every`, 2 `every`, ...
        """
        return dict(json.loads(self._own["audit"].asstr()[()])) if "audit" in self._own else None

    @property
    @reads_file
    def sources(self) -> list[FrameSource]:
        """Where the frames of the input came from, by their number; empty when not recorded."""
        from crystint.io.frames.sequence import FrameSource

        if "sources" not in self._own:
            return []
        files, datasets = (self._own[name].asstr()[()] for name in ("source_files", "source_datasets"))
        return [
            FrameSource(str(files[file]), int(index), str(datasets[file]) or None)
            for file, index in self._own["sources"][()]
        ]

    @cached_property
    @reads_file
    def missing(self) -> tuple[int, ...]:
        """Numbers of the frames that could not be read when the file was made: they have no pixel and no background."""
        return tuple(self._own["missing"][()].tolist()) if "missing" in self._own else ()

    @cached_property
    @reads_file
    def results(self) -> FrameTable | None:
        """The table of frames, structured array of `crystint.FRAME_DTYPE`; None in files that have none."""
        return results_in(self._file, self.path)

    @cached_property
    def vetoed(self) -> tuple[int, ...]:
        """Numbers of the frames that were no hits and have their background alone (``--hits-only``)."""
        rows = self.results
        if rows is None:
            return ()
        return tuple(np.flatnonzero(rows["status"][: len(self)] == FrameStatus.VETOED).tolist())

    @cached_property
    def _vetoed(self) -> frozenset[int]:
        return frozenset(self.vetoed)

    @cached_property
    def _absent(self) -> frozenset[int]:
        return frozenset(self.missing)

    @property
    @reads_file
    def has_peaks(self) -> bool:
        """Whether peaks were stored with the frames."""
        return f"{ENTRY}/{PEAK_GROUP}/columns" in self._file

    @property
    @reads_file
    def peaks(self) -> PeakList:
        """The peaks of all frames; empty when none were stored."""
        return self.peaks_of(slice(None))

    @property
    @reads_file
    def peak_counts(self) -> NDArray[np.int64]:
        """int64 [frames]: peaks of each frame; empty when none were stored."""
        counts = self._file.get(f"{ENTRY}/{PEAK_GROUP}/nPeaks")
        return np.zeros(0, np.int64) if counts is None else np.asarray(counts[()], np.int64)

    @reads_file
    def peaks_of(self, frames: slice) -> PeakList:
        """The peaks of some frames, which follow one another; of all where the slice is not limited."""
        columns = self._file.get(f"{ENTRY}/{PEAK_GROUP}/columns")
        if columns is None:
            return empty_peaks(0)
        names = [name for name in PEAK_DTYPE.names or () if name not in LATER or name in columns]
        rows = slice(None)
        if frames != slice(None):
            first, last, _ = frames.indices(len(self))
            counts = self.peak_counts
            rows = slice(int(counts[:first].sum()), int(counts[: max(first, last)].sum()))
        number = len(range(len(columns["frame"]))[rows])
        stored = sum(stored_bytes(columns[name]) for name in names)
        check_claim(f"{self.path}, {columns.name}", number * PEAK_DTYPE.itemsize, stored)
        peaks = unknown_peaks(number)
        for name in names:
            peaks[name] = columns[name][rows]
        return peaks

    def __getitem__(self, number: int) -> SparseFrame:
        number = range(len(self))[number]
        if not self._file:
            raise FileError(
                f"{self.path} is closed, its frames are read from it: open it again, or ask within its `with`"
            )
        with guarded(self.path, f"frame {number}"):
            return self._frame(number)

    def __iter__(self) -> Iterator[SparseFrame]:
        return (self[number] for number in range(len(self)))

    def stored_index(self, number: int) -> NDArray[np.uint32]:
        """uint32 [n]: the pixel numbers stored for a frame, ascending; picked ones and others."""
        at = slice(*self._ptr[number : number + 2])
        if self.compact:
            escape = self._opened(self._data, "index_escape")[slice(*self._escape_ptr[number : number + 2])]
            index = decode_index(self._opened(self._data, "index_delta")[at], escape)
        else:
            index = self._opened(self._data, "index")[at].astype(np.uint32, copy=False)
        if len(index) and (index[-1] >= self.shape[0] * self.shape[1] or (index[1:] <= index[:-1]).any()):
            raise FileError(f"{self.path} is damaged: pixel numbers of frame {number} do not ascend or fit")
        return index

    def _frame(self, number: int) -> SparseFrame:
        index, value = (
            self.stored_index(number),
            self._opened(self._data, "intensity")[slice(*self._ptr[number : number + 2])],
        )
        at = slice(*self._role_ptr[number : number + 2])
        role = np.zeros(len(index), dtype=np.uint8)
        if at.stop > at.start:
            role[self._opened(self._own, "role_at")[at]] = self._opened(self._own, "role")[at]
        picked, reason = role == PICKED, None
        if self._has_reasons:
            reason = self._opened(self._own, "reason")[slice(*self._ptr[number : number + 2])][picked]
        missing = number in self._absent
        lost, lost_value = (index[:0], value[:0]) if missing else self._first.unusable(index, value, role)
        return SparseFrame(
            index=index[picked],
            value=value[picked],
            background=self._background(number),
            dtype=self.dtype,
            snr=float(self._numbers["snr"][number]),
            noise=float(self._numbers["noise"][number]),
            unusable_index=lost if len(lost) else None,
            unusable_value=lost_value if len(lost) else None,
            frame=int(self._numbers["frame"][number]),
            missing=missing,
            vetoed=number in self._vetoed,
            reason=reason,
        )

    @cached_property
    def _has_reasons(self) -> bool:
        return "reason" in self._own

    @cached_property
    def _first(self) -> FirstMask:
        """Unusable pixels of the first frame, and what it held there."""
        return FirstMask(self._own["unusable_index"][()], self._own["unusable_value"][()])

    def _background(self, number: int) -> Background:
        def row(group: h5py.Group, name: str) -> NDArray[np.float64]:
            values: NDArray[np.float64] = self._opened(group, f"background_{name}")[number].astype(np.float64)
            return values[: self.rings.rings]

        return Background(
            mean=row(self._data, "avg"),
            std=row(self._data, "std"),
            count=row(self._own, "count"),
            sem=row(self._own, "sem"),
            excess=row(self._own, "excess"),
            additive=row(self._own, "additive"),
            rings=self.rings,
            error_model=self.error_model,
            **self._facts,
        )

    @cached_property
    def _facts(self) -> dict[str, Any]:
        """What the backgrounds of all frames share."""
        return {
            "snr_clip": self._number_or_none("snr_clip"),
            "cycles": int(self._own.attrs["cycles"]),
            "saturation": self._number_or_none("saturation"),
        }

    def _number_or_none(self, name: str) -> float | None:
        value = float(self._own.attrs[name])
        return None if np.isnan(value) else value

    def dense(self, noise: bool = True, seed: int = 0, *, engine: Engine | str | None = None) -> DenseFrames:
        """The frames as an array (frames, slow, fast) that is densified where it is looked at.

        Parameters
        ----------
        noise, seed, engine
            As `crystint.densify` has them.

        Examples
        --------
        >>> import crystint
        >>> data = crystint.simulate.simulate((100, 110), background=5.0, peaks=8, intensity=900.0, frames=2, seed=1)
        >>> separator = crystint.Separator(data.geometry, data.mask, rings=30)
        >>> with crystint.SparseWriter(
        ...     "sparse.h5", separator.rings, data.dtype, geometry=data.geometry, provenance={}
        ... ) as writer:
        ...     for frame in data:
        ...         writer.write(separator.sparsify(frame))
        >>> with crystint.open_sparse("sparse.h5") as file:
        ...     file.dense()[:, 40:60, 50].shape
        (2, 20)
        """
        from crystint.ops.dense_frames import dense_frames

        return dense_frames(self, noise, seed, engine)

    def __reduce__(self) -> tuple[Any, ...]:
        """Another process opens the file anew, from any folder."""
        return _opened_again, (self.path.resolve(), type(self))

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


@reads_file
def _opened_again(path: Path, kind: type[SparseFile]) -> SparseFile:
    return kind(path, open_hdf5(path))
