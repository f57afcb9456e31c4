"""What can be plotted and mapped: columns of results and of regions, and what is made of them, by name."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from difflib import get_close_matches

import numpy as np
from numpy.typing import NDArray

from crystint.errors import RefusedError
from crystint.model.frame_table import Column, FrameStatus, is_known
from crystint.model.rois import ROI_COLUMNS
from crystint.online.history import Rows
from crystint.online.result import ONLINE_COLUMNS

__all__ = ["COUNTED", "LOW_IS_GOOD", "NAMES", "WATCHABLE", "WINDOW", "Quantity", "check_watchable", "curves_of"]

Floats = NDArray[np.float64]

_COLUMNS = {column.name: column for column in ONLINE_COLUMNS if column.name not in ("frame", "status")}
_REGIONS = {f"roi_{column.name}": column for column in ROI_COLUMNS}
_MADE = {
    "hit_rate": Column("hit_rate", "f8", "", "share of hits among the last 200 images that were looked at"),
    "latency": Column("latency", "f8", "s", "from a message to its result"),
    "rate_in": Column("rate_in", "f8", "1/s", "images that came per second"),
    "rate_out": Column("rate_out", "f8", "1/s", "images that were done per second"),
    "lost": Column("lost", "f8", "", "images until then that are missing, skipped or failed"),
}
NAMES: dict[str, str] = {
    name: column.meaning for name, column in {**_COLUMNS, **_MADE, **_REGIONS}.items() if name not in ("picked",)
}
"""Name and meaning of every quantity of an image."""
LOW_IS_GOOD = ("d_min", "background", "ice_score", "expected_false_spots", "bad", "latency", "roi_background")
"""Quantities whose smallest value is the best one"""
WATCHABLE = {
    name: meaning
    for name, meaning in NAMES.items()
    if not name.startswith("t_") and not (name in _COLUMNS and _COLUMNS[name].parts)
}
"""Quantities that an alarm can watch: one number of each image"""
COUNTED = ("latency", "rate_in", "rate_out", "lost")
"""Quantities that images have as well that were not looked at"""
WINDOW = 200
"""images of a hit rate"""


@dataclass(frozen=True, slots=True, eq=False)
class Quantity:
    """Values of images."""

    name: str
    title: str
    unit: str
    values: Floats
    """float64 [n]; NaN = not known"""


def curves_of(rows: Rows, quantity: str, roi: str | None = None) -> list[Quantity]:
    """A quantity of all rows: one, or one for each region or part of the column.

    Raises
    ------
    RefusedError
        When there is no such quantity or region.
    """
    if quantity in _REGIONS:
        return list(_of_regions(rows, _REGIONS[quantity], roi))
    if roi is not None:
        raise RefusedError("bad_value", f"{quantity} is not of a region; those that are begin with roi_", "roi")
    if quantity in _COLUMNS:
        column = _COLUMNS[quantity]
        values = rows.column(quantity)
        if quantity.startswith("t_"):
            first = values[values >= 0]
            values = np.where(values >= 0, 1e-9 * (values - (first[0] if len(first) else 0)), np.nan)
            return [Quantity(quantity, column.meaning, "s", values)]
        if column.parts:
            return [
                Quantity(f"{quantity} {part}", column.meaning, column.unit, _floats(values[:, number]))
                for number, part in enumerate(column.parts)
            ]
        return [Quantity(quantity, column.meaning, column.unit, _floats(values))]
    if quantity in _MADE:
        column = _MADE[quantity]
        return [Quantity(quantity, column.meaning, column.unit, _MAKERS[quantity](rows))]
    raise _unknown(quantity, [*NAMES, "d_histogram", "powder", "peakogram"], "quantity")


def check_watchable(quantity: str, roi: str | None) -> None:
    """Whether an alarm can watch it: one number of each image.

    Raises
    ------
    RefusedError
        Its field is "column" or "roi".
    """
    names = list(WATCHABLE)
    if quantity in NAMES and quantity not in names:
        why = "a time" if quantity.startswith("t_") else "several numbers"
        raise RefusedError("bad_value", f"{quantity} is {why} of each image, which no limit is of", "column")
    if quantity not in NAMES:
        raise _unknown(quantity, names, "column")
    if quantity in _REGIONS and roi is None:
        raise RefusedError("bad_value", f"{quantity} is of a region: name it", "roi")
    if quantity not in _REGIONS and roi is not None:
        raise RefusedError("bad_value", f"{quantity} is not of a region; those that are begin with roi_", "roi")


def _unknown(quantity: str, names: list[str], field: str) -> RefusedError:
    like = get_close_matches(quantity, names, 1)
    hint = f"; did you mean {like[0]}?" if like else "; /api/v1/plots lists them"
    return RefusedError("not_found", f"there is no quantity {quantity[:64]!r}{hint}", field)


def _floats(values: NDArray[np.generic]) -> Floats:
    return np.where(is_known(values), values, np.nan).astype(np.float64)


def _of_regions(rows: Rows, column: Column, roi: str | None) -> Iterator[Quantity]:
    if roi is not None and roi not in rows.roi_names:
        raise RefusedError("not_found", f"there is no region {roi[:64]!r}", "roi")
    for name in rows.roi_names if roi is None else (roi,):
        values = rows.region_column(name, column.name).astype(np.float64)
        if column.name in ("max", "mean"):
            values[rows.region_column(name, "npixel") == 0] = np.nan
        if column.name == "spots":
            values[values < 0] = np.nan
        yield Quantity(name, column.meaning, column.unit, values)


def _hit_rate(rows: Rows) -> Floats:
    hit = rows.column("hit")
    looked = np.cumsum(hit >= 0)
    hits = np.cumsum(hit == 1)
    before = np.searchsorted(looked, looked - WINDOW, side="right") - 1
    earlier = np.where(before >= 0, hits[before], 0)
    count = np.minimum(looked, WINDOW)
    rate = np.full(len(hit), np.nan)
    np.divide(hits - earlier, count, out=rate, where=count > 0)
    return rate


def _latency(rows: Rows) -> Floats:
    begin, end = rows.column("t_received"), rows.column("t_done")
    return np.where((begin > 0) & (end > 0), 1e-9 * (end - begin), np.nan)


def _rate(rows: Rows, column: str) -> Floats:
    """Images per second, over the second before each."""
    times = rows.column(column).astype(np.int64)
    order = np.argsort(times, kind="stable")
    sorted_times = times[order]
    before = np.searchsorted(sorted_times, sorted_times - 1_000_000_000, side="right")
    rate = np.empty(len(times))
    rate[order] = np.arange(1, len(times) + 1) - before
    rate[times < 0] = np.nan
    return rate


def _lost(rows: Rows) -> Floats:
    status = rows.column("status")
    lost = (FrameStatus.MISSING, FrameStatus.SKIPPED, FrameStatus.FAILED)
    return np.cumsum(np.isin(status, lost)).astype(np.float64)


_MAKERS = {
    "hit_rate": _hit_rate,
    "latency": _latency,
    "rate_in": lambda rows: _rate(rows, "t_received"),
    "rate_out": lambda rows: _rate(rows, "t_done"),
    "lost": _lost,
}
