"""A geometry as NeXus axes: the detector's transformations and its modules.

NeXus measures in McStas's frame: z along the beam, y up, x to the left looking along the beam. PONI's frame
is that one turned by 180 degrees about the beam.
"""

from __future__ import annotations

import math

import h5py
import numpy as np

from crystint.io.hdf5.files import group, put
from crystint.model.geometry import Geometry, Panel

__all__ = ["TURNED", "write_axes", "write_modules"]

TURNED = np.array([-1.0, -1.0, 1.0])
"""Factors that turn a vector of PONI's frame into McStas's, and back."""
_Z = (0.0, 0.0, 1.0)


def write_axes(detector: h5py.Group, geometry: Geometry) -> None:
    """``transformations``: the distance along the detector's normal, then PONI's rot1, rot2 and rot3."""
    axes = group(detector, "transformations", "NXtransformations")
    home = axes.name
    # Right-handed turns about x, y, z of PONI's frame: rot1 about y, rot2 about x, rot3 against z.
    turns = {"rot1": (0.0, 1.0, 0.0), "rot2": (1.0, 0.0, 0.0), "rot3": (0.0, 0.0, -1.0)}
    names = list(turns)
    if geometry.panels is None:
        for number, (name, vector) in enumerate(turns.items()):
            after = f"{home}/{names[number + 1]}" if number + 1 < len(names) else "."
            _axis(axes, name, geometry.rotation[number], "rad", vector, after)
        _axis(axes, "distance", geometry.distance, "m", _Z, f"{home}/rot1")
    else:
        _axis(axes, "distance", 0.0, "m", _Z, ".")
    put(detector, "depends_on", f"{home}/distance")


def write_modules(detector: h5py.Group, geometry: Geometry) -> None:
    """One NXdetector_module for the plane, or one per panel."""
    origin = f"{detector.name}/transformations/distance"
    if geometry.panels is None:
        slow, fast = geometry.beam_center
        high, wide = geometry.pixel_size
        whole = Panel(
            (0, geometry.shape[0]),
            (0, geometry.shape[1]),
            (-fast * wide, -slow * high, 0.0),
            (0.0, high, 0.0),
            (wide, 0.0, 0.0),
        )
    for number, panel in enumerate(geometry.panels or (whole,)):
        name = "module" if geometry.panels is None else f"module_{number}"
        module = group(detector, name, "NXdetector_module")
        (top, bottom), (left, right) = panel.slow, panel.fast
        put(module, "data_origin", np.array([top, left], dtype=np.int64))
        put(module, "data_size", np.array([bottom - top, right - left], dtype=np.int64))
        _axis(module, "module_offset", math.hypot(*panel.origin), "m", panel.origin, origin)
        after = f"{module.name}/module_offset"
        for direction, step in (("slow", panel.slow_vector), ("fast", panel.fast_vector)):
            _axis(module, f"{direction}_pixel_direction", math.hypot(*step), "m", step, after)


def _axis(
    parent: h5py.Group, name: str, value: float, unit: str, vector: tuple[float, float, float], after: str
) -> None:
    """One axis; `vector` is in PONI's frame, of any length."""
    length = math.hypot(*vector)
    direction = np.array([0.0, 0.0, 1.0]) if length == 0.0 else np.array(vector) * TURNED / length
    put(
        parent,
        name,
        value,
        unit,
        transformation_type="rotation" if unit == "rad" else "translation",
        vector=direction,
        offset=np.zeros(3),
        offset_units="m",
        depends_on=after,
    )
