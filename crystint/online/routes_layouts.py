"""Routes of the layouts of the page."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Header, Path, Request, Response
from pydantic import JsonValue

from crystint.errors import RefusedError
from crystint.online.answers import ApiError, answer
from crystint.online.api_models import LayoutModel, LayoutsModel
from crystint.online.broker import Broker
from crystint.online.layouts import Layouts
from crystint.online.requests import checked_query, revision_of

__all__ = ["layout_routes"]

Name = Annotated[str, Path(max_length=64, json_schema_extra={"pattern": "^[A-Za-z0-9_.-]{1,64}$"})]
IfMatch = Annotated[str | None, Header(description="revision that the change is made of; 412 when it is another one")]
IfNoneMatch = Annotated[str | None, Header(description="* = only where there is none of that name; 412 otherwise")]


def layout_routes(broker: Broker) -> APIRouter:
    """Routes round `crystint.online.layouts.Layouts`."""
    api = APIRouter(prefix="/api/v1", dependencies=[Depends(checked_query)])

    def layouts() -> Layouts:
        return Layouts(broker.state)

    @api.get("/layouts", response_model=LayoutsModel)
    async def every(request: Request) -> Response:
        """Names of those that are kept."""
        folder = None if broker.state.path is None else str(broker.state.path)
        content = {"layouts": await broker.ask(layouts().all), "folder": folder}
        return answer(content, request.headers.get("accept"))

    @api.get("/layouts/{name}", response_model=dict[str, JsonValue])
    async def one(name: Name, request: Request) -> Response:
        """As it was put there; its revision is the ETag."""
        layout, revision = await broker.ask(layouts().get, name)
        return answer(layout, request.headers.get("accept"), headers={"ETag": f'"{revision}"'})

    @api.put("/layouts/{name}", response_model=LayoutModel)
    async def put(
        name: Name, layout: dict[str, JsonValue], if_match: IfMatch = None, if_none_match: IfNoneMatch = None
    ) -> Response:
        """Keep a layout: any map of JSON, of 256 kB at most."""
        if if_none_match not in (None, "*"):
            raise RefusedError("bad_value", "If-None-Match: expected *", "If-None-Match")
        revision, new = revision_of(if_match), if_none_match == "*"
        try:
            content = await broker.change(layouts().put, name, layout, revision, new=new)
        except RefusedError as error:
            raise _told(error) from None
        return answer(content, headers={"ETag": f'"{content["revision"]}"'})

    @api.delete("/layouts/{name}", response_model=None, status_code=204)
    async def remove(name: Name, if_match: IfMatch = None) -> Response:
        """Remove a layout."""
        try:
            await broker.change(layouts().remove, name, revision_of(if_match))
        except RefusedError as error:
            raise _told(error) from None
        return Response(status_code=204)

    return api


def _told(error: RefusedError) -> RefusedError:
    """A conflict of revisions is a 412."""
    return ApiError(412, "conflict", str(error), error.field) if error.reason == "conflict" else error
