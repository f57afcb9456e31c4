"""Stands before all routes: who asks, from where, and how much it sends. What it does not know it refuses."""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, MutableMapping
from http.cookies import CookieError, SimpleCookie
from typing import Any

from crystint.errors import RefusedError
from crystint.online.answers import JSON, ApiError, error_body
from crystint.online.auth import Access, Role, is_loopback

__all__ = ["LARGE_BODY", "SMALL_BODY", "Guard", "Traffic"]

SMALL_BODY = 2**20
"""bytes of a request"""
LARGE_BODY = 256 * 2**20
"""of one that carries a mask"""
_SAFE = ("GET", "HEAD", "OPTIONS", "TRACE")
_HEADERS = (
    (
        b"content-security-policy",
        b"default-src 'none'; script-src 'self'; worker-src 'self'; style-src 'self'; connect-src 'self'; "
        b"img-src 'self' blob: data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    ),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"cross-origin-opener-policy", b"same-origin"),
)

Scope = MutableMapping[str, Any]
Send = Callable[[MutableMapping[str, Any]], Any]
Receive = Callable[[], Any]


class Traffic:
    """What was asked, for the metrics."""

    def __init__(self) -> None:
        self.requests: Counter[tuple[str, int]] = Counter()
        """by method and status"""
        self.viewers = 0
        """that follow events or images"""
        self._told = 0.0

    def trouble(self, error: BaseException, path: str) -> None:
        """A fault of ours: a line on stderr, one a second at most."""
        now = time.monotonic()
        if now - self._told > 1.0:
            self._told = now
            print(f"crystint: warning: {path} failed: {type(error).__name__}: {error}", file=sys.stderr, flush=True)


class Guard:
    """An ASGI application round another one.

    Parameters
    ----------
    app : ASGI application
    access : Access
    traffic : Traffic
    is_open : callable
        (path, method, whether the client is on this machine) -> whether no token is asked for.
    viewing : collection of str
        Prefixes of paths where other methods than GET change nothing, so that `Role.VIEW` is enough.
    large : mapping of path to bytes
        Largest bodies, where they are not `SMALL_BODY`.
    """

    def __init__(
        self,
        app: Any,
        *,
        access: Access,
        traffic: Traffic,
        is_open: Callable[[str, str, bool], bool],
        viewing: Iterable[str] = (),
        large: Mapping[str, int] | None = None,
    ) -> None:
        self.app, self.access, self.traffic, self.is_open = app, access, traffic, is_open
        self.viewing, self.large = tuple(viewing), dict(large or {})

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
            return
        headers = {name: value.decode("latin-1") for name, value in scope["headers"]}
        if scope["type"] == "websocket":
            await self._websocket(scope, headers, receive, send)
            return
        answer = _Answer(send, scope["method"], self.traffic)
        try:
            scope.setdefault("state", {})["role"] = self._role(scope, headers)
            limit = self.large.get(scope["path"], SMALL_BODY)
            body = _Body(receive, limit, scope["path"])
            if _length(headers) > limit:
                raise body.error
        except RefusedError as error:
            await answer.refuse(error)
            return
        answer.body = body
        try:
            await self.app(scope, body, answer)
        except RefusedError as error:
            await answer.refuse(error)
        except Exception as error:
            self.traffic.trouble(error, scope["path"])
            if answer.begun:
                raise
            await answer.refuse(ApiError(500, "internal", "crystint failed at this; its log has the reason"))

    def _role(self, scope: Scope, headers: Mapping[bytes, str]) -> Role | None:
        """What the one who asks may do.

        Raises
        ------
        ApiError
            When it may not do this.
        """
        path, method = scope["path"], scope["method"]
        self._check_place(headers, safe=method in _SAFE)
        if self.is_open(path, method, self._is_near(scope)):
            return self._of_cookie(headers)
        role = self.role(headers)
        wanted = Role.VIEW if method in _SAFE or path.startswith(self.viewing) else Role.CONTROL
        if role < wanted:
            raise ApiError(403, "forbidden", f"this token may look, and not {method} {path}; use that of control")
        return role

    def _check_place(self, headers: Mapping[bytes, str], safe: bool) -> None:
        host = headers.get(b"host", "")
        if not self.access.may_be_called(host):
            raise ApiError(403, "forbidden", f"this service is not called {host[:80]!r}", "Host")
        if safe:
            return
        if not self.access.is_own_page(host, headers.get(b"origin"), headers.get(b"sec-fetch-site")):
            raise ApiError(403, "forbidden", "a page of another origin may change nothing here", "Origin")

    def _is_near(self, scope: Scope) -> bool:
        client = scope.get("client")
        return self.access.loopback and (client is None or is_loopback(client[0]))

    def role(self, headers: Mapping[bytes, str]) -> Role:
        """What the token or the cookie of a request allows.

        Raises
        ------
        ApiError
            401 where there is none that is ours, 429 where that was so too often.
        """
        scheme, _, token = headers.get(b"authorization", "").partition(" ")
        role = None
        if scheme.lower() == "bearer":
            role = self.access.role_of(token.strip())
        elif scheme == "" and b"cookie" in headers:
            role = self.access.role_of_cookie(_cookie(headers[b"cookie"], self.access.cookie_name))
        elif scheme == "":
            raise ApiError(401, "unauthorized", "no token: send the header Authorization: Bearer TOKEN")
        if role is not None:
            return role
        if self.access.failed():
            raise ApiError(429, "busy", "too many wrong tokens; wait a second")
        raise ApiError(401, "unauthorized", "wrong token; `crystint online serve` prints the right one")

    def _of_cookie(self, headers: Mapping[bytes, str]) -> Role | None:
        if b"cookie" not in headers:
            return None
        return self.access.role_of_cookie(_cookie(headers[b"cookie"], self.access.cookie_name))

    async def _websocket(self, scope: Scope, headers: Mapping[bytes, str], receive: Receive, send: Send) -> None:
        """The token comes in its first message, or as a cookie; here it is only seen from where it comes."""
        try:
            self._check_place(headers, safe=False)
        except RefusedError:
            await send({"type": "websocket.close", "code": 1008})
            return
        scope.setdefault("state", {})["role"] = self._of_cookie(headers)
        await self.app(scope, receive, send)


def _cookie(text: str, name: str) -> str:
    try:
        cookies = SimpleCookie(text)
    except CookieError:
        return ""
    return cookies[name].value if name in cookies else ""


def _length(headers: Mapping[bytes, str]) -> int:
    """Bytes that a request says it has."""
    text = headers.get(b"content-length", "0")
    return int(text) if text.isdecimal() and len(text) < 20 else 0


class _Body:
    """The body of a request, up to its limit."""

    def __init__(self, receive: Receive, limit: int, path: str) -> None:
        self._receive, self._left = receive, limit
        self.error = ApiError(413, "too_large", f"{path} takes at most {limit} bytes")
        self.exceeded = False

    async def __call__(self) -> Any:
        message = await self._receive()
        self._left -= len(message.get("body") or b"")
        if self._left < 0:
            self.exceeded = True
            raise self.error
        return message


class _Answer:
    """Adds what every answer has, and tells whether there is one yet."""

    def __init__(self, send: Send, method: str, traffic: Traffic) -> None:
        self._send, self._method, self._traffic = send, method, traffic
        self.begun = False
        self.body: _Body | None = None
        self._replaced = False

    async def __call__(self, message: MutableMapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            if self.body is not None and self.body.exceeded:  # the framework made another error of it
                self._replaced = True
                await self.refuse(self.body.error)
                return
            self._begin(message)
        if not self._replaced:
            await self._send(message)

    def _begin(self, message: MutableMapping[str, Any]) -> None:
        self.begun = True
        self._traffic.requests[self._method, message["status"]] += 1
        headers = list(message.get("headers", ()))
        names = {name.lower() for name, _ in headers}
        message["headers"] = [*headers, *(each for each in _HEADERS if each[0] not in names)]
        if b"cache-control" not in names:
            message["headers"].append((b"cache-control", b"no-store"))

    async def refuse(self, error: RefusedError) -> None:
        """Send an error instead."""
        if self.begun:
            return
        status, body, more = error_body(error)
        headers = [(name.lower().encode(), value.encode("latin-1", "replace")) for name, value in more.items()]
        headers += [(b"content-type", JSON.encode()), (b"content-length", str(len(body)).encode())]
        start = {"type": "http.response.start", "status": status, "headers": headers}
        self._begin(start)
        await self._send(start)
        await self._send({"type": "http.response.body", "body": body})
