"""Routes that ask the data process, and tell it what to do: status, series, start and stop, settings, regions."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Header, Path, Request, Response
from pydantic import JsonValue

from crystint.errors import GeometryError, RefusedError
from crystint.model.geometry import Geometry
from crystint.online.answers import ApiError, answer
from crystint.online.api_models import (
    AppliedModel,
    CrystfelModel,
    RoiDocument,
    RoiModel,
    RoisModel,
    SeriesModel,
    SettingsChange,
    SettingsModel,
    StartRequest,
    StatusModel,
)
from crystint.online.broker import Broker
from crystint.online.control import Applied
from crystint.online.openapi import proper_limits
from crystint.online.requests import checked_query, revision_of

__all__ = ["applied_answer", "changing", "control_routes"]

RoiPath = Annotated[str, Path(max_length=64, json_schema_extra={"pattern": "^[A-Za-z0-9_.-]{1,64}$"})]
IfMatch = Annotated[str | None, Header(description="revision that the change is made of; 412 when it is another one")]


def control_routes(broker: Broker) -> APIRouter:
    """Routes round `crystint.online.control.Control`."""
    api = APIRouter(prefix="/api/v1", dependencies=[Depends(checked_query)])
    ask = broker.ask

    def told(status: Mapping[str, Any], accept: str | None = None) -> Response:
        return answer({**status, "viewers": broker.traffic.viewers}, accept)

    @api.get("/status", response_model=StatusModel)
    async def status(request: Request) -> Response:
        """State, series with its books, rates, latency, queues, devices and sinks."""
        return told(await ask(broker.control.status), request.headers.get("accept"))

    @api.get("/series", response_model=list[SeriesModel])
    async def series(request: Request) -> Response:
        """The last 100 series with their books and files, the newest first."""
        return listed(await ask(broker.control.series), request)

    @api.get("/series/{key}", response_model=SeriesModel)
    async def one_series(key: str, request: Request) -> Response:
        """A series by its key, or by its number: then the newest of it."""
        for each in await ask(broker.control.series):
            if key in (str(each.get("series")), str(each.get("id"))):
                return answer(each, request.headers.get("accept"))
        raise RefusedError("not_found", f"there is no series {key[:80]!r}; /api/v1/series lists those there are", "key")

    @api.post("/start", response_model=StatusModel)
    async def start(options: StartRequest) -> Response:
        """Tell how the next series is called and what is known of it. Without it every series is taken with the
        defaults."""
        result = await broker.change(broker.control.start, options.model_dump(exclude_none=True))
        broker.access.allow_viewers(options.tokens or ())
        return told(result)

    @api.post("/stop", response_model=StatusModel)
    async def stop() -> Response:
        """Finish the series after what has come."""
        return told(await broker.change(broker.control.stop))

    @api.post("/abort", response_model=StatusModel)
    async def abort() -> Response:
        """End the series now; its files are closed."""
        return told(await broker.change(broker.control.abort))

    @api.post("/clear_error", response_model=StatusModel)
    async def clear_error() -> Response:
        """From error to idle."""
        return told(await broker.change(broker.control.clear_error))

    @api.get("/crystfel", response_model=CrystfelModel)
    async def crystfel(request: Request) -> Response:
        """What indexamajig needs to ask for images: a geometry file, and a command line."""
        return answer(await ask(_crystfel, broker), request.headers.get("accept"))

    @api.get("/settings", response_model=SettingsModel)
    async def settings(request: Request) -> Response:
        """Settings that images are looked at with."""
        return revised(await ask(broker.control.settings), request)

    @api.get("/settings/schema", response_model=dict[str, JsonValue])
    async def settings_schema() -> Response:
        """JSON Schema of what can be changed, with meanings, limits and defaults: forms are made of it."""
        schema = SettingsChange.model_json_schema()
        proper_limits(schema)
        return answer(schema)

    @api.patch("/settings", response_model=AppliedModel)
    async def change_settings(changes: SettingsChange, if_match: IfMatch = None, dry_run: bool = False) -> Response:
        """Change some, from the image on that the answer tells; with dry_run they are checked alone."""
        revision = revision_of(if_match)
        values = changes.model_dump(exclude_unset=True)
        return await changing(broker, broker.control.change_settings, values, revision, dry_run)

    @api.get("/rois", response_model=RoisModel)
    async def rois(request: Request) -> Response:
        """All regions."""
        return revised(await ask(broker.control.rois), request)

    @api.put("/rois", response_model=AppliedModel)
    async def change_rois(document: RoiDocument, if_match: IfMatch = None) -> Response:
        """Replace all regions."""
        return await changing(broker, broker.control.change_rois, document.model_dump(), revision_of(if_match))

    async def with_regions(
        change: Callable[[list[dict[str, Any]]], list[dict[str, Any]]], if_match: str | None
    ) -> Response:
        """Change the list of regions; what somebody else does meanwhile is not lost."""
        revision = revision_of(if_match)
        before = await ask(broker.control.rois)
        if revision is not None and revision != before["revision"]:
            raise superseded(before["revision"])
        document = {**before["document"], "rois": change(list(before["document"].get("rois", ())))}
        return await changing(broker, broker.control.change_rois, document, before["revision"])

    @api.post("/rois", response_model=AppliedModel)
    async def add_roi(roi: RoiModel, if_match: IfMatch = None) -> Response:
        """Add a region."""

        def change(regions: list[dict[str, Any]]) -> list[dict[str, Any]]:
            if any(each.get("name") == roi.get("name") for each in regions):
                raise RefusedError("conflict", f"there is a region {roi.get('name')!r} already", "name")
            return [*regions, roi]

        return await with_regions(change, if_match)

    @api.put("/rois/{name}", response_model=AppliedModel)
    async def replace_roi(name: RoiPath, roi: RoiModel, if_match: IfMatch = None) -> Response:
        """Replace a region, or add it."""

        def change(regions: list[dict[str, Any]]) -> list[dict[str, Any]]:
            if roi.setdefault("name", name) != name:
                raise RefusedError("bad_value", f"the region is called {roi['name']!r}, and the path {name!r}", "name")
            if any(each.get("name") == name for each in regions):
                return [dict(roi) if each.get("name") == name else each for each in regions]
            return [*regions, dict(roi)]

        return await with_regions(change, if_match)

    @api.delete("/rois/{name}", response_model=AppliedModel)
    async def remove_roi(name: RoiPath, if_match: IfMatch = None) -> Response:
        """Remove a region."""

        def change(regions: list[dict[str, Any]]) -> list[dict[str, Any]]:
            rest = [each for each in regions if each.get("name") != name]
            if len(rest) == len(regions):
                raise RefusedError("not_found", f"there is no region {name[:64]!r}", "name")
            return rest

        return await with_regions(change, if_match)

    return api


def _crystfel(broker: Broker) -> dict[str, str]:
    from crystint.online.crystfel import crystfel_setup

    status = broker.control.status()
    address = status["sinks"].get("crystfel", {}).get("address")
    if address is None:
        raise RefusedError("not_found", "nobody answers CrystFEL: the service was started without --crystfel")
    geometry = (status.get("series") or {}).get("geometry")
    if geometry is None:
        raise RefusedError("wrong_state", "no series told the geometry of the detector yet")
    try:
        return crystfel_setup(address, Geometry.from_dict(geometry))
    except GeometryError as error:
        raise RefusedError("wrong_state", str(error)) from None


def listed(items: Any, request: Request) -> Response:
    """A list; CBOR and JSON alike."""
    return answer(items, request.headers.get("accept"))


def revised(content: Mapping[str, Any], request: Request) -> Response:
    """With its revision as ETag."""
    return answer(content, request.headers.get("accept"), headers={"ETag": f'"{content["revision"]}"'})


def superseded(revision: int) -> ApiError:
    """Of a change that was made of an older revision."""
    text = f"somebody else changed it: the revision is {revision} now; get it, and change that"
    return ApiError(412, "conflict", text, "If-Match", {"ETag": f'"{revision}"'})


async def changing(broker: Broker, function: Callable[..., Applied], *arguments: Any) -> Response:
    """Make a change, and tell which image it applies to first. A conflict of revisions is a 412."""
    try:
        applied = await broker.change(function, *arguments)
    except RefusedError as error:
        if error.reason != "conflict" or isinstance(error, ApiError):
            raise
        raise ApiError(412, "conflict", str(error), error.field) from None
    return applied_answer(applied)


def applied_answer(applied: Applied) -> Response:
    """As `AppliedModel`."""
    content = {
        "first_image": applied.first_image,
        "version": applied.version,
        "revision": applied.revision,
        "details": applied.details,
    }
    return answer(content, headers={"ETag": f'"{applied.revision}"'})
