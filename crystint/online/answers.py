"""How the web interface answers: JSON, CBOR or bare numbers, whatever the client prefers, and errors in one form."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, is_dataclass
from http import HTTPStatus
from typing import Any

import numpy as np
from fastapi import Response

from crystint.errors import RefusedError
from crystint.stream.cbor import Tag, encode
from crystint.stream.typed_arrays import list_tag

__all__ = [
    "BYTES",
    "CBOR",
    "JSON",
    "NPY",
    "TIFF",
    "ApiError",
    "answer",
    "error_body",
    "json_bytes",
    "json_header",
    "plain",
    "preferred",
]

JSON = "application/json"
CBOR = "application/cbor"
BYTES = "application/octet-stream"
NPY = "application/x-npy"
TIFF = "image/tiff"

STATUS = {
    "bad_value": 400,
    "unauthorized": 401,
    "forbidden": 403,
    "not_found": 404,
    "wrong_state": 409,
    "conflict": 409,
    "too_large": 413,
    "busy": 503,
    "internal": 500,
}
"""of HTTP, for each reason of `crystint.errors.RefusedError`"""
REASON = {
    400: "bad_value",
    401: "unauthorized",
    403: "forbidden",
    404: "not_found",
    405: "bad_value",
    409: "wrong_state",
    412: "conflict",
    413: "too_large",
    429: "busy",
    503: "busy",
}


class ApiError(RefusedError):
    """A refusal with a status of HTTP that is not the usual one of its reason."""

    def __init__(
        self, status: int, reason: str, text: str, field: str | None = None, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(reason, text, field)
        self.status, self.headers = status, dict(headers or {})


def error_body(error: RefusedError) -> tuple[int, bytes, dict[str, str]]:
    """Status, body and headers that tell of a refusal."""
    status = error.status if isinstance(error, ApiError) else STATUS.get(error.reason, HTTPStatus.INTERNAL_SERVER_ERROR)
    headers = dict(error.headers) if isinstance(error, ApiError) else {}
    if status == HTTPStatus.UNAUTHORIZED:
        headers.setdefault("WWW-Authenticate", "Bearer")
    if status in (HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE):
        headers.setdefault("Retry-After", "1")
    reason = error.reason if error.reason in STATUS else "internal"
    return status, json_bytes({"reason": reason, "msg": str(error), "field": error.field}), headers


def plain(value: Any) -> Any:
    """As JSON has it: NaN and infinities become null, arrays lists, dataclasses maps."""
    match value:
        case None | bool() | str() | int():
            return value
        case float():
            return value if math.isfinite(value) else None
        case np.generic():
            return plain(value.item())
        case np.ndarray():
            values = value.tolist()
            if value.dtype.kind == "f" and not np.isfinite(value).all():
                return plain(values)
            return values if value.dtype.kind in "biuf" else plain(values)
        case Mapping():
            return {str(key): plain(each) for key, each in value.items()}
        case list() | tuple():
            return [plain(each) for each in value]
    if is_dataclass(value) and not isinstance(value, type):
        return plain(asdict(value))
    return str(value)


def json_bytes(value: Any) -> bytes:
    """UTF-8."""
    text = json.dumps(plain(value), ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return text.encode("utf-8", "replace")


def json_header(value: Any) -> str:
    """For a header: ASCII alone, whatever the names in it are."""
    return json.dumps(plain(value), allow_nan=False, separators=(",", ":"))


def preferred(accept: str | None, offered: Sequence[str]) -> str:
    """The media type of `offered` that a client likes best by its header Accept; the first where it names none."""
    best, quality = offered[0], 0.0
    for part in (accept or "*/*").lower().split(","):
        name, *parameters = (piece.strip() for piece in part.split(";"))
        weight = next((_weight(each[2:]) for each in parameters if each.startswith("q=")), 1.0)
        for each in offered:
            matches = name in (each, "*/*", each.partition("/")[0] + "/*")
            if matches and weight > quality:
                best, quality = each, weight
                break
    return best


def _weight(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return 0.0


def answer(
    content: Any,
    accept: str | None = None,
    *,
    status: int = 200,
    columns: Mapping[str, Any] | None = None,
    headers: Mapping[str, str] | None = None,
) -> Response:
    """A response of JSON, or of CBOR where the client prefers it.

    Parameters
    ----------
    content : mapping or list
        Values, sequences, and arrays of numbers, which CBOR has as typed arrays (RFC 8746).
    accept : str, optional
        Header of the request.
    columns : mapping of name to array, optional
        That ``application/octet-stream`` is made of: one after the other, little-endian; ``X-Columns`` names them.
        None = it is not offered.
    """
    offered = (JSON, CBOR) if columns is None else (JSON, CBOR, BYTES)
    kind = preferred(accept, offered)
    more = {"Vary": "Accept", **(headers or {})}
    if kind == CBOR:
        return Response(_cbor(content), status, more, CBOR)
    if kind == BYTES:
        arrays = {name: _little(np.asarray(values)) for name, values in (columns or {}).items()}
        named = ", ".join(f"{name}:{array.dtype.str}:{array.size}" for name, array in arrays.items())
        body = b"".join(array.tobytes() for array in arrays.values())
        return Response(body, status, more | {"X-Columns": named}, BYTES)
    return Response(json_bytes(content), status, more, JSON)


def _little(array: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    return np.ascontiguousarray(array, array.dtype.newbyteorder("<"))


def _cbor(content: Any) -> bytes:
    return encode(_tagged(content))


def _tagged(value: Any) -> Any:
    """With typed arrays in place of arrays, and nothing that CBOR has not."""
    match value:
        case np.ndarray() if value.dtype.kind in "biuf":
            typed = list_tag(value.astype(np.uint8) if value.dtype.kind == "b" else _little(value))
            return typed if value.ndim == 1 else Tag(_ROW_MAJOR, [list(value.shape), typed])
        case Mapping():
            return {str(key): _tagged(each) for key, each in value.items()}
        case list() | tuple():
            return [_tagged(each) for each in value]
        case np.generic():
            return _tagged(value.item())
        case str():
            return value.encode("utf-8", "replace").decode()
        case None | bool() | int() | float() | bytes():
            return value
    return _tagged(plain(value))


_ROW_MAJOR = 40
"""Tag of an array of several axes, row by row."""
