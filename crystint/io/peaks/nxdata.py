"""Peak lists as HDF5: a NXdata group with one data set per column."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from crystint.errors import FileError
from crystint.io.frame_table import put_frame_table
from crystint.io.frames.frame_sources import FrameSources
from crystint.io.hdf5.files import PACKED, create_hdf5, group, process, put
from crystint.io.hdf5.scan_group import write_scan
from crystint.model.frame_table import FrameTable
from crystint.model.geometry import Geometry
from crystint.model.peaks import PEAK_DTYPE, PeakFlag, PeakList, unknown_peaks
from crystint.model.scan import Scan
from crystint.model.spots import SPOT_DTYPE, SpotList, empty_spots

__all__ = ["FRAMES", "LATER", "MEANING", "POSITION", "UNITS", "hdf5_peaks", "hdf5_spots", "write_hdf5"]

POSITION = "pixels from the outer corner of the first pixel, whose centre is (0.5, 0.5)"
FRAMES = "frames of the sequence, frame i reaches from i to i + 1"
UNITS = {
    "slow": "pixel",
    "fast": "pixel",
    "intensity": "count",
    "sigma": "count",
    "maximum": "count",
    "background": "count",
    "d": "angstrom",
    "slow_sigma": "pixel",
    "fast_sigma": "pixel",
    "slow0": "pixel",
    "slow1": "pixel",
    "fast0": "pixel",
    "fast1": "pixel",
}
MEANING = {
    "z": f"centroid, {FRAMES}",
    "snr": "intensity / sigma of the whole spot",
    "significance": "of the strongest pixel, in sigma: what the threshold snr is compared with",
}
"""Of the two columns that are easily mistaken for one another."""
LATER = ("significance", "slow_sigma", "fast_sigma", "slow0", "slow1", "fast0", "fast1")
"""Columns that files of the first crystint do not have."""


def write_hdf5(
    path: Path,
    peaks: PeakList,
    *,
    shape: tuple[int, int],
    n_frames: int,
    geometry: Geometry | None,
    sources: FrameSources | None,
    provenance: Mapping[str, Any],
    missing: Sequence[int] = (),
    results: FrameTable | None = None,
    overwrite: bool,
    spots: SpotList | None = None,
    scan: Scan | None = None,
) -> None:
    """``/entry/peaks``: every column of the peak list, exactly, and ``frame_ptr`` uint64 [frames + 1]: the
    peaks of frame i are ``frame_ptr[i]:frame_ptr[i + 1]``. ``missing`` int64: the frames that could not be read.
    ``/entry/spots``: every column of the joined spots, where there are any; ``/entry/scan``: JSON."""
    with create_hdf5(path, overwrite, "crystint", checksums=True) as file:
        file.attrs["default"] = "entry"
        entry = group(file, "entry", "NXentry", default="peaks")
        data = group(entry, "peaks", "NXdata", signal="intensity", convention=POSITION)
        data.attrs["frame_shape"] = np.array(shape, dtype=np.int64)
        for name in PEAK_DTYPE.names or ():
            column = data.create_dataset(name, data=peaks[name], **(PACKED if len(peaks) else {}))
            if name in UNITS:
                column.attrs["units"] = UNITS[name]
            if name in ("slow", "fast"):
                column.attrs["convention"] = POSITION
            if name in MEANING:
                column.attrs["meaning"] = MEANING[name]
        data["flags"].attrs["bits"] = ", ".join(f"{flag.value} {flag.name}" for flag in PeakFlag)
        counts = np.bincount(peaks["frame"], minlength=n_frames)
        put(data, "frame_ptr", np.concatenate([[0], np.cumsum(counts)]).astype(np.uint64))
        if missing:
            put(data, "missing", np.array(missing, dtype=np.int64))
        if geometry is not None:
            put(entry, "geometry", json.dumps(geometry.to_dict()), type="text/json")
        if sources is not None:
            put(entry, "source_file", sources.files.astype(h5py.string_dtype()))
            put(entry, "source_index", sources.number)
        if scan is not None:
            write_scan(entry, scan)
        if results is not None:
            put_frame_table(entry, results)
        if spots is not None:
            _spots(entry, spots)
        process(entry, "process", provenance, provenance)


def _spots(entry: h5py.Group, spots: SpotList) -> None:
    """The joined spots, a data set per column."""
    data = group(entry, "spots", "NXdata", signal="intensity", convention=f"{POSITION}; z: {FRAMES}")
    for name in SPOT_DTYPE.names or ():
        column = data.create_dataset(name, data=spots[name], **(PACKED if len(spots) else {}))
        if name in UNITS:
            column.attrs["units"] = UNITS[name]
        if name in MEANING:
            column.attrs["meaning"] = MEANING[name]
    data["flags"].attrs["bits"] = ", ".join(f"{flag.value} {flag.name}" for flag in PeakFlag)


def hdf5_spots(file: h5py.File) -> SpotList | None:
    """The joined spots in an open file that `write_hdf5` made, exactly; None = there are none."""
    data = file.get("entry/spots")
    if not isinstance(data, h5py.Group) or not set(SPOT_DTYPE.names or ()) <= set(data):
        return None
    spots = empty_spots(len(data["z"]))
    for name in SPOT_DTYPE.names or ():
        spots[name] = data[name][()]
    return spots


def hdf5_peaks(file: h5py.File, path: Path, rows: slice = slice(None)) -> PeakList:
    """The peaks in an open file that `write_hdf5` made, exactly; `rows` = these of them alone."""
    data = file.get("entry/peaks")
    if not isinstance(data, h5py.Group) or not set(PEAK_DTYPE.names or ()) - set(LATER) <= set(data):
        raise FileError(f"{path} holds no peak list of crystint: /entry/peaks with a data set per column")
    peaks = unknown_peaks(len(range(len(data["frame"]))[rows]))
    for name in set(PEAK_DTYPE.names or ()) & set(data):
        peaks[name] = data[name][rows]
    return peaks
