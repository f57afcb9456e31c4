"""What is not regular about a scan, in words."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from crystint.model.facts import counted
from crystint.model.scan import STILL, Scan

__all__ = ["irregularities"]

_SAME_STEP = 0.1
"""of the width: what the angle may differ from that at the end of the frame before"""
_ROUNDED = 2e-4
"""degrees: headers round angles to four digits"""
_SAME = 0.01
"""relative, of widths and exposures"""
_NAMED = 3
"""Frames that are named"""


def irregularities(
    scan: Scan, numbers: NDArray[np.int64] | None = None, named: Callable[[int], str] = "frame {}".format
) -> list[str]:
    """A sentence for each thing that programs which take a scan for regular would get wrong; none for a regular scan.

    Parameters
    ----------
    scan : Scan
    numbers : int64 [frames], optional
        Of the frames in the whole sequence: the angles of a selection may leave out what the selection does.
    named : callable
        How a message names a frame, by its number in the scan.
    """
    told = [*_steps(scan, np.arange(len(scan)) if numbers is None else numbers, named)]
    for what, values, unit in (
        ("turn by", np.where(np.abs(scan.width) <= STILL, 0.0, scan.width), "degrees"),
        ("are exposed for", scan.exposure, "s"),
        ("have a frame time of", scan.frame_time, "s"),
    ):
        usual = _usual(values)
        others = np.flatnonzero(np.abs(values - usual) > _SAME * abs(usual))
        if len(others):
            of = _listed(others, named)
            told.append(
                f"frames {what} {usual:.6g} {unit}, but {of} differ: {values[others[0]]:.6g} {unit} in the first"
            )
    unknown = np.flatnonzero(np.isnan(scan.angles).any(axis=0))
    if 0 < len(unknown) < len(scan):
        told.append(f"no angle is told of {_listed(unknown, named)}")
    untold = np.flatnonzero(np.isnan(scan.width) & np.isfinite(scan.angles).all(axis=0))
    if 0 < len(untold) < len(scan):
        told.append(f"no width is told of {_listed(untold, named)}")
    return told


def _usual(values: NDArray[np.float64]) -> float:
    """The value that most frames have, but for rounding; NaN where none is told."""
    told = np.sort(values[np.isfinite(values)])
    if not len(told):
        return np.nan
    margin = _SAME * np.abs(told)
    low, high = np.searchsorted(told, told - margin, "left"), np.searchsorted(told, told + margin, "right")
    most = int(np.argmax(high - low))
    return float(told[(low[most] + high[most]) // 2])


def _steps(scan: Scan, numbers: NDArray[np.int64], named: Callable[[int], str]) -> list[str]:
    """Where the angle does not go on from frame to frame."""
    if not scan.rotates or len(scan) < 2:
        return []
    angle, width = scan.angles[scan.scan_axis], scan.width
    expected = width[:-1] * np.diff(numbers)
    moved = np.diff(angle)
    wrong = np.flatnonzero(np.abs(moved - expected) > _SAME_STEP * np.abs(width[:-1]) + _ROUNDED)
    if not len(wrong):
        return []
    name = scan.names[scan.scan_axis]
    order = np.argsort(angle * np.sign(np.nanmedian(width)), kind="stable")
    sense = np.sign(expected)
    standing = np.abs(moved) <= _SAME_STEP * np.abs(width[:-1]) + _ROUNDED
    told = []
    for which, words in (
        (standing, "the same angle again"),
        (~standing & (moved * sense < 0.0), "a step back"),
        (~standing & (moved * sense > 0.0) & (np.abs(moved) < np.abs(expected)), "an overlap"),
        (~standing & (moved * sense > 0.0) & (np.abs(moved) > np.abs(expected)), "a gap"),
    ):
        places = wrong[which[wrong]]
        if not len(places):
            continue
        first = int(places[0])
        told.append(
            f"{name} has {words} at {_listed(places + 1, named)}: after {angle[first]:.6g} degrees, width "
            f"{width[first]:.6g}, comes {angle[first + 1]:.6g}"
        )
    if len(set(angle.tolist())) == len(angle) and (moved * sense < 0.0).any() and not (np.diff(order) == 1).all():
        told.append(f"the frames are not in the order of {name}; give the files in that order")
    return told


def _listed(frames: NDArray[np.intp], named: Callable[[int], str]) -> str:
    """The first few by name, and how many more."""
    some = ", ".join(named(int(number)) for number in frames[:_NAMED])
    return some if len(frames) <= _NAMED else f"{some} and {counted(len(frames) - _NAMED, 'more frame')}"
