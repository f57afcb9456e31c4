"""Boxes of the reflections that a stream of CrystFEL lists."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from crystint.errors import FileError
from crystint.io.frames.sequence import Frames
from crystint.io.reflections.crystfel_stream import read_stream
from crystint.model.geometry import Geometry
from crystint.prediction.boxes import BoxOptions, ReflectionBoxes, whole_pixels
from crystint.prediction.defaults import RADIUS
from crystint.prediction.model_fit import check_detector, tell_uncovered
from crystint.prediction.offsets import panels_at
from crystint.prediction.pair_frames import pair_frames

__all__ = ["boxes_of_stream"]


def boxes_of_stream(path: Path, frames: Frames, geometry: Geometry | None, options: BoxOptions) -> ReflectionBoxes:
    """Boxes around the places of the reflections that the stream lists for each crystal.

    Raises
    ------
    FileError, GeometryError
        When it has no crystal, no reflections or no geometry, or does not fit the frames.
    """
    stream = read_stream(path)
    images, table = stream.experiment, stream.observations
    check_detector(path, images, frames, geometry)
    pairing = pair_frames(images, frames, tell_spare=False)
    uncovered = tell_uncovered(path, pairing, frames)
    limit = 0.0 if options.d_min is None else options.d_min
    rows = np.flatnonzero(np.isfinite(table.slow) & np.isfinite(table.fast) & (table.d >= limit))
    slow, fast = table.slow[rows].astype(np.float64), table.fast[rows].astype(np.float64)
    radius = RADIUS if options.radius is None else options.radius
    ends = np.stack([slow - radius, slow + radius, fast - radius, fast + radius], axis=1)
    box, which = np.zeros((len(rows), 4), np.int32), images.detector[table.image[rows]]
    for number in np.unique(which):
        here, detector = which == number, images.detectors[number]
        panel = panels_at(detector, slow[here], fast[here])
        box[here] = np.where((panel >= 0)[:, None], whole_pixels(ends[here], detector, panel, options.margin), 0)
    if not len(rows):
        raise FileError(f"{path} lists no reflections of its crystals; run indexamajig with integration")
    return ReflectionBoxes.of_ranges(
        box,
        slow,
        fast,
        table.image[rows],
        table.image[rows] + 1,
        len(frames),
        place=pairing.frame,
        d=table.d[rows],
        hkl=table.hkl[rows],
        uncovered=uncovered,
        files=(path,),
        facts={"model": str(path), "margin": options.margin, "radius": radius},
    )
