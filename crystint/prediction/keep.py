"""Pixels that a sparse frame keeps although they do not stand out: around those that do, and in boxes of reflections.

Pixels are worked on as runs: half-open ranges of pixel numbers, ascending, that do not touch.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from crystint.errors import SettingError, check
from crystint.model.geometry import Geometry
from crystint.model.sparse import PixelReason, SparseFrame

__all__ = ["PanelPlaces", "Runs", "box_runs", "grown_runs", "keep_pixels"]


@dataclass(frozen=True, eq=False)
class PanelPlaces:
    """Which panel each pixel of a frame is on, and which part of the frame that has."""

    number: NDArray[np.int16]
    """int16 [slow, fast]: -1 = none"""
    bounds: NDArray[np.int64]
    """int64 [panels + 1, 4]: slow0, slow1, fast0, fast1; the last one is empty, for pixels on no panel"""

    @classmethod
    def of(cls, geometry: Geometry) -> Self | None:
        """None for a detector of one panel."""
        if geometry.panels is None or len(geometry.panels) < 2:
            return None
        number = np.full(geometry.shape, -1, np.int16)
        for each, panel in enumerate(geometry.panels):
            number[panel.slices] = each
        return cls(number, np.array([[*panel.slow, *panel.fast] for panel in geometry.panels] + [[0, 0, 0, 0]]))


@dataclass(frozen=True, eq=False)
class Runs:
    """Pixels, as runs."""

    start: NDArray[np.int64]
    end: NDArray[np.int64]

    @classmethod
    def union(cls, start: NDArray[np.int64], end: NDArray[np.int64]) -> Self:
        """All pixels of ranges in any order that may overlap, touch or be empty."""
        there = end > start
        order = np.argsort(start[there], kind="stable")
        start, end = start[there][order], np.maximum.accumulate(end[there][order])
        new = np.ones(len(start), np.bool_)
        new[1:] = start[1:] > end[:-1]
        first = np.flatnonzero(new)
        return cls(start[first], end[np.append(first[1:], len(start)) - 1] if len(first) else end[:0])

    @property
    def offset(self) -> NDArray[np.int64]:
        """int64 [runs + 1]: place of the first pixel of each run among all of them, and their number."""
        return np.concatenate([np.zeros(1, np.int64), np.cumsum(self.end - self.start)])

    def pixels(self) -> NDArray[np.int64]:
        """Pixel numbers, ascending."""
        offset = self.offset
        return np.arange(offset[-1]) + np.repeat(self.start - offset[:-1], self.end - self.start)

    def covers(self, part: Runs) -> NDArray[np.bool_]:
        """Which of the pixels are those of a part of them."""
        offset = self.offset
        run = np.searchsorted(self.start, part.start, side="right") - 1
        place = offset[run] + part.start - self.start[run]
        change = np.zeros(offset[-1] + 1, np.int8)
        change[place] += 1  # one run may begin where another ends
        change[place + (part.end - part.start)] -= 1
        return np.cumsum(change[:-1], dtype=np.int8).view(np.bool_)

    def places(self, pixels: NDArray[np.integer[Any]]) -> NDArray[np.int64]:
        """Where some pixels, ascending, are among those of the runs; only of those that are."""
        run = np.searchsorted(self.start, pixels, side="right") - 1
        inside = (run >= 0) & (pixels < self.end[run]) if len(self.start) else np.zeros(len(pixels), np.bool_)
        run, pixels = run[inside], pixels[inside]
        return np.asarray(self.offset[run] + pixels - self.start[run])


def keep_pixels(
    sparse: SparseFrame,
    frame: NDArray[Any],
    boxes: NDArray[np.void] | None = None,
    grow: int = 0,
    panels: PanelPlaces | Geometry | None = None,
) -> SparseFrame:
    """The sparse frame with more pixels of the frame that it was made from: all of some boxes, and around picked ones.

    The background stays as it is (`crystint sparsify` takes that of the other pixels). Masked pixels are never kept,
    unusable ones stay what they are.

    Parameters
    ----------
    sparse : SparseFrame
        With significant pixels only, as `Separator.sparsify` gives it.
    frame : dtype [slow, fast]
        Raw counts.
    boxes : structured array, optional
        With the columns slow0, slow1, fast0 and fast1, px, half-open: as `ReflectionBoxes.of_frame` gives them.
    grow : int
        Keep pixels whose centre is within `grow` + 1/2 px of that of a significant one.
    panels : Geometry, optional
        Of the detector, where it has several panels: growing does not cross from one to another.

    Returns
    -------
    SparseFrame
        With a `reason` for each pixel.

    Raises
    ------
    ShapeError, DTypeError
        When the frame does not fit.
    SettingError
        When `grow` is negative.

    Examples
    --------
    >>> import crystint
    >>> data = crystint.simulate.simulate((100, 110), background=5.0, peaks=8, intensity=900.0, dtype="uint16", seed=1)
    >>> separator = crystint.Separator(data.geometry, data.mask, rings=30)
    >>> sparse = separator.sparsify(data[0])
    >>> more = crystint.keep_pixels(sparse, data[0], grow=2)
    >>> len(more.index) > len(sparse.index), bool(more.significant.sum() == len(sparse.index))
    (True, True)
    """
    check("frame", frame, sparse.shape, [np.dtype(sparse.dtype)])
    if grow < 0:
        raise SettingError(f"grow is {grow}, expected a whole number, 0 or more")
    if isinstance(panels, Geometry):
        panels = PanelPlaces.of(panels)
    index = sparse.index.astype(np.int64)
    parts = {PixelReason.SIGNIFICANT: Runs.union(index, index + 1)}
    if grow:
        parts[PixelReason.GROWN] = grown_runs(index, sparse.shape, grow, panels)
    if boxes is not None:
        parts[PixelReason.PREDICTED] = box_runs(boxes, sparse.shape)
    every = Runs.union(*(np.concatenate([getattr(part, end) for part in parts.values()]) for end in ("start", "end")))
    pixels = every.pixels()
    reason = np.zeros(len(pixels), np.uint8)
    for bit, part in parts.items():
        reason |= every.covers(part) * np.uint8(bit)
    rings = sparse.background.rings
    good = np.isfinite(rings.position.ravel()[pixels]) & (rings.mask.ravel()[pixels] == 0)
    if sparse.unusable_index is not None:
        good[every.places(sparse.unusable_index)] = False
    good |= (reason & PixelReason.SIGNIFICANT) != 0
    pixels = pixels[good]
    value = np.ascontiguousarray(frame).ravel()[pixels]
    return replace(sparse, index=pixels.astype(np.uint32), value=value, reason=reason[good])


def box_runs(boxes: NDArray[np.void], shape: tuple[int, int]) -> Runs:
    """The pixels of boxes; what is beyond the frame is cut off."""
    slow0, slow1 = (np.clip(boxes[name].astype(np.int64), 0, shape[0]) for name in ("slow0", "slow1"))
    fast0, fast1 = (np.clip(boxes[name].astype(np.int64), 0, shape[1]) for name in ("fast0", "fast1"))
    height = np.maximum(slow1 - slow0, 0)
    box = np.repeat(np.arange(len(boxes)), height)
    row = np.arange(len(box)) - np.repeat(np.cumsum(height) - height - slow0, height)
    return Runs.union(row * shape[1] + fast0[box], row * shape[1] + fast1[box])


def grown_runs(index: NDArray[np.int64], shape: tuple[int, int], grow: int, panels: PanelPlaces | None = None) -> Runs:
    """The pixels around others, with those themselves, as `keep_pixels` says."""
    slow, fast = np.divmod(index, shape[1])
    bounds = np.array([0, shape[0], 0, shape[1]])
    if panels is not None:
        bounds = panels.bounds[panels.number.ravel()[index]].T
    starts, ends = [], []
    for down in range(-grow, grow + 1):
        reach = int(np.sqrt((grow + 0.5) ** 2 - down * down))
        row = slow + down
        first, last = np.maximum(fast - reach, bounds[2]), np.minimum(fast + reach + 1, bounds[3])
        last = np.where((row >= bounds[0]) & (row < bounds[1]), last, first)
        starts.append(row * shape[1] + first)
        ends.append(row * shape[1] + last)
    return Runs.union(np.concatenate(starts), np.concatenate(ends))
