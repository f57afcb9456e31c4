"""What lies between a reflection's intensity and its counts on a still, for reflections that are known already."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from crystint.model.experiment import Experiment
from crystint.prediction.offsets import polarization
from crystint.prediction.rays import sensor_efficiency

__all__ = ["factors_of"]


def factors_of(
    images: Experiment, image: NDArray[np.int32], hkl: NDArray[np.int32], panel: NDArray[np.intp]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Polarization and efficiency of the sensor, float64 [n] each, as `crystint.prediction.predict` has them.

    Parameters
    ----------
    images : Experiment
    image : int32 [n]
        Rows of the experiment.
    hkl : int32 [n, 3]
    panel : int [n]
    """
    ray = images.incident[image] + np.einsum("nij,nj->ni", images.setting[image], hkl.astype(np.float64))
    ray /= np.linalg.norm(ray, axis=1)[:, None]
    efficiency = np.ones(len(ray))
    which = images.detector[image]
    for number in np.unique(which):
        here, detector = which == number, images.detectors[number]
        own_panel = np.minimum(panel[here], len(detector.panels) - 1)
        efficiency[here] = sensor_efficiency(detector, own_panel, ray[here])
    return polarization(images, image, ray), efficiency
