"""Routes about an image: what is known of it, its spots, its pixels, its rings; and what became of all images."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import numpy as np
from fastapi import APIRouter, Depends, Query, Request, Response

from crystint.errors import RefusedError
from crystint.online.answers import CBOR, answer
from crystint.online.api_image_models import (
    AboutModel,
    HistogramModel,
    HitModel,
    PixelModel,
    ProfileModel,
    RegionsNowModel,
    SpotModel,
    SpotsModel,
    StripModel,
)
from crystint.online.broker import Broker
from crystint.online.desk import desk_of
from crystint.online.frame_source import LAST, LAST_HIT
from crystint.online.history import SeriesHistory
from crystint.online.image_details import (
    about_image,
    histogram,
    pixel,
    regions_now,
    ring_profile,
    spot_explained,
    spots_of,
)
from crystint.online.image_views import ViewWish
from crystint.online.layers import Layer
from crystint.online.requests import checked_query
from crystint.online.routes_images import Last, Range, Series, number_of
from crystint.online.stacks import Stacking

__all__ = ["detail_routes"]

_ALSO: dict[int | str, dict[str, Any]] = {200: {"content": {CBOR: {}}}}
Position = Annotated[float, Query(ge=-1e6, le=1e6, allow_inf_nan=False, description="px from the outer corner")]


def detail_routes(broker: Broker) -> APIRouter:
    """Routes round `crystint.online.image_details`."""
    api = APIRouter(prefix="/api/v1", dependencies=[Depends(checked_query)])
    desk = desk_of(broker)

    async def told(function: Any, id: int, series: str | None, request: Request, *arguments: Any) -> Response:
        def work() -> Any:
            views = desk.views
            return function(views, views.images.frame(number_of(id), series), *arguments)

        return answer(await desk.do(work), request.headers.get("accept"))

    def series_of(name: str | None) -> SeriesHistory | None:
        series = broker.history.series(name)
        if series is None and name is not None:
            raise RefusedError("not_found", f"series {name[:80]!r} is not remembered", "series")
        return series

    @api.get("/images/{id}/about", response_model=AboutModel, responses=_ALSO)
    async def about(id: int, request: Request, series: Series = None) -> Response:
        """What is known of an image: detector, results, regions."""
        return await told(about_image, id, series, request)

    @api.get("/images/{id}/rois", response_model=RegionsNowModel, responses=_ALSO)
    async def regions(id: int, request: Request, series: Series = None) -> Response:
        """What an image that is held has in the regions as they are now, whichever they were when it came."""
        return await told(regions_now, id, series, request)

    @api.get("/images/{id}/spots", response_model=SpotsModel, responses=_ALSO)
    async def spots(id: int, request: Request, series: Series = None) -> Response:
        """Its spots, as columns. `source` is "again" where they are not remembered, and were looked for again."""
        return await told(spots_of, id, series, request)

    @api.get("/images/{id}/spots/{n}", response_model=SpotModel, responses=_ALSO)
    async def spot(id: int, n: int, request: Request, series: Series = None) -> Response:
        """Why there is a spot: the pixels about it, what was expected there, and the thresholds."""
        return await told(spot_explained, id, series, request, n)

    @api.get("/images/{id}/pixel", response_model=PixelModel, responses=_ALSO)
    async def one_pixel(id: int, slow: Position, fast: Position, request: Request, series: Series = None) -> Response:
        """The pixel that a position lies in."""
        return await told(pixel, id, series, request, slow, fast)

    @api.get("/images/{id}/profile", response_model=ProfileModel, responses=_ALSO)
    async def profile(id: int, request: Request, series: Series = None) -> Response:
        """The background of its rings: normalised counts of a pixel, from small to large angles."""
        return await told(ring_profile, id, series, request)

    @api.get("/images/{id}/histogram", response_model=HistogramModel, responses=_ALSO)
    async def one_histogram(
        id: int,
        request: Request,
        series: Series = None,
        slow: Range = None,
        fast: Range = None,
        layer: Layer = "counts",
        bins: Annotated[int, Query(ge=1, le=1000)] = 100,
        last: Last = 1,
        of: Stacking = "sum",
    ) -> Response:
        """Usable pixels of a region by their values. Bins are half-open, the last one is not."""
        wish = ViewWish(slow, fast, layer=layer, last=last, of=of)
        return await told(histogram, id, series, request, wish, bins)

    @api.get("/images/{id}/hit", response_model=HitModel, responses=_ALSO)
    async def hit(
        id: int, request: Request, direction: Literal["next", "previous"] = "next", series: Series = None
    ) -> Response:
        """The nearest hit after or before an image, and whether its pixels are held."""
        return answer(
            await desk.do(_hit, desk, series_of(series), number_of(id), direction), request.headers.get("accept")
        )

    @api.get("/strip", response_model=StripModel, responses=_ALSO)
    async def strip(
        request: Request,
        series: Series = None,
        width: Annotated[int, Query(ge=1, le=10_000, description="bins at most")] = 1000,
        first: Annotated[int, Query(alias="from", ge=0, le=2**62)] = 0,
        last: Annotated[int | None, Query(alias="to", ge=0, le=2**62, description="one behind the last image")] = None,
    ) -> Response:
        """What became of the images of a series, counted in bins."""
        content = await broker.ask(_strip, series_of(series), width, first, last)
        return answer(content, request.headers.get("accept"))

    return api


def _hit(
    desk: Any, series: SeriesHistory | None, number: int, direction: Literal["next", "previous"]
) -> dict[str, Any]:
    if series is None:
        return {"series": None, "image": None, "held": False}
    if number in (LAST, LAST_HIT):
        newest = series.last if number == LAST else series.last_hit
        number = -1 if newest is None else newest
    image = series.completeness.hit_beside(number, direction)
    held = False
    if image is not None:
        _, numbers = desk.images.held(str(series.key))
        held = image in set(numbers)
    return {"series": str(series.key), "image": image, "held": held}


def _strip(series: SeriesHistory | None, width: int, first: int, stop: int | None) -> dict[str, Any]:
    if series is None:
        return {"series": None, "ended": False, "first": None, "last": None, "per": 1, "status": {}, "beyond": 0}
    expected = series.books.get("expected") if series.ended else None
    whole = None if not isinstance(expected, int | np.integer) else int(expected)
    return {
        "series": str(series.key),
        "ended": series.ended,
        **series.completeness.strip(width, first, stop, whole),
    }
