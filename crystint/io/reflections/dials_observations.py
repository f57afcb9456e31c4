"""Integrated reflections of DIALS (.refl with its .expt) as `Observations`."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crystint.errors import FileError, SettingError, warn
from crystint.io.guard import reads_file
from crystint.io.reflections.dials_table import ReflectionTable, read_table
from crystint.model.experiment import Experiment
from crystint.model.observations import Flag, Observations

__all__ = ["Factors", "read_refl_observations"]

Factors = Callable[
    [NDArray[np.int32], NDArray[np.int32], NDArray[np.intp]], tuple[NDArray[np.float64], NDArray[np.float64]]
]

_SUM, _PROFILE = 1 << 8, 1 << 9
_FLAGS = {
    1 << 10: Flag.SATURATED,  # overloaded
    1 << 11: Flag.OVERLAPPED,  # foreground
    1 << 22: Flag.BAD_VALUE,  # left out by the user
    1 << 23: Flag.OUTLIER,
    1 << 24: Flag.BAD_VALUE,  # left out of scaling
}
"""what dials.integrate and dials.scale said, and what it becomes"""
_INTENSITIES = ("auto", "profile", "sum")


@reads_file
def read_refl_observations(
    path: str | Path,
    experiment: Experiment | None,
    *,
    intensity: str = "auto",
    batch: NDArray[np.int32] | None = None,
    factors: Factors | None = None,
) -> Observations:
    """The integrated reflections of a .refl file, as recorded.

    `image` is the row of the experiment with the reflection's ``id`` and, where that has several, the frame
    floor(z), or the nearest that its box reaches. `correction` is efficiency / lp and `partiality` that of
    summation, as DIALS uses them: sum * lp / (efficiency * partiality) is its unscaled intensity; intensities by
    profile fitting are of the whole reflection, their partiality is 1. Flags that mark rejections by DIALS are
    kept (`Flag.OUTLIER`, `Flag.BAD_VALUE`).

    Parameters
    ----------
    experiment : Experiment or None
        Of the .expt file that belongs to it; None: images are counted in the order of (id, floor(z)).
    intensity : "auto", "profile" or "sum"
        "auto": by profile fitting where at least half of the integrated reflections have it.
    batch : int32 [n], optional
        A number for each image of the experiment that stands in its place, see `crystint.model.batches.batches`.
    factors : callable, optional
        Of image [n], hkl [n, 3] and panel [n] it makes polarization and efficiency [n] each, for stills whose table
        lacks them (dials.stills_process writes no lp and no qe).

    Raises
    ------
    FileError
        When it is missing, damaged, or has no integrated reflections.
    SettingError
        When `intensity` is unknown.
    """
    if intensity not in _INTENSITIES:
        raise SettingError(f"intensity is {intensity!r}, expected one of {', '.join(_INTENSITIES)}")
    table = read_table(path)
    flags = table["flags"].astype(np.int64)
    profile = _by_profile(table, flags, intensity)
    name = "prf" if profile else "sum"
    rows = (flags & (_PROFILE if profile else _SUM)) != 0
    rows &= (table["id"] >= 0) & (table["miller_index"] != 0).any(axis=1)
    if not rows.any():
        raise FileError(f"{table.path} has no reflections integrated by {_name(profile)}; run dials.integrate")
    image, listed = _images(table, experiment, rows)
    if not listed.all():
        warn(f"{table.path}: {(~listed).sum()} reflections of images that the experiment does not have")
        if not listed.any():
            raise FileError(f"{table.path}: none of its reflections is of an image of the experiment; is it its own?")
    rows[rows] = listed
    image = image[listed]
    warn(f"{table.path}: {rows.sum()} intensities by {_name(profile)} of {len(table)} reflections")

    def column(name: str, default: float = np.nan) -> NDArray[np.float64]:
        if name in table:
            return np.asarray(table[name][rows], dtype=np.float64)
        return np.full(int(rows.sum()), default)

    value, variance = column(f"intensity.{name}.value"), column(f"intensity.{name}.variance")
    place = table["xyzcal.px" if "xyzcal.px" in table else "xyzobs.px.value"][rows]
    hkl = table["miller_index"][rows]
    own = None
    if factors is not None and experiment is not None and experiment.sweep is None:
        panel = table["panel"][rows].astype(np.intp)
        own = partial(factors, image, hkl, panel)
    correction, factor = _correction(table, rows, own), column("partiality", 1.0)
    marks = np.zeros(len(hkl), dtype=np.uint32)
    for bit, flag in _FLAGS.items():
        marks |= np.where(flags[rows] & bit, np.uint32(flag), np.uint32(0)).astype(np.uint32)
    bad = ~(np.isfinite(value) & (variance > 0.0) & (correction > 0.0) & (factor > 0.0))
    marks[bad] |= np.uint32(Flag.BAD_VALUE)
    slow, fast, excitation = place[:, 1].copy(), place[:, 0].copy(), None
    d = column("d")
    if experiment is not None:
        _to_frame(experiment, image, table["panel"][rows].astype(np.intp), slow, fast)
        r = np.einsum("nij,nj->ni", experiment.setting[image], hkl.astype(np.float64))
        s1 = np.linalg.norm(experiment.incident[image] + r, axis=1)
        excitation = s1 - np.linalg.norm(experiment.incident[image], axis=1) if batch is None else None
        d = np.where(np.isnan(d), 1.0 / np.linalg.norm(r, axis=1), d)
    return Observations(
        image=image if batch is None else np.asarray(batch)[image],
        hkl=hkl,
        intensity=value,
        sigma=np.sqrt(np.where(variance > 0.0, variance, np.nan)),
        d=d,
        partiality=np.ones(len(hkl)) if profile else factor,
        correction=correction,
        excitation=excitation,  # type: ignore[arg-type]
        slow=slow.astype(np.float32),
        fast=fast.astype(np.float32),
        background=column("background.mean").astype(np.float32),
        # of a sum, the variance is that of all counts: the signal's own is its counts
        background_variance=np.full(len(hkl), np.nan)
        if profile
        else np.maximum(variance - np.maximum(value, 0.0), 0.0),
        wavelength=column("wavelength").astype(np.float32),
        flags=marks,
    )


def _name(profile: bool) -> str:
    return "profile fitting" if profile else "summation"


def _by_profile(table: ReflectionTable, flags: NDArray[np.int64], intensity: str) -> bool:
    if intensity == "auto":
        if "intensity.prf.value" not in table:
            return False
        fitted, summed = int((flags & _PROFILE != 0).sum()), int((flags & _SUM != 0).sum())
        return fitted > 0 and 2 * fitted >= summed
    return intensity == "profile"


def _images(
    table: ReflectionTable, experiment: Experiment | None, rows: NDArray[np.bool_]
) -> tuple[NDArray[np.int32], NDArray[np.bool_]]:
    """Image of each row, and whether there is one."""
    name = "xyzcal.px" if "xyzcal.px" in table else "xyzobs.px.value"
    number, z = table["id"][rows].astype(np.int64), np.floor(table[name][rows][:, 2]).astype(np.int64)
    if experiment is None:
        _, image = np.unique(np.stack([number, z], axis=1), axis=0, return_inverse=True)
        return image.reshape(-1).astype(np.int32), np.ones(len(number), dtype=bool)
    group, frame = experiment.group, experiment.frame
    box = table["bbox"][rows][:, 4:].astype(np.int64) if "bbox" in table else np.stack([z, z + 1], axis=1)
    groups, member = np.unique(group, return_inverse=True)
    low, high = np.full(len(groups), np.iinfo(np.int64).max), np.full(len(groups), -1)
    np.minimum.at(low, member, frame)
    np.maximum.at(high, member, frame)
    own = np.minimum(np.searchsorted(groups, number), len(groups) - 1)
    # A centroid beside the sweep belongs to the nearest image that recorded some of the reflection; an experiment
    # of one image has nothing to choose from: z of stills is not always its number.
    near = np.clip(z, low[own], high[own])
    z = np.where((near >= box[:, 0]) & (near < box[:, 1]) | (low[own] == high[own]), near, z)
    start = int(min(frame.min(initial=0), z.min(initial=0)))
    span = int(max(frame.max(initial=0), z.max(initial=0))) - start + 1
    key, wanted = group * span + (frame - start), number * span + (z - start)
    order = np.argsort(key, kind="stable")
    place = np.minimum(np.searchsorted(key[order], wanted), len(key) - 1)
    return order[place].astype(np.int32), np.asarray(key[order][place] == wanted)


def _correction(
    table: ReflectionTable,
    rows: NDArray[np.bool_],
    own: Callable[[], tuple[NDArray[np.float64], NDArray[np.float64]]] | None,
) -> NDArray[np.float64]:
    """Efficiency / lp; what is not there from `own`, else 1; warns of either."""
    correction = np.ones(int(rows.sum()))
    efficiency = next((name for name in ("dqe", "qe") if name in table), None)
    if efficiency is not None:
        correction *= table[efficiency][rows]
    if "lp" in table:
        with np.errstate(divide="ignore"):
            correction /= table["lp"][rows]
    missing = [name for name, there in (("lp", "lp" in table), ("qe", efficiency is not None)) if not there]
    if not missing:
        return correction
    if own is None:
        warn(f"{table.path} has no {' and no '.join(missing)}: intensities are not corrected for that")
        return correction
    for name, values in zip(("lp", "qe"), own(), strict=True):
        if name in missing:
            correction *= values
    what = " and ".join({"lp": "polarization", "qe": "efficiency of the sensor"}[name] for name in missing)
    warn(f"{table.path} has no {' and no '.join(missing)}: {what} computed from the experiment")
    return correction


def _to_frame(
    experiment: Experiment,
    image: NDArray[np.int32],
    panel: NDArray[np.intp],
    slow: NDArray[np.float64],
    fast: NDArray[np.float64],
) -> None:
    """Positions on panels become positions on the frame, in place."""
    which = experiment.detector[image]
    for number in np.unique(which):
        panels: Any = experiment.detectors[number].panels
        here = which == number
        corner = np.array([[part.slow[0], part.fast[0]] for part in panels])[np.minimum(panel[here], len(panels) - 1)]
        slow[here] += corner[:, 0]
        fast[here] += corner[:, 1]
