"""Jungfraujoch's routes, as its clients call them, round the same service. What is not there is a 404 with a reason.

Errors are `{"msg", "reason"}` with the reason WrongDAQState or Other and status 500; what is not understood is 400 with
a sentence; what is not held is an empty 404; waiting that was in vain is 504.
"""

from __future__ import annotations

import asyncio
import base64
import json
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import numpy as np
from fastapi import APIRouter, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import StreamingResponse
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException

from crystint.errors import CrystintError, RefusedError, SettingError, StreamError
from crystint.io.image_bytes import tiff_bytes
from crystint.model.rois import Rois
from crystint.online.answers import BYTES, CBOR, JSON, TIFF, ApiError, json_bytes
from crystint.online.broker import Broker
from crystint.online.control import Control
from crystint.online.desk import desk_of
from crystint.online.jungfraujoch_values import (
    PLOTS,
    SPOT_FINDING,
    broker_status,
    measurement,
    plots_of,
    scan_result,
    settings_of,
    spot_finding,
    start_options,
)
from crystint.online.preview_messages import PREVIEW_PERIOD, start_message
from crystint.online.routes_images import PictureQuery, image_message, picture_of
from crystint.online.routes_mask import put_mask
from crystint.online.server import Extra
from crystint.stream.messages import Start
from crystint.stream.read import read_message

__all__ = ["jungfraujoch"]

_PATIENCE = 60.0
_LONGEST = 3600
_POLL = 0.1
_KEEP_ALIVE = 10.0
_MASK_BYTES = 256 * 2**20
_WITHOUT = (
    "/pedestal", "/trigger", "/fpga_status", "/detector/status", "/statistics/calibration", "/preview/pedestal.tiff",
    "/xfel/event_code", "/xfel/pulse_id", "/rugnux/status", "/rugnux/map.ccp4", "/rugnux/model.cif",
    "/config/detector", "/config/select_detector", "/config/image_format", "/config/image_format/conversion",
    "/config/image_format/raw", "/config/indexing", "/config/azim_int", "/config/bragg_integration",
    "/config/instrument", "/config/dark_mask", "/config/rugnux", "/config/rugnux/model",
    "/config/internal_generator_image", "/config/internal_generator_image.tiff",
)  # fmt: skip
"""Its routes for what crystint has not: no detector that it owns, no indexing"""


class _Route(APIRoute):
    """Errors as Jungfraujoch's clients expect them."""

    def get_route_handler(self) -> Callable[[Request], Any]:
        handle = super().get_route_handler()

        async def handled(request: Request) -> Response:
            try:
                return await handle(request)
            except (RequestValidationError, SettingError) as error:
                return _sentence(str(error).splitlines()[0])
            except ApiError as error:
                if error.status in (401, 403, 413, 429):
                    raise
                return _error(str(error))
            except RefusedError as error:
                if error.reason == "not_found":
                    return Response(status_code=404)
                return _sentence(str(error)) if error.reason == "bad_value" else _error(str(error), error.reason)
            except HTTPException:
                raise
            except CrystintError as error:
                return _sentence(str(error))

        return handled


def _error(text: str, reason: str = "", status: int = 500) -> Response:
    kind = "WrongDAQState" if reason == "wrong_state" else "Other"
    return Response(json_bytes({"msg": text, "reason": kind}), status, media_type=JSON)


def _sentence(text: str) -> Response:
    return Response(json_bytes(text), 400, media_type=JSON)


def _json(content: Any, unused: list[str] | tuple[str, ...] = ()) -> Response:
    """With a header that names what has no effect."""
    headers = {}
    if unused:
        names = ", ".join(unused).encode("ascii", "replace").decode().replace('"', "'")
        headers["Warning"] = f'299 crystint "without effect: {names}"'
    body = b"" if content is None else json_bytes(content)
    return Response(body, 200, headers, JSON if content is not None else None)


async def _object(request: Request) -> dict[str, Any]:
    try:
        content = json.loads(await request.body() or b"{}")
    except (ValueError, RecursionError):
        raise SettingError("the body is not JSON") from None
    if not isinstance(content, dict):
        raise SettingError("the body is not an object")
    return content


def jungfraujoch() -> Extra:
    """The routes, which ask for no token on the machine itself."""
    return Extra(
        _routes,
        open_on_loopback=True,
        large={"/config/user_mask": _MASK_BYTES, "/config/user_mask.tiff": _MASK_BYTES},
    )


def _routes(broker: Broker) -> APIRouter:
    api = APIRouter(route_class=_Route, include_in_schema=False)
    _running(api, broker)
    _configuration(api, broker)
    _looking(api, broker)

    async def without(request: Request) -> Response:
        return _error(f"crystint has no {request.url.path}", status=404)

    for path in _WITHOUT:
        api.add_api_route(path, without, methods=["GET", "PUT", "POST", "DELETE"])
    return api


def _running(api: APIRouter, broker: Broker) -> None:
    """State, start and end of a series."""
    ask = broker.ask

    def control() -> Control:
        return broker.control

    async def status_now() -> dict[str, Any]:
        return await ask(control().status)

    @api.get("/status")
    async def status() -> Response:
        return _json(broker_status(await status_now()))

    @api.get("/version")
    async def version() -> Response:
        from crystint import __version__

        return Response(f"crystint {__version__}", media_type="text/plain")

    @api.get("/statistics/data_collection")
    async def data_collection() -> Response:
        values = measurement(await status_now(), broker.history.series())
        return Response(status_code=404) if values is None else _json(values)

    @api.get("/statistics")
    async def statistics() -> Response:
        now = await status_now()
        settings, rois = await ask(control().settings), await ask(control().rois)
        content = {
            "broker": broker_status(now),
            "measurement": measurement(now, broker.history.series()),
            "data_processing_settings": spot_finding(settings["values"], SPOT_FINDING),
            "roi": _their_rois(rois["document"])[0],
            "image_pusher": _pusher(now),
        }
        return _json({name: value for name, value in content.items() if value is not None})

    @api.get("/image_pusher/status")
    async def image_pusher() -> Response:
        return _json(_pusher(await status_now()))

    @api.post("/initialize")
    async def initialize() -> Response:
        await ask(control().clear_error)
        return _json(None)

    @api.post("/start")
    async def start(request: Request) -> Response:
        content = await _object(request)
        try:
            options, unused = start_options(content)
        except (ValueError, TypeError, AttributeError, OverflowError) as error:
            raise SettingError(f"a value is of a wrong kind: {error}") from None
        await ask(control().start, options)
        broker.access.allow_viewers(options.get("tokens", ()))
        return _json(None, unused)

    @api.post("/cancel")
    async def cancel() -> Response:
        await ask(control().abort)
        return _json(None)

    @api.post("/deactivate")
    async def deactivate() -> Response:
        await ask(control().stop)
        return _json(None)

    async def wait(states: tuple[str, ...], timeout: str | None) -> Response:
        seconds = _PATIENCE if timeout is None else float(_whole("timeout", timeout, 0, _LONGEST))
        until = time.monotonic() + seconds
        while True:
            now = await status_now()
            if now["state"] in states:
                return _json(None)
            if now["state"] == "error":
                return _error(now.get("reason") or "the service is in an error", "wrong_state")
            if time.monotonic() >= until or broker.closing:
                return Response(status_code=504)
            await asyncio.sleep(_POLL)

    @api.post("/wait_till_done")
    async def wait_till_done(timeout: str | None = None) -> Response:
        return await wait(("idle",), timeout)

    @api.post("/wait_until_running")
    async def wait_until_running(timeout: str | None = None) -> Response:
        return await wait(("measuring",), timeout)

    followers: list[object] = []

    @api.get("/live/events")
    async def live_events() -> Response:
        if followers:
            return Response(status_code=409)
        token = object()
        followers.append(token)
        return StreamingResponse(_events(broker, lambda: followers.remove(token)), media_type="text/event-stream")


def _configuration(api: APIRouter, broker: Broker) -> None:
    """Settings, regions, masks."""
    ask = broker.ask

    def control() -> Control:
        return broker.control

    sent: dict[str, Any] = {}

    @api.get("/config/spot_finding")
    async def get_spot_finding() -> Response:
        return _json(spot_finding((await ask(control().settings))["values"], sent))

    @api.put("/config/spot_finding")
    async def put_spot_finding(request: Request) -> Response:
        changes, others = settings_of(await _object(request))
        await broker.change(control().change_settings, changes)
        sent.update({name: value for name, value in others.items() if name in SPOT_FINDING and value is not None})
        return _json(None, sorted(name for name, value in others.items() if value != SPOT_FINDING.get(name)))

    @api.get("/config/roi")
    async def get_roi() -> Response:
        document, left = _their_rois((await ask(control().rois))["document"])
        return _json(document, left)

    @api.put("/config/roi")
    async def put_roi(request: Request) -> Response:
        rois = Rois.from_jungfraujoch(await _object(request))
        await broker.change(control().change_rois, rois.to_dict())
        return _json(None)

    async def mask(layer: str, as_tiff: bool, bits: bool) -> Response:
        pixels = await ask(control().mask, layer)
        image = pixels.astype(np.uint32) if bits else (pixels != 0).astype(np.uint32)
        return Response(tiff_bytes(image), media_type=TIFF) if as_tiff else Response(image.tobytes(), media_type=BYTES)

    @api.get("/config/mask")
    async def get_mask() -> Response:
        return await mask("total", False, True)

    @api.get("/config/mask.tiff")
    async def get_mask_tiff() -> Response:
        return await mask("total", True, True)

    @api.get("/config/user_mask")
    async def get_user_mask() -> Response:
        return await mask("user", False, False)

    @api.get("/config/user_mask.tiff")
    async def get_user_mask_tiff() -> Response:
        return await mask("user", True, False)

    @api.put("/config/user_mask")
    async def put_user_mask(request: Request) -> Response:
        body = await request.body()
        shape = (await ask(control().mask, "detector")).shape
        if len(body) != 4 * shape[0] * shape[1]:
            raise SettingError(
                f"the mask has {len(body)} bytes, expected {4 * shape[0] * shape[1]}: uint32 for {shape} (slow, fast)"
            )
        await broker.change(control().change_mask, np.frombuffer(body, "<u4").reshape(shape).astype(np.uint32))
        return _json(None)

    @api.put("/config/user_mask.tiff")
    async def put_user_mask_tiff(request: Request) -> Response:
        await broker.change(put_mask, broker, await request.body(), TIFF)
        return _json(None)

    @api.get("/config/file_writer")
    async def file_writer() -> Response:
        return _json({"overwrite": False, "format": "NXmxVDS"})

    def address(now: dict[str, Any], sink: str) -> str | None:
        return (now.get("sinks", {}).get(sink) or {}).get("address")

    @api.get("/config/zeromq_preview")
    async def zeromq_preview() -> Response:
        at = address(await ask(control().status), "preview")
        period = round(1e3 * PREVIEW_PERIOD)
        return _json({"enabled": at is not None, "period_ms": period, **({"socket_address": at} if at else {})})

    @api.get("/config/zeromq_metadata")
    async def zeromq_metadata() -> Response:
        at = address(await ask(control().status), "metadata")
        return _json({"enabled": at is not None, "period_ms": 100, **({"socket_address": at} if at else {})})

    async def fixed(request: Request) -> Response:
        return _error(f"{request.url.path} is set where the service is started", "wrong_state")

    for path in ("/config/file_writer", "/config/zeromq_preview", "/config/zeromq_metadata"):
        api.add_api_route(path, fixed, methods=["PUT"])


def _looking(api: APIRouter, broker: Broker) -> None:
    """Images and plots."""
    desk = desk_of(broker)
    ask = broker.ask

    @api.get("/image_buffer/status")
    async def buffer_status() -> Response:
        _, numbers = await ask(desk.images.held)
        reader = desk.ring
        slots = {"total_slots": reader.records, "available_slots": reader.records - len(numbers)}
        return _json(
            {
                "min_image_number": min(numbers, default=0),
                "max_image_number": max(numbers, default=0),
                "image_numbers": numbers,
                **slots,
                "in_preparation_slots": 0,
                "in_sending_slots": 0,
                "current_counter": reader.count,
            }
        )

    @api.post("/image_buffer/clear")
    async def clear() -> Response:
        await ask(desk.ring.forget)
        return _json(None)

    @api.get("/image_buffer/start.cbor")
    async def start_cbor() -> Response:
        return Response(await ask(_start_message, broker), media_type=CBOR)

    @api.get("/image_buffer/image.cbor")
    async def image_cbor(id: str = "-1") -> Response:
        return Response(await desk.do(lambda: image_message(desk.images, frame(id))), media_type=CBOR)

    @api.get("/image_buffer/image.tiff")
    async def image_tiff(id: str = "-1") -> Response:
        return Response(await desk.do(lambda: tiff_bytes(frame(id).pixels)), media_type=TIFF)

    def frame(id: str) -> Any:
        return desk.images.frame(_whole("id", id, -2, 2**62))

    @api.get("/image_buffer/image.jpeg")
    async def image_jpeg(
        id: str = "-1",
        show_user_mask: bool = False,
        show_roi: bool = False,
        show_spots: bool = True,
        show_predictions: bool = False,
        show_beam_center: bool = True,
        saturation: float | None = None,
        show_res_ring: float | None = None,
        show_res_est: bool = False,
        jpeg_quality: int = 85,
        color: str = "indigo",
    ) -> Response:
        if show_res_ring is not None and not 0.1 <= show_res_ring <= 100.0:
            raise SettingError(f"show_res_ring is {show_res_ring}, expected 0.1 to 100 angstrom")
        if saturation is not None and not 0 < saturation < float("inf"):
            raise SettingError(f"saturation is {saturation}, expected counts above 0")
        if not 1 <= jpeg_quality <= 100:
            raise SettingError(f"jpeg_quality is {jpeg_quality}, expected 1 to 100")
        query = PictureQuery(
            show_spots, show_roi, show_user_mask, show_beam_center, show_res_ring, show_res_est, saturation, color,
            jpeg_quality,
        )  # fmt: skip
        content = await desk.do(lambda: picture_of(desk.views, frame(id), query, "jpeg"))
        return Response(content, media_type="image/jpeg")

    @api.get("/preview/plot")
    async def preview_plot(
        type: str, binning: int = 0, fill: float | None = None, experimental_coord: bool = False,
        azint_unit: str | None = None, roi: str | None = None,
    ) -> Response:  # fmt: skip
        series = broker.history.series()
        return _json(await ask(_plot, series, type, max(binning, 0), roi, fill, experimental_coord))

    @api.get("/preview/plot.bin")
    async def preview_plot_bin(type: str, roi: str | None = None) -> Response:
        content = await ask(_plot, broker.history.series(), type, 1, roi, None, False)
        lines = content["plot"]
        values = np.asarray(lines[0]["y"], "<f4") if lines else np.zeros(0, "<f4")
        return Response(values.tobytes(), media_type=BYTES)

    @api.get("/result/scan")
    async def result_scan() -> Response:
        series = broker.history.series()
        if series is None:
            return Response(status_code=404)
        now = (await ask(broker.control.status)).get("series") or {}
        content = await desk.do(lambda: json_bytes(scan_result(series, now.get("name"))))
        return Response(content, media_type=JSON)


def _plot(series: Any, kind: str, bin: int, roi: str | None, fill: float | None, along: bool) -> dict[str, Any]:
    try:
        return plots_of(series, kind, bin, roi, fill, along)
    except KeyError:
        raise SettingError(f"there is no plot {kind[:64]!r}; there are {', '.join(PLOTS)}") from None


def _start_message(broker: Broker) -> bytes:
    try:
        start = read_message([broker.control.start_message()])
    except StreamError as error:
        raise RefusedError("internal", f"the start message cannot be read: {error}") from None
    assert isinstance(start, Start)
    return start_message(start)


def _their_rois(document: dict[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """As Jungfraujoch has regions, and those that it has no form for."""
    rois = Rois.from_dict(document).rois
    theirs = tuple(roi for roi in rois if roi.type in ("box", "circle", "azimuthal"))
    return Rois(theirs).to_jungfraujoch(), [f"{roi.name} ({roi.type})" for roi in rois if roi not in theirs]


def _pusher(status: dict[str, Any]) -> dict[str, Any]:
    """Of /image_pusher/status: the TCP image stream, or the files that the service writes itself."""
    sinks = status.get("sinks", {})
    tcp = next((sink for sink in sinks.values() if "writers" in sink and "writers_gone" in sink), None)
    if tcp is None:
        writer = sinks.get("files") or {}
        kind = "HDF5" if writer else "None"
        return {"pusher_type": kind, "addr": [], "connected_writers": 0, "images_written": writer.get("written")}
    writers = [*tcp["writers"], *tcp["writers_gone"]]
    return {
        "pusher_type": "TCP",
        "addr": [tcp["address"]] if tcp.get("address") else [],
        "connected_writers": len(tcp["writers"]),
        "images_written": sum(int(each.get("acknowledged", 0)) for each in writers),
        "writers": writers,
        "series": tcp.get("series", []),
    }


def _whole(name: str, text: str, low: int, high: int) -> int:
    try:
        number = int(text)
    except ValueError:
        number = low - 1
    if not low <= number <= high:
        raise SettingError(f"{name} is {text[:40]!r}, expected a whole number from {low} to {high}")
    return number


_THEIR_EVENTS = {"series_start": "start", "file": "file", "series_end": "end", "superseded": "superseded"}


async def _events(broker: Broker, done: Callable[[], None]) -> AsyncIterator[str]:
    """What happened, by Jungfraujoch's names; the start has its message in base64."""
    number, moment, files, quiet = 0, None, 0, time.monotonic()
    try:
        yield ": live\n\n"
        while not broker.closing:
            for event in broker.history.events_after(number, moment):
                number, moment = event.number, event.time
                kind = _THEIR_EVENTS.get(event.name)
                if kind is None:
                    continue
                data = dict(event.data)
                if kind == "start":
                    files = 0
                    data = {"run_number": data.get("id"), "run_name": data.get("unique_id"), **data}
                    try:
                        message = await broker.ask(_start_message, broker)
                        data["start_message"] = base64.b64encode(message).decode()
                    except RefusedError:
                        pass
                elif kind == "file":
                    files += 1
                    data = {"file_number": files, "file": data.get("path"), "image_count": data.get("images"), **data}
                elif kind == "end":
                    data = {"images": (data.get("books") or {}).get("received"), "error": data.get("error") or None}
                yield f"event: {kind}\ndata: {json_bytes(data).decode()}\n\n"
                quiet = time.monotonic()
            if time.monotonic() - quiet > _KEEP_ALIVE:
                quiet = time.monotonic()
                yield ": alive\n\n"
            await asyncio.sleep(0.2)
    finally:
        done()
