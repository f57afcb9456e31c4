"""Sparse images of a stream, from the workers to the file: bounded in bytes on their whole way."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crystint.io.sparse.mask import FirstMask
from crystint.io.sparse.row import SparseRow
from crystint.model.geometry import Geometry
from crystint.model.rings import RingMap
from crystint.model.sparse import SparseFrame

__all__ = ["SparseForm", "SparseImage", "SparseImages"]


@dataclass(frozen=True, eq=False)
class SparseForm:
    """What all images of a sparse file share: that of the first image of the series that was looked at."""

    rings: RingMap
    dtype: np.dtype[Any]
    geometry: Geometry | None
    error_model: str
    first: FirstMask
    """unusable pixels of that image"""
    _fitting: list[tuple[RingMap, bool]] = field(default_factory=list, init=False)

    def with_mask(self, row: SparseRow) -> SparseRow:
        """A row of `SparseImages` as the first one of a file: it tells the mask of the file."""
        return replace(row, lost=self.first.lost, lost_value=self.first.value)

    def fits(self, sparse: SparseFrame) -> bool:
        """Whether an image can stand in the same file: it has the same rings, mask, corrections and error model."""
        rings = sparse.background.rings
        if sparse.error_model != self.error_model or sparse.value.dtype != self.dtype:
            return False
        if rings is self.rings:
            return True
        for other, fits in self._fitting[-4:]:
            if other is rings:
                return fits
        fits = _same_rings(rings, self.rings)
        self._fitting.append((rings, fits))
        del self._fitting[:-4]
        return fits


class SparseImage:
    """A sparse image as a file holds it, or why there is none. Made by `SparseImages`, whose bytes it takes as long as
    it lives."""

    __slots__ = ("_images", "form", "reason", "row", "size")

    def __init__(self, images: SparseImages, form: SparseForm | None, row: SparseRow | None, reason: str = "") -> None:
        self.form, self.row, self.reason = form, row, reason
        self.size = 0 if row is None else images.take(row)
        self._images = images
        if row is not None and not self.size:
            self.row, self.reason = None, "sparse images wait for the disk, which is too slow"

    def __del__(self) -> None:
        self._images.give_back(self.size)


class SparseImages:
    """Makes them, in any thread.

    Parameters
    ----------
    snr : float
        Significance of a pixel that is kept.
    limit : int
        Bytes of sparse images that may be on their way to the file, wherever they wait.
    """

    def __init__(self, snr: float, limit: int) -> None:
        self.snr, self._limit = snr, limit
        self.bytes = 0
        """of those that are on their way"""
        self._lock = threading.RLock()  # also taken where memory is freed

    def make(
        self, forms: list[SparseForm], sparse: SparseFrame | None, frame: NDArray[Any], geometry: Geometry | None
    ) -> SparseImage:
        """The sparse image of a frame.

        Parameters
        ----------
        forms : list of SparseForm
            Of the series: that of its file, or empty; it is filled then.
        sparse : SparseFrame or None
            None = the geometry is not known.
        frame : integer [slow, fast]
            It may be used again afterwards.
        geometry : Geometry or None

        Returns
        -------
        SparseImage
        """
        if sparse is None:
            return SparseImage(self, None, None, "there is no geometry")
        with self._lock:
            if not forms:
                rings, dtype = sparse.background.rings, sparse.value.dtype
                first = FirstMask.of(sparse, rings, dtype)
                forms.append(SparseForm(rings, dtype, geometry, sparse.error_model, first))
        form = forms[0]
        if not form.fits(sparse):
            return SparseImage(self, form, None, "its rings, mask or corrections are not those of the file")
        row = SparseRow.of(sparse, frame, form.first)
        return SparseImage(self, form, replace(row, index=_own(row.index), value=_own(row.value)))

    def take(self, row: SparseRow) -> int:
        """Bytes of a row, when there is room for them; otherwise 0."""
        size = sum(array.nbytes for array in row.arrays().values()) + _OBJECTS
        with self._lock:
            if self.bytes and self.bytes + size > self._limit:
                return 0
            self.bytes += size
        return size

    def give_back(self, size: int) -> None:
        """So many bytes are free again."""
        with self._lock:
            self.bytes -= size


_OBJECTS = 2000
"""bytes of the objects of a row, beside its arrays"""


def _own(array: NDArray[Any]) -> NDArray[Any]:
    """It, without the memory behind it that it does not show."""
    base = array.base
    return array if base is None or getattr(base, "nbytes", 0) <= array.nbytes else array.copy()


def _same_rings(one: RingMap, other: RingMap) -> bool:
    if one.valid != other.valid or (one.dark is None) != (other.dark is None):
        return False
    if one.dark is not None and other.dark is not None and not np.array_equal(one.dark, other.dark):
        return False
    names = ("radius", "mask", "position", "weight", "q")
    return all(np.array_equal(getattr(one, name), getattr(other, name), equal_nan=name != "mask") for name in names)
