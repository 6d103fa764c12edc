"""The HTTP server of a process: uvicorn with the hot paths in front, and no habits of its own about signals."""

import asyncio
import contextlib
import socket
from collections.abc import Iterator, Mapping

import uvicorn
from prometheus_client import CollectorRegistry
from starlette.types import ASGIApp

from libs.http.hot import HotEntry, HotPaths
from libs.http.metrics import watch
from libs.http.protocol import HotProtocol
from libs.http.proxies import Proxies
from libs.runtime.settings import Settings


class Server(uvicorn.Server):
    """A uvicorn server whose process decides about signals; `stop` begins the drain."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    def stop(self) -> None:
        """Stop accepting, answer what is open (at most 5 s), then let `serve` return."""
        self.should_exit = True


def make_server(app: ASGIApp, paths: HotPaths) -> Server:
    """A server, not yet listening: `await server.serve(sockets=[listening_socket])` runs it until `stop`.

    Concurrency and keep-alive are limited by the paths' guards. Proxies' headers are read by `Proxies`, lifespans are
    the process's own business, and log lines with paths are ours alone, because paths can hold keys.
    """
    config = uvicorn.Config(
        app,
        http=HotProtocol.over(paths),
        loop="uvloop",
        ws="none",
        lifespan="off",
        interface="asgi3",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_graceful_shutdown=5,
    )
    return Server(config)


async def run(
    app: ASGIApp,
    hot: Mapping[bytes, HotEntry],
    *,
    listener: socket.socket,
    stop: asyncio.Event,
    settings: Settings,
    metrics: CollectorRegistry,
) -> None:
    """Answer HTTP on a listening socket until `stop` is set and what was asked is answered."""
    paths = HotPaths(hot, proxies=Proxies(settings.trusted_proxies), require_https=settings.require_https)
    watch(metrics, paths)
    server = make_server(app, paths)
    stopping = asyncio.create_task(_stop_when_set(server, stop))
    try:
        await server.serve(sockets=[listener])
    finally:
        stopping.cancel()


async def _stop_when_set(server: Server, stop: asyncio.Event) -> None:
    await stop.wait()
    server.stop()
