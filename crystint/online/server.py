"""The web interface: routes to look, to change and to follow, round what the data process and the history tell."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import cache, partial
from pathlib import Path
from typing import Any, Literal, get_args

from fastapi import APIRouter, FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel
from starlette.exceptions import HTTPException
from starlette.routing import Match

from crystint import __version__
from crystint.engine import Engine
from crystint.errors import CrystintError, RefusedError
from crystint.online.answers import JSON, REASON, ApiError, error_body
from crystint.online.api_models import ErrorModel
from crystint.online.auth import Access
from crystint.online.broker import Broker
from crystint.online.control import Control
from crystint.online.guard import LARGE_BODY, Guard
from crystint.online.history import History
from crystint.online.live import live_routes
from crystint.online.openapi import openapi_of
from crystint.online.page import page_routes
from crystint.online.requests import unknown_key
from crystint.online.routes_control import control_routes
from crystint.online.routes_details import detail_routes
from crystint.online.routes_files import file_routes
from crystint.online.routes_images import image_routes
from crystint.online.routes_jobs import job_routes
from crystint.online.routes_layouts import layout_routes
from crystint.online.routes_mask import MASK, mask_routes
from crystint.online.routes_notes import alarms_of, note_routes
from crystint.online.routes_results import result_routes
from crystint.online.routes_service import open_routes
from crystint.online.state_folder import StateFolder

__all__ = ["ERRORS", "NATIVE", "Extra", "create_app"]

NATIVE: tuple[Callable[[Broker], APIRouter], ...] = (
    page_routes,
    open_routes,
    mask_routes,
    control_routes,
    result_routes,
    image_routes,
    detail_routes,
    file_routes,
    job_routes,
    note_routes,
    layout_routes,
    live_routes,
)
"""Routes of crystint's own interface, which the committed OpenAPI document has."""
OPEN = ("/healthz", "/readyz", "/api/v1/session", "/static/", "/favicon.ico")
"""Paths without a token, besides ``/``; those that end in / are prefixes"""
VIEWING: tuple[str, ...] = ("/api/v1/images/",)
"""Prefixes of paths where a POST changes nothing"""
ERRORS: dict[int | str, dict[str, Any]] = {
    code: {"model": ErrorModel, "description": text}
    for code, text in {
        400: "a value is wrong",
        401: "no token, or a wrong one",
        403: "the token, the host or the origin is not allowed to",
        404: "there is nothing of that name",
        409: "not in this state",
        412: "somebody else changed it before",
        413: "too large",
        429: "too many requests",
        500: "a fault of crystint",
        503: "no answer in time; ask again",
    }.items()
}


@dataclass(frozen=True)
class Extra:
    """Routes that are added to the native ones.

    Parameters
    ----------
    routes : callable
        Makes them.
    open_on_loopback : bool
        No token is asked for where the service is bound to the machine itself, and the client is on it.
    large : mapping of path to bytes
        Largest bodies, where they are not 1 MB.
    """

    routes: Callable[[Broker], APIRouter]
    open_on_loopback: bool = False
    large: Mapping[str, int] = field(default_factory=dict)


def create_app(
    control: Control,
    history: History,
    ring: Any = None,
    *,
    access: Access,
    extras: Sequence[Extra] = (),
    data_root: Path | None = None,
    state: Path | None = None,
    patience: float = 2.0,
    device: str | None = None,
    source: Literal["stream", "files"] = "stream",
    on_start: Callable[[], None] | None = None,
    on_stop: Callable[[], None] | None = None,
) -> FastAPI:
    """The application.

    Parameters
    ----------
    control : Control
        The service, or the proxy of one in another process.
    history : History
        Fed by somebody else.
    ring : object, optional
        The last images, `crystint.online.ring`.
    access : Access
    extras : sequence of Extra
    data_root : path, optional
        Files below it may be named in requests.
    state : path, optional
        Folder that layouts and alarms are kept in; None = they cannot be kept.
    patience : float
        s that an answer of the control is waited for.
    device : str, optional
        That images are looked at with, as `Engine` takes it.
    source : {"stream", "files"}
        What is looked at.
    on_start, on_stop : callable, optional
        Called when the application begins and ends.

    Returns
    -------
    FastAPI
        Its `state.broker` is what the routes share.
    """
    engine = cache(partial(Engine, device))
    broker = Broker(
        control, history, access, ring, data_root, patience, source=source, engine=engine, state=StateFolder(state)
    )

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        if on_start is not None:
            on_start()
        alarms_of(broker).start()
        try:
            yield
        finally:
            broker.close()
            if on_stop is not None:
                on_stop()

    app = FastAPI(
        title="crystint online",
        version=__version__,
        description="Peaks, regions and books of a detector's stream, and what they are made with.",
        docs_url=None,
        redoc_url=None,
        swagger_ui_oauth2_redirect_url=None,
        redirect_slashes=False,
        lifespan=lifespan,
    )
    app.state.broker = broker
    for make in NATIVE:
        app.include_router(make(broker), responses=ERRORS)
    near = [extra.routes(broker) for extra in extras if extra.open_on_loopback]
    for router in near:
        app.include_router(router)
    for extra in extras:
        if not extra.open_on_loopback:
            app.include_router(extra.routes(broker), responses=ERRORS)
    for kind in (RefusedError, CrystintError, RequestValidationError, HTTPException):
        app.add_exception_handler(kind, _refuse)
    app.openapi = lambda: openapi_of(app)  # type: ignore[method-assign]
    large = {path: size for extra in extras for path, size in extra.large.items()}
    app.add_middleware(
        Guard,
        access=access,
        traffic=broker.traffic,
        is_open=lambda path, method, is_near: _is_open(path, method) or (is_near and _matches(near, path, method)),
        viewing=VIEWING,
        large=_LARGE | large,
    )
    return app


_LARGE = {MASK: LARGE_BODY}


def _is_open(path: str, method: str) -> bool:
    if path in OPEN or (path == "/" and method == "GET"):
        return True
    return any(path.startswith(prefix) for prefix in OPEN if prefix.endswith("/")) and ".." not in path


def _matches(routers: Sequence[APIRouter], path: str, method: str) -> bool:
    scope = {"type": "http", "path": path, "method": method, "root_path": "", "headers": []}
    return any(route.matches(scope)[0] != Match.NONE for router in routers for route in router.routes)


async def _refuse(request: Request, error: Exception) -> Response:
    """Every error in one form."""
    match error:
        case RefusedError():
            refusal = error
        case RequestValidationError():
            refusal = _wrong(request, error)
        case HTTPException():
            text = str(error.detail)
            if error.status_code == 404:
                text = f"there is no {request.url.path}"
            elif error.status_code == 405:
                text = f"{request.url.path} knows no {request.method}"
            refusal = ApiError(error.status_code, REASON.get(error.status_code, "bad_value"), text, None, error.headers)
        case _:
            refusal = RefusedError("bad_value", str(error))
    status, body, headers = error_body(refusal)
    return Response(body, status, headers, JSON)


def _wrong(request: Request, error: RequestValidationError) -> RefusedError:
    """What pydantic says, in a sentence that names the field, and for an unknown key the nearest one."""
    first = error.errors()[0]
    place = [str(part) for part in first["loc"][1:]]
    name = ".".join(place) or "body"
    if first["type"] == "json_invalid":
        return RefusedError("bad_value", f"the body is not JSON: {first.get('ctx', {}).get('error', first['msg'])}")
    if first["type"] == "extra_forbidden":
        return unknown_key(name, place[-1], _keys_at(request, place[:-1]))
    if not place and "json" not in request.headers.get("content-type", ""):
        return RefusedError("bad_value", "the body is not read as JSON: send Content-Type: application/json")
    text = first["msg"].removeprefix("Value error, ")
    return RefusedError("bad_value", f"{name}: {text[:1].lower() + text[1:]}", name)


def _keys_at(request: Request, place: Sequence[str]) -> list[str]:
    """Keys that the body of a request may have at a place."""
    body = getattr(request.scope.get("route"), "body_field", None)
    models = _models(body.field_info.annotation if body is not None else None)
    for part in place:
        models = [
            inner
            for model in models
            if part in model.model_fields
            for inner in _models(model.model_fields[part].annotation)
        ]
    return sorted({key for model in models for key in model.model_fields})


def _models(annotation: Any) -> list[type[BaseModel]]:
    """Models that a value may be."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for part in get_args(annotation) for model in _models(part)]
