"""Boxes of reflections from a reflection table of DIALS."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crystint.errors import FileError, warn
from crystint.io.frames.sequence import Frames
from crystint.io.reflections.dials_experiments import read_expt
from crystint.io.reflections.dials_table import ReflectionTable, read_table
from crystint.model.experiment import Experiment
from crystint.model.geometry import Geometry
from crystint.prediction.boxes import BoxOptions, ReflectionBoxes
from crystint.prediction.defaults import RADIUS
from crystint.prediction.model_fit import check_detector, tell_uncovered
from crystint.prediction.pair_frames import pair_frames

__all__ = ["boxes_of_table"]

_PREDICTED = 1


def boxes_of_table(path: Path, frames: Frames, geometry: Geometry | None, options: BoxOptions) -> ReflectionBoxes:
    """The boxes of predicted or integrated reflections.

    Frames are those that the experiments beside the table name. Without them z counts the frames of the sequence.

    Raises
    ------
    FileError
        When the table has no predictions or no boxes, or they do not fit the frames.
    """
    table = read_table(path)
    predicted = "miller_index" in table and (table["flags"].astype(np.int64) & _PREDICTED) != 0
    if not np.any(predicted):
        raise FileError(
            f"{path} has no predicted reflections (are they strong spots?); expected a table of dials.predict or "
            "dials.integrate, or the experiments themselves (.expt)"
        )
    limit = 0.0 if options.d_min is None else options.d_min
    d = table["d"].astype(np.float64) if "d" in table else np.full(len(table), np.nan)
    d = np.where(d > 0.0, d, np.nan)
    rows = np.flatnonzero(predicted & (table["id"] >= 0) & ~(d < limit))
    position = table["xyzcal.px" if "xyzcal.px" in table else "xyzobs.px.value"][rows]
    fast, slow = position[:, 0].copy(), position[:, 1].copy()
    sides, z = _sides(path, table, rows, position, options)
    beside = path.with_suffix(".expt")
    images = read_expt(beside) if beside.exists() else None
    if images is None:
        first, last, place, uncovered = _by_number(path, table, rows, z, frames)
    else:
        check_detector(beside, images, frames, geometry)
        first, last, place, uncovered = _by_image(beside, images, table["id"][rows].astype(np.int64), z, frames)
    shape = np.array([frames.shape[0], frames.shape[0], frames.shape[1], frames.shape[1]])
    panels = _panels(images, table, rows, shape)
    slow += panels[:, 0]
    fast += panels[:, 2]
    sides += panels[:, [0, 0, 2, 2]] + options.margin * np.array([-1, 1, -1, 1])
    if len(sides) and (np.minimum(slow, fast).min() < -1 or slow.max() > shape[0] + 1 or fast.max() > shape[2] + 1):
        raise FileError(f"{path} has reflections beyond the frames of {shape[0]} x {shape[2]} px: another detector?")
    low, high = np.maximum(sides[:, ::2], panels[:, ::2]), np.minimum(sides[:, 1::2], panels[:, 1::2])
    return ReflectionBoxes.of_ranges(
        np.stack([low[:, 0], high[:, 0], low[:, 1], high[:, 1]], axis=1),
        slow,
        fast,
        first,
        last,
        len(frames),
        place=place,
        d=d[rows],
        hkl=table["miller_index"][rows],
        expected=_expected(table, rows),
        uncovered=uncovered,
        files=(path,) if images is None else (path, beside),
        facts={"model": str(path), "margin": options.margin},
    )


def _expected(table: ReflectionTable, rows: NDArray[np.intp]) -> NDArray[np.float64] | None:
    """I/sigma of the sums that the table holds; None when it has not been integrated."""
    if "intensity.sum.value" not in table or "intensity.sum.variance" not in table:
        return None
    value, variance = table["intensity.sum.value"][rows], table["intensity.sum.variance"][rows]
    ratio = np.divide(value, np.sqrt(np.maximum(variance, 0.0)), out=np.full(len(rows), np.nan), where=variance > 0)
    return ratio if np.isfinite(ratio).any() else None


def _sides(
    path: Path, table: ReflectionTable, rows: NDArray[np.intp], position: NDArray[np.float64], options: BoxOptions
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Ends of boxes in px of the panels (slow, slow, fast, fast) and in images; half-open."""
    if "bbox" in table:
        box = table["bbox"][rows].astype(np.int64)
        sides, z = box[:, [2, 3, 0, 1]], box[:, 4:]
        if options.radius is None:
            return sides, z
    else:
        if "xyzcal.mm" in table and (table["xyzcal.mm"][rows][:, 2] != 0.0).any():
            raise FileError(
                f"{path} is of rotation data and has no column bbox, which says how many images a reflection is on; "
                "give its experiments (.expt)"
            )
        z = np.floor(position[:, 2:]).astype(np.int64) + np.arange(2)
    radius = RADIUS if options.radius is None else options.radius
    fast, slow = position[:, 0], position[:, 1]
    ends = np.stack([np.floor(slow - radius), np.ceil(slow + radius), np.floor(fast - radius), np.ceil(fast + radius)])
    return ends.T.astype(np.int64), z


_Places = tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64] | None, tuple[int, ...]]


def _by_number(
    path: Path, table: ReflectionTable, rows: NDArray[np.intp], z: NDArray[np.int64], frames: Frames
) -> _Places:
    """Images are the frames of the sequence, before a selection."""
    if len(np.unique(table["id"][rows])) > 1 or (table["panel"][rows] != 0).any():
        raise FileError(f"{path} is of several experiments or panels: put its .expt beside it, which describes them")
    total = int(frames.numbers.max(initial=-1)) + 1
    middle = z.mean(axis=1)
    if (middle < 0).any() or (middle > frames.total + 1).any():
        raise FileError(
            f"{path} has reflections on images {int(z.min())} to {int(z.max())}, counted from 0, but there are "
            f"{frames.total} frames; put its .expt beside it, which names the files of its images"
        )
    warn(f"{path} has no .expt beside it: its images, counted from 0, are taken for the frames in their order")
    place = np.full(total, -1, np.int64)
    place[frames.numbers] = np.arange(len(frames))
    return z[:, 0], z[:, 1], place, ()


def _by_image(
    path: Path, images: Experiment, group: NDArray[np.int64], z: NDArray[np.int64], frames: Frames
) -> _Places:
    """Images are rows of the experiments, those of one group one after the other."""
    pairing = pair_frames(images, frames, tell_spare=False)
    uncovered = tell_uncovered(path, pairing, frames)
    groups, begin, count = np.unique(images.group, return_index=True, return_counts=True)
    at = np.minimum(np.searchsorted(groups, group), len(groups) - 1)
    listed = groups[at] == group
    if not listed.all():
        raise FileError(f"{int((~listed).sum())} reflections are of experiments that {path} does not have")
    low = images.frame[begin[at]]
    still = count[at] == 1  # z of stills is not always their number
    first = np.where(still, 0, np.clip(z[:, 0] - low, 0, count[at])) + begin[at]
    last = np.where(still, 1, np.clip(z[:, 1] - low, 0, count[at])) + begin[at]
    return first, last, pairing.frame, uncovered


def _panels(
    images: Experiment | None, table: ReflectionTable, rows: NDArray[np.intp], shape: NDArray[np.intp]
) -> NDArray[np.int64]:
    """Part of the frame that the panel of each reflection has, int64 [n, 4]: slow, slow, fast, fast, half-open."""
    bounds = np.tile(np.array([0, shape[0], 0, shape[2]], np.int64), (len(rows), 1))
    if images is None:
        return bounds
    group, panel = table["id"][rows], table["panel"][rows].astype(np.intp)
    for number in np.unique(group):
        here = group == number
        detector: Any = images.detectors[images.detector[np.flatnonzero(images.group == number)[0]]]
        parts = np.array([[*part.slow, *part.fast] for part in detector.panels])
        bounds[here] = parts[np.minimum(panel[here], len(parts) - 1)]
    return bounds
