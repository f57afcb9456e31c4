"""Batch headers of unmerged MTZ files: cell, orientation, beam and detector of each image."""

from __future__ import annotations

import gemmi
import numpy as np
from numpy.typing import NDArray

from crystint.arrays import Floats
from crystint.model.experiment import Experiment

__all__ = ["batch_headers", "batch_orientation"]


def batch_orientation(experiment: Experiment) -> Floats:
    """Matrices U [images, 3, 3] of the batch headers: columns of U B are a*, b*, c*.

    In CCP4's frame x is the way of the beam, z the normal of the plane of polarization (rotation data: the axis);
    B has a* along x and b* in the plane of x and y (Busing & Levy (1967), Acta Cryst. 22, 457).
    """
    x = experiment.incident / np.linalg.norm(experiment.incident, axis=1)[:, None]
    z = np.asarray(experiment.polarization_normal) - x * (x @ np.asarray(experiment.polarization_normal))[:, None]
    z = z / np.linalg.norm(z, axis=1)[:, None]
    frame = np.stack([x, np.cross(z, x), z], axis=1)
    u, b = np.linalg.qr(frame @ experiment.setting)
    return np.asarray(u * np.sign(np.diagonal(b, axis1=1, axis2=2))[:, None, :])


def batch_headers(experiment: Experiment, images: NDArray[np.int32]) -> list[gemmi.Mtz.Batch]:
    """Headers, by the layout of CCP4's MTZ format; numbers that stills lack are 0."""
    bad = experiment.unusable()
    good = [int(image) for image in images if int(image) not in bad]
    chosen = experiment.select(np.array(good, dtype=np.intp))
    real = np.linalg.inv(chosen.setting)
    length = np.linalg.norm(real, axis=2)
    unit = real / length[:, :, None]
    pairs = ((1, 2), (0, 2), (0, 1))
    angle = np.degrees(np.arccos([np.clip(np.einsum("ni,ni->n", unit[:, i], unit[:, j]), -1, 1) for i, j in pairs])).T
    turn = batch_orientation(chosen)
    headers = []
    for row, image in enumerate(good):
        detector = chosen.detectors[chosen.detector[row]]
        panel = detector.panels[0]
        normal = np.cross(panel.fast_vector, panel.slow_vector)
        batch = gemmi.Mtz.Batch()
        batch.number = image + 1
        batch.title = chosen.name[row][-70:]
        batch.dataset_id = 1
        batch.wavelength = float(chosen.wavelength[row])
        batch.cell = gemmi.UnitCell(*length[row], *angle[row])
        for at, value in enumerate(turn[row].T.ravel()):
            batch.floats[6 + at] = value
        batch.floats[43] = 1.0
        for at in (80, 83):
            batch.floats[at] = -1.0
        batch.floats[111] = 1e3 * abs(float(np.dot(panel.origin, normal) / np.linalg.norm(normal)))
        batch.floats[114] = detector.shape[1]
        batch.floats[116] = detector.shape[0]
        for at in range(4, 10):
            batch.ints[at] = -1
        for at, number in ((12, 1), (14, 2), (15, 1), (17, 1), (19, 1)):
            batch.ints[at] = number
        headers.append(batch)
    return headers
