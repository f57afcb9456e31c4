"""Runs on stills and streams of indexed images as series: the frames that they name, under the spots that they have."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crystint.errors import FileError, GeometryError, RefusedError, note, warn
from crystint.io.frames.sequence import Frames, open_frames
from crystint.io.geometry.lab_frame import geometry_in_lab
from crystint.io.peaks.by_frame import PeaksByFrame
from crystint.io.reflections.crystfel_stream import read_stream_images
from crystint.model.experiment import UNPLACED, Detector, Experiment
from crystint.model.facts import counted
from crystint.model.frame_table import FrameStatus
from crystint.model.geometry import Geometry
from crystint.model.observations import Flag, Observations
from crystint.model.peaks import PeakFlag, PeakList, unknown_peaks
from crystint.online.file_parts import (
    FileRequest,
    of_frames,
    resolved,
    rows_of_scan,
    series_of,
    shape_of_spots,
    start_of,
)
from crystint.online.file_series import EmptyFrames, FileSeries, PeaksOfFile, SpotOverlay
from crystint.online.result import empty_results
from crystint.prediction.pair_frames import frames_of_sources
from crystint.stills.files import open_stills

__all__ = ["open_run", "open_stream"]

_AT_ONCE = 1 << 18
"""observations that are read together"""
_FLAGS = {Flag.SATURATED: PeakFlag.SATURATED, Flag.MASKED: PeakFlag.MASKED, Flag.EDGE: PeakFlag.EDGE}


@dataclass(frozen=True, eq=False)
class FramesOfImages:
    """Frames in the order of images, of which some may share one."""

    frames: Frames
    chosen: NDArray[np.int64]
    """int64 [images]: frame of each; -1 = it is not there"""
    source: Sequence[str]
    """what the file calls it"""

    @property
    def shape(self) -> tuple[int, int]:
        """(slow, fast)"""
        return self.frames.shape

    @property
    def dtype(self) -> np.dtype[Any]:
        """of the frames"""
        return self.frames.dtype

    def __len__(self) -> int:
        return len(self.chosen)

    def read(self, index: int) -> NDArray[Any]:
        """One frame."""
        if self.chosen[index] < 0:
            raise FileError(f"its frame, {self.source[index] or 'which has no name'}, is not there, or may not be read")
        return self.frames.read(int(self.chosen[index]))

    def place(self, index: int) -> tuple[str, int]:
        """File and number in it; where it is not there, what it is called, and -1."""
        if self.chosen[index] < 0:
            return self.source[index], -1
        at = self.frames.source(int(self.chosen[index]))
        return at.file, at.index

    def close(self) -> None:
        """Let go of the files."""
        self.frames.close()


@dataclass(frozen=True, eq=False)
class SpotsOfRun:
    """The places of the observations of a run whose rows are sorted by image; they are read when they are asked for."""

    path: Path
    first: NDArray[np.int64]
    """int64 [images + 1]: row of the first observation of each"""

    def of(self, frame: int) -> PeakList:
        """Those of an image."""
        here = 0 <= frame < len(self.first) - 1
        return self._rows(*map(int, self.first[frame : frame + 2])) if here else unknown_peaks()

    def blocks(self) -> Iterator[PeakList]:
        """All of them, some at a time."""
        for start in range(0, int(self.first[-1]), _AT_ONCE):
            yield self._rows(start, min(start + _AT_ONCE, int(self.first[-1])))

    def _rows(self, start: int, stop: int) -> PeakList:
        with open_stills(self.path) as file:
            return _spots_of(file.observations(start, stop))


def open_run(request: FileRequest, stack: ExitStack) -> FileSeries:
    """A file of `crystint stills`: its images, and where its observations are.

    Raises
    ------
    RefusedError
        When it has no images.
    FileError
        When it is damaged.
    """
    path = request.paths[0]
    with open_stills(path) as file:
        experiment, image = file.get("experiment"), file.image_of_rows()
        notes: dict[int, str] = file.get("notes") or {}
        scales = file.get("scales")
    if experiment is None or not len(experiment):
        text = f"{path.name} is a stills file without images: `crystint plot` draws what was merged"
        raise RefusedError("bad_value", text, "path")
    n = len(experiment)
    if len(image) and not 0 <= image.min() <= image.max() < n:
        raise FileError(f"{path} is damaged: it has observations of images that it does not have")
    counts = np.bincount(image, minlength=n)
    spots: PeaksOfFile
    if (np.diff(image) >= 0).all():
        spots = SpotsOfRun(path, np.concatenate([[0], np.cumsum(counts)]))
    else:
        with open_stills(path) as file:
            whole = _spots_of(file.observations())
        whole = whole[np.argsort(whole["frame"], kind="stable")]
        spots = PeaksByFrame(path, np.bincount(whole["frame"], minlength=n), "", whole)
    detector = experiment.detectors[int(experiment.detector[0])]
    if len(experiment.detectors) > 1:
        text = "the one of the first image is shown for all"
        note(f"{path.name} has {len(experiment.detectors)} places of the detector: {text}")
    told = None if detector == UNPLACED else _geometry_of(path, detector, experiment)
    series = _opened(request, stack, experiment.source, spots, told, None if detector == UNPLACED else detector.shape)
    rows = series.arrived.table.copy()
    if len(image):
        rows["n_spots"] = counts
    failed = {number: why for number, why in notes.items() if not counts[number]}
    failed |= {} if scales is None else scales.failed
    rows["status"][list(failed)] = FrameStatus.FAILED
    series.put(rows)
    if failed:
        first = failed[min(failed)]
        note(f"{path.name} has nothing of {counted(len(failed), 'image')}, which count as failed; the first: {first}")
    if len(image):
        series.add_overlay(SpotOverlay(path.name, str(request.key), spots))
        note(
            f"the spots of {path.name} are the predicted places of its observations, and n_spots is their number; "
            "scales, temperature factors, cells and correlations are no columns of results: `crystint plot` draws them"
        )
    else:
        note(
            f"{path.name} has images and no observations: there are the frames that it names, without spots of its own"
        )
    return series


def open_stream(request: FileRequest, stack: ExitStack) -> FileSeries:
    """A stream of CrystFEL: an image for each chunk, and its peaks.

    Raises
    ------
    FileError, GeometryError
        When it cannot be read.
    """
    path = request.paths[0]
    stream = read_stream_images(path)
    counts = np.bincount(stream.peaks["frame"], minlength=len(stream.source))
    spots = PeaksByFrame(path, counts, "", stream.peaks)
    told = None
    if stream.detector is not None:
        told = _placed(path, stream.detector, wavelength=stream.wavelength)
    shape = None if stream.detector is None else stream.detector.shape
    series = _opened(request, stack, stream.source, spots, told, shape)
    rows = series.arrived.table.copy()
    rows["n_spots"] = counts
    series.put(rows)
    series.add_overlay(SpotOverlay(path.name, str(request.key), spots))
    if stream.reflections:
        text = f"of {counted(stream.reflections, 'image')} that list no peak, they are the integrated reflections"
        note(f"the spots of {path.name} are the peaks that it lists; {text}")
    return series


def _spots_of(observations: Observations) -> PeakList:
    """Peaks at the places of observations; those without a place are left out."""
    peaks = unknown_peaks(len(observations))
    peaks["frame"] = observations.image
    for name in ("slow", "fast", "intensity", "sigma", "background", "d"):
        peaks[name] = getattr(observations, name)
    with np.errstate(invalid="ignore", divide="ignore"):
        peaks["snr"] = peaks["intensity"] / peaks["sigma"]
    for flag, ours in _FLAGS.items():
        peaks["flags"] |= np.where(observations.flags & np.uint32(flag), np.uint32(ours), np.uint32(0))
    placed: PeakList = peaks[np.isfinite(peaks["slow"]) & np.isfinite(peaks["fast"])]
    return placed


def _geometry_of(path: Path, detector: Detector, experiment: Experiment) -> Geometry | None:
    beam = experiment.incident[0]
    return _placed(
        path,
        detector,
        beam=beam,
        horizontal=np.cross(experiment.polarization_normal, beam),
        wavelength=float(experiment.wavelength[0]),
        polarization=2.0 * experiment.polarization_fraction - 1.0,
    )


def _placed(path: Path, detector: Detector, **how: Any) -> Geometry | None:
    try:
        return geometry_in_lab(detector.panels, detector.shape, beam_outside=True, **how)
    except GeometryError as error:
        warn(f"{path.name} does not tell where its detector is ({error}): there are no resolutions without -g")
        return None


def _opened(
    request: FileRequest,
    stack: ExitStack,
    source: Sequence[str],
    spots: PeaksOfFile,
    told: Geometry | None,
    shape: tuple[int, int] | None,
) -> FileSeries:
    """A series of the frames that are named, where they are there; else of empty images."""
    path = request.paths[0]
    series = _named(request, stack, source, told, shape)
    if series is not None:
        return series
    if shape is None:
        shape = shape_of_spots(spots.blocks())
        warn(f"{path.name} does not tell the shape of its frames: {shape[0]} x {shape[1]} px holds all of its spots")
    warn(f"the spots of {path.name} are shown on empty images: their counts are in the frames")
    start = start_of(request, shape, np.dtype(np.uint16), len(source), told, None, None)
    series = series_of(request, EmptyFrames(shape, len(source)), start)
    series.put(rows_of_scan(len(source), None, {}))
    return series


def _named(
    request: FileRequest,
    stack: ExitStack,
    source: Sequence[str],
    told: Geometry | None,
    shape: tuple[int, int] | None,
) -> FileSeries | None:
    """The frames that images are named after; None = not one is there."""
    path = request.paths[0]
    names = list(dict.fromkeys(each.partition("//")[0] for each in source if each))
    places = {name: resolved(Path(name), path.parent, request.allowed) for name in names}
    files = [place for place in places.values() if place is not None]
    absent = [name for name, place in places.items() if place is None]
    if absent:
        more = f" and {len(absent) - 1} more" if len(absent) > 1 else ""
        warn(f"frames of {path.name} are not there, or may not be read: {absent[0]}{more}")
    if not files:
        return None
    try:
        frames = stack.enter_context(open_frames(files, dataset=request.settings.dataset))
        chosen = frames_of_sources(source, frames)
    except FileError as error:
        warn(f"the frames of {path.name} cannot be read ({error})")
        return None
    if shape not in (None, frames.shape):
        warn(
            f"the frames of {path.name} are {frames.shape} (slow, fast), and its detector is {shape}: they are left out"
        )
        return None
    if not (chosen >= 0).any():
        warn(f"none of the images of {path.name} is in {files[0].name}, which it names")
        return None
    series = of_frames(request, frames, told)
    lost = np.flatnonzero(chosen < 0)
    rows = empty_results(len(source))
    there = chosen >= 0
    rows[there] = series.arrived.table[chosen[there]]
    rows["frame"], rows["source_frame"] = np.arange(len(source)), chosen
    rows["status"][lost] = FrameStatus.MISSING
    if len(lost):
        warn(f"the frames of {len(lost)} of the {len(source)} images of {path.name} are not there")
    series.frames = images = FramesOfImages(frames, chosen, source)
    series.start = None if series.start is None else replace(series.start, images=len(source))
    series.sources = images.place
    series.put(rows)
    return series
