"""Boxes of the reflections that experiments of DIALS (.expt) predict, of stills and of crystals that turn."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crystint.errors import FileError, warn
from crystint.io.frames.sequence import Frames
from crystint.io.reflections.dials_experiments import read_expt
from crystint.io.reflections.dials_profiles import read_mosaicity
from crystint.io.reflections.dials_sweeps import Sweep, read_sweeps
from crystint.model.experiment import Experiment
from crystint.model.geometry import Geometry
from crystint.prediction.boxes import BoxOptions, ReflectionBoxes, whole_pixels
from crystint.prediction.defaults import MOSAICITY, RADIUS, SIGMA_B
from crystint.prediction.model_fit import check_angles, check_detector, tell_stills, tell_uncovered
from crystint.prediction.pair_frames import pair_frames
from crystint.prediction.partiality import RockingWidth
from crystint.prediction.predict import predict
from crystint.prediction.resolution import edge_resolution
from crystint.prediction.rotation import Crossings, crossings, spot_boxes

__all__ = ["boxes_of_experiments"]

_MOST = 1e9
"""lattice points within d_min above which a cell is taken for a mistake"""
_SHOEBOX = 2.0
"""size of a box in those of the spot: as much again on either side is background, as dials.integrate takes it"""
_PADDING = np.radians(1.0)
"""DIALS looks at the ends of a scan for reflections that cross up to so much before or after it"""
_DOMAIN = 1e-3
"""1/angstrom: width of the rocking curve of stills"""
_COLUMNS = ("box", "slow", "fast", "first", "last", "hkl", "d", "outside")
_Part = dict[str, NDArray[Any]]


def boxes_of_experiments(path: Path, frames: Frames, geometry: Geometry | None, options: BoxOptions) -> ReflectionBoxes:
    """Predict reflections, and the pixels they occupy.

    Raises
    ------
    FileError
        When the file has no crystal, or does not fit the frames.
    """
    images = read_expt(path)
    check_detector(path, images, frames, geometry)
    pairing = pair_frames(images, frames, tell_spare=False)
    uncovered = tell_uncovered(path, pairing, frames)
    d_min = edge_resolution(images) if options.d_min is None else options.d_min
    bad = images.unusable()
    if len(bad) == len(images):
        raise FileError(f"{path}: nothing can be predicted: {next(iter(bad.values()))}")
    sweeps = {sweep.group: sweep for sweep in read_sweeps(path)}
    parts: list[_Part] = []
    turning = np.isin(images.group, list(sweeps))
    for group, sweep in sweeps.items():
        rows = np.flatnonzero(images.group == group)
        check_angles(path, sweep, pairing.frame[rows], frames)
        if (pairing.frame[rows] >= 0).any() and not set(rows.tolist()) & bad.keys():
            parts.append(_of_sweep(path, sweep, images, int(rows[0]), d_min, options))
    stills = np.flatnonzero(~turning & (pairing.frame >= 0))
    if len(stills):
        tell_stills(path, pairing.frame[stills], frames.scan)
        parts.append(_of_stills(path, images, stills, d_min, options))
    for reason in list(bad.values())[:3]:
        warn(f"{path}: {reason}: no boxes for it")
    columns = {name: np.concatenate([part[name] for part in parts]) for name in _COLUMNS} if parts else {}
    if not parts or not len(columns["box"]):
        raise FileError(f"{path} predicts no reflection on the frames to {d_min:.3g} angstrom")
    return ReflectionBoxes.of_ranges(
        columns["box"],
        columns["slow"],
        columns["fast"],
        columns["first"],
        columns["last"],
        len(frames),
        place=pairing.frame,
        d=columns["d"],
        hkl=columns["hkl"],
        outside=columns["outside"] if columns["outside"].any() else None,
        uncovered=uncovered,
        files=(path,),
        facts={"model": str(path), "d_min": d_min, "margin": options.margin},
    )


def _of_sweep(path: Path, sweep: Sweep, images: Experiment, begin: int, d_min: float, options: BoxOptions) -> _Part:
    """Reflections of a crystal that turns; `begin` is the row of its first image."""
    points = 4.0 / 3.0 * np.pi / d_min**3 / abs(float(np.linalg.det(sweep.lattice[0])))
    if points > _MOST:
        raise FileError(
            f"{path}: the cell of experiment {sweep.group} gives {points:.3g} reflections to {d_min:.3g} angstrom; "
            "give a larger --d-min, or the right model"
        )
    sigma_m = sweep.sigma_m
    if options.mosaicity is not None:
        sigma_m = np.full(sweep.images, np.radians(options.mosaicity))
    guessed = [f"mosaicity {MOSAICITY:g}"] if sigma_m is None else []
    sigma_m = np.full(sweep.images, np.radians(MOSAICITY)) if sigma_m is None else sigma_m
    reach = sweep.n_sigma * float(sigma_m.max())
    spots = crossings(sweep, d_min, images.space_group, reach, _PADDING)
    image = np.clip(np.floor(spots.z).astype(np.intp), 0, sweep.images - 1)
    if options.radius is None:
        guessed += [f"divergence {SIGMA_B:g}"] if sweep.sigma_b is None else []
        sigma_b = np.full(sweep.images, np.radians(SIGMA_B)) if sweep.sigma_b is None else sweep.sigma_b
        ends = spot_boxes(spots, sweep, _SHOEBOX * sweep.n_sigma * sigma_b[image])
    else:
        ends = _around(spots.slow, spots.fast, options.radius)
    box = whole_pixels(ends, sweep.detector, spots.panel, options.margin)
    if guessed:
        sizes = (box[:, 1::2] - box[:, ::2]).ravel()
        size = f", so that boxes are {sizes.min()} to {sizes.max()} px wide" if len(sizes) else ""
        warn(
            f"{path} has no profile model; {' and '.join(guessed)} degrees are taken{size}: "
            "--keep-mosaicity and --keep-radius give others, and so do experiments after dials.integrate"
        )
    first, last, outside = _images(spots, sweep, sweep.n_sigma * sigma_m[image])
    return {
        "box": box,
        "slow": spots.slow,
        "fast": spots.fast,
        "first": first + begin,
        "last": last + begin,
        "hkl": spots.hkl,
        "d": spots.d,
        "outside": outside,
    }


def _images(
    spots: Crossings, sweep: Sweep, size: NDArray[np.float64]
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.bool_]]:
    """First image, the one after the last, and whether a spot is not in the scan at all."""
    half = spots.half_width(size, sweep)
    low, high = spots.z - half, spots.z + half
    first = np.clip(np.floor(low).astype(np.int64), 0, sweep.images - 1)
    last = np.clip(np.ceil(high).astype(np.int64), first + 1, sweep.images)
    return first, last, np.asarray((high <= 0.0) | (low >= sweep.images))


def _around(slow: NDArray[np.float64], fast: NDArray[np.float64], radius: float) -> NDArray[np.float64]:
    return np.stack([slow - radius, slow + radius, fast - radius, fast + radius], axis=1)


def _of_stills(path: Path, images: Experiment, rows: NDArray[np.intp], d_min: float, options: BoxOptions) -> _Part:
    """Reflections of stills."""
    spread, origin = options.mosaicity, "given"
    if spread is None:
        profile = read_mosaicity(path)
        spread, origin = (MOSAICITY, "a guess") if profile is None else (float(np.degrees(profile)), "of the profile")
    width = RockingWidth(_DOMAIN, np.sqrt(2.0) * np.radians(spread), images.bandwidth)
    radius = RADIUS if options.radius is None else options.radius
    warn(
        f"{path}: reflections of stills are predicted with a mosaicity of {spread:.3g} degrees ({origin}) and boxes of "
        f"{2 * (radius + options.margin) + 1:.0f} px; --keep-mosaicity and --keep-radius give others"
    )
    prediction = predict(images, d_min, width, images=rows)
    for reason in list(prediction.notes.values())[:3]:
        warn(f"{path}: {reason}: no boxes for it")
    box = np.zeros((len(prediction), 4), np.int32)
    ends, which = _around(prediction.slow, prediction.fast, radius), images.detector[prediction.image]
    for number in np.unique(which):
        here = which == number
        box[here] = whole_pixels(ends[here], images.detectors[number], prediction.panel[here], options.margin)
    return {
        "box": box,
        "slow": prediction.slow,
        "fast": prediction.fast,
        "first": prediction.image.astype(np.int64),
        "last": prediction.image.astype(np.int64) + 1,
        "hkl": prediction.hkl,
        "d": prediction.d,
        "outside": np.zeros(len(prediction), np.bool_),
    }
