"""The one way out over HTTP: a client that reaches public addresses only, whatever a URL or a name server says."""

import asyncio
import socket
import ssl
from collections.abc import Collection, Iterable
from contextlib import suppress
from types import TracebackType
from typing import Any

import httpcore
import httpx

from libs.outbound.addresses import Network, is_public

_TIMEOUT = httpx.Timeout(10, connect=5)
_LIMITS = httpx.Limits(max_connections=100, max_keepalive_connections=20, keepalive_expiry=15)
_ANSWER = 64 << 10
_TRIED = 3
"""Addresses of a name: the first may be IPv6 where there is no way to it."""


class Guard(httpcore.AsyncNetworkBackend):
    """Where connections are made: resolves once, refuses if any address is not allowed, dials what it checked.

    Because the checked address itself is dialled, a name server that answers differently the second time (rebinding)
    changes nothing. TLS still verifies the name.
    """

    def __init__(
        self, dialler: httpcore.AsyncNetworkBackend, ports: Collection[int], allowed: Iterable[Network] = ()
    ) -> None:
        self._dialler = dialler
        self._ports = ports
        self._allowed = tuple(allowed)

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 - the signature is httpcore's
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        if port not in self._ports:
            raise httpcore.ConnectError(f"port {port} is not allowed")
        *others, last = (await self._resolve(host, port, deadline=timeout))[:_TRIED]
        for address in others:
            with suppress(httpcore.ConnectError, httpcore.ConnectTimeout):
                return await self._dialler.connect_tcp(address, port, timeout, local_address, socket_options)
        return await self._dialler.connect_tcp(last, port, timeout, local_address, socket_options)

    async def connect_unix_socket(self, *_: Any, **__: Any) -> httpcore.AsyncNetworkStream:
        raise httpcore.ConnectError("unix sockets are not allowed")

    async def sleep(self, seconds: float) -> None:
        await self._dialler.sleep(seconds)

    async def _resolve(self, host: str, port: int, *, deadline: float | None) -> list[str]:
        try:
            async with asyncio.timeout(deadline):
                found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except TimeoutError:
            raise httpcore.ConnectTimeout("the name was not resolved in time") from None
        except (OSError, UnicodeError):
            raise httpcore.ConnectError("the name can't be resolved") from None
        addresses = [str(info[4][0]) for info in found]
        if not addresses or not all(is_public(address, self._allowed) for address in addresses):
            raise httpcore.ConnectError("this address may not be reached from here")
        return list(dict.fromkeys(addresses))


class _Transport(httpx.AsyncBaseTransport):
    """httpx over a guarded connection pool. (httpx's own transport does not take a network backend.)"""

    def __init__(self, guard: Guard, context: ssl.SSLContext) -> None:
        self._inner = httpx.AsyncHTTPTransport(verify=context, trust_env=False)
        self._inner._pool = httpcore.AsyncConnectionPool(
            ssl_context=context,
            max_connections=_LIMITS.max_connections,
            max_keepalive_connections=_LIMITS.max_keepalive_connections,
            keepalive_expiry=_LIMITS.keepalive_expiry,
            network_backend=guard,
        )

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        return await self._inner.handle_async_request(request)

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None = None,
        exc_value: BaseException | None = None,
        traceback: TracebackType | None = None,
    ) -> None:
        await self._inner.__aexit__(exc_type, exc_value, traceback)

    async def aclose(self) -> None:
        await self._inner.aclose()


def guarded_client(
    *,
    allowed: Iterable[Network] = (),
    plain_http: bool = False,
    ports: Collection[int] | None = None,
    dialler: httpcore.AsyncNetworkBackend | None = None,
) -> httpx.AsyncClient:
    """An httpx client for addresses that other people gave us.

    No redirects, no proxies or credentials from the environment, port 443 (with `plain_http` also 80). `allowed` are
    private networks that the operator opened. Refusals are `httpx.ConnectError`. Read answers with `read_at_most`.
    """
    guard = Guard(dialler or httpcore.AnyIOBackend(), ports or ((443, 80) if plain_http else (443,)), allowed)
    transport = _Transport(guard, ssl.create_default_context())
    return httpx.AsyncClient(transport=transport, follow_redirects=False, trust_env=False, timeout=_TIMEOUT)


async def read_at_most(response: httpx.Response, limit: int = _ANSWER) -> bytes:
    """The beginning of a streamed answer, undecoded: nobody makes us unpack or keep what they like. Closes it."""
    body = bytearray()
    try:
        async for chunk in response.aiter_raw():
            body += chunk[: limit - len(body)]
            if len(body) >= limit:
                break
    finally:
        await response.aclose()
    return bytes(body)
