"""Routes of finished files: what lies below the data root, and which of it are looked at as series."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request, Response

from crystint.online.answers import answer
from crystint.online.api_files import FileRequestModel, ListingModel, OpenedFileModel, OverlaySpotsModel
from crystint.online.broker import Broker
from crystint.online.desk import desk_of
from crystint.online.file_listing import Listing
from crystint.online.image_details import spot_columns
from crystint.online.opened_files import files_of
from crystint.online.requests import checked_query

__all__ = ["file_routes"]

Key = Annotated[str, Query(max_length=4200, description="key of the series, file:PATH")]


def file_routes(broker: Broker) -> APIRouter:
    """Routes round `crystint.online.opened_files.OpenedFiles`."""
    api = APIRouter(prefix="/api/v1", dependencies=[Depends(checked_query)])
    listing, desk = Listing(broker.data_root), desk_of(broker)

    @api.get("/files", response_model=ListingModel)
    async def files(
        request: Request,
        path: Annotated[
            str, Query(max_length=4096, description="folder below the data root; that itself without")
        ] = "",
    ) -> Response:
        """What lies in a folder. Files of images whose names differ in their last number alone are one entry."""
        return answer(await desk.do(listing.of, path), request.headers.get("accept"))

    @api.post("/files", response_model=OpenedFileModel)
    async def open_file(body: FileRequestModel) -> Response:
        """Look at a file as a series, or at the spots of a peak list over the frames that it is of.

        Frames of any format, sparse files, peak lists, tables of frames, and the files of an online series. Other kinds
        are refused, with what shows them.
        """
        opening = await broker.change(files_of(broker).open, **body.model_dump())
        return answer(opening.described())

    @api.get("/files/opened", response_model=list[OpenedFileModel])
    async def opened(request: Request) -> Response:
        """Files that are looked at, the one opened last first."""
        return answer([each.described() for each in files_of(broker).all()], request.headers.get("accept"))

    @api.delete("/files/opened", response_model=OpenedFileModel)
    async def close_file(series: Key) -> Response:
        """Close one; the file stays as it is."""
        closed = await broker.change(files_of(broker).close_series, series)
        return answer(closed.described())

    @api.get("/files/opened/spots", response_model=OverlaySpotsModel)
    async def spots(
        request: Request,
        series: Key,
        overlay: Annotated[str, Query(max_length=300, description="its name in the list of the series")],
        image: Annotated[int, Query(ge=0, le=2**62)],
    ) -> Response:
        """Spots of an overlay in an image."""
        peaks = await desk.do(files_of(broker).spots, series, overlay, image)
        content: dict[str, Any] = {"series": series, "overlay": overlay, "image": image}
        return answer(content | {"spots": spot_columns(peaks)}, request.headers.get("accept"))

    return api
