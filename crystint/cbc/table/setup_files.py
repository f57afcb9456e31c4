"""The geometry of a convergent-beam experiment in HDF5: a group of data sets under the names that cbclib uses."""

from __future__ import annotations

from collections.abc import Callable
from os import PathLike
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np

from crystint import __version__
from crystint.errors import FileError
from crystint.io.hdf5.files import create_hdf5, group, open_hdf5, put

if TYPE_CHECKING:
    from crystint.cbc.table.setup import CBCSetup

__all__ = ["put_setup", "read_setup", "write_setup"]

_PLACES = ("entry/geometry", "geometry", "setup")
_NAMES: dict[str, tuple[str, str, str]] = {
    "foc_pos": ("focus", "m", "focus: x, y from pixel (0, 0), z from the detector"),
    "pupil_roi": ("pupil", "pixel", "y0, y1, x0, x1 of the shadow of the lens"),
    "wavelength": ("wavelength", "m", "wavelength"),
    "basis_mat": ("basis", "1/wavelength", "rows a*, b*, c* before rotation"),
    "sample_rmats": ("rotation", "", "rotation of the crystal, frame by frame: R times g"),
    "sample_z": ("sample_z", "m", "plane of the sample from the detector, frame by frame"),
    "frames": ("frames", "", "numbers of the frames"),
}
"""Data set: field of `CBCSetup`, unit, meaning."""
_DERIVED: dict[str, tuple[str, str, Callable[[CBCSetup], Any]]] = {
    "smp_dist": ("m", "mean distance of the sample from the focus", lambda s: np.mean(s.sample_z) - s.focus[2]),
    "kin_center": ("1/wavelength", "ray through the middle of the pupil", lambda s: s.centre),
    "kin_min": ("1/wavelength", "ray through the lower corner of the pupil", lambda s: s.pupil_limits[0]),
    "kin_max": ("1/wavelength", "ray through the upper corner of the pupil", lambda s: s.pupil_limits[1]),
    "cell_angstrom": ("angstrom", "lengths of the unit cell", lambda s: s.cell[:3]),
}
"""Written for other programs; not read."""


def put_setup(parent: h5py.Group, setup: CBCSetup, name: str = "geometry") -> None:
    """Store a setup as a group of `parent`."""
    made = group(parent, name, "NXcollection")
    for dataset, (attribute, units, meaning) in _NAMES.items():
        put(made, dataset, getattr(setup, attribute), units or None, long_name=meaning)
    slow, fast = setup.pixel_size
    put(made, "x_pixel_size", fast, "m", long_name="along the fast axis")
    put(made, "y_pixel_size", slow, "m", long_name="along the slow axis")
    if setup.shape is not None:
        put(made, "detector_shape", np.asarray(setup.shape), "pixel", long_name="slow, fast")
    for dataset, (units, meaning, value) in _DERIVED.items():
        put(made, dataset, value(setup), units, long_name=meaning)
    for dataset, kept in setup.other.items():
        put(made, dataset, kept)


def write_setup(path: str | PathLike[str], setup: CBCSetup, *, overwrite: bool = False) -> None:
    """A new HDF5 file with the group /geometry.

    Raises
    ------
    FileError
        When it exists and `overwrite` is False, or cannot be written.
    """
    with create_hdf5(path, overwrite, f"crystint {__version__}", small=True) as file:
        put_setup(file, setup)


def read_setup(path: str | PathLike[str], name: str | None = None) -> dict[str, Any]:
    """Arguments of `CBCSetup`, from the group `name`, or /entry/geometry, /geometry or /setup.

    Data sets: foc_pos, pupil_roi, wavelength, x_pixel_size, y_pixel_size, basis_mat, sample_rmats, sample_z; optional
    frames and detector_shape. Others are kept, but for those that follow from these.

    Raises
    ------
    FileError
        When the file is missing, damaged, or has no such group, or a data set is missing.
    """
    with open_hdf5(path) as file:
        places = _PLACES if name is None else (name,)
        found = next((place for place in places if isinstance(file.get(place), h5py.Group)), None)
        if found is None:
            raise FileError(f"{path} has no geometry: there is no group {' or '.join('/' + place for place in places)}")
        try:
            values = {key: entry[()] for key, entry in file[found].items() if isinstance(entry, h5py.Dataset)}
        except (OSError, RuntimeError, ValueError) as error:
            raise FileError(f"{path}: the group /{found} is damaged ({error})") from error
    needed = [*(key for key in _NAMES if key != "frames"), "x_pixel_size", "y_pixel_size"]
    missing = [key for key in needed if key not in values]
    if missing:
        raise FileError(f"{path}: the group /{found} has no {', '.join(missing)}; found: {', '.join(values) or 'none'}")
    made = {attribute: values.pop(key) for key, (attribute, _, _) in _NAMES.items() if key in values}
    made["pixel_size"] = (values.pop("y_pixel_size"), values.pop("x_pixel_size"))
    made["wavelength"] = float(made["wavelength"])
    shape = values.pop("detector_shape", None)
    made["shape"] = None if shape is None else (int(shape[0]), int(shape[1]))
    return {**made, "other": {key: value for key, value in values.items() if key not in _DERIVED}}
