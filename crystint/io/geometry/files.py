"""Geometry files of every kind that crystint reads; which one it is, is told by content and name."""

from __future__ import annotations

import json
from collections.abc import Mapping
from os import PathLike
from pathlib import Path
from typing import Any

from crystint.errors import FileError, GeometryError
from crystint.io.frames.readers import file_kind
from crystint.io.frames.sequence import open_frames
from crystint.io.frames.stacks import open_stack_file
from crystint.io.geometry.crystfel import read_geom
from crystint.io.geometry.nexus import nexus_geometry
from crystint.io.geometry.poni import poni_text, read_poni
from crystint.io.outputs import atomic_path
from crystint.model.geometry import Geometry

__all__ = ["read_geometry", "write_geometry"]

_KNOWN = "PONI (.poni), CrystFEL (.geom), crystint's own .json, CBF with a header, NXmx or DECTRIS HDF5 masters"


def read_geometry(
    path: str | PathLike[str], *, shape: tuple[int, int] | None = None, beam_outside: bool = False
) -> Geometry:
    """Read the geometry of a detector.

    Parameters
    ----------
    path : path
        PONI file, CrystFEL geometry, JSON of `Geometry.to_dict`, or a frame (CBF, PILATUS TIFF, HDF5
        master) that tells its geometry.
    shape : (slow, fast), optional
        Of the frames; needed where the file does not tell it (PONI files without a detector's shape).
    beam_outside : bool
        Allow a direct beam that misses the frame, as of a detector that stands beside the beam.

    Raises
    ------
    FileError
        When the file is missing, damaged or of an unknown kind.
    GeometryError
        When it does not hold a whole geometry, or an impossible one.
    """
    path = Path(path)
    kind = file_kind(path)
    suffix = path.suffix.lower()
    if kind in ("cbf", "tiff", "hdf5"):
        return _from_frames(path, shape, beam_outside)
    if suffix == ".json":
        return _from_json(path, beam_outside)
    if suffix == ".geom":
        return read_geom(path, shape, beam_outside)
    if suffix == ".poni":
        return read_poni(path, shape, beam_outside)
    text = path.read_text(encoding="utf-8", errors="replace").lower()
    if "poni1:" in text and "poni2:" in text:
        return read_poni(path, shape, beam_outside)
    if "/min_fs" in text or "/corner_x" in text:
        return read_geom(path, shape, beam_outside)
    raise FileError(f"{path} is no geometry that crystint knows; it reads {_KNOWN}")


def _from_frames(path: Path, shape: tuple[int, int] | None, beam_outside: bool) -> Geometry:
    """The geometry that a file of frames tells."""
    if file_kind(path) == "hdf5" and shape is not None:
        with open_stack_file(path) as file:
            geometry = nexus_geometry(file, shape, str(path), beam_outside=beam_outside)
    else:
        with open_frames(path) as frames:
            geometry = frames.read_geometry(beam_outside=beam_outside)
    if geometry is None:
        raise GeometryError(f"{path} does not tell beam centre, distance and pixel size; give another geometry file")
    return geometry


def _from_json(path: Path, beam_outside: bool) -> Geometry:
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise FileError(f"{path} is no JSON: {error}") from None
    if not isinstance(values, dict):
        raise GeometryError(f"{path} holds no geometry: expected an object with shape, pixel_size, distance, ...")
    try:
        values.pop("provenance", None)
        return Geometry.from_dict(values | ({"beam_outside": True} if beam_outside else {}))
    except GeometryError as error:
        raise GeometryError(f"{path}: {error}") from error


def write_geometry(
    path: str | PathLike[str],
    geometry: Geometry,
    *,
    overwrite: bool = False,
    provenance: Mapping[str, Any] | None = None,
) -> None:
    """Write a PONI file (.poni: one flat detector, without polarization) or JSON (.json: everything).

    Parameters
    ----------
    provenance : mapping, optional
        Where it comes from (`crystint.io.hdf5.provenance.provenance`): in JSON an entry, in a PONI file a comment.

    Raises
    ------
    FileError
        For another suffix, and as `crystint.io.outputs.atomic_path`.
    GeometryError
        When a PONI file cannot hold it.
    """
    path = Path(path)
    if path.suffix.lower() == ".poni":
        text = poni_text(geometry)
        if provenance is not None:
            text += f"# {json.dumps({'provenance': provenance})}\n"
    elif path.suffix.lower() == ".json":
        values = geometry.to_dict() | ({} if provenance is None else {"provenance": provenance})
        text = json.dumps(values, indent=2) + "\n"
    else:
        raise FileError(f"{path}: a geometry is written as .poni or .json")
    with atomic_path(path, overwrite) as temporary:
        temporary.write_text(text, encoding="utf-8")
