"""The data sets that the frames of an HDF5 file lie in, and the places of those that are not there.

A DECTRIS master links to its data files before they are written. Of a run that was stopped some never come: their
frames are missing. How many they are is told by the numbers of the images on both sides, by the number of images that
the master says, or, between files that are there, by the size of these.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from itertools import groupby
from typing import Any, NamedTuple

import h5py

from crystint.errors import FileError, GeometryError
from crystint.io.frames.stack_paths import broken_link, item_at
from crystint.io.frames.stack_search import find_datasets
from crystint.io.frames.virtual_parts import frame_count
from crystint.io.geometry.detector_group import detector_of
from crystint.io.hdf5.nexus_values import number

__all__ = ["StackPart", "frame_shape", "stack_parts"]

_SPECIFIC = ("detectorSpecific", ".")
"""Groups of a detector that may say how many images a run was to have, and their size."""


@dataclass(frozen=True, eq=False)
class StackPart:
    """A data set of frames, or the place of one that is not there."""

    name: str
    count: int
    """of frames"""
    reason: str = ""
    """why it is not there; empty = it is"""


class _Looked(NamedTuple):
    """What a data set tells of its frames, which need not be open any more."""

    frames: int
    low: int | None
    """number of its first image, as the file has it"""
    high: int | None


def stack_parts(
    file: h5py.File,
    name: str,
    paths: Sequence[str],
    opened: Callable[[str], AbstractContextManager[Any]],
    say: Callable[[str], None],
) -> list[StackPart]:
    """The data sets at some paths, and what is missing between them. What is guessed or left out is said.

    Parameters
    ----------
    opened : callable
        ``with opened(path) as item``: what is at a path, None = nothing is there. They are opened one after the other.
    say : callable
        `crystint.errors.warn`, or nothing where it was said before.

    Raises
    ------
    FileError
        When none of them is there.
    """
    items = [_look(path, opened) for path in paths]
    if all(item is None for item in items):
        raise FileError(f"{name}: {broken_link(file, paths[0]) or f'{paths[0]} is not in it'}")
    parts: list[StackPart] = []
    for is_there, places in groupby(range(len(paths)), lambda place: items[place] is not None):
        chosen = list(places)
        if is_there:
            parts += [StackPart(paths[place], item.frames) for place in chosen if (item := items[place]) is not None]
            continue
        gap = {paths[place]: broken_link(file, paths[place]) for place in chosen}
        count, usual = _missing(file, items, chosen), _usual(items)
        about = f"{name}: {next(iter(gap.values()))}" + f" ({len(gap) - 1} more such links)" * (len(gap) > 1)
        if count is None and chosen[-1] + 1 < len(items):
            count = usual * len(gap)
            say(f"{about}; nothing tells how many frames are missing: taken as {count}, as many as the others hold")
        elif count is None:
            say(f"{about}; nothing tells how many frames are missing at the end: they are left out")
        elif count > (most := usual * len(gap)) and not _agreed(file, items, chosen, count):
            say(f"{about}; {count} frames are said to be missing, more than such files hold: taken as {most}")
            count = most
        parts += _shared(gap, count or 0, usual)
    if all(item is not None for item in items):
        _tell_of_fewer(file, name, sum(part.count for part in parts), say)
    return parts


def _look(path: str, opened: Callable[[str], AbstractContextManager[Any]]) -> _Looked | None:
    with opened(path) as item:
        if item is None:
            return None
        return _Looked(frame_count(item.shape), *(_attribute(item, f"image_nr_{end}") for end in ("low", "high")))


def _tell_of_fewer(file: h5py.File, name: str, count: int, say: Callable[[str], None]) -> None:
    """Warn where a master has fewer images than its run was to have: it was stopped, or links are missing."""
    total = _images(file)
    if total is not None and total > count:
        say(f"{name}: {count} of the {total} images that the run was to have are in it")


def _shared(gap: dict[str, str], count: int, usual: int) -> Iterator[StackPart]:
    """Missing frames as places of the data sets that they should lie in: full ones, and the rest in the last."""
    last = list(gap)[-1]
    for path, reason in gap.items():
        share = count if path == last else min(usual, count)
        count -= share
        if share:
            yield StackPart(path, share, reason)


def _usual(items: Sequence[_Looked | None]) -> int:
    """Frames of a data set that is full."""
    return max(item.frames for item in items if item is not None)


def _missing(file: h5py.File, items: Sequence[_Looked | None], gap: list[int]) -> int | None:
    """Frames of some neighbouring data sets that are not there; None = nothing tells."""
    before = items[gap[0] - 1] if gap[0] else None
    after = items[gap[-1] + 1] if gap[-1] + 1 < len(items) else None
    low = None if after is None else after.low
    high = 0 if gap[0] == 0 else None if before is None else before.high
    if low is not None and high is not None and low > high:
        return low - high - 1
    total = _images(file)
    if total is None:
        return None
    if after is None and high:
        return max(total - high, 0)
    others = [place for place, item in enumerate(items) if item is None and place not in gap]
    return None if others else max(total - sum(item.frames for item in items if item is not None), 0)


def _agreed(file: h5py.File, items: Sequence[_Looked | None], gap: list[int], count: int) -> bool:
    """Whether the numbers of the images after a gap and the total of the run tell the same of what is missing."""
    after = items[gap[-1] + 1] if gap[-1] + 1 < len(items) else None
    there = sum(item.frames for item in items if item is not None)
    return after is not None and after.low is not None and _images(file) == there + count


def _attribute(item: h5py.Dataset, name: str) -> int | None:
    value = item.attrs.get(name)
    return None if value is None or getattr(value, "size", 1) != 1 else int(value)


def _images(file: h5py.File) -> int | None:
    """Images that a run was to have."""
    for group in _specific(file):
        if (images := number(group, "nimages")) is not None:
            return int(images * (number(group, "ntrigger") or 1))
    return None


def _specific(file: h5py.File) -> list[h5py.Group]:
    try:
        detector = detector_of(file, None, None)
    except GeometryError:  # there are several
        return []
    groups = [] if detector is None else [item_at(detector, place, None) for place in _SPECIFIC]
    return [group for group in groups if isinstance(group, h5py.Group)]


def frame_shape(file: h5py.File, name: str) -> tuple[tuple[int, int], str | None]:
    """(slow, fast) of the frames of a file, and the path of the first of them.

    None need be there: then the detector's group says the shape, and the path is None.

    Raises
    ------
    FileError
        When nothing tells it, as `find_datasets` does.
    """
    told = _told_shape(file)
    try:
        paths = find_datasets(file, name, None)
    except FileError:
        if told is None:
            raise
        return told, None
    for path in paths:
        if (item := item_at(file, path, None)) is not None:
            return (int(item.shape[-2]), int(item.shape[-1])), path
    if told is None:
        raise FileError(f"{name}: {broken_link(file, paths[0])}")
    return told, None


def _told_shape(file: h5py.File) -> tuple[int, int] | None:
    for group in _specific(file):
        slow, fast = (number(group, f"{axis}_pixels_in_detector") for axis in "yx")
        if slow and fast:
            return int(slow), int(fast)
        mask = item_at(group, "pixel_mask", None)
        if isinstance(mask, h5py.Dataset) and mask.ndim >= 2:
            return mask.shape[-2], mask.shape[-1]
    return None
