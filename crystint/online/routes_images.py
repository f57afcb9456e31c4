"""Routes of the last images: exact counts for programs, pictures for people, and what other settings would find."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Annotated, Any, Literal, TypeVar

import anyio
import anyio.to_thread
import numpy as np
from fastapi import APIRouter, Depends, Query, Request, Response
from numpy.typing import NDArray

from crystint.errors import RefusedError
from crystint.io.image_bytes import npy_bytes, tiff_bytes
from crystint.model.peaks import PEAK_DTYPE, PeakList
from crystint.model.roi_members import RoiMembers
from crystint.online.analysis import Analysis
from crystint.online.answers import BYTES, CBOR, NPY, TIFF, ApiError, answer, json_bytes, preferred
from crystint.online.api_models import HeldModel, SettingsChange, TryModel
from crystint.online.broker import Broker
from crystint.online.frame_source import HeldFrame, RingFrames, SeriesFrames
from crystint.online.held_images import HeldImages, Layer
from crystint.online.opened_files import files_of
from crystint.online.pictures import COLORS, Overlay, picture
from crystint.online.preview_messages import preview_image
from crystint.online.requests import checked_query
from crystint.online.ring import RingReader
from crystint.online.views import Binning, View, parse_range, parse_size, view_of
from crystint.stream.packed_frame import encode_frame

__all__ = [
    "Desk",
    "PictureQuery",
    "desk_of",
    "image_message",
    "image_routes",
    "picture_of",
    "spot_columns",
    "view_body",
]

JPEG, PNG = "image/jpeg", "image/png"
_PATIENCE = 30.0
_AT_A_TIME, _MOST_WAITING = 2, 4
_TRIES = 5
"""what-ifs in a second"""
_SPOT_COLUMNS = ("slow", "fast", "intensity", "sigma", "npix", "maximum", "d", "flags", "significance")
_T = TypeVar("_T")
Number = Annotated[int, Query(ge=-2, le=2**62)]
Series = Annotated[str | None, Query(max_length=300, description="key of the series; the newest without it")]


@dataclass
class Desk:
    """Where images are looked at: two at a time, four more may wait."""

    broker: Broker
    waiting: int = 0
    tries: deque[float] = field(default_factory=deque)

    def __post_init__(self) -> None:
        self._limiter: anyio.CapacityLimiter | None = None
        self._images: tuple[tuple[Any, ...], HeldImages] | None = None

    @property
    def ring(self) -> RingReader:
        """Where the last images of the stream are.

        Raises
        ------
        RefusedError
            When none are kept.
        """
        frames = self.images.frames
        if not isinstance(frames, SeriesFrames) or not isinstance(frames.stream, RingFrames):
            raise RefusedError("not_found", "no images are held: the service keeps none for viewers")
        return frames.stream.reader

    @property
    def images(self) -> HeldImages:
        """The last ones of the stream, and those of finished files."""
        broker = self.broker
        asked = (broker.ring, broker.control, broker.history)
        if self._images is None or any(a is not b for a, b in zip(self._images[0], asked, strict=True)):
            frames = SeriesFrames(None if broker.ring is None else RingFrames(*asked), files_of(broker))
            self._images = (asked, HeldImages(frames, broker.control, broker.history, broker.engine))
        return self._images[1]

    async def do(self, function: Callable[..., _T], *arguments: Any) -> _T:
        """Work that takes its time, in a thread.

        Raises
        ------
        ApiError
            429 when too many wait; 503 when it takes too long.
        """
        if self._limiter is None:
            self._limiter = anyio.CapacityLimiter(_AT_A_TIME)
        if self.waiting >= _AT_A_TIME + _MOST_WAITING:
            raise ApiError(429, "busy", "too many pictures are being made; ask again")
        self.waiting += 1
        try:
            with anyio.fail_after(_PATIENCE):
                return await anyio.to_thread.run_sync(
                    partial(function, *arguments), abandon_on_cancel=True, limiter=self._limiter
                )
        except TimeoutError:
            raise ApiError(503, "busy", f"it takes longer than {_PATIENCE:g} s; ask again") from None
        finally:
            self.waiting -= 1

    def may_try(self) -> None:
        """Count a what-if.

        Raises
        ------
        ApiError
            429 beyond five in a second.
        """
        now = time.monotonic()
        while self.tries and now - self.tries[0] > 1.0:
            self.tries.popleft()
        if len(self.tries) >= _TRIES:
            raise ApiError(429, "busy", f"at most {_TRIES} in a second; ask again")
        self.tries.append(now)


def desk_of(broker: Broker) -> Desk:
    """That of a broker: one for all routes."""
    if broker.desk is None:
        broker.desk = Desk(broker)
    desk: Desk = broker.desk
    return desk


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
        return await desk.do(_image, desk.images, _number(id), series, kind, query)

    @api.get("/images/{id}/view", responses={200: {"content": {BYTES: {}, NPY: {}}}})
    async def view(
        id: int,
        request: Request,
        series: Series = None,
        slow: Annotated[str | None, Query(max_length=40, description="FIRST:LAST pixel; all without it")] = None,
        fast: Annotated[str | None, Query(max_length=40)] = None,
        size: Annotated[str | None, Query(max_length=12, description="WIDTHxHEIGHT of the screen")] = None,
        bin: Binning = "max",
        layer: Layer = "counts",
    ) -> Response:
        """A region as it fits on a screen, in blocks of pixels. application/octet-stream is packed with bitshuffle and
        LZ4; the headers X-View tell shape, dtype, region and block."""
        kind = preferred(request.headers.get("accept"), (BYTES, NPY))
        return await desk.do(_view, desk.images, _number(id), series, (slow, fast, size, bin, layer), kind)

    @api.post("/images/{id}/try", response_model=TryModel)
    async def try_settings(id: int, changes: SettingsChange, request: Request, series: Series = None) -> Response:
        """Peaks of a held image with other settings; the run goes on with its own."""
        desk.may_try()
        content = await desk.do(_try, desk.images, _number(id), series, changes.model_dump(exclude_unset=True))
        return answer(content, request.headers.get("accept"))

    return api


def _number(id: int) -> int:
    if not -2 <= id < 2**62:
        raise RefusedError("bad_value", f"id is {id}, expected the number of an image, -1 or -2", "id")
    return id


def _about(frame: HeldFrame) -> dict[str, str]:
    return {"X-Series": frame.series.encode("ascii", "replace").decode(), "X-Image": str(frame.number)}


def _image(images: HeldImages, number: int, series: str | None, kind: str, query: PictureQuery) -> Response:
    frame = images.frame(number, series)
    about = _about(frame) | {"Vary": "Accept", "Cache-Control": "no-store"}
    if kind == CBOR:
        return Response(image_message(images, frame), 200, about, CBOR)
    if kind == TIFF:
        return Response(tiff_bytes(frame.pixels), 200, about, TIFF)
    if kind == NPY:
        return Response(npy_bytes(frame.pixels), 200, about, NPY)
    return Response(picture_of(images, frame, query, "png" if kind == PNG else "jpeg"), 200, about, kind)


def image_message(images: HeldImages, frame: HeldFrame) -> bytes:
    """The image in the dialect of Jungfraujoch, with its spots."""
    return preview_image(frame.image, images.result(frame))


def picture_of(images: HeldImages, frame: HeldFrame, query: PictureQuery, kind: Literal["jpeg", "png"]) -> bytes:
    """A picture with what is to be drawn over it."""
    pixels = frame.pixels
    analysis = images.analysis(frame)
    size = (query.width or 1000,) * 2
    view = view_of(pixels, images.unusable(frame), (0, pixels.shape[0], 0, pixels.shape[1]), size)
    result = images.result(frame)
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


def view_body(
    images: HeldImages, frame: HeldFrame, what: tuple[str | None, str | None, str | None, Binning, Layer]
) -> tuple[View, dict[str, Any]]:
    """A view, and what is told of it."""
    slow, fast, size, how, layer = what
    values = images.layer(frame, layer)
    region = (*parse_range(slow, values.shape[0], "slow"), *parse_range(fast, values.shape[1], "fast"))
    view = view_of(values, images.unusable(frame), region, parse_size(size), how)
    about = {
        "series": frame.series,
        "image": frame.number,
        "layer": layer,
        "bin": how,
        "shape": list(view.values.shape),
        "dtype": view.values.dtype.newbyteorder("<").str,
        "region": list(view.region),
        "factor": view.factor,
        "unusable": view.unusable,
    }
    return view, about


def _view(images: HeldImages, number: int, series: str | None, what: Any, kind: str) -> Response:
    frame = images.frame(number, series)
    view, about = view_body(images, frame, what)
    headers = _about(frame) | {
        "X-View": json_bytes(about).decode("ascii", "replace"),
        "Vary": "Accept",
        "Cache-Control": "no-store",
    }
    if kind == NPY:
        return Response(npy_bytes(view.values), 200, headers, NPY)
    return Response(bytes(encode_frame(view.values, "bslz4").data), 200, headers, BYTES)


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


def spot_columns(peaks: PeakList) -> dict[str, NDArray[Any]]:
    """Columns of a list of peaks, by name."""
    assert peaks.dtype == PEAK_DTYPE
    return {name: np.ascontiguousarray(peaks[name]) for name in _SPOT_COLUMNS}
