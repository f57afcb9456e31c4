"""Where the modules of an NXmx detector are: chains of NXtransformations."""

from __future__ import annotations

import math
import posixpath

import h5py
import numpy as np
from numpy.typing import NDArray

from crystint.errors import GeometryError, warn
from crystint.io.geometry.lab_frame import geometry_in_lab
from crystint.io.geometry.transforms import rotation, translation
from crystint.io.hdf5.nexus_values import Quantity, text
from crystint.model.geometry import Geometry, Panel
from crystint.model.partial_geometry import PartialGeometry

__all__ = ["axes_geometry", "first_panel", "parent_of", "radians"]

_DEGREES = {"deg", "degree", "degrees", "°", ""}
_AT_SAMPLE = 1e-3
"""m: axes that leave the detector within this of the sample are stubs"""
_TURN = 0.01
"""degrees"""
_MOVE = 1e-4
"""rad, or of a length: an axis that moves less stands"""
_ON_CORNER = 1e-3
"""px: a beam that meets the very corner of the first pixel is one whose place nobody wrote"""


def axes_geometry(
    file: h5py.File, detector: h5py.Group, shape: tuple[int, int], plain: PartialGeometry, name: str
) -> PartialGeometry:
    """The detector where the axes of its modules put it; empty where there are none, or stubs.

    Parameters
    ----------
    plain : PartialGeometry
        What beam centre, distance and pixel size say, to compare with.
    name : str
        For messages.
    """
    try:
        panels = _panels(file, detector, shape)
        if not panels:
            _warn_of_a_turn(file, detector, name)
    except (KeyError, ValueError, GeometryError, IndexError) as error:
        if plain.missing:
            warn(f"{name}: the axes of {detector.name} are incomplete and cannot be used: {error}")
        return PartialGeometry()
    if not panels or any(_at_sample(panel) for panel in panels):
        return PartialGeometry()
    try:
        geometry = geometry_in_lab(panels, shape, wavelength=None, beam_outside=True)
    except GeometryError as error:
        if plain.missing:
            raise GeometryError(f"the axes of {detector.name} make no geometry: {error}") from error
        warn(f"{name}: the axes of {detector.name} make no geometry and are ignored: {error}")
        return PartialGeometry()
    if "beam_center" in plain.values and max(map(abs, geometry.direct_beam)) < _ON_CORNER:
        return PartialGeometry()
    _compare(geometry, plain, name)
    return PartialGeometry.of_axes(geometry, f"depends_on axes of {detector.name.lstrip('/')}")


def _at_sample(panel: Panel) -> bool:
    """Whether the plane of a panel passes through the sample, or nearly."""
    normal = np.cross(panel.slow_vector, panel.fast_vector)
    return bool(abs(normal @ np.array(panel.origin)) < _AT_SAMPLE * np.linalg.norm(normal))


def _compare(geometry: Geometry, plain: PartialGeometry, name: str) -> None:
    """Warn where beam centre or distance differ from the axes: of the beam, or of the arm swung back."""
    center, distance = plain.values.get("beam_center"), plain.values.get("distance")
    by_axes = geometry.direct_beam, geometry.beam_center
    if center is not None and not any(math.dist(center, each) <= 1.0 for each in by_axes):
        _differ(name, plain.places["beam_center"], f"({center[0]:.2f}, {center[1]:.2f}) px",
                "({:.2f}, {:.2f}) px (slow, fast)".format(*by_axes[0]))  # fmt: skip
    along = geometry.distance, geometry.distance_along_beam
    if distance is not None and not any(abs(distance / each - 1.0) <= 0.01 for each in along):
        _differ(name, plain.places["distance"], f"{distance:g} m", f"{along[0]:g} m")


def _differ(name: str, place: str, stored: str, by_axes: str) -> None:
    warn(f"{name}: {place} says {stored}, the axes of the detector (depends_on) {by_axes}; the axes are used")


def _warn_of_a_turn(file: h5py.File, detector: h5py.Group, name: str) -> None:
    """Say that axes turn a detector which has no modules, so that nothing tells where its pixels are."""
    item = detector.get("depends_on")
    path = text(item[()]) if isinstance(item, h5py.Dataset) else ""
    if path in ("", "."):
        return
    chain = _chain(file, path if path.startswith("/") else f"{detector.name}/{path}")
    turn = math.degrees(math.acos(min(1.0, abs(float(chain[2, 2])))))
    if turn > _TURN:
        warn(
            f"{name}: the axes of {detector.name} turn it by {turn:.4g} degrees, but no NXdetector_module tells where "
            "its pixels are: they are ignored; give a geometry with -g"
        )


def _panels(file: h5py.File, detector: h5py.Group, shape: tuple[int, int]) -> list[Panel]:
    """Panels in the NeXus (McStas) frame, z along the beam, m; none without modules."""
    modules = [
        item
        for item in (detector.get(key) for key in detector)
        if isinstance(item, h5py.Group) and text(item.attrs.get("NX_class")) == "NXdetector_module"
    ]
    return [_panel(file, module, shape, alone=len(modules) == 1) for module in modules]


def first_panel(file: h5py.File, detector: h5py.Group, shape: tuple[int, int]) -> Panel | None:
    """The first of the panels in the NeXus (McStas) frame, z along the beam, m; None without modules."""
    return next(iter(_panels(file, detector, shape)), None)


def _panel(file: h5py.File, module: h5py.Group, shape: tuple[int, int], *, alone: bool) -> Panel:
    fast, slow = module["fast_pixel_direction"], module["slow_pixel_direction"]
    above = _chain(file, parent_of(fast))
    place = above[:3, 3] + above[:3, :3] @ _offset(fast)  # where some writers put the corner of the module
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
        tuple(place),
        tuple(_step(file, slow)),
        tuple(_step(file, fast)),
    )


def _step(file: h5py.File, axis: h5py.Dataset) -> NDArray[np.float64]:
    """One step along a pixel direction in the laboratory, m."""
    vector = np.asarray(axis.attrs["vector"], dtype=np.float64)
    size = _metres(float(np.ravel(axis[()])[0]), text(axis.attrs.get("units")))
    turned = _chain(file, parent_of(axis))[:3, :3] @ vector
    return np.asarray(size * turned / np.linalg.norm(turned))


def parent_of(axis: h5py.Dataset) -> str:
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
        unit = text(axis.attrs.get("units"))
        turns = text(axis.attrs.get("transformation_type")) == "rotation"
        values = np.asarray(axis[()], dtype=np.float64).reshape(-1)
        convert = radians if turns else _metres
        start, low, high = (convert(float(value), unit) for value in (values[0], values.min(), values.max()))
        if high - low > (_MOVE if turns else _MOVE * abs(start)):
            ends = f"{values[0]:g} to {values[-1]:g} {unit}"
            warn(f"{file.filename}: {path.lstrip('/')} moves from {ends}; its start is used")
        step = (rotation if turns else translation)(vector, start, _offset(axis))
        transform = step @ transform
        path = parent_of(axis)
    return transform


def _offset(axis: h5py.Dataset) -> NDArray[np.float64]:
    """m"""
    offset = np.asarray(axis.attrs.get("offset", (0.0, 0.0, 0.0)), dtype=np.float64)
    unit = text(axis.attrs.get("offset_units")) or _length_unit(text(axis.attrs.get("units")))
    return offset * _metres(1.0, unit)


def radians(value: float, unit: str) -> float:
    """An angle in rad; without a unit it is in degrees.

    Raises
    ------
    GeometryError
        When the unit is no unit of angle.
    """
    per_radian = {"rad": 1.0, "radian": 1.0, "radians": 1.0, "mrad": 1e3}
    unit = unit.strip().lower()
    if unit in _DEGREES:
        return math.radians(value)
    if unit not in per_radian:
        raise GeometryError(f"{unit!r} is no unit of angle")
    return value / per_radian[unit]


def _length_unit(unit: str) -> str:
    """The unit of an offset that tells none: that of the axis when it is a length, else metres."""
    return unit if Quantity(1.0, unit.strip().lower()).metres is not None else "m"
