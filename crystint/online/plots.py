"""Curves over the images of a series, and distributions of its spots, of bounded size."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from crystint.errors import RefusedError
from crystint.online.history import Rows, SeriesHistory
from crystint.online.quantities import curves_of
from crystint.online.result import empty_results
from crystint.online.spot_sums import INTENSITY_EDGES, Q_EDGES

__all__ = ["DISTRIBUTIONS", "POINTS", "Axis", "distribution", "plot"]

Axis = Literal["image", "time", "angle"]
POINTS = 1000
"""of a curve, where the bin is chosen here"""
MOST_POINTS = 20_000
DISTRIBUTIONS = {
    "d_histogram": "spots by 1/d",
    "powder": "spots by their place on the detector",
    "peakogram": "spots by 1/d and intensity",
}
"""Name and meaning of what is made of all spots of a series."""
_UNITS = {"image": "", "time": "s", "angle": "deg"}


def plot(
    series: SeriesHistory | None,
    quantity: str,
    x: Axis = "image",
    bin: int = 0,
    roi: str | None = None,
    first: int = 0,
) -> dict[str, Any]:
    """Curves of a quantity.

    Parameters
    ----------
    series : SeriesHistory or None
        None = there is none yet.
    quantity : str
        One of `crystint.online.quantities.NAMES`.
    x : {"image", "time", "angle"}
        Time is since the first image, angle that of the scan axis.
    bin : int
        Images whose mean is a point; 0 = as many as make at most 1000 points. It is made larger where there would be
        more than 20 000 points; the answer tells it.
    roi : str, optional
        One region; None = all of them.
    first : int
        Number of the first image that is answered. What counts earlier images (hit_rate, lost, rates) and the zero of
        the time are those of the whole series, so that a curve can be continued.

    Returns
    -------
    dict
        As `crystint.online.api_models.PlotModel`.

    Raises
    ------
    RefusedError
        When there is no such quantity or region.
    """
    rows = Rows(empty_results()) if series is None else series.ordered()
    curves = curves_of(rows, quantity, roi)
    along = _along(rows, x)
    numbers = rows.column("frame")
    begin = int(np.searchsorted(numbers, first))
    numbers, along = numbers[begin:], along[begin:]
    extent = int(numbers[-1] - numbers[0]) + 1 if len(numbers) else 0
    if bin == 0:
        bin = max(-(-extent // POINTS), 1)
    if len(numbers) > MOST_POINTS:
        bin = max(bin, -(-extent // MOST_POINTS))
    starts = _bins(numbers, bin)
    places = _means(along, starts)
    return {
        "title": curves[0].title if curves else quantity,
        "unit_x": _UNITS[x],
        "unit_y": curves[0].unit if curves else "",
        "bin": bin,
        "images": numbers[starts],
        "series": [
            {"name": curve.name, "x": places, "y": _reduced(curve.name, curve.values[begin:], starts)}
            for curve in curves
        ],
    }


def _bins(numbers: NDArray[np.int64], bin: int) -> NDArray[np.intp]:
    """Where the images of each bin begin; bins without an image are left out."""
    if not len(numbers):
        return np.zeros(0, np.intp)
    of = numbers // bin
    return np.concatenate([[0], np.flatnonzero(of[1:] != of[:-1]) + 1])


def _along(rows: Rows, x: Axis) -> NDArray[np.float64]:
    if x in ("image", "angle"):
        return rows.column("frame" if x == "image" else "angle").astype(np.float64)
    started = rows.column("t_start")
    times = np.where(started >= 0, started, rows.column("t_received"))
    some = times[times >= 0]
    return np.where(times >= 0, 1e-9 * (times - (some.min() if len(some) else 0)), np.nan)


def _reduced(name: str, values: NDArray[np.float64], starts: NDArray[np.intp]) -> NDArray[np.float64]:
    if name == "lost" and len(starts):  # a count: that at the end of the bin
        return np.asarray(values[np.append(starts[1:], len(values)) - 1])
    return _means(values, starts)


def _means(values: NDArray[np.float64], starts: NDArray[np.intp]) -> NDArray[np.float64]:
    """Of the values of each bin that are known; NaN where none is."""
    if not len(starts):
        return np.zeros(0)
    good = np.isfinite(values)
    sums = np.add.reduceat(np.where(good, values, 0.0), starts)
    counts = np.add.reduceat(good.astype(np.int64), starts)
    means = np.full(len(starts), np.nan)
    np.divide(sums, counts, out=means, where=counts > 0)
    return means


def distribution(series: SeriesHistory | None, name: str) -> dict[str, Any]:
    """What is made of all spots of a series: one of `DISTRIBUTIONS`.

    Returns
    -------
    dict
        As `crystint.online.api_models.PlotModel`: a curve, or a map z[y][x].

    Raises
    ------
    RefusedError
        When nothing is there yet.
    """
    if series is None:
        raise RefusedError("not_found", "there is no series yet", "quantity")
    sums = series.sums
    q = 0.5 * (Q_EDGES[1:] + Q_EDGES[:-1])
    title = DISTRIBUTIONS[name]
    if name == "d_histogram":
        curve = {"name": "spots", "x": q, "y": sums.by_q.astype(np.float64)}
        return {"title": title, "unit_x": "1/angstrom", "unit_y": "", "bin": 1, "series": [curve]}
    if name == "peakogram":
        return {
            "title": title, "unit_x": "1/angstrom", "unit_y": "count", "bin": 1, "series": [], "x": q,
            "y": np.sqrt(INTENSITY_EDGES[1:] * INTENSITY_EDGES[:-1]), "z": sums.peakogram,
        }  # fmt: skip
    if sums.powder is None:
        raise RefusedError("not_found", "no spots of this series are there yet, or its start told no shape", "quantity")
    slow, fast = sums.powder.shape
    return {
        "title": title, "unit_x": "px", "unit_y": "px", "bin": sums.bin, "series": [],
        "x": (np.arange(fast) + 0.5) * sums.bin, "y": (np.arange(slow) + 0.5) * sums.bin, "z": sums.powder,
    }  # fmt: skip
