"""A scan as a group of crystint's own HDF5 files."""

from __future__ import annotations

import h5py
import numpy as np

from crystint.errors import CrystintError, FileError
from crystint.io.hdf5.files import group, packed, put
from crystint.model.scan import Scan

__all__ = ["SCAN", "read_scan", "write_scan"]

SCAN = "scan"
_UNITS = {"angles": "deg", "width": "deg", "exposure": "s", "frame_time": "s", "times": "s"}


def write_scan(parent: h5py.Group, scan: Scan) -> None:
    """``scan``: names, vectors and angles of the axes, the first of which carries the crystal, and rows of frames."""
    made = group(parent, SCAN, "NXcollection", scan_axis=scan.scan_axis, zone=scan.zone)
    made.attrs["frame"] = "x: fast of a detector that is not tilted, y: slow, z: along the beam; turns right-handed"
    put(made, "names", np.array(scan.names, dtype=h5py.string_dtype()))
    put(made, "vectors", scan.vectors)
    for name, unit in _UNITS.items():
        values = getattr(scan, name)
        made.create_dataset(name, data=values, **(packed(parent=made) if values.size else {})).attrs["units"] = unit
    made["times"].attrs["meaning"] = "since 1970-01-01T00:00:00 of the clock of the zone"


def read_scan(parent: h5py.Group) -> Scan | None:
    """What `write_scan` wrote; None where there is nothing.

    Raises
    ------
    FileError
        When its parts do not fit each other.
    """
    stored = parent.get(SCAN)
    if stored is None:
        return None
    try:
        return Scan(
            tuple(stored["names"].asstr()[()]),
            stored["vectors"][()],
            stored["angles"][()].reshape(len(stored["names"]), len(stored["width"])),
            int(stored.attrs["scan_axis"]),
            zone=str(stored.attrs["zone"]),
            **{name: stored[name][()] for name in _UNITS if name != "angles"},
        )
    except (KeyError, ValueError, CrystintError) as error:
        raise FileError(f"{parent.file.filename} is damaged: its scan cannot be read: {error}") from error
