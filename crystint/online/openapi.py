"""The OpenAPI document of the web interface: the contract that clients are made of."""

from __future__ import annotations

import json
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from crystint.online.api_models import MaskByPath, MaskByShapes

__all__ = ["openapi_of", "openapi_text", "proper_limits"]


def openapi_of(app: FastAPI) -> dict[str, Any]:
    """The document of an application: errors in our form alone, and how one proves who one is."""
    document = get_openapi(
        title=app.title, version=app.version, description=app.description, routes=app.routes, openapi_version="3.1.0"
    )
    proper_limits(document)
    components = document.setdefault("components", {})
    schemas = components.get("schemas", {})
    for name in ("HTTPValidationError", "ValidationError"):
        schemas.pop(name, None)
    for model in (MaskByPath, MaskByShapes):  # of a body that may be an image as well
        schemas[model.__name__] = model.model_json_schema()
    components["securitySchemes"] = {
        "token": {"type": "http", "scheme": "bearer"},
        "session": {"type": "apiKey", "in": "cookie", "name": "crystint_<id of the service>"},
    }
    document["security"] = [{"token": []}, {"session": []}]
    for path, item in document["paths"].items():
        for operation in item.values():
            operation["responses"].pop("422", None)
            if path in ("/", "/healthz", "/readyz", "/api/v1/session"):
                operation["security"] = []
    return document


_LIMITS = {"gt": "exclusiveMinimum", "ge": "minimum", "lt": "exclusiveMaximum", "le": "maximum"}


def proper_limits(part: Any) -> None:
    """Limits behind a validator of ours, by the names that JSON Schema has for them."""
    if isinstance(part, dict):
        for name, proper in _LIMITS.items():
            if isinstance(part.get(name), int | float):
                part[proper] = part.pop(name)
    for each in part.values() if isinstance(part, dict) else part if isinstance(part, list) else ():
        proper_limits(each)


def openapi_text(app: FastAPI) -> str:
    """As it is committed: ``docs/openapi.json``."""
    document = app.openapi()
    document["info"]["version"] = "1"
    return json.dumps(document, indent=1, sort_keys=True, ensure_ascii=False) + "\n"
