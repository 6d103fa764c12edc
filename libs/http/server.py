"""The HTTP server of a process: uvicorn with the hot paths in front, and no habits of its own about signals."""

import contextlib
from collections.abc import Iterator

import uvicorn
from uvicorn._types import ASGIApplication

from libs.http.hot import HotPaths
from libs.http.protocol import HotProtocol


class Server(uvicorn.Server):
    """A uvicorn server whose process decides about signals; `stop` begins the drain."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    def stop(self) -> None:
        """Stop accepting, answer what is open (at most 5 s), then let `serve` return."""
        self.should_exit = True


def make_server(app: ASGIApplication, paths: HotPaths) -> Server:
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
