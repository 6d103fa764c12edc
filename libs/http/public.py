"""Calling the house's own public API on behalf of a visitor: in this process, or at an address.

Pages use it. Whoever calls, the visitor's cookies, address and scheme go along, so that the API sees one and the same
visitor however the services are spread over processes.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

import httpx
import msgspec
from starlette.requests import Request

from libs.bus import trace
from libs.http.errors import ServiceUnavailable
from libs.http.exchange import exchange_of

ASGI = Callable[..., Awaitable[None]]
_TIMEOUT = 15.0


@dataclass(frozen=True)
class Reply:
    """An answer of the API. `cookies` are its Set-Cookie headers as they came."""

    status: int
    headers: Mapping[str, str]
    cookies: tuple[str, ...]
    body: bytes


class PublicApi:
    """The API, found at its first call: `app` gives the application of this process, unless there is a `url`."""

    def __init__(self, app: Callable[[], ASGI | None], url: str = "") -> None:
        self._app = app
        self._url = url.rstrip("/")
        self._remote = httpx.AsyncHTTPTransport(retries=1) if url else None

    async def close(self) -> None:
        if self._remote is not None:
            await self._remote.aclose()

    async def call(self, visitor: Request, method: str, path: str, body: Any = None, cookie: str = "") -> Reply:
        """One request with the visitor's session, or with `cookie` in its place; `body` is sent as JSON.

        Raises `ServiceUnavailable` when the API can't be reached.
        """
        transport, origin = self._way(visitor)
        content = b"" if body is None else msgspec.json.encode(body)
        headers = _headers(visitor, cookie, has_body=body is not None)
        request = httpx.Request(
            method,
            origin + path,
            headers=headers,
            content=content,
            extensions={"timeout": {"connect": 3.0, "read": _TIMEOUT, "write": _TIMEOUT, "pool": 3.0}},
        )
        try:
            answer = await transport.handle_async_request(request)
            read = await answer.aread()
        except httpx.TransportError as error:
            raise ServiceUnavailable(f"the API can't be reached: {type(error).__name__}") from error
        return Reply(answer.status_code, answer.headers, tuple(answer.headers.get_list("set-cookie")), read)

    def _way(self, visitor: Request) -> tuple[httpx.AsyncBaseTransport, str]:
        if self._remote is not None:
            return self._remote, self._url
        app = self._app()
        if app is None:
            raise ServiceUnavailable("this process has no API of its own, and EZSTAT_API_URL is not set")
        exchange = exchange_of(visitor)
        # The address stands for the visitor's connection: what the API makes of it must be what it is here.
        transport = httpx.ASGITransport(app, raise_app_exceptions=False, client=(exchange.client, 0))
        return transport, f"{'https' if exchange.secure else 'http'}://{visitor.headers.get('host') or 'localhost'}"


def _headers(visitor: Request, cookie: str, *, has_body: bool) -> dict[str, str]:
    exchange = exchange_of(visitor)
    headers = {
        "accept": "application/json",
        "cookie": cookie or visitor.headers.get("cookie", ""),
        "user-agent": visitor.headers.get("user-agent", ""),
        "x-forwarded-for": exchange.client,
        "x-forwarded-proto": "https" if exchange.secure else "http",
        trace.HEADER: trace.current(),
    }
    if has_body:
        headers["content-type"] = "application/json"
    return {name: value for name, value in headers.items() if value}
