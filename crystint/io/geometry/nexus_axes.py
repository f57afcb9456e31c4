"""Where the modules of an NXmx detector are: chains of NXtransformations."""

from __future__ import annotations

import math
import posixpath

import h5py
import numpy as np
from numpy.typing import NDArray

from crystint.errors import GeometryError
from crystint.io.geometry.transforms import rotation, translation
from crystint.io.hdf5.nexus_values import Quantity, text
from crystint.model.geometry import Panel

__all__ = ["module_panels"]

_DEGREES = {"deg", "degree", "degrees", "°", ""}


def module_panels(file: h5py.File, detector: h5py.Group, shape: tuple[int, int]) -> list[Panel]:
    """Panels in the NeXus (McStas) frame, z along the beam, m; empty when a module or an axis is
    incomplete."""
    modules = [
        item
        for item in (detector.get(key) for key in detector)
        if isinstance(item, h5py.Group) and text(item.attrs.get("NX_class")) == "NXdetector_module"
    ]
    try:
        return [_panel(file, module, shape, alone=len(modules) == 1) for module in modules]
    except (KeyError, ValueError, GeometryError, IndexError):
        return []


def _panel(file: h5py.File, module: h5py.Group, shape: tuple[int, int], *, alone: bool) -> Panel:
    fast, slow = module["fast_pixel_direction"], module["slow_pixel_direction"]
    place = _chain(file, _parent(fast))
    if alone:
        start, size = [0, 0], list(shape)
    else:
        start = [int(value) for value in np.ravel(module["data_origin"][()])[-2:]]
        size = [int(value) for value in np.ravel(module["data_size"][()])[-2:]]
        if start[0] + size[0] > shape[0] or start[1] + size[1] > shape[1]:
            raise ValueError("a module leaves the frame")
    return Panel(
        (start[0], start[0] + size[0]),
        (start[1], start[1] + size[1]),
        tuple(place[:3, 3]),
        tuple(_step(file, slow)),
        tuple(_step(file, fast)),
    )


def _step(file: h5py.File, axis: h5py.Dataset) -> NDArray[np.float64]:
    """One step along a pixel direction in the laboratory, m."""
    vector = np.asarray(axis.attrs["vector"], dtype=np.float64)
    size = _metres(float(np.ravel(axis[()])[0]), text(axis.attrs.get("units")))
    turned = _chain(file, _parent(axis))[:3, :3] @ vector
    return np.asarray(size * turned / np.linalg.norm(turned))


def _parent(axis: h5py.Dataset) -> str:
    """Absolute path of what an axis depends on; "." = nothing."""
    path = text(axis.attrs.get("depends_on")) or "."
    if path in (".", "") or path.startswith("/"):
        return path or "."
    return posixpath.normpath(f"{axis.parent.name}/{path}")


def _metres(value: float, unit: str) -> float:
    if not unit:
        return value
    metres = Quantity(value, unit.strip().lower()).metres
    if metres is None:
        raise GeometryError(f"{unit!r} is no unit of length")
    return metres


def _chain(file: h5py.File, path: str) -> NDArray[np.float64]:
    """The product of an axis with everything that it stands on; float64 [4, 4], m. Scans count with their
    start."""
    transform = np.eye(4)
    seen: set[str] = set()
    while path != ".":
        if path in seen:
            raise GeometryError(f"the axis {path} depends on itself")
        seen.add(path)
        axis = file[path]
        if isinstance(axis, h5py.Group):
            raise GeometryError(f"{path} is a group, expected an axis")
        vector = np.asarray(axis.attrs["vector"], dtype=np.float64)
        offset = np.asarray(axis.attrs.get("offset", (0.0, 0.0, 0.0)), dtype=np.float64)
        unit = text(axis.attrs.get("units"))
        offset = offset * _metres(1.0, text(axis.attrs.get("offset_units")) or _length_unit(unit))
        value = float(np.ravel(axis[()])[0])
        if text(axis.attrs.get("transformation_type")) == "rotation":
            angle = math.radians(value) if unit.strip().lower() in _DEGREES else value
            step = rotation(vector, angle, offset)
        else:
            step = translation(vector, _metres(value, unit), offset)
        transform = step @ transform
        path = _parent(axis)
    return transform


def _length_unit(unit: str) -> str:
    """The unit of an offset that tells none: that of the axis when it is a length, else metres."""
    return unit if Quantity(1.0, unit.strip().lower()).metres is not None else "m"
