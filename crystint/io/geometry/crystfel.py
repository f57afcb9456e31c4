"""CrystFEL geometry files (.geom), parsed by cfelpyutils."""

from __future__ import annotations

import contextlib
import io
import re
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crystint.errors import GeometryError, unreadable
from crystint.io.geometry.lab_frame import geometry_in_lab
from crystint.io.hdf5.nexus_values import Quantity
from crystint.model.geometry import Geometry, Panel
from crystint.units import wavelength_of

__all__ = ["geom_mask", "parse_geom", "read_geom"]


def read_geom(path: Path, shape: tuple[int, int] | None, beam_outside: bool) -> Geometry:
    """Geometry of a CrystFEL file: its panels in the frame that they are read from.

    CrystFEL's laboratory is right-handed with z along the beam and y up; corner_x and corner_y are the very
    corner of a panel's first pixel, in px. Panels that make one flat grid become one flat detector.

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
        When clen is a place in the data files and not a number; when a
        panel is a plane of a stack of modules; when a value is missing.
    FileError
        When the file cannot be read.
    """
    text, parsed = _load(path)
    panels = [_panel(path, name, panel) for name, panel in parsed.detector["panels"].items()]
    extent = max(panel.slow[1] for panel in panels), max(panel.fast[1] for panel in panels)
    if shape is not None and (shape[0] < extent[0] or shape[1] < extent[1]):
        raise GeometryError(f"{path}: the panels reach to {extent} (slow, fast), beyond a frame of {shape}")
    try:
        return geometry_in_lab(panels, shape or extent, wavelength=_wavelength(path, text), beam_outside=beam_outside)
    except GeometryError as error:
        raise GeometryError(f"{path}: {error}") from error


def _load(path: Path) -> tuple[str, Any]:
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise unreadable(path, error) from error
    return text, parse_geom(text, path)


def parse_geom(text: str, path: Path) -> Any:
    """The text of a geometry as cfelpyutils understands it; `path` is for messages.

    Raises
    ------
    GeometryError
        When the text is no geometry.
    """
    with warnings.catch_warnings():  # of the TypedDict that it builds on
        warnings.simplefilter("ignore", DeprecationWarning)
        from cfelpyutils.geometry import load_crystfel_geometry
    messages = io.StringIO()
    try:
        with contextlib.redirect_stdout(messages), contextlib.redirect_stderr(messages):
            parsed = load_crystfel_geometry(io.StringIO(_tolerant(text)))
    except SystemExit:
        raise GeometryError(f"{path} is not a valid CrystFEL geometry: {messages.getvalue().strip()}") from None
    except Exception as error:  # cfelpyutils raises what its parsing raises
        raise GeometryError(f"{path} is not a valid CrystFEL geometry: {error}") from error
    return parsed


def _tolerant(text: str) -> str:
    """The text with what cfelpyutils does not know put in its terms: units after a length or an energy."""
    lines = []
    for line in text.splitlines():
        match = re.match(
            r"\s*((?:[^\s;=]+/)?(clen|coffset|photon_energy))\s*=\s*([-+.\deE]+)\s*([A-Za-zµ]+)\s*(?:;.*)?$",
            line,
        )
        if match:
            scale = Quantity(float(match[3]), match[4].lower())
            value = scale.electronvolts if match[2] == "photon_energy" else scale.metres
            line = f"{match[1]} = {value!r}"
        lines.append(line)
    if not re.search(r"^\s*(?:[^\s;=]+/)?adu_per_(?:photon|eV)\s*=", text, re.MULTILINE):
        lines.insert(0, "adu_per_photon = 1")
    return "\n".join(lines) + "\n"


def _panel(path: Path, name: str, panel: Any) -> Panel:
    if panel["clen_from"]:
        raise GeometryError(
            f"{path}: clen of panel {name} is {panel['clen_from']}, a place in the data files; write the distance in m"
        )
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
    origin = np.array([panel["cnx"] * pixel, panel["cny"] * pixel, panel["clen"] + panel["coffset"]])
    return Panel(
        (panel["orig_min_ss"], panel["orig_max_ss"] + 1),
        (panel["orig_min_fs"], panel["orig_max_fs"] + 1),
        tuple(origin),
        tuple(slow),
        tuple(fast),
    )


def _wavelength(path: Path, text: str) -> float | None:
    """Wavelength in angstrom from `wavelength` or `photon_energy`; None when it is in the data files or
    absent."""
    number = r"([-+]?[\d.]+(?:[eE][-+]?\d+)?)\s*([A-Za-zµ]*)"
    wave = re.search(rf"^\s*wavelength\s*=\s*{number}", text, re.MULTILINE)
    if wave:
        unit = wave[2].lower() or "m"
        metres = Quantity(float(wave[1]), unit).metres
        if metres is None:
            raise GeometryError(f"{path}: the wavelength is in {wave[2]!r}, expected m or A")
        return metres * 1e10
    energy = re.search(rf"^\s*photon_energy\s*=\s*{number}", text, re.MULTILINE)
    if energy and float(energy[1]) > 0.0:
        return wavelength_of(Quantity(float(energy[1]), energy[2].lower()).electronvolts)
    return None


def geom_mask(path: Path, shape: tuple[int, int] | None = None) -> NDArray[np.uint32]:
    """uint32 [slow, fast]: 1 in no panel, 0x100 in the bad regions, whether given in fs and ss or in x and y.

    Raises
    ------
    GeometryError, FileError
        As `read_geom`.
    """
    _, parsed = _load(path)
    panels = {name: _panel(path, name, panel) for name, panel in parsed.detector["panels"].items()}
    extent = max(panel.slow[1] for panel in panels.values()), max(panel.fast[1] for panel in panels.values())
    mask = np.ones(shape or extent, dtype=np.uint32)
    for panel in panels.values():
        mask[panel.slices] = 0
    for bad in parsed.detector["bad"].values():
        region = np.zeros(mask.shape, dtype=bool)
        if not bad["is_fsss"]:
            for name, panel in parsed.detector["panels"].items():
                rows, columns = panels[name].slices
                ss, fs = np.mgrid[: rows.stop - rows.start, : columns.stop - columns.start] + 0.5
                x = panel["cnx"] + fs * panel["fsx"] + ss * panel["ssx"]
                y = panel["cny"] + fs * panel["fsy"] + ss * panel["ssy"]
                inside = (x >= bad["min_x"]) & (x <= bad["max_x"]) & (y >= bad["min_y"]) & (y <= bad["max_y"])
                region[rows, columns] |= inside
            mask[region] |= 0x100
            continue
        region[bad["min_ss"] : bad["max_ss"] + 1, bad["min_fs"] : bad["max_fs"] + 1] = True
        if bad["panel"]:
            inside = np.zeros(mask.shape, dtype=bool)
            inside[panels[bad["panel"]].slices] = True
            region &= inside
        mask[region] |= 0x100
    return mask
