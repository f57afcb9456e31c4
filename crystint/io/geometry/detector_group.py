"""Which NXdetector of an HDF5 file the frames are of: geometry, mask and limits come from that one."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import h5py

from crystint.errors import GeometryError
from crystint.io.hdf5.nexus_values import groups_of_class, text

__all__ = ["detector_of", "entry_of"]

_USUAL = ("entry/instrument/detector", "entry_1/instrument_1/detector_1", "entry/instrument/detector_1")
_DEPTH = 4
_OWN = ("x_pixel_size", "beam_center_x", "distance", "detector_distance", "pixel_mask", "detectorSpecific")
"""What a detector of pixels has; many files call every diode an NXdetector."""


def detector_of(file: h5py.File, dataset: str | None, shape: tuple[int, int] | None) -> h5py.Group | None:
    """The detector that frames are of.

    The only one of the file; else the one that holds them, is linked to them or named like them; else the only one of
    their NXentry; else the only one with data, a mask or pixels of their shape, or none of another.

    Parameters
    ----------
    file : h5py.File
    dataset : str, optional
        Path of the frames, or of the first part of them, which may be a link into another file.
    shape : (slow, fast), optional
        Of a frame.

    Returns
    -------
    h5py.Group or None
        None when the file has no detector.

    Raises
    ------
    GeometryError
        When several are left. The message names them and says how to choose.
    """
    detectors = _detectors(file)
    if len(detectors) > 1 and dataset is not None:
        linked = [group for group in detectors if _shows(group, file[dataset], f"/{dataset.lstrip('/')}")]
        detectors = linked or [group for group in detectors if _named_like(group, dataset)] or detectors
        detectors = [group for group in detectors if entry_of(group.name) == entry_of(dataset)] or detectors
    if len(detectors) > 1 and shape is not None:
        alike = [group for group in detectors if shape in _shapes(group)]
        detectors = alike or [group for group in detectors if not _shapes(group)] or detectors
    if len(detectors) > 1:
        names = ", ".join(group.name for group in detectors)
        frames = dataset or "the frames"
        raise GeometryError(
            f"there are several detectors ({names}), and {frames} may be of each: name the frames inside one of them "
            "with dataset= or --dataset, or give geometry and mask (-g, -m)"
        )
    return detectors[0] if detectors else None


def _detectors(file: h5py.File) -> list[h5py.Group]:
    """Each detector once, those at usual places first; detectors of pixels where there are any."""
    groups: list[h5py.Group] = []
    usual = (file.get(path) for path in _USUAL)
    for group in (*usual, *groups_of_class(file, "NXdetector", _DEPTH)):
        if isinstance(group, h5py.Group) and not any(group == other for other in groups):
            groups.append(group)
    return [group for group in groups if _of_pixels(group)] or groups[:1]


def _of_pixels(group: h5py.Group) -> bool:
    return any(key in group for key in _OWN) or bool(_shapes(group))


def _members(group: h5py.Group) -> Iterator[h5py.Dataset]:
    """The data sets of a detector, behind links as well."""
    for key in group:
        try:
            item = group[key]
        except (KeyError, OSError):  # a link that leads nowhere
            continue
        if isinstance(item, h5py.Dataset):
            yield item


def _shapes(group: h5py.Group) -> set[tuple[int, int]]:
    """Shapes (slow, fast) that a frame of a detector may have."""
    shapes = {(int(item.shape[-2]), int(item.shape[-1])) for item in _members(group) if len(item.shape or ()) >= 2}
    size = [group.get(f"detectorSpecific/{axis}_pixels_in_detector") for axis in "yx"]
    if all(isinstance(item, h5py.Dataset) and item.size == 1 for item in size):
        shapes.add((int(size[0][()]), int(size[1][()])))
    return shapes


def _shows(group: h5py.Group, frames: h5py.Dataset, path: str) -> bool:
    """Whether a detector holds the frames, links to them, or is where they are linked from or shown from."""
    target = text(frames.attrs.get("target"))  # NeXus: where a linked data set really is
    targets = [path, frames.name if frames.file == group.file else "", f"/{target.lstrip('/')}" if target else ""]
    if frames.is_virtual:
        own = {".", frames.file.filename}
        targets += [part.dset_name for part in frames.virtual_sources() if part.file_name in own]
    if any(each.startswith(f"{group.name}/") for each in targets):
        return True
    sources = _sources(frames)
    return any(item == frames or (sources and _sources(item) == sources) for item in _members(group))


def _sources(dataset: h5py.Dataset) -> set[Any]:
    """File and path of what a virtual data set shows."""
    return {part[1:3] for part in dataset.virtual_sources()} if dataset.is_virtual else set()


def entry_of(path: str) -> str:
    """The top group of a path: in NeXus files its NXentry."""
    return path.lstrip("/").partition("/")[0]


def _named_like(group: h5py.Group, path: str) -> bool:
    """Whether the name of a detector is in the path of the frames: /entry/waxs/data and /entry/instrument/waxs."""
    return group.name.rpartition("/")[2] in path.split("/")
