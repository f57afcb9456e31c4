"""Experiments of DIALS (.expt, and .json of before 2019) as an `Experiment`.

The layout is that of dxtbx's ExperimentList: lists of models, and experiments that name one of each. Directions of
beams point to the source. Crystals have rows a, b, c; on rotation data the setting at an angle is
S R(angle) F A, with A itself changing where there are ``A_at_scan_points``.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import gemmi
import numpy as np
from numpy.typing import NDArray

from crystint.errors import FileError, GeometryError, ShapeError, unreadable, warn
from crystint.io.frames.image_files import ImageFiles
from crystint.io.guard import reads_file
from crystint.io.reflections.dials_detector import detector_of
from crystint.io.reflections.dials_rotation import Rotation, rotation_of
from crystint.model.cells import common_cell
from crystint.model.experiment import Detector, Experiment
from crystint.model.plausible import implausible

__all__ = [
    "beam_points",
    "image_range",
    "is_experiment_list",
    "lattice_points",
    "model_of",
    "read_content",
    "read_expt",
]

_POLARIZED = 0.999
_MOST_IMAGES = 10**6
"""That scans may claim: each takes some hundred bytes of memory and none of the file."""


def is_experiment_list(path: str | Path) -> bool:
    """Whether a file looks like an experiment list: JSON that says so near its beginning or end."""
    try:
        with Path(path).open("rb") as file:
            head = file.read(4096)
            file.seek(max(0, file.seek(0, 2) - 4096))
            tail = file.read()
    except OSError:
        return False
    return head.lstrip()[:1] == b"{" and b'"ExperimentList"' in head + tail


@reads_file
def read_expt(path: str | Path) -> Experiment:
    """Every image of every experiment that has a crystal, in the order of the file.

    `group` is the number of the experiment, ``id`` in reflection tables. `frame` is the array index of DIALS on
    data with a scan (z of reflection tables, image number - 1); for stills without one the number in the HDF5
    file, or of the file among those of the list. Panels become parts of one frame: by their ``raw_image_offset``
    where those differ, else one below the other.

    Raises
    ------
    FileError
        When it is missing, damaged, or lacks a model that is needed.
    """
    path = Path(path)
    content = read_content(path)
    try:
        return _experiment(path, content)
    except (GeometryError, ShapeError) as error:
        raise FileError(f"{path}: {error}") from error


def read_content(path: Path) -> dict[str, Any]:
    """The JSON of an experiment list.

    Raises
    ------
    FileError
        When it is missing, damaged or something else.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise unreadable(path, error) from error
    except ValueError as error:
        raise FileError(f"{path} is damaged or not an experiment list: {error}") from error
    if not isinstance(content, dict) or content.get("__id__") != "ExperimentList":
        raise FileError(f"{path} is no experiment list of DIALS (an .expt file)")
    return content


def _experiment(path: Path, content: dict[str, Any]) -> Experiment:
    files = ImageFiles(content)
    detectors: dict[str, int] = {}
    models: list[Detector] = []
    parts: list[dict[str, Any]] = []
    groups: set[str] = set()
    without: list[int] = []
    unpolarized = total = 0
    for number, entry in enumerate(content["experiment"]):
        crystal = model_of(content, entry, "crystal")
        if crystal is None:
            without.append(number)
            continue
        beam, detector = model_of(content, entry, "beam"), model_of(content, entry, "detector")
        if beam is None or detector is None:
            what = "beam" if beam is None else "detector"
            raise FileError(f"{path}: experiment {number} has no {what}; write it with dials.import or dials.index")
        key = json.dumps(detector, sort_keys=True)
        if key not in detectors:
            detectors[key] = len(models)
            models.append(detector_of(detector))
        scan = model_of(content, entry, "scan")
        rotation = rotation_of(scan, model_of(content, entry, "goniometer"))
        images = range(*image_range(scan)) if scan is not None else range(1, 2)
        total += len(images)
        if total > _MOST_IMAGES:
            raise FileError(f"{path}: its scans claim {total} images and more, expected {_MOST_IMAGES} at most")
        setting, sweep = _settings(number, crystal, rotation, len(images))
        frame, name, source = files.of(entry, number, images if scan is not None else None)
        groups.add(crystal["space_group_hall_symbol"])
        unpolarized += "polarization_fraction" not in beam
        fraction = float(beam.get("polarization_fraction", _POLARIZED))
        parts.append(
            {
                "setting": setting,
                "sweep": sweep,
                "incident": _incident(beam, len(images)),
                "detector": np.full(len(images), detectors[key]),
                "frame": frame,
                "group": np.full(len(images), number),
                "name": name,
                "source": source,
                "turns": rotation is not None,
                "polarization": (tuple(beam.get("polarization_normal", (0.0, 1.0, 0.0))), fraction),
            }
        )
    if unpolarized:
        warn(f"a beam says nothing of polarization; {_POLARIZED} is taken, as DIALS does")
    if not parts:
        raise FileError(f"{path} has no crystal in any of its {len(without)} experiments; index the images first")
    if without:
        warn(f"{path}: {len(without)} experiments without a crystal are left out, the first is {without[0]}")
    if len({part["polarization"] for part in parts}) > 1:
        warn(f"{path}: the beams differ in polarization; that of the first is used")
    if len(groups) > 1:
        raise FileError(
            f"{path}: its crystals have the space groups {' and '.join(sorted(groups))}; reindex them to one"
        )
    setting = np.concatenate([part["setting"] for part in parts])
    group = _space_group(path, groups.pop())
    normal, fraction = parts[0]["polarization"]
    return Experiment(
        setting=setting,
        incident=np.concatenate([part["incident"] for part in parts]),
        detectors=tuple(models),
        cell=common_cell(setting, group),
        space_group=group,
        detector=np.concatenate([part["detector"] for part in parts]),
        sweep=np.concatenate([part["sweep"] for part in parts]) if any(part["turns"] for part in parts) else None,
        frame=np.concatenate([part["frame"] for part in parts]),
        group=np.concatenate([part["group"] for part in parts]),
        name=tuple(name for part in parts for name in part["name"]),
        source=tuple(source for part in parts for source in part["source"]),
        polarization_normal=normal,
        polarization_fraction=fraction,
    )


def model_of(content: dict[str, Any], entry: dict[str, Any], kind: str) -> Any:
    """The model of a kind that an experiment names; None = it has none."""
    number = entry.get(kind)
    return None if number is None else content[kind][number]


def image_range(scan: dict[str, Any]) -> tuple[int, int]:
    """First image of a scan, and the one after its last."""
    first, last = (int(value) for value in scan["image_range"])
    return first, last + 1


def _incident(beam: dict[str, Any], images: int) -> NDArray[np.float64]:
    """s0 of each image, at the middle of its exposure."""
    ends = beam_points(beam, images)
    return np.asarray(0.5 * (ends[1:] + ends[:-1]))


def beam_points(beam: dict[str, Any], images: int) -> NDArray[np.float64]:
    """s0 at the ends of all images; float64 [images + 1, 3]."""
    points = beam.get("s0_at_scan_points")
    if points is not None and len(points) == images + 1:
        return np.array(points, dtype=np.float64)
    if "wavelength" not in beam:
        raise ShapeError("a beam has a spectrum instead of a wavelength (time-of-flight or Laue); that is not read")
    reason = implausible("wavelength", float(beam["wavelength"]))
    if reason:
        raise GeometryError(f"the wavelength of a beam {reason}")
    direction = np.array(beam["direction"], dtype=np.float64)
    s0 = -direction / np.linalg.norm(direction) / float(beam["wavelength"])
    return np.tile(s0, (images + 1, 1))


def lattice_points(number: int, crystal: dict[str, Any], rotation: Rotation | None, images: int) -> NDArray[np.float64]:
    """A without the goniometer at the ends of all images; float64 [images + 1, 3, 3]."""
    points = crystal.get("A_at_scan_points")
    if points is not None and rotation is not None:
        at = np.array(points, dtype=np.float64).reshape(-1, 3, 3)
        if len(at) != images + 1:
            raise ShapeError(f"experiment {number} has {len(at)} A_at_scan_points, expected {images + 1}")
    else:
        rows = np.array([crystal[f"real_space_{axis}"] for axis in "abc"], dtype=np.float64)
        with np.errstate(all="ignore"):
            # a singular crystal is an unusable image, not a damaged file
            try:
                still = np.linalg.inv(rows)
            except np.linalg.LinAlgError:
                still = np.full((3, 3), np.nan)
        at = np.broadcast_to(still, (images + 1, 3, 3))
    return at


def _settings(
    number: int, crystal: dict[str, Any], rotation: Rotation | None, images: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Setting at mid-exposure and its change over the exposure; float64 [images, 3, 3]."""
    at = lattice_points(number, crystal, rotation, images)
    if rotation is None:
        return np.array(at[:-1]), np.zeros((images, 3, 3))
    start, end = rotation.at(np.arange(images)), rotation.at(np.arange(images) + 1)
    middle = rotation.at(np.arange(images) + 0.5) @ (0.5 * (at[1:] + at[:-1]))
    return middle, end @ at[1:] - start @ at[:-1]


def _space_group(path: Path, hall: str) -> gemmi.SpaceGroup:
    for symbol in (hall.strip(), re.sub(r"\(.*\)", "", hall).strip()):
        try:
            group = gemmi.find_spacegroup_by_ops(gemmi.symops_from_hall(symbol))
        except (RuntimeError, ValueError):
            continue
        if group is not None:
            return group
    raise FileError(f"{path}: the space group {hall!r} is in no setting that gemmi knows; reindex to a standard one")
