"""Geometry files of every kind that crystint reads; recognised by content and name."""

from __future__ import annotations

import json
from collections.abc import Mapping
from os import PathLike
from pathlib import Path
from typing import Any

from crystint.errors import FileError, GeometryError
from crystint.io.frames.sequence import Frames
from crystint.io.frames.sources import reader_of
from crystint.io.frames.stack_parts import frame_shape
from crystint.io.geometry.crystfel import read_geom
from crystint.io.geometry.detector_group import detector_of
from crystint.io.geometry.dials import expt_geometry
from crystint.io.geometry.nexus import nexus_geometry
from crystint.io.geometry.poni import poni_text, read_poni
from crystint.io.guard import reads_file
from crystint.io.kinds import NEVER_FRAMES, opened_kind, unexpected
from crystint.io.limits import check_pixels
from crystint.io.opened_file import OpenedFile
from crystint.io.outputs import atomic_path
from crystint.io.recognise import experiments
from crystint.io.recognise import geometry as form_of
from crystint.model.geometry import Geometry
from crystint.model.partial_geometry import PartialGeometry

__all__ = ["geometry_in", "partial_geometry_in", "read_geometry", "write_geometry"]

_KNOWN = "PONI (.poni), CrystFEL (.geom), DIALS (.expt), crystint's .json, CBF with a header, NXmx or DECTRIS masters"


@reads_file
def read_geometry(
    path: str | PathLike[str], *, shape: tuple[int, int] | None = None, beam_outside: bool = False
) -> Geometry:
    """Read the geometry of a detector.

    Parameters
    ----------
    path : path
        PONI file, CrystFEL geometry, experiments of DIALS, JSON of `Geometry.to_dict`, or a frame (CBF, PILATUS TIFF,
        HDF5 master) that tells its geometry.
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
    with OpenedFile(path) as file:
        return geometry_in(file, shape, beam_outside=beam_outside)


@reads_file
def geometry_in(file: OpenedFile, shape: tuple[int, int] | None = None, *, beam_outside: bool = False) -> Geometry:
    """As `read_geometry`, of a file that is open."""
    shape, partial = partial_geometry_in(file, shape, beam_outside=beam_outside)
    geometry = partial.whole(shape, str(file.path), beam_outside=beam_outside)
    if geometry is None:
        raise GeometryError(
            f"{file.path} does not tell {', '.join(partial.missing).replace('_', ' ')}{partial.reasons}; give another "
            "geometry file"
        )
    return geometry


@reads_file
def partial_geometry_in(
    file: OpenedFile, shape: tuple[int, int] | None = None, *, beam_outside: bool = True
) -> tuple[tuple[int, int], PartialGeometry]:
    """Shape (slow, fast) of the frames, and what an open file tells of their geometry, with the places of that in it.

    Raises
    ------
    FileError
        When the file is damaged or of an unknown kind.
    GeometryError
        When what it holds makes no geometry.
    """
    if file.hdf5 is not None:  # of which no frame need be there
        if opened_kind(file, NEVER_FRAMES) is not None:
            raise unexpected(file, "frames")
        own, frames = (shape, file.dataset) if shape is not None else frame_shape(file.hdf5, str(file.path))
        return own, nexus_geometry(file.hdf5, detector_of(file.hdf5, frames, own), own, str(file.path))
    if _holds_frames(file):
        with Frames([reader_of(file)], [str(file.path)]) as opened:
            return opened.shape, opened.partial_geometry()
    own, partial = _geometry_file(file, shape, beam_outside)
    check_pixels(file.path, own)
    return own, partial


def _holds_frames(file: OpenedFile) -> bool:
    """Whether it is a file of frames with a header that may tell the geometry."""
    if file.container in ("cbf", "tiff"):
        return True
    recognised = opened_kind(file)
    return recognised is not None and recognised.name == "frames" and file.container != "npy"


def _geometry_file(
    file: OpenedFile, shape: tuple[int, int] | None, beam_outside: bool
) -> tuple[tuple[int, int], PartialGeometry]:
    """Shape and content of a file that is a geometry and nothing else."""
    path = file.path
    if experiments(file) is not None:
        return expt_geometry(path)
    form = form_of(file)
    if form == "PONI":
        return _whole(read_poni(path, shape, beam_outside), form)
    if form == "CrystFEL":
        return read_geom(path, shape, beam_outside)
    if form == "JSON" or (file.suffix == ".json" and file.text.lstrip()[:1] != "{"):
        return _whole(_from_json(path, beam_outside), "JSON")
    text = path.read_text(encoding="utf-8", errors="replace").lower() if file.text else ""
    if "/min_fs" in text or "/corner_x" in text:  # behind a long beginning
        return read_geom(path, shape, beam_outside)
    recognised = opened_kind(file)
    if file.suffix == ".json" and (recognised is None or recognised.name == "geometry"):
        return _whole(_from_json(path, beam_outside), "JSON")
    raise unexpected(file, "geometry", f"{path} is no geometry that crystint knows; it reads {_KNOWN}")


def _whole(geometry: Geometry, form: str) -> tuple[tuple[int, int], PartialGeometry]:
    return geometry.shape, PartialGeometry.of(geometry, form)


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
