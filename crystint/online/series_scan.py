"""How the sample of a series was turned and exposed, as far as its start tells."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from crystint.model.scan import STILL, Scan
from crystint.stream.messages import Start

__all__ = ["rotates", "series_scan"]

_MOTORS = ("phi", "kappa", "chi", "omega")
"""The one next to the crystal first."""


def rotates(start: Start) -> bool:
    """Whether an axis turns from image to image."""
    return any(abs(step) > STILL for _, step in start.goniometer.values())


def series_scan(start: Start, images: int, began: ArrayLike | None = None) -> tuple[Scan, tuple[str, ...]]:
    """The scan of the first images of a series.

    Streams tell angles, and no directions of axes: the last axis that turns is taken along the fast direction of the
    detector, as DIALS and `crystint` do with masters of DECTRIS.

    Parameters
    ----------
    start : Start
    images : int
    began : float [images], optional
        s since 1970-01-01 UTC, begin of each exposure; NaN = not known.

    Returns
    -------
    Scan
        Of `images` frames; without axes where none is told.
    tuple of str
        What was guessed or left out.

    Examples
    --------
    >>> from crystint.online.series_scan import series_scan
    >>> from crystint.stream.messages import SeriesKey, Start
    >>> start = Start(SeriesKey(1), (10, 12), "stream2", frame_time=0.01, goniometer={"omega": (90.0, 0.1)})
    >>> scan, guesses = series_scan(start, 3)
    >>> scan.angles.tolist(), len(guesses)
    ([[90.0, 90.1, 90.2]], 1)
    """
    order = {name: place for place, name in enumerate(_MOTORS)}
    axes = sorted(start.goniometer.items(), key=lambda axis: order.get(axis[0], -1))
    moving = [axis for axis in axes if abs(axis[1][1]) > STILL]
    chosen = moving[-1:] or axes[-1:]
    guesses = []
    for name, _ in chosen:
        others = [f"{other} {at:g}" for other, (at, _) in axes if other != name and at]
        left = f" ({', '.join(others)} degrees left out)" if others else ""
        guesses.append(f"the direction of {name} is not told; it is taken along fast, as DIALS does{left}")
    if len(moving) > 1:
        guesses.append(f"{', '.join(name for name, _ in moving)} turn at once; {chosen[0][0]} is taken for the scan")
    steps = np.arange(images)
    angles = np.array([at + step * steps for _, (at, step) in chosen]).reshape(len(chosen), images)
    times = np.full(images, np.nan) if began is None else np.asarray(began, np.float64)
    if images and began is None and start.armed is not None:
        times[0] = start.armed * 1e-9
    made = Scan(
        tuple(name for name, _ in chosen),
        np.array([[1.0, 0.0, 0.0]] * len(chosen)).reshape(-1, 3),
        angles,
        width=np.full(images, moving[-1][1][1] if moving else 0.0),
        exposure=np.full(images, np.nan if start.count_time is None else start.count_time),
        frame_time=np.full(images, np.nan if start.frame_time is None else start.frame_time),
        times=times,
        zone="Z",
    )
    return made, tuple(guesses)
