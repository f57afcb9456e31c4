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
from crystint.prediction.boxes import ReflectionBoxes
from crystint.prediction.pair_frames import pair_frames

__all__ = ["boxes_of_table"]

_PREDICTED = 1


def boxes_of_table(path: Path, frames: Frames) -> ReflectionBoxes:
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
    if "bbox" not in table:
        raise FileError(
            f"{path} has no column bbox, which says how large reflections are; give its experiments (.expt)"
        )
    rows = np.flatnonzero(predicted & (table["id"] >= 0))
    box, z = table["bbox"][rows].astype(np.int64), table["bbox"][rows][:, 4:].astype(np.int64)
    position = table["xyzcal.px" if "xyzcal.px" in table else "xyzobs.px.value"][rows]
    fast, slow = position[:, 0].copy(), position[:, 1].copy()
    sides = box[:, [2, 3, 0, 1]]
    beside = path.with_suffix(".expt")
    images = read_expt(beside) if beside.exists() else None
    if images is None:
        first, last, place, uncovered = _by_number(path, table, rows, z, frames)
    else:
        first, last, place, uncovered = _by_image(images, table["id"][rows].astype(np.int64), z, frames)
        _to_frame(images, table, rows, sides, slow, fast)
    shape = np.array([frames.shape[0], frames.shape[0], frames.shape[1], frames.shape[1]])
    if len(sides) and (np.minimum(slow, fast).min() < -1 or slow.max() > shape[0] + 1 or fast.max() > shape[2] + 1):
        raise FileError(f"{path} has reflections beyond the frames of {shape[0]} x {shape[2]} px: another detector?")
    return ReflectionBoxes.of_ranges(
        np.clip(sides, 0, shape),
        slow,
        fast,
        first,
        last,
        len(frames),
        place=place,
        d=np.where(table["d"][rows] > 0.0, table["d"][rows], np.nan) if "d" in table else None,
        hkl=table["miller_index"][rows],
        expected=_expected(table, rows),
        uncovered=uncovered,
        facts={"model": str(path)},
    )


def _expected(table: ReflectionTable, rows: NDArray[np.intp]) -> NDArray[np.float64] | None:
    """I/sigma of the sums that the table holds; None when it has not been integrated."""
    if "intensity.sum.value" not in table or "intensity.sum.variance" not in table:
        return None
    value, variance = table["intensity.sum.value"][rows], table["intensity.sum.variance"][rows]
    ratio = np.divide(value, np.sqrt(np.maximum(variance, 0.0)), out=np.full(len(rows), np.nan), where=variance > 0)
    return ratio if np.isfinite(ratio).any() else None


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


def _by_image(images: Experiment, group: NDArray[np.int64], z: NDArray[np.int64], frames: Frames) -> _Places:
    """Images are rows of the experiments, those of one group one after the other."""
    pairing = pair_frames(images, frames, tell_spare=False)
    covered = np.zeros(len(frames), np.bool_)
    covered[pairing.frame[pairing.frame >= 0]] = True
    groups, begin, count = np.unique(images.group, return_index=True, return_counts=True)
    at = np.minimum(np.searchsorted(groups, group), len(groups) - 1)
    known = groups[at] == group
    if not known.all():
        raise FileError(f"{int((~known).sum())} reflections are of experiments that the .expt does not have")
    low = images.frame[begin[at]]
    still = count[at] == 1  # z of stills is not always their number
    first = np.where(still, 0, np.clip(z[:, 0] - low, 0, count[at])) + begin[at]
    last = np.where(still, 1, np.clip(z[:, 1] - low, 0, count[at])) + begin[at]
    return first, last, pairing.frame, tuple(np.flatnonzero(~covered).tolist())


def _to_frame(
    images: Experiment,
    table: ReflectionTable,
    rows: NDArray[np.intp],
    sides: NDArray[np.int64],
    slow: NDArray[np.float64],
    fast: NDArray[np.float64],
) -> None:
    """Pixels of panels become pixels of the frame, in place."""
    group, panel = table["id"][rows], table["panel"][rows].astype(np.intp)
    for number in np.unique(group):
        here = group == number
        detector: Any = images.detectors[images.detector[np.flatnonzero(images.group == number)[0]]]
        corner = np.array([[part.slow[0], part.fast[0]] for part in detector.panels])[panel[here]]
        slow[here] += corner[:, 0]
        fast[here] += corner[:, 1]
        sides[here] += corner[:, [0, 0, 1, 1]]
