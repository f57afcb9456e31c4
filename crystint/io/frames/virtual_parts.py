"""What the sources of a virtual data set of frames show: which frames, which pixels, from which source frames."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count
from math import ceil, prod
from typing import Any, TypeAlias

import h5py
import numpy as np
from numpy.typing import NDArray

from crystint.io.hdf5.source_names import SERIES

__all__ = ["Part", "frame_count", "parts_of"]

Pixels: TypeAlias = tuple[range, range]
"""rows and columns"""
_UNLIMITED = 2**62
"""Counts from here on are without limit."""


def frame_count(shape: tuple[int, ...]) -> int:
    """Frames in a data set of some shape: all axes before the last two count them, the last of these fastest."""
    return prod(shape[:-2])


@dataclass(frozen=True, eq=False)
class Part:
    """What one source shows: the same pixels of some frames."""

    file: str
    """name of the file, as it is written; "." = the file of the virtual data set"""
    member: str
    """path of the data set in it"""
    frames: NDArray[np.intp]
    """numbers of the frames that it shows, in its order"""
    pixels: Pixels
    """of each of them"""
    taken: NDArray[np.intp] | None
    """frames of the source that they are; None = they are put together in another way"""


def parts_of(dataset: h5py.Dataset) -> Iterator[Part]:
    """What a virtual data set consists of."""
    for source in dataset.virtual_sources():
        if SERIES in source.file_name or SERIES in source.dset_name:
            yield from _series(dataset, source)
            continue
        boxes = list(_boxes(source.vspace, dataset.shape))
        for frames, pixels in boxes:
            taken = _taken(source.src_space, len(frames)) if len(boxes) == 1 else None
            yield Part(source.file_name, source.dset_name, frames, pixels, taken)


def _series(dataset: h5py.Dataset, source: Any) -> Iterator[Part]:
    """Of a series of sources, of which each shows a block of frames."""
    start, stride, _, block = source.vspace.get_regular_hyperslab()
    _, pixels = next(_boxes(source.vspace, dataset.shape))
    for number in count():
        first = start[0] + number * stride[0]
        if first >= dataset.shape[0] or dataset.ndim != 3:
            return
        frames = np.arange(first, min(first + block[0], dataset.shape[0]))
        file, member = (
            re.sub(f"%%|{SERIES}", lambda part: part[0] if part[0] == "%%" else str(number), name)  # noqa: B023
            for name in (source.file_name, source.dset_name)
        )
        taken = _taken(source.src_space, block[0])
        yield Part(file, member, frames, pixels, None if taken is None else taken[: len(frames)])


def _taken(space: h5py.h5s.SpaceID, number: int) -> NDArray[np.intp] | None:
    """The frames of a source, where it shows one frame of it for each of the `number`."""
    boxes = list(_boxes(space, space.shape, number))
    return boxes[0][0] if len(boxes) == 1 and len(boxes[0][0]) == number else None


def _boxes(
    space: h5py.h5s.SpaceID, shape: tuple[int, ...], number: int | None = None
) -> Iterator[tuple[NDArray[np.intp], Pixels]]:
    """Frames and pixels of a selection. Of a source, `number` is how many frames it shows: its shape may be unknown."""
    if space.get_select_type() == h5py.h5s.SEL_ALL:
        frames = number if number is not None and len(shape) < 2 else frame_count(shape)
        yield np.arange(frames), (range(shape[-2]), range(shape[-1])) if len(shape) >= 2 else (range(0), range(0))
    elif space.get_select_type() == h5py.h5s.SEL_HYPERSLABS:
        if space.is_regular_hyperslab():
            yield _box(zip(*space.get_regular_hyperslab(), strict=True), shape, number)
        else:
            for first, last in space.get_select_hyper_blocklist():
                ends = ((start, 1, 1, stop - start + 1) for start, stop in zip(first, last, strict=True))
                yield _box(((int(a), b, c, int(d)) for a, b, c, d in ends), shape, number)


def _box(axes: Any, shape: tuple[int, ...], number: int | None) -> tuple[NDArray[np.intp], Pixels]:
    """Of (start, stride, count, block) along each axis; without limit, they go to the end of the axis."""
    places, limited = [], True
    for (start, stride, many, block), length in zip(axes, shape, strict=True):
        limited &= max(many, block) < _UNLIMITED
        limit = length if number is None or max(many, block) < _UNLIMITED else start + stride * number
        if block >= _UNLIMITED:
            block = max(limit - start, 0)
        if many >= _UNLIMITED:
            many = ceil(max(limit - start, 0) / stride)
        place = (start + stride * np.arange(many)[:, None] + np.arange(block)).reshape(-1)
        places.append(place[place < limit])
    *leading, rows, columns = places
    frames = np.zeros(1, np.intp)
    for place, length in zip(leading, shape, strict=False):
        frames = (frames[:, None] * length + place).reshape(-1)
    return frames if number is None or limited else frames[:number], (_range(rows), _range(columns))


def _range(places: NDArray[np.intp]) -> range:
    """Places as a range; of irregular ones, what they span."""
    if not len(places):
        return range(0)
    step = int(places[1] - places[0]) if len(places) > 1 and (np.diff(places) == places[1] - places[0]).all() else 1
    return range(int(places[0]), int(places[-1]) + 1, step)
