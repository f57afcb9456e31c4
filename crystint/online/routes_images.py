"""Routes of the last images: exact counts for programs, pictures for people, and what other settings would find."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Literal

import numpy as np
from fastapi import APIRouter, Depends, Query, Request, Response
from numpy.typing import NDArray

from crystint.errors import RefusedError
from crystint.io.image_bytes import npy_bytes, tiff_bytes
from crystint.model.roi_members import RoiMembers
from crystint.online.analysis import Analysis
from crystint.online.answers import BYTES, CBOR, NPY, TIFF, answer, json_header, preferred
from crystint.online.api_models import HeldModel, SettingsChange, TryModel
from crystint.online.broker import Broker
from crystint.online.desk import desk_of
from crystint.online.frame_source import HeldFrame
from crystint.online.held_images import HeldImages
from crystint.online.image_details import spot_columns
from crystint.online.image_views import ImageViews, Plane, ViewWish
from crystint.online.layers import Layer
from crystint.online.pictures import COLORS, Overlay, picture
from crystint.online.preview_messages import preview_image
from crystint.online.requests import checked_query
from crystint.online.stacks import MOST_IMAGES, Stacking
from crystint.online.views import Binning, view_of

__all__ = ["Last", "PictureQuery", "Range", "Series", "image_message", "image_routes", "number_of", "picture_of"]

JPEG, PNG = "image/jpeg", "image/png"
Series = Annotated[str | None, Query(max_length=300, description="key of the series; the newest without it")]
Range = Annotated[str | None, Query(max_length=40, description="FIRST:LAST pixel; all without it")]
Last = Annotated[int, Query(ge=1, le=MOST_IMAGES, description="images that are put together, this one the last")]


@dataclass(frozen=True, slots=True)
class PictureQuery:
    """How a picture is made; the names are those of Jungfraujoch."""

    show_spots: bool = True
    show_roi: bool = False
    show_user_mask: bool = False
    show_beam_center: bool = True
    show_res_ring: float | None = None
    show_res_est: bool = False
    saturation: float | None = None
    color: str = COLORS[0]
    jpeg_quality: int = 85
    width: int | None = None


def image_routes(broker: Broker) -> APIRouter:
    """Routes round `crystint.online.held_images.HeldImages`."""
    api = APIRouter(prefix="/api/v1", dependencies=[Depends(checked_query)])
    desk = desk_of(broker)
    kinds: dict[int | str, dict[str, Any]] = {200: {"content": {kind: {} for kind in (CBOR, TIFF, NPY, JPEG, PNG)}}}

    @api.get("/images", response_model=HeldModel)
    async def held(request: Request, series: Series = None) -> Response:
        """Numbers of the images that are held, the oldest first."""
        name, numbers = await broker.ask(desk.images.held, series)
        return answer({"series": name, "images": numbers}, request.headers.get("accept"))

    @api.get("/images/{id}", responses=kinds)
    async def image(
        id: int,
        request: Request,
        series: Series = None,
        show_spots: bool = True,
        show_roi: bool = False,
        show_user_mask: bool = False,
        show_beam_center: bool = True,
        show_res_ring: Annotated[float | None, Query(ge=0.1, le=100.0)] = None,
        show_res_est: bool = False,
        saturation: Annotated[float | None, Query(gt=0, allow_inf_nan=False)] = None,
        color: Literal["indigo", "viridis", "bw", "magma", "inferno", "heat"] = "indigo",
        jpeg_quality: Annotated[int, Query(ge=1, le=100)] = 85,
        width: Annotated[int | None, Query(ge=16, le=4096)] = None,
    ) -> Response:
        """An image: -1 the last, -2 the last hit.

        CBOR is the message of the detector with the spots added; TIFF and NumPy have the exact counts; JPEG and PNG are
        pictures.
        """
        accept = request.headers.get("accept")
        kind = preferred(accept, (JPEG, PNG, TIFF, NPY, CBOR))
        query = PictureQuery(
            show_spots, show_roi, show_user_mask, show_beam_center, show_res_ring, show_res_est, saturation, color,
            jpeg_quality, width,
        )  # fmt: skip
        return await desk.do(_image, desk.views, number_of(id), series, kind, query)

    @api.get("/images/{id}/view", responses={200: {"content": {BYTES: {}, NPY: {}}}})
    async def view(
        id: int,
        request: Request,
        series: Series = None,
        slow: Range = None,
        fast: Range = None,
        size: Annotated[str | None, Query(max_length=12, description="WIDTHxHEIGHT of the screen")] = None,
        bin: Binning = "max",
        layer: Layer = "counts",
        last: Last = 1,
        of: Annotated[Stacking, Query(description="what is made of several images")] = "sum",
        frame: Annotated[Plane, Query(description="laboratory: panels as the sample sees them")] = "detector",
    ) -> Response:
        """A region as it fits on a screen, in blocks of pixels. application/octet-stream is packed with bitshuffle and
        LZ4; the header X-View tells shape, dtype, region, block and contrast as JSON."""
        kind = preferred(request.headers.get("accept"), (BYTES, NPY))
        wish = ViewWish(slow, fast, size, bin, layer, last, of, frame)
        return await desk.do(_view, desk.views, number_of(id), series, wish, kind)

    @api.post("/images/{id}/try", response_model=TryModel)
    async def try_settings(id: int, changes: SettingsChange, request: Request, series: Series = None) -> Response:
        """Peaks of a held image with other settings; the run goes on with its own."""
        desk.may_try()
        content = await desk.do(_try, desk.images, number_of(id), series, changes.model_dump(exclude_unset=True))
        return answer(content, request.headers.get("accept"))

    return api


def number_of(id: int) -> int:
    """The number that is asked for: of an image, -1 the last, -2 the last hit."""
    if not -2 <= id < 2**62:
        raise RefusedError("bad_value", f"id is {id}, expected the number of an image, -1 or -2", "id")
    return id


def _about(frame: HeldFrame) -> dict[str, str]:
    return {"X-Series": frame.series.encode("ascii", "replace").decode(), "X-Image": str(frame.number)}


def _image(views: ImageViews, number: int, series: str | None, kind: str, query: PictureQuery) -> Response:
    frame = views.images.frame(number, series)
    about = _about(frame) | {"Vary": "Accept", "Cache-Control": "no-store"}
    if kind == CBOR:
        return Response(image_message(views.images, frame), 200, about, CBOR)
    if kind == TIFF:
        return Response(tiff_bytes(frame.pixels), 200, about, TIFF)
    if kind == NPY:
        return Response(npy_bytes(frame.pixels), 200, about, NPY)
    return Response(picture_of(views, frame, query, "png" if kind == PNG else "jpeg"), 200, about, kind)


def image_message(images: HeldImages, frame: HeldFrame) -> bytes:
    """The image in the dialect of Jungfraujoch, with its spots."""
    return preview_image(frame.image, images.result(frame))


def picture_of(views: ImageViews, frame: HeldFrame, query: PictureQuery, kind: Literal["jpeg", "png"]) -> bytes:
    """A picture with what is to be drawn over it."""
    pixels = frame.pixels
    analysis = views.images.analysis(frame)
    size = (query.width or 1000,) * 2
    view = view_of(pixels, views.layers.usable(frame), (0, pixels.shape[0], 0, pixels.shape[1]), size)
    result = views.images.result(frame)
    limit = float(result.row["d_min"][0]) if query.show_res_est and result is not None else None
    rings = [] if query.show_res_ring is None else [query.show_res_ring]
    overlay = Overlay(
        peaks=result.peaks if query.show_spots and result is not None else None,
        regions=_members(analysis) if query.show_roi else None,
        user_mask=_user_mask(analysis) if query.show_user_mask else None,
        geometry=None if analysis is None else analysis.geometry,
        beam_center=query.show_beam_center,
        rings=rings,
        limit=None if limit is None or not np.isfinite(limit) else limit,
    )
    return picture(
        view,
        overlay,
        saturation=None if analysis is None else analysis.search.saturation,
        brightest=query.saturation,
        color=query.color,
        kind=kind,
        quality=query.jpeg_quality,
        width=query.width,
    )


def _members(analysis: Analysis | None) -> RoiMembers | None:
    return None if analysis is None or analysis.regions is None else analysis.regions.members


def _user_mask(analysis: Analysis | None) -> NDArray[np.bool_] | None:
    return None if analysis is None or analysis.user_mask is None else np.asarray(analysis.user_mask != 0)


def _view(views: ImageViews, number: int, series: str | None, wish: ViewWish, kind: str) -> Response:
    frame = views.images.frame(number, series)
    made = views.of(frame, wish)
    headers = _about(frame) | {
        "X-View": json_header(made.about),
        "Vary": "Accept",
        "Cache-Control": "no-store",
    }
    if kind == NPY:
        return Response(npy_bytes(made.view.values), 200, headers, NPY)
    return Response(made.packed, 200, headers, BYTES)


def _try(images: HeldImages, number: int, series: str | None, changes: dict[str, Any]) -> dict[str, Any]:
    frame = images.frame(number, series)
    examined, settings = images.examine(frame, changes)
    row = examined.row[0]
    return {
        "series": frame.series,
        "image": frame.number,
        "settings": settings.plain(),
        "n_spots": int(row["n_spots"]),
        "hit": bool(row["hit"] == 1),
        "expected_false_spots": float(row["expected_false_spots"]),
        "d_min": float(row["d_min"]),
        "spots": spot_columns(examined.peaks),
    }
