"""The pixel mask in HDF5 files: where it is kept, what its axes mean, and why one that is there cannot be used."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from crystint.errors import FileError
from crystint.io.guard import guarded
from crystint.io.linked_files import missing_sources
from crystint.model.mask import combine_masks

__all__ = ["NexusMask", "Stack", "merged", "nexus_mask"]

_GROUPS = ("entry/data", "entry_1/data_1", "data", "/", "entry_1/instrument_1/detector_1")
_NAME = re.compile(r"pixel_?mask(?:_?\d+)?|mask")
_LAYER = re.compile(r"detectorModule_\d+|threshold_\d+")


@dataclass(frozen=True)
class Stack:
    """What of the frames of a file tells the meaning of a mask's axes."""

    shape: tuple[int, int]
    """(slow, fast)"""
    count: int
    """number of frames"""
    dataset: h5py.Dataset
    """the first one that holds them"""


@dataclass(frozen=True, eq=False)
class NexusMask:
    """A mask that is read lazily."""

    name: str
    """of the file and the data set"""
    _item: h5py.Dataset
    _shape: tuple[int, int]
    frames: int
    """number of frames that have a mask each; 0 = one for all"""
    _counting: tuple[tuple[int, int | None], ...]
    """length of each axis that counts frames, the last counting fastest, and which axis of the mask it is, if any"""
    problem: str = ""
    """why it cannot be read, though it fits"""

    @cached_property
    def common(self) -> NDArray[np.uint32]:
        """uint32 [slow, fast]: masked in every frame."""
        if not self.frames:
            return self._read(())
        axes = [axis for _, axis in self._counting if axis is not None]
        places = np.ndindex(*(self._item.shape[axis] for axis in axes))
        return _common(self._read(self._place(dict(zip(axes, place, strict=True)))) for place in places)

    def of_frame(self, number: int) -> NDArray[np.uint32]:
        """uint32 [slow, fast]: masked in one frame of the file."""
        if not self.frames:
            return self.common
        place: dict[int | None, int] = {}
        for length, axis in reversed(self._counting):
            number, place[axis] = divmod(number, length)
        return self._read(self._place(place))

    def _place(self, along: Mapping[int | None, int]) -> tuple[Any, ...]:
        return tuple(along.get(axis, slice(None)) for axis in range(self._item.ndim))

    def _read(self, chosen: tuple[Any, ...]) -> NDArray[np.uint32]:
        if self.problem:
            raise FileError(self.problem)
        with guarded(self.name):
            values = np.asarray(self._item[chosen])
        return combine_masks(*values.reshape(-1, *self._shape), shape=self._shape)


def _common(masks: Iterable[NDArray[np.uint32]]) -> NDArray[np.uint32]:
    """uint32 [slow, fast]: what is masked in every one of some masks, with the bits of all."""
    each = iter(masks)
    bits = next(each).copy()
    everywhere = bits != 0
    for mask in each:
        everywhere &= mask != 0
        bits |= mask
    return np.where(everywhere, bits, np.uint32(0))


def merged(masks: Iterable[tuple[int, NexusMask]]) -> tuple[NDArray[np.uint32], frozenset[int]]:
    """What the masks of several files, by their number, have in common; and which of them mask more than that."""
    distinct: list[NDArray[np.uint32]] = []
    place: dict[int, int] = {}
    for number, mask in masks:
        place[number] = next((k for k, one in enumerate(distinct) if np.array_equal(one, mask.common)), len(distinct))
        if place[number] == len(distinct):
            distinct.append(mask.common)
    common = _common(distinct)
    more = [bool(np.any(one[common == 0])) for one in distinct]
    return common, frozenset(number for number, k in place.items() if more[k])


class _UnusableError(Exception):
    """Why a data set is no mask for these frames."""


def nexus_mask(
    file: h5py.File, detector: h5py.Group | None, name: str, stack: Stack | None = None
) -> tuple[NexusMask | None, list[str]]:
    """The pixel mask of the detector, or one beside the frames; None = there is none that can be used.

    Parameters
    ----------
    file : h5py.File
    detector : h5py.Group or None
        That of the frames; see `crystint.io.geometry.detector_group.detector_of`.
    name : str
        For messages.
    stack : Stack, optional
        The frames. A mask for each of them has their number as an axis, or the axes that count them, of which the first
        may be absent; those of modules or thresholds are merged. None: the last two axes are the frame's.

    Returns
    -------
    NexusMask or None
    unusable : list of str
        A sentence for each mask that was met before, and why it cannot be used.
    """
    layers = _layers(detector)
    unusable: list[str] = []
    for group, key in _places(file, detector, stack):
        place = f"{name}: the mask {group.name.rstrip('/')}/{key}"
        try:
            item = _dataset(group, key)
            if isinstance(item, h5py.Dataset):
                return _usable(item, place, stack, layers), unusable
        except _UnusableError as error:
            unusable.append(f"{place} cannot be used: {error}")
    return None, unusable


def _places(file: h5py.File, detector: h5py.Group | None, stack: Stack | None) -> Iterator[tuple[h5py.Group, str]]:
    """Every group and name of what may be a mask, the likeliest first."""
    groups = [detector, None if detector is None else detector.get("detectorSpecific")]
    if stack is not None:
        with suppress(KeyError):  # a link that has another name than what it leads to
            groups.append(stack.dataset.parent)
    groups += [file.get(path) for path in _GROUPS]
    visited = set()
    for group in groups:
        if not isinstance(group, h5py.Group) or group in visited:
            continue
        visited.add(group)
        for key in sorted(filter(_NAME.fullmatch, group), key=lambda key: (key == "mask", len(key), key)):
            yield group, key


def _dataset(group: h5py.Group, key: str) -> h5py.Dataset | h5py.Group:
    """A data set that is there, whole, and made of numbers; or a group."""
    link = group.get(key, getlink=True)
    try:
        item = group[key]
    except (KeyError, OSError, RuntimeError) as error:
        where = f"{link.path} in {link.filename}" if isinstance(link, h5py.ExternalLink) else getattr(link, "path", "")
        raise _UnusableError(f"it is a link to {where or 'nothing'}, which is not there") from error
    if not isinstance(item, h5py.Dataset):
        return item
    for source in missing_sources(item):
        raise _UnusableError(f"it shows a part of {source}, which is not there")
    if item.shape is None or not item.size or item.dtype.kind not in "biuf":
        what = "empty" if item.shape is None or not item.size else f"{item.dtype}, expected numbers with 0 = good"
        raise _UnusableError(f"it is {what}")
    return item


def _layers(detector: h5py.Group | None) -> set[int]:
    """Lengths that axes of modules and of thresholds may have."""
    lengths: set[int] = set()
    if detector is None:
        return lengths
    for group in (detector, detector.get("detectorSpecific")):
        if isinstance(group, h5py.Group):
            kinds = [_kind(group, key) for key in group]
            lengths |= {kinds.count(kind) for kind in set(kinds) - {""}}
    energies = detector.get("threshold_energy")
    return lengths | ({int(energies.size)} if isinstance(energies, h5py.Dataset) and energies.shape else set())


def _kind(group: h5py.Group, key: str) -> str:
    """What a group within that of the detector describes one of; "" = nothing of which there are several."""
    if not isinstance(group.get(key, getlink=True), h5py.HardLink) or not isinstance(group[key], h5py.Group):
        return ""
    named = _LAYER.fullmatch(key)
    kind = group[key].attrs.get("NX_class", b"")
    kind = kind.decode() if isinstance(kind, bytes) else str(kind)
    return kind if kind in ("NXdetector_module", "NXdetector_channel") else key.partition("_")[0] if named else ""


def _usable(item: h5py.Dataset, place: str, stack: Stack | None, layers: set[int]) -> NexusMask:
    """The mask, when its axes are understood."""
    axes = item.shape
    if stack is None and item.ndim < 2:
        raise _UnusableError(f"its shape is {axes}, expected (slow, fast)")
    shape = stack.shape if stack is not None else _frame_of(axes)
    leading = next((axes[:k] for k in reversed(range(len(axes))) if _folds(axes[k:], shape)), None)
    if leading is None:
        hint = "; it looks transposed" if tuple(n for n in axes if n > 1)[-2:] == shape[::-1] else ""
        raise _UnusableError(f"its shape is {axes}, that of a frame {shape} (slow, fast){hint}")
    count = 0 if stack is None else stack.count
    counting = () if stack is None else _counting(leading, stack, layers)
    axes_of_frames = {axis for _, axis in counting}
    unknown = [
        length
        for axis, length in enumerate(leading)
        if axis not in axes_of_frames and length > 1 and length not in layers
    ]
    problem = (
        f"{place} has the shape {axes}: its axis of {unknown[0]} is neither that of the frames"
        f"{f' ({count})' if count else ''} nor of modules or thresholds; give a mask of one frame with -m FILE"
        if unknown
        else ""
    )
    return NexusMask(place, item, shape, count if counting else 0, counting, problem)


def _counting(leading: tuple[int, ...], stack: Stack, layers: set[int]) -> tuple[tuple[int, int | None], ...]:
    """Lengths of the axes that count the frames, and which axis of a mask each is; empty = one mask for all."""
    inner = stack.dataset.shape[1:-2]
    grid = (stack.count // math.prod(inner), *inner) if inner else ()
    first = len(grid) - len(leading)
    if (
        first >= 0
        and any(n > 1 for n in leading)
        and all(n in (1, m) for n, m in zip(leading, grid[first:], strict=True))
    ):
        axes = (axis - first for axis in range(len(grid)))
        return tuple(
            (length, axis if axis >= 0 and leading[axis] > 1 else None) for length, axis in zip(grid, axes, strict=True)
        )
    if stack.count > 1 and stack.count not in layers and stack.count in leading:
        return ((stack.count, leading.index(stack.count)),)
    return ()


def _frame_of(axes: tuple[int, ...]) -> tuple[int, int]:
    """(slow, fast) of a mask where no frame tells it."""
    long = [n for n in axes if n > 1] if len(axes) > 2 else []
    slow, fast = long[-2:] if len(long) > 1 else axes[-2:]
    return slow, fast


def _folds(axes: tuple[int, ...], shape: tuple[int, int]) -> bool:
    """Whether axes are those of one frame: as they are, with more of length 1, or with its panels as an axis."""
    if len(axes) < 2 or math.prod(axes) != math.prod(shape):
        return False
    return axes[-1] == shape[1] or tuple(n for n in axes if n > 1) == tuple(n for n in shape if n > 1)
