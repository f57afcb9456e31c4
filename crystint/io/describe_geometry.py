"""A geometry in words and numbers, with the place that each number comes from."""

from __future__ import annotations

from typing import Any

import numpy as np

from crystint.errors import GeometryError
from crystint.model.facts import range_text
from crystint.model.geometry import Geometry
from crystint.model.partial_geometry import PartialGeometry
from crystint.units import energy_of

__all__ = ["describe_geometry", "describe_partial"]

_NAMES = {
    "pixel_size": "detector",
    "distance": "distance",
    "beam_center": "beam",
    "rotation": "tilt",
    "panels": "panels",
    "wavelength": "wavelength",
    "polarization": "polarization",
}


def describe_geometry(geometry: Geometry) -> dict[str, Any]:
    """All fields of a geometry, and the resolution at border and corner."""
    return describe_partial(PartialGeometry(PartialGeometry.of(geometry, "").values), geometry.shape)


def describe_partial(partial: PartialGeometry, shape: tuple[int, int]) -> dict[str, Any]:
    """What a file tells of a geometry, and where; when that is no geometry, also why."""
    about: dict[str, Any] = {}
    geometry = None
    try:
        geometry = partial.whole(shape)
        if geometry is None:
            lacking = f" (without {', '.join(partial.missing).replace('_', ' ')})" if partial.values else ""
            about["geometry"] = f"none{lacking}; give one with -g"
    except GeometryError as error:
        about["geometry"] = f"unusable: {error}"
    for name in _NAMES.keys() & partial.values.keys() if geometry is None else _NAMES:
        text = _text(name, partial, shape)
        if text:
            about[_NAMES[name]] = text
    if geometry is not None:
        about |= _of_whole(geometry)
    return {name: about[name] for name in ("geometry", *_ORDER) if name in about}


_ORDER = ("detector", "distance", "beam", "tilt", "direct beam", "panels", "wavelength", "resolution", "polarization")


def _text(name: str, partial: PartialGeometry, shape: tuple[int, int]) -> str:
    """A field in words and its place; "" for what goes without saying."""
    value = partial.values.get(name)
    text = _value_text(name, value, shape)
    if name == "wavelength" and partial.wavelengths is not None:
        text += f", {range_text(partial.wavelengths, form='.6g')} from frame to frame"
    return f"{text} ({partial.places[name]})" if text and value is not None and name in partial.places else text


def _value_text(name: str, value: Any, shape: tuple[int, int]) -> str:
    match name:
        case "pixel_size":
            return f"{shape[0]} x {shape[1]} px of {1e6 * value[0]:g} x {1e6 * value[1]:g} um"
        case "distance":
            return f"{value:g} m"
        case "beam_center":
            return f"{value[0]:.2f}, {value[1]:.2f} px (slow, fast)"
        case "rotation":
            return (
                ", ".join(f"{angle:g}" for angle in value) + " rad (rot1, rot2, rot3)" if value and any(value) else ""
            )
        case "panels":
            return "" if value is None else str(len(value))
        case "wavelength":
            return "not known" if value is None else f"{value:g} angstrom ({energy_of(value):.0f} eV)"
    return "not known" if value is None else str(value)


def _of_whole(geometry: Geometry) -> dict[str, str]:
    """What follows from all fields together."""
    about = {}
    if any(geometry.rotation):
        about["direct beam"] = "{:.2f}, {:.2f} px (slow, fast)".format(*geometry.direct_beam)
    if geometry.wavelength is not None:
        about["resolution"] = _resolution(geometry)
    return about


def _resolution(geometry: Geometry) -> str:
    """Finest spacing on the whole frame, and on the largest whole ring round the beam."""
    spacing = geometry.d()
    border = np.concatenate([spacing[0], spacing[-1], spacing[:, 0], spacing[:, -1]])
    finest = float(np.nanmin(spacing))
    if not np.isfinite(border).any():
        return f"{finest:.3g} angstrom"
    near = float(np.max(border[np.isfinite(border)]))
    return f"{near:.3g} angstrom at the nearest border, {finest:.3g} at the farthest"
