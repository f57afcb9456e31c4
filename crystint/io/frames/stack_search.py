"""Which data sets of an HDF5 file hold the frames."""

from __future__ import annotations

import re
from collections.abc import Iterator
from fnmatch import fnmatchcase
from itertools import groupby
from typing import Any

import h5py

from crystint.errors import FileError
from crystint.io.frames.stack_paths import broken_link, item_at, walk
from crystint.io.frames.virtual_parts import frame_count
from crystint.io.geometry.detector_group import entry_of
from crystint.io.hdf5.checked import stored_bytes
from crystint.io.hdf5.nexus_values import text
from crystint.io.limits import ANY_FILE, check_claim
from crystint.io.names import by_number

__all__ = ["NoFramesError", "check_claims", "find_datasets", "left_out"]

_USUAL = (
    "entry/data/data",
    "entry/instrument/detector/data",
    "entry_1/data_1/data",
    "entry_1/instrument_1/detector_1/data",
    "entry_1/image_1/data",
    "entry_0000/measurement/data",
    "data",
)
_MANY = 10**7
"""Frames that a data set may claim, whatever is stored of them."""
_SMALL = 16
"""px: an axis shorter than this is no axis of a detector when the file must be searched"""
_SERIES = re.compile(r"(?<=/data_)\d+$|(?<=/tag[-_])\d+(?=/)")
"""Numbers of data sets that are one stack together: DECTRIS's data_000001, ..., and SACLA's tag-1234567/..., one per
shot."""
_TABLES = ("n_no_ice", "nPeaks")
"""Members of groups that are tables with a row per frame: the results of crystint, and the peaks of CXI files."""
_NO_FRAMES = re.compile(
    r"mask|flat|dark|calib|pedestal|gain|profile|map|weight|radius|normali|background|azint|roi", re.I
)


class NoFramesError(FileError):
    """There is nothing in a file that could be a frame."""


def find_datasets(file: h5py.File, name: str, wanted: str | None) -> list[str]:
    """Paths of the data sets that hold the frames, in order. Those of a series may be links that lead nowhere.

    In this order: `wanted`, a path or a pattern (``*``, ``?``, ``[...]``, and CrystFEL's ``%`` for ``*``); what the
    NeXus attributes ``default`` and ``signal`` lead to; the usual places (NXmx, ``data_000001``... of DECTRIS masters,
    CXI, LImA); the only stack of frames in the file, behind links too.

    Raises
    ------
    FileError
        When there is none, or a choice, or an external link leads nowhere. The message lists what there is
        and tells how to name one.
    """
    if wanted is not None:
        return _named(file, name, wanted)
    for path in _defaults(file):
        if re.search(r"/data_\d+$", path):
            return _numbered(file, path.rpartition("/")[0])
        if _is_stack(item_at(file, path, name)):
            return [path]
    for path in _USUAL:
        if _is_stack(item_at(file, path, name)):
            return ["/" + path]
        numbered = _numbered(file, path.rpartition("/")[0])
        if numbered:
            return numbered
    stacks = _search(file)
    if len(stacks) == 1:
        return stacks[0]
    if not stacks:
        raise NoFramesError(f"{name} holds no frames: no numbers with the shape (frames, slow, fast) or (slow, fast)")
    raise FileError(_choice(file, name, stacks))


def left_out(file: h5py.File, names: list[str]) -> list[str]:
    """What the NeXus attributes of other entries lead to, where it is frames such as those at some paths."""
    entries, first = set(map(entry_of, names)), item_at(file, names[0], None)
    others = [(path, item_at(file, path, None)) for path in _defaults(file) if entry_of(path) not in entries]
    return [
        path
        for path, item in others
        if _is_stack(item)
        and isinstance(first, h5py.Dataset)
        and item != first
        and (item.shape[-2:], item.dtype) == (first.shape[-2:], first.dtype)
    ]


def _choice(file: h5py.File, name: str, stacks: list[list[str]]) -> str:
    first = [paths[0] for paths in stacks]
    listed = ", ".join(f"{path} {file[path].shape} {file[path].dtype}" for path in first[:12])
    more = f" and {len(first) - 12} more" if len(first) > 12 else ""
    patterns = {re.sub(r"\d+", "*", path) for path in first}
    together = f", or all of them with {patterns.pop()!r}" if len(patterns) == 1 else ""
    return f"{name} holds several stacks of frames ({listed}{more}); name one with dataset= or --dataset{together}"


def _named(file: h5py.File, name: str, wanted: str) -> list[str]:
    item = item_at(file, wanted, name)
    if item is None and re.search(r"[*?%\[]", wanted):
        return _matching(file, name, wanted)
    if isinstance(item, h5py.Group):
        numbered = _numbered(file, wanted)
        signal = text(item.attrs.get("signal"))
        if signal and isinstance(item_at(item, signal, name), h5py.Dataset):
            return [f"{item.name}/{signal}"]
        if numbered:
            return numbered
    if not isinstance(item, h5py.Dataset):
        raise FileError(f"{name} has no data set {wanted}; stacks of frames in it: {_listed(file)}")
    if not _is_stack(item):
        raise FileError(
            f"{name}: {wanted} is {item.dtype} of shape {item.shape}, expected numbers of the shape "
            "(frames, slow, fast) or (slow, fast)"
        )
    return [wanted]


def _listed(file: h5py.File) -> str:
    stacks = _search(file)
    return ", ".join(paths[0] + " ..." * (len(paths) > 1) for paths in stacks[:12]) or "none found"


def _matching(file: h5py.File, name: str, pattern: str) -> list[str]:
    """Stacks of frames whose paths match, in the order of the numbers in them."""
    paths = [""]
    for part in filter(None, pattern.replace("%", "*").split("/")):
        groups = [(path, item_at(file, path, name)) for path in paths]
        paths = [
            f"{path}/{key}"
            for path, group in groups
            if isinstance(group, h5py.Group)
            for key in group
            if fnmatchcase(key, part)
        ]
    stacks = [path for path in paths if _is_stack(item_at(file, path, name))]
    if not stacks:
        raise FileError(f"{name} has no data set of frames that matches {pattern}; stacks in it: {_listed(file)}")
    return sorted(stacks, key=by_number)


def _numbered(file: h5py.File, folder: str) -> list[str]:
    """DECTRIS's data_000001, data_000002, ... of a group, and links of such names that lead nowhere."""
    group = item_at(file, folder, None)
    if not isinstance(group, h5py.Group):
        return []
    names = sorted((key for key in group if re.fullmatch(r"data_\d+", key)), key=by_number)
    paths = [f"{group.name.rstrip('/')}/{key}" for key in names]
    return [path for path in paths if _may_be_stack(file, path)]


def _may_be_stack(file: h5py.File, path: str) -> bool:
    """Whether there are frames at a path, or a link that leads nowhere; what is there is not left open."""
    item = item_at(file, path, None)
    return _is_stack(item) if item is not None else bool(broken_link(file, path))


def _defaults(file: h5py.File) -> Iterator[str]:
    """Data sets that the NeXus attributes lead to, from the root, and then from every entry."""
    for entry in _in_order(file, "default", "NXentry"):
        for plot in _in_order(file[entry], "default", "NXdata"):
            group = file[entry][plot]
            signal = text(group.attrs.get("signal"))
            if signal and not _NO_FRAMES.search(signal):
                yield f"{group.name}/{signal}"


def _in_order(group: h5py.Group, attribute: str, kind: str) -> list[str]:
    """The member that an attribute names, then those of a NeXus class."""
    default = text(group.attrs.get(attribute))
    keys = [key for key in group if not re.fullmatch(r"data_\d+", key)]
    members = {key: item for key in keys if isinstance(item := item_at(group, key, None), h5py.Group)}
    others = [key for key, item in members.items() if key != default and text(item.attrs.get("NX_class")) == kind]
    return [default, *others] if isinstance(item_at(group, default, None), h5py.Group) and default else others


def _search(file: h5py.File) -> list[list[str]]:
    """Every stack of frames in the file, behind links too. Where some are 3-D, those alone; else those of more axes."""
    sets = [(path, item) for path, item in walk(file) if _is_stack(item) and min(item.shape[-2:]) >= _SMALL]
    sets = [(path, item) for path, item in sets if not _NO_FRAMES.search(path.rpartition("/")[2])]
    sets = [(path, item) for path, item in sets if not _in_table(file, path)]
    for kind in (_is_plain, lambda item: item.ndim > 2, lambda item: True):
        chosen = [path for path, item in sets if kind(item)]
        if chosen:
            break
    stacks = []
    for series, paths in groupby(sorted(chosen, key=_series_of), _series_of):
        members = sorted(paths, key=by_number)
        stacks.append(_numbered(file, series.rpartition("/")[0]) if series.endswith("/data_#") else members)
    return sorted(stacks, key=lambda paths: by_number(paths[0]))


def _in_table(file: h5py.File, path: str) -> bool:
    """Whether a data set is a column of a table with a row per frame."""
    group = item_at(file, path.rpartition("/")[0] or "/", None)
    return isinstance(group, h5py.Group) and any(name in group for name in _TABLES)


def _series_of(path: str) -> str:
    return _SERIES.sub("#", path)


def _is_plain(item: h5py.Dataset) -> bool:
    return len(item.shape) == 3 or (len(item.shape) == 4 and bool(item.shape[1] == 1))


def _is_stack(item: Any) -> bool:
    if not isinstance(item, h5py.Dataset) or item.dtype.kind not in "iuf" or item.shape is None:
        return False
    return item.ndim >= 2 and 0 not in item.shape[-2:]


def check_claims(dataset: h5py.Dataset, name: str) -> None:
    """Raise unless a frame fits the bytes that are stored, and the frames the bytes of the files.

    Raises
    ------
    FileError
        When the size of a frame, or the number of frames, cannot be right.
    """
    slow, fast = dataset.shape[-2:]
    frame, count = slow * fast * dataset.dtype.itemsize, frame_count(dataset.shape)
    many = count > _MANY
    if not many and frame <= ANY_FILE:
        return
    stored = stored_bytes(dataset)
    check_claim(f"{name}, {dataset.name}: a frame of {slow} x {fast} px", frame, stored)
    if many and count > stored:
        raise FileError(
            f"{name}, {dataset.name}, claims {count} frames, of which {stored} bytes are stored: it is "
            "damaged, or was never written"
        )
