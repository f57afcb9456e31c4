"""Rotation images taken together: runs that are scaled as one."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from crystint.errors import SettingError
from crystint.model.experiment import Experiment

__all__ = ["batches"]


def batches(
    experiment: Experiment, *, images: int | None = None, degrees: float | None = None
) -> tuple[NDArray[np.int32], Experiment]:
    """Runs of neighbouring images of each sweep, to be scaled as one image each.

    Parameters
    ----------
    images, degrees
        Length of a run, in images or in degrees of rotation; one of them. The last run of a sweep may be shorter,
        and is joined to the one before when it is less than half as long.

    Returns
    -------
    number : int32 [n]
        Of the run that each image of the experiment is in.
    runs : Experiment
        The middle image of each run, named "first .. last".

    Raises
    ------
    SettingError
        When neither or both are given, or a length is impossible.
    """
    if (images is None) == (degrees is None):
        raise SettingError("give the length of a batch either in images or in degrees")
    length = images if images is not None else degrees
    if length is None or not (np.isfinite(length) and length > 0):
        raise SettingError(f"the length of a batch is {length!r}, expected a number above 0")
    number = np.zeros(len(experiment), dtype=np.int32)
    middle: list[int] = []
    names: list[str] = []
    for group in np.unique(experiment.group):
        rows = np.flatnonzero(experiment.group == group)
        rows = rows[np.argsort(experiment.frame[rows], kind="stable")]
        per_run = int(length) if images is not None else max(1, round(length / _turn(experiment, rows)))
        runs = max(1, int(len(rows) / per_run + 0.5))
        run = np.minimum(np.arange(len(rows)) // per_run, runs - 1)
        number[rows] = len(middle) + run
        for part in range(runs):
            members = rows[run == part]
            middle.append(int(members[len(members) // 2]))
            first, last = experiment.name[members[0]], experiment.name[members[-1]]
            names.append(first if first == last else f"{first} .. {last}")
    return number, replace(experiment.select(np.array(middle, dtype=np.intp)), name=tuple(names))


def _turn(experiment: Experiment, rows: NDArray[np.intp]) -> float:
    """Rotation per image, degrees, from the first image of a sweep that turns."""
    if experiment.sweep is not None:
        turn = experiment.sweep[rows] @ np.linalg.inv(experiment.setting[rows])
        axial = np.stack([turn[:, 2, 1] - turn[:, 1, 2], turn[:, 0, 2] - turn[:, 2, 0], turn[:, 1, 0] - turn[:, 0, 1]])
        angle = float(np.degrees(np.median(np.linalg.norm(0.5 * axial, axis=0))))
        if angle > 0.0:
            return angle
    raise SettingError(f"{experiment.name[rows[0]]}: these images do not turn; give the length of a batch in images")
