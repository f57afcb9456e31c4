"""Metadata of a source file: read from its NXentry, and kept as a group of crystint's own files.

Classes of NeXus are kept as attributes ``source_class``: a second NXdetector would mislead whoever looks for the first.
"""

from __future__ import annotations

from typing import Any

import h5py
import numpy as np

from crystint.errors import FileError
from crystint.io.hdf5.files import group
from crystint.io.hdf5.nexus_values import text
from crystint.io.outputs import utf8
from crystint.model.source_metadata import SourceMetadata

__all__ = ["METADATA", "read_metadata", "stored_metadata", "write_metadata"]

METADATA = "source_metadata"
_LARGEST = 1 << 16
"""bytes of a data set that is carried along"""
_MOST = 1 << 22
"""bytes of all of them"""
_DEEPEST = 12
_NOTED = 100
"""Paths that are left out and named"""


def read_metadata(entry: h5py.Group, shape: tuple[int, int]) -> SourceMetadata:
    """What is in an entry but for frames, data of the shape of a frame, and whatever is larger than 64 kB."""
    if METADATA in entry:
        return stored_metadata(entry)
    groups: dict[str, str] = {}
    values: dict[str, tuple[Any, dict[str, Any]]] = {}
    left: list[str] = []
    total = 0

    def visit(parent: h5py.Group, place: str, depth: int) -> None:
        nonlocal total
        for key in parent:
            path = f"{place}{key}"
            try:
                item = parent.get(key)
                if isinstance(item, h5py.Group) and depth < _DEEPEST:
                    kind = text(item.attrs.get("NX_class"))
                    if kind == "NXdata":
                        left.append(path)
                        continue
                    groups[path] = kind
                    visit(item, f"{path}/", depth + 1)
                elif isinstance(item, h5py.Dataset) and _small(item, shape) and total < _MOST:
                    values[path] = (item[()], {name: item.attrs[name] for name in item.attrs})
                    total += item.nbytes
                else:
                    left.append(path)
            except (FileError, KeyError, OSError, RuntimeError, ValueError, TypeError):
                left.append(path)

    visit(entry, "", 0)
    return SourceMetadata(entry.file.filename, groups, values, tuple(left))


def _small(item: h5py.Dataset, shape: tuple[int, int]) -> bool:
    """Whether a data set is metadata: plain values, not too many, and no image."""
    plain = item.dtype.kind in "biufS" or h5py.check_string_dtype(item.dtype) is not None
    image = len(item.shape or ()) >= 2 and tuple(item.shape[-2:]) == shape
    return item.shape is not None and plain and not image and item.nbytes <= _LARGEST


def write_metadata(parent: h5py.Group, metadata: SourceMetadata) -> None:
    """``source_metadata``: the groups and data sets as they were, without their classes."""
    top = group(parent, METADATA, "NXcollection", source_file=utf8(metadata.file))
    if metadata.left_out:
        top.attrs["left_out"] = [utf8(path) for path in metadata.left_out[:_NOTED]]
    for path, kind in metadata.groups.items():
        group(top, path, "NXcollection", source_class=kind)
    for path, (value, attributes) in metadata.values.items():
        made = top.create_dataset(path, data=utf8(value) if isinstance(value, str) else value)
        for name, attribute in attributes.items():
            if not isinstance(attribute, h5py.Empty | h5py.Reference | h5py.RegionReference):
                made.attrs[name] = utf8(attribute) if isinstance(attribute, str) else attribute


def stored_metadata(parent: h5py.Group) -> SourceMetadata:
    """What `write_metadata` wrote; empty where there is nothing."""
    top = parent.get(METADATA)
    if not isinstance(top, h5py.Group):
        return SourceMetadata()
    groups: dict[str, str] = {}
    values: dict[str, tuple[Any, dict[str, Any]]] = {}

    def visit(part: h5py.Group, place: str) -> None:
        for key in part:
            item = part[key]
            if isinstance(item, h5py.Group):
                groups[f"{place}{key}"] = text(item.attrs.get("source_class"))
                visit(item, f"{place}{key}/")
            else:
                values[f"{place}{key}"] = (item[()], {name: item.attrs[name] for name in item.attrs})

    visit(top, "")
    left = tuple(map(str, np.ravel(top.attrs["left_out"]))) if "left_out" in top.attrs else ()
    return SourceMetadata(text(top.attrs.get("source_file")), groups, values, left)
