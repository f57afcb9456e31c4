"""Geometry in the header of a CBF file: DECTRIS's mini header, or the axis tables of a full imgCIF header."""

from __future__ import annotations

import math
import re
from typing import Any, TypeAlias

import numpy as np
from gemmi import cif
from numpy.typing import NDArray

from crystint.errors import GeometryError
from crystint.io.geometry.cbf_header import NUMBER, cif_block, cif_value
from crystint.io.geometry.curved import PANELS_NEEDED, curved_detector
from crystint.io.geometry.lab_frame import geometry_in_lab
from crystint.io.geometry.transforms import rotation, translation
from crystint.model.geometry import Geometry, Panel
from crystint.model.partial_geometry import PartialGeometry

__all__ = ["axes_in", "cbf_geometry", "cbf_saturation", "panel_of_axes"]

_Settings: TypeAlias = dict[str, tuple[float, float]]
_METRES = {"m": 1.0, "mm": 1e-3, "um": 1e-6, "µm": 1e-6, "cm": 1e-2}


def cbf_geometry(text: str, shape: tuple[int, int], name: str) -> PartialGeometry:
    """Geometry from the text of a CBF header.

    The axis tables are used where they are there. They are read as dxtbx reads them: a displacement of 0 is
    the outer corner of the first pixel, and the beam is polarized along the laboratory's x. `Beam_xy` of a
    mini header is (fast, slow) in px from the outer corner.

    Parameters
    ----------
    text : str
        Everything before the binary section.
    shape : (slow, fast)
    name : str
        For messages.

    Returns
    -------
    PartialGeometry
        What the header tells. With axis tables and a tilt the direct beam may miss the frame.

    Raises
    ------
    GeometryError
        When the header has a swung-out detector without axis tables, a detector that is not flat, or axis tables that
        make no geometry.
    """
    mini = _mini_header(text)
    try:
        _refuse_curved(text, shape)
        if "_axis.vector[1]" in text:
            geometry = _from_axes(text, shape, mini)
            if geometry is not None:
                return PartialGeometry.of_axes(geometry, "axis tables of the header")
        return _from_mini(mini)
    except GeometryError as error:
        raise GeometryError(f"{name}: {error}") from error


def _refuse_curved(text: str, shape: tuple[int, int]) -> None:
    """A mini header's one distance says nothing of a detector that is bent round the sample."""
    named = re.search(r"^#[ \t]*Detector\b\s*[:=]?\s*(.*)$", text, re.MULTILINE)
    detector = curved_detector(shape, named[1] if named else "")
    if detector is not None:
        raise GeometryError(f"the detector is {detector}; its header does not place its modules: {PANELS_NEEDED}")


def cbf_saturation(text: str) -> float | None:
    """Largest valid count: Count_cutoff of the mini header, or the overload of a full header; None = not
    recorded."""
    mini = _mini_header(text)
    if mini.get("Count_cutoff", 0.0) > 0.0:
        return mini["Count_cutoff"]
    if "_array_intensities.overload" in text:
        for value in cif_block(text).find_values("_array_intensities.overload"):
            number = cif.as_number(value)
            if number > 0.0:
                return float(number)
    return None


def _mini_header(text: str) -> dict[str, float]:
    """The numbers of the mini header; lengths in m, wavelength in angstrom, angles in degrees."""
    header: dict[str, float] = {}
    for line in re.findall(r"^#[ \t]*([A-Z]\w+[ \t:=(].*)$", text, re.MULTILINE):
        key = re.match(r"\w+", line)
        if key is None:
            continue
        rest = line[key.end() :]
        numbers = [float(number) for number in re.findall(rf"(?<![\w.]){NUMBER}", rest)]
        word = key[0]
        if word in ("Pixel_size", "Beam_xy") and len(numbers) >= 2:
            unit = _length_unit(rest)
            scale = 1.0 if unit is None else _METRES[unit]
            name = "Beam_metres" if word == "Beam_xy" and unit is not None else word
            header[f"{name}_x"], header[f"{name}_y"] = numbers[0] * scale, numbers[1] * scale
        elif word in ("Wavelength", "Polarization", "Count_cutoff", "Detector_2theta") and numbers:
            header[word] = numbers[0]
        elif word == "Detector_distance" and numbers:
            header[word] = numbers[0] * _METRES[_length_unit(rest) or "m"]
    for axis in "xy":
        if f"Beam_metres_{axis}" in header and f"Pixel_size_{axis}" in header:
            header[f"Beam_xy_{axis}"] = header[f"Beam_metres_{axis}"] / header[f"Pixel_size_{axis}"]
    return header


def _length_unit(text: str) -> str | None:
    """The first unit of length after a number or a bracket; None where there is none, or where it is pixels."""
    unit = re.search(rf"{NUMBER}\s*\)?\s*(mm|cm|um|µm|m)\b", text)
    return unit[1] if unit else None


def _polarization(mini: dict[str, float]) -> float | None:
    value = mini.get("Polarization")
    return value if value is not None and 0.0 < abs(value) <= 1.0 else None


def _from_mini(mini: dict[str, float]) -> PartialGeometry:
    """Each number that is there; zeros stand for what was not set."""
    values: dict[str, Any] = {
        "distance": mini.get("Detector_distance") or None,
        "wavelength": mini.get("Wavelength") or None,
        "polarization": _polarization(mini),
    }
    for name, key in (("pixel_size", "Pixel_size"), ("beam_center", "Beam_xy")):
        pair = mini.get(f"{key}_y", 0.0), mini.get(f"{key}_x", 0.0)
        values[name] = pair if any(pair) else None
    values = {name: value for name, value in values.items() if value is not None}
    if not {"distance", "beam_center"} <= values.keys():
        return PartialGeometry(values, _places(values))
    if abs(mini.get("Detector_2theta", 0.0)) > 1e-6:
        raise GeometryError(
            f"the detector is swung out by {mini['Detector_2theta']} degrees (Detector_2theta) and the "
            "header has no axis tables that say about which axis; give the geometry as a PONI file"
        )
    return PartialGeometry(values, _places(values))


def _places(values: dict[str, Any]) -> dict[str, str]:
    keys = {"distance": "Detector_distance", "beam_center": "Beam_xy"}
    return {name: f"{keys.get(name, name.capitalize())} of the mini header" for name in values}


def _from_axes(text: str, shape: tuple[int, int], mini: dict[str, float]) -> Geometry | None:
    """Geometry from the axis tables; None when they do not describe both axes of the array."""
    block = cif_block(text)
    placed = panel_of_axes(block, shape)
    if placed is None or not any(placed[0].origin):
        return None
    panel, beam = placed
    wavelength = mini.get("Wavelength") or next(
        (cif.as_number(value) for value in block.find_values("_diffrn_radiation_wavelength.wavelength")), None
    )
    return geometry_in_lab(
        [panel],
        shape,
        beam=beam,
        wavelength=wavelength if wavelength and math.isfinite(wavelength) else None,
        polarization=_polarization(mini),
        beam_outside=True,
    )


def panel_of_axes(block: cif.Block, shape: tuple[int, int]) -> tuple[Panel, NDArray[np.float64]] | None:
    """The detector as the axis tables place it in the file's laboratory frame, m, and the direction of the beam there.

    None when they do not describe both axes of the array.
    """
    axes = axes_in(block)
    settings = _settings(block)
    lists = block.find("_array_structure_list.", ["precedence", "axis_set_id"])
    names = ["axis_set_id", "axis_id", "displacement", "displacement_increment"]
    steps = block.find("_array_structure_list_axis.", names)
    if not axes or len(lists) < 2 or len(steps) < 2:
        return None
    of_set = {row[0]: (row[1], cif_value(row[2]), cif_value(row[3])) for row in steps}
    order = {int(row[0]): of_set[row[1]] for row in lists if row[1] in of_set}
    if 1 not in order or 2 not in order:
        return None
    fast_axis, fast_start, fast_step = order[1]
    slow_axis, slow_start, slow_step = order[2]
    settings[fast_axis], settings[slow_axis] = (0.0, fast_start), (0.0, slow_start)
    frame = _chain(axes, settings, slow_axis if _depends(axes, slow_axis, fast_axis) else fast_axis)
    source = axes.get("SOURCE") or ["SOURCE", "", "", "0", "0", "1"]
    towards = np.array([cif_value(part) for part in source[3:6]])
    millimetre = 1e-3
    panel = Panel(
        (0, shape[0]),
        (0, shape[1]),
        tuple(millimetre * frame[:3, 3]),
        tuple(millimetre * slow_step * _direction(axes, settings, slow_axis)),
        tuple(millimetre * fast_step * _direction(axes, settings, fast_axis)),
    )
    return panel, -towards


def axes_in(block: cif.Block) -> dict[str, list[str]]:
    """The rows of the table of axes by their names, as `_AXIS` orders them."""
    return {row[0]: list(row) for row in block.find("_axis.", _AXIS)}


_AXIS = [
    "id",
    "type",
    "depends_on",
    "vector[1]",
    "vector[2]",
    "vector[3]",
    "offset[1]",
    "offset[2]",
    "offset[3]",
]


def _settings(block: cif.Block) -> _Settings:
    """(angle in degrees, displacement in mm) of each axis in this frame."""
    settings = {}
    for table, names in (
        ("_diffrn_scan_axis.", ["axis_id", "angle_start", "displacement_start"]),
        ("_diffrn_scan_frame_axis.", ["axis_id", "angle", "displacement"]),
    ):
        for row in block.find(table, names):
            settings[row[0]] = (cif_value(row[1]), cif_value(row[2]))
    return settings


def _depends(axes: dict[str, list[str]], axis: str, on: str) -> bool:
    while axis in axes:
        axis = axes[axis][2]
        if axis == on:
            return True
    return False


def _chain(axes: dict[str, list[str]], settings: _Settings, axis: str) -> NDArray[np.float64]:
    """Position and orientation of an axis with everything that it stands on; float64 [4, 4], mm."""
    transform = np.eye(4)
    seen = set()
    while axis in axes and axis not in seen:
        seen.add(axis)
        _, kind, depends_on, *numbers = axes[axis]
        vector, offset = np.array([cif_value(number) for number in numbers]).reshape(2, 3)
        angle, displacement = settings.get(axis, (0.0, 0.0))
        if kind == "rotation":
            step = rotation(vector, math.radians(angle), offset)
        else:
            step = translation(vector, displacement, offset)
        transform = step @ transform
        axis = depends_on
    return transform


def _direction(axes: dict[str, list[str]], settings: _Settings, axis: str) -> NDArray[np.float64]:
    """The unit vector of an axis in the laboratory."""
    if axis not in axes:
        raise GeometryError(f"the axis {axis!r} of the array is not in the table of axes")
    vector = np.array([cif_value(number) for number in axes[axis][3:6]])
    turned = _chain(axes, settings, axis)[:3, :3] @ vector
    return np.asarray(turned / np.linalg.norm(turned))
