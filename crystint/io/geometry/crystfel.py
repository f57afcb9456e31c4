"""Geometry of CrystFEL geometry files (.geom)."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from crystint.errors import GeometryError
from crystint.io.geometry.crystfel_text import CrystfelText, read_geom_text
from crystint.io.geometry.lab_frame import geometry_in_lab
from crystint.io.limits import check_pixels
from crystint.model.geometry import Panel
from crystint.model.partial_geometry import PartialGeometry

__all__ = ["frame_panels", "read_geom"]

_SEEN = 0.1
"""m: a distance at which a detector faces the beam"""


def read_geom(path: Path, shape: tuple[int, int] | None, beam_outside: bool) -> tuple[tuple[int, int], PartialGeometry]:
    """Shape and geometry of a CrystFEL file: its panels in the frame that they are read from.

    CrystFEL's laboratory is right-handed with z along the beam and y up; corner_x and corner_y are the very
    corner of a panel's first pixel, in px, and detector_shift_x and _y move all panels. Panels that make one flat
    grid become one flat detector. Without a camera length in the file there is no distance.

    Parameters
    ----------
    path : Path
    shape : (slow, fast), optional
        Of the frames, when it is larger than the panels' extent.
    beam_outside : bool
        Allow a direct beam that misses the frame (one flat detector only).

    Raises
    ------
    GeometryError
        When a panel is a plane of a stack of modules; when a value is missing.
    FileError
        When the file cannot be read.
    """
    text = read_geom_text(path)
    text.warn_of_the_geometry()
    panels, extent = frame_panels(text)
    if shape is not None and (shape[0] < extent[0] or shape[1] < extent[1]):
        raise GeometryError(f"{path}: the panels reach to {extent} (slow, fast), beyond a frame of {shape}")
    shape = shape or extent
    try:
        if text.has_length:
            geometry = geometry_in_lab(
                list(panels.values()), shape, wavelength=text.wavelength, beam_outside=beam_outside
            )
            return shape, PartialGeometry.of(geometry, "CrystFEL")
        return shape, _without_length(text, list(panels.values()), shape)
    except GeometryError as error:
        raise GeometryError(f"{path}: {error}") from error


def _without_length(text: CrystfelText, panels: list[Panel], shape: tuple[int, int]) -> PartialGeometry:
    """All but the distance: the panels stand where they are seen, and are moved to the distance of another source."""
    length = _SEEN - min(panel.origin[2] for panel in panels)
    placed = [replace(panel, origin=(*panel.origin[:2], panel.origin[2] + length)) for panel in panels]
    geometry = geometry_in_lab(placed, shape, wavelength=text.wavelength, beam_outside=True)
    if geometry.panels is None and any(geometry.rotation[:2]):  # its point of normal incidence moves with the distance
        geometry = geometry_in_lab(placed, shape, wavelength=text.wavelength, as_panels=True)
    place = f"clen = {text.length_place}, in the data files" if text.length_place else "there is no clen"
    partial = PartialGeometry.of(geometry, "CrystFEL").without("distance", "beam_outside")
    at = None if geometry.panels is None else geometry.distance
    return replace(partial, places={**partial.places, "distance": place}, panels_at=at)


def frame_panels(text: CrystfelText) -> tuple[dict[str, Panel], tuple[int, int]]:
    """The panels by name, at camera length 0 where the file has none, and how far (slow, fast) they reach.

    Raises
    ------
    GeometryError
        When a panel is a plane of a stack of modules.
    """
    panels = {name: _panel(text.path, name, panel) for name, panel in text.panels.items()}
    extent = max(panel.slow[1] for panel in panels.values()), max(panel.fast[1] for panel in panels.values())
    check_pixels(text.path, extent)
    return panels, extent


def _panel(path: Path, name: str, panel: Any) -> Panel:
    odd = [entry for entry in panel["dim_structure"] if isinstance(entry, int) and entry != 0]
    order = [entry for entry in panel["dim_structure"] if entry in ("ss", "fs")]
    if odd or order != ["ss", "fs"]:
        raise GeometryError(
            f"{path}: panel {name} has the dimensions {panel['dim_structure']}; crystint reads frames "
            "(slow, fast), that is % ss fs, and no stacks of modules"
        )
    pixel = 1.0 / panel["res"]
    fast = pixel * np.array([panel["fsx"], panel["fsy"], panel["fsz"]])
    slow = pixel * np.array([panel["ssx"], panel["ssy"], panel["ssz"]])
    length = panel["clen"] if np.isfinite(panel["clen"]) and not panel["clen_from"] else 0.0
    origin = np.array([panel["cnx"] * pixel, panel["cny"] * pixel, length + panel["coffset"]])
    return Panel(
        (panel["orig_min_ss"], panel["orig_max_ss"] + 1),
        (panel["orig_min_fs"], panel["orig_max_fs"] + 1),
        tuple(origin),
        tuple(slow),
        tuple(fast),
    )
