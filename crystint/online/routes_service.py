"""Routes about the service itself: whether it lives, what it counts, what happened, and the cookie of the page."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Header, Request, Response
from fastapi.responses import PlainTextResponse, StreamingResponse

from crystint import __version__
from crystint.online.answers import ApiError, answer, json_header, plain
from crystint.online.api_models import EventModel, SessionModel, SessionRequest
from crystint.online.auth import SESSION_SECONDS, Role
from crystint.online.broker import Broker
from crystint.online.metrics import metrics_text
from crystint.online.requests import checked_query
from crystint.online.sink import Event

__all__ = ["KEEP_ALIVE", "open_routes"]

KEEP_ALIVE = 10.0
"""s of silence after which a comment is sent"""


def open_routes(broker: Broker) -> APIRouter:
    """Health, metrics, events, session."""
    api = APIRouter(dependencies=[Depends(checked_query)])

    async def status() -> dict[str, Any]:
        return await broker.ask(broker.control.status)

    @api.get("/healthz", response_class=PlainTextResponse)
    async def healthz() -> Response:
        """200 while images can be taken from the detector."""
        content = await status()
        if content.get("receiving", True):
            return PlainTextResponse("ok\n")
        raise ApiError(503, "busy", "nothing receives: the data process has ended its work")

    @api.get("/readyz", response_class=PlainTextResponse)
    async def readyz() -> Response:
        """200 when a series could be taken."""
        content = await status()
        if content.get("receiving", True) and content["state"] != "error":
            return PlainTextResponse("ready\n")
        raise ApiError(503, "busy", f"the state is {content['state']}")

    @api.get("/metrics", response_class=PlainTextResponse)
    async def metrics() -> Response:
        """Counts and times as Prometheus reads them."""
        text = metrics_text(await status(), broker)
        return Response(text, media_type="text/plain; version=0.0.4; charset=utf-8")

    @api.post("/api/v1/session", response_model=None, status_code=204)
    async def session(body: SessionRequest, request: Request) -> Response:
        """Exchange a token for a cookie, which scripts of a page cannot read. The header X-Session tells what it
        allows, as a GET would: a page begins one question sooner."""
        access = broker.access
        role = access.role_of(body.token)
        if role is None:
            if access.failed():
                raise ApiError(429, "busy", "too many wrong tokens; wait a second")
            raise ApiError(401, "unauthorized", "wrong token", "token")
        response = Response(status_code=204, headers={"X-Session": json_header(_session(role))})
        response.set_cookie(
            access.cookie_name, access.cookie(role), max_age=SESSION_SECONDS, httponly=True, samesite="strict",
            secure=access.encrypted, path="/",
        )  # fmt: skip
        return response

    @api.get("/api/v1/session", response_model=SessionModel)
    async def role(request: Request) -> Response:
        """What the cookie of a page allows; null = there is none."""
        return answer(_session(request.scope["state"]["role"]))

    def _session(role: Role | None) -> dict[str, Any]:
        name = None if role is None else role.name.lower()
        return {"role": name, "source": broker.source, "version": __version__}

    @api.get("/api/v1/events", response_model=list[EventModel])
    async def events(
        request: Request,
        after: Annotated[int, "number of the last event that is known already"] = 0,
        last_event_id: Annotated[str | None, Header()] = None,
    ) -> Response:
        """What happened, as a stream of server-sent events; with Accept: application/json what there is now.

        The last 1000 are remembered, and Last-Event-ID goes on from one of them. A comment every 10 s says that the
        stream lives. Any number may read.
        """
        number, time = _last(last_event_id, after)
        if "text/event-stream" not in request.headers.get("accept", "*/*") and "*/*" not in request.headers.get(
            "accept", "*/*"
        ):
            return answer([_described(each) for each in broker.history.events_after(number, time)])
        return StreamingResponse(
            _stream(broker, number, time), media_type="text/event-stream", headers={"X-Accel-Buffering": "no"}
        )

    return api


def _last(header: str | None, after: int) -> tuple[int, int | None]:
    """Number and time of the last event that a reader has; the header goes before."""
    parts = (header or "").split("-")
    if len(parts) <= 2 and all(part.isascii() and part.isdecimal() and len(part) < 20 for part in parts):
        return int(parts[0]), int(parts[1]) if len(parts) == 2 else None
    return after, None


def _described(event: Event) -> dict[str, Any]:
    return {"number": event.number, "name": event.name, "time": event.time, "data": event.data}


def _text(event: Event) -> str:
    """A server-sent event. JSON has no line breaks, so it is one line."""
    data = json.dumps(plain(_described(event)), separators=(",", ":"))
    return f"id: {event.number}-{event.time}\nevent: {event.name}\ndata: {data}\n\n"


async def _stream(broker: Broker, number: int, time: int | None) -> AsyncIterator[str]:
    """Events until the reader leaves or the service ends."""
    loop, changed = asyncio.get_running_loop(), asyncio.Event()

    def notify() -> None:
        try:
            loop.call_soon_threadsafe(changed.set)
        except RuntimeError:  # the loop has ended
            return

    leave = broker.history.follow(notify)
    broker.traffic.viewers += 1
    try:
        yield "retry: 1000\n\n"
        while not broker.closing:
            changed.clear()
            for event in broker.history.events_after(number, time):
                number, time = event.number, event.time
                yield _text(event)
            try:
                await asyncio.wait_for(changed.wait(), KEEP_ALIVE)
            except TimeoutError:
                yield ": alive\n\n"
    finally:
        leave()
        broker.traffic.viewers -= 1
