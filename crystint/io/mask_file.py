"""Masks as files: NXmx, TIFF and NumPy, each in the form that other programs expect."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from crystint.errors import SettingError
from crystint.io.hdf5.files import create_hdf5, group, process, put
from crystint.io.hdf5.packing import GZIP
from crystint.io.outputs import atomic_path

__all__ = ["PIXEL_MASK", "PLACES", "write_mask"]

PIXEL_MASK = "entry/instrument/detector/pixel_mask"
"""as in any NXmx file"""
PLACES = "entry/places"
_UNITS = {"slow": "pixel", "fast": "pixel", "intensity": "count"}


def write_mask(
    path: Path,
    mask: NDArray[np.uint32],
    *,
    counts: Mapping[str, int] | None = None,
    places: NDArray[np.void] | None = None,
    notes: Sequence[str] = (),
    provenance: Mapping[str, Any],
    overwrite: bool = False,
) -> None:
    """Write a mask in the format of its suffix.

    ``.h5``: the bits of NXmx, uint32, where NXmx has them, with what is known besides. ``.tif``: uint8, 0 = good and
    1 = masked, as pyFAI reads it. ``.npy``: bool, True = masked.

    Parameters
    ----------
    mask : uint32 [slow, fast]
        0 = good.
    counts : mapping of class to pixels
    places : structured array
        Where spots come back, `crystint.ops.places.PLACE_DTYPE`.
    notes : sequence of str
        What else is known: whether the crystal moved, what could not be told.
    provenance : mapping
        For HDF5; other formats have no room for it.

    Raises
    ------
    SettingError
        For another suffix.
    FileError
        When the file exists and is not to be replaced, or cannot be written.
    """
    suffix = path.suffix.lower()
    if suffix in (".tif", ".tiff"):
        import tifffile

        with atomic_path(path, overwrite) as temporary:
            tifffile.imwrite(temporary, (mask != 0).astype(np.uint8), photometric="minisblack", metadata=None)
    elif suffix == ".npy":
        with atomic_path(path, overwrite) as temporary, temporary.open("wb") as file:
            np.save(file, mask != 0)
    elif suffix in (".h5", ".hdf5", ".hdf", ".nxs"):
        _write_hdf5(path, mask, counts or {}, places, notes, provenance, overwrite)
    else:
        raise SettingError(f"{path}: a mask is written as .h5, .tif or .npy")


def _write_hdf5(
    path: Path, mask: NDArray[np.uint32], counts: Mapping[str, int], places: NDArray[np.void] | None,
    notes: Sequence[str], provenance: Mapping[str, Any], overwrite: bool,
) -> None:  # fmt: skip
    with create_hdf5(path, overwrite, "crystint", checksums=True) as file:
        file.attrs["default"] = "entry"
        entry = group(file, "entry", "NXentry")
        instrument = group(entry, "instrument", "NXinstrument")
        detector = group(instrument, "detector", "NXdetector")
        data = detector.create_dataset("pixel_mask", data=mask, chunks=mask.shape, **GZIP.options)
        data.attrs["bits"] = "0 gap, 1 dead, 2 under-responding, 3 over-responding, 4 noisy, 6 of a cluster, 8 user"
        if counts:
            classes = group(entry, "bad_pixels", "NXcollection")
            for name, number in counts.items():
                put(classes, name.replace(" ", "_").replace("-", "_"), np.int64(number))
            put(classes, "notes", "\n".join(notes))
        if places is not None:
            table = group(entry, "places", "NXcollection")
            table.attrs["verdict"] = "0 not known, 1 fades as a reflection, 2 a reflection may last, 3 the detector's"
            for name in places.dtype.names or ():
                column: h5py.Dataset = put(table, name, np.ascontiguousarray(places[name]))
                if name in _UNITS:
                    column.attrs["units"] = _UNITS[name]
        process(entry, "process", provenance, provenance)
