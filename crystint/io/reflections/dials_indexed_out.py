"""Indexed spots as a DIALS reflection table (.refl), which belongs to an .expt of `write_dials_experiments`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crystint.io.reflections.dials_experiments_out import identifiers_of
from crystint.io.reflections.dials_rotation import Rotation
from crystint.io.reflections.dials_table_out import write_table
from crystint.model.experiment import Experiment

__all__ = ["write_indexed"]

_INDEXED, _STRONG = 1 << 2, 1 << 5
_PIXEL = 1 / 12
"""px^2: variance of a place somewhere in a pixel"""
_MM = 1e3


def write_indexed(
    path: Path,
    columns: Mapping[str, NDArray[Any]],
    experiment: Experiment,
    *,
    rotation: Rotation | None,
    first: int = 1,
    overwrite: bool,
) -> None:
    """Write spots, those without a lattice too, as ``dials.index`` does: their id is -1.

    Parameters
    ----------
    path : path
    columns : mapping
        frame, z, slow, fast (px of the frame), panel, intensity, sigma, ray [n, 3], lattice (a group of the experiment;
        -1 = none) and hkl [n, 3] of each spot.
    experiment : Experiment
    rotation : Rotation, optional
        Of the scan whose frames the images are: then z goes along the scan.
    first : int
        Number of the first image of the scan.
    overwrite : bool

    Raises
    ------
    FileError
        When the file exists and `overwrite` is False, or cannot be written.
    """
    lattice, rows = columns["lattice"], len(columns["lattice"])
    indexed = lattice >= 0
    detector = experiment.detectors[0]
    corner = np.array([(p.fast[0], p.slow[0]) for p in detector.panels], np.float64)[columns["panel"]]
    step = [(np.linalg.norm(p.fast_vector), np.linalg.norm(p.slow_vector)) for p in detector.panels]
    size = _MM * np.array(step)[columns["panel"]]
    place = np.stack([columns["fast"], columns["slow"]], axis=1) - corner
    scan = rotation is not None
    z, turn = columns["z"], 0.0 if rotation is None else rotation.step
    angle = np.zeros(rows) if rotation is None else rotation.start + rotation.step * z
    z = z + (first - 1 if scan else 0)
    variance = np.full((rows, 3), _PIXEL)
    box = np.stack([np.floor(place[:, 0]) - 1, np.floor(place[:, 0]) + 2, np.floor(place[:, 1]) - 1,
                    np.floor(place[:, 1]) + 2, np.floor(z), np.floor(z) + 1], axis=1)  # fmt: skip
    s1 = columns["ray"] * float(np.linalg.norm(experiment.incident[0]))
    table = {
        "id": ("int", lattice),
        "imageset_id": (
            "int",
            np.zeros(rows) if scan else np.searchsorted(np.unique(experiment.frame), columns["frame"]),
        ),
        "panel": ("std::size_t", columns["panel"]),
        "flags": ("std::size_t", np.where(indexed, _STRONG | _INDEXED, _STRONG)),
        "miller_index": ("cctbx::miller::index<>", np.where(indexed[:, None], columns["hkl"], 0)),
        "xyzobs.px.value": ("vec3<double>", np.column_stack([place, z])),
        "xyzobs.px.variance": ("vec3<double>", variance),
        "xyzobs.mm.value": ("vec3<double>", np.column_stack([place * size, angle])),
        "xyzobs.mm.variance": ("vec3<double>", np.column_stack([variance[:, :2] * size**2, variance[:, 2] * turn**2])),
        "intensity.sum.value": ("double", columns["intensity"]),
        "intensity.sum.variance": ("double", columns["sigma"] ** 2),
        "bbox": ("int6", box.astype(np.int64)),
        "s1": ("vec3<double>", s1),
    }
    identifiers = identifiers_of(experiment, scan=scan)
    write_table(path, table, identifiers=identifiers, overwrite=overwrite)
