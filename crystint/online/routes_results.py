"""Routes that answer from the history: results as columns, plots, and maps of grid scans."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Literal

import numpy as np
from fastapi import APIRouter, Depends, Path, Query, Request, Response

from crystint.errors import RefusedError
from crystint.model.frame_table import is_known
from crystint.model.rois import ROI_COLUMNS
from crystint.online.answers import BYTES, CBOR, JSON, answer, preferred
from crystint.online.api_models import GridMapModel, PlotModel, ResultsModel
from crystint.online.broker import Broker
from crystint.online.grid import grid_map
from crystint.online.history import Rows, SeriesHistory
from crystint.online.plots import DISTRIBUTIONS, distribution, plot
from crystint.online.quantities import NAMES
from crystint.online.requests import checked_query, columns_of
from crystint.online.result import ONLINE_COLUMNS, RESULT_DTYPE

__all__ = ["result_routes"]

NUMBERS_OF_JSON = 50_000
"""that are sent at once"""
NUMBERS = 5_000_000
_ALSO: dict[int | str, dict[str, Any]] = {200: {"content": {CBOR: {}, BYTES: {}}}}
_UNITS = {column.name: column.unit for column in ONLINE_COLUMNS}

PlotName = Annotated[str, Path(json_schema_extra={"enum": [*NAMES, *DISTRIBUTIONS]})]
MapName = Annotated[str, Path(json_schema_extra={"enum": list(NAMES)})]
Series = Annotated[str | None, Query(max_length=300, description="key or number of the series; the newest without it")]
Region = Annotated[str | None, Query(max_length=64, description="name of a region; all of them without it")]


def result_routes(broker: Broker) -> APIRouter:
    """Routes round `crystint.online.history.History`."""
    api = APIRouter(prefix="/api/v1", dependencies=[Depends(checked_query)])

    def series_of(name: str | None) -> SeriesHistory | None:
        series = broker.history.series(name)
        if series is None and name is not None:
            raise RefusedError("not_found", f"series {name[:80]!r} is not remembered; the last two are", "series")
        return series

    @api.get("/results", response_model=ResultsModel, responses=_ALSO)
    async def results(
        request: Request,
        series: Series = None,
        first: Annotated[int, Query(alias="from", ge=0, le=2**62)] = 0,
        last: Annotated[int | None, Query(alias="to", ge=0, le=2**62, description="one behind the last image")] = None,
        columns: Annotated[str | None, Query(max_length=4000, description="names with commas; all without it")] = None,
        rois: Annotated[bool, Query(description="with the sums of the regions")] = False,
        hits: Annotated[bool, Query(description="of hits alone")] = False,
        sort: Annotated[str, Query(max_length=64, description="column; - before it: the largest first")] = "frame",
        skip: Annotated[int, Query(ge=0, le=2**62, description="rows that are left out at the beginning")] = 0,
        limit: Annotated[int | None, Query(ge=1, le=10**7, description="rows at most")] = None,
    ) -> Response:
        """Results of images as columns, a row per image, by their numbers or sorted by a column.

        JSON has at most 50 000 numbers; `next` is where to go on, by the number of an image. Of rows in another order,
        go on by `skip`.
        """
        accept = request.headers.get("accept")
        most = NUMBERS_OF_JSON if preferred(accept, (JSON, CBOR, BYTES)) == JSON else NUMBERS
        chosen = _chosen(columns)
        remembered = series_of(series)
        order = _chosen(sort.removeprefix("-").replace(",", " "))[-1], sort.startswith("-")
        work = broker.ask(_results, remembered, chosen, (first, last), most, rois, hits, order, (skip, limit))
        content = await work
        return answer(content, accept, columns=content["columns"])

    @api.get("/plots")
    async def plots() -> dict[str, str]:
        """All quantities that can be plotted, and what they are."""
        return NAMES | DISTRIBUTIONS

    @api.get("/plots/{quantity}", response_model=PlotModel, responses=_ALSO)
    async def one_plot(
        quantity: PlotName,
        request: Request,
        series: Series = None,
        x: Literal["image", "time", "angle", "grid"] = "image",
        bin: Annotated[int, Query(ge=0, le=10**9, description="images per point; 0 = for 1000 points")] = 0,
        roi: Region = None,
        first: Annotated[int, Query(alias="from", ge=0, le=2**62)] = 0,
    ) -> Response:
        """Curves over images, time or angle; a map with x=grid; a distribution of the spots."""
        remembered = series_of(series)
        accept = request.headers.get("accept")
        if quantity in DISTRIBUTIONS:
            return _curves(await broker.ask(distribution, remembered, quantity), accept)
        if x == "grid":
            values = await broker.ask(grid_map, remembered, quantity, roi)
            content = {"title": values["title"], "unit_x": "um", "unit_y": "um", "bin": 1, "series": []}
            return _curves(content | {name: values[name] for name in ("x", "y", "z")}, accept)
        return _curves(await broker.ask(plot, remembered, quantity, x, bin, roi, first), accept)

    @api.get("/grid/{quantity}", response_model=GridMapModel, responses=_ALSO)
    async def grid(
        quantity: MapName,
        request: Request,
        series: Series = None,
        roi: Region = None,
        best: Annotated[Literal["high", "low"] | None, Query(description="which values are good")] = None,
    ) -> Response:
        """A quantity over the positions of a grid scan, and where it is best."""
        content = await broker.ask(grid_map, series_of(series), quantity, roi, best)
        return answer(content, request.headers.get("accept"), columns={"z": content["z"]})

    return api


def _curves(content: dict[str, Any], accept: str | None) -> Response:
    columns = {f"{axis} {each['name']}": each[axis] for each in content["series"] for axis in ("x", "y")}
    if "z" in content:
        columns = {"z": content["z"]}
    return answer(content, accept, columns=columns)


def _chosen(columns: str | None) -> list[str]:
    names = [column.name for column in ONLINE_COLUMNS]
    return list(dict.fromkeys(["frame", *columns_of(columns, names)])) if columns is not None else names


def _results(
    series: SeriesHistory | None,
    columns: Sequence[str],
    numbered: tuple[int, int | None],
    most: int,
    with_rois: bool,
    hits: bool,
    order: tuple[str, bool],
    page: tuple[int, int | None],
) -> dict[str, Any]:
    if series is None:
        return {
            "series": None, "ended": False, "total": 0, "next": None, "columns": {name: [] for name in columns},
            "rois": {}, "units": {},
        }  # fmt: skip
    rows = series.ordered()
    numbers = rows.column("frame")
    begin, end = (len(numbers) if at is None else int(np.searchsorted(numbers, at)) for at in numbered)
    total = len(numbers)
    if hits or order != ("frame", False):
        rows = _sorted(rows.part(begin, end), hits, *order)
        begin, end, total = 0, len(rows), len(rows)
    width = sum(map(_width, columns))
    if with_rois:
        width += len(rows.roi_names) * len(ROI_COLUMNS)
    begin = min(begin + page[0], end)
    stop = min(end, begin + max(most // max(width, 1), 1))
    if page[1] is not None:
        stop = min(stop, begin + page[1])
    part = rows.part(begin, stop)
    content: dict[str, Any] = {
        "series": str(series.key),
        "ended": series.ended,
        "total": total,
        "next": int(rows.column("frame")[stop]) if stop < end and order == ("frame", False) else None,
        "columns": {name: part.column(name) for name in columns},
        "rois": {},
        "units": {name: _UNITS[name] for name in columns},
    }
    if with_rois:
        content["rois"] = {
            name: {column.name: part.region_column(name, column.name) for column in ROI_COLUMNS}
            for name in rows.roi_names
        }
    return content


def _sorted(rows: Rows, hits: bool, column: str, descending: bool) -> Rows:
    """Rows by the values of a column, by their numbers where these are equal; unknown values are the last ones."""
    values = rows.column(column)
    if values.ndim != 1:
        raise RefusedError("bad_value", f"{column} has several numbers in a row: choose a column with one", "sort")
    order = np.flatnonzero(rows.column("hit") == 1) if hits else np.arange(len(rows))
    there = is_known(values)[order]
    values = np.where(there, values[order], 0)
    if values.dtype.kind != "f":
        values = values.astype(np.int64)
    return rows.chosen(order[np.lexsort((-values if descending else values, ~there))])


def _width(name: str) -> int:
    return int(np.prod(RESULT_DTYPE[name].shape, dtype=int)) or 1
