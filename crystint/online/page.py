"""The page for browsers: files that `make web` builds from web/, and what is said where they were not built."""

from __future__ import annotations

import re
from collections.abc import Mapping
from importlib import resources
from pathlib import Path

from fastapi import APIRouter, Request, Response
from fastapi.responses import PlainTextResponse

from crystint.errors import RefusedError
from crystint.online.broker import Broker

__all__ = ["page_files", "page_routes"]

_NO_PAGE = (
    "crystint online: the page for browsers was not built here; `make web` in a checkout builds it, with Node.js.\n"
    "Programs ask /api/v1 with a token, as docs/openapi.json says; people use `crystint online watch`.\n"
)
_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
}
_NAME = re.compile(r"[a-z]+-[0-9a-f]{12}\.(js|css)")
_PACKED = {"br": ".br", "gzip": ".gz"}
"""encodings, the best one first"""
_FOR_EVER = "public, max-age=31536000, immutable"
"""names change with what is in the files"""


def page_files() -> Mapping[str, Path]:
    """Files of the page by their names; empty = it was not built.

    Returns
    -------
    dict of str to Path
    """
    folder = Path(str(resources.files("crystint") / "online" / "static"))
    if not (folder / "index.html").is_file():
        return {}
    return {path.name: path for path in folder.iterdir() if path.suffix in _TYPES}


def page_routes(_broker: Broker) -> APIRouter:
    """The page at ``/``, and its files below ``/static/``."""
    api = APIRouter(include_in_schema=False)

    @api.get("/")
    async def page(request: Request) -> Response:
        path = page_files().get("index.html")
        if path is None:
            return PlainTextResponse(_NO_PAGE)
        return _file(path, request.headers.get("accept-encoding", ""), "no-cache")

    @api.get("/static/{name}")
    async def file(name: str, request: Request) -> Response:
        path = page_files().get(name) if _NAME.fullmatch(name) else None
        if path is None:
            raise RefusedError("not_found", f"the page has no file {name[:80]!r}; load the page again", "name")
        return _file(path, request.headers.get("accept-encoding", ""), _FOR_EVER)

    return api


def _file(path: Path, accepted: str, caching: str) -> Response:
    """Packed, where the browser takes that."""
    names = {
        part.split(";")[0].strip().lower() for part in accepted.split(",") if not part.replace(" ", "").endswith(";q=0")
    }
    headers = {"Cache-Control": caching, "Vary": "Accept-Encoding"}
    for encoding, suffix in _PACKED.items():
        packed = path.with_name(path.name + suffix)
        if encoding in names and packed.is_file():
            return Response(packed.read_bytes(), 200, headers | {"Content-Encoding": encoding}, _TYPES[path.suffix])
    return Response(path.read_bytes(), 200, headers, _TYPES[path.suffix])
