"""Predicted reflections in files: for DIALS, and as CSV."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np

from crystint.io.outputs import atomic_path
from crystint.io.reflections.dials_table_out import write_table
from crystint.model.experiment import Experiment
from crystint.prediction.predict import Prediction

__all__ = ["write_predicted_csv", "write_predicted_refl"]

_PREDICTED = 1


def write_predicted_refl(path: Path, prediction: Prediction, images: Experiment, *, overwrite: bool) -> None:
    """A reflection table with ``miller_index``, ``xyzcal.px``, ``s1``, ``d``, ``partiality``, flagged as predicted.

    ``id`` is the group of the image (the experiment of a .expt), z its frame + 0.5; ``crystint.excitation`` is in
    1/angstrom.

    Raises
    ------
    FileError
        When the file exists and `overwrite` is False, or cannot be written.
    """
    frame = images.frame[prediction.image]
    # pixels of the panel, which is what DIALS counts in
    origin = np.array([(p.slow[0], p.fast[0]) for d in images.detectors for p in d.panels], dtype=np.float64)
    before = np.cumsum([0, *(len(detector.panels) for detector in images.detectors)])
    corner = origin[before[images.detector[prediction.image]] + prediction.panel]
    place = np.stack([prediction.fast - corner[:, 1], prediction.slow - corner[:, 0], frame + 0.5], axis=1)
    ray = prediction.ray * np.linalg.norm(images.incident[prediction.image], axis=1)[:, None]
    columns = {
        "miller_index": ("cctbx::miller::index<>", prediction.hkl),
        "id": ("int", images.group[prediction.image]),
        "panel": ("std::size_t", prediction.panel),
        "flags": ("std::size_t", np.full(len(prediction), _PREDICTED)),
        "xyzcal.px": ("vec3<double>", place),
        "s1": ("vec3<double>", ray),
        "d": ("double", prediction.d),
        "partiality": ("double", prediction.partiality),
        "crystint.excitation": ("double", prediction.excitation),
    }
    write_table(path, columns, overwrite=overwrite)


def write_predicted_csv(path: Path, prediction: Prediction, images: Experiment, *, overwrite: bool) -> None:
    """One line per reflection; places in px of the frame, from the outer corner.

    Raises
    ------
    FileError
        When the file exists and `overwrite` is False, or cannot be written.
    """
    columns = ("d", "excitation", "partiality", "polarization", "efficiency", "slow", "fast")
    with atomic_path(path, overwrite) as temporary, temporary.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["image", "name", "h", "k", "l", "panel", *columns])
        values = [getattr(prediction, name).tolist() for name in columns]
        for image, hkl, panel, *rest in zip(
            prediction.image.tolist(), prediction.hkl.tolist(), prediction.panel.tolist(), *values, strict=True
        ):
            writer.writerow([image, images.name[image], *hkl, panel, *(f"{value:.7g}" for value in rest)])
