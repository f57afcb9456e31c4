"""Experiments as a DIALS `.expt` file: stills, each with its beam, detector and crystal, or one scan."""

from __future__ import annotations

import json
import os
import re
import uuid
from collections.abc import Sequence
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

from crystint.errors import SettingError, ShapeError
from crystint.io.outputs import atomic_path
from crystint.io.reflections.dials_rotation import Rotation
from crystint.model.experiment import Detector, Experiment

__all__ = ["first_image", "identifiers_of", "write_dials_experiments"]

_MM = 1e3


def write_dials_experiments(
    path: str | PathLike[str],
    experiment: Experiment,
    images: str | PathLike[str] | Sequence[str | PathLike[str] | tuple[str, int]],
    *,
    rotation: Rotation | None = None,
    overwrite: bool = False,
) -> None:
    """Write images as DIALS reads them (format of dxtbx's ExperimentList, JSON).

    Parameters
    ----------
    path : path
    experiment : Experiment
        Stills, or the frames of one scan in their order, once for each crystal. The laboratory is taken over as it
        is.
    images : path, sequence of paths, or sequence of (path, number)
        One file that holds all frames, or for each frame a file, with the number of the frame in it where it holds
        several. Of a scan one file, or numbered files of one frame each.
    rotation : Rotation, optional
        Of the scan; each group of images is one of its crystals.
    overwrite : bool

    Raises
    ------
    SettingError
        When the experiment has rotation frames, and there is no `rotation`.
    ShapeError
        When there are fewer files than frames, or those of a scan are not numbered one after the other.
    FileError
        When the file exists or cannot be written.
    """
    frames = int(experiment.frame.max()) + 1 if len(experiment) else 0
    places = _places(images, frames)
    if rotation is not None:
        content = _scan(experiment, places, rotation)
        with atomic_path(Path(path), overwrite) as temporary:
            temporary.write_text(json.dumps(content, indent=1), encoding="utf-8")
        return
    if experiment.sweep is not None:
        raise SettingError("the experiment has rotation frames; give the rotation of their scan")
    beams, beam = np.unique(experiment.incident, axis=0, return_inverse=True)
    frame_numbers, imageset = np.unique(experiment.frame, return_inverse=True)
    crystals = [_crystal(setting, experiment) for setting in experiment.setting]
    content = {
        "__id__": "ExperimentList",
        "experiment": [
            {
                "__id__": "Experiment",
                "identifier": identifier,
                "beam": int(beam[number]),
                "detector": int(experiment.detector[number]),
                "crystal": number,
                "imageset": int(imageset[number]),
            }
            for number, identifier in identifiers_of(experiment).items()
        ],
        "imageset": [_imageset(*places[number]) for number in frame_numbers],
        "beam": [_beam(s0, experiment) for s0 in beams],
        "detector": [_detector(entry) for entry in experiment.detectors],
        "goniometer": [],
        "scan": [],
        "crystal": crystals,
        "profile": [],
        "scaling_model": [],
    }
    with atomic_path(Path(path), overwrite) as temporary:
        temporary.write_text(json.dumps(content, indent=1), encoding="utf-8")


def identifiers_of(experiment: Experiment, *, scan: bool = False) -> dict[int, str]:
    """Identifier of each experiment, as they stand in the file: of each image, or of each crystal of a scan.

    Tables of reflections name the experiments of their rows by them.
    """
    if scan:
        more = ["", *(f" {number}" for number in range(1, len(np.unique(experiment.group))))]
        return {n: str(uuid.uuid5(uuid.NAMESPACE_OID, experiment.name[0] + text)) for n, text in enumerate(more)}
    names = enumerate(experiment.name)
    return {number: str(uuid.uuid5(uuid.NAMESPACE_OID, f"{name} {number}")) for number, name in names}


def first_image(images: Sequence[str | PathLike[str] | tuple[str, int]]) -> int:
    """Number that the first of the files of a scan has for DIALS."""
    return _sequence(_places(images, len(images)))[1]


def _places(images: Any, frames: int) -> list[tuple[str, int]]:
    """File of each frame with its whole name, and number of the frame in it."""
    if isinstance(images, str | PathLike):
        return [(os.path.realpath(images), number) for number in range(frames)]
    places = [each if isinstance(each, tuple) else (each, 0) for each in images]
    if len(places) < frames:
        raise ShapeError(f"images has {len(places)} files, the experiment {frames} frames")
    return [(os.path.realpath(name), int(number)) for name, number in places]


def _sequence(places: list[tuple[str, int]]) -> tuple[str, int, list[int] | None]:
    """Template of the files of a scan, number of its first image, and the numbers in the file where it is one."""
    files = [name for name, _ in places]
    if len(set(files)) == 1 and len(files) > 1:
        return files[0], 1, [number for _, number in places]
    first, last = files[0], files[-1]
    runs = [match for match in re.finditer(r"\d+", first) if len(match[0])]
    for run in reversed(runs):
        begin, end, width = run.start(), run.end(), len(run[0])
        wanted = [f"{first[:begin]}{int(run[0]) + step:0{width}d}{first[end:]}" for step in range(len(files))]
        if wanted == files:
            return f"{first[:begin]}{'#' * width}{first[end:]}", int(run[0]), None
    raise ShapeError(
        f"the files of a scan are not numbered one after the other, {first} to {last}: DIALS knows one by a template; "
        "write the images as stills, or name the files so"
    )


def _scan(experiment: Experiment, places: list[tuple[str, int]], rotation: Rotation) -> dict[str, Any]:
    """The frames of one scan: an experiment for each of its crystals."""
    template, first, inside = _sequence(places)
    starts = np.unique(experiment.group, return_index=True)[1]
    frames, start = len(experiment) // len(starts), float(np.degrees(rotation.start))
    stills = np.linalg.inv(rotation.at(np.array([0.5]))[0]) @ experiment.setting[starts]
    return {
        "__id__": "ExperimentList",
        "experiment": [
            {
                "__id__": "Experiment",
                "identifier": identifier,
                "beam": 0,
                "detector": 0,
                "goniometer": 0,
                "scan": 0,
                "crystal": number,
                "imageset": 0,
            }
            for number, identifier in identifiers_of(experiment, scan=True).items()
        ],
        "imageset": [
            {
                "__id__": "ImageSequence",
                "template": template,
                **({} if inside is None else {"single_file_indices": inside}),
                "mask": None,
                "gain": None,
                "pedestal": None,
                "dx": None,
                "dy": None,
                "params": {"dynamic_shadowing": "Auto", "multi_panel": False},
            }
        ],
        "beam": [_beam(experiment.incident[0], experiment)],
        "detector": [_detector(experiment.detectors[0])],
        "goniometer": [
            {
                "rotation_axis": np.asarray(rotation.axis).tolist(),
                "fixed_rotation": np.asarray(rotation.fixed).ravel().tolist(),
                "setting_rotation": np.asarray(rotation.outer).ravel().tolist(),
            }
        ],
        "scan": [
            {
                "image_range": [first, first + frames - 1],
                "batch_offset": 0,
                "oscillation": [start, float(np.degrees(rotation.step))],
                "exposure_time": [0.0] * frames,
                "epochs": [0.0] * frames,
                "valid_image_ranges": {},
            }
        ],
        "crystal": [_crystal(still, experiment) for still in stills],
        "profile": [],
        "scaling_model": [],
    }


def _crystal(setting: Any, experiment: Experiment) -> dict[str, Any]:
    a, b, c = np.linalg.inv(setting)
    return {
        "__id__": "crystal",
        "real_space_a": a.tolist(),
        "real_space_b": b.tolist(),
        "real_space_c": c.tolist(),
        "space_group_hall_symbol": f" {experiment.space_group.hall}",
    }


def _imageset(name: str, number: int) -> dict[str, Any]:
    return {
        "__id__": "ImageSet",
        "images": [name],
        "single_file_indices": [number],
        "mask": None,
        "gain": None,
        "pedestal": None,
        "dx": None,
        "dy": None,
        "params": {"dynamic_shadowing": "Auto", "multi_panel": False},
    }


def _beam(incident: Any, experiment: Experiment) -> dict[str, Any]:
    """DIALS's direction points from the sample to the source."""
    length = float(np.linalg.norm(incident))
    return {
        "direction": (-incident / length).tolist(),
        "wavelength": 1.0 / length,
        "divergence": 0.0,
        "sigma_divergence": 0.0,
        "polarization_normal": list(experiment.polarization_normal),
        "polarization_fraction": experiment.polarization_fraction,
        "flux": 0.0,
        "transmission": 1.0,
    }


def _detector(detector: Detector) -> dict[str, Any]:
    highest = detector.saturation if detector.saturation is not None else float(np.iinfo(np.int32).max)
    parallax = detector.thickness > 0.0 and detector.attenuation > 0.0
    panels = []
    for number, panel in enumerate(detector.panels):
        slow, fast = np.array(panel.slow_vector), np.array(panel.fast_vector)
        size = [float(np.linalg.norm(fast)), float(np.linalg.norm(slow))]
        panels.append(
            {
                "name": f"panel {number}",
                "type": "SENSOR_PAD",
                "fast_axis": (fast / size[0]).tolist(),
                "slow_axis": (slow / size[1]).tolist(),
                "origin": [_MM * value for value in panel.origin],
                "raw_image_offset": [panel.fast[0], panel.slow[0]],
                "image_size": [panel.fast[1] - panel.fast[0], panel.slow[1] - panel.slow[0]],
                "pixel_size": [_MM * value for value in size],
                "trusted_range": [0.0, highest],
                "thickness": _MM * detector.thickness,
                "material": "Si",
                "mu": detector.attenuation / _MM,
                "identifier": "",
                "mask": [],
                "gain": 1.0,
                "pedestal": 0.0,
                "px_mm_strategy": {
                    "type": "ParallaxCorrectedPxMmStrategy" if parallax else "SimplePxMmStrategy",
                },
            }
        )
    hierarchy = {
        "name": "",
        "type": "",
        "fast_axis": [1.0, 0.0, 0.0],
        "slow_axis": [0.0, 1.0, 0.0],
        "origin": [0.0, 0.0, 0.0],
        "raw_image_offset": [0, 0],
        "image_size": [0, 0],
        "pixel_size": [0.0, 0.0],
        "trusted_range": [0.0, 0.0],
        "thickness": 0.0,
        "material": "",
        "mu": 0.0,
        "identifier": "",
        "mask": [],
        "gain": 1.0,
        "pedestal": 0.0,
        "px_mm_strategy": {"type": "SimplePxMmStrategy"},
        "children": [{"panel": number} for number in range(len(panels))],
    }
    return {"panels": panels, "hierarchy": hierarchy}
