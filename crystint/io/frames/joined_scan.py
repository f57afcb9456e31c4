"""The scan and the instrument of a sequence of files: what each tells, put together where it agrees."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from crystint.errors import note, warn
from crystint.io.frames.readers import ToldScan
from crystint.model.instrument import Instrument
from crystint.model.scan import STILL, Scan
from crystint.model.scan_checks import irregularities

__all__ = ["joined_instrument", "joined_scan"]

_SAME_AXIS = 1e-4
_SAME_ANGLE = 2e-4
"""degrees"""


def joined_scan(
    told: Sequence[ToldScan],
    files: Sequence[str],
    counts: Sequence[int],
    frames: NDArray[np.int64] | None,
    numbers: NDArray[np.int64],
) -> Scan | None:
    """One scan of all frames; None where the files tell none, or scans that are not one.

    Parameters
    ----------
    told : ToldScan
        Of each file.
    files : str
        Their names, for messages.
    counts : int
        How many frames each has.
    frames : int64 [n], optional
        The frames that count, of all of the files; None = all.
    numbers : int64 [n]
        Of these frames in the whole sequence that they were selected from.

    Warns
    -----
    CrystintWarning
        Of gaps, repeated angles, unequal widths and exposures, another order than that of the angles, files that tell
        no scan or another one.
    CrystintNote
        Where the direction of the axis is a guess.
    """
    for problem in dict.fromkeys(problem for one in told for problem in one.problems):
        warn(problem)
    telling = [number for number, each in enumerate(told) if each.scan is not None]
    if not telling:
        return None
    first = told[telling[0]].scan
    assert first is not None
    parts = []
    for number, (each, count) in enumerate(zip(told, counts, strict=True)):
        part = each.scan
        if part is None:
            nothing = np.full((len(first.names), count), np.nan)
            part = Scan(first.names, first.vectors, nothing, first.scan_axis, np.full(count, np.nan), zone=first.zone)
        elif difference := _other(first, part):
            warn(
                f"the files differ in {difference}, {files[telling[0]]} and {files[number]}: they are not one scan, "
                "and none is kept; work on them one after the other"
            )
            return None
        parts.append(part)
    if len(telling) < len(told):
        silent = [file for file, each in zip(files, told, strict=True) if each.scan is None]
        warn(f"{len(silent)} of {len(files)} files, {silent[0]} first, tell no scan; their angles are not known")
    scan = Scan.joined([_turning_as(part, first) for part in parts])
    scan = _unwrapped(scan if frames is None else scan.select(frames))
    if scan.rotates and len(scan) > 1 and (np.ptp(scan.angles, axis=1) <= _SAME_ANGLE).all():
        warn(
            f"{files[0]} and the others tell a width of {np.max(np.abs(scan.width)):.6g} degrees, but all "
            f"{len(scan)} frames start at the same angle: they are taken for stills"
        )
        scan = replace(scan, width=np.zeros(len(scan)))
    for sentence in irregularities(scan, numbers, _Names(files, counts, frames)):
        warn(f"the scan is not regular: {sentence}")
    for guess in dict.fromkeys(guess for each in told for guess in each.guesses) if scan.rotates else ():
        note(f"{files[0]}: {guess}")
    return scan


def joined_instrument(parts: Sequence[Instrument], files: Sequence[str]) -> Instrument:
    """What the files tell; of facts that differ the one of the first is kept, with a warning."""
    together = parts[0].to_dict()
    for name in dict.fromkeys(name for part in parts for name in part.to_dict()):
        values = dict.fromkeys(value for part in parts if (value := part.to_dict().get(name)) is not None)
        together.setdefault(name, next(iter(values)))
        if len(values) > 1:
            one, other = list(values)[:2]
            warn(f"the files differ in the {name} of the instrument: {one} and {other}; {together[name]} is kept")
    return Instrument.from_dict(together)


class _Names:
    """How a frame is named in a message: by its number, and by its file where there are several."""

    def __init__(self, files: Sequence[str], counts: Sequence[int], frames: NDArray[np.int64] | None) -> None:
        self._files, self._ends, self._frames = files, np.cumsum(counts), frames

    def __call__(self, number: int) -> str:
        if len(self._files) == 1:
            return f"frame {number}"
        place = number if self._frames is None else self._frames[number]
        return f"frame {number} ({self._files[int(np.searchsorted(self._ends, place, side='right'))]})"


def _other(first: Scan, part: Scan) -> str:
    """In what a scan cannot go on with another; "" where it can."""
    if part.names != first.names:
        return f"goniometer axes ({', '.join(first.names)}; {', '.join(part.names)})"
    if np.abs(part.vectors - first.vectors).max(initial=0.0) > _SAME_AXIS:
        return "the directions of goniometer axes"
    if part.scan_axis != first.scan_axis and part.rotates and first.rotates:
        return f"the axis that turns ({first.names[first.scan_axis]}; {first.names[part.scan_axis]})"
    if part.zone != first.zone and np.isfinite(part.times).any():
        return f"time zone ({first.zone or 'none'}; {part.zone or 'none'})"
    return ""


def _turning_as(part: Scan, first: Scan) -> Scan:
    """With the scan axis of the first: that of a still is arbitrary."""
    return part if part.scan_axis == first.scan_axis else replace(part, scan_axis=first.scan_axis)


def _unwrapped(scan: Scan) -> Scan:
    """With angles that go on beyond 360 degrees, where they start anew between two frames of one turn."""
    if not scan.rotates or len(scan) < 2:
        return scan
    angle, width = scan.angles[scan.scan_axis], scan.width[:-1]
    moved = np.diff(angle)
    turns = np.where(np.abs(moved) > 180.0, -360.0 * np.rint((moved - width) / 360.0), 0.0)
    close = np.abs(moved + turns - width) <= 0.5 * np.abs(width)
    angles = scan.angles.copy()
    angles[scan.scan_axis, 1:] += np.cumsum(np.where(close & (np.abs(width) > STILL), turns, 0.0))
    return replace(scan, angles=angles)
