"""Where pyFAI's sparsify-Bragg puts sparse frames in an HDF5 file."""

from __future__ import annotations

import h5py

__all__ = ["default_entry", "is_pyfai", "sparse_frames"]

_NEEDED = ("mask", "radius", "background_avg", "background_std", "frame_ptr", "index", "intensity")


def default_entry(file: h5py.File) -> h5py.Group | None:
    """The entry that an HDF5 file shows first."""
    entry = file.get(str(file.attrs.get("default", "")) or "entry_0000")
    return entry if isinstance(entry, h5py.Group) else None


def sparse_frames(file: h5py.File) -> h5py.Group | None:
    """The group of sparse frames in it."""
    entry = default_entry(file)
    if entry is None:
        return None
    group = entry.get(str(entry.attrs.get("pyFAI_sparse_frames") or entry.attrs.get("default") or "-"))
    return group if isinstance(group, h5py.Group) else None


def is_pyfai(file: h5py.File) -> bool:
    """Whether an HDF5 file holds sparse frames as pyFAI writes them."""
    frames = sparse_frames(file)
    return frames is not None and all(isinstance(frames.get(name), h5py.Dataset) for name in _NEEDED)
