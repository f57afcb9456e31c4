"""How residuals change when a crystal turns or its detector moves, and the experiment after such a move."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from crystint.arrays import Floats
from crystint.model.experiment import Detector, Experiment
from crystint.prediction.offsets import panels_at

__all__ = ["distance_of", "excitations", "moved", "reach_of", "slopes_of_offsets"]


def slopes_of_offsets(
    experiment: Experiment, image: NDArray[np.intp], hkl: NDArray[Any], ray: Floats, reach: Floats
) -> tuple[Floats, Floats, Floats]:
    """Derivatives of the radial and tangential residual and of the excitation, each float64 [n, 4].

    By three rotations (rad, about the axes of the laboratory) and the relative distance of the detector.

    Parameters
    ----------
    ray : float64 [n, 3]
        Where the spot is seen.
    reach : float64 [n]
        Distance of the detector along the beam over that of the spot from the sample.
    """
    incident = experiment.incident[image]
    wave = np.linalg.norm(incident, axis=1)
    beam = incident / wave[:, None]
    point = np.einsum("nij,nj->ni", experiment.setting[image], np.asarray(hkl, dtype=np.float64))
    cosine = np.einsum("ni,ni->n", ray, beam)
    sine = np.sqrt(np.maximum(1.0 - cosine**2, 1e-300))
    radial = (ray * cosine[:, None] - beam) / sine[:, None]
    tangential = np.cross(ray, beam) / sine[:, None]
    ahead = incident + point
    ahead /= np.linalg.norm(ahead, axis=1)[:, None]
    none = np.zeros((len(ray), 1))
    # the spot moves by rotation x point; a farther detector sees the same pixel under a smaller angle
    return (
        np.concatenate([-np.cross(point, radial), (-wave * sine * reach)[:, None]], axis=1),
        np.concatenate([-np.cross(point, tangential), none], axis=1),
        np.concatenate([np.cross(point, ahead), none], axis=1),
    )


def excitations(experiment: Experiment, image: NDArray[np.intp], hkl: NDArray[Any]) -> Floats:
    """float64 [n], 1/angstrom: distance from the Ewald sphere, positive outside."""
    incident = experiment.incident[image]
    s1 = incident + np.einsum("nij,nj->ni", experiment.setting[image], hkl.astype(np.float64))
    return np.asarray(np.linalg.norm(s1, axis=1) - np.linalg.norm(incident, axis=1))


def distance_of(detector: Detector, beam: Floats) -> float:
    """Distance of the middles of the panels along the beam, m, in the mean."""
    middles = [panel.lab(np.array(0.5 * sum(panel.slow)), np.array(0.5 * sum(panel.fast))) for panel in detector.panels]
    return float(np.mean(middles, axis=0) @ beam)


def reach_of(experiment: Experiment, image: NDArray[np.intp], slow: Floats, fast: Floats) -> Floats:
    """float64 [n]: distance of the detector along the beam over that of each place, px; 1 in no panel."""
    result = np.ones(len(image))
    beam = experiment.incident * experiment.wavelength[:, None]
    which = experiment.detector[image]
    for number in np.unique(which):
        detector = experiment.detectors[number]
        mine = np.flatnonzero(which == number)
        far = distance_of(detector, beam[image[mine[0]]])
        owner = panels_at(detector, slow[mine], fast[mine])
        for panel in np.unique(owner[owner >= 0]):
            here = mine[owner == panel]
            result[here] = far / np.linalg.norm(detector.panels[panel].lab(slow[here], fast[here]), axis=0)
    return result


def moved(experiment: Experiment, total: Floats, which: NDArray[np.bool_], distances: bool) -> Experiment:
    """The experiment with its images turned and, where asked for, their detectors moved along the beam."""
    turn = Rotation.from_rotvec(total[:, :3]).as_matrix()
    sweep = None if experiment.sweep is None else turn @ experiment.sweep
    new = replace(experiment, setting=turn @ experiment.setting, sweep=sweep)
    if not distances:
        return new
    detectors = list(experiment.detectors)
    number = experiment.detector.copy()
    for image in np.flatnonzero(which):
        old = experiment.detectors[experiment.detector[image]]
        beam = experiment.incident[image] / np.linalg.norm(experiment.incident[image])
        shift = beam * total[image, 3] * distance_of(old, beam)
        panels = tuple(
            replace(panel, origin=tuple(float(v) for v in np.asarray(panel.origin) + shift)) for panel in old.panels
        )
        number[image] = len(detectors)
        detectors.append(replace(old, panels=panels))
    return replace(new, detectors=tuple(detectors), detector=number)
