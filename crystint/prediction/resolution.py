"""How far in resolution a detector reaches."""

from __future__ import annotations

import numpy as np

from crystint.errors import SettingError
from crystint.model.experiment import Experiment
from crystint.prediction.offsets import rays

__all__ = ["edge_resolution"]


def edge_resolution(experiment: Experiment) -> float:
    """d of the corner of any panel that is farthest from the beam, angstrom."""
    largest = 0.0
    for number, detector in enumerate(experiment.detectors):
        images = np.flatnonzero(experiment.detector == number)
        if not images.size:
            continue
        shortest = images[np.argmin(experiment.wavelength[images])]
        corners = [(s, f, p) for p, panel in enumerate(detector.panels) for s in panel.slow for f in panel.fast]
        slow, fast, panel = (np.array(column) for column in zip(*corners, strict=True))
        corner_rays = rays(experiment, np.full(len(slow), shortest), slow.astype(float), fast.astype(float), panel)
        incident = experiment.incident[shortest]
        q = np.linalg.norm(corner_rays * np.linalg.norm(incident) - incident, axis=1)
        largest = max(largest, float(np.nanmax(q, initial=0.0)))
    if not largest > 0.0:
        raise SettingError("no panel meets a scattered ray, so there is no resolution at its edge; give d_min")
    return 1.0 / largest
