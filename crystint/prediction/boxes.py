"""Which pixels of which frame each reflection occupies."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from crystint.errors import ShapeError
from crystint.html import html_table
from crystint.model.experiment import Detector
from crystint.model.facts import counted, resolution_text
from crystint.prediction.defaults import MARGIN

__all__ = ["BOX_DTYPE", "BoxOptions", "ReflectionBoxes", "whole_pixels"]

BOX_DTYPE: np.dtype[Any] = np.dtype(
    [
        ("reflection", np.int64),  # number in the table, from 0
        ("slow", np.float64),  # place of the reflection, px from the outer corner of the first pixel
        ("fast", np.float64),
        ("slow0", np.int32),  # first pixel of the box ...
        ("slow1", np.int32),  # ... and the one after its last
        ("fast0", np.int32),
        ("fast1", np.int32),
    ]
)
"""Dtype of the boxes of one frame, with the columns reflection; slow and fast (px); slow0, slow1, fast0 and fast1."""


@dataclass(frozen=True)
class BoxOptions:
    """How large the boxes of reflections are, where that is not for the model to say."""

    d_min: float | None = None
    """finest spacing, angstrom; None = that of the corner of the detector"""
    margin: int = MARGIN
    """px that are added on each side"""
    radius: float | None = None
    """px from the place of a reflection to the end of its box; None = as the model says"""
    mosaicity: float | None = None
    """RMS spread of the crystal, degrees; None = as the model says"""


def whole_pixels(
    ends: NDArray[np.float64], detector: Detector, panel: NDArray[np.integer[Any]], margin: int
) -> NDArray[np.int32]:
    """The pixels between ends, float64 [n, 4] (slow, slow, fast, fast), and more around, on their panels."""
    panels = detector.panels
    bounds = np.array([[*each.slow, *each.fast] for each in panels])[panel]
    low = np.floor(ends[:, ::2]).astype(np.int64) - margin
    high = np.ceil(ends[:, 1::2]).astype(np.int64) + margin
    low, high = np.maximum(low, bounds[:, ::2]), np.minimum(high, bounds[:, 1::2])
    return np.stack([low[:, 0], high[:, 0], low[:, 1], high[:, 1]], axis=1).astype(np.int32)


@dataclass(frozen=True, eq=False)
class ReflectionBoxes:
    """The box of pixels of each reflection on each frame that it reaches. Made by `reflection_boxes`.

    Examples
    --------
    >>> import numpy as np
    >>> from crystint.prediction.boxes import ReflectionBoxes
    >>> box = np.array([[10, 20, 30, 40], [5, 9, 0, 4]])
    >>> boxes = ReflectionBoxes.of_ranges(
    ...     box, slow=np.array([15.2, 7.0]), fast=np.array([34.9, 2.0]), first=[0, 1], last=[2, 3], frames=3
    ... )
    >>> boxes.of_frame(1)["slow0"]
    array([10,  5], dtype=int32)
    """

    slow: NDArray[np.float64]
    """float64 [n]: where the reflection is, px of the frame from the outer corner"""
    fast: NDArray[np.float64]
    """float64 [n]: along fast, too"""
    box: NDArray[np.int32]
    """int32 [n, 4]: slow0, slow1, fast0, fast1, half-open, within one panel"""
    start: NDArray[np.int64]
    """int64 [frames + 1]: where the reflections of each frame begin in `listed`"""
    listed: NDArray[np.int64]
    """int64 [m]: numbers of the reflections, frame after frame"""
    d: NDArray[np.float64]
    """float64 [n], angstrom; NaN = not known"""
    hkl: NDArray[np.int32] | None = None
    """int32 [n, 3]; None = not known"""
    expected: NDArray[np.float64] | None = None
    """float64 [n]: I/sigma that the model tells, NaN = of this one it does not; None = of none"""
    outside: NDArray[np.bool_] | None = None
    """bool [n]: reflections that cross the Ewald sphere before or after the scan, and are at its ends for the sake of
    programs that look for them there; None = none is"""
    uncovered: tuple[int, ...] = ()
    """numbers of the frames that the model has no image for"""
    files: tuple[Path, ...] = ()
    """that were read"""
    facts: dict[str, Any] = field(default_factory=dict)
    """what the boxes were made of and with, for a provenance"""

    def __post_init__(self) -> None:
        n = len(self.box)
        if self.box.shape != (n, 4) or any(len(each) != n for each in (self.slow, self.fast, self.d)):
            raise ShapeError(f"box is {self.box.shape}, expected [n, 4], and slow, fast and d of n each")

    def __repr__(self) -> str:
        frames = counted(len(self.start) - 1, "frame")
        return f"<ReflectionBoxes: {counted(len(self), 'reflection')} on {frames}{self._resolution}>"

    def _repr_html_(self) -> str:
        facts = {
            "reflections": len(self),
            "frames": len(self.start) - 1,
            "boxes": len(self.listed),
            "resolution": self._resolution.removeprefix(", ") or None,
            "frames without a model": len(self.uncovered),
        }
        return html_table("ReflectionBoxes", facts)

    @property
    def _resolution(self) -> str:
        text = resolution_text(self.d[np.isfinite(self.d)])
        return text and f", {text}"

    def __len__(self) -> int:
        return len(self.box)

    @property
    def frames(self) -> int:
        """How many frames there are, with reflections and without."""
        return len(self.start) - 1

    def of_frame(self, number: int) -> NDArray[np.void]:
        """Boxes on a frame of the sequence; structured array of `BOX_DTYPE`, by the number of the reflection."""
        which = self.listed[self.start[number] : self.start[number + 1]]
        rows = np.empty(len(which), BOX_DTYPE)
        rows["reflection"], rows["slow"], rows["fast"] = which, self.slow[which], self.fast[which]
        for name, column in zip(("slow0", "slow1", "fast0", "fast1"), self.box[which].T, strict=True):
            rows[name] = column
        return rows

    @classmethod
    def of_ranges(
        cls,
        box: NDArray[Any],
        slow: NDArray[Any],
        fast: NDArray[Any],
        first: Any,
        last: Any,
        frames: int,
        *,
        place: NDArray[np.int64] | None = None,
        d: NDArray[np.float64] | None = None,
        hkl: NDArray[Any] | None = None,
        expected: NDArray[np.float64] | None = None,
        **more: Any,
    ) -> Self:
        """From the images that each reflection reaches.

        Parameters
        ----------
        box : int [n, 4]
        slow, fast : float [n]
        first, last : int [n]
            Images, half-open.
        frames : int
            How many there are.
        place : int64 [images], optional
            Frame of each image, -1 = it is not there; None = images are frames.
        d, hkl, expected, **more
            As the attributes.
        """
        first, last = np.asarray(first, np.int64), np.asarray(last, np.int64)
        images = frames if place is None else len(place)
        first, last = np.clip(first, 0, images), np.clip(last, 0, images)
        count = np.maximum(last - first, 0)
        reflection = np.repeat(np.arange(len(count)), count)
        image = np.arange(len(reflection)) - np.repeat(np.cumsum(count) - count - first, count)
        frame = image if place is None else place[image]
        reflection, frame = reflection[frame >= 0], frame[frame >= 0]
        order = np.lexsort([reflection, frame])
        start = np.zeros(frames + 1, np.int64)
        np.cumsum(np.bincount(frame, minlength=frames), out=start[1:])
        return cls(
            slow=np.asarray(slow, np.float64),
            fast=np.asarray(fast, np.float64),
            box=np.ascontiguousarray(box, np.int32).reshape(-1, 4),
            start=start,
            listed=reflection[order],
            d=np.full(len(count), np.nan) if d is None else d,
            hkl=None if hkl is None else np.ascontiguousarray(hkl, np.int32),
            expected=expected,
            **more,
        )
