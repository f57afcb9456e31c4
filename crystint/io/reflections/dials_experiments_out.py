"""Experiments as a DIALS `.expt` file: stills, each with its beam, detector and crystal, or one scan."""

from __future__ import annotations

import json
import os
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

__all__ = ["write_dials_experiments"]

_MM = 1e3


def write_dials_experiments(
    path: str | PathLike[str],
    experiment: Experiment,
    images: str | PathLike[str] | Sequence[str | PathLike[str]],
    *,
    rotation: Rotation | None = None,
    overwrite: bool = False,
) -> None:
    """Write images as DIALS reads them (format of dxtbx's ExperimentList, JSON).

    Parameters
    ----------
    path : path
    experiment : Experiment
        Stills, or the frames of one scan in their order. Its laboratory frame is taken over as it is.
    images : path or sequence of paths
        One file that holds all frames, or a file for each frame; of a scan, one file.
    rotation : Rotation, optional
        Of the scan, whose crystal is that of the first frame.
    overwrite : bool

    Raises
    ------
    SettingError
        When the experiment has rotation frames, and there is no `rotation`.
    ShapeError
        When there are fewer files than frames.
    FileError
        When the file exists or cannot be written.
    """
    if rotation is not None:
        if not isinstance(images, str | PathLike):
            raise SettingError("images is a list of files, expected one file with all frames of the scan")
        content = _scan(experiment, os.path.realpath(images), rotation)
        with atomic_path(Path(path), overwrite) as temporary:
            temporary.write_text(json.dumps(content, indent=1), encoding="utf-8")
        return
    if experiment.sweep is not None:
        raise SettingError("the experiment has rotation frames; give the rotation of their scan")
    single = isinstance(images, str | PathLike)
    files: list[Any] = [images] if single else list(images)  # type: ignore[arg-type]
    frames = int(experiment.frame.max()) + 1 if len(experiment) else 0
    if not single and len(files) < frames:
        raise ShapeError(f"images has {len(files)} files, the experiment {frames} frames")
    names = [os.path.realpath(name) for name in files]
    beams, beam = np.unique(experiment.incident, axis=0, return_inverse=True)
    frame_numbers, imageset = np.unique(experiment.frame, return_inverse=True)
    crystals = [_crystal(setting, experiment) for setting in experiment.setting]
    content = {
        "__id__": "ExperimentList",
        "experiment": [
            {
                "__id__": "Experiment",
                "identifier": str(uuid.uuid5(uuid.NAMESPACE_OID, f"{name} {number}")),
                "beam": int(beam[number]),
                "detector": int(experiment.detector[number]),
                "crystal": number,
                "imageset": int(imageset[number]),
            }
            for number, name in enumerate(experiment.name)
        ],
        "imageset": [_imageset(names, int(number), single) for number in frame_numbers],
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


def _scan(experiment: Experiment, images: str, rotation: Rotation) -> dict[str, Any]:
    """The frames of one file as one experiment."""
    frames, start = len(experiment), float(np.degrees(rotation.start))
    still = np.linalg.inv(rotation.at(np.array([0.5]))[0]) @ experiment.setting[0]
    return {
        "__id__": "ExperimentList",
        "experiment": [
            {
                "__id__": "Experiment",
                "identifier": str(uuid.uuid5(uuid.NAMESPACE_OID, experiment.name[0])),
                "beam": 0,
                "detector": 0,
                "goniometer": 0,
                "scan": 0,
                "crystal": 0,
                "imageset": 0,
            }
        ],
        "imageset": [
            {
                "__id__": "ImageSequence",
                "template": images,
                "single_file_indices": list(range(frames)),
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
                "image_range": [1, frames],
                "batch_offset": 0,
                "oscillation": [start, float(np.degrees(rotation.step))],
                "exposure_time": [0.0] * frames,
                "epochs": [0.0] * frames,
                "valid_image_ranges": {},
            }
        ],
        "crystal": [_crystal(still, experiment)],
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


def _imageset(names: list[str], number: int, single: bool) -> dict[str, Any]:
    return {
        "__id__": "ImageSet",
        "images": [names[0] if single else names[number]],
        "single_file_indices": [number if single else 0],
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
