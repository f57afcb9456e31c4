"""Requests to an ASGI application in this process."""

from __future__ import annotations

import asyncio

from crystint.online.auth import Tokens

TOKENS = Tokens("c" * 43, "v" * 43)


class Client:
    """As httpx.Client, each request in an event loop of the test."""

    def __init__(self, app, token, client=("127.0.0.1", 40000), base="http://127.0.0.1:5232"):
        import httpx

        self._transport = httpx.ASGITransport(app=app, client=client)
        self._headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        self._base = base
        self._runner = asyncio.Runner()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._runner.close()

    def request(self, method, path, **more):
        import httpx

        async def ask():
            async with httpx.AsyncClient(
                transport=self._transport, base_url=self._base, headers=self._headers, trust_env=False
            ) as client:
                return await client.request(method, path, **more)

        return self._runner.run(ask())

    def get(self, path, **more):
        return self.request("GET", path, **more)

    def put(self, path, **more):
        return self.request("PUT", path, **more)

    def post(self, path, **more):
        return self.request("POST", path, **more)

    def patch(self, path, **more):
        return self.request("PATCH", path, **more)

    def delete(self, path, **more):
        return self.request("DELETE", path, **more)
