"""The geometry of a convergent-beam experiment in HDF5: a group of data sets under the names that cbclib uses."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from os import PathLike
from typing import Any, Protocol

import h5py
import numpy as np

from crystint import __version__
from crystint.errors import FileError
from crystint.io.containers import is_hdf5
from crystint.io.guard import reads_file
from crystint.io.hdf5.files import create_hdf5, group, open_hdf5, put

__all__ = ["Setup", "has_setup", "put_setup", "read_setup", "write_setup"]

_GROUPS = ("entry/geometry", "geometry", "setup")


class Setup(Protocol):
    """A geometry; arrays and units as in `_NAMES` and `_DERIVED`."""

    @property
    def focus(self) -> Any: ...
    @property
    def sample_z(self) -> Any: ...
    @property
    def pixel_size(self) -> tuple[float, float]: ...
    @property
    def shape(self) -> tuple[int, int] | None: ...
    @property
    def other(self) -> Mapping[str, Any]: ...
    @property
    def centre(self) -> Any: ...
    @property
    def pupil_limits(self) -> tuple[Any, Any]: ...
    @property
    def cell(self) -> tuple[float, ...]: ...


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
_DERIVED: dict[str, tuple[str, str, Callable[[Setup], Any]]] = {
    "smp_dist": ("m", "mean distance of the sample from the focus", lambda s: np.mean(s.sample_z) - s.focus[2]),
    "kin_center": ("1/wavelength", "ray through the middle of the pupil", lambda s: s.centre),
    "kin_min": ("1/wavelength", "ray through the lower corner of the pupil", lambda s: s.pupil_limits[0]),
    "kin_max": ("1/wavelength", "ray through the upper corner of the pupil", lambda s: s.pupil_limits[1]),
    "cell_angstrom": ("angstrom", "lengths of the unit cell", lambda s: s.cell[:3]),
}
"""Written for other programs; not read."""


def put_setup(parent: h5py.Group, setup: Setup, name: str = "geometry") -> None:
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
    for dataset, value_as_read in setup.other.items():
        put(made, dataset, value_as_read)


def write_setup(path: str | PathLike[str], setup: Setup, *, overwrite: bool = False) -> None:
    """A new HDF5 file with the group /geometry.

    Raises
    ------
    FileError
        When it exists and `overwrite` is False, or cannot be written.
    """
    with create_hdf5(path, overwrite, f"crystint {__version__}") as file:
        put_setup(file, setup)


@reads_file
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
        names = _GROUPS if name is None else (name,)
        group_name = _group_of(file, names)
        if group_name is None:
            raise FileError(f"{path} has no geometry: there is no group {' or '.join('/' + each for each in names)}")
        values = {key: entry[()] for key, entry in file[group_name].items() if isinstance(entry, h5py.Dataset)}
    needed = [*(key for key in _NAMES if key != "frames"), "x_pixel_size", "y_pixel_size"]
    missing = [key for key in needed if key not in values]
    if missing:
        raise FileError(
            f"{path}: the group /{group_name} has no {', '.join(missing)}; found: {', '.join(values) or 'none'}"
        )
    made = {attribute: values.pop(key) for key, (attribute, _, _) in _NAMES.items() if key in values}
    made["pixel_size"] = (values.pop("y_pixel_size"), values.pop("x_pixel_size"))
    made["wavelength"] = float(made["wavelength"])
    shape = values.pop("detector_shape", None)
    made["shape"] = None if shape is None else (int(shape[0]), int(shape[1]))
    return {**made, "other": {key: value for key, value in values.items() if key not in _DERIVED}}


@reads_file
def has_setup(path: str | PathLike[str]) -> bool:
    """Whether a file is HDF5 and has a geometry where `read_setup` looks for it."""
    if not is_hdf5(path):
        return False
    with open_hdf5(path) as file:
        return _group_of(file, _GROUPS) is not None


def _group_of(file: h5py.File, names: Iterable[str]) -> str | None:
    """The first of some names that is a group of the file."""
    return next((name for name in names if isinstance(file.get(name), h5py.Group)), None)
