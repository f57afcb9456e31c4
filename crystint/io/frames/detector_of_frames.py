"""What the files of a sequence tell of its detector: geometry, wavelengths, masks, and which values are data."""

from __future__ import annotations

import pickle
from collections.abc import Collection, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from functools import cached_property
from itertools import chain
from math import isfinite
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crystint.errors import CrystintError, FileError, warn
from crystint.io.frames.below_zero import negative_measurements
from crystint.io.frames.file_facts import Header, header_of
from crystint.io.frames.joined_geometry import alike_files, joined_geometry
from crystint.io.frames.joined_scan import joined_instrument, joined_scan
from crystint.io.frames.nexus_mask import NexusMask, merged
from crystint.io.frames.readers import Reader
from crystint.io.frames.sources import LazyFile
from crystint.model.geometry import Geometry
from crystint.model.instrument import Instrument
from crystint.model.partial_geometry import PartialGeometry
from crystint.model.scan import Scan
from crystint.model.source_metadata import SourceMetadata
from crystint.model.valid_values import ValidValues, valid_values

__all__ = ["DetectorOfFrames"]


@dataclass(eq=False)
class _Masks:
    """What the files of a sequence mask."""

    unusable: list[str] = field(default_factory=list)
    """a sentence for each mask that cannot be used"""
    problem: str = ""
    """of the first that cannot be read, though it fits"""
    together: tuple[NDArray[np.uint32], frozenset[int]] | None = None
    """what all files mask, and the numbers of those that mask more; None = none has a mask"""


class DetectorOfFrames:
    """The part of `Frames` that asks its files about the detector; that class has the frames, and the attributes."""

    files: list[str]
    shape: tuple[int, int]
    dtype: np.dtype[Any]
    _readers: Sequence[LazyFile | Reader]
    _ends: list[int]
    numbers: NDArray[np.int64]
    _selection: NDArray[np.int64] | None
    _valid: dict[float | None, ValidValues]

    def __len__(self) -> int:
        raise NotImplementedError

    def read(self, index: int, out: NDArray[Any] | None = None) -> NDArray[Any]:
        """One frame."""
        raise NotImplementedError

    def _use(self, number: int, place: str = "") -> AbstractContextManager[Reader]:
        raise NotImplementedError

    def _find(self, index: int) -> tuple[int, int]:
        raise NotImplementedError

    @cached_property
    def geometry(self) -> Geometry | None:
        """What the files tell; None when beam centre, distance or pixel size are missing.

        Raises
        ------
        GeometryError
            When they tell something impossible, such as a beam centre outside the frame, or different places of the
            detector; the wavelength may differ (`wavelengths`).
        """
        return self.read_geometry()

    def read_geometry(self, *, beam_outside: bool = False) -> Geometry | None:
        """As `geometry`; `beam_outside` allows a direct beam that misses the frame."""
        return self.partial_geometry().whole(self.shape, self.files[0], beam_outside=beam_outside)

    def partial_geometry(self, besides: Collection[str] = (), files: Sequence[int] | None = None) -> PartialGeometry:
        """What the files tell of the geometry, be it whole or not, and where in the (first) file.

        The headers of all files are read. `besides` names fields that come from elsewhere and may differ; `files` are
        the numbers of those that are asked.

        Raises
        ------
        GeometryError
            As `geometry`.
        """
        numbers, chosen = range(len(self.files)) if files is None else files, self._selection
        counts = np.diff([0, *self._ends]).tolist()
        return joined_geometry(
            [self._geometries[number] for number in numbers],
            [self.files[number] for number in numbers],
            [counts[number] for number in numbers],
            besides,
            chosen if chosen is None or files is None else _in_files(chosen, self._ends, files),
        )

    def alike_files(self, besides: Collection[str], most: int) -> list[int] | None:
        """Of each file the number of its group, from 0; those of a group place the detector alike.

        None when there are more than `most` groups.
        """
        return alike_files(self._geometries, besides, most)

    @cached_property
    def _geometries(self) -> list[PartialGeometry]:
        """What each file tells."""
        for geometry, _, _ in self._headers:
            if isinstance(geometry, CrystintError):
                raise geometry
        return [geometry for geometry, _, _ in self._headers if isinstance(geometry, PartialGeometry)]

    @cached_property
    def _headers(self) -> list[Header]:
        """What each file tells, or why it tells no geometry; they are looked into once."""
        headers = []
        equal: dict[bytes, Any] = {}  # those of thousands of files are the same, and take memory once
        for number, reader in enumerate(self._readers):
            told = reader.facts.header if isinstance(reader, LazyFile) and reader.facts is not None else None
            if told is None:
                with self._use(number) as opened:
                    told = header_of(opened)
            headers.append(Header(*(equal.setdefault(pickle.dumps(part), part) for part in told)))
        return headers

    @cached_property
    def scan(self) -> Scan | None:
        """How the crystal was turned and exposed, for each frame; None = the files tell no scan, or several.

        Warns
        -----
        CrystintWarning
            Of what is not regular: gaps, repeated angles, frames in another order, of unequal width or exposure, with
            the names of the frames. Nothing is made regular.
        """
        counts = np.diff([0, *self._ends]).tolist()
        told = [scan for _, scan, _ in self._headers]
        return joined_scan(told, self.files, counts, self._selection, self.numbers)

    def metadata(self) -> SourceMetadata:
        """What the first file holds beside the pixels, as it is."""
        with self._use(0) as reader:
            return reader.metadata()

    @cached_property
    def instrument(self) -> Instrument:
        """What the files tell of sensor, detector, source and sample; nothing is assumed."""
        own = joined_instrument([instrument for _, _, instrument in self._headers], self.files)
        return Instrument(saturation=self.saturation).over(own)

    @cached_property
    def wavelengths(self) -> NDArray[np.float64] | None:
        """float64 [frames], angstrom: of each frame, where the files tell it; None = one for all, or none.

        `geometry` has their mean.
        """
        return self.partial_geometry().wavelengths

    @cached_property
    def mask(self) -> NDArray[np.uint32] | None:
        """uint32 [slow, fast]: the pixel mask (NXmx bit field, 0 = good) of all frames; None = the files have none.

        Where each file, or each frame, has one of its own: what all of them mask.

        Raises
        ------
        FileError
            When a file has one that cannot be read, or whose axes cannot be understood.
        """
        for text in self.unusable_masks:
            warn(text)
        if self._told_masks.problem:
            raise FileError(self._told_masks.problem)
        return None if self._masks is None else self._masks[0]

    def mask_of(self, index: int) -> NDArray[np.uint32] | None:
        """uint32 [slow, fast]: the pixel mask of one frame, as `mask`; None = its file has none.

        Examples
        --------
        >>> import numpy as np
        >>> import crystint
        >>> crystint.open_frames(np.zeros((3, 4, 5), dtype=np.uint16)).mask_of(1) is None
        True
        """
        number, within = self._find(index)
        with self._use(number) as reader:
            own = reader.mask()[0]
            return None if own is None else own.of_frame(within)

    @cached_property
    def unusable_masks(self) -> list[str]:
        """A sentence for each mask in the files that cannot be used: where it is, and why."""
        return self._told_masks.unusable

    def _masks_of_files(self) -> Iterator[tuple[int, tuple[NexusMask | None, list[str]]]]:
        """Number and `Reader.mask` of each file that may have one, which is open meanwhile."""
        for number, reader in enumerate(self._readers):
            noted = reader.facts if isinstance(reader, LazyFile) else None
            if not isinstance(reader, LazyFile) or (reader.frames is None and (noted is None or noted.masked)):
                with self._use(number) as opened:
                    yield number, opened.mask()

    @cached_property
    def _told_masks(self) -> _Masks:
        """The masks of all files, each of which is opened once."""
        told = _Masks()

        def usable() -> Iterator[tuple[int, NexusMask]]:
            for number, (own, unusable) in self._masks_of_files():
                told.unusable += unusable
                if own is not None and own.problem:
                    told.problem = told.problem or own.problem
                elif own is not None:
                    yield number, own

        masks = usable()
        first = next(masks, None)
        told.together = None if first is None else merged(chain([first], masks))
        return told

    @property
    def _masks(self) -> tuple[NDArray[np.uint32], frozenset[int]] | None:
        """What all files mask, and the numbers of those that mask more."""
        return self._told_masks.together

    def _more_masked(self, number: int, reader: Reader) -> tuple[NexusMask, NDArray[np.uint32]] | None:
        """The mask of a file, and `mask`, where single frames of it may have more pixels masked than that."""
        own = reader.mask()[0]
        if own is None or own.problem or not (own.frames or len(self._readers) > 1) or self._masks is None:
            return None
        common, more = self._masks
        return (own, common) if own.frames or number in more else None

    @cached_property
    def saturation(self) -> int | float | None:
        """The largest value that is a valid measurement, from the first file; None = not recorded."""
        with self._use(0) as reader:
            value = reader.saturation()
        if value is None or not isfinite(value):
            return None
        return int(value) if value == int(value) else value

    @property
    def valid(self) -> ValidValues:
        """Which values of a pixel are measurements: one rule for all frames, from the first file and what is in it."""
        return self.valid_from(None)

    def valid_from(self, lowest: float | None) -> ValidValues:
        """As `valid`, with a lower limit in place of what the file tells; None = that of the file."""
        if lowest not in self._valid:
            self._valid[lowest] = self._valid_from(lowest)
        return self._valid[lowest]

    def _valid_from(self, lowest: float | None) -> ValidValues:
        with self._use(0) as reader:
            told, own = reader.limits(), reader.mask()[0]
            masked = own is not None and not own.problem and self._more_masked(0, reader) is None
        asked = lowest is None and told.asks_for(self.dtype)
        negative = asked and negative_measurements(self.read, len(self), told.marks_negative, self.files[0])
        return valid_values(self.dtype, told, masked=masked, lowest=lowest, negative=bool(negative))


def _in_files(selection: NDArray[np.int64], ends: Sequence[int], files: Sequence[int]) -> NDArray[np.int64]:
    """int64 [n]: places of the frames of a selection that lie in some of the files, among all frames of these."""
    starts = [0, *ends]
    inside = np.concatenate([np.isin(np.arange(starts[number], ends[number]), selection) for number in files])
    return np.flatnonzero(inside)
