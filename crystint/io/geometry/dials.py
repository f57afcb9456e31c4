"""Geometry, scan and sensor in an experiment list of DIALS (.expt), with or without crystals.

Its laboratory has the beam along any direction; vectors are turned into that of `Geometry`.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crystint.errors import FileError, GeometryError
from crystint.io.geometry.lab_frame import geometry_in_lab, lab_axes, pseudovector
from crystint.io.guard import reads_file
from crystint.io.reflections.dials_detector import detector_of
from crystint.io.reflections.dials_rotation import oscillation_of
from crystint.model.instrument import Instrument
from crystint.model.partial_geometry import PartialGeometry
from crystint.model.scan import Scan

__all__ = ["expt_geometry", "expt_scan"]

_EPOCH = 1e8
"""s: epochs below are counted from the start of the scan"""
_MOST_IMAGES = 10**6


@reads_file
def expt_geometry(path: Path) -> tuple[tuple[int, int], PartialGeometry]:
    """Shape (slow, fast) of the frames and their geometry: detector and beam of all experiments, which must be one.

    Raises
    ------
    FileError
        When it is damaged.
    GeometryError
        When its experiments have several detectors or beams.
    """
    content = _content(path)
    beam, detector = (_only(content, kind, path) for kind in ("beam", "detector"))
    place = detector_of(detector)
    towards, horizontal = _directions(beam)
    fraction = beam.get("polarization_fraction")
    geometry = geometry_in_lab(
        place.panels,
        place.shape,
        beam=towards,
        horizontal=horizontal,
        wavelength=float(beam["wavelength"]) if "wavelength" in beam else None,
        polarization=None if fraction is None else 2.0 * float(fraction) - 1.0,
        beam_outside=True,
    )
    return place.shape, PartialGeometry.of_axes(geometry, "detector and beam of the experiments")


@reads_file
def expt_scan(path: Path) -> tuple[Scan | None, Instrument]:
    """The one scan of its experiments, an image for each frame, and what it tells of the sensor.

    None where there is no scan, or several.
    """
    content = _content(path)
    detector = _only(content, "detector", path)
    panel = detector["panels"][0]
    gain = float(panel.get("gain") or 0.0)
    instrument = Instrument(
        material=panel.get("material") or None,
        thickness=1e-3 * float(panel.get("thickness") or 0.0) or None,
        gain=gain if gain not in (0.0, 1.0) else None,
        detector=panel.get("identifier") or None,
    )
    scans = {entry.get("scan") for entry in content["experiment"]}
    gonios = {entry.get("goniometer") for entry in content["experiment"]}
    if len(scans) != 1 or len(gonios) != 1 or None in scans | gonios:
        return None, instrument
    scan, gonio = content["scan"][scans.pop()], content["goniometer"][gonios.pop()]
    towards, horizontal = _directions(_only(content, "beam", path))
    lab = lab_axes(detector_of(detector).panels[0], towards, horizontal)
    first, last = (int(value) for value in scan["image_range"])
    images = last - first + 1
    if not 0 < images <= _MOST_IMAGES:
        raise FileError(f"{path}: its scan claims {images} images, expected 1 to {_MOST_IMAGES}")
    names, vectors, still, turning = _axes(gonio)
    start, width = oscillation_of(scan)
    angles = np.repeat(np.array(still, dtype=np.float64)[:, None], images, axis=1)
    angles[turning] = start + width * np.arange(images)
    properties = scan.get("properties", scan)
    exposure = _each(properties.get("exposure_time"), images)
    times = _each(properties.get("epochs"), images)
    return (
        Scan(
            tuple(names),
            np.array([pseudovector(lab, vector) for vector in vectors]),
            angles,
            turning,
            np.full(images, width),
            exposure=np.where(exposure > 0.0, exposure, np.nan),
            times=np.where(times > _EPOCH, times, np.nan),
        ),
        instrument,
    )


def _content(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(Path(path).read_text(encoding="utf-8"))
    except ValueError as error:
        raise FileError(f"{path} is damaged or not an experiment list: {error}") from error
    if not isinstance(content, dict) or content.get("__id__") != "ExperimentList" or not content.get("experiment"):
        raise FileError(f"{path} is no experiment list of DIALS with an experiment")
    return content


def _only(content: dict[str, Any], kind: str, path: Path) -> Any:
    """The model that all experiments have; models that say the same are one."""
    numbers = {entry.get(kind) for entry in content["experiment"]}
    if None in numbers:
        raise GeometryError(f"{path}: an experiment has no {kind}")
    models = {json.dumps(content[kind][number], sort_keys=True) for number in numbers}
    if len(models) > 1:
        raise GeometryError(f"{path} has {len(models)} {kind}s; split it (dials.split_experiments) and give one")
    return json.loads(models.pop())


def _directions(beam: dict[str, Any]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Where the beam goes, and the direction of its polarization."""
    towards = -np.array(beam["direction"], dtype=np.float64)
    return towards, np.cross(np.array(beam.get("polarization_normal", (0.0, 1.0, 0.0)), dtype=np.float64), towards)


def _axes(gonio: dict[str, Any]) -> tuple[list[str], list[Any], list[float], int]:
    """Names, vectors and angles of axes, and which of them turns; fixed and setting rotations are axes of their own."""
    if "axes" in gonio:
        names = [str(name) or f"axis_{number}" for number, name in enumerate(gonio["names"])]
        return names, gonio["axes"], [float(angle) for angle in gonio["angles"]], int(gonio["scan_axis"])
    from scipy.spatial.transform import Rotation as Turn  # takes a fifth of a second, which few files need

    names, vectors, angles = [], [], []
    for name in ("fixed_rotation", "rotation_axis", "setting_rotation"):
        if name == "rotation_axis":
            turning = len(names)
            names.append("omega")
            vectors.append(gonio[name])
            angles.append(0.0)
            continue
        turn = Turn.from_matrix(np.array(gonio.get(name, np.eye(3)), dtype=np.float64).reshape(3, 3)).as_rotvec()
        angle = float(np.linalg.norm(turn))
        if angle > 1e-9:
            names.append(name)
            vectors.append((turn / angle).tolist())
            angles.append(float(np.degrees(angle)))
    return names, vectors, angles, turning


def _each(values: Any, images: int) -> NDArray[np.float64]:
    """A value for each image; NaN where they are not told."""
    listed = np.array(values if values is not None else [], dtype=np.float64).reshape(-1)
    return listed if len(listed) == images else np.full(images, np.nan)
