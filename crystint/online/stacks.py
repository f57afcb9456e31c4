"""The sum, or the largest counts, of the last images that are held up to one of them."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from crystint.errors import RefusedError
from crystint.online.frame_source import HeldFrame
from crystint.online.held_images import HeldImages
from crystint.online.layers import Layers, Shown
from crystint.online.usable_pixels import UsablePixels

__all__ = ["MOST_IMAGES", "Stacking", "Stacks"]

Stacking = Literal["sum", "max"]
MOST_IMAGES = 100
"""that are put together at most"""
_REMEMBERED = 2
_SUMS = {1: "4", 2: "4", 4: "8", 8: "8"}
"""bytes of the sum of integers of so many bytes: hundred of them fit"""


@dataclass(frozen=True, slots=True, eq=False)
class _Stack:
    """Images put together. Nobody writes to its arrays any more."""

    numbers: tuple[int, ...]
    values: NDArray[Any]
    """[slow, fast]; of pixels that are masked, anything"""
    lost: NDArray[np.uint8] | None
    """uint8 [slow, fast]: images in which a pixel that is not masked holds no measurement; None = 0 everywhere"""

    def shown(self, usable: UsablePixels) -> Shown:
        """For views: a pixel is unusable where it is masked, or lost in all images."""
        masked = usable.masked if self.lost is None else usable.masked | (self.lost >= len(self.numbers))
        values = self.values.astype(np.float64) if self.values.dtype.itemsize > 4 else self.values
        return Shown(values, UsablePixels(masked))


class Stacks:
    """Puts the last images together. What was made last is remembered, so that the next image is added to it.

    Parameters
    ----------
    images : HeldImages
    layers : Layers
        Of these images.
    """

    def __init__(self, images: HeldImages, layers: Layers) -> None:
        self._images, self._layers = images, layers
        self._stacks: OrderedDict[tuple[Any, ...], _Stack] = OrderedDict()
        self._lock = threading.Lock()

    def of(self, frame: HeldFrame, last: int, how: Stacking) -> tuple[Shown, list[int]]:
        """An image and those held before it, and the numbers of these images.

        Parameters
        ----------
        frame : HeldFrame
            The last one of them.
        last : int
            Images; fewer are taken where fewer are held.
        how : {"sum", "max"}

        Raises
        ------
        RefusedError
            bad_value, for more than `MOST_IMAGES`.
        """
        if not 1 <= last <= MOST_IMAGES:
            raise RefusedError("bad_value", f"last is {last}, expected 1 to {MOST_IMAGES} images", "last")
        _, held = self._images.held(frame.series)
        numbers = tuple(sorted({number for number in held if number < frame.number})[1 - last :] if last > 1 else ())
        usable = self._layers.usable(frame)
        with self._lock:
            stack = self._stacked(frame, (*numbers, frame.number), how, usable)
        return stack.shown(usable), list(stack.numbers)

    def _stacked(self, frame: HeldFrame, numbers: tuple[int, ...], how: Stacking, usable: UsablePixels) -> _Stack:
        key = (frame.series, how, len(numbers), usable)
        before = self._stacks.get(key)
        new: Sequence[int] = numbers
        old: Sequence[int] = ()
        if before is not None:
            new = [number for number in numbers if number not in before.numbers]
            old = [number for number in before.numbers if number not in numbers]
            if len(new) + len(old) >= len(numbers) or (old and how == "max"):
                before, new, old = None, numbers, ()
        try:
            stack = self._summed(frame, before, new, old, how, usable)
        except RefusedError:  # one of the old images is gone
            stack = self._summed(frame, None, numbers, (), how, usable)
        self._stacks[key] = stack
        self._stacks.move_to_end(key)
        while len(self._stacks) > _REMEMBERED:
            self._stacks.popitem(last=False)
        return stack

    def _summed(
        self,
        frame: HeldFrame,
        before: _Stack | None,
        new: Sequence[int],
        old: Sequence[int],
        how: Stacking,
        usable: UsablePixels,
    ) -> _Stack:
        dtype = frame.pixels.dtype
        numbers = () if before is None else tuple(number for number in before.numbers if number not in old)
        if before is not None:
            values, lost = before.values.copy(), None if before.lost is None else before.lost.copy()
        else:
            values, lost = _empty(frame.pixels.shape, dtype, how), None
        for number, sign in [*((number, 1) for number in new), *((number, -1) for number in old)]:
            try:
                pixels = self._pixels(frame, number)
            except RefusedError:
                if sign < 0 or number == frame.number:
                    raise
                continue  # it has gone since it was seen
            bad = usable.unusable(pixels)
            pixels = np.where(bad, _neutral(dtype, how), pixels)
            if how == "max":
                np.maximum(values, pixels, out=values)
            elif sign > 0:
                values += pixels
            else:
                values -= pixels
            gone = bad & ~usable.masked
            if gone.any():
                lost = np.zeros(values.shape, np.uint8) if lost is None else lost
                lost += (gone * np.uint8(sign % 256)).astype(np.uint8)
            if sign > 0:
                numbers = (*numbers, number)
        return _Stack(tuple(sorted(numbers)), values, lost)

    def _pixels(self, frame: HeldFrame, number: int) -> NDArray[Any]:
        pixels = frame.pixels if number == frame.number else self._images.frame(number, frame.series).pixels
        if pixels.shape != frame.pixels.shape or pixels.dtype != frame.pixels.dtype:
            raise RefusedError("not_found", f"image {number} has another shape or dtype", "last")
        return pixels


def _neutral(dtype: np.dtype[Any], how: Stacking) -> Any:
    if how == "sum":
        return dtype.type(0)
    return dtype.type(-np.inf) if dtype.kind == "f" else np.iinfo(dtype).min


def _empty(shape: tuple[int, ...], dtype: np.dtype[Any], how: Stacking) -> NDArray[Any]:
    if how == "max":
        return np.full(shape, _neutral(dtype, how), dtype)
    return np.zeros(shape, np.float64 if dtype.kind == "f" else f"{dtype.kind}{_SUMS[dtype.itemsize]}")
