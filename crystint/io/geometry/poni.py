"""pyFAI's PONI files, versions 1, 2, 2.1 and 3, read and written."""

from __future__ import annotations

import json
import math
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import numpy as np

from crystint.errors import GeometryError, unreadable
from crystint.io.frames.library_log import log_messages
from crystint.io.geometry.lab_frame import geometry_in_lab
from crystint.model.geometry import Geometry, Panel
from crystint.model.panels import rotation_matrix

__all__ = ["poni_text", "read_poni"]


def read_poni(path: Path, shape: tuple[int, int] | None, beam_outside: bool) -> Geometry:
    """Geometry of a PONI file; where it was appended to, the last calibration counts.

    A named detector (``Detector: Eiger4M``) gets its shape and pixel size from pyFAI. The four orientations
    of version 2.1 are turned into PONI's default, 3: every map of crystint is the same, but the rotations
    differ from the file's.

    Raises
    ------
    GeometryError
        When a value is missing or impossible, or the detector is not flat or unknown, or pyFAI is needed to
        know it.
    FileError
        When the file cannot be read.
    """
    values = _values(path)
    try:
        distance = float(values.get("distance") or values["dist"])
        poni = float(values["poni1"]), float(values["poni2"])
        rotation = tuple(float(values.get(f"rot{axis}") or 0.0) for axis in (1, 2, 3))
        told = values.get("wavelength", "")
        wavelength = float(told) * 1e10 if told and told.lower() != "none" else None
    except (KeyError, ValueError) as error:
        raise GeometryError(f"{path}: a PONI file needs distance, poni1 and poni2 as numbers ({error})") from None
    if values.get("parallax", "").lower() == "true":
        raise GeometryError(f"{path} asks for the parallax correction, which crystint does not have")
    try:
        detector_shape, pixel, orientation = _detector(path, values)
    except (TypeError, ValueError, IndexError) as error:
        if isinstance(error, GeometryError):
            raise
        raise GeometryError(f"{path}: Detector_config has a value that is no number ({error})") from None
    found_shape = detector_shape or shape
    if found_shape is None:
        raise GeometryError(
            f"{path} does not tell the detector's shape; give the shape (slow, fast), or max_shape in Detector_config"
        )
    try:
        if orientation == 3:
            return Geometry(
                shape=found_shape,
                pixel_size=pixel,
                distance=distance,
                beam_center=(poni[0] / pixel[0], poni[1] / pixel[1]),
                wavelength=wavelength,
                rotation=(rotation[0], rotation[1], rotation[2]),
                beam_outside=beam_outside,
            )
        return _turned(found_shape, pixel, distance, poni, rotation, orientation, wavelength, beam_outside)
    except GeometryError as error:
        raise GeometryError(f"{path}: {error}") from error


def _turned(
    shape: tuple[int, int],
    pixel: tuple[float, float],
    distance: float,
    poni: tuple[float, float],
    rotation: tuple[float, ...],
    orientation: int,
    wavelength: float | None,
    beam_outside: bool,
) -> Geometry:
    """Orientations 1, 2 and 4: the axis counts from its end (1: both, 2: the slow, 4: the fast one)."""
    matrix = rotation_matrix((rotation[0], rotation[1], rotation[2]))[[1, 0, 2]]  # rows x, y, z
    first = (
        [shape[0] * pixel[0], 0.0][orientation not in (1, 2)],
        [shape[1] * pixel[1], 0.0][orientation not in (1, 4)],
    )
    step = [-pixel[0], pixel[0]][orientation not in (1, 2)], [-pixel[1], pixel[1]][orientation not in (1, 4)]
    origin = matrix @ np.array([first[0] - poni[0], first[1] - poni[1], distance])
    panel = Panel(
        (0, shape[0]),
        (0, shape[1]),
        tuple(origin),
        tuple(matrix[:, 0] * step[0]),
        tuple(matrix[:, 1] * step[1]),
    )
    return geometry_in_lab([panel], shape, wavelength=wavelength, beam_outside=beam_outside)


def _values(path: Path) -> dict[str, str]:
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError as error:
        raise unreadable(path, error) from error
    values = {}
    for line in lines:
        key, colon, value = line.partition(":")
        if colon and not line.startswith("#"):
            values[key.strip().lower()] = value.strip()
    return values


def _detector(path: Path, values: dict[str, str]) -> tuple[tuple[int, int] | None, tuple[float, float], int]:
    """(shape or None, pixel size, orientation) of the detector that a PONI file names."""
    name = values.get("detector", "Detector")
    try:
        config: dict[str, Any] = json.loads(values.get("detector_config") or "{}")
    except ValueError as error:
        raise GeometryError(f"{path}: Detector_config is no JSON ({error})") from None
    if not isinstance(config, dict):
        raise GeometryError(f"{path}: Detector_config is {str(config)[:60]}, expected a JSON object")
    if "pixelsize1" in values:
        config.setdefault("pixel1", float(values["pixelsize1"]))
        config.setdefault("pixel2", float(values.get("pixelsize2") or values["pixelsize1"]))
    orientation = int(config.get("orientation") or 3)
    if orientation not in (1, 2, 3, 4):
        raise GeometryError(f"{path}: the detector's orientation is {orientation}, expected 1 to 4")
    if values.get("splinefile", "none").lower() != "none" or config.get("splineFile"):
        raise GeometryError(f"{path}: the detector has a distortion spline; crystint takes flat, regular detectors")
    generic = name.lower() in ("detector", "none", "") and "binning" not in config
    return *(_described(path, config) if generic else _named(path, name or "Detector", config)), orientation


def _described(path: Path, config: dict[str, Any]) -> tuple[tuple[int, int] | None, tuple[float, float]]:
    """Shape and pixel size as Detector_config has them."""
    if not config.get("pixel1") or not config.get("pixel2"):
        raise GeometryError(f"{path} does not tell the pixel size of its detector")
    return _shape(config.get("max_shape")), (float(config["pixel1"]), float(config["pixel2"]))


def _shape(shape: Any) -> tuple[int, int] | None:
    return (int(shape[0]), int(shape[1])) if shape else None


def _registered(name: str) -> str | None:
    """The name by which pyFAI makes that detector; None when it has none of that name.

    Raises
    ------
    ImportError
        Without pyFAI.
    """
    from pyFAI.detectors import ALL_DETECTORS

    by_class = {detector.__name__.lower(): detector.__name__ for detector in ALL_DETECTORS.values()}
    for each in (name.lower(), name.lower().replace(" ", "_")):
        if each in ALL_DETECTORS or each in by_class:
            return str(by_class.get(each, each))
    return None


def _unknown(path: Path, name: str) -> GeometryError:
    """What is said of a name that pyFAI does not know."""
    from pyFAI.detectors import ALL_DETECTORS

    like = get_close_matches(name.lower(), ALL_DETECTORS, 3)
    hint = f" (did you mean {' or '.join(like)}?)" if like else ""
    return GeometryError(
        f"{path}: pyFAI knows no detector {name[:60]!r}{hint}; pixel1, pixel2 and max_shape in Detector_config "
        "describe any flat one"
    )


def _named(path: Path, name: str, config: dict[str, Any]) -> tuple[tuple[int, int] | None, tuple[float, float]]:
    """Shape and pixel size, as binned, of a detector that pyFAI knows by name."""
    whole = bool(config.get("pixel1") and config.get("pixel2") and config.get("max_shape"))
    try:
        registered = _registered(name)
    except ImportError:
        if whole:
            return _described(path, config)
        raise GeometryError(
            f"{path} names the detector {name[:60]}, which pyFAI knows and crystint does not: "
            "pip install 'crystint[pyfai]'"
        ) from None
    if registered is None:
        if whole:
            return _described(path, config)
        raise _unknown(path, name)
    detector = _made(path, registered, config)
    pixel = detector.pixel1, detector.pixel2
    if not pixel[0] or not pixel[1]:
        raise GeometryError(f"{path} does not tell the pixel size of the detector {name}")
    return _shape(detector.shape or detector.max_shape), (float(pixel[0]), float(pixel[1]))


def _made(path: Path, name: str, config: dict[str, Any]) -> Any:
    """pyFAI's detector; its binning is that of the pixel size in the file."""
    from pyFAI.detectors import detector_factory

    try:
        with log_messages("pyFAI"):
            detector = detector_factory(
                name, {key: value for key, value in config.items() if value is not None} or None
            )
    except Exception as error:  # pyFAI raises RuntimeError, TypeError and others here
        raise GeometryError(f"{path}: pyFAI cannot make the detector {name} as given ({str(error)[:200]})") from error
    if not (detector.IS_FLAT and detector.uniform_pixel):
        raise GeometryError(
            f"{path}: {name} is not one flat grid of equal pixels, and a PONI file has no panels; give them as a "
            "CrystFEL geometry (.geom)"
        )
    return detector


def poni_text(geometry: Geometry) -> str:
    """The geometry as the text of a PONI file of version 2.1. Polarization has no place in it.

    Raises
    ------
    GeometryError
        When it has several panels.
    """
    if geometry.panels is not None:
        raise GeometryError("a PONI file holds one flat detector, and this geometry has several panels")
    pixel, center = geometry.pixel_size, geometry.beam_center
    config = {"pixel1": pixel[0], "pixel2": pixel[1], "max_shape": list(geometry.shape), "orientation": 3}
    lines = [
        "# written by crystint; 1 is the slow axis, 2 the fast axis; lengths in m, angles in rad",
        "poni_version: 2.1",
        "Detector: Detector",
        f"Detector_config: {json.dumps(config)}",
        f"Distance: {geometry.distance!r}",
        f"Poni1: {center[0] * pixel[0]!r}",
        f"Poni2: {center[1] * pixel[1]!r}",
        *(f"Rot{axis}: {angle!r}" for axis, angle in enumerate(geometry.rotation, start=1)),
    ]
    if geometry.wavelength is not None and math.isfinite(geometry.wavelength):
        lines.append(f"Wavelength: {geometry.wavelength * 1e-10!r}")
    return "\n".join(lines) + "\n"
