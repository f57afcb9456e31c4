"""Which data set of an HDF5 file holds the frames, and whether all that it refers to is there."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py

from crystint.errors import FileError
from crystint.io.hdf5.checked import stored_bytes
from crystint.io.limits import ANY_FILE, check_claim
from crystint.io.linked_files import missing_sources

__all__ = ["NoFramesError", "check_claims", "check_sources", "find_datasets"]

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
_NO_FRAMES = re.compile(
    r"mask|flat|dark|calib|pedestal|gain|profile|map|weight|radius|normali|background|azint|roi", re.I
)


class NoFramesError(FileError):
    """There is nothing in a file that could be a frame."""


def find_datasets(file: h5py.File, name: str, wanted: str | None) -> list[str]:
    """Paths of the data sets that hold the frames, in order.

    In this order: `wanted`; what the NeXus attributes ``default`` and ``signal`` lead to; the
    usual places (NXmx, ``data_000001``... of DECTRIS masters, CXI, LImA); the only stack of frames in the
    file.

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
            return _numbered(file, path.rpartition("/")[0], name)
        if _is_stack(_get(file, path, name)):
            return [path]
    for path in _USUAL:
        if _is_stack(_get(file, path, name)):
            return ["/" + path]
        numbered = _numbered(file, path.rpartition("/")[0], name)
        if numbered:
            return numbered
    stacks = _search(file)
    if len(stacks) == 1:
        return stacks
    if not stacks:
        raise NoFramesError(f"{name} holds no frames: no numbers with the shape (frames, slow, fast) or (slow, fast)")
    raise FileError(_choice(file, name, stacks))


def _choice(file: h5py.File, name: str, stacks: list[str]) -> str:
    listed = ", ".join(f"{path} {file[path].shape} {file[path].dtype}" for path in stacks[:12])
    return f"{name} holds several stacks of frames ({listed}); name one with dataset= or --dataset"


def _named(file: h5py.File, name: str, wanted: str) -> list[str]:
    item = _get(file, wanted, name)
    if isinstance(item, h5py.Group):
        numbered = _numbered(file, wanted, name)
        signal = _text(item.attrs.get("signal"))
        if signal and isinstance(_get(item, signal, name), h5py.Dataset):
            return [f"{item.name}/{signal}"]
        if numbered:
            return numbered
    if not isinstance(item, h5py.Dataset):
        listed = ", ".join(_search(file)) or "none found"
        raise FileError(f"{name} has no data set {wanted}; stacks of frames in it: {listed}")
    if not _is_stack(item):
        raise FileError(
            f"{name}: {wanted} is {item.dtype} of shape {item.shape}, expected numbers of the shape "
            "(frames, slow, fast) or (slow, fast)"
        )
    return [wanted]


def _get(group: h5py.Group, path: str, name: str) -> Any:
    """The object at a path, or None; a link that leads nowhere is an error."""
    here: Any = group
    for part in [part for part in path.split("/") if part]:
        if not isinstance(here, h5py.Group):
            return None
        link = here.get(part, getlink=True)
        if link is None:
            return None
        try:
            here = here[part]
        except (KeyError, OSError) as error:
            if isinstance(link, h5py.ExternalLink):
                raise FileError(_broken(link, here, part, name)) from error
            return None
    return here


def _broken(link: h5py.ExternalLink, group: h5py.Group, part: str, name: str) -> str:
    target = Path(group.file.filename).parent / link.filename
    what = f"{name}: {group.name.rstrip('/')}/{part} is a link to {link.path} in {link.filename}"
    if not target.exists():
        return f"{what}, which does not exist beside it"
    return f"{what}, which is damaged or does not hold it"


def _numbered(file: h5py.File, folder: str, name: str) -> list[str]:
    """DECTRIS's data_000001, data_000002, ... of a group."""
    group = _get(file, folder, name) if folder else None
    if not isinstance(group, h5py.Group):
        return []
    names = sorted((key for key in group if re.fullmatch(r"data_\d+", key)), key=lambda key: int(key[5:]))
    return [f"{group.name}/{key}" for key in names if _is_stack(_get(group, key, name))]


def _defaults(file: h5py.File) -> Iterator[str]:
    """Data sets that the NeXus attributes lead to, from the root, and then from every entry."""
    entry = _text(file.attrs.get("default"))
    entries = [entry] if entry and isinstance(file.get(entry), h5py.Group) else []
    entries += [key for key in file if key not in entries and _kind(file, key) == "NXentry"]
    for key in entries:
        group = file[key]
        plot = _text(group.attrs.get("default"))
        plots = [plot] if plot and isinstance(group.get(plot), h5py.Group) else []
        plots += [each for each in group if each not in plots and _kind(group, each) == "NXdata"]
        for each in plots:
            signal = _text(group[each].attrs.get("signal"))
            if signal and not _NO_FRAMES.search(signal):
                yield f"{group[each].name}/{signal}"


def _kind(group: h5py.Group, key: str) -> str:
    if not isinstance(group.get(key, getlink=True), h5py.HardLink) or group.get(key, getclass=True) is not h5py.Group:
        return ""
    return _text(group[key].attrs.get("NX_class")) or ""


def _search(file: h5py.File) -> list[str]:
    """Every stack of frames in the file; where there are 3-D ones, those alone."""
    stacks: list[tuple[str, int]] = []

    def look(path: str, item: Any) -> None:
        large = _is_stack(item) and min(item.shape[-2:]) >= _SMALL
        if large and not _NO_FRAMES.search(path.rpartition("/")[2]):
            stacks.append(("/" + path, item.ndim))

    file.visititems(look)
    deep = [path for path, ndim in stacks if ndim > 2]
    return deep or [path for path, _ in stacks]


def _is_stack(item: Any) -> bool:
    if not isinstance(item, h5py.Dataset) or item.dtype.kind not in "iuf" or item.shape is None:
        return False
    if item.ndim == 4 and item.shape[1] != 1:
        return False
    return item.ndim in (2, 3, 4) and 0 not in item.shape[-2:]


def _text(value: Any) -> str | None:
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    return value if isinstance(value, str) else None


def check_sources(dataset: h5py.Dataset, name: str) -> None:
    """Raise unless every file behind a virtual data set is there; HDF5 would give zeros without a word.

    Raises
    ------
    FileError
        Naming the file that is missing.
    """
    for file in missing_sources(dataset):
        raise FileError(f"{name}: {dataset.name} shows frames of {file}, which does not exist beside it")


def check_claims(dataset: h5py.Dataset, name: str) -> None:
    """Raise unless a frame fits the bytes that are stored, and the frames the bytes of the files.

    Raises
    ------
    FileError
        When the size of a frame, or the number of frames, cannot be right.
    """
    slow, fast = dataset.shape[-2:]
    frame, many = slow * fast * dataset.dtype.itemsize, dataset.ndim > 2 and dataset.shape[0] > _MANY
    if not many and frame <= ANY_FILE:
        return
    stored = stored_bytes(dataset)
    check_claim(f"{name}, {dataset.name}: a frame of {slow} x {fast} px", frame, stored)
    if many and dataset.shape[0] > stored:
        raise FileError(
            f"{name}, {dataset.name}, claims {dataset.shape[0]} frames, of which {stored} bytes are stored: it is "
            "damaged, or was never written"
        )
